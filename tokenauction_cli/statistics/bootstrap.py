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
from functools import lru_cache
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..system.arrays import Array
from .intervals import Estimate
from .rounding import apart

RESAMPLES = 2000
MOST_RESAMPLED = 4000
TAILS = (0.025, 0.975)
_NORMAL = NormalDist()


def mean_intervals(values: Array) -> list[Estimate]:
    """The mean of every column of (n, F), its NaN left out, with its BCa interval; an infinite mean has no interval.

    Columns are figures in units of their own. Source: B. Efron, "Better bootstrap confidence intervals" (1987).

    >>> (found,) = mean_intervals(np.array([[1.0], [2.0], [3.0], [4.0], [5.0], [6.0]]))
    >>> [round(bound, 2) for bound in found]
    [3.5, 2.17, 4.67]
    """
    found = [Estimate(np.nan, np.nan, np.nan)] * values.shape[1]
    present = ~np.isnan(values)
    for pattern in {column.tobytes() for column in present.T}:  # columns that miss the same rows share resamples
        mask = np.frombuffer(pattern, dtype=bool)
        columns = [k for k, column in enumerate(present.T) if column.tobytes() == pattern]
        if mask.any():
            for k, interval in zip(columns, _intervals(values[mask][:, columns]), strict=True):
                found[k] = interval
    return found


def _intervals(values: Array) -> list[Estimate]:
    n = len(values)
    with np.errstate(invalid="ignore"):
        means = values.mean(axis=0)
    finite: NDArray[np.bool_] = np.atleast_1d(np.isfinite(values).all(axis=0))
    if n == 1 or not finite.any():
        return [Estimate(float(mean), np.nan, np.nan) for mean in means]
    if n > MOST_RESAMPLED:
        with np.errstate(invalid="ignore"):
            halves = _half(values)
            lows, highs = np.maximum(means - halves, values.min(axis=0)), np.minimum(means + halves, values.max(axis=0))
        return [Estimate(*map(float, interval)) for interval in zip(means, lows, highs, strict=True)]
    resampled = np.sort(np.einsum("rn,nf->rf", _counts(n), np.where(finite, values, 0.0)) / n, axis=0)
    return [
        _bca(values[:, k], float(means[k]), resampled[:, k]) if finite[k] else Estimate(float(means[k]), np.nan, np.nan)
        for k in range(values.shape[1])
    ]


def _half(values: Array) -> Array:
    """Half the width of a normal mean's interval."""
    half: Array = -_NORMAL.inv_cdf(TAILS[0]) * values.std(axis=0, ddof=1) / np.sqrt(len(values))
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
        value = float(above.sum() / below.sum())
        parts = value + (above - value * below) / below.mean()
        with np.errstate(invalid="ignore", divide="ignore"):  # an observation or a resample may have nothing below
            each = above / below
            ends = float(np.nanmin(each)), float(np.nanmax(each))
            if n == 1 or n > MOST_RESAMPLED:
                return cls(value, parts, np.empty(0), ends)
            counts = _counts(n)
            resampled = np.einsum("rn,n->r", counts, above) / np.einsum("rn,n->r", counts, below)
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
        return _bca(self.parts, self.value, np.sort(self.resampled[np.isfinite(self.resampled)]))


def _counts(n: int) -> Array:
    """How often each of n observations is drawn in each resample, (RESAMPLES, n)."""
    return _drawn(n).astype(np.float64)


@lru_cache(maxsize=8)
def _drawn(n: int) -> NDArray[np.uint16]:
    """The same in a quarter of the memory: of thousands of observations eight of these stay."""
    return np.random.default_rng(n).multinomial(n, np.full(n, 1 / n), size=RESAMPLES).astype(np.uint16)


def _bca(values: Array, mean: float, resampled: Array) -> Estimate:
    """`resampled` is sorted."""
    apart = values - mean
    largest = float(np.abs(apart).max())
    if largest <= 1e-12 * abs(mean):  # equal values up to rounding
        return Estimate(mean, mean, mean)
    apart = np.ldexp(apart, -math.frexp(largest)[1])  # no power of them is too small or too large for a number
    spread = float(apart @ apart)
    near = 1e-12 * max(abs(mean), largest)  # rounding decides on no side: resamples at the mean count half
    below = np.searchsorted(resampled, mean - near, side="left") + np.searchsorted(resampled, mean + near, side="right")
    share = float(below) / (2 * len(resampled))
    bias = _NORMAL.inv_cdf(min(max(share, 0.5 / RESAMPLES), 1 - 0.5 / RESAMPLES))
    acceleration = float((apart**3).sum()) / (6 * spread**1.5)
    levels = [_level(bias, acceleration, _NORMAL.inv_cdf(tail)) for tail in TAILS]
    low, high = np.quantile(resampled, levels)
    return Estimate(mean, float(low), float(high))


def _level(bias: float, acceleration: float, z: float) -> float:
    return _NORMAL.cdf(bias + (bias + z) / (1 - acceleration * (bias + z)))
