"""Figures of an audit of whole texts: which numbers of its files stand against what, not how they are drawn.

    regret    what the best deviation gains, by payment rule
    curves    utility or payment against the bid, a line for each report
    plane     best responses of two agents, as a path (`text_paths.py`)
    steps     those of any other number: bids against the step

Rows carry the numbers of the files unchanged, but for a utility's interval: the utility at truth and the gain's ends.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from ...analysis.tables.tables import grouped
from ...analysis.tables.text_audit_tables import rules_label
from ...experiment.resolved.text_audit import HONEST
from ...mechanism.audit.prose import ORDER_NAMES
from ...mechanism.registry import label
from ...mechanism.whole_texts.finding import BEST_IN_WORDS
from .figures import INK, Series
from .file_tables import Row

Kind = Literal["regret", "curves", "plane", "steps"]
Ends = tuple[float | None, float | None]

EVERY_PREFIX = BEST_IN_WORDS["every_prefix"]
_GAIN = "gain over the truth per text, units of the bids"


@dataclass(frozen=True)
class TextPanel:
    """One set of axes: an aggregation rule, or one with a payment rule. `truth` are the values that are marked."""

    title: str
    about: str
    truth: tuple[float, ...]
    rows: tuple[dict[str, Any], ...]


@dataclass(frozen=True)
class TextChart:
    """One figure. `chapter` collects those that share a heading, told apart by `tab`; `across` is its horizontal axis.

    `unit` is that of the numbers, or for a path what stands on its vertical axis.
    """

    id: str
    kind: Kind
    chapter: str
    question: str
    tab: str
    across: str
    unit: str
    series: tuple[Series, ...]
    panels: tuple[TextPanel, ...]


OTHERS = "other mechanisms"


class Bidder(NamedTuple):
    """An agent as charts show it."""

    id: str
    name: str
    colour: int


def regret_charts(rows: Sequence[Row], bidders: Sequence[Bidder]) -> Iterator[TextChart]:
    """What the best deviation gains: a chart per utility, a panel per aggregation rule and one for mechanisms."""
    by_utility = grouped(rows, lambda row: row["utility"])
    for utility, of_utility in by_utility.items():
        panels = [
            TextPanel(label(rule), "", (0.0,), tuple(_regrets(found, bidders)))
            for rule, found in grouped(of_utility, _panel_of).items()
        ]
        yield TextChart(
            chart_id("text_regret", (utility, by_utility)),
            "regret",
            "What the best deviation gains",
            "Its gain over bidding one’s value honestly, with its 95 % interval; exact gains have none. A hollow "
            "mark is the most that a bid for every prefix could gain. At 0 the truth is best.",
            utility_label(utility),
            _GAIN,
            _GAIN,
            tuple(Series(bidder.name, "gain", bidder.colour) for bidder in bidders),
            tuple(panels),
        )


def _regrets(rows: Sequence[Row], bidders: Sequence[Bidder]) -> Iterator[dict[str, Any]]:
    """For every payment rule and agent the best of all deviations, and the best bid for every prefix."""
    names = {bidder.id: bidder.name for bidder in bidders}
    for (payment, agent), group in grouped(rows, lambda row: (row["payment"], row["agent"])).items():
        for is_every_prefix in (False, True):
            found = [row for row in group if (row["bid"] == "") == is_every_prefix]
            if found:
                row = max(found, key=lambda row: (gain_of(row), is_best(row)))
                drawn = {"series": names[agent], "payment": label(payment), "is_every_prefix": is_every_prefix}
                yield drawn | _measured(row, "gain", _ends(row))


def is_best(row: Row) -> bool:
    """Of the bids for a whole text, as the audit says; files of earlier versions do not tell."""
    return row.get("best") in ("tried", "constant")


def gain_of(row: Row) -> float:
    """By which deviations are ordered; an empty gain, of two infinite utilities, is the least."""
    return float(row["gain"] or "-inf")


def curve_charts(rows: Sequence[Row], bidders: Sequence[Bidder]) -> Iterator[TextChart]:
    """Utility, then payment, against the bid: a chart per agent and utility, a panel per pair of rules."""
    yield from _curves("text_utility", "mean_utility", rows, bidders)
    yield from _curves("text_payment", "mean_payment", rows, bidders)


_CURVES = {
    "mean_utility": (
        "Utility against the bid",
        "What a text is worth to the agent less what it pays, mean over the texts, against the bid on a square-root "
        "scale. The band is the gain’s 95 % interval around the utility at truth; the broken line is the truth, a ring "
        "the best deviation, the dotted line the best bid for every prefix.",
        "utility per text, units of the bids",
    ),
    "mean_payment": (
        "Payment against the bid",
        "What the agent pays for a text, mean over the texts, against the bid on a square-root scale. The broken line "
        "is the truth, a ring the best deviation, the dotted line the best bid for every prefix.",
        "payment per text, units of the bids",
    ),
}


def _curves(name: str, column: str, rows: Sequence[Row], bidders: Sequence[Bidder]) -> Iterator[TextChart]:
    by_utility = grouped(rows, lambda row: row["utility"])
    by_agent = grouped(rows, lambda row: row["agent"])
    chapter, question, unit = _CURVES[column]
    for bidder in bidders:
        of_agent = grouped(by_agent.get(bidder.id, []), lambda row: row["utility"])
        for utility, found in of_agent.items():
            tab = f"{bidder.name}, {utility_label(utility)}" if len(by_utility) > 1 else bidder.name
            yield TextChart(
                chart_id(name, (bidder.id, by_agent), (utility, by_utility)),
                "curves",
                chapter,
                question,
                tab,
                f"bid of {bidder.name}",
                unit,
                tuple(_reports(found, column, bidder, 1 + max(one.colour for one in bidders))),
                tuple(_curve_panels(found, column)),
            )


def _reports(rows: Sequence[Row], column: str, bidder: Bidder, first_free: int) -> Iterator[Series]:
    """The honest report in the agent's colour, misreports in colours that no agent has."""
    misreports = [report for report in dict.fromkeys(row["report"] for row in rows) if report != HONEST]
    yield Series(HONEST, column, bidder.colour)
    for k, report in enumerate(misreports):
        yield Series(report, column, first_free + k)
    if any(row["bid"] == "" for row in rows):
        yield Series(EVERY_PREFIX, column, INK)


