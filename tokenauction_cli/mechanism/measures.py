"""What is measured of each outcome, once for all the tokens drawn from it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from .distributions import Array, checked_bids, log_of, weights_of
from .divergences import FORWARD_KL, REVERSE_KL
from .outcome import Outcome
from .welfare import objective_of, optimal_welfare, weighted


class Measures(NamedTuple):
    """TV(p_i, q), KL(p_i || q) and KL(q || p_i), (n,); welfare W, its optimum W* and the bids offered, summed.

    Of a dictatorship q is the expectation over the dictator. An infinite divergence is inf.

    >>> from tokenauction_cli.mechanism.testing import salon
    >>> Measures.of(measure(salon()).vector).offered
    3.0
    """

    tv: Array
    kl: Array
    reverse_kl: Array
    welfare: float
    optimum: float
    offered: float

    @property
    def vector(self) -> Array:
        """All of them in one row, (3 n + 3,), so that a text adds them up in one step."""
        lists = self.tv.tolist(), self.kl.tolist(), self.reverse_kl.tolist()
        return np.array([*lists[0], *lists[1], *lists[2], self.welfare, self.optimum, self.offered])

    @classmethod
    def of(cls, vector: Array) -> Measures:
        """The measures back from their row."""
        n = len(vector) // 3 - 1
        welfare, optimum, offered = vector[3 * n :].tolist()
        return cls(vector[:n], vector[n : 2 * n], vector[2 * n : 3 * n], welfare, optimum, offered)


def measure(outcome: Outcome, offered: ArrayLike | None = None) -> Measures:
    """`offered` are the bids before a reserve or a spent budget set some to 0, (n,); by default the outcome's own.

    Divergences are in nats, W and W* in nats times money.

    >>> from tokenauction_cli.mechanism.testing import salon
    >>> measured = measure(salon(bids=(1, 2)))
    >>> measured.tv.round(4).tolist(), round(measured.welfare, 4)
    ([0.3333, 0.1667], -0.3887)
    """
    return _measure(outcome, outcome.bids if offered is None else checked_bids(offered))


def _measure(outcome: Outcome, offered: Array) -> Measures:
    profile, q, rule = outcome.profile, outcome.q, outcome.rule
    forward, reverse = outcome.kls
    objective = objective_of(rule)
    losses = forward if objective == FORWARD_KL else reverse if objective == REVERSE_KL else None
    reached = -weighted(offered, objective.losses(profile, q) if losses is None else losses)
    is_best = rule.objective is not None and (offered is outcome.bids or np.array_equal(offered, outcome.bids))
    best = reached if is_best else optimal_welfare(rule, profile, offered)
    return Measures(outcome.tvs, forward, reverse, reached, best, float(offered.sum()))


def posterior(weights: ArrayLike, log_likelihoods: ArrayLike) -> Array:
    """Posterior weights, (..., n), from prior weights or bids and each agent's sum of log p_i(token), both (..., n).

    The prior itself where no agent with a positive weight could have said the text. Raises MechanismError for weights
    that are all 0 or not finite numbers of at least 0.

    w_i p_i(text) / sum_j w_j p_j(text), by Bayes' rule.

    >>> posterior((1, 1), np.log([0.1, 0.3])).round(4).tolist()
    [0.25, 0.75]
    """
    given = np.asarray(weights, dtype=np.float64)
    prior = weights_of(given) if given.ndim == 1 else np.array([weights_of(row) for row in given]).reshape(given.shape)
    scores = np.where(prior > 0, log_of(prior) + np.asarray(log_likelihoods, dtype=np.float64), -np.inf)
    top = scores.max(axis=-1, keepdims=True)
    explains = np.isfinite(top)
    explained = np.exp(scores - np.where(explains, top, 0.0))
    return np.where(explains, explained / np.where(explains, explained.sum(axis=-1, keepdims=True), 1.0), prior)
