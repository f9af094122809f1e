"""The header of a GGUF file, read without llama.cpp: what a stranger's file says of itself, before anything trusts it.

    magic "GGUF" | version uint32 | number of tensors int64 | number of metadata pairs int64
    a pair:    key | type uint32 | value
    a tensor:  name | number of sizes uint32 | sizes uint64 | type uint32 | offset uint64

A text is its length (uint64) and its bytes, an array a type, a length and its items. Every number is compared with what
is left of the file, and with more than any model needs, before anything of that size is read. What the numbers mean is
for llama.cpp to say.
"""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple, TypeAlias

from ..system.environment import shortened
from ..system.errors import ModelError
from .quantisation import all_parts

HEADER_BYTES = 24
SUPPORTED_VERSIONS = (2, 3)  # those llama.cpp reads
MOST_KEYS = 4096  # llama.cpp compares each with all before it; models have some fifty
MOST_TENSORS = 65_536
MOST_ITEMS = 1 << 22  # of arrays: sixteen times the largest vocabulary
LONGEST_TEXT = 1 << 24
_KEPT_ITEMS = 1024  # numbers of an array that has no more are kept: one for each layer, say
_STRING, _ARRAY = 8, 9
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}

Value: TypeAlias = "str | int | float | bool | tuple[float, ...]"

_OTHER_FORMATS = {
    b"version https://git-lfs": "is a Git LFS pointer, not the model: run `git lfs pull` in its repository",
    b"ggjt"[::-1]: "is in the old GGML format: convert it to GGUF, or download a GGUF file of this model",
    b"ggml"[::-1]: "is in the old GGML format: convert it to GGUF, or download a GGUF file of this model",
    b"ggmf"[::-1]: "is in the old GGML format: convert it to GGUF, or download a GGUF file of this model",
    b"PK\x03\x04": "is a ZIP archive or a PyTorch file: a GGUF file is needed",
    b"<!doctype html": "is a web page: download the file itself, not the page that shows it",
    b"<html": "is a web page: download the file itself, not the page that shows it",
}


class Tensor(NamedTuple):
    """Of a file: its name, its sizes (the length of a row first), and its type as ggml numbers it."""

    name: str
    sizes: tuple[int, ...]
    kind: int

    @property
    def n_per_row(self) -> int:
        return self.sizes[0] if self.sizes else 1

    @property
    def n_rows(self) -> int:
        return math.prod(self.sizes[1:])


@dataclass(frozen=True)
class GgufHeader:
    """What a file says of itself. Long arrays, such as the tokens, are in `lengths` only."""

    values: Mapping[str, Value]
    lengths: Mapping[str, int]
    tensors: tuple[Tensor, ...]

    def text(self, key: str, default: str = "") -> str:
        """A text of the metadata."""
        found = self.values.get(key)
        return found if isinstance(found, str) else default

    @property
    def architecture(self) -> str:
        return self.text("general.architecture", "unknown")

    def of_architecture(self, key: str) -> Value | None:
        """What the file says of `<architecture>.<key>`."""
        return self.values.get(f"{self.architecture}.{key}")

    def number(self, key: str) -> int | None:
        """The same, where that is a whole number."""
        found = self.of_architecture(key)
        return found if isinstance(found, int) and not isinstance(found, bool) else None


def read_header(path: Path) -> GgufHeader:
    """The header of a model; of one in parts its first one's metadata, and the tensors of all parts."""
    first, *others = [_read(path.with_name(name)) for name in all_parts(path.name)]
    return GgufHeader(first.values, first.lengths, sum((part.tensors for part in others), first.tensors))


def _read(path: Path) -> GgufHeader:
    quick_header_check(path)
    try:
        with path.open("rb", buffering=1 << 20) as file:
            return _Reader(file, os.fstat(file.fileno()).st_size).header()
    except _DamagedError as damage:
        raise ModelError(f"{path}: the header of the file is damaged: {damage}: download it again", file=path) from None
    except OSError as error:
        raise ModelError(f"{path}: the file cannot be read: {error.strerror}", file=path) from error


class _DamagedError(Exception):
    """What is wrong with a header."""


