"""The environment of a process: the user's cache folder, the versions of what is installed."""

from __future__ import annotations

import json
import os
import platform
import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

_SECRET = re.compile(r"hf_\w+|(?<=Bearer )[^\s'\"]+|(?<=://)[^/\s@]+@")
TOKEN_VARIABLES = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
_SHORTEST_SECRET = 6
_MARKS = re.compile(  # controls, marks of direction, ends of lines, what has no width, halves of characters
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff\ufff9-\ufffb"
    r"\U000e0000-\U000e007f]"
)


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


def remember(memory: Path, found: Any = None) -> None:
    """Write down what was found out, as JSON in a file of the cache folder; one that cannot be written is no error."""
    with suppress(OSError):
        memory.parent.mkdir(parents=True, exist_ok=True)
        memory.write_text(json.dumps(found, indent=1), "utf-8")


def visible(text: str) -> str:
    """Text that is safe on a terminal: what moves it or does not show is spelled out, but tabs and new lines."""
    return _MARKS.sub(lambda match: f"\\x{ord(match.group()):02x}", text)


def on_one_line(text: str) -> str:
    """What a stranger's file says, for a message of one line: ends of lines are spelled out too."""
    return visible(text.replace("\n", "\\n"))


def shortened(text: str, most: int = 200) -> str:
    """The beginning of a text that somebody else wrote, for a message."""
    return text if len(text) <= most else f"{text[:most]}..."


def without_secrets(text: str) -> str:
    """The same text with anything like a token blotted out, and with the tokens of the environment."""
    for name in TOKEN_VARIABLES:
        secret = os.environ.get(name, "")
        if len(secret) >= _SHORTEST_SECRET:
            text = text.replace(secret, "***")
    return _SECRET.sub("***", text)
