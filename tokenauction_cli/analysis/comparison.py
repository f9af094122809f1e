"""Aggregation rules compared in pairs on common seeds: with the same random numbers each seed gives a difference.

    difference   mean over the seeds of (first - second), with its 95 % BCa interval `low`, `high`
    p_value      sign-flip test: how often random signs on the differences give a mean at least as far from 0

`comparisons.csv` has one row per (query, point, pair of rules, figure), and one with an empty point where each seed's
difference is first averaged over the points. The p-values are not corrected for their number.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import combinations, product
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..experiment.experiment import Experiment
from .bootstrap import mean_intervals
from .metrics import observations

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[np.float64]

KEY = ["query", "point", "relative_weight", "first", "second"]
COLUMNS = [*KEY, "figure", "seeds", "difference", "low", "high", "p_value"]
FLIPS = 2000
_MOST_SEEDS_FOR_ALL_SIGNS = 10


def comparisons_frame(experiment: Experiment, cells: pd.DataFrame) -> pd.DataFrame:
    """`comparisons.csv`; empty with one aggregation rule."""
    import pandas as pd

    finished = cells[cells["end_reason"] != "failed"]
    values = observations(experiment, finished)
    keys = [finished[name].rename(name) for name in ("query", "aggregation", "point", "seed")]
    table = values.set_axis(pd.MultiIndex.from_arrays(keys), axis=0)
    weight_of = dict(zip(finished["point"], finished["relative_weight"], strict=True))
    rows: list[tuple[Any, ...]] = []
    for query in dict.fromkeys(finished["query"]):
        here = table.xs(query, level="query")
        rules = list(dict.fromkeys(here.index.get_level_values("aggregation")))
        for first, second in combinations(rules, 2):
            apart = here.xs(first, level="aggregation") - here.xs(second, level="aggregation")
            rows += _rows((query, None, None, first, second), apart.groupby(level="seed").mean())
            for point, group in apart.groupby(level="point", sort=True):
                rows += _rows((query, point, weight_of.get(point), first, second), group)
    frame = pd.DataFrame(rows, columns=COLUMNS)
    return frame.astype({"point": "Int64"})


def _rows(key: tuple[Any, ...], apart: Any) -> list[tuple[Any, ...]]:
    """One row per figure that both rules have; differences that are not finite are left out with their seed."""
    values = apart.to_numpy(dtype=float)
    values = np.where(np.isfinite(values), values, np.nan)
    rows = []
    for k, interval in enumerate(mean_intervals(values)):
        differences = values[~np.isnan(values[:, k]), k]
        if len(differences) > 1:
            rows.append((*key, apart.columns[k], len(differences), *interval, sign_flip(differences)))
    return rows


def sign_flip(differences: Array) -> float:
    """Two-sided p-value of the mean difference being 0: exact for up to 10 differences, from 2000 flips for more."""
    signs = _signs(len(differences))
    means = np.abs(np.einsum("rn,n->r", signs, differences))
    observed = abs(float(differences.sum()))
    as_far = int((means >= observed * (1 - 1e-12)).sum())
    exact = len(differences) <= _MOST_SEEDS_FOR_ALL_SIGNS
    return as_far / len(signs) if exact else (as_far + 1) / (len(signs) + 1)


@lru_cache(maxsize=8)
def _signs(n: int) -> Array:
    if n <= _MOST_SEEDS_FOR_ALL_SIGNS:
        return np.array(list(product((1.0, -1.0), repeat=n)))
    return np.random.default_rng(n).choice((-1.0, 1.0), size=(FLIPS, n))
