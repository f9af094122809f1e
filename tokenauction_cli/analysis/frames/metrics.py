"""Records to tidy tables: one row per cell, and one row per (query, rule, sweep point) with 95 % intervals."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from sys import intern
from typing import TYPE_CHECKING, Any

import numpy as np

from ...experiment.experiment import Experiment
from ...statistics.bootstrap import means_of_samples, ratios_of_samples
from ...statistics.intervals import Estimate, rates_of_samples
from ...statistics.samples import samples
from ...system.arrays import Array, Indices, Integers
from ...system.steps import Hear, heard, unheard
from ...text.mentions import blends_of
from ..columns.columns import COMPLETE, FIGURES, RATES, SOLD
from .common_measures import common_measures, numbers
from .mechanism_names import named
from .per_bytes import BYTES, ratio_names, sizes_of

if TYPE_CHECKING:
    import pandas as pd


GROUP = ["query", "aggregation", "point"]
ROWS_AT_ONCE = 2_000
_NOT_TABULAR = ("token_ids", "trace")
_REPEATED = ("query", "aggregation", "sampling", "end_reason")  # columns of few different texts: once in memory
_LEADING = [
    *("cell", "query", "aggregation", "point", "relative_weight", "seed"),
    *("sampling", "text", "tokens", "bytes", "end_reason", SOLD, COMPLETE, "candidate"),
]
_PER_AGENT = [
    *("bid", "weight", "mentions", "first_mention", "log_prob", "log_allowed", "log_ratio"),
    *("tv", "kl", "reverse_kl", "reverse_kl_sum", "unfollowed"),
]


def cells_frame(experiment: Experiment, records: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """`cells.csv`: one row per record, mentions counted, columns in the documented order."""
    rows = CellRows()
    rows.add(records)
    return cells_frame_of(experiment, rows)


def cells_frame_of(experiment: Experiment, rows: CellRows) -> pd.DataFrame:
    """The same of records that were collected."""
    import pandas as pd

    frame = rows.frame()[rows.columns(experiment.auction.rules)]
    for agent in experiment.agents:
        of_text = {text: agent.phrases.mention_spans(text) for text in set(frame["text"])}
        found = [of_text[text] for text in frame["text"]]
        frame[f"mentions.{agent.id}"] = list(map(len, found))
        firsts = [spans[0].start if spans else None for spans in found]
        frame[f"first_mention.{agent.id}"] = pd.array(firsts, dtype="Int64")
    unsold = frame["end_reason"] == "unsold"
    if experiment.auction.reserve or unsold.any():
        frame[SOLD] = (~unsold).astype(int).mask(frame["end_reason"] == "failed").astype("Int64")
    if experiment.auction.constraint is not None:
        ended = (frame["end_reason"] == "end").astype(int)
        frame[COMPLETE] = ended.mask(frame["end_reason"] == "failed").astype("Int64")
    if "candidate" in frame:
        frame["candidate"] = frame["candidate"].astype("Int64")
    if experiment.auction.others:
        frame = frame.assign(**common_measures(experiment, frame))
    if experiment.blends:
        blends = blends_of([agent.mentions for agent in experiment.agents])
        frame["blends"] = list(map(blends.count, frame["text"]))
    return frame[_ordered(list(frame.columns), [agent.id for agent in experiment.agents])]


class CellRows:
    """Records as columns. Thousands at a time: as dictionaries those of a large run need not fit into memory."""

    def __init__(self) -> None:
        self._parts: list[pd.DataFrame] = []
        self._waiting: list[dict[str, Any]] = []
        self._columns: dict[tuple[bool, str], dict[str, None]] = {}  # of failed and other texts of each rule

    def add(self, records: Iterable[Mapping[str, Any]]) -> None:
        for record in records:
            row = {column: value for column, value in named(record).items() if column not in _NOT_TABULAR}
            row |= {column: intern(row[column]) for column in _REPEATED if type(row.get(column)) is str}
            self._columns.setdefault((row["end_reason"] == "failed", row["aggregation"]), {}).update(dict.fromkeys(row))
            self._waiting.append(row)
            if len(self._waiting) == ROWS_AT_ONCE:
                self._parts.append(self._frame())

    def _frame(self) -> pd.DataFrame:
        """What waits, as a part; pandas is loaded only now, after the models of a fresh run are gone.

        A copy: pandas' columns of texts are views that keep the objects of all columns.
        """
        import pandas as pd

        part, self._waiting = pd.DataFrame(self._waiting).copy(), []
        return part

    def __len__(self) -> int:
        return sum(map(len, self._parts)) + len(self._waiting)

    def columns(self, rules: Sequence[str]) -> list[str]:
        """Those of the first rule, what other rules add, and what failed texts add: in whatever order texts came."""
        ordered = sorted(self._columns, key=lambda kind: (kind[0], rules.index(kind[1])))
        return list(dict.fromkeys(column for kind in ordered for column in self._columns[kind]))

    def frame(self) -> pd.DataFrame:
        """Every record that was added, in that order; it takes them, for two copies need twice the memory."""
        import pandas as pd

        if self._waiting:
            self._parts.append(self._frame())
        parts, self._parts = self._parts, []
        if len(parts) < 2:
            return parts[0] if parts else pd.DataFrame()
        return pd.concat(parts, ignore_index=True).infer_objects()


def _ordered(columns: Sequence[str], ids: Sequence[str]) -> list[str]:
    documented = [*_LEADING]
    for agent in ids:
        documented += [f"{name}.{agent}" for name in _PER_AGENT]
        documented += [c for c in columns if c.startswith("payment.") and c.endswith(f".{agent}")]
    documented += ["log_prob", *(c for c in columns if c.startswith("revenue.")), "quality"]
    documented += [c for c in columns if c.startswith("judge.")]
    documented += ["welfare", "welfare_share", "common_welfare", "revenue_share", "ess", "repetition"]
    known = [c for c in documented if c in columns]
    return known + [c for c in columns if c not in set(known)]


def observations(experiment: Experiment, cells: pd.DataFrame) -> pd.DataFrame:
    """Every figure of every cell as a number: 0 or 1 where the figure is a rate, NaN where it does not apply."""
    import pandas as pd

    mentioned = {f"mention_rate.{agent.id}": cells[f"mentions.{agent.id}"] > 0 for agent in experiment.agents}
    columns: dict[str, Any] = {name: hits.astype(float) for name, hits in mentioned.items()}
    columns["co_mention_rate"] = np.logical_and.reduce(list(mentioned.values())).astype(float)
    if "blends" in cells.columns:
        columns["blend_rate"] = (cells["blends"] > 0).astype(float)
    for name in cells.columns:
        if name.split(".")[0] in FIGURES and pd.api.types.is_numeric_dtype(cells[name]):
            columns[name] = numbers(cells, name)
    return pd.DataFrame(columns, index=cells.index)


def units_of(keys: pd.DataFrame) -> tuple[list[tuple[Any, ...]], Integers]:
    """The different rows, in the order in which they come, and the number of every row among them."""
    numbers = keys.groupby(list(keys), sort=False).ngroup().to_numpy().astype(np.int64)
    return list(keys.drop_duplicates().itertuples(index=False, name=None)), numbers


def numbered(names: Iterable[str]) -> dict[str, int]:
    """The place of every name, of one that is there twice its first."""
    return {name: place for place, name in enumerate(dict.fromkeys(names))}


def summary_frame(experiment: Experiment, cells: pd.DataFrame, hear: Hear = unheard) -> pd.DataFrame:
    """`summary.csv`: rates with Wilson intervals, means and ratios with BCa's, per query, rule and sweep point."""
    import pandas as pd

    finished = cells[cells["end_reason"] != "failed"]
    keys = [*GROUP, "relative_weight", *(f"bid.{agent.id}" for agent in experiment.agents)]
    if finished.empty:
        return pd.DataFrame(columns=[*keys, "cells"])
    figures = observations(experiment, finished)
    of_rows = _groups(experiment, finished)
    firsts, sizes = np.unique(of_rows, return_index=True, return_counts=True)[1:]
    known = finished[keys].iloc[firsts].reset_index(drop=True).assign(cells=sizes)
    n_figures = len(figures.columns) + len(ratio_names(figures.columns))
    each = _estimates(figures, sizes_of(finished["text"]), of_rows)
    estimates = dict(heard(each, "figures", n_figures, hear))
    ends = ("", ".low", ".high")
    columns = {f"{name}{end}": found[:, k] for name, found in estimates.items() for k, end in enumerate(ends)}
    return pd.concat([known, pd.DataFrame(columns)], axis=1)


