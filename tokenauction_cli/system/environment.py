"""The environment of a process: the user's cache folder, the versions of what is installed."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterable
from pathlib import Path

_SECRET = re.compile(r"hf_\w+|(?<=Bearer )[^\s'\"]+|(?<=://)[^/\s@]+@")
TOKEN_VARIABLES = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
_SHORTEST_SECRET = 6
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


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


def visible(text: str) -> str:
    """Text that is safe on a terminal: control characters and direction marks are spelled out."""
    return _CONTROL.sub(lambda match: f"\\x{ord(match.group()):02x}", text)


def without_secrets(text: str) -> str:
    """The same text with anything like a token blotted out, and with the tokens of the environment."""
    for name in TOKEN_VARIABLES:
        secret = os.environ.get(name, "")
        if len(secret) >= _SHORTEST_SECRET:
            text = text.replace(secret, "***")
    return _SECRET.sub("***", text)
