"""Aggregation rules compared in pairs: what a figure is under the first less what it is under the second.

Texts of one seed share their random numbers, so each seed gives a difference. Whether that makes the difference more
certain depends on the rules and is measured: r, the correlation over the seeds of the figure under the two rules.

    difference  mean over the seeds of (first - second)
    interval    'paired by seed' where r > tanh(1.645 / sqrt(n - 3)), that is where r is above 0 beyond chance (R. A.
                Fisher's z, one-sided 5 %); 'unpaired' otherwise, in particular of 3 seeds or fewer
    low, high   paired: BCa of the seeds' differences. Unpaired: `intervals.difference` of the two rules' own
                intervals, with r where it is negative and 0 otherwise, so that nothing is gained from a pairing that
                was not found. Of rates always the latter: where they are paired with r, its covariance less 1/(2n), as
                Newcombe corrects it. So 0 of 8 texts against 0 of 8 has an interval too
    p_value     sign-flip test: how often random signs on the differences give a mean at least as far from 0. It holds
                whether or not the seeds are alike

`comparisons.csv` has one row per (query, point, pair of rules, figure), and one with an empty point where each seed's
figures are first averaged over the points. Figures in two measures (`comparable.py`) have none. The p-values are not
corrected for their number.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache
from itertools import combinations, product
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..experiment.experiment import Experiment
from ..mechanism.audit.finding import wilson
from .bootstrap import mean_intervals
from .comparable import are_comparable
from .intervals import Estimate, difference, rate_over_clusters
from .metrics import is_rate, observations, sampling_of_rules

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[np.float64]

KEY = ["query", "point", "relative_weight", "first", "second", "first_sampling", "second_sampling"]
PAIRED, UNPAIRED = "paired by seed", "unpaired"
FLIPS = 2000
_FLIPS_AT_ONCE = 100
_MOST_SEEDS_FOR_ALL_SIGNS = 10
_Z_ONE_SIDED = 1.6448536269514722


class Compared(NamedTuple):
    """The columns of a row after `seeds`; `correlation` is NaN where the figure is constant under one of the rules."""

    difference: float
    low: float
    high: float
    interval: str
    correlation: float
    p_value: float


COLUMNS = [*KEY, "figure", "seeds", *Compared._fields]


def comparisons_frame(experiment: Experiment, cells: pd.DataFrame) -> pd.DataFrame:
    """`comparisons.csv`; empty with one aggregation rule."""
    import pandas as pd

    finished = cells[cells["end_reason"] != "failed"]
    values = observations(experiment, finished)
    keys = [finished[name].rename(name) for name in ("query", "aggregation", "point", "seed")]
    table = values.set_axis(pd.MultiIndex.from_arrays(keys), axis=0)
    weight_of = dict(zip(finished["point"], finished["relative_weight"], strict=True))
    samplers = sampling_of_rules(finished)
    rows: list[tuple[Any, ...]] = []
    for query in dict.fromkeys(finished["query"]):
        here = table.xs(query, level="query")
        rules = list(dict.fromkeys(here.index.get_level_values("aggregation")))
        for pair in combinations(rules, 2):
            names = (*pair, *(samplers[rule] for rule in pair))
            first, second = _matched(here, *pair)
            rows += _rows((query, None, None, *names), first, second)
            for point in sorted(set(first.index.get_level_values("point"))):
                here_too = (one.xs(point, level="point") for one in (first, second))
                rows += _rows((query, point, weight_of.get(point), *names), *here_too)
    frame = pd.DataFrame(rows, columns=COLUMNS)
    return frame.astype({"point": "Int64"})


def _matched(table: Any, first: str, second: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The comparable figures of two rules by (point, seed), NaN under both where one has no finite number."""
    figures = [figure for figure in table.columns if are_comparable(figure, first, second)]
    left: Any = table[figures].xs(first, level="aggregation")
    right: Any = table[figures].xs(second, level="aggregation")
    common = left.index.intersection(right.index)
    left, right = left.loc[common], right.loc[common]
    usable = np.isfinite(left) & np.isfinite(right)
    return left.where(usable), right.where(usable)


def _rows(key: tuple[Any, ...], first: Any, second: Any) -> Iterator[tuple[Any, ...]]:
    """One row per figure that both rules have in two seeds or more."""
    n_texts = first.groupby(level="seed").count().sum()
    left, right = (one.groupby(level="seed").mean() for one in (first, second))
    for figure in left.columns:
        a, b = (one[figure].dropna().to_numpy(dtype=float) for one in (left, right))
        if len(a) > 1:
            yield (*key, figure, len(a), *compared(a, b, int(n_texts[figure]) if is_rate(figure) else None))


def compared(first: Array, second: Array, n_texts: int | None = None) -> Compared:
    """Of a figure of n > 1 common seeds, (n,) under either rule; of a rate `n_texts` is how many texts it is of."""
    r = pearson(first, second)
    paired = is_paired(r, len(first))
    if n_texts is not None:
        apart = rate_difference(first, second, n_texts)
    elif paired:
        (apart,) = mean_intervals((first - second)[:, None])
    else:
        own = mean_intervals(np.column_stack([first, second]))
        apart = difference(own[0], own[1], _unshared(r))
    return Compared(*apart, PAIRED if paired else UNPAIRED, r, sign_flip(first - second))


def rate_difference(first: Array, second: Array, n_texts: int) -> Estimate:
    """first - second, of a rate of common seeds, (n,) of each, in `n_texts` texts; several to a seed need n > 1."""
    r = pearson(first, second)
    counted = _correlation_of_rates(first, second) if is_paired(r, len(first)) else _unshared(r)
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
    """The correlation of pairs; NaN where one side does not move but for rounding."""
    a, b = (side - side.mean() for side in (first, second))
    spreads = [math.sqrt(float(side @ side)) for side in (a, b)]
    sizes = [float(np.abs(side).max()) for side in (first, second)]
    if any(spread <= 1e-12 * size * math.sqrt(len(a)) for spread, size in zip(spreads, sizes, strict=True)):
        return math.nan
    return max(-1.0, min(1.0, float(a @ b) / (spreads[0] * spreads[1])))


def is_paired(correlation: float, n: int) -> bool:
    """Whether the correlation of n pairs is above 0 beyond chance."""
    return n > 3 and correlation > math.tanh(_Z_ONE_SIDED / math.sqrt(n - 3))


def sign_flip(differences: Array) -> float:
    """Two-sided p-value of the mean difference being 0: exact for up to 10 differences, from 2000 flips for more."""
    signs = _signs(len(differences))
    parts = (signs[k : k + _FLIPS_AT_ONCE].astype(float) for k in range(0, len(signs), _FLIPS_AT_ONCE))
    means = np.abs(np.concatenate([np.einsum("rn,n->r", part, differences) for part in parts]))
    observed = abs(float(differences.sum()))
    as_far = int((means >= observed * (1 - 1e-12)).sum())
    exact = len(differences) <= _MOST_SEEDS_FOR_ALL_SIGNS
    return as_far / len(signs) if exact else (as_far + 1) / (len(signs) + 1)


@lru_cache(maxsize=8)
def _signs(n: int) -> NDArray[np.int8]:
    if n <= _MOST_SEEDS_FOR_ALL_SIGNS:
        return np.array(list(product((1, -1), repeat=n)), dtype=np.int8)
    random = np.random.default_rng(n)
    parts = [min(_FLIPS_AT_ONCE, FLIPS - k) for k in range(0, FLIPS, _FLIPS_AT_ONCE)]
    return np.concatenate([random.choice(np.array([-1, 1], dtype=np.int8), size=(rows, n)) for rows in parts])