class _Reader:
    """Goes through a header once, and asks for nothing that the file does not have."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self._left = size
        self._items_left = MOST_ITEMS

    def header(self) -> GgufHeader:
        self._take(8)  # magic and version
        n_tensors, n_keys = self._count(MOST_TENSORS, "tensors", 24), self._count(MOST_KEYS, "keys", 13)
        values: dict[str, Value] = {}
        lengths: dict[str, int] = {}
        for _ in range(n_keys):
            key = self._text()
            if key in values or key in lengths:
                raise _DamagedError(f"the key {shortened(key)!r} stands twice")
            value = self._value(self._number("I"))
            if isinstance(value, _Long):
                lengths[key] = value.n
            else:
                values[key] = value
        return GgufHeader(values, lengths, tuple(self._tensor() for _ in range(n_tensors)))

    def _tensor(self) -> Tensor:
        name = self._text()
        n_sizes = self._number("I")
        if n_sizes > 4:
            raise _DamagedError(f"the tensor {shortened(name)!r} has {n_sizes} sizes")
        sizes = tuple(self._number("Q") for _ in range(n_sizes))
        kind = self._number("I")
        self._number("Q")
        return Tensor(name, sizes, kind)

    def _value(self, kind: int) -> Value | _Long:
        if kind == _STRING:
            return self._text()
        if kind == _ARRAY:
            return self._array(self._number("I"))
        return self._scalars(kind, 1)[0]

    def _array(self, kind: int) -> Value | _Long:
        n = self._count(self._items_left, "items of arrays", 8 if kind == _STRING else 1)
        self._items_left -= n
        if kind == _STRING:
            for _ in range(n):
                self._skip(self._number("Q"))
            return _Long(n)
        if n <= _KEPT_ITEMS:
            return self._scalars(kind, n)
        self._skip(n * struct.calcsize(self._code(kind)))
        return _Long(n)

    def _scalars(self, kind: int, n: int) -> tuple[float, ...]:
        code = self._code(kind)
        return struct.unpack(f"<{n}{code}", self._take(n * struct.calcsize(code)))

    def _code(self, kind: int) -> str:
        if kind not in _SCALARS:
            raise _DamagedError(f"no value has the type {kind}")
        return _SCALARS[kind]

    def _count(self, most: int, of: str, least_bytes: int) -> int:
        n = self._number("Q")
        if n > most:
            raise _DamagedError(f"it says that it has {n} {of}, of which a model has {most} at most")
        if n * least_bytes > self._left:
            raise _DamagedError(f"it says that it has {n} {of}, for which the file is too short")
        return n

    def _number(self, code: str) -> int:
        (found,) = struct.unpack(f"<{code}", self._take(struct.calcsize(f"<{code}")))
        return int(found)

    def _text(self) -> str:
        n = self._number("Q")
        if n > LONGEST_TEXT:
            raise _DamagedError(f"a text of {n} bytes")
        return self._take(n).decode("utf-8", "replace")

    def _take(self, n: int) -> bytes:
        self._spend(n)
        data = self._file.read(n)
        if len(data) < n:  # it was cut while it was read
            raise _DamagedError("the file ends within it")
        return data

    def _skip(self, n: int) -> None:
        self._spend(n)
        self._file.seek(n, os.SEEK_CUR)

    def _spend(self, n: int) -> None:
        self._left -= n
        if self._left < 0:
            raise _DamagedError("the file ends within it")


class _Long(NamedTuple):
    """An array that is not kept."""

    n: int


def quick_header_check(path: Path) -> None:
    """Raise ModelError, with the reason and the next step, unless `path` begins like a GGUF file."""
    start = _start_of(path)
    if not start:
        raise ModelError(f"{path}: the file is empty: download it again", file=path)
    if start[:4] != b"GGUF":
        raise ModelError(f"{path}: {_what_it_is(start)}", file=path)
    if len(start) < HEADER_BYTES:
        raise ModelError(f"{path}: the file ends within its header ({len(start)} bytes): download it again", file=path)
    _check_version(path, start[4:8])


def _start_of(path: Path) -> bytes:
    try:
        if path.is_dir():
            raise ModelError(f"{path}: this is a folder: name the .gguf file in it", file=path)
        if path.exists() and not path.is_file():
            raise ModelError(f"{path}: this is not a regular file", file=path)
        with path.open("rb") as file:
            return file.read(32)
    except FileNotFoundError:
        raise ModelError(f"{path}: there is no such file{_neighbours(path)}", file=path) from None
    except OSError as error:
        raise ModelError(f"{path}: the file cannot be read: {error.strerror}", file=path) from error


def _neighbours(path: Path) -> str:
    """The GGUF files in the same folder, for a message."""
    names = sorted(file.name for file in path.parent.glob("*.gguf"))
    return f"; {path.parent} has {', '.join(names[:10])}" if names else ""


def _what_it_is(start: bytes) -> str:
    for beginning, what in _OTHER_FORMATS.items():
        if start.lower().startswith(beginning.lower()):
            return what
    return f"is not a GGUF file: it begins with {start[:4]!r}, not with b'GGUF'"


def _check_version(path: Path, stored: bytes) -> None:
    version = int.from_bytes(stored, "little")
    if version in SUPPORTED_VERSIONS:
        return
    if int.from_bytes(stored, "big") in SUPPORTED_VERSIONS:
        raise ModelError(f"{path}: is a GGUF file for big-endian machines: download the little-endian one", file=path)
    newer = version > max(SUPPORTED_VERSIONS)
    step = "update llama-cpp-python" if newer else "convert or download the model again"
    raise ModelError(f"{path}: GGUF version {version} is not supported (2 and 3 are): {step}", file=path)
