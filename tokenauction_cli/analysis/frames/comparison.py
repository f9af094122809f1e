"""Aggregation rules compared in pairs: what a figure is under the first less what it is under the second.

Texts of one seed share their random numbers, so each seed gives a difference. Whether that makes the difference more
certain depends on the rules and is measured: `statistics/pairs.py`.

`comparisons.csv` has one row per (query, point, pair of rules, figure), and one with an empty point where each seed's
figures are first averaged over the points. Figures in two measures (`comparable.py`) have none. The p-values are not
corrected for their number.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from ...experiment.experiment import Experiment
from ...mechanism.registry import is_lottery
from ...statistics.pairs import Compared, compared
from .comparable import are_comparable
from .metrics import is_rate, observations, sampling_of_rules

if TYPE_CHECKING:
    import pandas as pd

KEY = ["query", "point", "relative_weight", "first", "second", "first_sampling", "second_sampling"]
COLUMNS = [*KEY, "figure", "seeds", *Compared._fields]


def comparisons_frame(experiment: Experiment, cells: pd.DataFrame) -> pd.DataFrame:
    """`comparisons.csv`; empty with one aggregation rule."""
    import pandas as pd

    finished = cells[cells["end_reason"] != "failed"]
    values = observations(experiment, finished)
    keys = [finished[name].rename(name) for name in ("query", "aggregation", "point", "seed")]
    table = values.set_axis(pd.MultiIndex.from_arrays(keys), axis=0)
    weight_of = finished.groupby(["query", "point"])["relative_weight"].first().to_dict()
    samplers, is_random = sampling_of_rules(finished), is_lottery(experiment.auction.sampling)
    rows: list[tuple[Any, ...]] = []
    for query in dict.fromkeys(finished["query"]):
        here = table.xs(query, level="query")
        rules = list(dict.fromkeys(here.index.get_level_values("aggregation")))
        for pair in combinations(rules, 2):
            names = (*pair, *(samplers[rule] for rule in pair))
            first, second = _matched(here, *pair)
            rows += _rows((query, None, None, *names), first, second, is_random=is_random)
            for point in sorted(set(first.index.get_level_values("point"))):
                here_too = [one.xs(point, level="point") for one in (first, second)]
                rows += _rows((query, point, weight_of.get((query, point)), *names), *here_too, is_random=is_random)
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


def _rows(key: tuple[Any, ...], first: Any, second: Any, *, is_random: bool) -> Iterator[tuple[Any, ...]]:
    """One row per figure that both rules have in two seeds or more; without a p-value where seeds move no draw."""
    n_texts = first.count().to_numpy()
    left, right = (one.groupby(level="seed").mean().to_numpy(dtype=float) for one in (first, second))
    for figure, a, b, n in zip(first.columns, left.T, right.T, n_texts, strict=True):
        there = ~np.isnan(a)
        if there.sum() > 1:
            found = compared(a[there], b[there], int(n) if is_rate(figure) else None)
            yield (*key, figure, int(there.sum()), *(found if is_random else found._replace(p_value=math.nan)))
