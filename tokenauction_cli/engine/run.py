"""Running an experiment: get its models ready, plan, evaluate wave by wave, keep every wave.

The folder is locked and read already; what is `done` is not written again.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Protocol, runtime_checkable

from ..experiment.experiment import Experiment
from ..experiment.reader import read_experiment
from ..experiment.resolved.shard import Shard
from ..experiment.rows.query_files import QUERIES
from ..runs import manifest
from ..runs.durable import Appender
from ..runs.manifest_schema import path_of
from ..runs.run_folder import PROPOSALS, Record, RunFolder
from ..runs.run_folders import RESOLVED
from ..system.environment import versions, visible
from ..system.errors import UsageError
from ..system.memory import peak_memory
from .candidates.proposals import Proposals, candidates_of, pools_of, texts_of
from .candidates.settlement import check_listed
from .models.bidder_models import BidderModels
from .models.prepare import prepare
from .plan import Cell, Plan, cells_of, plan_of
from .reuse import TakenOver, take_over
from .rules import Rules
from .run_facts import begin_manifest
from .running.interrupts import Interrupts
from .workplace import Here, WorkerPace, Workplace, Writing

logger = logging.getLogger("tokauction")

_HERE = Here()
_NOT_LOGGED = ("sessions", "files", "status")


class Progress(Protocol):
    """Hears how far a run is."""

    def begin(self, n_cells: int, n_done: int) -> None:
        """There are so many cells, and so many of them on disk already."""
        ...

    def step(self, n_cells: int, n_tokens: int, share: float) -> None:
        """So many more cells are on disk; since the models were loaded, so many tokens were drawn and about so much
        of the work was done. First called when that begins, then twice a second."""
        ...

    def note(self, text: str) -> None: ...


@runtime_checkable
class WorkersProgress(Protocol):
    """Hears what the workers of a cluster do, too."""

    def workers(self, paces: Sequence[WorkerPace]) -> None:
        """How fast each is, and how far its task; before every `step` while they write."""
        ...


@runtime_checkable
class TextsProgress(Protocol):
    """Hears what is written, too."""

    def growing(self, n_rows: int, text: str) -> None:
        """How many rows the models have evaluated, and one of the texts as far as it is; before every `step`."""
        ...


@dataclass(frozen=True)
class Ready:
    """A folder that is locked, and what its cells are written with."""

    folder: RunFolder
    manifest_before: manifest.Manifest
    experiment: Experiment
    rules: Rules
    bidders: BidderModels
    workplace: Workplace


def get_ready(
    folder: RunFolder,
    old: manifest.Manifest,
    experiment: Experiment,
    progress: Progress,
    workplace: Workplace = _HERE,
) -> Ready:
    """What can be wrong with rules and models shows here, before anything is written."""
    try:
        experiment = workplace.fitted(experiment)
        manifest.check_continued(folder, old)
        rules = Rules.of(experiment)
        check_listed(experiment, rules)
        for note in manifest.unheeded(old, experiment.runtime):
            progress.note(note)
        bidders = prepare(experiment, probe=True, kept=manifest.formats_of(old), tell=progress.note)
    except BaseException:
        folder.forget_if_empty()
        raise
    return Ready(folder, old, experiment, rules, bidders, workplace)


def compute(
    ready: Ready, cells: Sequence[Cell], done: Set[str], progress: Progress, n: int | None = None, *, reuse: bool = True
) -> manifest.Manifest:
    """Write the records of the first `n` cells that are not `done`; the manifest of the run so far.

    `reuse` takes over those that sibling runs have finished.
    """
    first = texts_of(ready.experiment, ready.rules, cells[:n])
    plan, wanted = _planned(ready, cells, n, {text.id for text in first})
    record, changes = begin_manifest(ready.folder, ready.manifest_before, ready.experiment, ready.bidders, plan)
    _tell_changes(progress, changes)
    logger.info("%s", json.dumps({key: value for key, value in record.items() if key not in _NOT_LOGGED}))
    session = manifest.new_session(changes)
    if reuse:
        taken = _take_over(ready, record, wanted, done, progress.note)
        session |= {"taken_over": taken.sources} if taken.sources else {}
        done = done | taken.cells
    if all(cell.id in done for cell in wanted):
        _end(ready.folder, record, session, "finished")
    else:
        _compute(ready, plan, wanted, done, record, session, progress)
    return record


def _take_over(
    ready: Ready, record: manifest.Manifest, wanted: Sequence[Cell], done: Set[str], tell: Callable[[str], None]
) -> TakenOver:
    """Copy what siblings have finished of the cells that are wanted, then of the candidates of those that are left."""
    taken = take_over(ready.folder, record, ready.experiment, wanted, done, tell)
    left = [cell for cell in wanted if cell.id not in done and cell.id not in taken.cells]
    pools, proposals = pools_of(ready.rules, left), ready.folder.of(PROPOSALS)
    candidates = [cell for pool in pools for cell in candidates_of(ready.experiment, pool)]
    more = take_over(proposals, record, ready.experiment, candidates, proposals.cells() if candidates else (), tell)
    return TakenOver(dict(Counter(taken.sources) + Counter(more.sources)), taken.cells)


def _planned(ready: Ready, cells: Sequence[Cell], n: int | None, first: Set[str]) -> tuple[Plan, list[Cell]]:
    """The texts to write for the first `n` cells, and the cells that then have a record: whole waves may have more."""
    texts = texts_of(ready.experiment, ready.rules, cells)
    plan = plan_of_cells(texts, ready.bidders, ready.manifest_before.get("lanes"))
    if n is None:
        return plan, list(cells)
    plan = plan.only(first)
    written = {text.id for text in plan.cells}
    return plan, [cell for k, cell in enumerate(cells) if k < n or cell.id in written]


def experiment_of(folder: RunFolder, known: manifest.Manifest) -> Experiment:
    """The experiment of a run; relative paths of models start where the experiment file was.

    A run folder may come from a stranger: modules of rules are those of the working directory, not of that place.
    """
    resolved = folder.path / RESOLVED
    if not resolved.is_file():
        raise UsageError(
            f"{folder.path}: this is not a run folder (it has no resolved.yaml); `tokauction run` makes one"
        )
    for what, origin in known.get("packages", {}).items():
        package = origin.split()[0]
        if package not in versions([package]):
            raise UsageError(
                f"{folder.path}: its {what} comes from {origin}, which is not installed here: pip install {package}"
            )
    source = folder.read(RESOLVED)
    rows = folder.read(QUERIES) if (folder.path / QUERIES).is_file() else b""
    experiment = Experiment.of(read_experiment(source, str(resolved), carried=rows), resolved, source)
    origin, shard = known.get("experiment"), known.get("shard")
    return replace(
        experiment,
        path=path_of(origin) if origin else resolved,
        modules=Path.cwd(),
        shard=Shard.parse(shard) if shard else None,
    )


def plan_for(experiment: Experiment, bidders: BidderModels, slots_before: int | None = None) -> Plan:
    """The texts of an experiment with these bidders, in the batches of the run's beginning where they matter."""
    return plan_of_cells(texts_of(experiment, Rules.of(experiment), cells_of(experiment)), bidders, slots_before)


