"""Copies of GGUF files in other formats, made once by `llama_model_quantize`, in the user's cache folder.

A copy is named by the sha256 of its file, the format and llama.cpp's build. It is written beside its place by a child
process, for llama.cpp may abort, and gets its name when the disk has it whole. A note beside it says what it is: its
sha256, which is compared whenever the copy is asked for, so that a damaged one is made anew. The time of the note is
when the copy was last used. All of it may be deleted at any time.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from ...model_files.gguf_header import read_header
from ...model_files.models import sha256_of
from ...system.children import PACKAGE_ROOT, command_of
from ...system.environment import cache_folder
from ...system.errors import NoCopyError
from ...system.regular_files import synced
from .metadata import how_it_ended
from .weights import left_quantised, size_of_copy

FILE_TYPES = {"f16": 1, "bf16": 32}  # llama_ftype, as in llama.h
_SPARE = 64 << 20  # bytes that a disk keeps
_PART = "part-"
_SECONDS_OF_A_PART = 3600.0  # after which one that is not finished is nobody's
_SECONDS_OF_A_DAY = 86_400.0


class Copy(NamedTuple):
    """A copy that is there: `name` is that of the file whose weights it has, `used` when it was last asked for."""

    path: Path
    name: str
    form: str
    size: int
    sha256: str
    used: float


def copy_of(
    path: Path, sha256s: Sequence[str], form: str, n_threads: int, tell: Callable[[str], None] = lambda _: None
) -> Copy:
    """The copy of a file, or of one in parts, in this format; made where there is none. Raises NoCopyError."""
    target = _place(sha256s, form)
    found = _read(target)
    if found is not None and found.size == _size(target) and sha256_of(target) == found.sha256:
        _touch(target)
        return found
    try:
        return _made(path, target, form, n_threads, tell)
    except OSError as error:
        where = error.filename or target.parent
        raise NoCopyError(f"{where}: {error.strerror or error}", file=path) from error


def copies() -> list[Copy]:
    """Every copy on this machine."""
    found = map(_read, sorted(_folder().glob("*.gguf")))
    return [copy for copy in found if copy is not None and copy.size == _size(copy.path)]


def clean(unused_days: float = 0.0) -> list[Copy]:
    """Remove the copies that were not used for so many days, and what is left of unfinished ones; which copies."""
    removed = [copy for copy in copies() if time.time() - copy.used >= unused_days * _SECONDS_OF_A_DAY]
    for copy in removed:
        copy.path.unlink(missing_ok=True)
        _note(copy.path).unlink(missing_ok=True)
    kept = {copy.path for copy in copies()}
    for path in _folder().glob("*.gguf"):
        if path not in kept:
            path.unlink(missing_ok=True)
    _remove_parts()
    return removed


def _folder() -> Path:
    return cache_folder() / "weights"


def _place(sha256s: Sequence[str], form: str) -> Path:
    from . import libraries

    file = sha256s[0] if len(sha256s) == 1 else hashlib.sha256(" ".join(sha256s).encode()).hexdigest()
    build = hashlib.sha256(repr(sorted(libraries.digests().items())).encode()).hexdigest()
    return _folder() / f"{file}-{form}-{build[:12]}.gguf"


def _note(copy: Path) -> Path:
    return copy.with_suffix(".json")


def _read(copy: Path) -> Copy | None:
    """What the note beside a copy says; None where there is none."""
    try:
        said: Any = json.loads(_note(copy).read_bytes())
        about = str(said["name"]), str(said["form"]), int(said["size"]), str(said["sha256"])
        return Copy(copy, *about, _note(copy).stat().st_mtime)
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None


def _touch(copy: Path) -> None:
    """It is used now. A folder that cannot be written is no error."""
    try:
        os.utime(_note(copy))
    except OSError:
        return


def _made(path: Path, target: Path, form: str, n_threads: int, tell: Callable[[str], None]) -> Copy:
    size = size_of_copy(read_header(path))
    target.parent.mkdir(parents=True, exist_ok=True)
    _remove_parts()
    free = shutil.disk_usage(target.parent).free
    if free < size + _SPARE:
        raise NoCopyError(f"{target.parent} has {free / 1e6:,.0f} MB free, and it takes {size / 1e6:,.0f} MB")
    tell(f"writing a copy of {path.name} in {form}, once: about {size / 1e6:,.0f} MB in {target.parent}")
    with TemporaryDirectory(prefix=_PART, dir=target.parent) as folder:
        part = Path(folder) / target.name
        quantise(path, part, FILE_TYPES[form], n_threads)
        if name := left_quantised(read_header(part)):
            raise NoCopyError(f"llama.cpp leaves {name} quantised")
        about = {"name": path.name, "form": form, "size": part.stat().st_size, "sha256": sha256_of(part)}
        _note(part).write_text(json.dumps(about), "utf-8")
        for written in (_note(part), part):
            synced(written)
            written.replace(target.parent / written.name)
        synced(target.parent)
    found = _read(target)
    if found is None:
        raise NoCopyError(f"{target}: another process removed it")
    return found


def _remove_parts() -> None:
    """What processes that were killed have left."""
    for part in _folder().glob(f"{_PART}*"):
        with suppress(OSError):  # another process does the same
            if time.time() - part.stat().st_mtime > _SECONDS_OF_A_PART:
                shutil.rmtree(part, ignore_errors=True)


def quantise(path: Path, target: Path, file_type: int, n_threads: int) -> None:
    """Have a child process write a copy of a type as llama.h numbers them; raises NoCopyError where it does not."""
    child = subprocess.run(
        command_of(__name__, str(path.absolute()), str(target.absolute()), str(file_type), str(n_threads)),
        cwd=PACKAGE_ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env={**os.environ, "GGML_NO_BACKTRACE": "1"},  # else a debugger is looked for
        check=False,
    )
    reason = next(_said(child.stdout), None)
    if reason is None:
        raise NoCopyError(f"llama.cpp cannot write it: {how_it_ended(child.returncode, child.stderr)}", file=path)
    if reason:
        raise NoCopyError(f"llama.cpp cannot write it: {reason}", file=path)


def _said(output: bytes) -> Iterator[str]:
    """The reason that a child gives, '' for none; llama.cpp itself prints on stdout too."""
    for line in output.splitlines():
        try:
            yield str(json.loads(line)["error"])
        except (ValueError, TypeError, KeyError):
            continue


def _why_not(path: str, target: str, file_type: int, n_threads: int) -> str:
    """Runs in the child: write the copy; why that failed, '' where it did not."""
    import llama_cpp

    from . import llama_log

    llama_log.listen()
    llama_cpp.llama_backend_init()
    parameters = llama_cpp.llama_model_quantize_default_params()
    parameters.ftype = file_type
    parameters.nthread = n_threads
    parameters.allow_requantize = True
    if llama_cpp.llama_model_quantize(os.fsencode(path), os.fsencode(target), parameters) == 0:
        return ""
    return llama_log.last_reason() or "no reason given"


if __name__ == "__main__":
    print("\n" + json.dumps({"error": _why_not(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:]))}), flush=True)
    os._exit(0)  # without llama.cpp's own tidying up
