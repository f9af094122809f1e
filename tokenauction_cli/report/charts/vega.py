"""Pieces of Vega-Lite that charts are built of: colours, axes, marks; and what differs between a page and a paper."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

Spec = dict[str, Any]

SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"
FONT = "Liberation Sans, Arial, Helvetica, sans-serif"
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#6B6B6B")
DARK = ("#56B4E9", "#E69F00", "#2FBF94", "#E39CC5", "#8FB8FF", "#F0E442", "#B5B5B5")
INK = -1  # what belongs to no agent
INK_COLOUR = "#333333"
SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "triangle-right")
LONGEST_TITLE = 48  # characters, Chinese ones counted twice: what the axis of a panel on a phone has room for
ONCE: Spec = {"data": {"values": [{}]}}
FORM = ".3~g"
_BROKEN = [3, 3]


@dataclass(frozen=True)
class Series:
    """One line: its name, the column whose numbers it shows, its colour."""

    name: str
    column: str
    colour: int


def colour(index: int) -> str:
    """The colour of the k-th agent or rule on white."""
    return INK_COLOUR if index == INK else COLOURS[index % len(COLOURS)]


def css_variable(index: int) -> str:
    """The same as the page names it."""
    return "var(--ink)" if index == INK else f"var(--c{index % len(COLOURS)})"


def shape(index: int) -> str:
    """The mark of the k-th series."""
    return "circle" if index == INK else SHAPES[index % len(SHAPES)]


@dataclass(frozen=True)
class Look:
    """What differs between a page and a paper, where panels in a row may have one vertical axis, at the first."""

    colour: Callable[[int], str]
    size: int  # of a point
    width: float  # of a line
    text: float
    is_paper: bool
    is_first: bool = True

    @property
    def line(self) -> Spec:
        return {"type": "line", "strokeWidth": self.width}

    def point(self, *, filled: bool = True, size: float = 1.0) -> Spec:
        """A mark of so many times the usual size."""
        stroke = {} if filled else {"strokeWidth": self.width}
        return {"type": "point", "filled": filled, "opacity": 1, "size": size * self.size, **stroke}

    @property
    def ring(self) -> Spec:
        """Around a point, in ink."""
        return self.point(filled=False, size=3.5) | {"shape": "circle", "color": self.colour(INK)}

    def said(self, dx: int, dy: int) -> Spec:
        """Words beside a point."""
        beside = {"align": "left", "baseline": "bottom", "dx": dx, "dy": dy}
        return {"type": "text", "fontSize": self.text, "color": self.colour(INK), **beside}

    def targets(self, place: Spec | None = None, size: int = 500) -> list[Spec]:
        """On a page, around every point a place to point at."""
        mark = {"type": "point", "filled": True, "size": size, "opacity": 0, "tooltip": {"content": "data"}}
        return [] if self.is_paper else [{"mark": mark, "encoding": place or {}}]


PAGE = Look(css_variable, 40, 1.6, 11, is_paper=False)
PAPER = Look(colour, 14, 1.0, 6.5, is_paper=True)


def number(
    field: str,
    title: str,
    values: Iterable[float],
    *,
    root: bool = False,
    nice: bool = False,
    padding: int = 8,
    form: str = FORM,
) -> Spec:
    """An axis of numbers on which these values have room, as their square roots where there is none below 0."""
    found = list(values)
    low, high = min(found, default=0.0), max(found, default=1.0)
    domain = [low, high] if low < high else [low - 0.5, high + 0.5]
    kind = "sqrt" if root and domain[0] >= 0 else "linear"
    scale = {"type": kind, "domain": domain, "zero": False, "nice": nice, "padding": padding}
    axis = {"tickCount": 5, **({"format": form} if form else {})}
    return {"field": field, "type": "quantitative", "title": axis_title(title), "scale": scale, "axis": axis}


def axis_title(title: str) -> list[str]:
    """In lines, so that a panel cuts no long name of an agent, however wide its letters."""
    from rich.console import Console
    from rich.text import Text

    return [line.plain.rstrip() for line in Text(title).wrap(Console(), LONGEST_TITLE)]


def broken_rule() -> Spec:
    """The mark of a value."""
    return {"type": "rule", "strokeDash": _BROKEN, "opacity": 0.7}


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
        "title": {"font": FONT, "anchor": "start", "offset": 4, "subtitleFontSize": 7},
    }
