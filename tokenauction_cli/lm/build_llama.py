"""Builds llama-cpp-python for the processor it stands on: `python -m tokenauction_cli.lm.build_llama`.

Two things differ from what pip does by itself: a compiler launcher makes AMX work where the processor has it
(`compile_llama.sh`), and llama.cpp's RPC backend is compiled. `CMAKE_ARGS` of the user come behind and win; they are
remembered, so that a build for a GPU stays one. A build by other flags, or by other hands, is not used again.

`--try MODEL` has a child process evaluate with a GGUF file. Where that crashes, llama.cpp is built without AMX.
It needs nothing but Python, so that it runs before anything is installed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

PACKAGE = "llama-cpp-python"
COMMAND = "python -m tokenauction_cli.lm.build_llama"
LAUNCHER = Path(__file__).with_name("compile_llama.sh")
WITHOUT_AMX = "-mno-amx-tile -mno-amx-int8 -mno-amx-bf16"
ROWS = (1, 2, 16, 33, 63)  # evaluated after a build: AMX is used from two rows on
_RECORD = "tokauction-build.json"


@dataclass(frozen=True)
class Build:
    """How llama.cpp was, or is to be, compiled."""

    version: str
    cmake_args: str  # the user's
    extra_flags: str = ""  # of every file
    launcher: str = ""  # digest of the launcher

    @classmethod
    def wanted(cls, version: str, before: Build | None, environment: Mapping[str, str] = os.environ) -> Build:
        """What the user asks for now, or else asked for before."""
        asked = environment.get("CMAKE_ARGS", before.cmake_args if before else "").strip()
        extra = before.extra_flags if before and before.launcher == _launcher_digest() else ""
        return cls(version, asked, extra, _launcher_digest())

    @property
    def arguments(self) -> str:
        """CMAKE_ARGS: ours, then the user's."""
        launcher = f"sh;{LAUNCHER}"
        ours = [f"-DCMAKE_{language}_COMPILER_LAUNCHER={launcher}" for language in ("C", "CXX")]
        return " ".join([*map(shlex.quote, [*ours, "-DGGML_RPC=ON"]), self.cmake_args]).strip()

    @property
    def has_amx_switched_off(self) -> bool:
        return WITHOUT_AMX in self.extra_flags


def installed() -> Build | None:
    """The build that is installed, if this module made it."""
    try:
        record = json.loads(_record().read_text("utf-8"))
        is_ours = record.pop("libraries") == _digests()
        return Build(**record) if is_ours else None
    except (OSError, ValueError, TypeError, KeyError, AttributeError, PackageNotFoundError):
        return None


def install(build: Build) -> None:
    """Compile and install; raises CalledProcessError where pip fails, which says why itself."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "install", "--quiet"]
    anew = ["--force-reinstall", "--no-deps", "--no-cache-dir", "--no-binary", PACKAGE]
    flags = {"CMAKE_ARGS": build.arguments, "LLAMA_EXTRA_FLAGS": build.extra_flags}
    subprocess.run([*pip, *anew, f"{PACKAGE}=={build.version}"], env={**os.environ, **flags}, check=True)
    _record().write_text(json.dumps({**asdict(build), "libraries": _digests()}, indent=1), "utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog=COMMAND, description="Build llama.cpp for this processor.")
    parser.add_argument("--requirements", type=Path, help="pins the version; default: the version that is installed")
    parser.add_argument("--try", dest="model", type=Path, help="evaluate this model; build without AMX if that crashes")
    options = parser.parse_args(arguments)
    before = installed()
    try:
        if options.model is not None:
            _try(options.model, before)
            return 0
        build = Build.wanted(_version(options.requirements), before)
        if build != before:
            _say(f"Compiling llama.cpp{f' with {build.cmake_args}' if build.cmake_args else ''}: some minutes, once.")
            install(build)
    except subprocess.CalledProcessError as error:
        return error.returncode
    return 0


def _try(model: Path, build: Build | None) -> None:
    """Evaluate as runs do, with all threads; where that crashes with AMX, build without it."""
    from ..system.processors import usable_processors
    from .hardware import choose_hardware
    from .probe import crash_of

    crash = crash_of(model, choose_hardware("cpu", "auto", usable_processors()), ROWS)
    if crash is None:
        return
    if build is None or build.has_amx_switched_off or not crash.has_amx:
        _say(f"llama.cpp crashes on this processor: {crash.how}. `tokauction doctor` says what is done about it.")
        return
    _say(f"llama.cpp crashes with AMX on this processor ({crash.how}): compiling it again without AMX, half as fast.")
    install(replace(build, extra_flags=WITHOUT_AMX))


def _version(requirements: Path | None) -> str:
    if requirements is None:
        return distribution(PACKAGE).version
    pinned = (line.split() for line in requirements.read_text("utf-8").splitlines())
    return next(words[0].split("==")[1] for words in pinned if words and words[0].startswith(f"{PACKAGE}=="))


def _libraries() -> Path:
    return Path(str(distribution(PACKAGE).locate_file("llama_cpp/lib")))


def _record() -> Path:
    return _libraries() / _RECORD


def _digests() -> dict[str, str]:
    """Of what is installed: a later `pip install` by hand leaves other ones, or no record."""
    files = (path for path in sorted(_libraries().iterdir()) if path.name != _RECORD)
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def _launcher_digest() -> str:
    return hashlib.sha256(LAUNCHER.read_bytes()).hexdigest()[:12]


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
