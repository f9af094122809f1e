"""Does a figure move one way with the relative weight? `statistics/trends.py` says how that is measured.

`trends.csv` has one row per (query, aggregation, figure).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..statistics.trends import Trend, trend
from .metrics import figures_of_summary

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ["query", "aggregation", "figure", "points", *Trend._fields]
FEWEST_POINTS = 3


def trends_frame(summary: pd.DataFrame) -> pd.DataFrame:
    """`trends.csv`: every figure of the summary against the relative weight, where there are 3 weights or more."""
    import pandas as pd

    rows = []
    for (query, aggregation), group in summary.groupby(["query", "aggregation"], sort=False):
        weights = group["relative_weight"].to_numpy(dtype=float)
        for figure in figures_of_summary(summary):
            means = group[figure].to_numpy(dtype=float)
            usable = np.isfinite(weights) & np.isfinite(means)
            if len(set(weights[usable])) >= FEWEST_POINTS:
                rows.append((query, aggregation, figure, int(usable.sum()), *trend(weights[usable], means[usable])))
    return pd.DataFrame(rows, columns=COLUMNS)
