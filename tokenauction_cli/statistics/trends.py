"""Does a curve move one way? Kendall's tau-b, and how far it is from a monotone curve.

tau          of the means against the relative weight over the sweep points: 1 always rising, -1 always falling
p_value      two-sided, of tau = 0; empty without scipy (extra `stats`)
violation    the largest distance of a mean from the nearest curve that moves one way, in the figure's own unit
unexplained  the part of the means' variance that such a curve leaves: 0 for a monotone figure
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Trend(NamedTuple):
    """How a figure moves; NaN where it does not move at all."""

    tau: float
    p_value: float
    violation: float
    unexplained: float


def trend(weights: Array, means: Array) -> Trend:
    """Of at least two points, in any order; means that differ by rounding alone are equal."""
    size = np.abs(means).max() or 1.0
    means = np.round(means / size, 12) * size
    tau = kendall_tau(weights, means)
    if np.isnan(tau):
        return Trend(np.nan, np.nan, 0.0, 0.0)
    fits = [np.abs(means - sign * isotonic(weights, sign * means)) for sign in (1.0, -1.0) if sign * tau >= 0]
    apart = min(fits, key=lambda distances: float(distances @ distances))
    variation = means - means.mean()
    return Trend(tau, _p_value(weights, means), float(apart.max()), float(apart @ apart / (variation @ variation)))


def kendall_tau(x: Array, y: Array) -> float:
    """Tau-b: concordant less discordant pairs, over the geometric mean of the pairs not tied in x and in y."""
    above = np.triu_indices(len(x), 1)
    dx, dy = (np.sign(v[:, None] - v[None, :])[above] for v in (x, y))
    untied = np.sqrt(float((dx * dx).sum()) * float((dy * dy).sum()))
    return float((dx * dy).sum()) / untied if untied else float("nan")


def isotonic(x: Array, y: Array) -> Array:
    """The nearest values, in squares, that never fall along x: neighbours in the wrong order are pooled (PAVA).

    Points of equal x are one point with their mean.
    """
    places, which = np.unique(x, return_inverse=True)
    sizes = np.bincount(which).astype(float)
    blocks: list[tuple[float, float, int]] = []  # mean, weight, number of places
    for k in range(len(places)):
        block = (float(y[which == k].mean()), float(sizes[k]), 1)
        while blocks and blocks[-1][0] > block[0]:
            mean, size, span = blocks.pop()
            total = size + block[1]
            block = ((mean * size + block[0] * block[1]) / total, total, span + block[2])
        blocks.append(block)
    return np.repeat([block[0] for block in blocks], [block[2] for block in blocks])[which]


def _p_value(x: Array, y: Array) -> float:
    try:
        from scipy.stats import kendalltau
    except ImportError:
        return float("nan")
    return float(kendalltau(x, y).pvalue)
