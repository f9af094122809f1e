"""Which GGUF files evaluated well on this machine: remembered by path, size and time, in the user's cache folder.

A file is tried once, in a child process, because llama.cpp aborts on some broken files only when it computes. The
memory is one empty file per model; it may be deleted at any time, and a folder that cannot be written is no error.
"""

from __future__ import annotations

import hashlib
import os
from importlib.metadata import version
from pathlib import Path


def is_known(path: Path) -> bool:
    """Whether this very file has been tried with this version of llama-cpp-python."""
    return (_folder() / key(path)).exists()


def remember(path: Path) -> None:
    """It evaluated: do not try it again."""
    try:
        _folder().mkdir(parents=True, exist_ok=True)
        (_folder() / key(path)).touch()
    except OSError:
        return


def cache_folder() -> Path:
    """The cache folder of this program: TOKAUCTION_CACHE, else XDG_CACHE_HOME/tokauction, else ~/.cache/tokauction."""
    if own := os.environ.get("TOKAUCTION_CACHE"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")) / "tokauction"


def key(path: Path, *more: object) -> str:
    """A file name for this very file with this version of llama-cpp-python, and whatever else matters."""
    status = path.stat()
    identity = (str(path.resolve()), status.st_size, status.st_mtime_ns, version("llama-cpp-python"), *more)
    return hashlib.sha256(repr(identity).encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _folder() -> Path:
    return cache_folder() / "tried-models"
