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
from ...statistics.samples import samples
from ...statistics.sign_flips import sign_flips
from ...statistics.trends import shapes, slopes
from ...system.arrays import Array
from .metrics import GROUP, figures_of_summary, observations, units_of
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
    units = found.index.to_frame(index=False)
    known = _p_values_of(found, units[["query", "aggregation"]])
    return known | (_p_values_of(found, units[["aggregation"]].assign(query=ALL_QUERIES)) if pooled else {})


def _p_values_of(slopes: pd.DataFrame, units: pd.DataFrame) -> dict[tuple[str, str, str], float]:
    """Of every query, rule and figure, of seeds in these units."""
    rows, numbers = units_of(units[["query", "aggregation"]])
    of_figures = zip(slopes.columns, samples(numbers, slopes.to_numpy(dtype=float).T), strict=True)
    return {
        (*row, figure): p_value
        for figure, of_seeds in of_figures
        for row, p_value in zip(rows, sign_flips(of_seeds).tolist(), strict=True)
    }


def slopes_of_seeds(experiment: Experiment, cells: pd.DataFrame) -> pd.DataFrame:
    """The slope of every figure along the weights, a row per (query, aggregation, seed)."""
    import pandas as pd

    finished = cells[(cells["end_reason"] != "failed") & cells["relative_weight"].notna()]
    values = observations(experiment, finished)
    parts = parts_of_ratios(values, sizes_of(finished["text"]), finished[GROUP])
    values = pd.concat([values, parts], axis=1)
    names = ["query", "aggregation", "seed"]
    units, numbers = units_of(finished[names])
    weights = finished["relative_weight"].to_numpy(dtype=float)
    found = slopes(weights, values.to_numpy(dtype=float), numbers)
    return pd.DataFrame(found, columns=values.columns, index=pd.MultiIndex.from_tuples(units, names=names))


def shapes_frame(rows: pd.DataFrame) -> pd.DataFrame:
    """How the means of every figure go along the weights, of rows of the summary, or of those over all queries."""
    import pandas as pd

    figures = figures_of_summary(rows)
    found: dict[tuple[Any, ...], tuple[Any, ...]] = {}
    alike: dict[bytes, list[tuple[tuple[Any, ...], Array]]] = {}  # curves at the same weights
    for key, group in rows.groupby(["query", "aggregation"], sort=False) if len(rows) else ():
        weights = group["relative_weight"].to_numpy(dtype=float)
        for figure, curve in zip(figures, group[figures].to_numpy(dtype=float).T, strict=True):
            usable = np.isfinite(weights) & np.isfinite(curve)
            if len(set(weights[usable])) >= FEWEST_POINTS:
                found[(*key, figure)] = ()
                alike.setdefault(weights[usable].tobytes(), []).append(((*key, figure), curve[usable]))
    for at, curves in alike.items():
        of_each = shapes(np.frombuffer(at), np.array([curve for _, curve in curves])).tolist()
        found |= {name: (len(curve), *one) for (name, curve), one in zip(curves, of_each, strict=True)}
    columns = [column for column in COLUMNS if column != "p_value"]
    return pd.DataFrame([(*name, *one) for name, one in found.items()], columns=columns)
