"""Several queries together: the mean over queries of each query's mean, with a 95 % interval clustered by query.

Texts of one query resemble each other, so the queries are the observations: with m of them the interval is
mean -+ t_(m-1) s / sqrt(m), s the spread of their means (rates are kept within [0, 1]). Without scipy (extra `stats`)
it is the BCa bootstrap over queries; the column `interval` says which. `pooled.csv` has a row per (aggregation, point).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .bootstrap import Estimate, mean_intervals
from .metrics import columns_of, figures_of_summary, is_rate

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[np.float64]


def pooled_frame(summary: pd.DataFrame) -> pd.DataFrame:
    """`pooled.csv`; without a row where there is one query."""
    import pandas as pd

    figures = figures_of_summary(summary)
    rows = []
    for (aggregation, point), group in summary.groupby(["aggregation", "point"], sort=False):
        if len(group) < 2:
            continue
        intervals, how = clustered(group[figures].to_numpy(dtype=float))
        row: dict[str, Any] = {"aggregation": aggregation, "point": point}
        row["relative_weight"] = group["relative_weight"].iloc[0]
        row |= {"queries": len(group), "cells": int(group["cells"].sum()), "interval": how}
        for figure, interval in zip(figures, intervals, strict=True):
            row |= columns_of(figure, _within(interval) if is_rate(figure) else interval)
        rows.append(row)
    return pd.DataFrame(rows)


def clustered(means: Array) -> tuple[list[Estimate], str]:
    """The interval of every column of (queries, F), NaN left out, and the name of the method."""
    try:
        from scipy.special import stdtrit
    except ImportError:
        return mean_intervals(means), "bootstrap over queries"
    return [_t_interval(column[~np.isnan(column)], stdtrit) for column in means.T], "t over queries"


def _t_interval(means: Array, quantile: Any) -> Estimate:
    m = len(means)
    if m == 0:
        return Estimate(np.nan, np.nan, np.nan)
    mean = float(means.mean())
    if m == 1 or not np.isfinite(means).all():
        return Estimate(mean, np.nan, np.nan)
    half = float(quantile(m - 1, 0.975)) * float(means.std(ddof=1)) / math.sqrt(m)
    return Estimate(mean, mean - half, mean + half)


def _within(interval: Estimate) -> Estimate:
    return Estimate(interval.mean, max(0.0, interval.low), min(1.0, interval.high))
