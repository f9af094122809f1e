"""Does a text mention an agent: whole words, any case, occurrences that do not overlap."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple


class Mentions(NamedTuple):
    """How often an agent is mentioned, and at which character first (None: never)."""

    count: int
    first: int | None


def mention_pattern(phrases: Sequence[str]) -> re.Pattern[str]:
    """Matches any of an agent's phrases; the longest wins where two begin at the same character."""
    longest_first = sorted(phrases, key=len, reverse=True)
    return re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, longest_first))})(?!\w)", re.IGNORECASE)


def find_mentions(pattern: re.Pattern[str], text: str) -> Mentions:
    """Count the mentions in a text."""
    starts = [match.start() for match in pattern.finditer(text)]
    return Mentions(len(starts), starts[0] if starts else None)
