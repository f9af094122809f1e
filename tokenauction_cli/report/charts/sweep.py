"""Charts of a sweep: figures of a run against the relative weight or the bids, a series for each agent or payment.

Intervals are bands around lines, or bars where there are fewer than three points to join.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from .chart import COLUMN_WIDTH, Chart, Panel
from .vega import ONCE, Look, Spec, axis_title, number

_DASHES, _SMALLER = ([1, 0], [5, 4], [2, 3], [1, 5]), 0.45  # of a series that lies on none, one, two, three others
_SAME_PLACE = 0.01  # of what a chart spans
_LOW = 70  # points: a panel on paper that stands in one of several rows
_MOST_LABELS = 8


@dataclass(frozen=True)
class Horizontal:
    """The horizontal axis of every sweep: a relative weight, or the number of the sweep point."""

    title: str
    is_weight: bool
    labels: tuple[str, ...] = ()

    def of(self, row: Any) -> float | int:
        return float(row["relative_weight"]) if self.is_weight else int(row["point"])


_NO_SWEEP = Horizontal("", is_weight=True)


@dataclass(frozen=True, kw_only=True)
class SweepChart(Chart):
    """A panel per run and aggregation rule."""

    kind = "sweep"
    heights = (240, 120)
    most_abreast = 5
    room, gap, least_width = COLUMN_WIDTH - 36, 10, 70

    axis: Horizontal = _NO_SWEEP
    from_zero: bool = True
    is_apart: bool = False  # every series has panels, and a scale, of its own

    def height(self, panel: Panel, look: Look) -> int:
        return _LOW if look.is_paper and len(self.panels) > self.most_abreast else super().height(panel, look)

    def drawn(self, panel: Panel, look: Look) -> Spec:
        """On a page with a line at the slider's position."""
        drawn = {"layer": self._layers(look), "encoding": self._shared(panel, look)}
        if look.is_paper:
            return drawn
        place = {"x": {"datum": {"expr": "at"}, "type": "quantitative"}}
        here = {**ONCE, "mark": {"type": "rule", "strokeDash": [3, 3]}, "encoding": place}
        return {"layer": [here, drawn] if self.axis.is_weight and len(self._places) > 1 else [drawn]}

    @cached_property
    def _places(self) -> set[float]:
        return {row["x"] for row in self.rows}

    @cached_property
    def _extents(self) -> dict[str, tuple[float, float]]:
        """The least and the largest number of the panels of each scale, intervals included."""
        ends: dict[str, list[float]] = {}
        for panel in self.panels:
            of_rows = (row["mean"] if row[end] is None else row[end] for row in panel.rows for end in ("low", "high"))
            ends.setdefault(panel.scale, []).extend(of_rows)
        return {scale: (min(found), max(found)) for scale, found in ends.items()}

    @cached_property
    def depths(self) -> list[int]:
        """On how many others each series lies in some panel: dashes and smaller marks leave those below visible.

        So second price lies on its mean, Myerson's payment.
        """
        lines: dict[tuple[int, int, str], dict[float, float]] = {}
        for k, panel in enumerate(self.panels):
            for row in panel.rows:
                lines.setdefault((k, row["query"], row["series"]), {})[row["x"]] = row["mean"]
        names = [series.name for series in self.series]
        depths = dict.fromkeys(names, 0)
        for (k, query, name), line in lines.items():
            low, high = self._extents[self.panels[k].scale]
            apart = _SAME_PLACE * (high - low)
            below = (lines.get((k, query, other), {}) for other in names[: names.index(name)])
            depths[name] = max(depths[name], sum(_coincide(line, other, apart) for other in below))
        return list(depths.values())

    def _layers(self, look: Look) -> list[Spec]:
        joined, covered = self.axis.is_weight and len(self._places) > 2, any(self.depths)
        bounds = {"y": {"field": "low", "type": "quantitative"}, "y2": {"field": "high"}}
        interval = {"type": "area", "opacity": 0.16} if joined else {"type": "rule", "strokeWidth": 1.5}
        dashes = [_DASHES[depth % len(_DASHES)] for depth in self.depths]
        sizes = [look.size * _SMALLER**depth for depth in self.depths]
        told_apart = {"strokeDash": self.by_series(dashes)} if covered else {}
        line = {"mark": {"type": "line", "strokeWidth": 1.6}, "encoding": told_apart}
        smaller = {"size": self.by_series(sizes)} if covered else {}
        points = {"mark": look.point(), "encoding": {**self.shapes, **smaller}}
        return [{"mark": interval, "encoding": bounds}, *([line] if joined else []), points, *look.targets()]

    def _shared(self, panel: Panel, look: Look) -> Spec:
        """The encodings that all layers of a panel share; without a sweep the series stand beside each other."""
        is_dodged = not self.axis.is_weight and len(self._places) > 1
        dodged = {"xOffset": {"field": "series", "type": "nominal"}} if is_dodged else {}
        return {**dodged, "x": self._x(look), "y": self._y(panel, look), **self.colours(look, {})}

    def _x(self, look: Look) -> Spec:
        if len(self._places) == 1:
            order = [series.name for series in self.series]
            return {"field": "series", "type": "nominal", "sort": order, "title": None, "axis": {"labelAngle": 0}}
        title = self.axis.title
        if look.is_paper:
            title = "relative weight λ" if self.axis.is_weight else "bids"
        if not self.axis.is_weight:
            axis = {"labelAngle": 0, **self._labels}
            return {"field": "x", "type": "ordinal", "title": axis_title(title), "axis": axis}
        return number("x", title, self._places, padding=5, form="~g")

    @property
    def _labels(self) -> Spec:
        """Bids as labels while they are few; otherwise the numbers of the points."""
        if not 0 < len(self.axis.labels) <= _MOST_LABELS:
            return {}
        labels = enumerate(self.axis.labels)
        return {"labelExpr": "".join(f"datum.value === {k} ? '{label}' : " for k, label in labels) + "''"}

    def _y(self, panel: Panel, look: Look) -> Spec:
        low, high = self._extents[panel.scale]
        low, form = min(low, 0.0) if self.from_zero else low, ""
        if self.percent:
            low, high = (0.0, 1.0) if self.from_zero else (min(low, 0.99), 1.0)
            form = ".0%" if high - low > 0.05 else ".1%"
        y = number("mean", self.unit, (low, high), nice=not self.percent, padding=0, form=form)
        bare = {} if look.is_first else {"labels": False, "ticks": False, "domain": False, "title": None}
        return y | {"axis": y["axis"] | bare}


def _coincide(line: dict[float, float], other: dict[float, float], apart: float) -> bool:
    return line.keys() == other.keys() and all(abs(line[x] - other[x]) <= apart for x in line)
