"""Figures of paths as Vega-Lite layers: a line from point to point, a ring at its first, a large mark at its last."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .figures import Figure, shape

Spec = dict[str, Any]

_ROOM = 8  # pixels around the points
_SIZES = {"between": 1.0, "last": 2.4, "first": 4.5}  # of a mark; what is drawn last lies above


def path_layers(figure: Figure, *, point_size: int, has_targets: bool) -> list[Spec]:
    """The layers; lines go in the order of the sweep."""
    line = {"type": "line", "strokeWidth": 1.4, "opacity": 0.75}
    shapes = {"field": "series", "type": "nominal", "legend": None, "scale": path_scale(figure, shape)}
    layers: list[Spec] = [{"mark": line, "encoding": {"order": {"field": "at", "type": "quantitative"}}}]
    for place, size in _SIZES.items():
        mark = {"type": "point", "filled": place != "first", "opacity": 1, "size": size * point_size}
        here = [{"filter": {"field": "place", "equal": place}}]
        layers.append({"transform": here, "mark": mark, "encoding": {"shape": shapes}})
    target = {"type": "point", "filled": True, "size": 300, "opacity": 0, "tooltip": {"content": "data"}}
    return [*layers, {"mark": target, "encoding": {}}] if has_targets else layers


def path_axes(figure: Figure, across: list[str]) -> Spec:
    """What stands on the axes."""
    return {
        "x": {**_axis("x", [row["x"] for row in figure.rows]), "title": across},
        "y": {**_axis("mean", [row["mean"] for row in figure.rows], is_root=figure.from_zero), "title": figure.unit},
    }


def path_scale(figure: Figure, of: Callable[[int], str]) -> Spec:
    """A value for every series, by its number."""
    return {
        "domain": [series.name for series in figure.series],
        "range": [of(series.colour) for series in figure.series],
    }


def _axis(field: str, values: list[float], *, is_root: bool = False) -> Spec:
    low, high = min(values), max(values)
    domain = [0.0 if is_root else low, high] if low < high else [low - 0.5, high + 0.5]
    kind = "sqrt" if is_root and domain[0] >= 0 else "linear"
    scale = {"type": kind, "domain": domain, "zero": False, "nice": False, "padding": _ROOM}
    return {"field": field, "type": "quantitative", "scale": scale, "axis": {"tickCount": 5, "format": ".3~g"}}