def plan_of_cells(cells: Sequence[Cell], bidders: BidderModels, slots_before: int | None = None) -> Plan:
    """The same of cells that are known already."""
    is_kept = slots_before is not None and not bidders.is_batch_invariant
    slots = slots_before if is_kept and slots_before is not None else bidders.slots
    return plan_of(cells, slots, is_batch_invariant=bidders.is_batch_invariant)


def _tell_changes(progress: Progress, changes: Sequence[str]) -> None:
    """Records of one run should come from one build; where they do not, everybody shall know."""
    for change in changes:
        logger.warning("since the last session: %s", change)
    if changes:
        more = f" (and {len(changes) - 1} more)" if len(changes) > 1 else ""
        progress.note(f"since this run began, {changes[0]}{more}: its new texts may differ in the last bits")


def write(
    writing: Writing,
    proposals: Proposals,
    candidates: Appender,
    keep: Callable[[Sequence[Record]], None],
    progress: Progress,
    interrupts: Interrupts,
) -> None:
    """Have texts written, and keep the records of the wanted cells, before any interruption."""
    for records in chain([[]], writing.batches(interrupts)):  # the first are those that can be settled at once
        with interrupts.held():
            taken = proposals.taken(records, candidates)
            keep(taken)
            if isinstance(progress, WorkersProgress):
                progress.workers(writing.paces)
            if isinstance(progress, TextsProgress):
                progress.growing(writing.n_rows, writing.growing)
            progress.step(len(taken), writing.n_tokens, writing.share)
    interrupts.check()


def _compute(
    ready: Ready,
    plan: Plan,
    wanted: Sequence[Cell],
    done: Set[str],
    record: manifest.Manifest,
    session: manifest.Session,
    progress: Progress,
) -> None:
    """Run the waves that miss a cell; the manifest tells how it ended whatever happens."""
    begun = time.monotonic()
    status = "failed"
    left = [cell for cell in wanted if cell.id not in done]
    proposals = Proposals(ready.experiment, ready.rules, ready.folder, left)
    n_done = len(wanted) - len(left)
    logger.info("%d cells in %d waves, %d already on disk", len(wanted), len(plan.waves), n_done)
    progress.begin(len(wanted), n_done)
    writing: Writing | None = None
    with Interrupts() as interrupts:
        try:
            place = ready.experiment, ready.rules, ready.bidders, proposals.left(plan), progress.note
            with (
                ready.workplace.writing(*place) as writing,
                ready.folder.appending() as appender,
                ready.folder.of(PROPOSALS).appending() as candidates,
            ):

                def keep(records: Sequence[Record]) -> None:
                    appender.append(records)
                    session["cells"] += len(records)

                record["lanes"] = writing.slots
                write(writing, proposals, candidates, keep, progress, interrupts)
            status = "finished"
        except KeyboardInterrupt:
            status = "interrupted"
            raise
        finally:
            with interrupts.held():
                session |= {} if writing is None else writing.facts
                session["seconds"] = round(time.monotonic() - begun, 3)
                session["peak_memory_mib"] = peak_memory() >> 20
                _end(ready.folder, record, session, status)
            interrupts.check()


def _end(folder: RunFolder, record: manifest.Manifest, session: manifest.Session, status: str) -> None:
    """Write down how a session ended."""
    logger.info("%s %s", status, json.dumps(session))
    record["sessions"].append(session)
    record["status"] = status
    manifest.write_if_possible(folder, record)


class SilentProgress:
    """Says nothing of how far it is (`-q`)."""

    def begin(self, n_cells: int, n_done: int) -> None: ...
    def step(self, n_cells: int, n_tokens: int, share: float) -> None: ...
    def end(self) -> None: ...

    def note(self, text: str) -> None:
        note_on_stderr(text)  # it is no progress, and must be known


def note_on_stderr(text: str) -> None:
    print(visible(text), file=sys.stderr, flush=True)
