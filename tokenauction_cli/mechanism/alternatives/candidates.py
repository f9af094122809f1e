"""Candidates: M finished texts, and what is known of them free of bids.

A text that was written twice is there twice, each time as one of the M. An unfinished text is scored as a prefix.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ..distributions import Array, MechanismError, mixed
from ..sampling.randomness import DrawKey, Purpose
from ..terms import Bidding


@dataclass(frozen=True, eq=False)
class Candidates:
    """Of each of M texts y_j, with their end tokens, all logarithms natural and float64:

    log_p          l_i(y_j) = sum_t log p_i(y_jt | ...) of every agent, (n, M)
    log_generator  l_gen(y_j) of whoever wrote it, (M,), finite; a constant for texts listed once each, as if written
                   by a generator to which all are equally likely
    log_reference  l_0(y_j) of the reference, (M,), or None
    mentions       how often agent i's brand occurs in y_j, (n, M), or None

    -inf means that a model cannot say the text. Raises MechanismError for shapes that disagree, NaN and +inf.

    >>> Candidates.each_once(np.log([[0.5, 0.25, 0.25], [0.2, 0.2, 0.6]])).n_texts
    3
    """

    log_p: Array
    log_generator: Array
    log_reference: Array | None = None
    mentions: Array | None = None

    def __post_init__(self) -> None:
        if self.log_p.ndim != 2 or 0 in self.log_p.shape:
            raise MechanismError(f"candidates need a row of log-probabilities per agent, got {self.log_p.shape}")
        n_agents, n_texts = self.log_p.shape
        shapes = {"log_generator": (n_texts,), "log_reference": (n_texts,), "mentions": (n_agents, n_texts)}
        for name, shape in {"log_p": self.log_p.shape, **shapes}.items():
            values: Array | None = getattr(self, name)
            if values is None:
                continue
            if values.shape != shape:
                raise MechanismError(f"{name} of {n_texts} candidates must have the shape {shape}, got {values.shape}")
            if not (values < np.inf).all():
                raise MechanismError(f"{name} must not hold NaN or +inf")
        if not np.isfinite(self.log_generator).all():
            raise MechanismError("log_generator must be finite: a generator can say what it wrote")

    @classmethod
    def each_once(
        cls, log_p: ArrayLike, log_reference: ArrayLike | None = None, mentions: ArrayLike | None = None
    ) -> Candidates:
        """Every text once (`candidates: all`): the limit of many candidates from a uniform generator."""
        rows = np.asarray(log_p, dtype=np.float64)
        reference, counts = (None if x is None else np.asarray(x, float) for x in (log_reference, mentions))
        return cls(rows, np.zeros(rows.shape[-1]), reference, counts)

    @property
    def n_texts(self) -> int:
        return len(self.log_generator)


def summed(weights: Array, scores: Array) -> Array:
    """sum_i w_i scores_i over the agents with w_i > 0, (M,): a weight of 0 removes a score of -inf.

    Of weights (n,) and scores (n, M).

    >>> summed(np.array([1.0, 2.0]), np.array([[1.0, -1.0], [0.5, 3.0]])).tolist()
    [2.0, 5.0]
    """
    present = np.flatnonzero(weights)
    return mixed(weights[present], scores[present])


def gumbels(draw_key: DrawKey, n_texts: int) -> Array:
    """A Gumbel number for each candidate, (M,), whatever the bids; more candidates leave those of the first alone.

    G_j = -log E_j, E_j standard exponential.

    >>> from tokenauction_cli.mechanism.testing import draw_key_of
    >>> two, three = (gumbels(draw_key_of(seed=0), n) for n in (2, 3))
    >>> two.tolist() == three[:2].tolist()
    True
    """
    return -np.log(draw_key.exponentials(Purpose.CANDIDATE, n_texts))


def effective_sample_size(p: Array) -> float:
    """1 / sum_j p_j^2, in [1, M]: from how many candidates the choice is made. Few: bids have little to choose from.

    Source: A. Kong, "A note on importance sampling using standardized weights" (1992).

    >>> effective_sample_size(np.array([0.5, 0.5, 0.0]))
    2.0
    """
    return float(1 / (p**2).sum())


def check_match(candidates: Candidates, bidding: Bidding) -> None:
    """Raises MechanismError where there are not as many agents here as there.

    >>> from tokenauction_cli.mechanism.testing import salon
    >>> check_match(Candidates.each_once(np.log([[0.5, 0.5]])), salon().bidding)
    Traceback (most recent call last):
        ...
    tokenauction_cli.system.errors.MechanismError: candidates of 1 agents do not go with 2 bids
    """
    n_agents, n_bids = len(candidates.log_p), len(bidding.bids)
    if n_agents != n_bids:
        raise MechanismError(f"candidates of {n_agents} agents do not go with {n_bids} bids")
