"""Does a figure move with the relative weight, and does it move one way? `statistics/trends.py` says how that is known.

`trends.csv` has one row per (query, aggregation, figure). Of several queries with the same weights it also has one with
an empty query, over all of them: its means are those of `pooled.csv`, and each (query, seed) counts as a seed.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ...experiment.experiment import Experiment
from ...mechanism.registry import is_lottery
from ...statistics.trends import shape, slope_p_value, slopes
from .metrics import GROUP, figures_of_summary, observations
from .per_bytes import parts_of_ratios, sizes_of

if TYPE_CHECKING:
    import pandas as pd

KEY = ["query", "aggregation", "figure"]
COLUMNS = [*KEY, "points", "tau", "p_value", "violation", "unexplained"]
FEWEST_POINTS = 3
ALL_QUERIES = ""


def trends_frame(
    experiment: Experiment, cells: pd.DataFrame, summary: pd.DataFrame, pooled: pd.DataFrame
) -> pd.DataFrame:
    """`trends.csv`: every figure against the relative weight, where there are 3 weights or more."""
    import pandas as pd

    of_queries, of_all = shapes_frame(summary), shapes_frame(pooled.assign(query=ALL_QUERIES))
    frame = pd.concat([one for one in (of_queries, of_all) if len(one)] or [of_queries], ignore_index=True)
    known = _p_values(experiment, cells, pooled=len(of_all) > 0) if len(frame) else {}
    frame["p_value"] = [known.get(key, math.nan) for key in zip(*(frame[name] for name in KEY), strict=True)]
    return frame[COLUMNS]


def _p_values(experiment: Experiment, cells: pd.DataFrame, pooled: bool) -> dict[tuple[str, str, str], float]:
    """Of every query, rule and figure, and of all queries; none where seeds do not move what is drawn."""
    if not is_lottery(experiment.auction.sampling):
        return {}
    found = slopes_of_seeds(experiment, cells)
    groups = [*found.groupby(level=["query", "aggregation"], sort=False)]
    if pooled:
        groups += [((ALL_QUERIES, rule), group) for rule, group in found.groupby(level="aggregation", sort=False)]
    return {
        (*key, figure): slope_p_value(of_seeds)
        for key, group in groups
        for figure, of_seeds in zip(group.columns, group.to_numpy(dtype=float).T, strict=True)
    }


def slopes_of_seeds(experiment: Experiment, cells: pd.DataFrame) -> pd.DataFrame:
    """The slope of every figure along the weights, a row per (query, aggregation, seed)."""
    import pandas as pd

    finished = cells[(cells["end_reason"] != "failed") & cells["relative_weight"].notna()]
    values = observations(experiment, finished)
    parts = parts_of_ratios(values, sizes_of(finished["text"]), finished[GROUP])
    values = pd.concat([values, parts], axis=1)
    keys = finished[["query", "aggregation", "seed"]]
    numbers = keys.groupby(list(keys), sort=False).ngroup().to_numpy().astype(np.int64)
    units = pd.MultiIndex.from_frame(keys.drop_duplicates())
    weights = finished["relative_weight"].to_numpy(dtype=float)
    found = slopes(weights, values.to_numpy(dtype=float), numbers)
    return pd.DataFrame(found, columns=values.columns, index=units)


def shapes_frame(rows: pd.DataFrame) -> pd.DataFrame:
    """How the means of every figure go along the weights, of rows of the summary, or of those over all queries."""
    import pandas as pd

    found: list[tuple[Any, ...]] = []
    figures = figures_of_summary(rows)
    for key, group in rows.groupby(["query", "aggregation"], sort=False) if len(rows) else ():
        weights = group["relative_weight"].to_numpy(dtype=float)
        for figure in figures:
            means = group[figure].to_numpy(dtype=float)
            usable = np.isfinite(weights) & np.isfinite(means)
            if len(set(weights[usable])) >= FEWEST_POINTS:
                found.append((*key, figure, int(usable.sum()), *shape(weights[usable], means[usable])))
    return pd.DataFrame(found, columns=[column for column in COLUMNS if column != "p_value"])
