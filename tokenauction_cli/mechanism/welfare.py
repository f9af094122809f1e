"""Welfare: sum_i b_i value_i, by the objective that the rule itself maximises, and how near the best it comes.

    rule                                       value_i
    linear                                     -KL(p_i || q)
    log_linear                                 -KL(q || p_i)
    power_mean of exponent r                   -D_r(p_i || q)
    any other with an objective                -loss_i(q)
    winner_take_all, random_dictator, others   -KL(p_i || q), as linear: they maximise no welfare of their own

The optimum W* is the welfare, at the bids that were offered, of the q that maximises it. A rule falls short of it where
it is no maximiser, or where a reserve or a spent budget keeps a bid out. Both are at most 0 and W can be -infinity, so
no plain ratio is a share. Ours is exp((W - W*) / B) in [0, 1]: the factor by which the bid-weighted geometric mean of
likelihoods falls short of the best. It is 1 at the optimum, 1 for a lone agent, and 0 where W is -infinity. For a text,
add up W, W* and B over its tokens first.
"""

from __future__ import annotations

import math

from numpy.typing import ArrayLike

from .aggregation.rules import AggregationRule, Linear, Objective
from .distributions import Array, Distribution, MechanismError, Profile, checked_bids
from .divergences import FORWARD_KL


def yardstick(rule: AggregationRule) -> AggregationRule:
    """The rule that maximises the welfare by which `rule` is measured.

    >>> from tokenauction_cli.mechanism.aggregation.dictatorship import WinnerTakeAll
    >>> yardstick(WinnerTakeAll()).name
    'linear'
    """
    return rule if rule.objective is not None else Linear()


def objective_of(rule: AggregationRule) -> Objective:
    """Whose losses are taken for `rule`: its own objective's, or linear's.

    >>> objective_of(Linear()).r
    1
    """
    return rule.objective if rule.objective is not None else FORWARD_KL


def welfare(rule: AggregationRule, profile: Profile, q: Distribution, bids: ArrayLike) -> float:
    """sum_i b_i value_i over the agents with a positive bid.

    In nats times money; `q` is over the tokens of `profile`, `bids` (n,).

    >>> profile = Profile.of([[0.5, 0.5], [0.5, 0.5]])
    >>> welfare(Linear(), profile, profile.agent(0), (1, 2))
    0.0
    """
    return weighted(checked_bids(bids), -objective_of(rule).losses(profile, q))


def weighted(bids: Array, values: Array) -> float:
    """sum_i b_i value_i over the agents with a positive bid: 0 times an infinite value is 0.

    Of (n,) and (n,).

    >>> import numpy as np
    >>> weighted(np.array([2.0, 0.0]), np.array([-0.5, -np.inf]))
    -1.0
    """
    return math.fsum(bid * value for bid, value in zip(bids.tolist(), values.tolist(), strict=True) if bid > 0)


def optimal_welfare(rule: AggregationRule, profile: Profile, bids: ArrayLike) -> float:
    """W*: max over q of the welfare; -inf where every q has it, since the agents share no token.

    In nats times money, at `bids` (n,).

    >>> round(optimal_welfare(Linear(), Profile.of([[0.8, 0.2], [0.2, 0.8]]), (1, 1)), 4)
    -0.3855
    """
    best = yardstick(rule)
    try:
        return welfare(best, profile, best(profile, bids), bids)
    except MechanismError:
        return -math.inf


def welfare_share(welfare: float, optimum: float, total_bid: float) -> float:
    """exp((W - W*) / B), in [0, 1]; 1 where nothing better exists or nobody bids.

    >>> welfare_share(-1.0, -1.0, 2.0), round(welfare_share(-1.5, -1.0, 2.0), 4)
    (1.0, 0.7788)
    """
    if welfare >= optimum or total_bid == 0:
        return 1.0
    return math.exp((welfare - optimum) / total_bid)
