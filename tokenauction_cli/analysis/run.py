"""A run as tidy frames: its cells, their means and intervals, and what is worked out of these."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..engine.plan import Cell, cells_of
from ..engine.run import experiment_of
from ..engine.running.agreement import disagreement
from ..experiment.experiment import Experiment
from ..lm.bytes.covering import MOST_OFF
from ..runs import manifest
from ..runs.run_folder import Record, RecordReader, RunFolder
from ..system.errors import UsageError
from ..system.memory import check_room_for_tables
from ..system.steps import Hear, heard, unheard
from ..worths.text_judges import Judgements, kept_judgements
from .expectations import Verdict, verdicts
from .frames.along import X
from .frames.comparison import comparisons_frame
from .frames.judged import Ask, judged_cells
from .frames.long import long_frame, trace_frame
from .frames.mechanism_names import for_programs
from .frames.metrics import CellRows, cells_frame_of, summary_frame
from .frames.pooled import FEW, pooled_frame
from .frames.trend import trends_frame
from .frames.words import in_words
from .tables.figure_tables import FigureChoice, Frames, payment_tables, rate_tables
from .tables.tables import Table
from .tables.text_tables import By, samplers_of, text_tables

if TYPE_CHECKING:
    import pandas as pd

    from .run_market import RunMarket

_ALL = FigureChoice()
FEW_CANDIDATES = 5
"""Below this mean effective sample size a run warns."""


@dataclass(frozen=True, eq=False)
class Run:
    """What a finished or interrupted run left.

    cells       a row per text: `cells.csv`
    summary     a row per query, aggregation rule and sweep point, means with 95 % intervals: `summary.csv`
    trends      does a figure move one way along the sweep: `trends.csv`
    comparisons rules in pairs, by seed: `comparisons.csv`
    pooled      means over all queries: `pooled.csv`
    verdicts    does what the experiment expects hold
    """

    folder: RunFolder = field(repr=False)
    experiment: Experiment = field(repr=False)
    cells: pd.DataFrame = field(repr=False)
    summary: pd.DataFrame = field(repr=False)
    manifest: dict[str, Any] = field(repr=False)
    n_planned: int  # how many texts the experiment asks for
    was_complete: bool  # there was nothing left to compute
    member: tuple[tuple[str, str], ...] = ()  # of a matrix: the keys that vary, with the names of its values
    judgements: Judgements = field(default_factory=dict, repr=False)  # what the file's judges said, by judge

    def __repr__(self) -> str:
        return f"<Run {self.path}: {len(self.cells)} of {self.n_planned} texts>"

    @property
    def path(self) -> Path:
        """The run folder."""
        return self.folder.path

    @property
    def name(self) -> str:
        """What it is called beside other runs."""
        return ", ".join(name for _, name in self.member) or self.experiment.name

    @cached_property
    def trends(self) -> pd.DataFrame:
        return trends_frame(self.experiment, self.cells, self.summary, self.pooled)

    @cached_property
    def comparisons(self) -> pd.DataFrame:
        return comparisons_frame(self.experiment, self.cells)

    @cached_property
    def pooled(self) -> pd.DataFrame:
        return pooled_frame(self.summary, self.experiment.auction.max_draws)

    @property
    def pooled_with_bids(self) -> pd.DataFrame:
        """`pooled` as a summary of one query, with the bids of its points where they are those of every query."""
        found = self.pooled.assign(query=f"all {len(self.experiment.queries)} queries")
        for k, agent in enumerate(self.experiment.agents):
            bids = {point.index: point.bids[k] for point in self.experiment.points}
            found[f"bid.{agent.id}"] = math.nan if self.experiment.points_of_queries else found["point"].map(bids)
        return found

    @cached_property
    def verdicts(self) -> list[Verdict]:
        """Whether each expectation of the experiment holds; none while texts are missing."""
        if self.what_is_missing:
            return []
        frames = (for_programs(self.experiment, frame) for frame in (self.cells, self.summary, self.trends))
        return verdicts(self.experiment.expect, *frames)

    def long(self) -> pd.DataFrame:
        """The cells, tidy: one row per cell, agent and payment rule."""
        return long_frame(self.experiment, self.cells)

    def trace(self, cell: str, *, words: bool = False) -> pd.DataFrame:
        """One row per draw of one text, with `words` one per word of a text of bytes.

        Raises UsageError where the run kept no trace of it.
        """
        if cell not in set(self.cells["cell"]):
            raise UsageError(f"{self.path}: there is no cell {cell!r} in this run; the column `cell` names them")
        for _, trace in self.traces({cell}, words=words):
            return trace_frame(self.experiment, trace)
        raise UsageError(f"{self.path}: this run kept no trace of cell {cell}; set auction.trace to chosen or top_k")

    def traces(self, cells: Set[str] | None = None, *, words: bool = False) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Each traced cell, or each of these, and its trace, with `words` the bytes of every word together."""
        is_worded = words and self.experiment.auction.alphabet == "bytes"
        places = {cell: k for k, cell in enumerate(self.cells["cell"])} if is_worded else {}
        for cell, drawn, trace in self.folder.traces(cells):
            if is_worded:
                row = {str(column): value for column, value in self.cells.iloc[places[cell]].items()}
                yield cell, in_words(self.experiment, row, drawn, trace)
            else:
                yield cell, trace

    def market(self, settings: Mapping[str, Any] | None = None, trust: Sequence[str] = ()) -> RunMarket:
        """Bidders that learn and have budgets, in many rounds of this run's auctions: no model is asked.

        `settings` are keys of the section `market` of its file, and stand over what the file says. `trust` names
        modules whose rules and policies may run.

        Raises UsageError where texts are missing, ExperimentError for mistakes in the settings.
        """
        from .run_market import check_trusted, overrides_of, run_market, with_market

        check_trusted(self.path, self.experiment, trust)
        experiment = with_market(self.folder, self.experiment, overrides_of(settings or {}), trust)
        return run_market(self.folder, experiment, self._whole_cells, lambda path: read_back(path)._whole_cells)

    @property
    def _whole_cells(self) -> pd.DataFrame:
        """The cells of a run that is finished. Raises UsageError for another."""
        if self.what_is_missing or self.what_failed:
            why = self.what_is_missing or f"{self.what_failed}."
            raise UsageError(f"{self.path}: a market needs every text. {why} `tokauction run` writes what is missing.")
        return self.cells

    def text_tables(
        self, by: By = "aggregation", seed: int | None = None, columns: Sequence[str] = (), x: X | None = None
    ) -> list[Table]:
        """Texts against what the sweep moves, or against `x`; those of one seed, by default the first."""
        return text_tables(self.experiment, self.cells, by, seed, columns, x)

    def rate_tables(self, choice: FigureChoice = _ALL) -> list[Table]:
        """Rates and means against what the sweep moves."""
        return rate_tables(self.experiment, self._frames, choice)

    def payment_tables(self, choice: FigureChoice = _ALL) -> list[Table]:
        """What is paid against what the sweep moves."""
        return payment_tables(self.experiment, self._frames, choice)

    @property
    def _frames(self) -> Frames:
        return Frames(self.summary, self.pooled, samplers_of(self.cells))

    @property
    def what_is_missing(self) -> str:
        """A sentence for whoever reads numbers of a part of a run, '' where all texts are there."""
        if self.experiment.shard and len(self.cells) >= self.n_planned:
            return f"These are the texts of shard {self.experiment.shard} alone: `tokauction run` puts shards together."
        if len(self.cells) >= self.n_planned:
            return ""
        return (
            f"Only {len(self.cells)} of {self.n_planned} texts are written, and of an interrupted run those that end "
            "early: rates and means may change when `tokauction run` has written the others."
        )

    @property
    def what_is_wrong(self) -> str:
        """A sentence about what in the folder is not as a run writes it and was passed over, '' where nothing is."""
        wrong = self.folder.wrong
        if not wrong:
            return ""
        n = f"{len(wrong):,} places" if len(wrong) > 1 else "1 place"
        return (
            f"Passed over {n} of the run folder that no run writes: {wrong}. `tokauction run` writes such texts anew."
        )

    @property
    def what_is_rough(self) -> str:
        """A sentence for whoever reads numbers over all queries, '' where there is one or there are enough."""
        n = len(self.experiment.queries)
        return f"Over only {n} queries intervals are rough: {FEW} or more say something." if 1 < n < FEW else ""

    @property
    def what_is_unfollowed(self) -> str:
        """A sentence about agents with many tokenisations left out, '' where there are none."""
        left_out = {agent.name: self._unfollowed(agent.id) for agent in self.experiment.agents}
        far = [f"{name} {share:.2g}" for name, share in left_out.items() if share > MOST_OFF]
        if not far:
            return ""
        return (
            f"Left out of a text's tokenisations, in the mean: {', '.join(far)}. Above {MOST_OFF:g} the law of the "
            "texts may be another one: lower auction.covering; `tokauction verify` says how far q is off."
        )

    @property
    def what_is_cut(self) -> str:
        """A sentence where every text of models was cut at the limit, or one before its form was complete; else ''."""
        auction = self.experiment.auction
        n_cut = int((self.cells["end_reason"] == "length").sum())
        if auction.constraint is not None and n_cut:
            unit = f"auction.{auction.limit} ({auction.max_draws})"
            return f"{n_cut} of {len(self.cells)} texts have not the whole form, for {unit} cut them; raise it"
        if n_cut < max(2, len(self.cells)) or not any(agent.model for agent in self.experiment.agents):
            return ""
        return f"all {n_cut} texts were cut after {auction.max_draws} {auction.counted}; raise the limit in `auction`"

    @property
    def what_is_few(self) -> str:
        """A sentence about mechanisms whose candidates hardly stand for the law that is meant, '' where there are none.

        With tau = 0 one candidate is meant to be chosen.
        """
        if "ess" not in self.summary:
            return ""
        fewest = self.summary.groupby("aggregation", sort=False)["ess"].min()
        wide = [name for name, one in self.experiment.auction.others.items() if one.settings.get("tau") != 0]
        few = [f"{name} {fewest[name]:.2g}" for name in wide if fewest.get(name, FEW_CANDIDATES) < FEW_CANDIDATES]
        if not few:
            return ""
        return (
            f"Few candidates count at some bids; the mean effective sample size falls to: {', '.join(few)}. Below "
            f"{FEW_CANDIDATES} the law of the texts is rough there: raise candidates or tau, or choose a generator "
            "nearer to what is chosen."
        )

    def _unfollowed(self, agent: str) -> float:
        """The mean over the texts in which an agent bids; 0 where there is nothing to follow."""
        column = f"unfollowed.{agent}"
        if column not in self.cells:
            return 0.0
        return float(self.cells.loc[self.cells[f"bid.{agent}"] > 0, column].mean())

    @property
    def what_judges_miss(self) -> str:
        """Sentences about judges that do not tell texts apart or were not asked about all, '' where there are none."""
        sentences = [one.doubt(name) for name, one in self.judgements.items()]
        finished = self.cells["end_reason"] != "failed"
        for name in self.judgements:
            if missing := int(self.cells.loc[finished, f"judge.{name}"].isna().sum()):
                sentences.append(f"The judge {name} was not asked about {missing} texts: `tokauction run` asks it.")
        return " ".join(filter(None, sentences))

    @property
    def n_failed(self) -> int:
        return int((self.cells["end_reason"] == "failed").sum())

    @property
    def what_failed(self) -> str:
        """A sentence about the texts that failed, '' where none did."""
        if not self.n_failed:
            return ""
        first = self.cells.loc[self.cells["end_reason"] == "failed", "error"].iloc[0]
        return f"{self.n_failed} of {len(self.cells)} texts failed, the first: {first}"


