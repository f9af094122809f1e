"""What deviations gain over truth, estimated from sampled texts with simultaneous bounds.

D_kd = u(deviation d, text k) - u(truth, text k), both drawn by one seed. The mean over texts (of several queries: the
mean of their means) estimates the gain of d, and with one c for all deviations

    mean_d - c se_d <= gain_d for every d                    with probability `level`, likewise upward with its own c,

so the best of all gains is at least the largest lower bound, and at most the largest upper one. c is the bootstrap's
max-t: for the lower bounds the `level` quantile over resamples of max_d (mean*_d - mean_d) / se*_d, for the upper ones
of max_d (mean_d - mean*_d) / se*_d, never below 0. A resample draws texts with all their deviations; of several
queries it draws whole queries.

What keeps an se from being too small by luck (d):
- A utility of v times a whole number (a mention, a count) changes rarely, by v at least. With f changes in n texts
  se^2 >= v^2 (f + 4) / (n + 8) / n, and c >= 2.75: texts without any change do not say that none can change.
- An se of several queries is never less than what the spread within the queries makes of it.
- A resample's se is at least a quarter of the sample's. Else one text that alone matters, and that a third of the
  resamples miss, widens the bounds of all deviations without limit.

Infinite differences come from zero probabilities. Each has a positive probability once it was seen, so a deviation
with -inf (or inf) among its differences has that mean and these bounds. With both, or with NaN (-inf under both), truth
and deviation are both worth -inf: the mean is put at 0, its bounds at -inf and inf.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...system.arrays import Integers
from ..distributions import Array

RESAMPLES = 2000
FEW_QUERIES = 5
"""Of fewer, but more than one, bounds are too narrow: of 95 %, some 70 of 2 queries, 90 of 4."""

FEW_FLIPS = 10
"""Where fewer texts change, the bounds of a whole number rest on its floor; those of other kinds have none."""

LEAST_CRITICAL = 2.75
_AT_ONCE = 250  # resamples
_LEAST_SHARE = 0.25  # of the sample's se, in a resample
_ROUNDING = 1e-24  # of a variance, relative to the square of the mean


class Floor(NamedTuple):
    """For utilities of `value` times a whole number: in how many texts that number is not truth's, (d,).

    `value` is one for all deviations, or each one's own, (d,).
    """

    value: float | Array
    flips: Integers

    @classmethod
    def of(cls, value: float, measured: Array, truth: Array) -> Floor:
        """Of the whole numbers of each deviation's texts, (n_texts, d), and of truth's, (n_texts,)."""
        return cls(value, np.count_nonzero(measured != truth[:, None], axis=0).astype(np.int64))

    @classmethod
    def joined(cls, floors: Sequence[Floor]) -> Floor:
        """Of several agents' deviations, one after the other."""
        values = [np.broadcast_to(floor.value, floor.flips.shape) for floor in floors]
        return cls(np.concatenate(values), np.concatenate([floor.flips for floor in floors]))

    def least_variances(self, n_texts: int) -> Array:
        """Below which no squared se may fall, (d,)."""
        least: Array = self.value**2 * (self.flips + 4) / (n_texts + 8) / n_texts
        return least


@dataclass(frozen=True)
class Gains:
    """Mean gains over truth of d deviations, and bounds that hold for all of them at once.

    `lower` and `upper`, (d,), hold with probability `level` each: for a two-sided statement of 95 % it is .975. They
    are infinite where the texts are too few to have a spread.
    """

    mean: Array
    se: Array
    lower: Array
    upper: Array
    level: float
    critical_lower: float
    critical_upper: float
    n_texts: int
    n_queries: int

    @property
    def best(self) -> int:
        """The deviation with the largest mean; it is biased upward, see `split_choice`."""
        return int(self.mean.argmax())

    @property
    def regret_at_most(self) -> float:
        """No deviation gains more, with probability `level`: regret at most this, on this grid."""
        return max(0.0, float(self.upper.max()))

    @property
    def gains_at_least(self) -> float:
        """Some deviation gains that much, with probability `level`; 0 where none is known to gain."""
        return max(0.0, float(self.lower.max()))


