"""Charts of regret: what the best deviation for whole texts gains over the truth, by payment rule and agent."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ...analysis.tables.tables import grouped
from ...mechanism.registry import label
from .chart import Chart, Panel
from .deviations import DrawnAgent, chart_id, ends_of, gain_of, is_best, measured, numbers, utility_label
from .file_tables import Row
from .vega import FORM, ONCE, Look, Series, Spec, broken_rule, number

OTHERS = "other mechanisms"
_GAIN = "gain over the truth per text, units of the bids"


@dataclass(frozen=True, kw_only=True)
class RegretChart(Chart):
    """Dots and whiskers, a place on the vertical axis for every payment rule and agent; a ring for every prefix."""

    kind = "regret"
    file = "text_audit.csv"
    fit = "fit-x"
    heights = (30, 11)  # of one dot
    most_abreast, gap = 1, 62

    def height(self, panel: Panel, look: Look) -> int:
        return super().height(panel, look) * len({(row["payment"], row["series"]) for row in panel.rows})

    def drawn(self, panel: Panel, look: Look) -> Spec:
        gains = number("mean", self.across, [0.0, *numbers(self.rows, "mean", "low", "high")])
        encoding = {
            "x": gains | {"axis": {"tickCount": 5, "grid": True, "domain": False, "format": FORM}},
            "y": {"field": "payment", "type": "nominal", "sort": None, "title": None, "axis": {"grid": False}},
            "yOffset": {"field": "series", "type": "nominal", "sort": [series.name for series in self.series]},
            **self.colours(look, {"symbolStrokeWidth": 0}),
        }
        whisker = {"x": {"field": "low", "type": "quantitative"}, "x2": {"field": "high"}}
        dots, rings = ([{"filter": {"field": "is_every_prefix", "equal": ring}}] for ring in (False, True))
        layers = [
            {"transform": dots, "mark": {"type": "rule", "strokeWidth": look.width}, "encoding": whisker},
            {"transform": dots, "mark": look.point(), "encoding": self.shapes},
            {"transform": rings, "mark": look.point(filled=False), "encoding": self.shapes},
            *look.targets(),
        ]
        zero = {**ONCE, "mark": broken_rule(), "encoding": {"x": {"datum": 0, "type": "quantitative"}}}
        return {"layer": [zero, {"layer": layers, "encoding": encoding}]}


def regret_charts(rows: Sequence[Row], agents: Sequence[DrawnAgent]) -> Iterator[RegretChart]:
    """A chart per utility, a panel per aggregation rule and one for mechanisms."""
    by_utility = grouped(rows, lambda row: row["utility"])
    for utility, of_utility in by_utility.items():
        by_rule = grouped(of_utility, _panel_of).items()
        yield RegretChart(
            id=chart_id("text_regret", (utility, by_utility)),
            chapter="What the best deviation gains",
            question="Its gain over bidding one’s value honestly, with its 95 % interval; exact gains have none. A "
            "hollow mark is the most that a bid for every prefix could gain. At 0 the truth is best.",
            tab=utility_label(utility),
            unit=_GAIN,
            across=_GAIN,
            series=tuple(Series(agent.name, "gain", agent.colour) for agent in agents),
            panels=tuple(Panel(label(rule), tuple(_regrets(found, agents)), truth=(0.0,)) for rule, found in by_rule),
        )


def _panel_of(row: Row) -> str:
    return OTHERS if row["aggregation"] == row["payment"] else row["aggregation"]


def _regrets(rows: Sequence[Row], agents: Sequence[DrawnAgent]) -> Iterator[dict[str, Any]]:
    """For every payment rule and agent the best of all deviations, and the best bid for every prefix."""
    names = {agent.id: agent.name for agent in agents}
    for (payment, agent), group in grouped(rows, lambda row: (row["payment"], row["agent"])).items():
        for is_every_prefix in (False, True):
            found = [row for row in group if (row["bid"] == "") == is_every_prefix]
            if found:
                row = max(found, key=lambda row: (gain_of(row), is_best(row)))
                drawn = {"series": names[agent], "payment": label(payment), "is_every_prefix": is_every_prefix}
                yield drawn | measured(row, "gain", ends_of(row))
