"""How far apart two distributions are, each (V,) or, for p, one per row (n, V). Infinite where infinite, never NaN.

TV(p, q) = 1/2 sum_t |p_t - q_t|
KL(p || q) = sum_t p_t log (p_t / q_t), with 0 log 0 = 0
D_r(p || q) = (1 - sum_t p_t^r q_t^(1-r)) / (r (1 - r)), the alpha divergence;
              KL(p || q) as r -> 1, KL(q || p) as r -> 0
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from .distributions import AgentDistribution, Array, Distribution, LogMixture, Mixture, Profile, expectation


def total_variation(p: Array, q: Array) -> float:
    """TV(p, q) of two (V,) arrays of probabilities."""
    return 0.5 * float(np.abs(p - q).sum())


def kl(p: Distribution, q: Distribution) -> float:
    """KL(p || q). A difference below rounding is 0, never negative."""
    with np.errstate(invalid="ignore"):
        value = float(expectation(p.p, p.log_p - q.log_p))
    if np.isnan(value):  # some token has p_t = 0 and an infinite logarithm
        held = np.flatnonzero(p.p)
        value = float(expectation(p.p[held], p.log_p[held] - q.log_p[held]))
    return max(0.0, value)


def kl_from_agents(profile: Profile, q: Distribution) -> Array:
    """KL(p_i || q) for every agent, (n,): E_{p_i} log p_i, kept on the profile, less E_{p_i} log q."""
    values = negative_entropies(profile) - expectation(profile.p, q.log_p)
    return _settled(values, lambda i: kl(profile.agent(i), q))


def kl_to_agents(profile: Profile, q: Distribution) -> Array:
    """KL(q || p_i) for every agent, (n,)."""
    values = _negative_entropy(q.p, q.log_p) - expectation(profile.log_p, q.p)
    return _settled(values, lambda i: kl(q, profile.agent(i)))


def both_kls(profile: Profile, q: Distribution) -> tuple[Array, Array]:
    """KL(p_i || q) and KL(q || p_i) for every agent, (n,) each, with as few passes over the tokens as q allows.

    (d) With X_ij = E_{p_i} log p_j, kept on the profile:
    q = p_k               X_ii - X_ik               X_kk - X_ki                          no pass
    q = sum_j w_j p_j     X_ii - A_i                sum_j w_j (A_j - X_ji)               A_i = E_{p_i} log q
    q = prod_j p_j^w_j/Z  X_ii - (X w)_i + log Z    sum_j w_j E_j - log Z - E_i          E_i = E_q log p_i
    Where some X_ij is infinite, and for any other q, term by term.
    """
    x = cross_entropies(profile)
    if not np.isfinite(x).all():
        return kl_from_agents(profile, q), kl_to_agents(profile, q)
    own = np.diagonal(x)
    if isinstance(q, AgentDistribution):
        forward, reverse = own - x[:, q.index], own[q.index] - x[q.index]
    elif isinstance(q, Mixture):
        a = expectation(profile.p, q.log_p)
        forward, reverse = own - a, q.weights @ (a[:, None] - x)
    elif isinstance(q, LogMixture):
        e = expectation(profile.log_p, q.p)
        forward, reverse = own - x @ q.weights + q.log_z, q.weights @ e - q.log_z - e
    else:
        return kl_from_agents(profile, q), kl_to_agents(profile, q)
    return np.maximum(forward, 0.0), np.maximum(reverse, 0.0)


def cross_entropies(profile: Profile) -> Array:
    """X_ij = E_{p_i} log p_j, (n, n): -inf or NaN where p_j is 0 somewhere."""
    return profile.once("cross", lambda: np.stack([expectation(profile.p, row) for row in profile.log_p], axis=1))


def negative_entropies(profile: Profile) -> Array:
    """sum_t p_it log p_it for every agent, (n,)."""
    return profile.once("negative entropies", lambda: np.array([_negative_entropy(*row) for row in _rows(profile)]))


def alpha_divergence(p: Distribution, q: Distribution, r: float) -> float:
    """D_r(p || q); at r = 1 and r = 0 the two KLs."""
    if r in (0, 1):
        return kl(p, q) if r == 1 else kl(q, p)
    with np.errstate(invalid="ignore"):
        exponents = r * p.log_p + (1 - r) * q.log_p
    both = np.isneginf(p.log_p) & np.isneginf(q.log_p)
    with np.errstate(over="ignore"):
        overlap = float(np.exp(np.where(both, -np.inf, exponents)).sum())
    return max(0.0, (1 - overlap) / (r * (1 - r)))


def _settled(values: Array, exact: Callable[[int], float]) -> Array:
    """The values, with those that 0 times infinity spoilt worked out over the support alone; never negative."""
    for i in np.flatnonzero(np.isnan(values)):
        values[i] = exact(int(i))
    return np.maximum(values, 0.0)


def _negative_entropy(p: Array, log_p: Array) -> float:
    held = p > 0
    return float(expectation(p, log_p) if held.all() else expectation(p[held], log_p[held]))


def _rows(profile: Profile) -> Iterator[tuple[Array, Array]]:
    return zip(profile.p, profile.log_p, strict=True)
