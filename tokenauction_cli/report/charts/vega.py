"""Figures as Vega-Lite specifications: one panel for the page, all panels side by side for a paper.

The intervals are bands around lines, or bars where there are fewer than three points to join.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .figures import ALL_QUERIES, Figure, Horizontal, Panel, colour, css_variable, shape
from .path_vega import path_axes, path_layers, path_scale

Spec = dict[str, Any]

SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"
COLUMN_WIDTH = 243  # points: 3.37 inches, one column of a two-column paper
HEIGHT, PATH_HEIGHT = 240, 340  # pixels, on the page
PANEL_HEIGHT = 120
MOST_ABREAST = 5  # panels in one row on paper; more stand in rows, two abreast
PANELS_IN_A_ROW, LOW_PANEL_HEIGHT = 2, 70
LONGEST_TITLE = 48  # characters, Chinese ones counted twice: what the axis of a panel on a phone has room for
DASHES, SMALLER = ([1, 0], [5, 4], [2, 3], [1, 5]), 0.45  # of a series that lies on none, one, two, three others
SAME_PLACE = 0.01  # of what a figure spans
FONT = "Liberation Sans, Arial, Helvetica, sans-serif"


def panel_spec(figure: Figure, axis: Horizontal) -> Spec:
    """One panel for the page: as wide as its place, data by name, and a line at the slider's position `at`."""
    if figure.across:
        return _page(_path(figure, css_variable, legend=False), PATH_HEIGHT)
    colours = [css_variable(series.colour) for series in figure.series]
    drawn = {"layer": _layers(figure, axis), "encoding": _shared(figure, axis, colours, legend=False)}
    place = {"x": {"datum": {"expr": "at"}, "type": "quantitative"}}
    here = {"mark": {"type": "rule", "strokeDash": [3, 3]}, "encoding": place, "data": {"values": [{}]}}
    return _page({"layer": [here, drawn] if axis.is_weight and not _is_one_place(figure) else [drawn]})


def _page(drawn: Spec, height: int = HEIGHT) -> Spec:
    return {
        "$schema": SCHEMA,
        "width": "container",
        "height": height,
        "autosize": {"type": "fit", "contains": "padding"},
        "params": [{"name": "at", "value": None}],
        "data": {"name": "rows"},
        **drawn,
    }


def _path(figure: Figure, colour_of: Callable[[int], str], *, legend: bool) -> Spec:
    """Layers and encodings of a panel of paths."""
    entry = {"title": None, "orient": "top", "columns": 3, "symbolOpacity": 1, "symbolSize": 40} if legend else None
    colours = {"field": "series", "type": "nominal", "scale": path_scale(figure, colour_of), "legend": entry}
    layers = path_layers(figure, point_size=14 if legend else 36, has_targets=not legend)
    return {"layer": layers, "encoding": {**path_axes(figure, axis_title(figure.across)), "color": colours}}