def _groups(experiment: Experiment, cells: pd.DataFrame) -> Indices:
    """The number of every cell's query, rule and point, in the experiment's order, whatever was finished first."""
    queries, rules = numbered(experiment.queries), numbered(experiment.auction.rules)
    places = [cells["query"].map(queries), cells["aggregation"].map(rules), cells["point"]]
    return cells.groupby(places).ngroup().to_numpy().astype(np.intp)


def _estimates(figures: pd.DataFrame, sizes: Array, groups: Indices) -> Iterator[tuple[str, Array]]:
    """Every figure of every group with its interval, (G, 3), then those per 1,000 bytes: all groups in one pass."""
    below = next(samples(groups, [sizes]))
    for name, sample in zip(figures.columns, samples(groups, figures.to_numpy(dtype=float).T), strict=True):
        yield name, rates_of_samples(sample) if is_rate(name) else means_of_samples(sample)
    for name, amounts in ratio_names(figures.columns).items():
        (above,) = samples(groups, [BYTES * figures[amounts].to_numpy(dtype=float)])
        yield name, ratios_of_samples(above, below)


def figures_of_summary(summary: pd.DataFrame) -> list[str]:
    """The names of the figures, each of which also has an interval."""
    return [c for c in summary.columns if f"{c}.low" in summary.columns and f"{c}.high" in summary.columns]


def sampling_of_rules(cells: pd.DataFrame) -> dict[str, str]:
    """How tokens were drawn under each rule or mechanism, in the order of the cells; '' where none were."""
    used = cells.groupby("aggregation", sort=False)["sampling"].agg(
        lambda names: ", ".join(filter(None, dict.fromkeys(names)))
    )
    return {str(rule): names for rule, names in used.items()}


def is_rate(figure: str) -> bool:
    """Whether a figure is the share of the texts in which something happens."""
    return figure.split(".")[0] in (*RATES, SOLD, COMPLETE)


def columns_of(figure: str, interval: Estimate) -> dict[str, float]:
    """The three columns of a figure."""
    return {figure: interval.mean, f"{figure}.low": interval.low, f"{figure}.high": interval.high}
