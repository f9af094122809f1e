"""The first bytes of a GGUF file: enough to say what is wrong with a file before llama.cpp reads it.

    magic "GGUF" | version uint32 | number of tensors int64 | number of metadata pairs int64

It does not know the metadata or the tensors: whether the file is whole is for llama.cpp to say.
"""

from __future__ import annotations

from pathlib import Path

from ..system.errors import ModelError

HEADER_BYTES = 24
SUPPORTED_VERSIONS = (2, 3)  # those llama.cpp reads

_OTHER_FORMATS = {
    b"version https://git-lfs": "is a Git LFS pointer, not the model: run `git lfs pull` in its repository",
    b"ggjt"[::-1]: "is in the old GGML format: convert it to GGUF, or download a GGUF file of this model",
    b"ggml"[::-1]: "is in the old GGML format: convert it to GGUF, or download a GGUF file of this model",
    b"ggmf"[::-1]: "is in the old GGML format: convert it to GGUF, or download a GGUF file of this model",
    b"PK\x03\x04": "is a ZIP archive or a PyTorch file: a GGUF file is needed",
    b"<!doctype html": "is a web page: download the file itself, not the page that shows it",
    b"<html": "is a web page: download the file itself, not the page that shows it",
}


def quick_header_check(path: Path) -> None:
    """Raise ModelError, with the reason and the next step, unless `path` begins like a GGUF file."""
    start = _start_of(path)
    if not start:
        raise ModelError(f"{path}: the file is empty: download it again")
    if start[:4] != b"GGUF":
        raise ModelError(f"{path}: {_what_it_is(start)}")
    if len(start) < HEADER_BYTES:
        raise ModelError(f"{path}: the file ends within its header ({len(start)} bytes): download it again")
    _check_version(path, start[4:8])


def _start_of(path: Path) -> bytes:
    try:
        if path.is_dir():
            raise ModelError(f"{path}: this is a folder: name the .gguf file in it")
        if path.exists() and not path.is_file():
            raise ModelError(f"{path}: this is not a regular file")
        with path.open("rb") as file:
            return file.read(32)
    except FileNotFoundError:
        raise ModelError(f"{path}: there is no such file{_neighbours(path)}") from None
    except OSError as error:
        raise ModelError(f"{path}: the file cannot be read: {error.strerror}") from error


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
        raise ModelError(f"{path}: is a GGUF file for big-endian machines: download the little-endian one")
    newer = version > max(SUPPORTED_VERSIONS)
    step = "update llama-cpp-python" if newer else "convert or download the model again"
    raise ModelError(f"{path}: GGUF version {version} is not supported (2 and 3 are): {step}")
