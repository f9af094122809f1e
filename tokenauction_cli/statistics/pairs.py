"""A figure under two conditions, in pairs: its mean difference with a 95 % interval and a p-value.

    difference  mean over the pairs of (first - second)
    interval    'paired by seed' where r > tanh(1.645 / sqrt(n - 3)), that is where r, the correlation of the pairs, is
                above 0 beyond chance (R. A. Fisher's z, one-sided 5 %); 'unpaired' otherwise, in particular of 3 pairs
                or fewer
    low, high   paired: BCa of the differences. Unpaired: `intervals.difference` of the two sides' own intervals, with r
                where it is negative and 0 otherwise, so that nothing is gained from a pairing that was not found. Of
                rates always the latter: where they are paired with r, its covariance less 1/(2n), as Newcombe corrects
                it. So 0 of 8 texts against 0 of 8 has an interval too
    p_value     sign-flip test: how often random signs on the differences give a mean at least as far from 0. It holds
                whether or not the pairs are alike

Where no pair differs by more than 1e-9 of the larger figure, rounding alone tells the two sides apart: the difference
is 0, its interval [0, 0] (of a rate as above) and the p-value 1.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from ..system.arrays import Array
from .bootstrap import mean_intervals
from .intervals import Estimate, difference, rate_over_clusters, wilson
from .rounding import apart
from .sign_flips import sign_flip

PAIRED, UNPAIRED = "paired by seed", "unpaired"
_Z_ONE_SIDED = 1.6448536269514722


class Compared(NamedTuple):
    """The columns of a row after `seeds`; `correlation` is NaN where the figure is constant under one of the rules.

    >>> Compared(0.5, 0.25, 0.75, PAIRED, 0.9, 0.01).interval
    'paired by seed'
    """

    difference: float
    low: float
    high: float
    interval: str
    correlation: float
    p_value: float


def compared(first: Array, second: Array, n_texts: int | None = None) -> Compared:
    """Of a figure of n > 1 common seeds, (n,) under either rule; of a rate `n_texts` is how many texts it is of.

    Source: the notes above. In the figure's own unit, but for `correlation` and `p_value`.

    >>> found = compared(np.array([3.0, 4.0, 6.0, 7.0, 9.0]), np.array([1.0, 3.0, 4.0, 6.0, 7.0]))
    >>> round(found.difference, 3), found.interval, found.p_value
    (1.6, 'paired by seed', 0.0625)
    """
    r, differences = pearson(first, second), apart(first, second)
    paired = is_paired(r, len(first)) or (n_texts is None and not differences.any())
    if n_texts is not None:
        found = rate_difference(first, second, n_texts)
    elif paired:
        (found,) = mean_intervals(differences[:, None])
    else:
        own = mean_intervals(np.column_stack([first, second]))
        found = difference(own[0], own[1], _unshared(r))
    return Compared(*found, PAIRED if paired else UNPAIRED, r, sign_flip(differences))


def rate_difference(first: Array, second: Array, n_texts: int) -> Estimate:
    """first - second, of a rate of common seeds, (n,) of each, in `n_texts` texts; several to a seed need n > 1.

    >>> first, second = np.array([1.0, 1.0, 1.0, 0.0]), np.array([0.0, 0.0, 1.0, 0.0])
    >>> [round(bound, 3) for bound in rate_difference(first, second, 4)]
    [0.5, -0.135, 0.789]
    """
    r = pearson(first, second)
    counted = _correlation_of_rates(first, second) if is_paired(r, len(first)) else _unshared(r)
    second = first - apart(first, second)
    return difference(_rate(first, n_texts), _rate(second, n_texts), counted)


def _unshared(correlation: float) -> float:
    """What counts of a correlation that is not above 0 beyond chance."""
    return correlation if correlation < 0 else 0.0


def _rate(rates: Array, n_texts: int) -> Estimate:
    """Of one text per seed Wilson's; over several points the seeds are clusters."""
    if n_texts == len(rates):
        return Estimate(float(rates.mean()), *wilson(float(rates.sum()), n_texts))
    return rate_over_clusters(rates, n_texts)


def _correlation_of_rates(first: Array, second: Array) -> float:
    """With Newcombe's correction: 1/(2n) less covariance, and 0 where nothing is left."""
    covariance = float(np.mean(first * second) - first.mean() * second.mean()) - 1 / (2 * len(first))
    return max(0.0, covariance) / float(first.std() * second.std())


def pearson(first: Array, second: Array) -> float:
    """The correlation of pairs; NaN where one side does not move but for rounding.

    Of (n,) and (n,).

    >>> round(pearson(np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 4.0])), 3)
    0.982
    """
    first, second = (np.ldexp(side, -math.frexp(np.abs(side).max())[1]) for side in (first, second))
    a, b = (side - side.mean() for side in (first, second))
    spreads = [math.sqrt(float(side @ side)) for side in (a, b)]
    sizes = [float(np.abs(side).max()) for side in (first, second)]
    if any(spread <= 1e-12 * size * math.sqrt(len(a)) for spread, size in zip(spreads, sizes, strict=True)):
        return math.nan
    return max(-1.0, min(1.0, float(a @ b) / (spreads[0] * spreads[1])))


def is_paired(correlation: float, n: int) -> bool:
    """Whether the correlation of n pairs is above 0 beyond chance.

    r > tanh(1.645 / sqrt(n - 3)). Source: R. A. Fisher's z, one-sided at 5 %.

    >>> is_paired(0.9, 8), is_paired(0.5, 8), is_paired(1.0, 3)
    (True, False, False)
    """
    return n > 3 and correlation > math.tanh(_Z_ONE_SIDED / math.sqrt(n - 3))
