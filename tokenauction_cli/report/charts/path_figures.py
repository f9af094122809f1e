"""Figures of several mechanisms as paths: one figure of the summary against another, from the lowest weight on.

A panel for each run that has another mechanism than the token auction, a series for each rule or mechanism.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ...analysis.frames.metrics import numbered
from ...analysis.run import Run
from ...mechanism.registry import label
from .figures import ALL_QUERIES, Figure, Horizontal, Panel, Series, queries_of

if TYPE_CHECKING:
    import pandas as pd

_CHAPTER = "What each mechanism makes of the bids"
_PATH = "A path for each mechanism, from the ring at its first point to the large mark at its last"
_WELFARE = "common welfare, bids × nats"
_KINDS = (
    (
        "welfare_quality",
        "welfare against quality",
        ("quality", "quality: mean log-probability under the reference, nats"),
        ("common_welfare", _WELFARE),
    ),
    (
        "revenue_welfare",
        "revenue against welfare",
        ("common_welfare", _WELFARE),
        ("revenue_share", "revenue over total bid"),
    ),
)


def path_figures(runs: Sequence[Run], axis: Horizontal) -> Iterator[Figure]:
    """Those for which there are numbers; none where every run has the token auction alone."""
    several = [(k, run) for k, run in enumerate(runs) if run.experiment.auction.others]
    queries = numbered(queries_of(runs))
    rules = list(dict.fromkeys(rule for _, run in several for rule in run.experiment.auction.rules))
    along = axis.title.removesuffix(" (share of the bids)") if axis.is_weight else "sweep"
    for name, tab, (across, title), (column, unit) in _KINDS:
        rows = [row for k, run in several for row in _rows(run, k, across, column, axis, queries)]
        drawn = {row["series"] for row in rows}
        series = tuple(Series(label(rule), column, k) for k, rule in enumerate(rules) if label(rule) in drawn)
        used = {row["panel"] for row in rows}
        panels = tuple(Panel(f"{k}/", run.experiment.name) for k, run in several if f"{k}/" in used)
        if rows:
            about = f"{_PATH} along the {along}."
            has_root = column == "revenue_share" and all(row["mean"] >= 0 for row in rows)
            yield Figure(name, _CHAPTER, about, tab, unit, False, has_root, series, panels, tuple(rows), title)


def _rows(
    run: Run, k: int, across: str, column: str, axis: Horizontal, queries: Mapping[str, int]
) -> Iterator[dict[str, Any]]:
    for frame in (run.summary, run.pooled):
        if across in frame and column in frame:
            yield from _points(frame.sort_values("point", kind="stable"), k, across, column, axis, queries)


def _points(
    frame: pd.DataFrame, k: int, across: str, column: str, axis: Horizontal, queries: Mapping[str, int]
) -> Iterator[dict[str, Any]]:
    """In the order of the horizontal axis of the other figures, with the ends of every path."""
    keys = ["query", "aggregation"] if "query" in frame else ["aggregation"]
    for _, group in frame.groupby(keys, sort=False):
        found = [row for row in group.to_dict("records") if math.isfinite(row[across]) and math.isfinite(row[column])]
        found.sort(key=axis.of)
        for number, row in enumerate(found):
            yield {
                "query": queries[row["query"]] if "query" in row else ALL_QUERIES,
                "panel": f"{k}/",
                "x": float(row[across]),
                "series": label(str(row["aggregation"])),
                "mean": float(row[column]),
                "low": _finite(row[f"{column}.low"]),
                "high": _finite(row[f"{column}.high"]),
                "n": int(row["cells"]),
                "at": axis.of(row),
                "place": "last" if number == len(found) - 1 else "first" if number == 0 else "between",
            }


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
