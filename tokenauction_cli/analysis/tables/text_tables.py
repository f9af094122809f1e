"""The paper's table: texts against relative weight."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from ...experiment.experiment import Experiment
from ...system.errors import UsageError
from ...system.wording import did_you_mean, first_few
from ..frames.along import X, along, points_in
from ..frames.metrics import sampling_of_rules
from .tables import CutText, Table

if TYPE_CHECKING:
    import pandas as pd

By = Literal["aggregation", "seed", "query"]
RowHeads = tuple[tuple[str, ...], Callable[[int], tuple[Any, ...]]]


def text_tables(
    experiment: Experiment,
    cells: pd.DataFrame,
    by: By = "aggregation",
    seed: int | None = None,
    columns: Sequence[str] = (),
    x: X | None = None,
) -> list[Table]:
    """Texts against relative weight: one table per value of what is neither row nor column.

    By default the columns are the rules, there is one table per query, and the texts are those of the first seed.
    `columns` are those that are shown, by default all; `x` is what names the rows.
    """
    first_seed = int(cells["seed"].iloc[0]) if len(cells) else 0
    chosen_seed = first_seed if seed is None else seed
    if seed is not None and seed not in set(cells["seed"]):
        raise UsageError(f"there is no seed {seed}; this run has {first_few(sorted(set(cells['seed'])))}")
    samplers = samplers_of(cells)
    if by != "seed":
        cells = cells[cells["seed"] == chosen_seed]
    apart = [column for column in ("query", "aggregation") if column != by]
    tables = []
    for key, group in cells.groupby(apart, sort=False):
        title = " / ".join(str(part) for part in key if part != "")
        notes = [*_of_cut_texts(experiment, group), *_of_samplers(samplers)]
        tables.append(replace(_one_table(experiment, group, by, x), title=title, notes=tuple(notes)))
    return [_with_columns(table, columns) for table in tables] if columns else tables


def _one_table(experiment: Experiment, group: pd.DataFrame, by: By, x: X | None) -> Table:
    columns = list(dict.fromkeys(group[by]))
    texts = {(row.point, getattr(row, by)): _text(row) for row in group.itertuples()}
    points = group.drop_duplicates("point").sort_values("point")
    heads, row_of = row_heads(experiment, points, x)
    rows = tuple((*row_of(point), *(texts.get((point, column), "") for column in columns)) for point in points["point"])
    shown = (*heads, *(f"seed {c}" if by == "seed" else str(c) for c in columns))
    return Table("", shown, rows, len(heads), "texts")


def _text(row: Any) -> str:
    if row.end_reason == "failed":
        return f"[failed: {row.error}]"
    if row.end_reason == "unsold":
        return "[unsold]"
    return CutText(row.text) if row.end_reason == "length" else str(row.text)


def row_heads(experiment: Experiment, points: pd.DataFrame, x: X | None = None) -> RowHeads:
    """What names a row of a sweep point: what tells the points apart (`along.py`), otherwise the bids."""
    found = points_in(experiment, points)
    axis = along(experiment, found, x)
    if axis.kind == "point":
        bids = {point.index: point.bids for point in found}
        return tuple(f"bid of {agent.name}" for agent in experiment.agents), lambda point: bids[point]
    values = {point.index: axis.value(point) for point in found}
    return (axis.title(experiment),), lambda point: (values[point],)


def samplers_of(cells: pd.DataFrame) -> dict[str, str]:
    """How tokens were drawn under each rule or mechanism that drew any, where that is not the same under all."""
    found = {rule: sampler for rule, sampler in sampling_of_rules(cells).items() if sampler}
    return found if len(set(found.values())) > 1 else {}


def _of_samplers(samplers: dict[str, str]) -> list[str]:
    rules_of: dict[str, list[str]] = {}
    for rule, sampler in samplers.items():
        rules_of.setdefault(sampler, []).append(rule)
    told = "; ".join(f"{sampler} under {', '.join(rules)}" for sampler, rules in rules_of.items())
    return [f"Sampling: {told}."] if samplers else []


def _of_cut_texts(experiment: Experiment, group: pd.DataFrame) -> list[str]:
    limit, most = experiment.auction.limit, experiment.auction.max_draws
    return [f"…: the text was cut at {limit} ({most})."] if (group["end_reason"] == "length").any() else []


def _with_columns(table: Table, names: Sequence[str]) -> Table:
    """The row heads and the columns of these names."""
    known = table.columns[table.n_heads :]
    for name in names:
        if name not in known:
            near = did_you_mean(name, known)
            raise UsageError(f"there is no column {name!r} in this table of texts{near}; there are {', '.join(known)}")
    kept = [*range(table.n_heads), *(table.columns.index(name, table.n_heads) for name in names)]
    rows = tuple(tuple(row[k] for k in kept) for row in table.rows)
    return replace(table, columns=tuple(table.columns[k] for k in kept), rows=rows)
