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

_NUMBERS_AT_ONCE = 1 << 18


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
    return TrendShape(*shapes(weights, means[None])[0].tolist())


def shapes(weights: Array, curves: Array) -> Array:
    """The same of every row of (K, n), (K, 3).

    >>> shapes(np.array([0.0, 0.5, 1.0]), np.array([[1.0, 2.0, 3.0], [3.0, 3.0, 2.0]])).round(3).tolist()
    [[1.0, 0.0, 0.0], [-0.816, 0.0, 0.0]]
    """
    at_once = max(1, _NUMBERS_AT_ONCE // len(weights) ** 2)
    return np.concatenate([_shapes(weights, curves[k : k + at_once]) for k in range(0, len(curves), at_once)])


def _shapes(weights: Array, curves: Array) -> Array:
    sizes = np.abs(curves).max(axis=1)
    sizes[sizes == 0] = 1.0
    means = np.round(curves / sizes[:, None], 12)
    found = np.zeros((len(curves), 3))
    found[:, 0] = kendall_tau(weights, means)
    places, which, counts = np.unique(weights, return_inverse=True, return_counts=True)
    in_order = means @ (which[:, None] == np.arange(len(places))) / counts  # points of equal weight are one, their mean
    steps = np.diff(in_order)
    goes_one_way = ((steps >= 0).all(axis=1) | (steps <= 0).all(axis=1)) & (len(places) == len(weights))
    bent = np.flatnonzero(~(goes_one_way | np.isnan(found[:, 0])))
    if not len(bent):
        return found
    fits = [means[bent] - sign * _isotonic(sign * in_order[bent], counts)[:, which] for sign in (1.0, -1.0)]
    squares = [_squares(distances) for distances in fits]
    apart = np.where((squares[0] <= squares[1])[:, None], *fits)
    found[bent, 1] = sizes[bent] * np.abs(apart).max(axis=1)
    found[bent, 2] = np.minimum(*squares) / _squares(means[bent] - means[bent].mean(axis=1, keepdims=True))
    return found


def _squares(rows: Array) -> Array:
    """Their sums, by row."""
    return np.asarray(np.matmul(rows[:, None, :], rows[:, :, None])[:, 0, 0])


def kendall_tau(x: Array, y: Array) -> Array:
    """Tau-b: concordant less discordant pairs, over the geometric mean of the pairs not tied in x and in y.

    NaN where x or y does not move. Unlike scipy's it is 1 and not .9999999999999999 where y always rises.

    Of (n,) and (..., n). Source: M. G. Kendall, Biometrika 33 (1945) 239.

    >>> round(float(kendall_tau(np.array([1.0, 2.0, 3.0]), np.array([1.0, 3.0, 2.0]))), 3)
    0.333
    """
    first, second = np.triu_indices(len(x), 1)
    dx, dy = (np.sign(v[..., first] - v[..., second]) for v in (x, y))
    untied = np.sqrt((dx * dx).sum() * (dy * dy).sum(axis=-1))
    with np.errstate(invalid="ignore"):
        return np.asarray((dx * dy).sum(axis=-1) / np.where(untied, untied, np.nan))


def _isotonic(rows: Array, counts: Integers) -> Array:
    """The nearest values, in squares weighted by the counts (n,), that never fall along a row of (K, n).

    At i it is the largest over j <= i of the least over k >= i of the mean of j .. k.
    Source: R. E. Barlow et al., Statistical Inference under Order Restrictions (1972), the max-min formula.
    """
    later = np.triu(np.ones((len(counts), len(counts)), dtype=bool))
    sums = np.cumsum(np.where(later, (rows * counts)[:, None, :], 0.0), axis=2)
    means = sums / np.where(later, np.cumsum(np.where(later, counts, 0), axis=1), 1)
    least = np.minimum.accumulate(np.where(later, means, np.inf)[:, :, ::-1], axis=2)[:, :, ::-1]
    return np.asarray(np.where(later, least, -np.inf).max(axis=1))


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
