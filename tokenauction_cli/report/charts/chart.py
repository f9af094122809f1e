"""A chart: numbers with their words, drawn by Vega-Lite as panels of a page and as figures of a paper.

Every kind of chart is a file of its own: it takes its numbers from the run, unchanged, and draws one panel of them.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any, ClassVar

from ...analysis.columns.columns import explained, figure_explained
from ...analysis.tables.tables import grouped
from ...system.errors import UsageError
from ...system.wording import did_you_mean, listed
from .vega import PAGE, PAPER, SCHEMA, Look, Series, Spec, paper_config, shape

ALL_QUERIES = -1
COLUMN_WIDTH = 243  # points: 3.37 inches, one column of a two-column paper


@dataclass(frozen=True)
class Panel:
    """One set of axes, of a run by number. `truth` are the values that are marked; rows may be of several queries.

    Panels of one `scale` stand in a row and share their vertical axis.
    """

    title: str
    rows: tuple[dict[str, Any], ...]
    about: str = ""
    truth: tuple[float, ...] = ()
    run: int = 0
    scale: str = ""


@dataclass(frozen=True, kw_only=True)
class Chart(ABC):
    """What is drawn. `chapter` collects charts that share a heading, told apart by `tab`.

    `unit` is what stands on the vertical axis, `across` what stands on the other, '' where that is the sweep.
    """

    kind: ClassVar[str]
    file: ClassVar[str] = ""  # whose columns the series show; '' for figures of summary.csv
    fit: ClassVar[str] = "fit"
    heights: ClassVar[tuple[int, int]]  # pixels on the page, points on paper
    most_abreast: ClassVar[int] = 2  # panels in a row on paper; more stand in rows, two abreast where so many may
    room: ClassVar[int] = COLUMN_WIDTH - 12  # points for all panels of a row, of which each leaves a gap
    gap: ClassVar[int] = 36
    least_width: ClassVar[int] = 0
    names_lone_panel: ClassVar[bool] = True

    id: str
    chapter: str
    question: str
    tab: str
    unit: str
    across: str = ""
    percent: bool = False
    series: tuple[Series, ...] = ()
    panels: tuple[Panel, ...] = ()

    @cached_property
    def rows(self) -> tuple[dict[str, Any], ...]:
        """Of all panels, which share their scales where they are to be compared."""
        return tuple(row for panel in self.panels for row in panel.rows)

    @abstractmethod
    def drawn(self, panel: Panel, look: Look) -> Spec:
        """The layers of one panel, and their encodings."""

    def height(self, panel: Panel, look: Look) -> int:
        return self.heights[look.is_paper]

    def by_series(self, values: Iterable[Any]) -> Spec:
        """An encoding that has one of the values for each series, and no legend."""
        names = [one.name for one in self.series]
        scale = {"domain": names, "range": list(values)}
        return {"field": "series", "type": "nominal", "sort": names, "scale": scale, "legend": None}

    @property
    def shapes(self) -> Spec:
        """Marks by series."""
        return {"shape": self.by_series(shape(one.colour) for one in self.series)}

    def colours(self, look: Look, symbols: Spec) -> Spec:
        """Colours by series: on paper with a legend where there are several; the page has its own."""
        colours = self.by_series(look.colour(one.colour) for one in self.series)
        legend = {"title": None, "orient": "top", "symbolOpacity": 1, "symbolSize": 40, **symbols}
        return {"color": colours | ({"legend": legend} if look.is_paper and len(self.series) > 1 else {})}

    def on_page(self, panel: Panel) -> Spec:
        """One panel, as wide as its place; the page gives it the panel's rows, and the slider's position `at`.

        The page writes the titles of the axes itself: in a drawing they would be cut or break.
        """
        return {
            "$schema": SCHEMA,
            "width": "container",
            "height": self.height(panel, PAGE),
            "autosize": {"type": self.fit, "contains": "padding"},
            "params": [{"name": "at", "value": None}],
            "data": {"name": "rows"},
            **_untitled(self.drawn(panel, PAGE)),
        }

    @property
    def plain(self) -> dict[str, Any]:
        """Plain data for the page; panels that are drawn alike share their specification."""
        names = ("kind", "id", "chapter", "question", "tab", "unit", "across", "percent")
        specs = [self.on_page(panel) for panel in self.panels]
        shared = specs[0] if all(spec == specs[0] for spec in specs) else None
        own = [None if shared else spec for spec in specs]
        panels = [asdict(panel) | {"spec": spec} for panel, spec in zip(self.panels, own, strict=True)]
        series = [asdict(one) for one in self.series]
        plain = {"spec": shared, "series": series, "panels": panels, "what": self._what}
        return {**{name: getattr(self, name) for name in names}, **plain}

    @property
    def _what(self) -> list[str]:
        """What the numbers are, in the words of the columns that the series show, each sentence once."""
        named: dict[str, list[str]] = {}
        for one in self.series:
            words = explained(self.file, one.column) if self.file else figure_explained(one.column)
            named.setdefault(words, []).append(one.name)
        said = {listed(names): of_agents(words, names) for words, names in named.items() if words}
        return [f"{names}: {words}" for names, words in said.items()] if len(said) > 1 else list(said.values())

    def on_paper(self, are_many: bool = False) -> dict[str, Spec]:
        """A figure for every query, by name; with several queries their numbers, and `all`, are part of the names.

        Where queries `are_many` there is one, of all together.
        """
        drawn: dict[int, list[Panel]] = {}
        for panel in self.panels:
            for query, rows in grouped(panel.rows, lambda row: int(row.get("query", 0))).items():
                drawn.setdefault(query, []).append(replace(panel, rows=tuple(rows)))
        if are_many and ALL_QUERIES in drawn:
            drawn = {ALL_QUERIES: drawn[ALL_QUERIES]}
        ordered = sorted(drawn, key=lambda query: (query == ALL_QUERIES, query))
        parts = {query: ".all" if query == ALL_QUERIES else f".query-{query + 1}" for query in ordered}
        return {f"{self.id}{parts[query] if len(drawn) > 1 else ''}": self._figure(drawn[query]) for query in ordered}

    def _figure(self, panels: Sequence[Panel]) -> Spec:
        """These panels at the width of a column, with their data, a legend and their own colours."""
        abreast = max(Counter(panel.scale for panel in panels).values())
        columns = abreast if abreast <= self.most_abreast else min(2, self.most_abreast)
        width = max(self.least_width, self.room // columns - self.gap)
        is_named = len(panels) > 1 or self.names_lone_panel
        has_subtitles = any(panel.about for panel in panels)
        views = [
            {
                "title": _title(panel, is_named, has_subtitles),
                "width": width,
                "height": self.height(panel, PAPER),
                "data": {"values": list(panel.rows)},
                **self.drawn(panel, replace(PAPER, is_first=k % columns == 0 or panel.scale != panels[k - 1].scale)),
            }
            for k, panel in enumerate(panels)
        ]
        return {
            "$schema": SCHEMA,
            "background": "white",
            "config": paper_config(),
            "concat": views,
            "columns": columns,
            "spacing": 10,
            "resolve": {"scale": {"color": "shared", "shape": "shared", "strokeDash": "shared"}},
        }


def _title(panel: Panel, is_named: bool, has_subtitle: bool) -> Spec:
    """All titles of a figure have as many lines, so that they stand at one height."""
    subtitle = {"subtitle": panel.about or " "} if has_subtitle else {}
    return {"text": panel.title if is_named else "", **subtitle, "fontSize": 8, "fontWeight": "normal"}


def _untitled(spec: Any) -> Any:
    if isinstance(spec, list):
        return [_untitled(one) for one in spec]
    if not isinstance(spec, dict):
        return spec
    return {key: None if key == "title" else _untitled(value) for key, value in spec.items()}


def of_agents(words: str, names: Sequence[str] = ()) -> str:
    """The explanation of a column of agent A, said of the agent with this name, or of each of several."""
    name = names[0] if len(names) == 1 else "each agent"
    return re.sub(r"\bagent A\b", lambda _: name, words)


def ids_named(ids: Sequence[str], only: Sequence[str]) -> set[str]:
    """Which of these are meant; a name also stands for all that begin with it and a dot. Without names all."""
    wanted = set()
    for name in only:
        found = {name} if name in ids else {one for one in ids if one.startswith(f"{name}.")}
        if not found:
            there = f"the figures here are {', '.join(ids)}"
            raise UsageError(f"there is no figure {name!r}{did_you_mean(name, ids)}\n{there}")
        wanted |= found
    return wanted if only else set(ids)
