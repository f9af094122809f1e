"""How well workers share a run: N of them against one, or against this process alone; ratios of one command."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tokenauction_cli.engine.plan import cells_of
from tokenauction_cli.engine.run import SilentProgress, compute, get_ready
from tokenauction_cli.engine.workplace import Tell
from tokenauction_cli.experiment.experiment import Experiment
from tokenauction_cli.runs.run_folder import RunFolder
from tokenauction_cli.workers.workers import Workers, workplace_of

ONE_WORKER, THIS_PROCESS = "one worker", "this process"


@dataclass(frozen=True)
class Shared:
    """One experiment, written by workers and by the `alone` one of them or process; seconds are wall time.

    The workers' start is in neither, the loading of their models in both.
    """

    scenario: str
    workers: int
    alone: str
    cells: int
    evaluations: int
    seconds: float
    seconds_alone: float  # for as many cells
    evaluations_alone: int
    times_alone: float  # in cells per second
    evaluation_rate: float  # over that of the one alone; both of evaluations per second
    evaluations_over_alone: float
    share_of_linear: float  # times_alone over the number of workers; about 1 at most where they compute elsewhere
    share_without_task: float  # of the workers' time


def measure_workers(experiment: Experiment, n_workers: int, tell: Tell) -> Shared:
    """Tables are written by one worker, a part of the cells of N; models by this process, with all of its threads."""
    cells = len(cells_of(experiment))
    is_stand_in = all(agent.model is None for agent in experiment.agents)
    trusted = tuple(experiment.trust)
    n = max(1, cells // n_workers) if is_stand_in else cells
    by = ONE_WORKER if is_stand_in else THIS_PROCESS
    tell(f"{n:,} texts by {by}")
    alone = _session(experiment, Workers(1, None, trusted) if is_stand_in else None, n)
    tell(f"{cells:,} texts by {n_workers} workers")
    shared = _session(experiment, Workers(n_workers, None, trusted), cells)
    seconds_alone = alone["seconds"] * cells / n
    evaluations_alone = alone["evaluations"] * cells // n
    times_alone = seconds_alone / shared["seconds"]
    of_evaluations = shared["evaluations"] / max(1, evaluations_alone)
    return Shared(
        scenario=experiment.name,
        workers=n_workers,
        alone=by,
        cells=cells,
        evaluations=shared["evaluations"],
        seconds=shared["seconds"],
        seconds_alone=seconds_alone,
        evaluations_alone=evaluations_alone,
        times_alone=times_alone,
        evaluation_rate=of_evaluations * times_alone,
        evaluations_over_alone=of_evaluations,
        share_of_linear=times_alone / n_workers,
        share_without_task=1
        - sum(did["seconds"] for did in shared["workers"].values()) / n_workers / shared["seconds"],
    )


def _session(experiment: Experiment, workers: Workers | None, n: int) -> dict[str, Any]:
    """What the manifest says of the session that writes the first n cells."""
    with TemporaryDirectory() as place, workplace_of(workers, lambda _: None) as workplace:
        folder = RunFolder(Path(place) / "run")
        with folder.locked():
            ready = get_ready(folder, {}, experiment, SilentProgress(), workplace)
            known = compute(ready, cells_of(experiment), set(), SilentProgress(), n, reuse=False)
    session: dict[str, Any] = known["sessions"][-1]
    return session
