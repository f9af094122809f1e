"""The files of a run's models, wherever they lie now: where the manifest says, where the user says, or among this
machine's models under the same sha256.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from ..experiment.experiment import Experiment
from ..experiment.resolved.agent import Agent
from ..experiment.source.source import Source
from ..model_files.models import list_local, parse_reference, sha256_of
from ..runs.manifest_schema import path_of
from ..system.errors import ModelError, UsageError

_KEY = "models."


class FileOfRun(NamedTuple):
    """A model file as the manifest has it, and where it is now: None where it is nowhere, or another file is there."""

    reference: str
    was: Path
    now: Path | None
    found: str


def places_of(overrides: Sequence[str], source: bytes, folder: Path) -> dict[str, Path]:
    """Where models are by reference, from `models.NAME=PATH`; NAME is that of the experiment file, or a reference.

    Relative ones start at the `folder` of the experiment.
    """
    named = Source(source, "experiment.yaml").get("models") if overrides else None
    places = {}
    for override in overrides:
        key, _, path = override.partition("=")
        if not key.startswith(_KEY) or not path:
            raise UsageError(f"-S {override}: expected models.NAME=PATH, where the file of a model is now")
        name = key.removeprefix(_KEY)
        reference = named.get(name, name) if isinstance(named, dict) else name
        places[str(parse_reference(str(reference), folder))] = Path(path).absolute()
    return places


def files_of_run(record: Mapping[str, Any], places: Mapping[str, Path]) -> Iterator[FileOfRun]:
    """Every file of the models in a manifest, and of their adapters."""
    for model in record.get("models", ()):
        for k, file in enumerate(model["files"]):
            was, moved = path_of(file["path"]), places.get(model["reference"])
            asked = was if moved is None else moved if k == 0 else moved.with_name(was.name)
            yield _looked_at(model["reference"], was, asked, file)
        for adapter in model.get("adapters", ()):
            was = path_of(adapter["path"])
            yield _looked_at(adapter["reference"], was, places.get(adapter["reference"], was), adapter)


def _looked_at(reference: str, was: Path, asked: Path, file: Mapping[str, Any]) -> FileOfRun:
    if asked.is_file() and _is_it(asked, file):
        return FileOfRun(reference, was, asked, "the model of the run" + (f", at {asked}" if asked != was else ""))
    elsewhere = next((path for path in _of_this_machine() if path != asked and _is_it(path, file)), None)
    why = f"{asked}: not the model of the run" if asked.exists() and asked != was else "not the model of the run"
    why = why if asked.exists() else f"missing: there is no file {asked}"
    if elsewhere is not None:
        return FileOfRun(reference, was, elsewhere, f"{why}; {elsewhere} is, by its sha256, and stands in for it")
    advice = f"say where it is with -S '{_KEY}{reference}=PATH'"
    return FileOfRun(reference, was, None, why if asked.exists() else f"{why}; {advice}")


def _of_this_machine() -> Iterator[Path]:
    try:
        yield from (file.path for model in list_local() for file in model.files)
    except ModelError:  # of a package that is installed by halves
        return


def _is_it(path: Path, file: Mapping[str, Any]) -> bool:
    """Of the same size first: sha256 of a large file takes seconds, and one of the system may have no end."""
    try:
        is_as_large = file.get("size") in (None, path.stat().st_size)
        return is_as_large and sha256_of(path) == file["sha256"]
    except (OSError, ModelError):
        return False


def with_moved(experiment: Experiment, files: Sequence[FileOfRun]) -> Experiment:
    """The experiment whose models are the files where they are now."""
    first: dict[str, FileOfRun] = {}
    for file in files:
        first.setdefault(file.reference, file)
    moved = {one.reference: str(one.now) for one in first.values() if one.now is not None and one.now != one.was}

    def place(named: str) -> str:
        return moved.get(str(parse_reference(named, experiment.path.parent)), named)

    def placed(agent: Agent) -> Agent:
        if agent.model is None:
            return agent
        adapters = tuple(replace(one, file=place(one.file)) for one in agent.adapters)
        return replace(agent, model=place(agent.model), adapters=adapters)

    if not moved:
        return experiment
    reference = None if experiment.reference is None else placed(experiment.reference)
    return replace(experiment, agents=tuple(map(placed, experiment.agents)), reference=reference)