def estimate_gains(differences: Array, clusters: Integers, level: float = 0.975, floor: Floor | None = None) -> Gains:
    """The gains of d deviations from their paired differences, (n_texts, d), and each text's query, (n_texts,).

    Leave truth itself out: its gain is 0, without an error. The same numbers always give the same bounds. Raises
    ValueError for no text or no deviation, and for a level outside [.5, 1).
    """
    _check(differences, clusters, level)
    sample = _Sample.of(differences, clusters, floor)
    least_critical = LEAST_CRITICAL if floor else 0.0
    down, up = (max(least_critical, critical) for critical in sample.critical_values(level))
    return Gains(
        sample.mean,
        sample.se,
        *sample.bounds(down, up),
        level=level,
        critical_lower=down,
        critical_upper=up,
        n_texts=len(differences),
        n_queries=len(np.unique(clusters)),
    )


def _check(differences: Array, clusters: Integers, level: float) -> None:
    if differences.ndim != 2 or 0 in differences.shape:
        raise ValueError(f"differences need a text and a deviation at least, not the shape {differences.shape}")
    if clusters.shape != differences.shape[:1]:
        raise ValueError(f"{len(differences)} texts need as many clusters, not {clusters.shape}")
    if not 0.5 <= level < 1:
        raise ValueError(f"level must be at least .5 and below 1, not {level}")


class _Sample(NamedTuple):
    """What is resampled: rows around their mean, (m, d), and the least squared se; what is infinite is 0 in `apart`."""

    apart: Array
    mean: Array
    se: Array
    least: Array

    @classmethod
    def of(cls, differences: Array, clusters: Integers, floor: Floor | None) -> _Sample:
        finite = np.isfinite(differences).all(axis=0)
        rows, within = _rows(np.where(finite, differences, 0.0), clusters)
        mean = rows.mean(axis=0)
        apart = rows - mean
        squares = (apart**2).sum(axis=0)
        apart[:, squares <= _ROUNDING * len(rows) * mean**2] = 0.0  # equal values
        least = np.maximum(within, floor.least_variances(len(differences)) if floor else 0.0)
        se = np.sqrt(np.maximum(_squared_se(apart), least)) if len(rows) > 1 else np.full(len(mean), np.inf)
        return cls(apart, np.where(finite, mean, _infinite_means(differences)), np.where(finite, se, np.inf), least)

    def critical_values(self, level: float) -> tuple[float, float]:
        """c of the lower bounds and of the upper ones."""
        known = np.isfinite(self.se)
        if not known.any():
            return 0.0, 0.0
        apart, se = self.apart[:, known], self.se[known]
        least = np.maximum(self.least[known], (_LEAST_SHARE * se) ** 2)
        extremes = [_extreme_t(counts, apart, least) for counts in _resamples(len(apart))]
        down, up = np.sort(np.concatenate(extremes, axis=1), axis=1)[:, math.ceil(level * RESAMPLES) - 1]
        return float(down), float(up)

    def bounds(self, down: float, up: float) -> tuple[Array, Array]:
        """mean - c se and mean + c se; an infinite mean is its own bounds."""
        known = np.isfinite(self.se)
        below, above = (np.where(known, c * np.where(known, self.se, 0.0), np.inf) for c in (down, up))
        sure = np.isinf(self.mean)
        return self.mean - np.where(sure, 0.0, below), self.mean + np.where(sure, 0.0, above)


def _rows(differences: Array, clusters: Integers) -> tuple[Array, Array]:
    """Texts, or of several queries their means, (m, d); and the squared se that the spread within queries makes."""
    queries, which, sizes = np.unique(clusters, return_inverse=True, return_counts=True)
    if len(queries) == 1:
        return differences, np.zeros(differences.shape[1])
    means = _sums(differences, which) / sizes[:, None]
    squares = _sums((differences - means[which]) ** 2, which)
    squared_se = squares / (np.maximum(sizes - 1, 1) * sizes)[:, None]
    return means, squared_se.sum(axis=0) / len(queries) ** 2


def _sums(values: Array, which: NDArray[np.intp]) -> Array:
    """Of the rows of each query, (n_queries, d)."""
    return np.stack([np.bincount(which, weights=column) for column in values.T], axis=1)


def _infinite_means(differences: Array) -> Array:
    """-inf or inf where these alone are among a deviation's differences, else 0, (d,)."""
    falls, rises = ((differences == sign * np.inf).any(axis=0) for sign in (-1, 1))
    undefined = np.isnan(differences).any(axis=0) | (falls & rises)
    return np.select([undefined, falls, rises], [0.0, -np.inf, np.inf], 0.0)


