"""Distributions over the next token at one prefix.

A `Profile` is p = (p_1, ..., p_n), one distribution per agent; a `Distribution` is what a rule makes of it.
Both hold probabilities and logarithms of probabilities in float64 and derive the one from the other when asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


class MechanismError(ValueError):
    """The mechanism is undefined for these bids and distributions; the message says why."""


def log_normalize(scores: ArrayLike) -> Array:
    """log softmax along the last axis: x - log sum exp x, shape kept, -inf allowed.

    Stable for scores of +-1e4 and 262 144 tokens. Raises MechanismError where no score is finite or one is NaN or +inf.
    """
    x = np.asarray(scores, dtype=np.float64)
    top = x.max(axis=-1, keepdims=True)
    if not np.isfinite(top).all():
        raise MechanismError("a distribution needs at least one finite score and no NaN or +inf")
    x = x - top
    x -= np.log(np.exp(x).sum(axis=-1, keepdims=True))
    return x


def _log(p: Array) -> Array:
    with np.errstate(divide="ignore"):
        return np.log(p)


class Distribution:
    """One distribution over V tokens, given as probabilities `p` or as `log_p`, each (V,) float64, sum 1."""

    def __init__(self, *, p: Array | None = None, log_p: Array | None = None) -> None:
        if p is not None:
            self.p = p
        if log_p is not None:
            self.log_p = log_p

    @cached_property
    def p(self) -> Array:
        return np.exp(self.log_p)

    @cached_property
    def log_p(self) -> Array:
        return _log(self.p)

    @cached_property
    def cumulative(self) -> Array:
        """C_t = p_0 + ... + p_t, (V,)."""
        return np.cumsum(self.p)


class Profile:
    """The agents' distributions at one prefix: `p` and `log_p` of shape (n, V), rows in the agents' order."""

    def __init__(self, *, p: Array | None = None, log_p: Array | None = None) -> None:
        if p is not None:
            self.p = p
        if log_p is not None:
            self.log_p = log_p

    @classmethod
    def of(cls, p: ArrayLike) -> Profile:
        """A profile from explicit probabilities, (n, V): for tests, audits and table agents."""
        return cls(p=np.asarray(p, dtype=np.float64))

    @classmethod
    def from_logits(cls, logits: Sequence[ArrayLike], temperatures: Sequence[float]) -> Profile:
        """p_i = softmax(logits_i / temperature_i), n rows of V logits (float32 or float64)."""
        rows = np.stack([np.asarray(row, dtype=np.float64) for row in logits])
        rows /= np.asarray(temperatures, dtype=np.float64)[:, None]
        return cls(log_p=log_normalize(rows))

    @cached_property
    def p(self) -> Array:
        return np.exp(self.log_p)

    @cached_property
    def log_p(self) -> Array:
        return _log(self.p)

    @cached_property
    def cumulative(self) -> Array:
        """Cumulative sums of every agent's distribution, (n, V): linear draws of every weight share them."""
        return np.cumsum(self.p, axis=1)

    @property
    def n_agents(self) -> int:
        rows = self.__dict__.get("p", self.__dict__.get("log_p"))
        assert rows is not None
        return int(rows.shape[0])

    def agent(self, i: int) -> Distribution:
        """Agent i's own distribution."""
        known = {name: self.__dict__[name][i] for name in ("p", "log_p", "cumulative") if name in self.__dict__}
        alone = Distribution()
        alone.__dict__.update(known)
        return alone


def weights_of(bids: ArrayLike) -> Array:
    """Relative weights b_i / B, (n,). Raises MechanismError for negative, infinite or NaN bids and for B = 0."""
    b = np.asarray(bids, dtype=np.float64)
    if not np.isfinite(b).all() or (b < 0).any():
        raise MechanismError(f"bids must be finite numbers of at least 0, got {b.tolist()}")
    total = b.sum()
    if total <= 0:
        raise MechanismError("all bids are zero: the aggregate distribution is undefined")
    if not np.isfinite(total):  # the sum of two huge bids overflows although each is finite
        return weights_of(b / b.max())
    return np.asarray(b / total)
