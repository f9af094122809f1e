"""What a run left on disk, with its tables: written after every session, read back without touching it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from ..engine.plan import cells_of
from ..engine.run import experiment_of
from ..errors import UsageError
from ..experiment.experiment import Experiment
from ..runs import manifest
from ..runs.run_folder import RunFolder
from .comparison import comparisons_frame
from .pooled import pooled_frame
from .trend import trends_frame

if TYPE_CHECKING:
    import pandas as pd

RECORDS_IN_MEMORY = 2_000


@dataclass(frozen=True)
class RunResult:
    """What a finished (or interrupted) run left on disk."""

    folder: RunFolder
    experiment: Experiment
    cells: pd.DataFrame
    summary: pd.DataFrame
    was_complete: bool

    @cached_property
    def n_planned(self) -> int:
        """How many texts the experiment asks for."""
        return len(cells_of(self.experiment))

    @property
    def what_is_missing(self) -> str:
        """A sentence for whoever reads numbers of a part of a run, '' where all texts are there."""
        if len(self.cells) >= self.n_planned:
            return ""
        return (
            f"Only {len(self.cells)} of {self.n_planned} texts are written, and of an interrupted run those that end "
            "early: rates and means may change when `tokauction run` has written the others."
        )

    @property
    def n_failed(self) -> int:
        return int((self.cells["end_reason"] == "failed").sum())


def read_run(path: Path) -> RunResult:
    """A run folder, read back without touching it; raises UsageError where it is none."""
    folder = RunFolder(path)
    experiment = experiment_of(folder)
    if not folder.cells() & {cell.id for cell in cells_of(experiment)}:
        raise UsageError(f"{path}: this run has no finished cell of its experiment; continue it with `tokauction run`")
    return RunResult(folder, experiment, *_frames(experiment, folder), was_complete=True)


def with_tables(folder: RunFolder, experiment: Experiment, was_complete: bool) -> RunResult:

    from .tables import frame_csv, render, text_tables

    cells, summary = _frames(experiment, folder)
    texts = text_tables(experiment, cells)
    files = {
        "cells.csv": frame_csv(cells),
        "summary.csv": frame_csv(summary),
        "table.md": render(texts, "md"),
        "table.csv": render(texts, "csv"),
    }
    for name, frame in statistics_frames(experiment, cells, summary).items():
        files[name] = frame_csv(frame)
    for name, content in files.items():
        folder.write(name, content)
    record = folder.read_manifest()
    manifest.add_digests(folder, record, files)
    folder.write_manifest(record)
    return RunResult(folder, experiment, cells, summary, was_complete)


def _frames(experiment: Experiment, folder: RunFolder) -> tuple[pd.DataFrame, pd.DataFrame]:
    """cells.csv and summary.csv, in the plan's order; of the records only a part is in memory at a time."""
    from .metrics import cells_frame, summary_frame

    place = {cell.id: k for k, cell in enumerate(cells_of(experiment))}
    records = (record for part in folder.in_parts(RECORDS_IN_MEMORY) for record in part if record["cell"] in place)
    cells = cells_frame(experiment, records)
    cells = cells.iloc[cells["cell"].map(place).argsort(kind="stable")].reset_index(drop=True)
    return cells, summary_frame(experiment, cells)


def statistics_frames(experiment: Experiment, cells: pd.DataFrame, summary: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The frames to write, by file name; one without a row is left out."""
    frames = {
        "trends.csv": trends_frame(summary),
        "comparisons.csv": comparisons_frame(experiment, cells),
        "pooled.csv": pooled_frame(summary),
    }
    return {name: frame for name, frame in frames.items() if len(frame)}
