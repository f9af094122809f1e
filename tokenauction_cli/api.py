"""A run from end to end: the engine computes cells, then the tables of all that its folder holds are written."""

from __future__ import annotations

from pathlib import Path

from .analysis.run_result import RunResult, with_tables
from .engine.run import Progress, run_cells
from .experiment.experiment import Experiment


def run_experiment(
    experiment: Experiment, results: Path, progress: Progress, *, n: int | None = None, fresh: bool = False
) -> RunResult:
    """Compute the cells that are not on disk yet, and write the tables of all that are."""
    return run_cells(experiment, results, progress, with_tables, n=n, fresh=fresh)
