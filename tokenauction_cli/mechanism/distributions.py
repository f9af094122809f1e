"""Distributions over the next token at one prefix.

A `Profile` is p = (p_1, ..., p_n), one distribution per agent; a `Distribution` is what a rule makes of it.
Both hold probabilities and logarithms of probabilities in float64 and derive the one from the other when asked.
Whatever is worked out once per prefix and shared by many bids and seeds is kept on the profile (`Profile.once`).

Passes over all tokens are methods of the profile, here in NumPy; `compiled.py` has the same ones in C.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..system.arrays import Array as Array
from ..system.errors import DisjointError
from ..system.errors import MechanismError as MechanismError
from .cumulative import BLOCK, block_sums, quantile
from .normalised import checked_bids as checked_bids  # these also for those who take them from here
from .normalised import log_normalize as log_normalize
from .normalised import log_of as log_of
from .normalised import softmax as softmax
from .normalised import weights_of as weights_of

T = TypeVar("T")

SUM_TOLERANCE = 1e-6
LIKELY = 1 / 64
ROUNDING = 1e-12


def mixed(weights: Array, rows: Array) -> Array:
    """sum_i w_i rows_i, (V,), from (n,) and (n, V).

    Like `expectation` without BLAS: its threads fight with llama.cpp's, and the last digits depend on their number.

    >>> mixed(np.array([0.25, 0.75]), np.array([[1.0, 0.0], [0.0, 1.0]])).tolist()
    [0.25, 0.75]
    """
    return np.asarray(np.einsum("i,it->t", weights, rows))


def expectation(p: Array, values: Array) -> Array:
    """sum_t p_t values_t for one p, (V,), or for each row of p, (n, V).

    >>> float(expectation(np.array([0.25, 0.75]), np.array([2.0, 4.0])))
    3.5
    """
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
    """One distribution over V tokens, given as probabilities `p` or as `log_p`, each (V,) float64, sum 1.

    >>> q = Distribution(p=np.array([0.25, 0.75]))
    >>> q.mode, q.at(0), q.quantile(0.2)
    (1, 0.25, 0)
    """

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

    def part(self, tokens: slice | NDArray[np.intp]) -> Array:
        """The probabilities of some tokens."""
        return np.asarray(self.p[tokens])

    def clocks(self, likely: NDArray[np.intp]) -> Array:
        """What it has in each block of tokens beside the likely ones, then of each of these."""
        rates = self.part(likely)
        rest = self.blocks - np.bincount(likely // BLOCK, rates, minlength=len(self.blocks))
        rest[rest < ROUNDING * self.blocks] = 0.0
        return np.concatenate([rest, rates])

    def quantile(self, u: float) -> int:
        """The first token whose cumulative sum exceeds u times the total, 0 <= u < 1; never one of probability 0."""
        return quantile(self.part, self.blocks, u)


class Aggregate(Distribution):
    """A distribution made of a profile's own, whose divergences from them come from a few numbers kept for all tokens.

    `kls` are KL(p_i || q) and KL(q || p_i), (n,) each, where no agent rules out what another may say
    (`Profile.overlaps`); `distances` are TV(p_i, q), (n,). With X_ij = E_{p_i} log p_j, kept on the profile (d):

    q = p_k                  X_ii - X_ik                         X_kk - X_ki
    q = sum_j w_j p_j        X_ii - A_i                          sum_j w_j (A_j - X_ji)            A_i = E_{p_i} log q
    q = prod_j p_j^w_j / Z   X_ii - sum_j w_j X_ij + log Z       sum_j w_j E_j - log Z - E_i       E_i = E_q log p_i

    >>> Profile.of([[0.5, 0.5], [0.25, 0.75]]).agent(0).distances.tolist()
    [0.0, 0.25]
    """

    weights: Array
    _profile: Profile

    @cached_property
    def kls(self) -> tuple[Array, Array]:
        raise NotImplementedError

    @cached_property
    def distances(self) -> Array:
        return np.array([0.5 * np.abs(row - self.p).sum() for row in self._profile.p])


class AgentDistribution(Aggregate):
    """Agent i's own distribution: the i-th row of what its profile holds.

    >>> Profile.of([[0.5, 0.5], [0.25, 0.75]]).agent(1).p.tolist()
    [0.25, 0.75]
    """

    def __init__(self, profile: Profile, index: int) -> None:
        self._profile = profile
        self.index = index
        self.weights = np.zeros(profile.n_agents)
        self.weights[index] = 1.0

    @cached_property
    def p(self) -> Array:
        return np.asarray(self._profile.p[self.index])

    @cached_property
    def log_p(self) -> Array:
        return np.asarray(self._profile.log_p[self.index])

    @cached_property
    def blocks(self) -> Array:
        return np.asarray(self._profile.blocks[self.index])

    def log_at(self, token: int) -> float:
        return float(self._profile.log_at(token)[self.index])

    @cached_property
    def distances(self) -> Array:
        found = self._profile.rival_distances(self.weights)  # nobody else has a weight
        distances = np.zeros(self._profile.n_agents) if found is None else np.where(self.weights > 0, 0.0, found)
        for i in () if found is not None else np.flatnonzero(self.weights == 0).tolist():
            distances[i] = self._profile.rising(i, self.weights).sum()
        return distances

    @cached_property
    def kls(self) -> tuple[Array, Array]:
        return self._profile.agent_kls(self.index)


class Mixture(Aggregate):
    """sum_i w_i p_i for weights (n,) of sum 1. `at` and `quantile` make no pass over the tokens.

    >>> Mixture(Profile.of([[0.5, 0.5], [0.25, 0.75]]), np.array([0.5, 0.5])).p.tolist()
    [0.375, 0.625]
    """

    def __init__(self, profile: Profile, weights: Array) -> None:
        self._profile = profile
        self.weights = weights
        self._present = [(weight, i) for i, weight in enumerate(weights.tolist()) if weight]

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

    @cached_property
    def mode(self) -> int:
        return self._profile.mixture_mode(self)

    def at(self, token: int) -> float:
        p = self._profile.p
        return float(sum(w * p.item(i, token) for w, i in self._present))

    def log_at(self, token: int) -> float:
        q = self.at(token)
        return math.log(q) if q > 0 else float(self.log_p[token])

    @cached_property
    def blocks(self) -> Array:
        return mixed(self.weights, self._profile.blocks)

    def part(self, tokens: slice | NDArray[np.intp]) -> Array:
        return mixed(self.weights, self._profile.p[:, tokens])

    @cached_property
    def kls(self) -> tuple[Array, Array]:
        return self._profile.mixture_kls(self)


class LogMixture(Aggregate):
    """prod_i p_i^(w_i) / Z for weights (n,) of sum 1, with log Z. `Profile.log_pool` makes it.

    >>> Profile.of([[0.5, 0.5], [0.2, 0.8]]).log_pool(np.array([0.5, 0.5])).p.round(4).tolist()
    [0.3333, 0.6667]
    """

    def __init__(self, profile: Profile, weights: Array, p: Array, log_z: float) -> None:
        super().__init__(p=p)
        self._profile = profile
        self.weights = weights
        self.log_z = log_z

    @cached_property
    def log_p(self) -> Array:
        return self._profile.log_scores(self.weights) - self.log_z

    def log_at(self, token: int) -> float:
        log_p = self._profile.log_at(token).tolist()
        return float(sum(w * x for w, x in zip(self.weights.tolist(), log_p, strict=True) if w)) - self.log_z

    @cached_property
    def kls(self) -> tuple[Array, Array]:
        x, e = self._profile.cross, expectation(self._profile.log_p, self.p)
        forward = np.diagonal(x) - x @ self.weights + self.log_z
        return np.maximum(forward, 0.0), np.maximum(self.weights @ e - self.log_z - e, 0.0)


class Profile(_Probabilities):
    """The agents' distributions at one prefix: `p` and `log_p` of shape (n, V), rows in the agents' order.

    >>> profile = Profile.of([[0.6, 0.3, 0.1], [0.3, 0.1, 0.6]])
    >>> profile.n_agents, profile.n_tokens, profile.agent(1).mode
    (2, 3, 2)

    `retold` has, by agent and T, what the agent reports at T times its temperature, (V,), where a truncation follows
    the temperature, so that this is no power of p_i.
    """

    def __init__(self, *, p: Array | None = None, log_p: Array | None = None) -> None:
        super().__init__(p=p, log_p=log_p)
        given = log_p if p is None else p
        assert given is not None
        self.n_agents, self.n_tokens = given.shape
        self.retold: dict[tuple[int, float], Array] = {}
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
    def from_logits(cls, logits: Sequence[ArrayLike], temperatures: ArrayLike) -> Profile:
        """p_i = softmax(logits_i / temperature_i), n rows of V logits (float32 or float64)."""
        rows = np.stack([np.asarray(row, dtype=np.float64) for row in logits])
        return cls(**softmax(rows, np.asarray(temperatures, dtype=np.float64)[:, None]))

    @cached_property
    def n_possible(self) -> int:
        """To how many tokens some agent gives a positive probability."""
        return int(np.count_nonzero(self.p.any(axis=0)))

    def agent(self, i: int) -> AgentDistribution:
        """Agent i's own distribution."""
        return self.once(("agent", i), lambda: AgentDistribution(self, i))

    def log_at(self, token: int) -> Array:
        """log p_i of one token, (n,), not to be written to."""
        return self.once(("log p", token), lambda: self._log_at(token))

    def _log_at(self, token: int) -> Array:
        return np.asarray(self.log_p[:, token])

    @cached_property
    def cross(self) -> Array:
        """E_{p_i} log p_j, (n, n): -inf or NaN where p_j is 0 for some token."""
        return np.stack([expectation(self.p, row) for row in self.log_p], axis=1)

    @cached_property
    def overlaps(self) -> bool:
        """Whether no agent rules out what another may say, so that all of `cross` is finite."""
        return bool(np.isfinite(self.cross).all())

    def adds_up(self, q: Aggregate) -> bool:
        """Whether divergences from q come from the numbers kept for all tokens: where some are infinite, not always."""
        return self.overlaps

    def agent_kls(self, k: int) -> tuple[Array, Array]:
        """KL(p_i || p_k) and KL(p_k || p_i), (n,) each, where no agent rules out what another may say."""
        x = self.cross
        return np.maximum(np.diagonal(x) - x[:, k], 0.0), np.maximum(x[k, k] - x[k], 0.0)

    def mixture_kls(self, q: Mixture) -> tuple[Array, Array]:
        """KL(p_i || q) and KL(q || p_i), (n,) each, where no agent rules out what another may say."""
        a = expectation(self.p, q.log_p)
        forward, reverse = np.diagonal(self.cross) - a, q.weights @ (a[:, None] - self.cross)
        return np.maximum(forward, 0.0), np.maximum(reverse, 0.0)

    def mixture_mode(self, q: Mixture) -> int:
        """The most probable token, of equal ones the lowest id."""
        return int(np.argmax(q.p))

    def log_scores(self, weights: Array) -> Array:
        """sum_i w_i log p_i over the agents with w_i > 0, (V,)."""
        present = np.flatnonzero(weights)
        return mixed(weights[present], self.log_p[present])

    def log_pool(self, weights: Array) -> LogMixture:
        """prod_i p_i^(w_i) / Z. Raises MechanismError where every token is ruled out by some agent with w_i > 0."""
        scores = self.log_scores(weights)
        top = int(np.argmax(scores))
        if not np.isfinite(scores[top]):
            raise DisjointError(
                "log-linear aggregation is undefined here: "
                "every token has probability zero for some agent with a positive bid"
            )
        q = softmax(scores)
        pool = LogMixture(self, weights, q["p"], float(scores[top] - q["log_p"][top]))
        pool.log_p = q["log_p"]
        return pool

    def rising(self, i: int, shares: Array) -> Array:
        """Sums over blocks of tokens of (p_i - o)^+ with o = sum_j s_j p_j; together TV(p_i, o)."""
        return self.excess(self.p[i], mixed(shares, self.p))

    def excess(self, a: Array, b: Array) -> Array:
        """Sums over blocks of tokens of (a - b)^+, of (V,) each."""
        return block_sums(np.maximum(a - b, 0.0))

    def rival_distances(self, weights: Array) -> Array | None:
        """TV(p_i, o_i) of mixtures by these weights, (n,), as `of_rivals`."""
        return None

    def of_rivals(self, kind: int, weights: Array) -> Array | None:
        """What `kind` says of what the others of every agent would do alone, (n,), by the weights of all; None where
        it has to be worked out for one agent after the other.
        """
        return None

    @cached_property
    def likely(self) -> NDArray[np.intp]:
        """The tokens to which some agent gives at least 1/64, ascending; found where a block has as much."""
        found: set[int] = set()
        for row, sums in zip(self.p, self.blocks, strict=True):
            for block in np.flatnonzero(sums >= LIKELY).tolist():
                inside = row[block * BLOCK : (block + 1) * BLOCK]
                found.update((block * BLOCK + np.flatnonzero(inside >= LIKELY)).tolist())
        return np.array(sorted(found), dtype=np.intp)

    @property
    def n_kept(self) -> int:
        """How many things it keeps for whoever asks again."""
        return len(self._kept)

    def once(self, key: Hashable, compute: Callable[[], T]) -> T:
        """compute(), worked out the first time this key is asked for and kept as long as the profile."""
        if key not in self._kept:
            self._kept[key] = compute()
        kept: T = self._kept[key]
        return kept
