"""The C sources of the passes and the library made of them, for who builds it (`build_passes.py`) and who loads it."""

from __future__ import annotations

import hashlib
from pathlib import Path

SOURCES = ("passes.c", "rivals.c", "philox.c", "truncation.c")
HEADERS = ("blocks.h", "exponential.h", "passes.h")
LIBRARY = "passes.so"


def digest(folder: Path) -> str:
    """Tells these sources from any others: a library carries that of the ones it was made of."""
    return hashlib.sha256(b"".join((folder / name).read_bytes() for name in (*SOURCES, *HEADERS))).hexdigest()[:16]
