"""Running an experiment: plan, evaluate wave by wave, keep every wave, write the tables.

Running again continues; a finished run only prints its tables again.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

from ..errors import TokauctionError, UsageError
from ..experiment.experiment import Experiment, load_experiment
from ..lm.base import LanguageModel
from ..runs import manifest
from ..runs.run_folder import Record, RunFolder
from ..runs.run_log import logging_to
from ..system.environment import visible
from ..system.memory import peak_memory
from .bidder_models import GgufSpeakers, Speakers, prepare
from .interrupts import Interrupts
from .plan import Plan, cells_of, make_plan
from .run_facts import begin_manifest
from .token_loop import Auction

if TYPE_CHECKING:
    from .auctioneer import Rules

logger = logging.getLogger("tokauction")

SECONDS_BETWEEN_APPENDS = 1.0
_NOT_LOGGED = ("sessions", "files", "status")


Finished = TypeVar("Finished")


class Progress(Protocol):
    """Hears how far a run is."""

    def begin(self, n_cells: int, n_done: int) -> None: ...
    def step(self, n_cells: int, n_tokens: int) -> None: ...
    def note(self, text: str) -> None: ...


def run_folder(experiment: Experiment, results: Path) -> RunFolder:
    """`<results>/<name>-<hash of the resolved experiment>`."""
    return RunFolder(results / f"{experiment.name}-{experiment.semantic_hash}")


def run_cells(
    experiment: Experiment,
    results: Path,
    progress: Progress,
    finish: Callable[[RunFolder, Experiment, bool], Finished],
    *,
    n: int | None = None,
    fresh: bool = False,
) -> Finished:
    """Compute the cells that are not on disk yet; `finish` sees all that are, the folder still locked."""
    folder = run_folder(experiment, results)
    if fresh:
        folder.set_aside()
    with folder.locked():
        done = folder.cells()
        n_missing = sum(cell.id not in done for cell in cells_of(experiment)[:n])
        if not n_missing:
            return finish(folder, experiment, True)
        rules, speakers = _ready(folder, experiment, progress)
        with logging_to(folder):
            if isinstance(speakers, GgufSpeakers):
                speakers.measure_batch(n_missing, progress.note)
            plan = plan_for(experiment, speakers, folder.read_manifest().get("lanes")).first(n)
            record, changes = begin_manifest(folder, experiment, speakers, plan)
            _tell_changes(progress, changes)
            logger.info("%s", json.dumps({key: value for key, value in record.items() if key not in _NOT_LOGGED}))
            _compute(folder, Session(experiment, rules, speakers, plan, done), record, changes, progress)
            return finish(folder, experiment, False)


def _ready(folder: RunFolder, experiment: Experiment, progress: Progress) -> tuple[Rules, Speakers]:
    """What can be wrong with rules and models shows before anything is written."""
    from .auctioneer import Rules

    try:
        rules, kept = Rules.of(experiment), manifest.kv_cache_of(folder.read_manifest())
        if kept is not None and experiment.runtime.kv_cache not in ("auto", kept):
            progress.note(f"this run began with a KV cache in {kept}, and keeps it; --fresh begins anew")
        return rules, prepare(experiment, probe=True, kv_cache=kept, tell=progress.note)
    except BaseException:
        folder.forget_if_empty()
        raise


def experiment_of(folder: RunFolder) -> Experiment:
    """The experiment of a run; relative paths of models start where the experiment file was.

    A run folder may come from a stranger: modules of rules are those of the working directory, not of that place.
    """
    resolved = folder.path / "resolved.yaml"
    if not resolved.is_file():
        raise UsageError(
            f"{folder.path}: this is not a run folder (it has no resolved.yaml); `tokauction run` makes one"
        )
    experiment = load_experiment(resolved)
    origin = manifest.readable(folder).get("experiment")
    return replace(experiment, path=Path(origin) if isinstance(origin, str) else resolved, modules=Path.cwd())


def plan_for(experiment: Experiment, speakers: Speakers, lanes_before: int | None = None) -> Plan:
    """The plan of an experiment with these speakers, in the batches of the run's beginning where they matter."""
    is_kept = lanes_before is not None and not speakers.is_batch_invariant
    lanes = lanes_before if is_kept and lanes_before is not None else speakers.lanes
    return make_plan(experiment, lanes, is_batch_invariant=speakers.is_batch_invariant)


