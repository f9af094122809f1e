"""What sentences are built of: counts with nouns, lists, capitals, names that may be meant. It knows not of what."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

MAX_LISTED = 10  # names in a message


def counted(n: int, noun: str, thousands: str = "") -> str:
    """As in 1 seed, 2 seeds, 3 prefixes; `thousands` stands after each thousand."""
    plural = "" if n == 1 else "es" if noun.endswith("x") else "s"
    return f"{n:,} {noun}{plural}".replace(",", thousands)


def listed(parts: Iterable[str]) -> str:
    """As in a, b and c; nothing where there are none."""
    *most, last = list(parts) or [""]
    return f"{', '.join(most)} and {last}" if most else last


def sentence(words: str) -> str:
    """The words with a capital in front and a full stop behind."""
    return f"{words[0].upper()}{words[1:]}."


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """'; did you mean ...?' with the nearest of the known names, or nothing where none is near."""
    by_lower = {item.lower(): item for item in known}
    near = difflib.get_close_matches(name[:100].lower(), by_lower, 1, cutoff=0.5)
    return f"; did you mean {by_lower[near[0]]!r}?" if near else ""


def first_few(values: Iterable[Any]) -> str:
    """Names for a message: each once, the first of many, and whether there are more."""
    several = list(dict.fromkeys(map(str, values)))
    return ", ".join(several[:MAX_LISTED]) + (", ..." if len(several) > MAX_LISTED else "")
