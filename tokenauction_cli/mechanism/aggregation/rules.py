"""Aggregation rules: how bids make one distribution q of the agents' p_i.

    rule        q                                       minimises over q
    linear      sum_i w_i p_i                           sum_i b_i KL(p_i || q), the pre-training loss
    log_linear  proportional to prod_i p_i^(w_i)        sum_i b_i KL(q || p_i), the RLHF-style loss

with w_i = b_i / B. Source: Duetting, Mirrokni, Paes Leme, Xu and Zuo, arXiv 2310.10826. A weight of zero removes the
agent from q exactly (0 log 0 = 0), a weight of one returns the agent's own distribution exactly. Further rules:
`dictatorship.py`, `power_mean.py`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Protocol

from numpy.typing import ArrayLike

from ..distributions import Aggregate, Array, Distribution, Mixture, Profile, weights_of
from ..divergences import FORWARD_KL, REVERSE_KL

ORDERS = ("robust", "tv", "kl", "reverse_kl")


class Objective(Protocol):
    """What a rule minimises over q: sum_i b_i loss_i(q), each loss at least 0 and 0 at q = p_i.

    >>> from tokenauction_cli.mechanism.testing import salon
    >>> outcome = salon()
    >>> FORWARD_KL.losses(outcome.profile, outcome.q).round(4).tolist()
    [0.273, 0.0579]
    """

    def losses(self, profile: Profile, q: Distribution) -> Array:
        """loss_i(q) of every agent, (n,)."""
        ...


class AggregationRule(ABC):
    """q as a function of the profile and the bids, which counts their ratios alone; and what is true of it.

    Whatever else asks about a rule reads these traits. The defaults promise nothing, so that each is a claim which
    `tokauction audit` or a law in the tests can refute. Without `is_linear_mixture` or `odds`, `stable` sampling draws
    by a coupling (`coupled`), and second price is undefined.

    A rule is called with a profile of n agents over V tokens and bids (n,) in money per token. It returns q, (V,).

    >>> class Louder(AggregationRule):
    ...     name = "louder"
    ...
    ...     def __call__(self, profile, bids):
    ...         return Mixture(profile, weights_of([bid**2 for bid in bids]))
    >>> Louder()(Profile.of([[0.5, 0.5], [0.1, 0.9]]), (1, 3)).p.round(4).tolist()
    [0.14, 0.86]
    """

    name: str
    label: str = ""
    """The name as people say it, where that is not the name with spaces."""
    monotone_in: frozenset[str] = frozenset()
    """The orders (robust, tv, kl, reverse_kl) in which raising a bid never hurts the bidder."""
    is_linear_mixture: bool = False
    """Whether q = (1 - w_i) o_i + w_i p_i for every i, with w_i = b_i / B: the closed forms of linear hold."""
    highest_bid_wins: bool = False
    """Of a dictatorship: whether the highest bidder is the dictator, so that its bid counts only against the next."""
    objective: Objective | None = None
    """What q minimises. Welfare is measured by it; without one, by linear's, the forward KL."""

    @abstractmethod
    def __call__(self, profile: Profile, bids: ArrayLike) -> Distribution:
        """q; of a dictatorship its expectation over the dictator. Raises MechanismError where it is undefined."""

    @property
    def is_dictatorship(self) -> bool:
        """Whether one agent is drawn for each token, by `odds`, and the token from its distribution alone."""
        return type(self).odds is not AggregationRule.odds

    def odds(self, bids: ArrayLike) -> Array | None:
        """Of a dictatorship the probability of each agent being the dictator, (n,); None for any other rule."""
        return None


class Linear(AggregationRule):
    """The bid-weighted mean: q = sum_i w_i p_i.

    Monotone in the robust order, hence in TV and both KLs, for every n.

    (d) As b_i = z rises, q_t(z) = (S o_t + z p_t) / (S + z) moves on a straight line from o_t to p_t.

    `bids` (n,) are in money per token. Raises MechanismError for bad bids and where all are 0.

    >>> Linear()(Profile.of([[0.8, 0.2], [0.3, 0.7]]), (1, 3)).p.round(4).tolist()
    [0.425, 0.575]
    """

    name = "linear"
    monotone_in = frozenset(ORDERS)
    is_linear_mixture = True
    objective = FORWARD_KL

    def __call__(self, profile: Profile, bids: ArrayLike) -> Aggregate:
        weights = weights_of(bids)
        alone = lone_bidder(weights)
        return profile.agent(alone) if alone is not None else Mixture(profile, weights)


class LogLinear(AggregationRule):
    """The bid-weighted product, normalised: prod_i p_i^(w_i).

    Over the agents with w_i > 0. Monotone in TV and both KLs, not robustly.

    (d) The case r = 0 of the derivation in `power_mean.py`. The counterexample to the robust order: equal bids of
    p_1 = (.40, .59, .01) and p_2 = (.40, .01, .59) put .7225 on the first token, on which both put .40.

    `bids` (n,) are in money per token. Raises MechanismError as linear, and where no token is possible for all bidders.

    >>> profile = Profile.of([[0.40, 0.59, 0.01], [0.40, 0.01, 0.59]])
    >>> LogLinear()(profile, (1, 1)).p.round(4).tolist()
    [0.7225, 0.1387, 0.1387]
    """

    name = "log_linear"
    label = "log-linear"
    monotone_in = frozenset({"tv", "kl", "reverse_kl"})
    objective = REVERSE_KL

    def __call__(self, profile: Profile, bids: ArrayLike) -> Aggregate:
        weights = weights_of(bids)
        alone = lone_bidder(weights)
        if alone is not None:
            return profile.agent(alone)
        return profile.log_pool(weights)


def lone_bidder(weights: Array) -> int | None:
    """The index of the only agent with a positive weight, or None when there are several.

    Of weights, odds or bids (n,).

    >>> import numpy as np
    >>> lone_bidder(np.array([0.0, 1.0])), lone_bidder(np.array([0.5, 0.5]))
    (1, None)
    """
    present = [i for i, weight in enumerate(weights.tolist()) if weight]
    return present[0] if len(present) == 1 else None
