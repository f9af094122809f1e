"""Auctions of whole texts in which the next distributions depend on the last token alone: enumerated, and drawn.

Agent 1 is swept, its rival bids 1; linear, expected second price, `stable` sampling with common seeds over bids.
Example A and model M3 are the cases whose gains are known to many digits.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tokenauction_cli.mechanism.payments.second_price import mean_price

Array = NDArray[np.float64]

VALUE = 1.0
BRAND = 0  # the token that agent 1 advertises
DEVIATIONS = (0.0, 0.125, 0.25, 0.5, 0.75, 1.5, 2.0, 4.0)


class Drawn(NamedTuple):
    """Texts of several bids with common seeds: tokens, (bids, n, length), and agent 1's utility, (bids, n)."""

    tokens: NDArray[np.int64]
    utility: Array


@dataclass(frozen=True)
class Chain:
    """Two agents; `p` and `others` (1 + V, V): the first token's distribution, then those after each token."""

    p: Array
    others: Array
    length: int

    @classmethod
    def of(cls, p: ArrayLike, others: ArrayLike, length: int) -> Chain:
        return cls(np.array(p, dtype=np.float64), np.array(others, dtype=np.float64), length)

    @property
    def distance(self) -> Array:
        """D after each token."""
        return np.abs(self.p - self.others).sum(axis=1) / 2

    def q(self, bid: float) -> Array:
        return (bid * self.p + self.others) / (bid + 1)

    def per_draw(self, kind: str, bid: float) -> Array:
        """What a draw after each token brings at this bid: -TV where that is the utility, less the expected payment."""
        tv = np.abs(self.p - self.q(bid)).sum(axis=1) / 2
        return -VALUE * tv * (kind == "tv") - self.distance * mean_price(bid, 1.0)

    def mean_utility(self, kind: str, bid: float) -> float:
        """Exact: every text with its probability."""
        q, brought = self.q(bid), self.per_draw(kind, bid)
        total = 0.0
        for text in itertools.product(range(self.p.shape[1]), repeat=self.length):
            after = [0, *(1 + token for token in text[:-1])]
            total += q[after, text].prod() * (brought[after].sum() + float(terminal(kind, np.array(text))))
        return total

    def gains(self, kind: str) -> Array:
        """Exact gains over truth of all deviations."""
        truth = self.mean_utility(kind, VALUE)
        return np.array([self.mean_utility(kind, bid) - truth for bid in DEVIATIONS])

    def draw(self, kind: str, n_texts: int, seed: int, bids: tuple[float, ...] = (VALUE, *DEVIATIONS)) -> Drawn:
        """Texts by stable sampling: t0 from o, t1 from (p - o)^+ / D, switched above w* = u o_t0 / (o_t0 - p_t0)."""
        u = np.random.default_rng(seed).random((3, self.length, n_texts))
        found = [self._draw_at(kind, bid, u) for bid in bids]
        return Drawn(np.stack([tokens for tokens, _ in found]), np.stack([utility for _, utility in found]))

    def _draw_at(self, kind: str, bid: float, u: Array) -> tuple[NDArray[np.int64], Array]:
        brought, after, utility = self.per_draw(kind, bid), np.zeros(u.shape[2], dtype=np.int64), np.zeros(u.shape[2])
        tokens = []
        for below, above, at in u.swapaxes(0, 1):
            utility += brought[after]
            tokens.append(self._token(after, below, above, at, bid / (bid + 1)))
            after = 1 + tokens[-1]
        texts = np.stack(tokens, axis=1)
        return texts, utility + terminal(kind, texts)

    def _token(self, after: NDArray[np.int64], u0: Array, u1: Array, u2: Array, weight: float) -> NDArray[np.int64]:
        rising = np.maximum(self.p - self.others, 0.0)
        t0, t1 = quantile(self.others[after], u0), quantile(rising[after], u1)
        o, fall = self.others[after, t0], (self.others - self.p)[after, t0]
        return np.where(weight * fall > u2 * o, t1, t0)


def quantile(masses: Array, u: Array) -> NDArray[np.int64]:
    """The token at u of each row of masses, (n, V), which need not sum to 1."""
    cumulative = masses.cumsum(axis=1)
    passed = (cumulative <= u[:, None] * cumulative[:, -1:]).sum(axis=1)
    return np.minimum(passed, masses.shape[1] - 1).astype(np.int64)


def terminal(kind: str, texts: NDArray[np.int64]) -> Array:
    """What a finished text is worth: (..., length) to (...)."""
    count = (texts == BRAND).sum(axis=-1)
    return VALUE * {"tv": 0 * count, "count": count, "mention": count > 0}[kind]


EXAMPLE_A = Chain.of([[1, 0]] * 3, [[0, 1], [1, 0], [0, 1]], 2)
M3 = Chain.of(
    [[0.7, 0.2, 0.1], [0.5, 0.4, 0.1], [0.8, 0.1, 0.1], [0.2, 0.2, 0.6]],
    [[0.1, 0.6, 0.3], [0.2, 0.2, 0.6], [0.3, 0.6, 0.1], [0.1, 0.1, 0.8]],
    3,
)
