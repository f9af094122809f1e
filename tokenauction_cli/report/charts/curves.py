"""Charts of curves: utility or payment against the bid for whole texts, a line for each report."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ...analysis.tables.tables import grouped
from ...analysis.tables.text_audit_tables import rules_label
from ...experiment.resolved.text_audit import HONEST
from ...mechanism.whole_texts.finding import BEST_IN_WORDS
from .chart import Chart, Panel
from .deviations import DrawnAgent, Ends, chart_id, ends_of, finite, is_best, measured, numbers, utility_label
from .file_tables import Row
from .vega import FORM, INK, ONCE, Look, Series, Spec, broken_rule, number

EVERY_PREFIX = BEST_IN_WORDS["every_prefix"]
_CURVES = (
    (
        "text_utility",
        "mean_utility",
        "Utility against the bid",
        "What a text is worth to the agent less what it pays, mean over the texts, against the bid on a square-root "
        "scale. The band is the gain’s 95 % interval around the utility at truth; the broken line is the truth, a ring "
        "the best deviation, the dotted line the best bid for every prefix.",
        "utility per text, units of the bids",
    ),
    (
        "text_payment",
        "mean_payment",
        "Payment against the bid",
        "What the agent pays for a text, mean over the texts, against the bid on a square-root scale. The broken line "
        "is the truth, a ring the best deviation, the dotted line the best bid for every prefix.",
        "payment per text, units of the bids",
    ),
)
_TICKS = (0, 0.25, 1, 2, 4)  # of the value


@dataclass(frozen=True, kw_only=True)
class CurveChart(Chart):
    """A line and points per report, a band where there are intervals; bids on a square-root scale."""

    kind = "curves"
    file = "text_audit.csv"
    heights = (220, 84)

    def drawn(self, panel: Panel, look: Look) -> Spec:
        bids = self._bids(panel)
        utilities = number("mean", self.unit, numbers(panel.rows, "mean", "low", "high"))
        every_prefix = {"type": "rule", "strokeDash": [1, 3], "strokeWidth": look.width}
        layers = [
            {"transform": [{"filter": "datum.x === null"}], "mark": every_prefix},
            *self._reports(bids, look),
            *look.targets({"x": bids}),
        ]
        encoding = {"y": utilities, **self.colours(look, {"symbolStrokeWidth": 0})}
        return {"layer": [*_truth(panel, bids, look), {"layer": layers, "encoding": encoding}]}

    def _bids(self, panel: Panel) -> Spec:
        """The axis of bids, with ticks at the value and at simple multiples of it."""
        (value,) = panel.truth
        most = max([value, *numbers(panel.rows, "x")])
        ticks = sorted({*(value * tick for tick in _TICKS if value * tick <= most), most})
        bids = number("x", self.across, (0, most or 1), root=True, padding=6)
        return bids | {"axis": {"format": FORM, "labelOverlap": "greedy", "values": ticks, "tickCount": len(ticks)}}

    def _reports(self, bids: Spec, look: Look) -> list[Spec]:
        """Bands, lines and points, and a ring around each of the best."""
        at_bids = {"filter": "datum.x !== null"}
        band = {"type": "area", "opacity": 0.16}
        between = {"x": bids, "y": {"field": "low", "type": "quantitative"}, "y2": {"field": "high"}}
        dashes = self.by_series([[1, 0] if one.name == HONEST else [5, 3] for one in self.series])
        return [
            {"transform": [at_bids, {"filter": "datum.low !== null"}], "mark": band, "encoding": between},
            {"transform": [at_bids], "mark": look.line, "encoding": {"x": bids, "strokeDash": dashes}},
            {"transform": [at_bids], "mark": look.point(), "encoding": {"x": bids, **self.shapes}},
            {"transform": [{"filter": "datum.is_best"}], "mark": look.ring, "encoding": {"x": bids}},
        ]


def _truth(panel: Panel, bids: Spec, look: Look) -> list[Spec]:
    """A broken line at the value, and the word."""
    place = {"x": {"datum": panel.truth[0], "type": "quantitative", "scale": bids["scale"]}}
    word = {**place, "y": {"value": "height"}, "text": {"value": "truth"}}
    return [
        {**ONCE, "mark": broken_rule(), "encoding": place},
        {**ONCE, "mark": look.said(4, -2), "encoding": word},
    ]


def curve_charts(rows: Sequence[Row], agents: Sequence[DrawnAgent]) -> Iterator[CurveChart]:
    """Utility, then payment: a chart per agent and utility, a panel per pair of rules."""
    by_utility = grouped(rows, lambda row: row["utility"])
    by_agent = grouped(rows, lambda row: row["agent"])
    first_free = 1 + max(agent.colour for agent in agents)
    for name, column, chapter, question, unit in _CURVES:
        for agent in agents:
            for utility, found in grouped(by_agent.get(agent.id, []), lambda row: row["utility"]).items():
                yield CurveChart(
                    id=chart_id(name, (agent.id, by_agent), (utility, by_utility)),
                    chapter=chapter,
                    question=question,
                    tab=f"{agent.name}, {utility_label(utility)}" if len(by_utility) > 1 else agent.name,
                    unit=unit,
                    across=f"bid of {agent.name}",
                    series=tuple(_reports(found, column, agent, first_free)),
                    panels=tuple(_panels(found, column)),
                )


def _reports(rows: Sequence[Row], column: str, agent: DrawnAgent, first_free: int) -> Iterator[Series]:
    """The honest report in the agent's colour, misreports in colours that no agent has."""
    misreports = [report for report in dict.fromkeys(row["report"] for row in rows) if report != HONEST]
    yield Series(HONEST, column, agent.colour)
    for k, report in enumerate(misreports):
        yield Series(report, column, first_free + k)
    if any(row["bid"] == "" for row in rows):
        yield Series(EVERY_PREFIX, column, INK)


def _panels(rows: Sequence[Row], column: str) -> Iterator[Panel]:
    for (rule, payment), group in grouped(rows, lambda row: (row["aggregation"], row["payment"])).items():
        value = float(group[0]["value"])
        at_truth = [row for row in group if row["report"] == HONEST and row["bid"] and float(row["bid"]) == value]
        if not at_truth:
            raise ValueError(f"no honest row bids the value {value:g} under {rule}, {payment}")
        drawn = [_on_a_curve(row, column, finite(at_truth[0]["mean_utility"])) for row in group]
        ordered = sorted(drawn, key=lambda row: math.inf if row["x"] is None else row["x"])
        yield Panel(rules_label(rule, payment), tuple(ordered), truth=(value,))


def _on_a_curve(row: Row, column: str, utility_at_truth: float | None) -> dict[str, Any]:
    """A point; a utility's interval is the utility at truth and the gain's ends.

    The best bid for every prefix has no bid, and is a line across.
    """
    is_every_prefix = row["bid"] == ""
    ends: Ends = (None, None)
    if column == "mean_utility" and utility_at_truth is not None:
        low, high = (None if end is None else utility_at_truth + end for end in ends_of(row))
        ends = (low, high)
    return {
        "series": EVERY_PREFIX if is_every_prefix else row["report"],
        "x": None if is_every_prefix else float(row["bid"]),
        "is_best": is_best(row),
        **measured(row, column, ends),
    }
