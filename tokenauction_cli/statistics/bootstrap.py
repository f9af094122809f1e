"""Means with 95 % intervals by the bias-corrected and accelerated bootstrap (BCa, B. Efron, 1987), many at once.

With G the distribution of the mean over resamples, z0 = Phi^-1(G(mean)) the bias correction and
a = sum (x_k - mean)^3 / (6 (sum (x_k - mean)^2)^1.5) the acceleration (the jackknife's, for a mean), the bounds are
the quantiles of G at Phi(z0 + (z0 + z) / (1 - a (z0 + z))) for z = -1.96 and 1.96. Equal sample sizes share their
resamples, so the same numbers always give the same interval, in whatever unit: resamples whose mean is the sample's
count half, and rounding tells none of them apart. Of more than 4000 observations the mean is as good as normal: then
the interval is mean -+ 1.96 s / sqrt(n). No bound lies beyond the observations, hence none beyond a figure's range. Of
fewer than 5 observations it is too narrow: they seldom surround the truth.

A ratio of sums R = sum a_k / sum b_k goes the same way, with R + (a_k - R b_k) / mean(b), whose mean is R, in the place
of x_k, and so does the difference of two ratios of the same observations.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..system.arrays import Array, Indices
from .intervals import Estimate
from .rounding import apart
from .samples import of_each_size

RESAMPLES = 2000
MOST_RESAMPLED = 4000
TAILS = (0.025, 0.975)
_AT_ONCE = 128  # samples of one size: their resamples stay in the near caches
_NORMAL = NormalDist()


def mean_intervals(values: Array) -> list[Estimate]:
    """The mean of every column of (n, F), its NaN left out, with its BCa interval; an infinite mean has no interval.

    Columns are figures in units of their own. Source: B. Efron, "Better bootstrap confidence intervals" (1987).

    >>> (found,) = mean_intervals(np.array([[1.0], [2.0], [3.0], [4.0], [5.0], [6.0]]))
    >>> [round(bound, 2) for bound in found]
    [3.5, 2.17, 4.67]
    """
    return [Estimate(*row) for row in means_of_samples(values.T).tolist()]


def means_of_samples(samples: Array) -> Array:
    """Mean, low and high of every row of (K, n), as `mean_intervals` has them of columns, (K, 3).

    >>> means_of_samples(np.array([[2.0, 2.0, 2.0], [np.nan, 4.0, 4.0]])).tolist()
    [[2.0, 2.0, 2.0], [4.0, 4.0, 4.0]]
    """
    found = np.full((len(samples), 3), np.nan)
    for which, (values,) in of_each_size(samples, _AT_ONCE):
        found[which] = _means(values)
    return found


def ratios_of_samples(above: Array, below: Array) -> Array:
    """The ratio of sums of every row of (K, n) with its interval, (K, 3); where `above` is NaN neither counts.

    >>> ratios_of_samples(np.array([[1.0, 2.0, np.nan]]), np.array([[2.0, 4.0, 8.0]])).tolist()
    [[0.5, 0.5, 0.5]]
    """
    found = np.full((len(above), 3), np.nan)
    for which, both in of_each_size(above, _AT_ONCE, below):
        found[which] = _ratios(*both)
    return found


def _means(values: Array) -> Array:
    """Of (K, n), none of them NaN."""
    n = values.shape[1]
    with np.errstate(invalid="ignore"):
        found = np.column_stack([values.mean(axis=1), np.full((len(values), 2), np.nan)])
    finite = np.isfinite(values).all(axis=1)
    values, means = values[finite], found[finite, 0]
    if n > MOST_RESAMPLED:
        halves = _half(values)
        bounds = np.maximum(means - halves, values.min(axis=1)), np.minimum(means + halves, values.max(axis=1))
        found[finite, 1:] = np.column_stack(bounds)
    elif n > 1:
        found[finite] = _bca(values, means, lambda rows: np.sort(_resampled(values[rows]) / n))
    return found


def _ratios(above: Array, below: Array) -> Array:
    """Of (K, n), none of them NaN; one by one where some observations have nothing below."""
    found, is_resampled = np.empty((len(above), 3)), 1 < above.shape[1] <= MOST_RESAMPLED
    is_plain = (np.isfinite(above) & np.isfinite(below) & (below > 0) & is_resampled).all(axis=1)
    for k in np.flatnonzero(~is_plain).tolist():
        found[k] = Ratio.of(above[k], below[k]).estimate
    above, below = above[is_plain], below[is_plain]
    found[is_plain] = _bca(
        _parts(above, below),
        above.sum(axis=1) / below.sum(axis=1),
        lambda rows: np.sort(_resampled(above[rows]) / _resampled(below[rows])),
    )
    return found


def _parts(above: Array, below: Array) -> Array:
    """What every observation makes of the ratio, (..., n): their mean is the ratio."""
    value = above.sum(axis=-1, keepdims=True) / below.sum(axis=-1, keepdims=True)
    return np.asarray(value + (above - value * below) / below.mean(axis=-1, keepdims=True))


def _half(values: Array) -> Array:
    """Half the width of a normal mean's interval, of (..., n)."""
    half: Array = -_NORMAL.inv_cdf(TAILS[0]) * values.std(axis=-1, ddof=1) / np.sqrt(values.shape[-1])
    return half


