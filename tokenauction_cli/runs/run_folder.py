"""The run folder: append records, read them back, resume. It does not know what the numbers mean.

Every invocation appends to a `records-<k>.jsonl` of its own, so a line torn by a crash stays the last of its file; it
is dropped on reading. A wave is one write and one fsync. Other files are replaced atomically.

A folder may come from a stranger: only regular files that lie in it are opened, and a line that is no record is passed
over and noted in `wrong`.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Set
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from pydantic_core import from_json

from ..system.errors import StoreError
from ..system.locks import lock
from ..system.regular_files import opened, synced
from .durable import Appender, explained, new_file
from .lines import WrongLines, read_record, whole_lines
from .lines import encode as encode  # also for those who take it from here
from .record_schema import MOST_COLUMNS, RecordError
from .record_schema import Record as Record

RECORDS, PROPOSALS = "records", "proposals"  # kinds of records: those of cells, those of candidates
MANIFEST = "manifest.json"
MOST_BYTES = 64 << 20  # of a file that is read at once
_AS_WRITTEN = re.compile(rb'\{"cell":"([0-9a-f]{12})"')
_CELL = slice(0, len('{"cell":"0123456789ab"'))  # how a line begins
_FAILED = b'"end_reason":"failed"'  # as it stands in no text, where quotes are escaped
_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)  # as on some network file systems
_AT_ONCE = 1 << 20

Problem = Callable[[Record], str | None]


class RunFolder:
    """One run's files on disk. Records are in files `<kind>-<k>.jsonl`: those of the run, its candidates, an audit."""

    def __init__(
        self, path: Path, kind: str = RECORDS, wrong: WrongLines | None = None, problem: Problem | None = None
    ) -> None:
        self.path = path
        self.kind = kind
        self.wrong = WrongLines() if wrong is None else wrong
        self._problem = problem
        self._columns: set[str] = set()

    def of(self, kind: str) -> RunFolder:
        """The same folder, as it holds records of another kind."""
        return RunFolder(self.path, kind, self.wrong)

    def expecting(self, problem: Problem) -> RunFolder:
        """The same folder, where a record is also wrong if there is a `problem` with it, in words."""
        return RunFolder(self.path, self.kind, self.wrong, problem)

    @contextmanager
    def locked(self, tell: Callable[[str], None] = lambda _: None) -> Iterator[None]:
        """Hold the folder for one process; raises StoreError when another one is running in it.

        Where the file system has no locks it says so and goes on: two processes would write texts twice, but lose none.
        """
        with explained(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.path, os.O_RDONLY)
        try:
            if not self._is_free(descriptor, tell) or not self._is_at(descriptor):
                raise self._taken()
            yield
        finally:
            os.close(descriptor)

    def _is_free(self, descriptor: int, tell: Callable[[str], None]) -> bool:
        """Take the lock, if no other process has it."""
        with explained(self.path):
            try:
                lock(descriptor)
            except BlockingIOError:
                return False
            except OSError as error:
                if error.errno not in _NO_LOCKS:
                    raise
                tell(
                    f"{self.path}: no locks there ({error.strerror}): start no second run of this experiment meanwhile"
                )
        return True

    def is_locked(self) -> bool:
        """Whether a process is running in the folder, which is there."""
        try:
            with self.locked():
                return False
        except StoreError:
            return True

    def _taken(self) -> StoreError:
        return StoreError(f"{self.path}: another process is running this experiment; wait for it or stop it")

    def _is_at(self, descriptor: int) -> bool:
        """Whether the folder that was opened still has this path: another process may just have set it aside."""
        try:
            return os.path.samestat(os.fstat(descriptor), self.path.stat())
        except OSError:
            return False

    def set_aside(self) -> Path | None:
        """Rename the folder out of the way (`--fresh`); nothing is ever deleted. None where there was none.

        Raises StoreError when another process is running in it.
        """
        if not self.path.exists():
            return None
        k = 1
        while (old := self.path.with_name(f"{self.path.name}.old-{k}")).exists():
            k += 1
        with self.locked(), explained(self.path):
            self.path.rename(old)
        return old

    def forget_if_empty(self) -> None:
        """A run that never began leaves no folder."""
        with suppress(OSError):
            self.path.rmdir()

    def write(self, name: str, content: str | bytes) -> None:
        """Replace a file atomically; a file that has this content already is left alone."""
        data = content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
        if self._has(name, data):
            return
        temporary = self.path / f".{name}.new"
        with explained(self.path / name):
            try:
                with new_file(temporary) as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                temporary.replace(self.path / name)
            except OSError:
                temporary.unlink(missing_ok=True)
                raise
            synced(self.path)

    def _has(self, name: str, data: bytes) -> bool:
        try:
            with self.reading(name) as file:
                return os.fstat(file.fileno()).st_size == len(data) and file.read() == data
        except StoreError:
            return False

    @contextmanager
    def reading(self, name: str) -> Iterator[BinaryIO]:
        """One of the folder's files. Raises StoreError where it is no regular file, or does not lie in the folder."""
        if name != os.path.basename(name) or name in ("", ".", ".."):
            raise StoreError(f"{self.path}: {name!r} is no file of this folder", file=self.path)
        with explained(self.path / name), opened(self.path / name, follow_links=False) as file:
            yield file

    def read(self, name: str) -> bytes:
        """What stands in one of the folder's files; raises StoreError, also where it is too large."""
        with self.reading(name) as file:
            data = file.read(MOST_BYTES + 1)
        if len(data) > MOST_BYTES:
            raise StoreError(
                f"{self.path / name}: the file is larger than the {MOST_BYTES:,} bytes that are read",
                file=self.path / name,
            )
        return data

    def sha256(self, name: str) -> str:
        """The SHA-256 of one of the folder's files."""
        digest = hashlib.sha256()
        with self.reading(name) as file:
            while chunk := file.read(_AT_ONCE):
                digest.update(chunk)
        return digest.hexdigest()

    def read_manifest(self) -> dict[str, Any]:
        """The manifest as it stands there, or {} where there is none yet."""
        path = self.path / MANIFEST
        if not os.path.lexists(path):
            return {}
        try:
            manifest = from_json(self.read(MANIFEST))
        except ValueError:
            manifest = None
        if not isinstance(manifest, dict):
            raise StoreError(f"{path}: this is not JSON of a run; move the folder away or use --fresh", file=path)
        return manifest

    def keep_wrong_manifest(self) -> None:
        """Where the manifest has keys that were passed over, keep it as it stands beside the one that comes."""
        if MANIFEST in self.wrong.files:
            self.write("manifest.wrong", self.read(MANIFEST))
            self.wrong.forget(MANIFEST)

    def write_manifest(self, manifest: Mapping[str, Any]) -> None:
        self.write(MANIFEST, json.dumps(manifest, indent=2, ensure_ascii=False) + "\n")

    def record_files(self) -> list[Path]:
        """The files of records, oldest first."""
        numbered = re.compile(rf"{self.kind}-[1-9][0-9]{{0,8}}\.jsonl")
        files = (path for path in self.path.glob(f"{self.kind}-*.jsonl") if numbered.fullmatch(path.name))
        return sorted(files, key=lambda path: (len(path.name), path.name))

    def records(self) -> dict[str, Record]:
        """Every record by cell, without its trace; the first complete line of a cell counts."""
        found: dict[str, Record] = {}
        for record in self._lines():
            record.pop("trace", None)
            found.setdefault(record["cell"], record)
        return found

    def cells(self) -> set[str]:
        """The cells that have a record."""
        return {record["cell"] for record in self._lines()}

    def count(self) -> tuple[int, int]:
        """How many cells have a record, and of how many it says that they failed; nothing is parsed."""
        failed: dict[bytes, bool] = {}
        for path in self.record_files():
            with self.reading(path.name) as file:
                for _, line in whole_lines(file):
                    if line is not None:
                        failed.setdefault(line[_CELL], _FAILED in line)
        return len(failed), sum(failed.values())

    def traces(self, cells: Set[str] | None = None) -> Iterator[tuple[str, list[int], Record]]:
        """Each traced cell, or those of these cells, the ids of what was drawn, and the trace.

        One at a time: those of a whole run need not fit into memory.
        """
        seen: set[str] = set()
        for record in self._lines(cells):
            cell, trace = record["cell"], record.get("trace")
            if cell not in seen and trace is not None:
                yield cell, record["token_ids"], trace
            seen.add(cell)

    def raw_lines(self, cells: Set[str]) -> dict[str, bytes]:
        """The first complete line of each of these cells, as it stands in its file."""
        found: dict[str, bytes] = {}
        for record, line in self._lines_and_bytes(cells):
            found.setdefault(record["cell"], line)
        return found

    def _lines(self, cells: Set[str] | None = None) -> Iterator[Record]:
        return (record for record, _ in self._lines_and_bytes(cells))

    def _lines_and_bytes(self, cells: Set[str] | None = None) -> Iterator[tuple[Record, bytes]]:
        """Every complete line of every file of records, or those of these cells, oldest first."""
        for path in self.record_files():
            yield from self.lines_of(path, cells=cells)

    def lines_of(self, path: Path, key: str = "cell", cells: Set[str] | None = None) -> Iterator[tuple[Record, bytes]]:
        """Every record of one file, which `key` names, with its line; a torn last line is dropped.

        Lines that are no record are passed over, and noted. Where only some `cells` are asked for, lines of others are
        not parsed.
        """
        with self.reading(path.name) as file:
            for number, line in whole_lines(file):
                if line is not None and cells is not None and _is_of_another(line, cells):
                    continue
                if self.wrong.has(path.name, number):
                    if self.wrong.is_hopeless(path.name, number):
                        return
                    continue
                try:
                    record = self._checked(read_record(line, key))
                except RecordError as error:
                    self.wrong.add(path.name, number, str(error))
                    continue
                if line is not None and (cells is None or record[key] in cells):
                    yield record, line

    def _checked(self, record: Record) -> Record:
        """The record; raises RecordError where it is none of this run, or has columns that no run has."""
        why = None if self._problem is None else self._problem(record)
        if why is None and not record.keys() <= self._columns:
            if len(self._columns | record.keys()) > MOST_COLUMNS:
                why = f"with it the records have more than {MOST_COLUMNS:,} different columns, the most that are read"
            else:
                self._columns |= record.keys()
        if why is not None:
            raise RecordError(why)
        return record

    def set_wrong_aside(self) -> list[str]:
        """Move the lines that were passed over so far to `<file>.wrong`, for whoever wants them: the names of these.

        The folder is locked, and nobody appends to these files.
        """
        return [self._set_aside_of(file) for file in self.wrong.files if file.endswith(".jsonl")]

    def _set_aside_of(self, name: str) -> str:
        aside = f"{name.removesuffix('.jsonl')}.wrong"
        temporary, flags = self.path / f".{name}.new", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
        with self.reading(name) as file, explained(self.path / aside):
            with (
                new_file(temporary) as right,
                open(os.open(self.path / aside, flags, 0o644), "ab") as wrong,
            ):
                number = 1
                while part := file.readline(_AT_ONCE):
                    (wrong if self.wrong.has(name, number) else right).write(part)
                    number += part.endswith(b"\n")
                for written in (wrong, right):
                    written.flush()
                    os.fsync(written.fileno())
            temporary.replace(self.path / name)
            synced(self.path)
        self.wrong.forget(name)
        return aside

    @contextmanager
    def appending(self) -> Iterator[Appender]:
        """A new file of records."""
        files = self.record_files()
        last = max((int(path.stem.removeprefix(f"{self.kind}-")) for path in files), default=0)
        path = self.path / f"{self.kind}-{last + 1}.jsonl"
        with explained(path):
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_EXCL, 0o644)
            synced(self.path)
        try:
            yield Appender(path, descriptor)
        finally:
            os.close(descriptor)
            if path.stat().st_size == 0:
                path.unlink()


class RecordReader:
    """Reads every record of a folder once: a second call goes on with the files that came after the first.

    The first complete line of a cell counts; traces are left out.
    """

    def __init__(self, folder: RunFolder) -> None:
        self.cells: set[str] = set()
        self._folder = folder
        self._read: set[str] = set()

    def new(self) -> Iterator[Record]:
        """What was not read before; `cells` grows on the way."""
        for path in self._folder.record_files():
            if path.name in self._read:
                continue
            self._read.add(path.name)
            for record, _ in self._folder.lines_of(path):
                if record["cell"] not in self.cells:
                    self.cells.add(record["cell"])
                    record.pop("trace", None)
                    yield record


def _is_of_another(line: bytes, cells: Set[str]) -> bool:
    """Whether a line as we write it is of none of these cells; a line in other words has to be parsed."""
    cell = _AS_WRITTEN.match(line)
    return cell is not None and cell[1].decode() not in cells
