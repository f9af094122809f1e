"""Charts of several mechanisms as paths: one figure of the summary against another, from the lowest weight on.

A panel for each run that has another mechanism than the token auction, a series for each rule or mechanism: a line
from point to point in the order of the sweep, a ring at its first, a large mark at its last.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ...analysis.run import Run
from ...analysis.tables.tables import grouped
from ...mechanism.registry import label
from .chart import COLUMN_WIDTH, Chart, Panel
from .figures import SummaryRows, summary_rows
from .sweep import Horizontal
from .vega import Look, Series, Spec, number

_CHAPTER = "What each mechanism makes of the bids"
_PATH = "A path for each mechanism, from the ring at its first point to the large mark at its last"
_WELFARE = "common welfare, bids × nats"
_KINDS = (
    (
        "welfare_quality",
        "welfare against quality",
        ("quality", "mean log-probability under the reference, nats"),
        ("common_welfare", _WELFARE),
    ),
    (
        "revenue_welfare",
        "revenue against welfare",
        ("common_welfare", _WELFARE),
        ("revenue_share", "revenue over total bid"),
    ),
)
_SIZES = {"between": 1.0, "last": 2.4, "first": 4.5}  # of a mark; what is drawn last lies above


@dataclass(frozen=True, kw_only=True)
class PathChart(Chart):
    """Intervals are in the numbers alone."""

    kind = "path"
    heights = (340, 120)
    most_abreast = 5
    room, gap, least_width = COLUMN_WIDTH - 56, 10, 120
    names_lone_panel = False

    has_root: bool

    def drawn(self, panel: Panel, look: Look) -> Spec:
        line = {"type": "line", "strokeWidth": 1.4, "opacity": 0.75}
        layers: list[Spec] = [{"mark": line, "encoding": {"order": {"field": "at", "type": "quantitative"}}}]
        for place, size in _SIZES.items():
            mark = look.point(filled=place != "first", size=size)
            here = [{"filter": {"field": "place", "equal": place}}]
            layers.append({"transform": here, "mark": mark, "encoding": self.shapes})
        values = [row["mean"] for row in self.rows] + [0.0] * self.has_root
        axes = {
            "x": number("x", self.across, [row["x"] for row in self.rows]),
            "y": number("mean", self.unit, values, root=self.has_root),
        }
        return {"layer": [*layers, *look.targets(size=300)], "encoding": {**axes, **self.colours(look, {"columns": 3})}}


def path_charts(runs: Sequence[Run], axis: Horizontal) -> Iterator[PathChart]:
    """Those for which there are numbers; none where every run has the token auction alone."""
    several = [(k, run) for k, run in enumerate(runs) if run.experiment.auction.others]
    rules = list(dict.fromkeys(rule for _, run in several for rule in run.experiment.auction.rules))
    found = summary_rows(runs)
    along = axis.title if axis.is_weight else "sweep"
    for name, tab, (across, title), (column, unit) in _KINDS:
        panels = [Panel(run.name, tuple(_rows(found, k, across, column, axis)), run=k) for k, run in several]
        drawn = {row["series"]: row for panel in panels for row in panel.rows}
        if drawn:
            yield PathChart(
                id=name,
                chapter=_CHAPTER,
                question=f"{_PATH} along the {along}.",
                tab=tab,
                unit=unit,
                across=title,
                has_root=column == "revenue_share",
                series=tuple(Series(label(rule), column, k) for k, rule in enumerate(rules) if label(rule) in drawn),
                panels=tuple(panel for panel in panels if panel.rows),
            )


def _rows(found: SummaryRows, run: int, across: str, column: str, axis: Horizontal) -> Iterator[dict[str, Any]]:
    """In the order of the horizontal axis of the sweeps, with the ends of every path."""
    for (of, rule), records in found.items():
        for group in grouped(records if of == run else [], lambda record: record.query).values():
            points = [record for record in group if record.has(across) and record.has(column)]
            points.sort(key=lambda record: (axis.of(record.row), record.row["point"]))
            for number_of, record in enumerate(points):
                place = "last" if number_of == len(points) - 1 else "first" if number_of == 0 else "between"
                drawn = record.drawn(label(rule), column, float(record.row[across]))
                yield drawn | {"at": axis.of(record.row), "place": place}
