"""Figures of summary.csv against what the sweep moves: rates, payments, or any that are named."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from ...experiment.experiment import Experiment
from ...statistics.intervals import Estimate
from ...system.errors import UsageError
from ...system.wording import did_you_mean
from ..columns.columns import RATIOS
from ..frames.along import X
from ..frames.comparable import groups_of
from ..frames.mechanism_names import keys_of, payments_of
from ..frames.metrics import figures_of_summary
from ..frames.per_bytes import BYTES
from ..frames.pooled import FEW
from .tables import Table
from .tables import shown as display
from .text_tables import RowHeads, row_heads

if TYPE_CHECKING:
    import pandas as pd


_NAMED = {"co_mention_rate": "mentions all", "cells": "texts"}
_PER_BYTES = f"_per_{BYTES}_bytes"


class FigureChoice(NamedTuple):
    """What a table of figures shows.

    columns    columns by name, such as `tokens` or `tv.alpha`; `tv` means those of all agents; none: the table's own
    intervals  95 % intervals beside the means
    constant   columns that are equal in all rows, too; those that are named are always there
    pooled     only the means over all queries
    x          what names the rows
    """

    columns: tuple[str, ...] = ()
    intervals: bool = False
    constant: bool = True
    pooled: bool = False
    x: X | None = None


class Frames(NamedTuple):
    """What is shown, and how tokens were drawn under each rule where that differs."""

    summary: pd.DataFrame
    pooled: pd.DataFrame
    samplers: Mapping[str, str]


def rate_tables(experiment: Experiment, frames: Frames, choice: FigureChoice) -> list[Table]:
    """Mention rates, lengths and revenues: a table per query and rule, and of several queries per rule."""
    return _tables("rates", experiment, frames, choice, rate_figures(experiment))


def rate_figures(experiment: Experiment) -> list[str]:
    """The figures of these tables."""
    length = "bytes" if experiment.auction.alphabet == "bytes" else "tokens"
    rates = [f"mention_rate.{agent.id}" for agent in experiment.agents]
    revenues = (f"revenue.{payment}" for payment in payments_of(experiment))
    return [*rates, "co_mention_rate", length, *revenues, *(f"judge.{name}" for name in experiment.judges)]


def payment_tables(experiment: Experiment, frames: Frames, choice: FigureChoice) -> list[Table]:
    """What each agent pays by each payment rule, and what the seller earns."""
    figures = [
        figure
        for payment in payments_of(experiment)
        for figure in (*(f"payment.{payment}.{agent.id}" for agent in experiment.agents), f"revenue.{payment}")
    ]
    return _tables("payments", experiment, frames, choice, figures)


def _tables(
    name: str, experiment: Experiment, frames: Frames, choice: FigureChoice, figures: Sequence[str]
) -> list[Table]:
    known = columns_of_summary(frames.summary)
    figures = named_figures(choice.columns, known) if choice.columns else [f for f in figures if f in known]
    headings = {figure: heading(figure, experiment) for figure in figures}
    tables, same = [], []
    for keys, title, group in _groups(experiment, frames, choice.pooled):
        there = [f for f in figures if f in group and (not experiment.auction.others or group[f].notna().any())]
        is_all = choice.constant or bool(choice.columns) or len(group) == 1
        shown = [f for f in there if is_all or group[f].nunique() > 1]
        left_out = {headings[f]: group[f].iloc[0] for f in there if f not in shown and group[f].notna().all()}
        if shown:
            heads = _heads(experiment, frames.summary, group, choice.x)
            columns = (*heads[0], *(headings[figure] for figure in shown))
            rows = tuple(_rows(group, heads, shown, choice.intervals))
            notes = (*(_of_intervals(group) if choice.intervals else ()), *_of_measures(experiment, shown))
            tables.append(Table(title, columns, rows, len(heads[0]), name, keys, notes))
            same.append({head: display(value) for head, value in left_out.items()})
    if choice.pooled and choice.columns and not tables:
        raise UsageError(
            f"the means over all queries have no {', '.join(choice.columns)}; leave --pooled out, or say --all"
        )
    return _with_constants(tables, same)


def _with_constants(tables: Sequence[Table], same: Sequence[dict[str, str]]) -> list[Table]:
    """The tables with what their columns that are left out say: once for all tables, else below the table."""
    everywhere = set.intersection(*(set(values.items()) for values in same)) if same else set()
    named = [pair for pair in (same[0] if same else {}).items() if pair in everywhere]
    note = (f"The same everywhere: {_in_a_row(named)}.",) if named else ()
    told = []
    for table, values in zip(tables, same, strict=True):
        own = [pair for pair in values.items() if pair not in everywhere]
        caption = f"The same in every row: {_in_a_row(own)}." if own else ""
        told.append(replace(table, notes=(*note, *table.notes), caption=caption))
    return told


def _in_a_row(pairs: Iterable[tuple[str, str]]) -> str:
    return ", ".join(f"{head} {value}" for head, value in pairs)


def _heads(experiment: Experiment, summary: pd.DataFrame, group: pd.DataFrame, x: X | None) -> RowHeads:
    """What names the rows: a query's own bids; over queries with other bids each, points by number."""
    if "query" in group:
        return row_heads(experiment, group, x)
    if experiment.points_of_queries and group["relative_weight"].isna().any():
        return ("point",), lambda point: (point,)
    points = summary.drop_duplicates("point")
    return row_heads(experiment, points[points["point"].isin(group["point"])], x)