def _curve_panels(rows: Sequence[Row], column: str) -> Iterator[TextPanel]:
    for (rule, payment), group in grouped(rows, lambda row: (row["aggregation"], row["payment"])).items():
        value = float(group[0]["value"])
        at_truth = [row for row in group if row["report"] == HONEST and row["bid"] and float(row["bid"]) == value]
        if not at_truth:
            raise ValueError(f"no honest row bids the value {value:g} under {rule}, {payment}")
        drawn = [_on_a_curve(row, column, finite(at_truth[0]["mean_utility"])) for row in group]
        ordered = sorted(drawn, key=lambda row: math.inf if row["x"] is None else row["x"])
        yield TextPanel(rules_label(rule, payment), "", (value,), tuple(ordered))


def _on_a_curve(row: Row, column: str, utility_at_truth: float | None) -> dict[str, Any]:
    """A point; the best bid for every prefix has no bid, and is a line across."""
    is_every_prefix = row["bid"] == ""
    ends: Ends = (None, None)
    if column == "mean_utility":
        low, high = _ends(row)
        ends = (_sum(utility_at_truth, low), _sum(utility_at_truth, high))
    return {
        "series": EVERY_PREFIX if is_every_prefix else row["report"],
        "x": None if is_every_prefix else float(row["bid"]),
        "is_best": is_best(row),
        **_measured(row, column, ends),
    }


def _panel_of(row: Row) -> str:
    return OTHERS if row["aggregation"] == row["payment"] else row["aggregation"]


def _measured(row: Row, column: str, ends: Ends) -> dict[str, Any]:
    """A number of a deviation, and what a tooltip says of it."""
    return {
        "mean": finite(row[column]),
        "low": ends[0],
        "high": ends[1],
        "exact": row["method"] == "exact",
        "texts": int(float(row["texts"])),
        "report": row["report"],
        "bid": None if row["bid"] == "" else float(row["bid"]),
        "note": row["note"],
    }


def _ends(row: Row) -> Ends:
    """The ends of the gain's interval, none where it is exact."""
    return (None, None) if row["method"] == "exact" else (finite(row["gain.low"]), finite(row["gain.high"]))


def _sum(utility: float | None, gain: float | None) -> float | None:
    return None if gain is None or utility is None else utility + gain


def finite(value: str) -> float | None:
    """A number to draw; None for an infinite one, and for an empty one: the difference of two such."""
    number = float(value or "nan")
    return number if math.isfinite(number) else None


def utility_label(utility: str) -> str:
    return ORDER_NAMES.get(utility, utility.replace("_", " "))


def chart_id(name: str, *parts: tuple[str, Mapping[str, Any]]) -> str:
    """The name, and of every kind of part that has several the one that is meant."""
    return ".".join([name, *(part for part, all_of_them in parts if len(all_of_them) > 1)])
