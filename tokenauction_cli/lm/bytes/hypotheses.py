"""The ways to spell a text with tokens, and their weights, which are logarithms and count only beside one another."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ...system.arrays import Array
from .lexicon import Branching

Context = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Closing:
    """Tokens that spell the first `start` bytes of the text; what follows them is not evaluated."""

    context: Context
    start: int
    log_w: float


@dataclass(frozen=True, slots=True, eq=False)
class Hypothesis:
    """A way to spell the text: a context, and tokens that share the bytes from `start` on."""

    context: Context
    start: int
    log_w: float
    split: Branching
    log_next: Array  # over the symbols of the split
    log_first: Array  # over the symbols with which a token begins, or END


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """What is known of a text: a function of the text, the prompt, the temperature and the knobs."""

    text: bytes
    hypotheses: tuple[Hypothesis, ...]  # the heaviest first, of weights that sum to one
    pending: tuple[Closing, ...]
    dropped: float  # the sum, over the bytes so far, of the shares that were not followed
    log_p: Array  # (257,) of the next symbol

    @property
    def is_silent(self) -> bool:
        """Whether the text cannot be spelled."""
        return not self.hypotheses

    @property
    def n_bytes(self) -> int:
        """Of memory, about."""
        held = sum(8 * len(h.context) + h.log_next.nbytes + h.log_first.nbytes + 300 for h in self.hypotheses)
        return held + sum(8 * len(c.context) + 150 for c in self.pending) + self.log_p.nbytes + len(self.text)


def silenced(state: State, byte: int) -> State:
    """The state after a byte with which no token goes on: nothing follows."""
    log_p = np.full_like(state.log_p, -math.inf)
    log_p.flags.writeable = False
    return State(state.text + bytes([byte]), (), (), state.dropped, log_p)


def merged(ordered: Sequence[Closing], log_least: float) -> tuple[list[Closing], float]:
    """The heaviest closing with the weight of all that is not above the least, and the others; and that weight.

    `ordered`: the heaviest first.
    """
    heaviest, *others = ordered
    log_merged = log_sum([closing for closing in others if closing.log_w <= log_least])
    kept = [closing for closing in others if closing.log_w > log_least]
    return [replace(heaviest, log_w=float(np.logaddexp(heaviest.log_w, log_merged))), *kept], log_merged


def later(pending: list[Closing], live: Sequence[Closing | Hypothesis]) -> list[Closing]:
    """Those that something live can still die behind: nothing returns where all that lives began as late."""
    earliest = min((item.start for item in live), default=-1)
    return [closing for closing in pending if closing.start > earliest]


def lightness(item: Closing | Hypothesis) -> float:
    """Sorts the heaviest first."""
    return -item.log_w


def log_sum(items: Sequence[Closing | Hypothesis]) -> float:
    """Log of the sum of the weights."""
    top = max((item.log_w for item in items), default=-math.inf)
    if top == -math.inf:
        return top
    return top + math.log(math.fsum(math.exp(item.log_w - top) for item in items))
