"""Tables of a market for people: what the seller earns beside the truth, and how each bidder fares."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from ...experiment.experiment import Experiment
from ...statistics.intervals import Estimate
from .tables import Table, grouped
from .text_audit_tables import rules_label

if TYPE_CHECKING:
    from ..run_market import RunMarket

Row = dict[str, Any]
SELLER = ("revenue", "truthful.revenue", "welfare", "truthful.welfare", "price_of_anarchy")
BIDDERS = ("mean_bid", "utility", "truthful.utility", "mentions", "truthful.mentions", "regret")
OF_BUDGETS = ("budget_share", "ended")


def market_tables(experiment: Experiment, found: RunMarket, *, intervals: bool = False) -> list[Table]:
    """What the seller earns, a row per payment; then for each payment a table with a row per bidder."""
    notes = tuple(_notes(experiment, found))
    names = {"": "", **{agent.id: agent.name for agent in experiment.agents}}
    figures = (*BIDDERS, *(OF_BUDGETS if found.table["budget"].notna().any() else ()))
    rows = [{str(column): value for column, value in row.items()} for row in found.table.to_dict("records")]
    several = len(found.market.reserves) > 1

    def auction(row: Row) -> str:
        rules = rules_label(row["aggregation"], row["payment"])
        return f"{rules}, reserve {row['reserve']:g}" if several else rules

    def table(title: str, some: list[Row], heads: dict[str, Callable[[Row], str]], figures: Sequence[str]) -> Table:
        there = [figure for figure in figures if not all(math.isnan(row[figure]) for row in some)]
        told = ((*(of(row) for of in heads.values()), *(_value(row, one, intervals) for one in there)) for row in some)
        return Table(title, (*heads, *map(_head, there)), tuple(told), len(heads), "market", notes=notes)

    together = [row for row in rows if not row["agent"]]
    bidders = {"bidder": lambda row: names[row["agent"]], "policy": lambda row: str(row["policy"])}
    by_auction = grouped((row for row in rows if row["agent"]), auction)
    return [
        table("What the seller earns", together, {"auction": auction}, SELLER),
        *(table(f"{name}: how each bidder fares", some, bidders, figures) for name, some in by_auction.items()),
    ]


def _head(figure: str) -> str:
    if figure == "ended":
        return "last bid in round"
    return figure.replace("truthful.", "truthful ").replace("_", " ")


def _value(row: Row, figure: str, intervals: bool) -> Any:
    if intervals and not math.isnan(row.get(f"{figure}.low", math.nan)):
        return Estimate(*(float(row[f"{figure}{end}"]) for end in ("", ".low", ".high")))
    return float(row[figure])


def _notes(experiment: Experiment, found: RunMarket) -> Iterator[str]:
    """What a reader of these numbers must know."""
    market = found.market
    yield (
        f"{market.rounds:,} rounds, played {market.replications} times. A round is one query and one seed of the run, "
        f"drawn anew. Money is per round, by {market.money} payments; intervals (95 %) are over replications."
    )
    yield "Truthful: every bidder bids its value, without budgets. Regret: what the best bid of the grid would gain."
    n_seeds = len(experiment.seeds)
    yield f"The market rests on {n_seeds} text{'s' * (n_seeds != 1)} per query and set of bids."
    outside = found.table.loc[found.table["outside"] > 0, "agent"].drop_duplicates().tolist()
    if outside:
        yield f"Some bids of {', '.join(outside)} lay outside of the grid: its end was bid (column outside)."
    if found.left_out:
        yield f"Left out: {'; '.join(found.left_out)}."
