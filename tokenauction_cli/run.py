"""Running an experiment: plan, evaluate wave by wave, keep every wave, write the tables.

Running again continues; a finished run only prints its tables again.
"""

from __future__ import annotations

import logging
import platform
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import yaml

from . import __version__
from .auction import Auction
from .errors import StoreError, TokauctionError, UsageError
from .experiment import Experiment, load_experiment
from .plan import Plan, cells_of, make_plan
from .speakers import Speakers, prepare
from .store import Record, RunFolder

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger("tokauction")


SECONDS_BETWEEN_APPENDS = 1.0


class Progress(Protocol):
    """Hears how far a run is."""

    def begin(self, n_cells: int, n_done: int) -> None: ...
    def step(self, n_cells: int, n_tokens: int) -> None: ...


@dataclass(frozen=True)
class RunResult:
    """What a finished (or interrupted) run left on disk."""

    folder: RunFolder
    experiment: Experiment
    cells: pd.DataFrame
    summary: pd.DataFrame
    was_complete: bool

    @property
    def n_failed(self) -> int:
        return int((self.cells["end_reason"] == "failed").sum())


def run_folder(experiment: Experiment, results: Path) -> RunFolder:
    """`<results>/<name>-<hash of the resolved experiment>`."""
    return RunFolder(results / f"{experiment.name}-{experiment.semantic_hash()}")


def run_experiment(
    experiment: Experiment, results: Path, progress: Progress, *, n: int | None = None, fresh: bool = False
) -> RunResult:
    """Compute the cells that are not on disk yet, and write the tables of all that are."""
    folder = run_folder(experiment, results)
    if fresh:
        old = folder.set_aside()
        logger.info("the old run is now %s", old)
    with folder.locked():
        wanted = [cell.id for cell in cells_of(experiment)[:n]]
        records = folder.records()
        if all(cell in records for cell in wanted):
            return _with_tables(folder, experiment, records, was_complete=True)
        with _logging_to(folder):
            speakers = prepare(experiment)
            plan = plan_for(experiment, speakers).first(n)
            manifest = _begin_manifest(folder, experiment, speakers, plan)
            _compute(folder, experiment, speakers, plan, manifest, progress)
        return _with_tables(folder, experiment, folder.records(), was_complete=False)


def read_run(path: Path) -> RunResult:
    """A run folder, read back without touching it; raises UsageError where it is none."""
    folder = RunFolder(path)
    if not (path / "resolved.yaml").is_file():
        raise UsageError(f"{path}: this is not a run folder (it has no resolved.yaml); `tokauction run` makes one")
    experiment = load_experiment(path / "resolved.yaml")
    records = folder.records()
    if not records:
        raise UsageError(f"{path}: this run has no finished cell yet; continue it with `tokauction run`")
    return RunResult(folder, experiment, *_frames(experiment, records), was_complete=True)


def plan_for(experiment: Experiment, speakers: Speakers) -> Plan:
    """The plan of an experiment with these speakers."""
    return make_plan(experiment, speakers.lanes, is_batch_invariant=speakers.is_batch_invariant)


def _compute(
    folder: RunFolder,
    experiment: Experiment,
    speakers: Speakers,
    plan: Plan,
    manifest: dict[str, Any],
    progress: Progress,
) -> None:
    """Run the waves that miss a cell; the manifest tells how it ended whatever happens."""
    from .house import House, Rules

    rules = Rules.of(experiment)
    done = folder.records()
    session: dict[str, Any] = {"started": _now(), "cells": 0, "tokens": 0, "evaluations": 0}
    begun = time.monotonic()
    status = "failed"
    progress.begin(plan.n_cells, sum(cell.id in done for cell in plan.cells))
    try:
        with speakers.loaded(plan.lanes) as model, folder.appending() as appender:
            auction = Auction(model, House(experiment, rules, model.vocabulary), speakers.casts)
            for records in _in_batches(auction, plan.without(done)):
                new = [record for record in records if record["cell"] not in done]
                appender.append(new)
                session["cells"] += len(new)
                session |= {"tokens": auction.n_tokens, "evaluations": auction.n_evaluations}
                progress.step(len(new), auction.n_tokens)
        status = "finished"
    except KeyboardInterrupt:
        status = "interrupted"
        raise
    finally:
        session["seconds"] = round(time.monotonic() - begun, 3)
        manifest["sessions"].append(session)
        manifest["status"] = status
        _write_manifest_if_possible(folder, manifest)


