"""Figures of an audit of whole texts as Vega-Lite specifications: one panel for the page, all panels for a paper."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ...experiment.resolved.text_audit import HONEST
from .figures import INK, Series, colour, css_variable, shape
from .text_charts import TextChart, TextPanel
from .vega import COLUMN_WIDTH, SCHEMA, Spec, axis_title, paper_config

_BROKEN = [3, 3]
_DASHES = {True: [1, 0], False: [5, 3]}  # is it no misreport
_HEIGHTS = {"regret": 30, "curves": 220, "plane": 280, "steps": 220}  # regret: of one dot
_PAPER_COLUMNS = {"regret": 1, "curves": 2, "plane": 2, "steps": 2}
_PAPER_HEIGHTS = {"regret": 11, "curves": 84, "plane": 88, "steps": 84}
_BAND = {"type": "area", "opacity": 0.16}
_ONCE: Spec = {"data": {"values": [{}]}}
_FORM = ".3~g"
_TICKS = (0, 0.25, 1, 2, 4)  # of the value


@dataclass(frozen=True)
class _Look:
    """What differs between a page and a paper."""

    colour: Callable[[int], str]
    point: int
    line: float
    text: float
    has_targets: bool
    has_legend: bool


_PAGE = _Look(css_variable, 40, 1.6, 11, has_targets=True, has_legend=False)
_PAPER = _Look(colour, 14, 1.0, 6.5, has_targets=False, has_legend=True)


def text_panel_spec(chart: TextChart, panel: TextPanel) -> Spec:
    """One panel for the page: as wide as its place."""
    return {
        "$schema": SCHEMA,
        "width": "container",
        "height": _height(chart, panel, _HEIGHTS),
        "autosize": {"type": "fit-x" if chart.kind == "regret" else "fit", "contains": "padding"},
        **_drawn(chart, panel, _PAGE),
    }


def text_paper_spec(chart: TextChart) -> Spec:
    """The figure at the width of a column, with its data, its legend and its own colours."""
    columns = min(_PAPER_COLUMNS[chart.kind], len(chart.panels))
    width = (COLUMN_WIDTH - 12) // columns - (62 if chart.kind == "regret" else 36)
    panels = [
        {
            "title": {"text": panel.title, "subtitle": panel.about, "fontSize": 8, "fontWeight": "normal"},
            "width": width,
            "height": _height(chart, panel, _PAPER_HEIGHTS),
            **_drawn(chart, panel, _PAPER),
        }
        for panel in chart.panels
    ]
    return {
        "$schema": SCHEMA,
        "background": "white",
        "config": {**paper_config(), "title": {**paper_config()["title"], "subtitleFontSize": 7}},
        "concat": panels,
        "columns": columns,
        "spacing": 12,
        "resolve": {"scale": {"color": "shared", "shape": "shared", "strokeDash": "shared"}},
    }


def _height(chart: TextChart, panel: TextPanel, heights: dict[str, int]) -> int:
    if chart.kind != "regret":
        return heights[chart.kind]
    places = {(row["payment"], row["series"]) for row in panel.rows}
    return heights["regret"] * len(places)


def _drawn(chart: TextChart, panel: TextPanel, look: _Look) -> Spec:
    """The layers of a panel with its data."""
    layers = {"regret": _regret, "curves": _curves, "plane": _plane, "steps": _steps}[chart.kind]
    return {"data": {"values": list(panel.rows)}, **layers(chart, panel, look)}


def _regret(chart: TextChart, panel: TextPanel, look: _Look) -> Spec:
    """Dots and whiskers, a place on the vertical axis for every payment rule and agent; a ring for every prefix."""
    order = [series.name for series in chart.series]
    axis = {"tickCount": 5, "grid": True, "domain": False, "format": _FORM}
    rows = [row for each in chart.panels for row in each.rows]  # one scale: panels compare
    encoding = {
        "x": {**_number(rows, chart.across, "mean", "low", "high", also=panel.truth), "axis": axis},
        "y": {"field": "payment", "type": "nominal", "sort": None, "title": None, "axis": {"grid": False}},
        "yOffset": {"field": "series", "type": "nominal", "sort": order},
        "color": _colour(chart, look),
    }
    whisker = {"x": {"field": "low", "type": "quantitative"}, "x2": {"field": "high"}}
    dots, rings = ({"filter": {"field": "is_every_prefix", "equal": ring}} for ring in (False, True))
    shown = _shape(chart)
    layers = [
        {"transform": [dots], "mark": {"type": "rule", "strokeWidth": look.line}, "encoding": whisker},
        {"transform": [dots], "mark": _point(look, filled=True), "encoding": shown},
        {"transform": [rings], "mark": _point(look, filled=False), "encoding": shown},
        *_targets(look),
    ]
    zero = {"mark": _marking("rule"), "encoding": {"x": {"datum": 0, "type": "quantitative"}}}
    return {"layer": [{**_ONCE, **zero}, {"layer": layers, "encoding": encoding}]}


def _curves(chart: TextChart, panel: TextPanel, look: _Look) -> Spec:
    """A line and points per report, a band where there are intervals; bids on a square-root scale."""
    bids = _bids(chart, panel)
    encoding = {"y": _number(panel.rows, chart.unit, "mean", "low", "high"), "color": _colour(chart, look)}
    drawn = {"layer": [*_every_prefix(look), *_reports(chart, bids, look), *_targets(look, bids)], "encoding": encoding}
    return {"layer": [*_truth(panel, bids, look), drawn]}


def _bids(chart: TextChart, panel: TextPanel) -> Spec:
    """The axis of bids, with ticks at the value and at simple multiples of it."""
    (value,) = panel.truth
    most = max([value, *(row["x"] for row in panel.rows if row["x"] is not None)])
    ticks = sorted({*(value * tick for tick in _TICKS if value * tick <= most), most})
    return {
        "field": "x",
        "type": "quantitative",
        "title": axis_title(chart.across),
        "scale": {"type": "sqrt", "domain": [0, most or 1], "nice": False, "padding": 6},
        "axis": {"format": _FORM, "labelOverlap": "greedy", "values": ticks, "tickCount": len(ticks)},
    }


def _reports(chart: TextChart, bids: Spec, look: _Look) -> list[Spec]:
    """Bands, lines and points, and a ring around each of the best."""
    at_bids = {"filter": "datum.x !== null"}
    between = {"x": bids, "y": {"field": "low", "type": "quantitative"}, "y2": {"field": "high"}}
    dashes = {"field": "series", "type": "nominal", "legend": None, "scale": _scale(chart, _dash)}
    return [
        {"transform": [at_bids, {"filter": "datum.low !== null"}], "mark": _BAND, "encoding": between},
        {"transform": [at_bids], "mark": _line(look), "encoding": {"x": bids, "strokeDash": dashes}},
        {"transform": [at_bids], "mark": _point(look, filled=True), "encoding": {"x": bids, **_shape(chart)}},
        {"transform": [{"filter": "datum.is_best"}], "mark": _ring(look), "encoding": {"x": bids}},
    ]


def _every_prefix(look: _Look) -> list[Spec]:
    """What the best bid for every prefix reaches: a line across."""
    mark = {"type": "rule", "strokeDash": [1, 3], "strokeWidth": look.line}
    return [{"transform": [{"filter": "datum.x === null"}], "mark": mark}]


def _truth(panel: TextPanel, bids: Spec, look: _Look) -> list[Spec]:
    """A broken line at the value, and the word."""
    place = {"x": {"datum": panel.truth[0], "type": "quantitative", "scale": bids["scale"]}}
    word = {**place, "y": {"value": "height"}, "text": {"value": "truth"}}
    return [
        {**_ONCE, "mark": _marking("rule"), "encoding": place},
        {**_ONCE, "mark": {**_said(look), "align": "left", "baseline": "bottom", "dx": 4, "dy": -2}, "encoding": word},
    ]


def _plane(chart: TextChart, panel: TextPanel, look: _Look) -> Spec:
    """Every reply an arrow in the colour of who replies, its stops numbered, the last in a ring; square-root scales."""
    titles = {"x": chart.across, "y": chart.unit}
    values = dict(zip(titles, panel.truth, strict=True))
    place = {axis: _number(panel.rows, title, axis, also=[values[axis]], root=True) for axis, title in titles.items()}
    along = {"x2": {"field": "x0"}, "y2": {"field": "y0"}}
    moved = [{"filter": "datum.angle !== null"}]
    middle = {"x": {**place["x"], "field": "middle_x"}, "y": {**place["y"], "field": "middle_y"}}
    angle = {"field": "angle", "type": "quantitative", "scale": None}
    coloured = {"color": _colour(chart, look)}
    head = {"type": "point", "shape": "triangle-up", "filled": True, "opacity": 1, "size": look.point}
    ink = {"value": look.colour(INK)}
    numbers = {**_said(look), "align": "left", "baseline": "bottom", "dx": 5, "dy": -3, "fontWeight": "bold"}
    layers: list[Spec] = [
        *({**_ONCE, "mark": _marking("rule"), "encoding": {axis: {"datum": value}}} for axis, value in values.items()),
        {
            "transform": moved,
            "mark": {"type": "rule", "strokeWidth": 1.3 * look.line},
            "encoding": place | along | coloured,
        },
        {"transform": moved, "mark": head, "encoding": {**middle, "angle": angle, **coloured}},
        {"mark": _point(look, filled=True), "encoding": {**place, "color": ink}},
        {"transform": [{"filter": "datum.is_end"}], "mark": _ring(look), "encoding": place},
        {"mark": numbers, "encoding": {**place, "text": {"field": "label", "type": "nominal"}}},
        *_targets(look, place["x"], place["y"]),
    ]
    return {"layer": layers}


def _steps(chart: TextChart, panel: TextPanel, look: _Look) -> Spec:
    """A line of bids per agent, level until the agent replies, and its value."""
    whole = {"tickMinStep": 1, "format": "d"}
    x = {"field": "x", "type": "quantitative", "title": axis_title(chart.across), "axis": whole}
    values = [{"series": series.name, "y": value} for series, value in zip(chart.series, panel.truth, strict=True)]
    encoding = {"y": _number(panel.rows, chart.unit, "y", also=panel.truth), "color": _colour(chart, look)}
    layers: list[Spec] = [
        {"data": {"values": values}, "mark": _marking("rule")},
        {"mark": {**_line(look), "interpolate": "step-after"}, "encoding": {"x": x}},
        {"mark": _point(look, filled=True), "encoding": {"x": x, **_shape(chart)}},
        *_targets(look, x),
    ]
    return {"layer": layers, "encoding": encoding}


def _number(
    rows: Sequence[dict[str, Any]], title: str, field: str, *ends: str, also: Sequence[float] = (), root: bool = False
) -> Spec:
    """An axis on which the field, the ends of its intervals and these values have room."""
    found = [row[name] for row in rows for name in (field, *ends) if row[name] is not None]
    low, high = min([*found, *also], default=0.0), max([*found, *also], default=1.0)
    domain = [low, high] if low < high else [low - 0.5, high + 0.5]
    scale = {"type": "sqrt" if root else "linear", "domain": domain, "zero": False, "nice": False, "padding": 8}
    axis = {"tickCount": 5, "format": _FORM}
    return {"field": field, "type": "quantitative", "title": axis_title(title), "scale": scale, "axis": axis}


def _colour(chart: TextChart, look: _Look) -> Spec:
    symbol = {"symbolType": "stroke", "symbolStrokeWidth": 2} if chart.kind == "plane" else {"symbolStrokeWidth": 0}
    legend = {"title": None, "orient": "top", "symbolOpacity": 1, "symbolSize": 40, **symbol}
    scale = _scale(chart, lambda series: look.colour(series.colour))
    shown = legend if look.has_legend and len(chart.series) > 1 else None
    return {"field": "series", "type": "nominal", "scale": scale, "legend": shown}


def _shape(chart: TextChart) -> Spec:
    scale = _scale(chart, lambda series: shape(series.colour))
    return {"shape": {"field": "series", "type": "nominal", "scale": scale, "legend": None}}


def _scale(chart: TextChart, of: Callable[[Series], Any]) -> Spec:
    return {"domain": [series.name for series in chart.series], "range": [of(series) for series in chart.series]}


def _dash(series: Series) -> list[int]:
    return _DASHES[series.name == HONEST]


def _marking(mark: str) -> Spec:
    return {"type": mark, "strokeDash": _BROKEN, "opacity": 0.7}


def _line(look: _Look) -> Spec:
    return {"type": "line", "strokeWidth": look.line}


def _point(look: _Look, *, filled: bool) -> Spec:
    stroke = {} if filled else {"strokeWidth": look.line}
    return {"type": "point", "filled": filled, "opacity": 1, "size": look.point, **stroke}


def _ring(look: _Look) -> Spec:
    stroke = {"color": look.colour(INK), "strokeWidth": look.line}
    return {"type": "point", "shape": "circle", "filled": False, "opacity": 1, "size": 3.5 * look.point, **stroke}


def _said(look: _Look) -> Spec:
    return {"type": "text", "fontSize": look.text, "color": look.colour(INK)}


def _targets(look: _Look, *place: Spec) -> list[Spec]:
    """Around every point a place to point at."""
    if not look.has_targets:
        return []
    mark = {"type": "point", "filled": True, "size": 500, "opacity": 0, "tooltip": {"content": "data"}}
    return [{"mark": mark, "encoding": dict(zip(("x", "y"), place, strict=False))}]
