"""Writing that outlasts a crash: what is written has reached the disk, under its name, before the call returns."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from ..system.errors import StoreError
from .lines import encode
from .record_schema import Record

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Appender:
    """Appends waves of records to one file."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._descriptor = descriptor

    def append(self, records: Iterable[Record]) -> None:
        """Write whole lines and wait until the disk has them."""
        data = b"".join(encode(record) + b"\n" for record in records)
        if not data:
            return
        with explained(self._path):
            while data:
                data = data[os.write(self._descriptor, data) :]
            os.fsync(self._descriptor)


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """What goes wrong with a file becomes a StoreError that says what to do."""
    try:
        yield
    except OSError as error:
        advice = (
            "free some space and run the same command again: it continues"
            if error.errno in _NO_ROOM
            else "check the folder"
        )
        raise StoreError(f"{path}: {error.strerror}; {advice}", file=path) from error


def new_file(path: Path) -> BinaryIO:
    """A file that nobody has linked to another place."""
    path.unlink(missing_ok=True)
    return open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666), "wb")
