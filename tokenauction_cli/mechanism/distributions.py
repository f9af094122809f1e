"""Distributions over the next token at one prefix.

A `Profile` is p = (p_1, ..., p_n), one distribution per agent; a `Distribution` is what a rule makes of it.
Both hold probabilities and logarithms of probabilities in float64 and derive the one from the other when asked.
Whatever is worked out once per prefix and shared by many bids and seeds is kept on the profile (`Profile.once`).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from functools import cached_property, lru_cache
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from .cumulative import Array as Array
from .cumulative import block_sums, quantile

T = TypeVar("T")

SUM_TOLERANCE = 1e-6


class MechanismError(ValueError):
    """The mechanism is undefined for these bids and distributions; the message says why."""


def log_normalize(scores: ArrayLike) -> Array:
    """log softmax along the last axis: x - log sum exp x, shape kept, -inf allowed.

    Stable for scores of +-1e4 and 262 144 tokens. Raises MechanismError where no score is finite or one is NaN or +inf.
    """
    return softmax(scores)["log_p"]


def softmax(scores: ArrayLike) -> dict[str, Array]:
    """`p` and `log_p` of the softmax along the last axis, from one exponential. As `log_normalize` otherwise."""
    x = np.asarray(scores, dtype=np.float64)
    top = x.max(axis=-1, keepdims=True)
    if not np.isfinite(top).all():
        raise MechanismError("a distribution needs at least one finite score and no NaN or +inf")
    x = np.asarray(x - top, dtype=np.float64)
    p = np.exp(x)
    total = p.sum(axis=-1, keepdims=True)
    p /= total
    x -= np.log(total)
    return {"p": p, "log_p": x}


def log_of(p: Array) -> Array:
    """log p, with log 0 = -inf and no warning."""
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(p))


def mixed(weights: Array, rows: Array) -> Array:
    """sum_i w_i rows_i, (V,), from (n,) and (n, V).

    Like `expectation` without BLAS: its threads fight with llama.cpp's, and the last digits depend on their number.
    """
    return np.asarray(np.einsum("i,it->t", weights, rows))


def expectation(p: Array, values: Array) -> Array:
    """sum_t p_t values_t for one p, (V,), or for each row of p, (n, V)."""
    with np.errstate(invalid="ignore"):
        return np.asarray(np.einsum("...t,t->...", p, values))


class _Probabilities:
    """float64 `p` or `log_p`, whichever is given: the other, and the block sums, are worked out when asked for."""

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
        return log_of(self.p)

    @cached_property
    def blocks(self) -> Array:
        """Sums of p over blocks of tokens, by which draws find theirs: see `cumulative.py`."""
        return block_sums(self.p)


class Distribution(_Probabilities):
    """One distribution over V tokens, given as probabilities `p` or as `log_p`, each (V,) float64, sum 1."""

    @cached_property
    def mode(self) -> int:
        """The most probable token, of equal ones the lowest id."""
        return int(np.argmax(self.p))

    def at(self, token: int) -> float:
        """The probability of one token."""
        return float(self.p[token])

    def log_at(self, token: int) -> float:
        """The log-probability of one token."""
        return float(self.log_p[token])

    def quantile(self, u: float) -> int:
        """The first token whose cumulative sum exceeds u times the total, 0 <= u < 1; never one of probability 0."""
        return quantile(self.p, self.blocks, u)


class AgentDistribution(Distribution):
    """Agent i's own distribution: the i-th row of what its profile holds."""

    def __init__(self, profile: Profile, index: int) -> None:
        self._profile = profile
        self.index = index

    @cached_property
    def p(self) -> Array:
        return np.asarray(self._profile.p[self.index])

    @cached_property
    def log_p(self) -> Array:
        return np.asarray(self._profile.log_p[self.index])

    @cached_property
    def blocks(self) -> Array:
        return np.asarray(self._profile.blocks[self.index])


class Mixture(Distribution):
    """sum_i w_i p_i for weights (n,) of sum 1. `at` and `quantile` make no pass over the tokens."""

    def __init__(self, profile: Profile, weights: Array) -> None:
        self._profile = profile
        self.weights = weights
        self._present = [(float(weights[i]), int(i)) for i in np.flatnonzero(weights)]

    @cached_property
    def p(self) -> Array:
        return mixed(self.weights, self._profile.p)

    @cached_property
    def log_p(self) -> Array:
        """log sum_i w_i p_i; where every p_i underflows to 0, from the log p_i: -inf only where it must be."""
        log_q = log_of(self.p)
        lost = np.flatnonzero(self.p == 0)
        for w, i in self._present if lost.size else []:
            log_q[lost] = np.logaddexp(log_q[lost], np.log(w) + self._profile.log_p[i, lost])
        return log_q

    def at(self, token: int) -> float:
        p = self._profile.p
        return sum(w * p.item(i, token) for w, i in self._present)

    def log_at(self, token: int) -> float:
        q = self.at(token)
        return float(np.log(q)) if q > 0 else float(self.log_p[token])

    @cached_property
    def blocks(self) -> Array:
        return mixed(self.weights, self._profile.blocks)

    def quantile(self, u: float) -> int:
        """From the agents' shared block sums: one block of tokens is mixed, not all of them."""
        return quantile(lambda tokens: mixed(self.weights, self._profile.p[:, tokens]), self.blocks, u)


