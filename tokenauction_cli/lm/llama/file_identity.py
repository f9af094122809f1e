"""A name for a model's very file, under which what was found out about it is remembered in the user's cache folder."""

from __future__ import annotations

import hashlib
from pathlib import Path

from ...system.processors import processor_identity
from . import libraries


def identity(path: Path, *settings: object) -> str:
    """Of this file as it is now, with these libraries, this processor and these settings."""
    status = path.stat()
    file = str(path.resolve()), status.st_size, status.st_mtime_ns
    everything = (*file, sorted(libraries.digests().items()), processor_identity(), *settings)
    return hashlib.sha256(repr(everything).encode("utf-8", "surrogatepass")).hexdigest()[:32]
