"""Curves for a terminal: how mention rates and payments move along a sweep, one character per point."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..analysis.frames.along import X, along, points_in
from ..analysis.tables.tables import Table, shown
from ..experiment.experiment import Experiment

if TYPE_CHECKING:
    import pandas as pd

BLOCKS = "▁▂▃▄▅▆▇█"
PLAIN = "_.-=+*#@"
FEWEST_POINTS = 3
MOST_POINTS = 24


def sparkline(values: Sequence[float], low: float, high: float, blocks: str = BLOCKS) -> str:
    """A character per value, from `low` to `high`; a dot where there is none; at most 24 of them."""
    step = math.ceil(len(values) / MOST_POINTS)
    kept = values[::step]
    span = (high - low) or 1.0
    last = len(blocks) - 1
    return "".join(
        blocks[max(0, min(last, round((value - low) / span * last)))] if math.isfinite(value) else "·" for value in kept
    )


def curve_tables(
    experiment: Experiment, summary: pd.DataFrame, blocks: str = BLOCKS, x: X | None = None
) -> list[Table]:
    """One table per query: mention rates from 0 to 1, payments from 0 to the most that anybody pays under the rule.

    Along what the sweep moves, or along `x`; without a table where that does not tell three points apart.
    """
    tables = []
    for query, group in summary.groupby("query", sort=False):
        points = points_in(experiment, group.drop_duplicates("point"))
        axis = along(experiment, points, x)
        if len(points) < FEWEST_POINTS or axis.kind == "point":
            continue
        places = {point.index: axis.value(point) for point in points}
        ordered = group.sort_values("point", key=lambda column: column.map(places), kind="stable")
        rules = list(ordered.groupby("aggregation", sort=False))
        rows = [row for row in _rows(experiment, [rows for _, rows in rules], blocks) if any(row[1:])]
        span = f"{axis.title(experiment)} from {min(places.values()):g} to {max(places.values()):g}"
        title = " / ".join(part for part in (str(query), span) if part)
        tables.append(Table(title, ("", *(str(rule) for rule, _ in rules)), tuple(rows)))
    return tables


def _rows(experiment: Experiment, rules: Sequence[pd.DataFrame], blocks: str) -> list[tuple[str, ...]]:
    agents = experiment.agents
    named = {f"mentions {agent.name}": f"mention_rate.{agent.id}" for agent in agents}
    named |= {"mentions all": "co_mention_rate"} if len(agents) > 1 else {}
    rows = [(name, *(_curve(group, column, 1.0, blocks) for group in rules)) for name, column in named.items()]
    for payment in experiment.auction.payments:
        columns = {f"{agent.name} pays by {payment}": f"payment.{payment}.{agent.id}" for agent in agents}
        paid = [group[column].max() for group in rules for column in columns.values() if column in group]
        most = max((amount for amount in paid if math.isfinite(amount)), default=0.0)
        rows += [(name, *(_curve(group, column, most, blocks) for group in rules)) for name, column in columns.items()]
    return rows


def _curve(group: pd.DataFrame, column: str, most: float, blocks: str) -> str:
    """The curve, its first and last value, the highest if it lies between; nothing where the figure does not apply."""
    values = [float(value) for value in group[column]] if column in group else []
    if not any(map(math.isfinite, values)):
        return ""
    first, last, highest = shown(values[0]), shown(values[-1]), max(filter(math.isfinite, values))
    between = f" (most {shown(highest)})" if highest > max(values[0], values[-1]) and shown(highest) != "0" else ""
    return f"{sparkline(values, 0.0, most, blocks)}  {first} to {last}{between}"
