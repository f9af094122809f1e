"""Power mean of exponent r: q proportional to (sum_i w_i p_i^r)^(1/r); r = 1 is linear, r -> 0 log-linear.

It minimises sum_i b_i D_r(p_i || q), the alpha divergence (`divergences.py`). (d) With a multiplier for sum_t q_t = 1,
q_t^(-r) sum_i w_i p_it^r is constant in t. A token that some agent with w_i > 0 rules out has q_t = 0 when r <= 0.

Monotone in TV and in both KLs for every r and n, log-linear and linear included (d). Let m be the others' power mean
before scaling and rho_t = p_t / m_t. As agent i's bid z rises q_t is proportional to m_t (S + z rho_t^r)^(1/r), so
    h_t = d log q_t / dz = (1/r) / (S rho_t^(-r) + z) - constant,   p_t / q_t proportional to (S rho_t^(-r) + z)^(-1/r),
and both rise with rho_t for every r. TV(p, q) is p(A) - q(A) for A = {p_t > q_t}, an upper set of rho, and
d q(A) / dz = Cov_q(1_A, h) >= 0. KL(p || q) falls at the rate E_p h - E_q h >= 0, for p is likelier the higher rho.
KL(q || p) changes at the rate Cov_q(h, log q/p) <= 0. Robustly only at r = 1: the normalising constant moves with z.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ...system.errors import DisjointError
from ..distributions import (
    Array,
    Distribution,
    Profile,
    log_normalize,
    log_of,
    mixed,
    weights_of,
)
from ..divergences import AlphaDivergence
from .rules import AggregationRule, Linear, LogLinear, lone_bidder

DEFAULT_EXPONENT = 0.5


class PowerMean(AggregationRule):
    """The power mean of exponent 1/2, `power_mean_R` of R.

    1/2 is half-way from log-linear (0) to linear (1).

    R is any number as Python writes it: `power_mean_2`, `power_mean_-1`, `power_mean_0.25`.

    Raises ValueError for an exponent that is not finite, and MechanismError where no token is possible for all bidders.

    >>> profile = Profile.of([[0.64, 0.36], [0.16, 0.84]])
    >>> PowerMean()(profile, (1, 1)).p.round(4).tolist()
    [0.385, 0.615]
    >>> PowerMean(1)(profile, (1, 1)).p.round(4).tolist()
    [0.4, 0.6]
    """

    name = "power_mean"

    def __init__(self, exponent: float = DEFAULT_EXPONENT) -> None:
        if not np.isfinite(exponent):
            raise ValueError(f"the exponent of a power mean must be finite, got {exponent}")
        self.exponent = exponent
        self.monotone_in = (Linear if exponent == 1 else LogLinear).monotone_in
        self.is_linear_mixture = exponent == 1
        self.objective = AlphaDivergence(exponent)
        if exponent != DEFAULT_EXPONENT:
            self.name = f"power_mean_{exponent:g}"

    def __call__(self, profile: Profile, bids: ArrayLike) -> Distribution:
        if self.exponent in (0, 1):
            return (Linear() if self.exponent == 1 else LogLinear())(profile, bids)
        weights = weights_of(bids)
        alone = lone_bidder(weights)
        if alone is not None:
            return profile.agent(alone)
        present = np.flatnonzero(weights)
        scores = log_power_mean(profile.log_p[present], weights[present], self.exponent)
        if not np.isfinite(scores.max()):
            raise DisjointError(
                f"{self.name} aggregation is undefined here: "
                "every token has probability zero for some agent with a positive bid"
            )
        return Distribution(log_p=log_normalize(scores))


def log_power_mean(log_p: Array, weights: Array, r: float) -> Array:
    """(1/r) log sum_i w_i p_i^r, (V,), from log_p (n, V) and positive weights (n,).

    With x = r (log p_i - log p of the agent that counts most) <= 0 sum_i w_i e^x is taken as 1 + sum_i w_i (e^x - 1)
    where it is near 1, as it is for small r: a relative error of the sum is one of the mean 1/r times as large.

    >>> scores = log_power_mean(np.log([[0.64, 0.36], [0.16, 0.84]]), np.array([0.5, 0.5]), 0.5)
    >>> np.exp(scores).round(4).tolist()
    [0.36, 0.575]
    """
    top = log_p.max(axis=0) if r > 0 else log_p.min(axis=0)
    x = r * (log_p - np.where(np.isfinite(top), top, 0.0))
    x[:, np.isneginf(top)] = 0.0
    below_one = mixed(weights, np.expm1(x))
    near = np.log1p(np.maximum(below_one, -0.5))
    return np.asarray(top + np.where(below_one > -0.5, near, log_of(mixed(weights, np.exp(x)))) / r)