class Ratio(NamedTuple):
    """A ratio of sums, what every observation makes of it (their mean is the ratio), and what every resample does.

    `ends` are the least and the largest ratio of one observation, between which that of the sums lies.

    >>> ratio = Ratio.of(np.array([1.0, 2.0, 3.0, 4.0, 5.0]), np.array([2.0, 2.0, 2.0, 4.0, 5.0]))
    >>> ratio.value
    1.0
    >>> [round(bound, 2) for bound in ratio.estimate]
    [1.0, 0.79, 1.2]
    """

    value: float
    parts: Array
    resampled: Array
    ends: tuple[float, float] = (-math.inf, math.inf)

    @classmethod
    def of(cls, above: Array, below: Array) -> Ratio:
        """Of two (n,), none of them NaN; NaN where the lower sum is 0 or a number is infinite."""
        n = len(above)
        if not (np.isfinite(above).all() and np.isfinite(below).all() and below.sum() > 0):
            return cls(np.nan, np.full(n, np.nan), np.empty(0))
        value, parts = float(above.sum() / below.sum()), _parts(above, below)
        with np.errstate(invalid="ignore", divide="ignore"):  # an observation or a resample may have nothing below
            each = above / below
            ends = float(np.nanmin(each)), float(np.nanmax(each))
            if n == 1 or n > MOST_RESAMPLED:
                return cls(value, parts, np.empty(0), ends)
            (resampled,) = _resampled(above[None]) / _resampled(below[None])
        return cls(value, parts, resampled, ends)

    def less(self, other: Ratio) -> Ratio:
        """The difference from a ratio of the same observations."""
        if len(self.resampled) != len(other.resampled):  # one of them is NaN
            return Ratio(np.nan, self.parts, np.empty(0))
        ends = self.ends[0] - other.ends[1], self.ends[1] - other.ends[0]
        with np.errstate(invalid="ignore"):
            parts, resampled = (apart(*both) for both in ((self.parts, other.parts), (self.resampled, other.resampled)))
        value = 0.0 if len(parts) and not parts.any() else self.value - other.value
        return Ratio(value, parts, resampled, ends)

    @property
    def estimate(self) -> Estimate:
        """With its BCa interval."""
        if np.isnan(self.value) or len(self.parts) == 1:
            return Estimate(self.value, np.nan, np.nan)
        if len(self.parts) > MOST_RESAMPLED:
            half, (least, most) = float(_half(self.parts)), self.ends
            return Estimate(self.value, max(self.value - half, least), min(self.value + half, most))
        resampled = np.sort(self.resampled[np.isfinite(self.resampled)])
        return Estimate(*_bca(self.parts[None], np.array([self.value]), lambda rows: resampled[None])[0].tolist())


def _resampled(values: Array) -> Array:
    """The sum of every resample of the rows of (K, n), (K, RESAMPLES); of equal rows once."""
    places: dict[bytes, int] = {}
    which = [places.setdefault(row.tobytes(), len(places)) for row in values]
    distinct = values[np.unique(which, return_index=True)[1]]
    return np.asarray(np.einsum("rn,kn->kr", _counts(values.shape[1]), distinct)[which])


def _counts(n: int) -> Array:
    """How often each of n observations is drawn in each resample, (RESAMPLES, n)."""
    return _drawn(n).astype(np.float64)


@lru_cache(maxsize=8)
def _drawn(n: int) -> NDArray[np.uint16]:
    """The same in a quarter of the memory: of thousands of observations eight of these stay."""
    return np.random.default_rng(n).multinomial(n, np.full(n, 1 / n), size=RESAMPLES).astype(np.uint16)


def _bca(values: Array, means: Array, resampled: Callable[[Indices], Array]) -> Array:
    """Mean and interval of the rows of (K, n), (K, 3); `resampled` gives the means of the resamples of some, sorted."""
    found = np.repeat(means[:, None], 3, axis=1)
    apart = values - means[:, None]
    largest = np.abs(apart).max(axis=1)
    moving = np.flatnonzero(largest > 1e-12 * np.abs(means))  # the others' values are equal up to rounding
    if not len(moving):
        return found
    apart, largest, means, sums = apart[moving], largest[moving], means[moving], resampled(moving)
    near = 1e-12 * np.maximum(np.abs(means), largest)  # rounding decides on no side: resamples at the mean count half
    below = (sums < (means - near)[:, None]).sum(axis=1) + (sums <= (means + near)[:, None]).sum(axis=1)
    apart = np.ldexp(apart, -np.frexp(largest)[1][:, None])  # no power of them is too small or too large for a number
    spreads = np.matmul(apart[:, None, :], apart[:, :, None])[:, 0, 0]
    shares = below / (2 * sums.shape[1])
    levels = np.array(list(map(_levels, shares.tolist(), (apart**3).sum(axis=1).tolist(), spreads.tolist())))
    found[moving, 1:] = _quantiles(sums, levels)
    return found


def _levels(share: float, cubes: float, squares: float) -> list[float]:
    """At which quantiles the bounds lie, given the share of resamples below the mean, and sums over the sample."""
    bias = _NORMAL.inv_cdf(min(max(share, 0.5 / RESAMPLES), 1 - 0.5 / RESAMPLES))
    acceleration = cubes / (6 * squares**1.5)
    return [_level(bias, acceleration, _NORMAL.inv_cdf(tail)) for tail in TAILS]


def _level(bias: float, acceleration: float, z: float) -> float:
    return _NORMAL.cdf(bias + (bias + z) / (1 - acceleration * (bias + z)))


def _quantiles(rows: Array, levels: Array) -> Array:
    """Of sorted rows, (K, R), at levels of their own, (K, L), on a straight line between neighbours: as np.quantile."""
    places = levels * (rows.shape[1] - 1)
    below = np.minimum(places.astype(np.int64), rows.shape[1] - 2)
    low, high = (np.take_along_axis(rows, k, axis=1) for k in (below, below + 1))
    part = places - below
    return np.asarray(np.where(part >= 0.5, high - (high - low) * (1 - part), low + (high - low) * part))
