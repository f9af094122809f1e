"""What sentences are built of: counts with their nouns, lists, capitals. It knows not what is spoken of."""

from __future__ import annotations

from collections.abc import Iterable


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
