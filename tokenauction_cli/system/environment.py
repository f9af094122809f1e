"""The environment of a process: the user's cache folder, the versions of what is installed."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from pathlib import Path


def versions(packages: Iterable[str] = ("llama-cpp-python", "numpy", "pandas", "pydantic")) -> dict[str, str]:
    """Python's version and those of the installed ones among these packages."""
    from importlib.metadata import PackageNotFoundError, version

    found = {"python": platform.python_version()}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def cache_folder() -> Path:
    """The cache folder of this program: TOKAUCTION_CACHE, else XDG_CACHE_HOME/tokauction, else ~/.cache/tokauction."""
    if own := os.environ.get("TOKAUCTION_CACHE"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")) / "tokauction"