def _tell_changes(progress: Progress, changes: Sequence[str]) -> None:
    """Records of one run should come from one build; where they do not, everybody shall know."""
    for change in changes:
        logger.warning("since the last session: %s", change)
    if changes:
        more = f" (and {len(changes) - 1} more)" if len(changes) > 1 else ""
        progress.note(f"since this run began, {changes[0]}{more}: its new texts may differ in the last bits")


@dataclass(frozen=True)
class Session:
    """What one invocation is about to compute."""

    experiment: Experiment
    rules: Rules
    speakers: Speakers
    plan: Plan
    done: set[str]


def _compute(
    folder: RunFolder, work: Session, record: manifest.Manifest, changes: list[str], progress: Progress
) -> None:
    """Run the waves that miss a cell; the manifest tells how it ended whatever happens."""
    from .auctioneer import House

    session = manifest.new_session(changes)
    begun = time.monotonic()
    status = "failed"
    n_done = sum(cell.id in work.done for cell in work.plan.cells)
    logger.info("%d cells in %d waves, %d already on disk", work.plan.n_cells, len(work.plan.waves), n_done)
    progress.begin(work.plan.n_cells, n_done)
    with Interrupts() as interrupts:
        try:
            with (
                work.speakers.loaded(work.plan.lanes) as model,
                folder.appending() as appender,
                closing(House(work.experiment, work.rules, model.vocabulary)) as house,
            ):
                plan = _with_room(work.plan, model, record, progress)
                auction = Auction(model, house, work.speakers.casts)
                for records in _in_batches(auction, plan.without(dict.fromkeys(work.done)), interrupts):
                    with interrupts.held():
                        new = [record for record in records if record["cell"] not in work.done]
                        appender.append(new)
                        session["cells"] += len(new)
                        session |= {"tokens": auction.n_tokens, "evaluations": auction.n_evaluations}
                        progress.step(len(new), auction.n_tokens)
            status = "finished"
        except KeyboardInterrupt:
            status = "interrupted"
            raise
        finally:
            with interrupts.held():
                session["seconds"] = round(time.monotonic() - begun, 3)
                session["peak_memory_mib"] = peak_memory() >> 20
                logger.info("%s %s", status, json.dumps(session))
                record["sessions"].append(session)
                record["status"] = status
                manifest.write_if_possible(folder, record)


def _with_room(plan: Plan, model: LanguageModel, record: manifest.Manifest, progress: Progress) -> Plan:
    """The plan with the lanes that memory had room for."""
    if model.lanes is None or model.lanes >= plan.lanes:
        return plan
    progress.note(f"memory has no room for {plan.lanes} texts at a time: {model.lanes} advance together")
    record["lanes"] = model.lanes
    return replace(plan, lanes=model.lanes)


def _in_batches(auction: Auction, plan: Plan, interrupts: Interrupts) -> Iterator[list[Record]]:
    """What to append together: a whole wave where the plan says so, otherwise what a second or so has finished.

    Where a step fails or is interrupted, what the steps before it have finished.
    """
    for wave in plan.waves:
        waiting: list[Record] = []
        last = time.monotonic()
        try:
            for finished in auction.run(wave, plan.lanes, afresh=plan.whole_waves):
                waiting += finished
                interrupts.check()
                if not plan.whole_waves and time.monotonic() - last > SECONDS_BETWEEN_APPENDS:
                    yield waiting
                    waiting, last = [], time.monotonic()
        except (KeyboardInterrupt, MemoryError, TokauctionError):
            yield waiting
            raise
        yield waiting


class SilentProgress:
    """Says nothing of how far it is (`-q`)."""

    def begin(self, n_cells: int, n_done: int) -> None: ...
    def step(self, n_cells: int, n_tokens: int) -> None: ...
    def end(self) -> None: ...

    def note(self, text: str) -> None:
        note_on_stderr(text)  # it is no progress, and must be known


def note_on_stderr(text: str) -> None:
    print(visible(text), file=sys.stderr, flush=True)
