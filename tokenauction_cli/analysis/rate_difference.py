"""The difference of two shares of the same n texts, with Newcombe's 95 % interval for paired shares.

With p, q the shares, [l, u] and [m, v] their Wilson intervals and phi the correlation of the pairs (R. G. Newcombe,
1998, "Improved confidence intervals for the difference between binomial proportions based on paired data", method 10):

    q - p - sqrt((q - m)^2 - 2 phi (q - m) (u - p) + (u - p)^2)   to
    q - p + sqrt((v - q)^2 - 2 phi (v - q) (p - l) + (p - l)^2)

phi = (a d - b c) / sqrt((a + b) (c + d) (a + c) (b + d)) of the counts a (both), b (first only), c (second only) and d
(neither), its numerator less n / 2 where positive, but not below 0; phi is 0 where the denominator is.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ..mechanism.audit.finding import wilson
from .intervals import Estimate

Hits = NDArray[np.bool_]


def rate_difference(first: Hits, second: Hits) -> Estimate:
    """The share of `second` less that of `first`, (n,) each, which belong together one by one."""
    n = len(first)
    p, q = float(first.mean()), float(second.mean())
    (low_p, high_p), (low_q, high_q) = (wilson(int(hits.sum()), n) for hits in (first, second))
    phi = _correlation(first, second)
    below = _length(q - low_q, high_p - p, phi)
    above = _length(high_q - q, p - low_p, phi)
    return Estimate(q - p, max(-1.0, q - p - below), min(1.0, q - p + above))


def _length(x: float, y: float, phi: float) -> float:
    return math.sqrt(max(0.0, x * x - 2 * phi * x * y + y * y))


def _correlation(first: Hits, second: Hits) -> float:
    a, b = int((first & second).sum()), int((first & ~second).sum())
    c, d = int((~first & second).sum()), int((~first & ~second).sum())
    product = (a + b) * (c + d) * (a + c) * (b + d)
    if not product:
        return 0.0
    together = a * d - b * c
    return (max(0.0, together - len(first) / 2) if together > 0 else together) / math.sqrt(product)