def _in_batches(auction: Auction, plan: Plan) -> Iterator[list[Record]]:
    """What to append together: a whole wave where the plan says so, otherwise what a second or so has finished."""
    for wave in plan.waves:
        waiting: list[Record] = []
        last = time.monotonic()
        for finished in auction.run(wave, plan.lanes):
            waiting += finished
            if not plan.whole_waves and time.monotonic() - last > SECONDS_BETWEEN_APPENDS:
                yield waiting
                waiting, last = [], time.monotonic()
        yield waiting


def _write_manifest_if_possible(folder: RunFolder, manifest: Mapping[str, Any]) -> None:
    """A full disk must not hide the error that is already on its way."""
    try:
        folder.write_manifest(manifest)
    except StoreError as error:
        if sys.exc_info()[0] is None:
            raise
        logger.error("%s", error)


def _begin_manifest(folder: RunFolder, experiment: Experiment, speakers: Speakers, plan: Plan) -> dict[str, Any]:
    """The manifest of a new run, or the old one of a continued run after checking that its models are the same."""
    old = folder.read_manifest()
    models: list[dict[str, Any]] = [
        {
            "reference": str(model.local.reference),
            "path": str(model.path),
            "size": model.local.size,
            "sha256": model.sha256,
            "architecture": model.metadata.architecture,
        }
        for model in speakers.models
    ]
    for was, now in zip(old.get("models", models), models, strict=False):
        if was["sha256"] != now["sha256"]:
            raise TokauctionError(
                f"{now['path']}: this file is not the model that began the run in {folder.path} (sha256 "
                f"{now['sha256'][:12]}... and not {was['sha256'][:12]}...): restore it, or start anew with --fresh"
            )
    if not old:
        folder.write("experiment.yaml", experiment.source)
        folder.write("resolved.yaml", yaml.safe_dump(experiment.resolved(), sort_keys=False, allow_unicode=True))
    hardware = speakers.hardware
    manifest = {
        "format": 1,
        "status": "running",
        "tokauction": __version__,
        "experiment": str(experiment.path),
        "models": models,
        "device": None if hardware is None else ("gpu" if hardware.gpu_layers else "cpu"),
        "threads": None if hardware is None else hardware.n_threads,
        "lanes": plan.lanes,
        "batch_invariant": speakers.is_batch_invariant,
        "versions": _versions(),
        "host": {"system": platform.platform(), "machine": platform.machine(), "name": platform.node()},
        "sessions": old.get("sessions", []),
    }
    folder.write_manifest(manifest)
    return manifest


def _versions() -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError, version

    found = {"python": platform.python_version()}
    for package in ("llama-cpp-python", "numpy", "pandas", "pydantic"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _with_tables(
    folder: RunFolder, experiment: Experiment, records: Mapping[str, Record], *, was_complete: bool
) -> RunResult:
    from .statistics import statistics_frames
    from .tables import render, text_tables

    cells, summary = _frames(experiment, records)
    texts = text_tables(experiment, cells)
    files = {
        "cells.csv": cells.to_csv(index=False, lineterminator="\n"),
        "summary.csv": summary.to_csv(index=False, lineterminator="\n"),
        "table.md": render(texts, "md"),
        "table.csv": render(texts, "csv"),
    }
    for name, frame in statistics_frames(experiment, cells, summary).items():
        files[name] = frame.to_csv(index=False, lineterminator="\n")
    for name, content in files.items():
        folder.write(name, content)
    return RunResult(folder, experiment, cells, summary, was_complete)


def _frames(experiment: Experiment, records: Mapping[str, Record]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """cells.csv and summary.csv, in the plan's order."""
    from .metrics import cells_frame, summary_frame

    ordered = [records[cell.id] for cell in cells_of(experiment) if cell.id in records]
    cells = cells_frame(experiment, ordered)
    return cells, summary_frame(experiment, cells)


@contextmanager
def _logging_to(folder: RunFolder) -> Iterator[None]:
    """Keep what the run and llama.cpp report in `log.txt`."""
    try:
        handler = logging.FileHandler(folder.path / "log.txt", encoding="utf-8")
    except OSError as error:
        raise StoreError(f"{folder.path}: {error.strerror}; check the folder") from error
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        handler.close()


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
