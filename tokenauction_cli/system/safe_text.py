"""Text that is safe to print and to send: no control characters, no tokens of the hub."""

from __future__ import annotations

import os
import re

_SECRET = re.compile(r"hf_\w+|(?<=Bearer )[^\s'\"]+|(?<=://)[^/\s@]+@")
_TOKEN_VARIABLES = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
_SHORTEST_SECRET = 6
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def visible(text: str) -> str:
    """Text that is safe on a terminal: control characters and direction marks are spelled out."""
    return _CONTROL.sub(lambda match: f"\\x{ord(match.group()):02x}", text)


def without_secrets(text: str) -> str:
    """The same text with anything like a token blotted out, and with the tokens of the environment."""
    for name in _TOKEN_VARIABLES:
        secret = os.environ.get(name, "")
        if len(secret) >= _SHORTEST_SECRET:
            text = text.replace(secret, "***")
    return _SECRET.sub("***", text)
