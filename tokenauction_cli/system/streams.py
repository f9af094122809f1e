"""The standard streams of a command: closed, full or narrow ones never cost its work.

stdout   what it cannot spell is written as \\uXXXX, which JSON reads back; that it is full is an OutputError
stderr   what it has no room for is left out
"""

from __future__ import annotations

import codecs
import io
import json
import os
import sys
from typing import TextIO

from .errors import OutputError

_SPELLED = "tokauction.spelled"


class _Result(io.FileIO):
    """A file whose being full has a message of its own."""

    def write(self, data: object) -> int:
        try:
            return super().write(data) or 0  # type: ignore[arg-type]
        except BrokenPipeError:
            raise
        except OSError as error:
            raise OutputError(
                f"stdout takes no more ({error.strerror}): a run's folder has what was not printed"
            ) from None


class _Notes(io.FileIO):
    """A file that takes everything, also what it has no room for."""

    def write(self, data: object) -> int:
        try:
            return super().write(data) or 0  # type: ignore[arg-type]
        except OSError:
            return memoryview(data).nbytes  # type: ignore[arg-type]


def result_stream(descriptor: int, encoding: str, closefd: bool = True) -> TextIO:
    """A stream like stdout."""
    codecs.register_error(_SPELLED, _spelled)
    file = _Result(descriptor, "w", closefd=closefd)
    return io.TextIOWrapper(io.BufferedWriter(file), encoding, _SPELLED, line_buffering=file.isatty())


def note_stream(descriptor: int, encoding: str, closefd: bool = True) -> TextIO:
    """A stream like stderr."""
    file = _Notes(descriptor, "w", closefd=closefd)
    return io.TextIOWrapper(io.BufferedWriter(file), encoding, "backslashreplace", line_buffering=True)


def prepare() -> None:
    """Give this process streams that a command can write to, whatever it was started with."""
    _open_what_is_closed()
    if sys.stdout is sys.__stdout__:
        sys.stdout = result_stream(1, _encoding(sys.stdout), closefd=False)
    if sys.stderr is sys.__stderr__:
        sys.stderr = note_stream(2, _encoding(sys.stderr), closefd=False)


def _encoding(stream: TextIO | None) -> str:
    """None is what Python makes of a closed one."""
    return "utf-8" if stream is None else stream.encoding


def _open_what_is_closed() -> None:
    """Else the next file that is opened would be stdout: what is printed would be written into it."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)


def _spelled(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    return json.dumps(error.object[error.start : error.end])[1:-1], error.end
