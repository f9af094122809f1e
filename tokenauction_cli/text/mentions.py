"""Where a text mentions an agent, or blends two of them: docs/reference/mentions.md says which occurrences count."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property
from itertools import permutations
from typing import NamedTuple

from .folding import folded, places
from .scripts import may_begin, may_end


class Span(NamedTuple):
    """Where a mention begins and ends, in characters of the text as written."""

    start: int
    end: int


class Phrases:
    """Phrases that texts are searched for: an agent's, or blends.

    >>> alpha = Phrases(["Alpha", "Alpha Airlines"])
    >>> alpha.mention_spans("ALPHA AIRLINES, or Alphabet")
    [Span(start=0, end=14)]
    >>> alpha.count("Alpha's Alpha")
    2
    """

    def __init__(self, phrases: Sequence[str]) -> None:
        self._phrases = phrases

    def mention_spans(self, text: str) -> list[Span]:
        """Every mention from left to right; none overlaps the one before, and of two that begin together the longer
        counts.
        """
        searched, is_in_place = folded(text)
        found = self._found(searched)
        if is_in_place or not found:
            return found
        at = places(text)
        return [Span(at[start][0], at[end - 1][1]) for start, end in found]

    def count(self, text: str) -> int:
        """How many mentions there are."""
        return len(self.mention_spans(text))

    def _found(self, text: str) -> list[Span]:
        """In a folded text."""
        if text.isascii():
            return [Span(*match.span()) for match in self._in_ascii.finditer(text)]
        found, at = [], 0
        while match := self._any.search(text, at):
            start, longest = match.span()
            end = self._end(text, start, longest) if may_begin(text, start) else None
            found += [] if end is None else [Span(start, end)]
            at = end or start + 1
        return found

    def _end(self, text: str, start: int, longest: int) -> int | None:
        """Where the mention ends, of the phrases that are written here: the longest that is no part of a word."""
        if may_end(text, longest):
            return longest
        ends = (match.end() for phrase in self._each if (match := phrase.match(text, start)))
        return next((end for end in ends if may_end(text, end)), None)

    @cached_property
    def _in_ascii(self) -> re.Pattern[str]:
        """What the edges of `scripts` are where all is ASCII, as one pattern: many times as fast."""
        return re.compile(rf"(?<!\w)(?:{self._any.pattern})(?!\w)")

    @cached_property
    def _any(self) -> re.Pattern[str]:
        """Any phrase, in a word or not; none where there is no phrase."""
        return re.compile("|".join(map(_pattern, self._folded)) or r"(?!)")

    @cached_property
    def _each(self) -> list[re.Pattern[str]]:
        return [re.compile(_pattern(phrase)) for phrase in self._folded]

    @cached_property
    def _folded(self) -> list[str]:
        """The longest first."""
        phrases = {re.sub(r"\s+", " ", folded(phrase).text) for phrase in self._phrases}
        return sorted(phrases, key=lambda one: (-len(one), one))


def _pattern(phrase: str) -> str:
    """Of a folded phrase: any run of white space equals its own."""
    return r"\s+".join(map(re.escape, phrase.split(" ")))


def blends_of(phrases_of_agents: Sequence[Sequence[str]]) -> Phrases:
    """Blends of two agents: the first words of one's phrase and the last of another's, as in "Alpha Resort".

    A blend that is itself a phrase of some agent is none.
    """
    own = {folded(phrase).text for phrases in phrases_of_agents for phrase in phrases}
    made = {
        f"{beginning} {ending}"
        for first, second in permutations(phrases_of_agents, 2)
        for beginning in _parts(first, slice(None, -1))
        for ending in _parts(second, slice(1, None))
    }
    return Phrases([blend for blend in sorted(made) if folded(blend).text not in own])


def _parts(phrases: Sequence[str], kept: slice) -> list[str]:
    """Each phrase of several words without its last, or its first, word."""
    return [" ".join(words[kept]) for phrase in phrases if len(words := phrase.split()) > 1]