class LogMixture(Distribution):
    """prod_i p_i^(w_i) / Z, from scores sum_i w_i log p_i, (V,), with a finite maximum; `log_z` is log Z."""

    def __init__(self, weights: Array, scores: Array) -> None:
        super().__init__(**softmax(scores))
        self.weights = weights
        top = int(np.argmax(scores))
        self.log_z = float(scores[top] - self.log_p[top])


class Profile(_Probabilities):
    """The agents' distributions at one prefix: `p` and `log_p` of shape (n, V), rows in the agents' order."""

    def __init__(self, *, p: Array | None = None, log_p: Array | None = None) -> None:
        super().__init__(p=p, log_p=log_p)
        self._kept: dict[Hashable, Any] = {}

    @classmethod
    def of(cls, p: ArrayLike) -> Profile:
        """A profile from explicit probabilities, (n, V), for table agents, tests and audits; rows are scaled to sum 1.

        Raises MechanismError, naming the row, for a negative or NaN entry and a sum further than 1e-6 from 1.
        """
        rows = np.array(p, dtype=np.float64)
        if rows.ndim != 2 or rows.shape[1] == 0:
            raise MechanismError(f"a profile needs one row of probabilities per agent, got the shape {rows.shape}")
        for i, row in enumerate(rows):
            if not (np.isfinite(row).all() and (row >= 0).all()):
                raise MechanismError(f"row {i}: probabilities must be finite numbers of at least 0")
            if abs(row.sum() - 1) > SUM_TOLERANCE:
                raise MechanismError(f"row {i}: probabilities must sum to 1, got {row.sum():.9g}")
        return cls(p=rows / rows.sum(axis=1, keepdims=True))

    @classmethod
    def from_logits(cls, logits: Sequence[ArrayLike], temperatures: Sequence[float]) -> Profile:
        """p_i = softmax(logits_i / temperature_i), n rows of V logits (float32 or float64)."""
        rows = np.stack([np.asarray(row, dtype=np.float64) for row in logits])
        rows /= np.asarray(temperatures, dtype=np.float64)[:, None]
        return cls(**softmax(rows))

    @property
    def n_agents(self) -> int:
        return int(self._rows.shape[0])

    @property
    def n_tokens(self) -> int:
        return int(self._rows.shape[1])

    @property
    def _rows(self) -> Array:
        rows = self.__dict__.get("p", self.__dict__.get("log_p"))
        assert rows is not None
        return np.asarray(rows)

    def agent(self, i: int) -> Distribution:
        """Agent i's own distribution."""
        return self.once(("agent", i), lambda: AgentDistribution(self, i))

    def once(self, key: Hashable, compute: Callable[[], T]) -> T:
        """compute(), worked out the first time this key is asked for and kept as long as the profile."""
        if key not in self._kept:
            self._kept[key] = compute()
        kept: T = self._kept[key]
        return kept


def checked_bids(bids: ArrayLike) -> Array:
    """Bids as float64, (n,), not to be written to. Raises MechanismError for negative, infinite or NaN bids."""
    return _checked(_key(bids))


def weights_of(bids: ArrayLike) -> Array:
    """Relative weights b_i / B, (n,), not to be written to.

    Raises MechanismError for bad bids, for B = 0 and for a B that overflows.
    """
    return _weights(_key(bids))


def _key(bids: ArrayLike) -> tuple[float, ...]:
    return bids if isinstance(bids, tuple) else tuple(np.asarray(bids, dtype=np.float64).tolist())


@lru_cache(maxsize=4096)  # a sweep asks for the same few bids at every token
def _checked(bids: tuple[float, ...]) -> Array:
    b = np.array(bids, dtype=np.float64)
    if not np.isfinite(b).all() or (b < 0).any():
        raise MechanismError(f"bids must be finite numbers of at least 0, got {b.tolist()}")
    b.flags.writeable = False
    return b


@lru_cache(maxsize=4096)
def _weights(bids: tuple[float, ...]) -> Array:
    b = _checked(bids)
    with np.errstate(over="ignore"):
        total = b.sum()
    if total <= 0:
        raise MechanismError("all bids are zero: the aggregate distribution is undefined")
    if not np.isfinite(total):
        raise MechanismError(f"the sum of the bids must be a finite number, got {b.tolist()}")
    weights = np.asarray(b / total)
    weights.flags.writeable = False
    return weights
