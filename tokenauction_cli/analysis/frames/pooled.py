"""Several queries together: the mean over queries of each query's mean, with a 95 % interval clustered by query.

Texts of one query resemble each other, so the queries are the observations. Rates have Wilson's interval of their
effective number of texts, other figures a t interval that stays in the figure's range: `statistics/intervals.py`. With
fewer than 5 queries the column `interval` says so. `pooled.csv` has a row per (aggregation, point).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ...mechanism import registry
from ...statistics.intervals import Estimate, mean_over_clusters, rate_over_clusters
from ..columns.columns import BY_OBJECTIVE, range_of
from .metrics import columns_of, figures_of_summary, is_rate

if TYPE_CHECKING:
    import pandas as pd

FEW = 5
"""With fewer queries than this, an interval over queries is rough."""


def pooled_frame(summary: pd.DataFrame, max_tokens: float = math.inf) -> pd.DataFrame:
    """`pooled.csv`; without a row where there is one query. No text has more than `max_tokens` tokens."""
    import pandas as pd

    figures = figures_of_summary(summary)
    rows = []
    for (aggregation, point), group in summary.groupby(["aggregation", "point"], sort=False):
        if len(group) < 2:
            continue
        row: dict[str, Any] = {"aggregation": aggregation, "point": point}
        is_one = group["relative_weight"].nunique() == 1  # queries with bids of their own may have their own
        row["relative_weight"] = group["relative_weight"].iloc[0] if is_one else math.nan
        row |= {"queries": len(group), "cells": int(group["cells"].sum()), "interval": how(len(group))}
        for figure in figures:
            row |= columns_of(figure, over_queries(figure, group, max_tokens, _range(figure, str(aggregation))))
        rows.append(row)
    return pd.DataFrame(rows)


def how(n_queries: int) -> str:
    """What the column `interval` says."""
    return "t over queries" if n_queries >= FEW else f"t over only {n_queries} queries: rough"


def _range(figure: str, rule: str) -> tuple[float, float]:
    """Welfare is at most 0 by the objectives of aggregation rules, not by those of other mechanisms."""
    is_free = figure in BY_OBJECTIVE and rule in registry.names("mechanism")
    return (-math.inf, math.inf) if is_free else range_of(figure)


def over_queries(figure: str, group: pd.DataFrame, max_tokens: float, bounds: tuple[float, float]) -> Estimate:
    """A figure over rows of the summary, a row per query."""
    if not is_rate(figure):
        columns = (figure, f"{figure}.low", f"{figure}.high")
        clusters = np.column_stack([group[column].to_numpy(dtype=float) for column in columns])
        low, high = bounds
        return mean_over_clusters(clusters, (low, max_tokens if figure == "tokens" else high))
    per_query = group["cells"].to_numpy(dtype=float)
    n_texts = len(group) ** 2 / float(np.sum(1 / per_query))  # equal numbers add up; of unequal ones the fewest count
    return rate_over_clusters(group[figure].to_numpy(dtype=float), n_texts)
