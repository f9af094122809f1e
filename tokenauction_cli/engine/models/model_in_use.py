"""The models that an experiment names: which files they are, and what these say of themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from ...experiment.experiment import Experiment
from ...experiment.source.model_places import place_of_model
from ...model_files.models import LocalModel, locate, parse_reference, verify
from ...system.errors import ModelError

if TYPE_CHECKING:
    from ...experiment.experiment import Agent
    from ...lm.llama.metadata import GgufMetadata


@dataclass(frozen=True, eq=False)
class ModelInUse:
    """One GGUF file of an experiment."""

    local: LocalModel
    metadata: GgufMetadata

    @property
    def path(self) -> Path:
        return self.local.path

    @cached_property
    def sha256s(self) -> tuple[str, ...]:
        """One per part; raises ModelError where one is not what its origin states."""
        return verify(self.local)

    @property
    def sha256(self) -> str:
        return self.sha256s[0]


def models_in_use(experiment: Experiment, voices: Sequence[Agent]) -> dict[str, ModelInUse]:
    """One entry per model reference of a voice; equal files are one model."""
    from ...lm.llama.metadata import read_metadata

    by_path: dict[Path, ModelInUse] = {}
    in_use = {}
    for reference in dict.fromkeys(voice.model for voice in voices if voice.model is not None):
        local = located(experiment, reference)
        path = local.path.resolve()
        if path not in by_path:
            by_path[path] = ModelInUse(local, read_metadata(local.path))
        in_use[reference] = by_path[path]
    return in_use


def located(experiment: Experiment, model: str) -> LocalModel:
    """The file of a model; an error says where the experiment names it."""
    try:
        return locate(parse_reference(model, experiment.path.parent))
    except ModelError as error:
        raise placed(experiment, model, str(error)) from error


def placed(experiment: Experiment, model: str, message: str) -> ModelError:
    """An error about a model, behind the place where the experiment names it."""
    place = place_of_model(experiment.path, experiment.source, model)
    return ModelError(f"{place}: {message}" if place else message)
