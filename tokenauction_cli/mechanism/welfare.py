"""Welfare: sum_i b_i value_i, by the objective that the rule itself maximises, and how near the best it comes.

    rule                                       value_i
    linear                                     -KL(p_i || q)
    log_linear                                 -KL(q || p_i)
    power_mean of exponent r                   -D_r(p_i || q)
    winner_take_all, random_dictator, others   -KL(p_i || q), as linear: they maximise no welfare of their own

The optimum W* is the welfare, at the bids that were offered, of the q that maximises it. A rule falls short of it where
it is no maximiser, or where a reserve or a spent budget keeps a bid out. Both are at most 0 and W can be -infinity, so
no plain ratio is a share. Ours is exp((W - W*) / B) in [0, 1]: the factor by which the bid-weighted geometric mean of
likelihoods falls short of the best. It is 1 at the optimum, 1 for a lone agent, and 0 where W is -infinity. For a text,
add up W, W* and B over its tokens first.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from .aggregation.power_mean import PowerMean
from .aggregation.rules import AggregationRule, Linear, LogLinear
from .distributions import Array, Distribution, MechanismError, Profile, checked_bids
from .divergences import alpha_divergence, kl_from_agents, kl_to_agents


def yardstick(rule: AggregationRule) -> AggregationRule:
    """The rule that maximises the welfare by which `rule` is measured."""
    return rule if isinstance(rule, Linear | LogLinear | PowerMean) else Linear()


def values(rule: AggregationRule, profile: Profile, q: Distribution) -> Array:
    """value_i of q, (n,), each at most 0, by the objective of a rule that has one."""
    if isinstance(rule, PowerMean):
        return -np.array([alpha_divergence(profile.agent(i), q, rule.exponent) for i in range(profile.n_agents)])
    return -(kl_to_agents if isinstance(rule, LogLinear) else kl_from_agents)(profile, q)


def welfare(rule: AggregationRule, profile: Profile, q: Distribution, bids: ArrayLike) -> float:
    """sum_i b_i value_i over the agents with a positive bid."""
    return weighted(checked_bids(bids), values(yardstick(rule), profile, q))


def weighted(bids: Array, values: Array) -> float:
    """sum_i b_i value_i over the agents with a positive bid: 0 times an infinite value is 0."""
    return math.fsum(bid * value for bid, value in zip(bids.tolist(), values.tolist(), strict=True) if bid > 0)


def optimal_welfare(rule: AggregationRule, profile: Profile, bids: ArrayLike) -> float:
    """W*: max over q of the welfare; -inf where every q has it, since the agents share no token."""
    best = yardstick(rule)
    try:
        return welfare(best, profile, best(profile, bids), bids)
    except MechanismError:
        return -math.inf


def welfare_share(welfare: float, optimum: float, total_bid: float) -> float:
    """exp((W - W*) / B), in [0, 1]; 1 where nothing better exists or nobody bids."""
    if welfare >= optimum or total_bid == 0:
        return 1.0
    return math.exp((welfare - optimum) / total_bid)
