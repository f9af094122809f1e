"""How far apart two distributions are, each (V,) or, for p, one per row (n, V). Infinite where infinite, never NaN.

TV(p, q) = 1/2 sum_t |p_t - q_t|
KL(p || q) = sum_t p_t log (p_t / q_t), with 0 log 0 = 0
D_r(p || q) = (1 - sum_t p_t^r q_t^(1-r)) / (r (1 - r)), the alpha divergence;
              KL(p || q) as r -> 1, KL(q || p) as r -> 0
"""

from __future__ import annotations

import numpy as np

from .distributions import Array, Distribution


def total_variation(p: Array, q: Array) -> float:
    """TV(p, q) of two (V,) arrays of probabilities."""
    return 0.5 * float(np.abs(p - q).sum())


def kl(p: Distribution, q: Distribution) -> float:
    """KL(p || q). A difference below rounding is 0, never negative."""
    with np.errstate(invalid="ignore"):
        value = float(p.p @ (p.log_p - q.log_p))
    if np.isnan(value):  # some token has p_t = 0 and an infinite logarithm
        held = np.flatnonzero(p.p)
        value = float(p.p[held] @ (p.log_p[held] - q.log_p[held]))
    return max(0.0, value)