def read_back(path: Path, hear: Hear = unheard) -> Run:
    """A run folder, read back without touching it. Raises UsageError where it is none, or holds no finished text."""
    folder = RunFolder(path)
    known = manifest.readable(folder)
    experiment = experiment_of(folder, known)
    cells = cells_of(experiment)
    folder = folder.expecting(disagreement(experiment, cells))
    collected = Collected(experiment, cells)
    collected.add(heard(RecordReader(folder).new(), "texts read", len(cells), hear))
    if not len(collected):
        passed_over = f" (passed over: {folder.wrong})" if folder.wrong else ""
        raise UsageError(
            f"{folder.path}: this run has no finished text of its experiment{passed_over}; continue it with "
            "`tokauction run`"
        )
    return collected.run(folder, known, was_complete=True, hear=hear)


class Collected:
    """The records of an experiment's cells, to become a run in the order of its plan."""

    def __init__(self, experiment: Experiment, cells: Sequence[Cell]) -> None:
        check_room_for_tables()
        self._experiment = experiment
        self._place = {cell.id: k for k, cell in enumerate(cells)}
        self._rows = CellRows()

    def add(self, records: Iterable[Record]) -> None:
        """Records of these cells alone."""
        self._rows.add(records)

    def __len__(self) -> int:
        return len(self._rows)

    def run(
        self,
        folder: RunFolder,
        known: manifest.Manifest,
        was_complete: bool,
        hear: Hear = unheard,
        ask: Ask = kept_judgements,
    ) -> Run:
        """Of all that was added, with its frames; `ask` has judges say what the folder does not know."""
        cells, judgements = judged_cells(self._experiment, folder, cells_frame_of(self._experiment, self._rows), ask)
        cells = cells.iloc[cells["cell"].map(self._place).argsort(kind="stable")].reset_index(drop=True)
        summary = summary_frame(self._experiment, cells, hear)
        return Run(
            folder, self._experiment, cells, summary, known, len(self._place), was_complete, judgements=judgements
        )


def statistics_frames(run: Run) -> dict[str, pd.DataFrame]:
    """The files beside cells.csv and summary.csv as frames, by file name; one without a row is left out."""
    frames = {"trends.csv": run.trends, "comparisons.csv": run.comparisons, "pooled.csv": run.pooled}
    return {name: for_programs(run.experiment, frame) for name, frame in frames.items() if len(frame)}


def files_of(run: Run) -> dict[str, str]:
    """Every table of a run as text, by file name."""
    from .tables.tables import frame_csv, render

    texts: Sequence[Table] = run.text_tables(x="weight")
    return {
        "cells.csv": frame_csv(for_programs(run.experiment, run.cells)),
        "summary.csv": frame_csv(for_programs(run.experiment, run.summary)),
        "table.md": render(texts, "md"),
        "table.csv": render(texts, "csv"),
        **{name: frame_csv(frame) for name, frame in statistics_frames(run).items()},
    }
