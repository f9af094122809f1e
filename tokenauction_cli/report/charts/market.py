"""What a report shows of a market: bids and money round by round, what the seller earns beside the truth.

The numbers are those of `market.csv` and `market_paths.csv`, as `tokauction market` left them in the run folder.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...analysis.run import Run
from ...analysis.tables.tables import grouped
from ...analysis.tables.text_audit_tables import rules_label
from .chart import Chart, Panel
from .deviations import finite, numbers
from .file_tables import Row, as_written_by, file_table, read_rows
from .text_incentives import TextIncentives
from .vega import FORM, INK, ONCE, Look, Series, Spec, broken_rule, number

MARKET, PATHS = "market.csv", "market_paths.csv"
LEARNED, TRUTHFUL = "in the market", "everybody truthful"
_TABLE = ("What everybody comes to", "A row for each payment and bidder, and one for all bidders")
_BY_ROUND = "The line is the median over replications, the band holds 90 % of them."


@dataclass(frozen=True, kw_only=True)
class MarketChart(Chart):
    """Lines and bands by agent, a panel for each payment with a scale of its own; a broken line at what is marked."""

    kind = "market"
    file = PATHS
    heights = (220, 84)

    def drawn(self, panel: Panel, look: Look) -> Spec:
        y = number("mean", self.unit, [0.0, *panel.truth, *numbers(panel.rows, "mean", "low", "high")])
        x = number("x", self.across, numbers(self.rows, "x"), padding=5, form="~s" if self.across == "round" else FORM)
        band = {"y": {"field": "low", "type": "quantitative"}, "y2": {"field": "high"}}
        layers = [
            {"mark": {"type": "area", "opacity": 0.16}, "encoding": band},
            {"mark": look.line},
            *([] if self.across == "round" else [{"mark": look.point()}]),
            *look.targets(),
        ]
        at = [
            {**ONCE, "mark": broken_rule(), "encoding": {"y": {"datum": value, "type": "quantitative"}}}
            for value in panel.truth
        ]
        return {"layer": [*at, {"layer": layers, "encoding": {"x": x, "y": y, **self.colours(look, {})}}]}


@dataclass(frozen=True, kw_only=True)
class EarningsChart(Chart):
    """A place on the vertical axis for each payment, with what it earns after learning and at truth."""

    kind = "market"
    file = MARKET
    fit = "fit-x"
    heights = (34, 13)  # of one payment
    most_abreast, gap = 1, 62

    def height(self, panel: Panel, look: Look) -> int:
        return super().height(panel, look) * len({row["payment"] for row in panel.rows})

    def drawn(self, panel: Panel, look: Look) -> Spec:
        x = number("mean", self.across, [0.0, *numbers(self.rows, "mean", "low", "high")], root=True)
        encoding = {
            "x": x | {"axis": {"tickCount": 5, "grid": True, "domain": False, "format": FORM}},
            "y": {"field": "payment", "type": "nominal", "sort": None, "title": None, "axis": {"grid": False}},
            **self.colours(look, {"symbolStrokeWidth": 0}),
        }
        whisker = {"x": {"field": "low", "type": "quantitative"}, "x2": {"field": "high"}}
        layers = [
            {"mark": {"type": "rule", "strokeWidth": look.width}, "encoding": whisker},
            {"mark": look.point(), "encoding": self.shapes},
            *look.targets(),
        ]
        return {"layer": layers, "encoding": encoding}


def market_figures(run: Run, colours: Mapping[str, int]) -> TextIncentives | None:
    """The market in a run folder, None where there is none. Raises StoreError where a file is spoiled."""
    paths = {name: run.folder.path / name for name in (MARKET, PATHS)}
    if not all(path.is_file() for path in paths.values()):
        return None
    found = {}
    for name, path in paths.items():
        with as_written_by("market", path):
            found[name] = read_rows(path)
    with as_written_by("market", paths[PATHS]):
        charts = list(_charts(run, colours, found[MARKET].rows, found[PATHS].rows))
    table = file_table(*_TABLE, MARKET, found[MARKET].columns, found[MARKET].rows)
    return TextIncentives(tuple(charts), [], [table], "")


def _charts(run: Run, colours: Mapping[str, int], rows: Sequence[Row], paths: Sequence[Row]) -> Iterator[Chart]:
    bidders = [one for one in run.experiment.agents if not one.reference]
    names = {agent.id: agent.name for agent in run.experiment.agents}
    budgets = {row["agent"]: float(row["budget"]) for row in rows if row["budget"]}

    def by_round(column: str) -> Iterator[Panel]:
        marked = tuple(budgets.values()) if column == "spent" else ()
        for title, some in grouped(paths, _auction).items():
            drawn = tuple(_drawn(row, column, names[row["agent"]], float(row["round"])) for row in some)
            yield Panel(title, drawn, truth=marked)

    def chart(name: str, column: str, tab: str, question: str, unit: str) -> MarketChart:
        about = f"{question} {_BY_ROUND}"
        return MarketChart(
            id=name, chapter="Bids and money by round", question=about, tab=tab, unit=unit, across="round",
            series=tuple(Series(one.name, column, colours[one.name]) for one in bidders),
            panels=tuple(by_round(column)),
        )  # fmt: skip

    yield chart("market_bids", "bid", "bids", "What each bidder bids.", "bid, mean over a window of rounds")
    spent = "What each bidder has paid so far; the broken line is its budget."
    yield chart("market_spent", "spent", "money", spent, "paid so far, units of the bids")
    together = [row for row in rows if not row["agent"]]
    yield _earnings(together)
    if len({row["reserve"] for row in together}) > 1:
        yield _reserves(together)


def _rules(row: Row) -> str:
    return rules_label(row["aggregation"] or row["mechanism"], row["payment"])


def _auction(row: Row) -> str:
    reserve = float(row["reserve"])
    return f"{_rules(row)}, reserve {reserve:g}" if reserve else _rules(row)


def _drawn(row: Row, column: str, series: str, x: float | None) -> dict[str, Any]:
    mean, low, high = (finite(row[f"{column}{end}"]) for end in ("", ".low", ".high"))
    return {"series": series, "x": x, "mean": mean, "low": low, "high": high}


def _earnings(rows: Sequence[Row]) -> EarningsChart:
    def drawn(row: Row) -> Iterator[dict[str, Any]]:
        payment, truth = {"payment": _auction(row)}, float(row["truthful.revenue"])
        yield payment | _drawn(row, "revenue", LEARNED, None)
        yield payment | {"series": TRUTHFUL, "x": None, "mean": truth, "low": None, "high": None}

    return EarningsChart(
        id="market_revenue",
        chapter="What the seller earns",
        question="Revenue per round in the market, with its 95 % interval over replications, beside what it would be "
        "if every bidder bid its value; on a square-root scale.",
        tab="by payment",
        unit="revenue per round, units of the bids",
        across="revenue per round, units of the bids",
        series=(Series(LEARNED, "revenue", 0), Series(TRUTHFUL, "truthful.revenue", INK)),
        panels=(Panel("", tuple(one for row in rows for one in drawn(row))),),
    )


def _reserves(rows: Sequence[Row]) -> MarketChart:
    drawn = [_drawn(row, "revenue", _rules(row), float(row["reserve"])) for row in rows]
    return MarketChart(
        id="market_reserve",
        chapter="What the seller earns",
        question="Revenue per round in the market against the reserve, with its 95 % interval over replications.",
        tab="by reserve",
        unit="revenue per round, units of the bids",
        across="reserve",
        series=tuple(Series(name, "revenue", k) for k, name in enumerate(dict.fromkeys(map(_rules, rows)))),
        panels=(Panel("", tuple(drawn)),),
    )
