"""Do two sequences of tokens make one text? The test of Sardinas and Patterson, with the sequences."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Collection, Iterator
from itertools import takewhile
from typing import NamedTuple


class _Race(NamedTuple):
    """Two sequences that agree as far as the shorter goes; `rest` is what the longer has beyond that."""

    rest: str
    longer: tuple[str, ...]
    shorter: tuple[str, ...]


def one_text_of_two(tokens: Collection[str], separator: str) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    """Two sequences of these tokens that are one text when the separator stands between tokens; None where no two are.

    Tokens are not empty. A shortest text is found, up to one token.

    >>> one_text_of_two(["ab", "c", "a", "bc"], "")
    (('a', 'bc'), ('ab', 'c'))
    >>> one_text_of_two(["ab", "c", "a", "bc"], "-") is None
    True
    """
    closed = {token + separator: token for token in tokens}  # a separator at the end, too: a text is a chain of these
    ordered = sorted(closed)
    waiting = deque(
        _Race(long[len(short) :], (closed[long],), (closed[short],))
        for short in ordered
        for long in _longer(ordered, short)
    )
    seen = {race.rest for race in waiting}
    while waiting:
        race = waiting.popleft()
        if race.rest in closed:
            return race.longer, (*race.shorter, closed[race.rest])
        for following in _following(race, closed, ordered):
            if following.rest not in seen:
                seen.add(following.rest)
                waiting.append(following)
    return None


def _following(race: _Race, closed: dict[str, str], ordered: list[str]) -> Iterator[_Race]:
    """The shorter goes on with one more token: it stays within the rest, or becomes the longer."""
    for end in range(1, len(race.rest)):
        if (token := closed.get(race.rest[:end])) is not None:
            yield _Race(race.rest[end:], race.longer, (*race.shorter, token))
    for long in _longer(ordered, race.rest):
        yield _Race(long[len(race.rest) :], (*race.shorter, closed[long]), race.longer)


def _longer(ordered: list[str], beginning: str) -> Iterator[str]:
    """Those that begin with this and go on."""
    following = (ordered[k] for k in range(bisect_left(ordered, beginning), len(ordered)))
    return (one for one in takewhile(lambda one: one.startswith(beginning), following) if one != beginning)
