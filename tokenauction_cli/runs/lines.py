"""Lines of JSON: how a record is written, read back, and passed over where it is damaged."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from itertools import islice
from typing import Any, BinaryIO

from pydantic_core import from_json

from .record_schema import TEXTS, Record, RecordError, checked

MOST_BYTES = 64 << 20  # of a line
MOST_WRONG = 10_000  # lines of one file: then the rest of it is passed over
_TOLD = 3
_NOT_PLAIN = (dict, list, float)


class WrongLines:
    """What was passed over in a run folder, by file and line; each is told once, however often it is read.

    A line 0 is no line: something in a file that has none, as in the manifest.
    """

    def __init__(self) -> None:
        self.keys: dict[str, str] = {}  # of the manifest
        self._why: dict[str, dict[int, str]] = {}
        self._rest: dict[str, int] = {}  # where a file is not read any further

    def __len__(self) -> int:
        return sum(map(len, self._why.values()))

    def add(self, file: str, line: int, why: str) -> None:
        of_file = self._why.setdefault(file, {})
        of_file.setdefault(line, why)
        if len(of_file) == MOST_WRONG:
            self._rest[file] = line + 1
            of_file[line + 1] = f"{MOST_WRONG:,} lines of this file are wrong: the rest of it is passed over"

    def has(self, file: str, line: int) -> bool:
        """Whether this line is passed over."""
        return line in self._why.get(file, ()) or line >= self._rest.get(file, line + 1)

    def is_hopeless(self, file: str, line: int) -> bool:
        """Whether the file is passed over from this line on."""
        return line >= self._rest.get(file, line + 1)

    @property
    def files(self) -> list[str]:
        return list(self._why)

    def forget(self, file: str) -> None:
        """The file has nothing wrong any more."""
        self._why.pop(file, None)
        self._rest.pop(file, None)

    def each(self) -> Iterator[tuple[str, str]]:
        """The place of each, as in `records-1.jsonl:17`, and what is wrong there."""
        for file, lines in self._why.items():
            yield from ((f"{file}:{line}" if line else file, why) for line, why in lines.items())

    def __str__(self) -> str:
        """The first ones, and how many more."""
        told = [f"{place}: {why}" for place, why in islice(self.each(), _TOLD)]
        return "; ".join(told) + (f"; and {len(self) - _TOLD:,} more" if len(self) > _TOLD else "")


def encode(record: Record) -> bytes:
    """One line of JSON; infinite numbers are the strings "inf" and "-inf", which `decode` reads back.

    A trace that would make the line longer than is read is left out.
    """
    try:
        text = _json(record)
    except ValueError:  # a number is not finite: the rare case, so that long traces are not walked twice
        text = _json(_spelled(record))
    line = text.encode("utf-8", "backslashreplace")
    if len(line) < MOST_BYTES or "trace" not in record:
        return line
    return encode({key: value for key, value in record.items() if key != "trace"})


_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode


def _spelled(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _spelled(item) if isinstance(item, _NOT_PLAIN) else item for key, item in value.items()}
    if isinstance(value, list):
        return [_spelled(item) if isinstance(item, _NOT_PLAIN) else item for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    return value


def decode(line: bytes) -> Any:
    """What one line says. Only columns of numbers spell infinity; a text may say "inf" and mean it.

    Raises ValueError where it is not JSON.
    """
    record = from_json(line, allow_inf_nan=False, cache_strings="keys")
    if b'inf"' in line and isinstance(record, dict):
        for key, value in record.items():
            if isinstance(value, str) and value in ("inf", "-inf") and key not in TEXTS:
                record[key] = float(value)
        _spell_back(record.get("trace"))
    return record


def _spell_back(trace: Any) -> None:
    """Payments of a trace may be infinite."""
    payments = trace.get("payments") if isinstance(trace, dict) else None
    for rows in payments.values() if isinstance(payments, dict) else ():
        for row in rows if isinstance(rows, list) else ():
            if isinstance(row, list):
                row[:] = [float(one) if isinstance(one, str) and one in ("inf", "-inf") else one for one in row]


def read_record(line: bytes | None, key: str = "cell") -> Record:
    """The record of a line, None for one that is too long; raises RecordError."""
    if line is None:
        raise RecordError(f"the line is longer than {MOST_BYTES:,} bytes, the most that are read")
    try:
        record = decode(line)
    except ValueError as error:
        raise RecordError(f"this is not JSON: {error}".replace(" at line 1 column ", " at column ")) from None
    return checked(record, key)


def whole_lines(file: BinaryIO) -> Iterator[tuple[int, bytes | None]]:
    """Every complete line with its number from 1, None for one that is too long; a torn last line is dropped."""
    number = 0
    while line := file.readline(MOST_BYTES + 1):
        number += 1
        if line.endswith(b"\n"):
            yield number, line
        elif len(line) <= MOST_BYTES or not _skipped_to_its_end(file):
            return
        else:
            yield number, None


def _skipped_to_its_end(file: BinaryIO) -> bool:
    """Whether the line that was begun has an end."""
    while part := file.readline(1 << 20):
        if part.endswith(b"\n"):
            return True
    return False
