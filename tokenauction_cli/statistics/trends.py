"""Does a figure move along a sweep, and does it move one way?

Of the means against the relative weight, over the sweep points:

    tau          Kendall's tau-b: 1 always rising, -1 always falling
    violation    the largest distance of a mean from the nearest curve that moves one way, up or down, in the figure's
                 own unit; the nearest is the one with the least sum of squares
    unexplained  the part of the means' variance that this curve leaves: 0 for a monotone figure

Of the seeds, each of which has a text at every point:

    p_value      two-sided, of no slope. Texts of one seed share their random numbers, so its points are not
                 exchangeable, and neither tau's own test nor a permutation of the points holds. Each seed gives one
                 number, its slope T_k = sum over its points of (weight - its mean weight) x value, with mean 0 where
                 the mean of the figure is the same at every weight. Seeds are independent: the signs of T_k are flipped
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..system.arrays import Array, Integers
from .rounding import ROUNDING
from .sign_flips import sign_flip


class TrendShape(NamedTuple):
    """How a curve of means moves; `tau` is NaN where it does not move at all.

    >>> TrendShape(1.0, 0.0, 0.0).tau
    1.0
    """

    tau: float
    violation: float
    unexplained: float


def shape(weights: Array, means: Array) -> TrendShape:
    """Of at least two points, in any order; means that differ by rounding alone are equal.

    `weights` and `means` are (n,); `violation` is in the unit of the means.

    >>> weights = np.array([0.0, 0.5, 1.0])
    >>> [round(float(x), 3) for x in shape(weights, np.array([1.0, 2.0, 3.0]))]
    [1.0, 0.0, 0.0]
    >>> [round(float(x), 3) for x in shape(weights, np.array([1.0, 3.0, 2.0]))]
    [0.333, 0.5, 0.25]
    """
    size = float(np.abs(means).max()) or 1.0
    means = np.round(means / size, 12)
    tau = kendall_tau(weights, means)
    if np.isnan(tau):
        return TrendShape(np.nan, 0.0, 0.0)
    fits = [means - sign * _isotonic(weights, sign * means) for sign in (1.0, -1.0)]
    apart = min(fits, key=lambda distances: float(distances @ distances))
    variation = means - means.mean()
    return TrendShape(tau, size * float(np.abs(apart).max()), float(apart @ apart / (variation @ variation)))


def kendall_tau(x: Array, y: Array) -> float:
    """Tau-b: concordant less discordant pairs, over the geometric mean of the pairs not tied in x and in y.

    NaN where x or y does not move. Unlike scipy's it is 1 and not .9999999999999999 where y always rises.

    Of (n,) and (n,). Source: M. G. Kendall, Biometrika 33 (1945) 239.

    >>> round(float(kendall_tau(np.array([1.0, 2.0, 3.0]), np.array([1.0, 3.0, 2.0]))), 3)
    0.333
    """
    above = np.triu_indices(len(x), 1)
    dx, dy = (np.sign(v[:, None] - v[None, :])[above] for v in (x, y))
    untied = np.sqrt(float((dx * dx).sum()) * float((dy * dy).sum()))
    return float((dx * dy).sum()) / untied if untied else float("nan")


def _isotonic(x: Array, y: Array) -> Array:
    """The nearest values, in squares, that never fall along x; points of equal x are one point with their mean."""
    from scipy.optimize import isotonic_regression

    places, which, sizes = np.unique(x, return_inverse=True, return_counts=True)
    means = np.bincount(which, weights=y, minlength=len(places)) / sizes
    return np.asarray(isotonic_regression(means, weights=sizes).x[which])


def slopes(weights: Array, values: Array, seeds: Integers) -> Array:
    """T_k of every seed and figure, (n_seeds, F); NaN where a seed has no number at two weights.

    A row of `values`, (n, F), is a text, at its weight, (n,), by its seed, (n,) of 0 .. n_seeds - 1. What is not finite
    is left out.

    >>> values = np.array([[1.0], [3.0], [2.0], [2.0]])
    >>> slopes(np.array([0.0, 1.0, 0.0, 1.0]), values, np.array([0, 0, 1, 1])).tolist()
    [[1.0], [0.0]]
    """
    usable = np.isfinite(values)
    counts = _sums(usable.astype(float), seeds)
    with np.errstate(invalid="ignore"):
        middles = _sums(usable * weights[:, None], seeds) / counts
    apart = np.where(usable, weights[:, None] - middles[seeds], 0.0)
    terms = apart * np.where(usable, values, 0.0)
    found, sizes = _sums(terms, seeds), _sums(np.abs(terms), seeds)
    found[np.abs(found) <= ROUNDING * sizes] = 0.0
    found[_sums(np.abs(apart), seeds) <= ROUNDING * counts] = np.nan
    return found


def _sums(values: Array, seeds: Integers) -> Array:
    return np.stack([np.bincount(seeds, weights=column) for column in values.T], axis=1)


def slope_p_value(slopes_of_seeds: Array) -> float:
    """Two-sided, of no slope, (n_seeds,); NaN where fewer than two seeds have one.

    By sign flips, for seeds are independent.

    >>> slope_p_value(np.array([1.0, 2.0, 0.5]))
    0.25
    """
    known = slopes_of_seeds[~np.isnan(slopes_of_seeds)]
    return sign_flip(known) if len(known) > 1 else float("nan")