def _squared_se(apart: Array) -> Array:
    """Of the mean of rows, at least two, given as distances from it, (d,)."""
    squared: Array = (apart**2).sum(axis=0) / (len(apart) - 1) / len(apart)
    return squared


def _resamples(n: int) -> Iterator[Array]:
    """How often each of n rows is drawn, by (250, n) until there are 2000 resamples."""
    rng = np.random.default_rng(n)
    for _ in range(RESAMPLES // _AT_ONCE):
        drawn = rng.integers(n, size=(_AT_ONCE, n)) + n * np.arange(_AT_ONCE)[:, None]
        yield np.bincount(drawn.ravel(), minlength=n * _AT_ONCE).reshape(_AT_ONCE, n).astype(np.float64)


def _extreme_t(counts: Array, apart: Array, least: Array) -> Array:
    """The largest t of each resample and the largest -t, (2, resamples). Without BLAS, whose threads change digits."""
    n = len(apart)
    moved, squares = (np.einsum("rn,nd->rd", counts, rows) / n for rows in (apart, apart**2))
    squared = np.maximum((squares - moved**2) / (n - 1), least)
    t = np.divide(moved, np.sqrt(squared), out=np.zeros_like(moved), where=squared > 0)
    return np.stack([t.max(axis=1), -t.min(axis=1)])


class SplitChoice(NamedTuple):
    """The mean gain of what each half of the seeds chooses, in the other half; `chosen` is None where that is truth.

    In the mean it is at most the best gain. `lower` and `upper` bound what it estimates, with probability `level` each.
    """

    gain: float
    lower: float
    upper: float
    chosen: tuple[int | None, int | None]


def split_choice(
    differences: Array, seeds: Integers, clusters: Integers, level: float = 0.975, floor: Floor | None = None
) -> SplitChoice:
    """Choose on every second seed (of 0, 1, 2, ... the even ones), evaluate on the others, swap, and take all together.

    Unlike the largest mean it is not biased upward: no text both chooses and is counted. `seeds` (n_texts,), the rest
    as in `estimate_gains`, with the same errors.
    """
    _check(differences, clusters, level)
    second = _second_half(seeds)
    chosen = _choice(differences[~second], clusters[~second]), _choice(differences[second], clusters[second])
    if chosen == (None, None):
        return SplitChoice(0.0, 0.0, 0.0, chosen)
    counted = np.zeros(len(differences))
    for choice, others in zip(chosen, (second, ~second), strict=True):
        if choice is not None:
            counted[others] = differences[others, choice]
    found = estimate_gains(counted[:, None], clusters, level, _floor_of(floor, chosen))
    return SplitChoice(float(found.mean[0]), float(found.lower[0]), float(found.upper[0]), chosen)


def _second_half(seeds: Integers) -> NDArray[np.bool_]:
    """Whether a text is of the second, the fourth, ... seed, (n_texts,)."""
    is_second: NDArray[np.bool_] = np.unique(seeds, return_inverse=True)[1] % 2 == 1
    return is_second


def chosen_by_the_other_half(values: Array, seeds: Integers) -> Integers:
    """For every text the alternative of (n_texts, d) with the largest mean in the other half of the seeds, (n_texts,).

    What the texts have there is in the mean at most the best alternative's, unlike the largest of all means. A single
    seed has no other half: there all texts choose.
    """
    second = _second_half(seeds)
    if not second.any():
        return np.full(len(seeds), int(values.mean(axis=0).argmax()), dtype=np.int64)
    by_first, by_second = (int(values[half].mean(axis=0).argmax()) for half in (~second, second))
    return np.where(second, by_first, by_second)


def _choice(differences: Array, clusters: Integers) -> int | None:
    """The deviation with the largest mean, None (truth) where none has a positive one."""
    if not len(differences):
        return None
    mean = _Sample.of(differences, clusters, None).mean
    best = int(mean.argmax())
    return best if mean[best] > 0 else None


def _floor_of(floor: Floor | None, chosen: tuple[int | None, int | None]) -> Floor | None:
    """Each half of the texts has half the flips of what it evaluates."""
    if floor is None:
        return None
    flips = sum(floor.flips[choice] for choice in chosen if choice is not None)
    return Floor(floor.value, np.array([flips // 2]))
