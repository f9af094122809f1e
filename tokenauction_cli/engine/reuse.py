"""Finished cells of sibling runs, taken over instead of computed again.

A sibling is another run in the same folder of results, whatever its name, with the same basis (`basis.py`). Its records
are copied, not linked, with this run's `point` and `relative_weight`. What failed is computed again, what was edited is
left alone, and of a sibling that is being written its whole lines count. Candidates are taken over like cells.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

from ..experiment.experiment import Experiment
from ..experiment.resolved.shard import Shard
from ..runs import manifest
from ..runs.run_folder import PROPOSALS, RECORDS, Record, RunFolder
from ..runs.run_folders import runs_in
from ..system.errors import StoreError
from .loop.text_state import FAILED
from .plan import Cell
from .running.agreement import agrees

_NAMES = {RECORDS: "texts", PROPOSALS: "candidates"}
RECORDS_AT_ONCE = 100  # with traces they are large


class TakenOver(NamedTuple):
    """How many texts came from which sibling, by its folder's name, and which cells they are."""

    sources: dict[str, int]
    cells: set[str]


def take_over(
    folder: RunFolder,
    known: manifest.Manifest,
    experiment: Experiment,
    cells: Sequence[Cell],
    done: Container[str],
    tell: Callable[[str], None],
) -> TakenOver:
    """Copy into the folder what siblings have finished of the missing ones of these cells, or of these candidates."""
    missing = {cell.id: cell for cell in cells if cell.id not in done}
    ids = [agent.id for agent in experiment.agents]
    sources: dict[str, int] = {}
    taken: set[str] = set()
    for sibling, digests in siblings(folder, known["basis"], experiment.shard) if missing else ():
        copied = _copy(finished_records(sibling, digests, missing, ids), folder)
        if copied:
            sources[sibling.path.name] = len(copied)
            taken |= copied
            missing = {cell: missing[cell] for cell in missing.keys() - copied}
    if sources:
        tell(_in_words(sources, len(cells), folder))
    if missing and folder.kind == RECORDS and (left := _shards_left(folder, sources)):
        tell(_why_left(left))
    return TakenOver(sources, taken)


def _copy(records: Iterator[Record], folder: RunFolder) -> set[str]:
    """Append records, the first of each cell, a hundred at a time; which cells."""
    copied: set[str] = set()
    with folder.appending() as appender:
        while batch := list(islice(records, RECORDS_AT_ONCE)):
            new = {record["cell"]: record for record in reversed(batch) if record["cell"] not in copied}
            appender.append(reversed(new.values()))
            copied |= new.keys()
    return copied


def _in_words(sources: Mapping[str, int], n_planned: int, folder: RunFolder) -> str:
    results, what = folder.path.parent, _NAMES[folder.kind]
    parts = [str(results / name) if len(sources) == 1 else f"{results / name} ({n})" for name, n in sources.items()]
    more = f" and {len(parts) - 3} more" if len(parts) > 3 else ""
    return f"{sum(sources.values())} of {n_planned} {what} taken over from {', '.join(parts[:3])}{more}"


def _shards_left(folder: RunFolder, sources: Mapping[str, int]) -> list[str]:
    """The shards of this run of which nothing was taken over."""
    names = (path.name for path in runs_in(folder.path.parent))
    return [name for name in names if name.startswith(f"{folder.path.name}.shard-") and name not in sources]


def _why_left(names: Sequence[str]) -> str:
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return (
        f"nothing was taken over from {names[0]}{more}: it has nothing new, or another processor, number of threads or "
        "version wrote it, or records depend on batching"
    )


def siblings(
    folder: RunFolder, basis: str | None, shard: Shard | None = None
) -> Iterator[tuple[RunFolder, Mapping[str, str]]]:
    """The other runs beside this folder that have this basis, with the digests of their files; none without a basis.

    Nor is another one of as many shards, which has no cell of this one.
    """
    for path in runs_in(folder.path.parent) if basis else ():
        if path.name == folder.path.name:
            continue
        sibling = RunFolder(path, folder.kind)
        try:
            known: Any = sibling.read_manifest()  # a stranger's may be anything
        except StoreError:
            continue
        if not isinstance(known, dict) or known.get("basis") != basis or not isinstance(known.get("files"), dict):
            continue
        if shard is None or not str(known.get("shard")).endswith(f"/{shard.n}"):
            yield sibling, known["files"]


def finished_records(
    sibling: RunFolder, digests: Mapping[str, str], missing: Mapping[str, Cell], ids: Sequence[str]
) -> Iterator[Record]:
    """The sibling's records of missing cells, as this run would write them; `ids` are those of the agents."""
    for record in _whole_records(sibling, digests):
        cell = missing.get(record["cell"])
        if cell is not None and _is_finished(record, cell, ids):
            yield record | {"point": cell.point, "relative_weight": cell.relative_weight}


def _whole_records(sibling: RunFolder, digests: Mapping[str, str]) -> Iterator[Record]:
    """Those of files that are as they were written; of a file that is broken, those before the break."""
    for path in sibling.record_files():
        try:
            if digests.get(path.name) in (None, sibling.sha256(path.name)):
                yield from (record for record, _ in sibling.lines_of(path))
        except StoreError:
            continue


def _is_finished(record: Record, cell: Cell, ids: Sequence[str]) -> bool:
    return agrees(record, cell, ids) and record["end_reason"] != FAILED
