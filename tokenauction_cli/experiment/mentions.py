"""Does a text mention an agent, or blend two of them: whole words, any case, occurrences that do not overlap."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import permutations
from typing import NamedTuple


class Mentions(NamedTuple):
    """How often an agent is mentioned, and at which character first (None: never)."""

    count: int  # type: ignore[assignment]  # hides tuple.count, which nobody needs here
    first: int | None


def mention_pattern(phrases: Sequence[str]) -> re.Pattern[str]:
    """Matches any of an agent's phrases; the longest wins where two begin at the same character."""
    longest_first = sorted(phrases, key=len, reverse=True)
    return re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, longest_first))})(?!\w)", re.IGNORECASE)


def find_mentions(pattern: re.Pattern[str], text: str) -> Mentions:
    """Count the mentions in a text."""
    starts = [match.start() for match in pattern.finditer(text)]
    return Mentions(len(starts), starts[0] if starts else None)


def blend_pattern(phrases_of_agents: Sequence[Sequence[str]]) -> re.Pattern[str]:
    """Matches blends of two agents: the first words of one's phrase and the last of another's, as in "Alpha Resort".

    A blend that is itself a phrase of some agent is none; without any blend the pattern matches nothing.
    """
    own = {phrase.casefold() for phrases in phrases_of_agents for phrase in phrases}
    blends = {
        f"{beginning} {ending}"
        for first, second in permutations(phrases_of_agents, 2)
        for beginning in _parts(first, slice(None, -1))
        for ending in _parts(second, slice(1, None))
    }
    new = [blend for blend in sorted(blends) if blend.casefold() not in own]
    return mention_pattern(new) if new else re.compile(r"(?!)")


def _parts(phrases: Sequence[str], kept: slice) -> list[str]:
    """Each phrase of several words without its last, or its first, word."""
    return [" ".join(words[kept]) for phrase in phrases if len(words := phrase.split()) > 1]
