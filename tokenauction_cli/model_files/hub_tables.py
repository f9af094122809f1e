"""A table of a data set on the hub: `hf:datasets/user/name/file.parquet@revision` -> a file on this machine.

A file in the hub's cache is used as it is, without the network.
"""

from __future__ import annotations

import re
from pathlib import Path

from ..system.errors import ModelError
from . import hub
from .models import sha256_of

_TABLE = re.compile(
    r"hf:datasets/(?P<repository>[\w.-]+/[\w.-]+)/(?P<file>[^@]+)(?:@(?P<revision>[\w./-]+))?", re.ASCII
)


def located_table(text: str) -> Path:
    """The file that a reference names, downloaded and checked if need be. Raises ModelError."""
    match = _TABLE.fullmatch(text)
    if match is None:
        raise ModelError(f"{text!r} is no table on the hub: write hf:datasets/user/name/file.parquet@revision")
    repository, file, revision = match["repository"], match["file"], match["revision"]
    cached = hub.cached_table(repository, file, revision)
    if cached is not None:
        return cached
    if hub.is_offline():
        raise ModelError(f"{text}: not on this machine, and HF_HUB_OFFLINE is set: unset it to download")
    path = hub.fetch_table(repository, file, revision)
    if hub.stated_sha256(path) not in (None, sha256_of(path)):
        hub.forget(path)
        raise ModelError(f"{text}: the file was damaged on its way: download it again")
    return path
