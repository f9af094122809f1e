"""95 % intervals that stay in a figure's range, of means over clusters of texts and of differences.

mean      means of m clusters (queries): mean -+ t_(m-1) s / sqrt(m), s the spread of the clusters' means, cut to the
          figure's range; a cut loses no coverage, for the truth lies in the range. Never narrower than the clusters'
          own intervals allow, mean - sqrt(sum (mean_k - low_k)^2) / m: few clusters can agree by luck.
rate      Wilson's interval of n texts, with n the effective number n* = min(n, p (1 - p) (z / t)^2 / (s^2 / m)):
          E. L. Korn and B. I. Graubard, Survey Methodology 24 (1998), with Wilson's interval as N. Dean and
          M. Pagano, J. Survey Statistics and Methodology 3 (2015). n* <= n, so it is never narrower than Wilson's.
difference  of two estimates: d - sqrt(a^2 - 2 r a b + b^2) with a = mean_1 - low_1, b = high_2 - mean_2, likewise
          upward (square-and-add, or MOVER: G. Y. Zou and A. Donner, Statistics in Medicine 27, 2008). Of two rates
          with Wilson's intervals it is R. G. Newcombe's, Statistics in Medicine 17 (1998) 873 and 2635. It lies
          within [low_1 - high_2, high_1 - low_2].
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from ..system.arrays import Array

Z = 1.959963984540054  # the 97.5 % point of the normal distribution
LEVEL = 0.95
_ROUNDING = 1e-9


class Estimate(NamedTuple):
    """An estimate with its 95 % interval; NaN bounds where one observation says nothing of the spread.

    >>> Estimate(0.5, 0.25, 0.75).high
    0.75
    """

    mean: float
    low: float
    high: float


class Interval(NamedTuple):
    """An interval alone, of the 95 % that all of these have.

    >>> Interval(0.25, 0.75).low
    0.25
    """

    low: float
    high: float


def wilson(successes: float, trials: float) -> Interval:
    """The 95 % interval of the probability behind `successes` out of `trials`; [0, 1] without a trial.

    Of dependent trials it takes their effective number, which need not be whole.

    (p + z^2/2n -+ z sqrt(p (1 - p) / n + z^2/4n^2)) / (1 + z^2/n), with p the share and n the trials.
    Source: E. B. Wilson, J. American Statistical Association 22 (1927) 209.

    >>> [round(bound, 3) for bound in wilson(0, 8)]
    [0.0, 0.324]
    >>> [round(bound, 3) for bound in wilson(4, 8)]
    [0.215, 0.785]
    """
    if trials == 0:
        return Interval(0.0, 1.0)
    share, z2 = successes / trials, Z * Z / trials
    middle = (share + z2 / 2) / (1 + z2)
    half = Z / (1 + z2) * math.sqrt(share * (1 - share) / trials + z2 / (4 * trials))
    low = max(0.0, middle - half) if successes else 0.0
    return Interval(low, min(1.0, middle + half) if successes < trials else 1.0)


def rates_of_samples(samples: Array) -> Array:
    """The share of 1 among the 0 and 1 of every row of (K, n), its NaN left out, with Wilson's interval, (K, 3).

    >>> rates_of_samples(np.array([[1.0, 0.0, np.nan]])).round(3).tolist()
    [[0.5, 0.095, 0.905]]
    """
    hits, trials = np.nansum(samples, axis=1).tolist(), (~np.isnan(samples)).sum(axis=1).tolist()
    known = {
        pair: Estimate(pair[0] / pair[1] if pair[1] else math.nan, *wilson(*pair))
        for pair in {*zip(hits, trials, strict=True)}
    }
    return np.array([known[pair] for pair in zip(hits, trials, strict=True)])


def mean_over_clusters(clusters: Array, bounds: tuple[float, float]) -> Estimate:
    """Of (m, 3): each cluster's mean, low and high. Clusters without a mean do not count; one has no interval.

    `bounds` is the range of the figure, in its own unit.

    >>> clusters = np.array([[0.2, 0.1, 0.3], [0.4, 0.3, 0.5], [0.6, 0.5, 0.7]])
    >>> [round(bound, 3) for bound in mean_over_clusters(clusters, (0.0, 1.0))]
    [0.4, 0.0, 0.897]
    """
    clusters = clusters[~np.isnan(clusters[:, 0])]
    means = clusters[:, 0]
    m = len(means)
    mean = float(means.mean()) if m else math.nan
    if m < 2 or not np.isfinite(means).all():
        return Estimate(mean, math.nan, math.nan)
    half = t_quantile(m - 1) * float(means.std(ddof=1)) / math.sqrt(m)
    below, above = (float(np.sqrt(np.nansum((clusters[:, k] - means) ** 2))) / m for k in (1, 2))
    low, high = kept_bounds(means, bounds)
    return Estimate(mean, min(mean, max(low, mean - max(half, below))), max(mean, min(high, mean + max(half, above))))


def kept_bounds(means: Array, bounds: tuple[float, float]) -> tuple[float, float]:
    """The range of a figure; an end that some mean lies beyond, as a rule of one's own may pay agents, is none.

    Of means (m,).

    >>> kept_bounds(np.array([0.2, 0.9]), (0.0, 1.0))
    (0.0, 1.0)
    >>> kept_bounds(np.array([-0.2, 0.9]), (0.0, 1.0))
    (-inf, 1.0)
    """
    low, high = bounds
    return low if means.min() >= low - _ROUNDING else -math.inf, high if means.max() <= high + _ROUNDING else math.inf


def rate_over_clusters(rates: Array, n_texts: float) -> Estimate:
    """Of the rates of at least two clusters, which have `n_texts` together.

    Rates (m,) in [0, 1]. Source: Korn and Graubard (1998), Dean and Pagano (2015), as above.

    >>> [round(bound, 3) for bound in rate_over_clusters(np.array([0.25, 0.5, 0.75]), 24)]
    [0.5, 0.111, 0.889]
    """
    m, rate = len(rates), float(rates.mean())
    spread = t_quantile(m - 1) ** 2 * float(rates.var(ddof=1)) / m
    effective = min(n_texts, Z**2 * rate * (1 - rate) / spread) if spread > 0 else n_texts
    return Estimate(rate, *wilson(rate * effective, effective))


def difference(first: Estimate, second: Estimate, correlation: float) -> Estimate:
    """first - second; `correlation` is that of the two estimates.

    Both in the unit of the figure. Source: Zou and Donner (2008), Newcombe (1998), as above.

    >>> first, second = Estimate(0.5, 0.25, 0.75), Estimate(0.25, 0.125, 0.5)
    >>> [round(bound, 4) for bound in difference(first, second, correlation=0.0)]
    [0.25, -0.1036, 0.5295]
    """
    apart = first.mean - second.mean
    down = _square_and_add(first.mean - first.low, second.high - second.mean, correlation)
    up = _square_and_add(first.high - first.mean, second.mean - second.low, correlation)
    return Estimate(apart, apart - down, apart + up)


def _square_and_add(a: float, b: float, correlation: float) -> float:
    size = max(abs(a), abs(b)) or 1.0  # the square of a tiny number is 0
    a, b = a / size, b / size
    square = a * a - 2 * correlation * a * b + b * b
    return size * math.sqrt(max(0.0, square)) if not math.isnan(square) else math.nan


@lru_cache(maxsize=256)
def t_quantile(df: int, level: float = LEVEL) -> float:
    """The t at which Student's distribution of `df` degrees of freedom has `level` between -t and t.

    >>> round(t_quantile(2), 3), round(t_quantile(1000), 3)
    (4.303, 1.962)
    """
    from scipy.special import stdtrit

    return float(stdtrit(df, (1 + level) / 2))
