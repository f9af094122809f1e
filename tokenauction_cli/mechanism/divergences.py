"""How far apart two distributions are, each (V,) or, for p, one per row (n, V). Infinite where infinite, never NaN.

TV(p, q) = 1/2 sum_t |p_t - q_t|
KL(p || q) = sum_t p_t log (p_t / q_t), with 0 log 0 = 0
D_r(p || q) = (1 - sum_t p_t^r q_t^(1-r)) / (r (1 - r)), the alpha divergence;
              KL(p || q) as r -> 1, KL(q || p) as r -> 0
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .distributions import (
    AgentDistribution,
    Aggregate,
    Array,
    Distribution,
    LogMixture,
    Profile,
    expectation,
)


def total_variation(p: Array, q: Array) -> float:
    """TV(p, q) of two (V,) arrays of probabilities.

    >>> total_variation(np.array([0.75, 0.25]), np.array([0.25, 0.75]))
    0.5
    """
    return 0.5 * float(np.abs(p - q).sum())


def kl(p: Distribution, q: Distribution) -> float:
    """KL(p || q). A difference below rounding is 0, never negative.

    In nats.

    >>> half, most = (Distribution(p=np.array(p)) for p in ([0.5, 0.5], [0.75, 0.25]))
    >>> round(kl(half, most), 4), kl(half, half)
    (0.1438, 0.0)
    """
    with np.errstate(invalid="ignore"):
        value = float(expectation(p.p, p.log_p - q.log_p))
    if np.isnan(value):  # some token has p_t = 0 and an infinite logarithm
        held = np.flatnonzero(p.p)
        value = float(expectation(p.p[held], p.log_p[held] - q.log_p[held]))
    return max(0.0, value)


def kl_from_agents(profile: Profile, q: Distribution) -> Array:
    """KL(p_i || q) for every agent, (n,).

    In nats.

    >>> profile = Profile.of([[0.5, 0.5], [0.75, 0.25]])
    >>> kl_from_agents(profile, profile.agent(1)).round(4).tolist()
    [0.1438, 0.0]
    """
    entropies = profile.once("entropies", lambda: np.array(list(map(_negative_entropy, profile.p, profile.log_p))))
    values = entropies - expectation(profile.p, q.log_p)
    return _settled(values, lambda i: kl(profile.agent(i), q))


def kl_to_agents(profile: Profile, q: Distribution) -> Array:
    """KL(q || p_i) for every agent, (n,).

    In nats.

    >>> profile = Profile.of([[0.5, 0.5], [0.75, 0.25]])
    >>> kl_to_agents(profile, profile.agent(1)).round(4).tolist()
    [0.1308, 0.0]
    """
    values = _negative_entropy(q.p, q.log_p) - expectation(profile.log_p, q.p)
    return _settled(values, lambda i: kl(q, profile.agent(i)))


def both_kls(profile: Profile, q: Distribution) -> tuple[Array, Array]:
    """KL(p_i || q) and KL(q || p_i) for every agent, (n,) each; where some are infinite, term by term.

    In nats.

    >>> profile = Profile.of([[0.5, 0.5], [0.75, 0.25]])
    >>> [each.round(4).tolist() for each in both_kls(profile, profile.agent(1))]
    [[0.1438, 0.0], [0.1308, 0.0]]
    """
    if isinstance(q, Aggregate) and profile.adds_up(q):
        kls = q.kls
        if profile.overlaps or not np.isnan(kls).any():  # 0 times infinity
            return kls
    return kl_from_agents(profile, q), kl_to_agents(profile, q)


def kl_between(profile: Profile, a: Distribution, b: Distribution) -> float:
    """KL(a || b) of two aggregates of one profile.

    (d) For a = sum_j w_j p_j it is sum_j w_j (KL(p_j || b) - KL(p_j || a)), and for b = prod_j p_j^w_j / Z it is
    sum_j w_j KL(a || p_j) + log Z.

    In nats.

    >>> profile = Profile.of([[0.5, 0.5], [0.75, 0.25]])
    >>> round(kl_between(profile, profile.agent(0), profile.agent(1)), 4)
    0.1438
    """
    if isinstance(a, Aggregate) and isinstance(b, Aggregate) and profile.adds_up(a) and profile.adds_up(b):
        if isinstance(a, AgentDistribution):
            return float(b.kls[0][a.index])
        if isinstance(b, LogMixture):
            return max(0.0, float(b.weights @ a.kls[1]) + b.log_z)
        if isinstance(b, AgentDistribution):
            return float(a.kls[1][b.index])
        if not isinstance(a, LogMixture):
            return max(0.0, float(a.weights @ (b.kls[0] - a.kls[0])))
    return kl(a, b)


def alpha_divergence(p: Distribution, q: Distribution, r: float) -> float:
    """D_r(p || q); at r = 1 and r = 0 the two KLs.

    Source: S. Amari, Differential-Geometrical Methods in Statistics (1985).

    >>> half, most = (Distribution(p=np.array(p)) for p in ([0.5, 0.5], [0.75, 0.25]))
    >>> round(alpha_divergence(half, most, 0.5), 4), round(alpha_divergence(half, most, 1), 4)
    (0.1363, 0.1438)
    """
    if r in (0, 1):
        return kl(p, q) if r == 1 else kl(q, p)
    with np.errstate(invalid="ignore"):
        exponents = r * p.log_p + (1 - r) * q.log_p
    both = np.isneginf(p.log_p) & np.isneginf(q.log_p)
    with np.errstate(over="ignore"):
        overlap = float(np.exp(np.where(both, -np.inf, exponents)).sum())
    return max(0.0, (1 - overlap) / (r * (1 - r)))


@dataclass(frozen=True)
class AlphaDivergence:
    """The objective sum_i b_i D_r(p_i || q): forward KL at r = 1, reverse KL at r = 0.

    >>> profile = Profile.of([[0.5, 0.5], [0.75, 0.25]])
    >>> AlphaDivergence(1).losses(profile, profile.agent(1)).round(4).tolist()
    [0.1438, 0.0]
    """

    r: float

    def losses(self, profile: Profile, q: Distribution) -> Array:
        """D_r(p_i || q) for every agent, (n,)."""
        if self.r in (0, 1):
            return (kl_from_agents if self.r == 1 else kl_to_agents)(profile, q)
        return np.array([alpha_divergence(profile.agent(i), q, self.r) for i in range(profile.n_agents)])


FORWARD_KL, REVERSE_KL = AlphaDivergence(1), AlphaDivergence(0)


def _settled(values: Array, exact: Callable[[int], float]) -> Array:
    """The values, with those that 0 times infinity spoilt worked out over the support alone; never negative."""
    for i in np.flatnonzero(np.isnan(values)):
        values[i] = exact(int(i))
    return np.maximum(values, 0.0)


def _negative_entropy(p: Array, log_p: Array) -> float:
    held = p > 0
    return float(expectation(p, log_p) if held.all() else expectation(p[held], log_p[held]))
