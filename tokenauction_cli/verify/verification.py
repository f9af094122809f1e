"""Does a run folder still hold what its run wrote, and does this machine compute the same?

Three questions: do the files have the digests of the manifest, are the models the files that they were, and are the
records of a sample of cells, computed again, the same bytes; cells that choose among candidates are settled again from
those on disk, and a sample of candidates is written again. Of a run over bytes a fourth: how far is q along these
texts from that of a covering that follows more. Nothing is written.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..engine.candidates.proposals import Proposals, is_settled, kept
from ..engine.models.prepare import prepare
from ..engine.plan import Cell, Plan, cells_of
from ..engine.rules import Rules
from ..engine.run import experiment_of, plan_for
from ..engine.running.agreement import disagreement
from ..engine.writing import writing
from ..experiment.experiment import Experiment
from ..lm.bytes.byte_model import ByteModel
from ..lm.bytes.covering import MOST_OFF
from ..runs import manifest
from ..runs.run_folder import PROPOSALS, RECORDS, Record, RunFolder, encode
from ..runs.written_by import in_turns, worker_of_blocks
from ..system.errors import CellError, StoreError
from ..system.steps import Hear, unheard
from .closeness import Distances, Laws, complete, finer
from .moved_models import files_of_run, places_of, with_moved

_WHOLE_WAVES = "a batch may change bits here, so that only whole waves can be repeated; --sample 0 leaves that out"


@dataclass(frozen=True)
class Check:
    """One thing that was looked at; `is_good` is None where it is told only."""

    what: str
    is_good: bool | None
    found: str


def verify_run(
    path: Path, n_cells: int, trust: Sequence[str] = (), overrides: Sequence[str] = (), hear: Hear = unheard
) -> Iterator[Check]:
    """Every check, as soon as it is done. Raises UsageError where the folder is none of a run.

    A run folder may come from a stranger: what it trusts is not trusted here, but in `trust`.
    `overrides` say where files of models are now: `models.NAME=PATH`.
    """
    folder = RunFolder(path)
    record = manifest.readable(folder)
    experiment = experiment_of(folder, record)
    folder = folder.expecting(disagreement(experiment, cells_of(experiment)))
    untrusted = sorted(set(experiment.trust) - set(trust))
    yield from _files(folder, record)
    yield from _wrong(folder)
    source = folder.read("experiment.yaml") if overrides else b""
    files = list(files_of_run(record, places_of(overrides, source, experiment.path.parent)))
    yield from (Check(str(file.was), file.now is not None, file.found) for file in files)
    yield from _environment(record)
    version = manifest.records_version(record)
    if n_cells and version != manifest.RECORDS_VERSION:
        yield Check("texts", None, f"not computed again: another version of tokauction wrote them (records {version})")
    elif n_cells and untrusted:
        yield Check("texts", None, f"not computed again: they need --trust {' --trust '.join(untrusted)}")
    elif n_cells and any(file.now is None for file in files):
        yield Check("texts", None, "not computed again: their models are not here")
    elif n_cells:
        yield from _cells(folder, with_moved(experiment, files), record, n_cells, hear)


def _files(folder: RunFolder, record: dict[str, Any]) -> Iterator[Check]:
    digests: dict[str, str] = record.get("files", {})
    for name, digest in digests.items():
        try:
            is_same = folder.sha256(name) == digest
        except StoreError as error:
            yield Check(name, False, _why_not(error))
        else:
            yield Check(name, is_same, "as it was written" if is_same else "changed since it was written")
    for path in folder.record_files():
        if path.name not in digests:
            was_killed = record.get("status") == "running"
            yield Check(path.name, None if was_killed else False, "not in the manifest; was the run killed?")
    if record.get("status") != "finished":
        yield Check("status", None, f"{record.get('status', 'unknown')}: the run is not finished")


def _why_not(error: StoreError) -> str:
    """Why a file cannot be read, in words."""
    cause = error.__cause__
    if isinstance(cause, FileNotFoundError):
        return "the run wrote it, and it is missing"
    return cause.strerror or str(error) if isinstance(cause, OSError) else str(error)


def _wrong(folder: RunFolder) -> Iterator[Check]:
    """Every place of the folder that no run writes."""
    for kind in (RECORDS, PROPOSALS):
        (folder if kind == RECORDS else folder.of(kind)).cells()
    for place, why in folder.wrong.each():
        yield Check(place, False, why)


def _environment(record: dict[str, Any]) -> Iterator[Check]:
    now = manifest.environment(with_llama=bool(record.get("models")))
    for change in manifest.changes({key: record.get(key) for key in now}, now):
        yield Check("environment", None, change)


def _cells(
    folder: RunFolder, experiment: Experiment, record: dict[str, Any], n_cells: int, hear: Hear
) -> Iterator[Check]:
    """Computed again: the cells of the sample alone, or their whole waves where a batch may change a record."""
    rules = Rules.of(experiment)
    yield from _settled(folder, experiment, rules, n_cells)
    bidders = prepare(experiment, probe=True, kept=manifest.formats_of(record))
    proposals = folder.of(PROPOSALS)
    finished = folder.cells() | proposals.cells()
    plan = _sample(
        plan_for(experiment, bidders, record.get("lanes")),
        finished,
        n_cells,
        worker_of_blocks(record, set(experiment.seeds)),
    )
    if plan.n_cells > n_cells:
        yield Check("texts", None, f"{plan.n_cells} texts are computed again: {_WHOLE_WAVES}")
    texts = {cell.id for cell in plan.cells}
    written, candidates = folder.raw_lines(texts), proposals.raw_lines(texts)
    again: list[Record] = []
    with writing(experiment, rules, bidders, plan.slots) as loaded:
        n_again = 0
        for found in loaded.texts(plan).steps():
            n_again += len(found)
            hear("texts computed again", n_again, plan.n_cells)
            yield from _compared("text", found, written)
            yield from _compared("candidate", map(kept, found), candidates)
            again += (one for one in found if one["cell"] in written and one["aggregation"])
        if isinstance(loaded.model, ByteModel) and experiment.auction.alphabet == "bytes":
            yield from _covering(Laws(experiment, bidders.prompt_sets), complete(again), loaded.model)


def _settled(folder: RunFolder, experiment: Experiment, rules: Rules, n_cells: int) -> Iterator[Check]:
    """As many cells as are wanted settled again, from the candidates on disk."""
    finished = folder.cells()
    cells = [cell for cell in cells_of(experiment) if is_settled(cell, rules) and cell.id in finished]
    chosen = random.sample(cells, min(n_cells, len(cells)))
    proposals = Proposals(experiment, rules, folder, chosen)
    again = list(proposals.settled())
    yield from _compared("text", again, folder.raw_lines({cell.id for cell in chosen}))
    if len(again) < len(chosen):
        why = "their candidates are in the run that they were taken over from"
        yield Check("texts", None, f"{len(chosen) - len(again)} not settled again: {why}")


def _compared(what: str, again: Iterable[Record], written: Mapping[str, bytes]) -> Iterator[Check]:
    """Of what was written and computed again, whether it is the same."""
    for record in again:
        if record["cell"] in written:
            is_same = encode(record) + b"\n" == written[record["cell"]]
            yield Check(f"{what} {record['cell']}", is_same, "the same bytes" if is_same else "other bytes")


def _covering(laws: Laws, records: Sequence[Record], model: ByteModel) -> Iterator[Check]:
    """How far q is from that of a covering that follows more; nothing to compare with an exact one."""
    if not records or model.knobs.is_exact:
        return
    knobs = finer(model.knobs)
    try:
        distances = Distances.between(laws.along(records, model), laws.along(records, model.following(knobs)))
    except CellError as error:  # of a table, which need not say what follows every spelling
        yield Check("covering", None, f"not compared with finer knobs: {error}")
        return
    found = (
        f"TV of q from that at open {knobs.open:g}, merge {knobs.merge:g}: mean {distances.mean:.2g}, largest "
        f"{distances.largest:.2g} over {len(distances.each)} draws; a whole text {distances.per_text:.2g}"
    )
    if distances.per_text > MOST_OFF:
        found += f", which is above {MOST_OFF:g}: the texts may follow another law; lower auction.covering"
    yield Check("covering", None, found)


def _sample(plan: Plan, finished: set[str], n_cells: int, workers: Mapping[tuple[str, int], str]) -> Plan:
    """As many finished cells, drawn anew each time, of all the workers that wrote some."""

    def by(cell: Cell) -> str:
        return workers.get((cell.query, cell.seed), "")

    if not plan.whole_waves:
        cells = [(cell, by(cell)) for cell in plan.cells if cell.id in finished]
        wave = tuple(in_turns(random.sample(cells, len(cells)))[:n_cells])
        return replace(plan, waves=(wave,) if wave else (), slots=max(1, min(plan.slots, len(wave))))
    complete = [(wave, by(wave[0])) for wave in plan.waves if any(cell.id in finished for cell in wave)]
    return replace(plan, waves=tuple(_enough(in_turns(random.sample(complete, len(complete))), n_cells)))


def _enough(waves: Sequence[tuple[Cell, ...]], n_cells: int) -> Iterator[tuple[Cell, ...]]:
    for wave in waves:
        if n_cells <= 0:
            return
        n_cells -= len(wave)
        yield wave