def paper_spec(figure: Figure, axis: Horizontal, query: int) -> Spec:
    """The figure at the width of a column, with its data, its legend and its own colours."""
    rows = [{k: v for k, v in row.items() if k != "query"} for row in figure.rows if row["query"] == query]
    shown = [panel for panel in figure.panels if any(row["panel"] == panel.key for row in rows)]
    if figure.across:
        return _paper(rows, [_path_on_paper(figure, panel, len(shown)) for panel in shown])
    abreast = len(shown) if len(shown) <= MOST_ABREAST else PANELS_IN_A_ROW
    width = max(70, (COLUMN_WIDTH - 56) // max(1, abreast) - 10)
    panels = []
    for k, panel in enumerate(shown):
        encoding = _shared(
            figure, axis, [colour(series.colour) for series in figure.series], legend=len(figure.series) > 1
        )
        encoding["x"] = {**encoding["x"], "title": _short_title(figure, axis)}
        if k % abreast:
            bare = {"labels": False, "ticks": False, "domain": False, "title": None}
            encoding["y"] = {**encoding["y"], "axis": {**encoding["y"]["axis"], **bare}}
        panels.append(
            {
                "title": {"text": panel.title, "fontSize": 8, "fontWeight": "normal"},
                "width": width,
                "height": PANEL_HEIGHT if len(shown) <= MOST_ABREAST else LOW_PANEL_HEIGHT,
                "transform": [{"filter": {"field": "panel", "equal": panel.key}}],
                "layer": _layers(figure, axis, point_size=14),
                "encoding": encoding,
            }
        )
    return _paper(rows, panels)


def _paper(rows: Sequence[dict[str, Any]], panels: Sequence[Spec]) -> Spec:
    return {
        "$schema": SCHEMA,
        "background": "white",
        "config": paper_config(),
        "data": {"values": rows},
        **_side_by_side(panels),
        "spacing": 10,
        "resolve": {"scale": {"color": "shared", "shape": "shared"}},
    }


def _side_by_side(panels: Sequence[Spec]) -> Spec:
    return {"hconcat": panels} if len(panels) <= MOST_ABREAST else {"concat": panels, "columns": PANELS_IN_A_ROW}


def _path_on_paper(figure: Figure, panel: Panel, n_panels: int) -> Spec:
    return {
        "title": {"text": panel.title if n_panels > 1 else "", "fontSize": 8, "fontWeight": "normal"},
        "width": max(120, (COLUMN_WIDTH - 56) // n_panels - 10),
        "height": PANEL_HEIGHT,
        "transform": [{"filter": {"field": "panel", "equal": panel.key}}],
        **_path(figure, colour, legend=True),
    }


def paper_specs(figure: Figure, axis: Horizontal) -> dict[str, Spec]:
    """The figure for every query, by name; with several queries their numbers, and `all`, are part of the names."""
    drawn = queries_drawn(figure)
    parts = {query: ".all" if query == ALL_QUERIES else f".query-{query + 1}" for query in drawn}
    return {f"{figure.id}{parts[query] if len(drawn) > 1 else ''}": paper_spec(figure, axis, query) for query in drawn}


def queries_drawn(figure: Figure) -> list[int]:
    """The numbers of the queries with rows, the pooled ones last."""
    return sorted({row["query"] for row in figure.rows}, key=lambda query: (query == ALL_QUERIES, query))


def _short_title(figure: Figure, axis: Horizontal) -> str | None:
    """The title of the horizontal axis in a narrow column."""
    if _is_one_place(figure):
        return None
    return "relative weight λ" if axis.is_weight else "bids"


def _layers(figure: Figure, axis: Horizontal, point_size: int = 36) -> list[Spec]:
    joined = axis.is_weight and len({row["x"] for row in figure.rows}) > 2
    bounds = {"y": {"field": "low", "type": "quantitative"}, "y2": {"field": "high"}}
    interval = {"type": "area", "opacity": 0.16} if joined else {"type": "rule", "strokeWidth": 1.5}
    layers: list[Spec] = [{"mark": interval, "encoding": bounds}]
    depths = depths_of(figure)
    is_covered = any(depths)
    if joined:
        dashes = _by_series(figure, [DASHES[depth % len(DASHES)] for depth in depths])
        told_apart = {"strokeDash": dashes} if is_covered else {}
        layers.append({"mark": {"type": "line", "strokeWidth": 1.6}, "encoding": told_apart})
    point = {"type": "point", "filled": True, "opacity": 1, "size": point_size}
    marks = {"shape": _by_series(figure, [shape(s.colour) for s in figure.series])}
    if is_covered:
        marks["size"] = _by_series(figure, [point_size * SMALLER**depth for depth in depths])
    layers.append({"mark": point, "encoding": marks})
    target = {"type": "point", "filled": True, "size": 500, "opacity": 0, "tooltip": {"content": "data"}}
    return [*layers, {"mark": target, "encoding": {}}]


def _by_series(figure: Figure, values: list[Any]) -> Spec:
    scale = _scale(figure, values)
    return {"field": "series", "type": "nominal", "sort": scale["domain"], "scale": scale, "legend": None}


def depths_of(figure: Figure) -> list[int]:
    """On how many others each series lies in some panel: dashes and smaller marks leave those below visible.

    So second price lies on its mean, Myerson's payment, and both on one another beside a payment of 100 times as much.
    """
    lines: dict[tuple[int, str, str], dict[float, float]] = {}
    for row in figure.rows:
        lines.setdefault((row["query"], row["panel"], row["series"]), {})[row["x"]] = row["mean"]
    names = [series.name for series in figure.series]
    low, high = _range(figure)
    apart = SAME_PLACE * (high - low)
    depths = dict.fromkeys(names, 0)
    for (query, panel, name), line in lines.items():
        below = (lines.get((query, panel, other), {}) for other in names[: names.index(name)])
        depths[name] = max(depths[name], sum(_coincide(line, other, apart) for other in below))
    return list(depths.values())


def _coincide(line: dict[float, float], other: dict[float, float], apart: float) -> bool:
    return line.keys() == other.keys() and all(abs(line[x] - other[x]) <= apart for x in line)


def _shared(figure: Figure, axis: Horizontal, colours: list[str], *, legend: bool) -> Spec:
    """The encodings that all layers of a panel share."""
    entry = {"title": None, "orient": "top", "symbolOpacity": 1, "symbolSize": 40} if legend else None
    dodged = {} if axis.is_weight or _is_one_place(figure) else {"xOffset": {"field": "series", "type": "nominal"}}
    return {
        **dodged,
        "x": _x(figure, axis),
        "y": _y(figure),
        "color": {"field": "series", "type": "nominal", "scale": _scale(figure, colours), "legend": entry},
    }


def _scale(figure: Figure, values: list[str]) -> Spec:
    return {"domain": [series.name for series in figure.series], "range": values}


def _is_one_place(figure: Figure) -> bool:
    """Without a sweep the series stand beside each other."""
    return len({row["x"] for row in figure.rows}) == 1


def _x(figure: Figure, axis: Horizontal) -> Spec:
    if _is_one_place(figure):
        order = [series.name for series in figure.series]
        return {"field": "series", "type": "nominal", "sort": order, "title": None, "axis": {"labelAngle": 0}}
    if not axis.is_weight:
        return {
            "field": "x",
            "type": "ordinal",
            "title": axis_title(axis.title),
            "axis": {"labelAngle": 0, **_labels(axis)},
        }
    places = [row["x"] for row in figure.rows]
    domain = [min(places), max(places)] if min(places) < max(places) else [0, 1]
    scale = {"domain": domain, "nice": False, "padding": 5}
    return {
        "field": "x",
        "type": "quantitative",
        "title": axis_title(axis.title),
        "scale": scale,
        "axis": {"tickCount": 5, "format": "~g"},
    }


def axis_title(title: str) -> list[str]:
    """In lines, so that a panel cuts no long name of an agent, however wide its letters."""
    from rich.console import Console
    from rich.text import Text

    return [line.plain.rstrip() for line in Text(title).wrap(Console(), LONGEST_TITLE)]


def _labels(axis: Horizontal) -> Spec:
    """Bids as labels while they are few; otherwise the numbers of the points."""
    if not 0 < len(axis.labels) <= 8:
        return {}
    expression = "".join(f"datum.value === {k} ? '{label}' : " for k, label in enumerate(axis.labels)) + "''"
    return {"labelExpr": expression}


def _range(figure: Figure) -> tuple[float, float]:
    """The least and the largest number of a figure, intervals included."""
    lows = [row["mean"] if row["low"] is None else row["low"] for row in figure.rows]
    highs = [row["mean"] if row["high"] is None else row["high"] for row in figure.rows]
    return min(lows), max(highs)


def _y(figure: Figure) -> Spec:
    low, high = _range(figure)
    low = min(low, 0.0) if figure.from_zero else low
    if figure.percent:
        low, high = (0.0, 1.0) if figure.from_zero else (min(low, 0.99), 1.0)
    if low == high:
        low, high = low - 0.5, high + 0.5
    scale = {"domain": [low, high], "nice": not figure.percent, "zero": False}
    form = {"format": ".0%"} if figure.percent and high - low > 0.05 else {"format": ".1%"} if figure.percent else {}
    axis = {"tickCount": 5, **form}
    return {"field": "mean", "type": "quantitative", "title": figure.unit, "scale": scale, "axis": axis}


def paper_config() -> Spec:
    small = {
        "labelFont": FONT,
        "titleFont": FONT,
        "labelFontSize": 7,
        "titleFontSize": 7.5,
        "titleFontWeight": "normal",
    }
    lines = {"gridColor": "#E8E8E8", "domainColor": "#888888", "tickColor": "#888888", "tickSize": 3}
    return {
        "font": FONT,
        "axis": {**small, **lines, "titlePadding": 4},
        "axisX": {"grid": False},
        "legend": {**small, "padding": 0, "offset": 4, "columnPadding": 6},
        "view": {"stroke": None},
        "title": {"font": FONT, "anchor": "start", "offset": 4},
    }
