"""How far a long piece of work is: whoever does it says so, and somebody may hear it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from typing import TypeVar

Thing = TypeVar("Thing")

Hear = Callable[[str, int, int], None]
"""Hears what is worked through, how many of them are done, and how many there are."""


def unheard(what: str, done: int, of: int) -> None:
    """Nobody listens."""


def heard(things: Iterable[Thing], what: str, of: int, hear: Hear) -> Iterator[Thing]:
    """The things, of which there are `of`; each counts as done when the next one is asked for.

    >>> list(heard("ab", "letters", 2, print))
    letters 0 2
    letters 1 2
    letters 2 2
    ['a', 'b']
    """
    hear(what, 0, of)
    for k, thing in enumerate(things, 1):
        yield thing
        hear(what, k, of)


def time_left(seconds: float, share: float) -> str:
    """The time left, about, after so many seconds of a share of the work; '' before anything is done."""
    if share <= 0:
        return ""
    return f"about {timedelta(seconds=round(seconds * (1 - share) / share))} left"


def step_in_words(what: str, done: int, of: int, seconds: float) -> str:
    """How far a piece of work is after so many seconds, and how long it takes yet."""
    left = time_left(seconds, done / of) if 0 < done < of else ""
    return ", ".join(filter(None, (f"{what}: {done:,} of {of:,}", left)))