def _groups(
    experiment: Experiment, frames: Frames, pooled: bool
) -> Iterator[tuple[tuple[tuple[str, Any], ...], str, pd.DataFrame]]:
    """What each table is of: keys for programs, a title, and its rows."""
    summary = frames.summary[:0] if pooled else frames.summary
    for (query, rule), group in summary.groupby(["query", "aggregation"], sort=False):
        yield (
            (("query", query), *keys_of(experiment, str(rule))),
            f"{query} / " * (query != "") + _title(rule, group, frames),
            group,
        )
    if len(frames.pooled):
        for rule, group in frames.pooled.groupby("aggregation", sort=False):
            n = int(group["queries"].max())
            keys = (("query", ""), *keys_of(experiment, str(rule)), ("queries", n))
            yield keys, f"all {n} queries / {_title(rule, group, frames)}", group


def _title(rule: Any, group: pd.DataFrame, frames: Frames) -> str:
    sampler = f" ({frames.samplers[rule]} sampling)" if rule in frames.samplers else ""
    fewest, most = group["cells"].min(), group["cells"].max()
    texts = f"{fewest} to {most} texts" if fewest < most else "1 text" if most == 1 else f"{most} texts"
    return f"{rule}, {texts} each{sampler}"


def _rows(group: pd.DataFrame, heads: RowHeads, columns: Sequence[str], intervals: bool) -> Iterator[tuple[Any, ...]]:
    for row in group.to_dict("records"):
        yield (*heads[1](row["point"]), *(_value(row, column, intervals) for column in columns))


def _value(row: Mapping[Any, Any], column: str, intervals: bool) -> Any:
    """A cell: a mean with its interval where that is wanted and there is one."""
    if not intervals or f"{column}.low" not in row:
        return row[column]
    return Estimate(float(row[column]), float(row[f"{column}.low"]), float(row[f"{column}.high"]))


def _of_intervals(group: pd.DataFrame) -> tuple[str, ...]:
    """How far the intervals of these rows can be believed."""
    if "queries" in group:
        few = group["queries"].max()
        return (f"Over only {few} queries intervals are rough.",) if few < FEW else ()
    return (f"Intervals of means of fewer than {FEW} texts are too narrow.",) if group["cells"].min() < FEW else ()


def _of_measures(experiment: Experiment, figures: Sequence[str]) -> Iterator[str]:
    """What must not be compared between these tables."""
    for figure in figures:
        groups = groups_of(figure, experiment.auction.rules)
        if len(groups) > 1:
            apart = " with ".join(", ".join(group) for group in groups)
            yield f"{figure}: by the rule's own objective, so do not compare {apart}."


def columns_of_summary(summary: pd.DataFrame) -> list[str]:
    """The columns of summary.csv beside what names its tables: the figures first, then bids and counts, then ends."""
    figures = figures_of_summary(summary)
    ends = [f"{figure}.{end}" for figure in figures for end in ("low", "high")]
    rest = [str(c) for c in summary.columns if c not in {*figures, *ends, "query", "aggregation"}]
    return [*figures, *rest, *ends]


def named_figures(names: Iterable[str], known: Sequence[str]) -> list[str]:
    """The columns of these names, or of these first parts of names; raises UsageError naming the nearest.

    Ends of intervals are meant by their full name alone.
    """
    found: dict[str, None] = {}
    whole = [one for one in known if not one.endswith((".low", ".high"))]
    for name in names:
        meant = [one for one in known if one == name] or [one for one in whole if one.startswith(f"{name}.")]
        if not meant:
            first_parts = list(dict.fromkeys(figure.split(".")[0] for figure in whole))
            near, listed = did_you_mean(name, [*known, *first_parts]), ", ".join(first_parts)
            raise UsageError(f"there is no column {name!r} in the summary of this run{near}; there are {listed}")
        found |= dict.fromkeys(meant)
    return list(found)


def mention_figures(experiment: Experiment) -> list[str]:
    """How often each agent is mentioned and, where there are several, all together: columns of summaries."""
    each = [f"mention_rate.{agent.id}" for agent in experiment.agents]
    return [*each, "co_mention_rate"] if len(each) > 1 else each


def heading(figure: str, experiment: Experiment, name: Callable[[str], str] = str) -> str:
    """The name of a figure as the head of a column; `name` says how payment rules are written."""
    if figure in _NAMED:
        return _NAMED[figure]
    if figure == "tokens":
        return "draws" if experiment.auction.alphabet == "bytes" else experiment.auction.alphabet
    first, _, rest = figure.partition(".")
    if first in RATIOS:
        amount = heading(f"{first.removesuffix(_PER_BYTES)}.{rest}", experiment, name)
        return f"{amount} per {BYTES:,} bytes"
    for agent in experiment.agents:
        if figure.endswith(f".{agent.id}"):
            first, _, rest = figure.removesuffix(f".{agent.id}").partition(".")
            named = {"mention_rate": f"mentions {agent.name}", "payment": f"{agent.name} pays by {name(rest)}"}
            return named.get(first, f"{first} {agent.name}")
    return f"revenue {name(rest)}" if first == "revenue" else figure.replace("judge.", "judge ")
