"""How soon a text of a form can end: found by a search; for regular expressions, proved impossible below a length."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ...system.errors import CellError
from ..base import Vocabulary
from .constraint import Constraint
from .form import Form

MOST_ASKED = 20_000  # prefixes: a second's work over bytes


def shortest(form: Form, most_tokens: int) -> tuple[int, ...] | None:
    """A text of at most so many tokens, about the shortest; None where the search finds none.

    Level by level; of the prefixes of a level after which the same tokens are allowed one is followed.
    """
    ends = sorted(form.vocabulary.ends)
    level: list[tuple[int, ...]] = [()]
    n_asked = 0
    for _ in range(most_tokens + 1):
        followed: dict[bytes, list[tuple[int, ...]]] = {}
        for prefix in level:
            n_asked += 1
            try:
                allowed = form.allowed(prefix)
            except CellError:  # of a vocabulary that cannot spell the rest
                continue
            if allowed[ends].any():
                return prefix
            key = allowed.tobytes()
            if key not in followed:
                followed[key] = [(*prefix, token) for token in np.flatnonzero(allowed).tolist()]
        level = [longer for several in followed.values() for longer in several]
        if n_asked + len(level) > MOST_ASKED:
            break
    return None


def fewest_tokens(text: bytes, pieces: Iterable[bytes]) -> int | None:
    """With how many tokens a text can be spelled at least; None where it cannot."""
    known = set(pieces) - {b""}
    longest = max(map(len, known), default=0)
    fewest: list[int | None] = [0]
    for end in range(1, len(text) + 1):
        begins = range(max(0, end - longest), end)
        ways = [fewest[k] for k in begins if text[k:end] in known]
        fewest.append(min((n + 1 for n in ways if n is not None), default=None))
    return fewest[-1]


def is_too_long(constraint: Constraint, vocabulary: Vocabulary, n_characters: int) -> bool:
    """Whether every text of the form is known to have more characters than this; False where that is not known."""
    bounded = constraint.at_most(n_characters)
    return bounded is not None and Form(bounded, vocabulary).is_empty
