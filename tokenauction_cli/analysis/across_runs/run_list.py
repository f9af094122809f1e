"""What runs there are: how far each is, when it was written, and what tells it from others of its name.

Records are counted, not parsed, so that a folder of many runs is listed at once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from ...engine.plan import n_cells
from ...engine.run import experiment_of
from ...runs import manifest
from ...runs.run_folder import RunFolder
from ...runs.run_folders import is_run
from ...system.errors import TokauctionError
from ..tables.tables import Table
from .differences import differing, settings, short_name, shown

COLUMNS = ("run", "status", "cells", "planned", "failed", "when", "differs")


@dataclass(frozen=True)
class RunEntry:
    """One run folder: `cells` of `planned` have a record, `failed` of them one that says why there is no text."""

    path: Path
    name: str
    status: str
    cells: int
    planned: int
    failed: int
    when: str
    settings: Mapping[str, Any]


def run_table(folders: Iterable[Path]) -> Table:
    """A row per run; `differs` has the settings that are not the same in all runs of this name in the table."""
    entries = [_entry(RunFolder(path)) for path in folders]
    siblings: dict[str, list[RunEntry]] = defaultdict(list)
    for entry in entries:
        siblings[entry.name].append(entry)
    differs = {path: words for group in siblings.values() for path, words in _differences(group).items()}
    rows = ((str(e.path), e.status, e.cells, e.planned, e.failed, e.when, differs[e.path]) for e in entries)
    return Table("", COLUMNS, tuple(rows))


def run_table_for_people(folders: Sequence[Path]) -> Table:
    """The same; runs that lie in one folder have their names alone, which a terminal need not break, under its name."""
    table = run_table(folders)
    table = replace(table, columns=tuple("texts" if head == "cells" else head for head in table.columns))
    parents = {path.parent for path in folders}
    if len(parents) > 1:
        return table
    return replace(table, title=str(parents.pop()), rows=tuple((Path(run).name, *row) for run, *row in table.rows))


def _entry(folder: RunFolder) -> RunEntry:
    """A run that cannot be read is listed too, and says why."""
    cells, failed = 0, 0
    if not is_run(folder.path):
        status = "running" if folder.is_locked() else "not begun"
        return RunEntry(folder.path, str(folder.path), status, 0, 0, 0, _when(folder, {}), {})
    try:
        cells, failed = folder.count()
        known = manifest.readable(folder)
        when = _when(folder, known)
        experiment = experiment_of(folder, known)
    except TokauctionError as error:  # a stranger's folder, say
        why = " ".join(str(error).removeprefix(f"{folder.path}: ").split())
        return RunEntry(folder.path, str(folder.path), f"unreadable: {why}", cells, 0, failed, _when(folder, {}), {})
    planned = n_cells(experiment)
    status = _status(folder, known, cells, planned, failed)
    told = settings(experiment.plain) | ({"shard": str(experiment.shard)} if experiment.shard else {})
    return RunEntry(folder.path, experiment.name, status, cells, planned, failed, when, told)


def _status(folder: RunFolder, known: manifest.Manifest, cells: int, planned: int, failed: int) -> str:
    """`running` is a process's lock; a manifest may say so of a run that was killed."""
    if known.get("status") == "running" and folder.is_locked():
        return "running"
    if cells < planned:
        return "unfinished"
    return "finished, some failed" if failed else "finished"


def _when(folder: RunFolder, known: manifest.Manifest) -> str:
    """When its last session began, in UTC; of one that has not ended, when the folder was last changed."""
    sessions = known.get("sessions")
    if sessions and known.get("status") != "running":
        began = datetime.fromisoformat(sessions[-1]["started"])
    else:
        began = datetime.fromtimestamp(folder.path.stat().st_mtime, timezone.utc)
    return began.strftime("%Y-%m-%d %H:%MZ")


def _differences(siblings: Sequence[RunEntry]) -> dict[Path, str]:
    """What tells these runs apart, in words, for each."""
    words: dict[Path, list[str]] = {entry.path: [] for entry in siblings}
    for key, values in differing([entry.settings for entry in siblings]).items():
        for entry, value in zip(siblings, shown(values), strict=True):
            words[entry.path].append(f"{short_name(key)}: {value}")
    return {path: "; ".join(parts) for path, parts in words.items()}
