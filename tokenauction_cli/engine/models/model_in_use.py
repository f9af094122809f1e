"""The models that an experiment names: which files they are, and what these say of themselves."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from ...experiment.experiment import Experiment
from ...experiment.resolved.agent import AdapterChoice
from ...experiment.source.model_places import place_of_model
from ...model_files.gguf_header import read_header
from ...model_files.models import LocalModel, locate, parse_reference, verify
from ...system.errors import ModelError

if TYPE_CHECKING:
    from ...experiment.experiment import Agent
    from ...lm.llama.adapters import Tuned
    from ...lm.llama.metadata import GgufMetadata


@dataclass(frozen=True, eq=False)
class AdapterInUse:
    """The file of an adapter, and by how much it counts."""

    local: LocalModel
    scale: float

    @cached_property
    def sha256(self) -> str:
        """Raises ModelError where it is not what its origin states."""
        return verify(self.local)[0]


@dataclass(frozen=True, eq=False)
class ModelInUse:
    """One GGUF file of an experiment, with the adapters that some agents have on it."""

    local: LocalModel
    metadata: GgufMetadata
    adapters: tuple[AdapterInUse, ...] = ()

    @property
    def path(self) -> Path:
        return self.local.path

    @cached_property
    def tuned(self) -> Tuned:
        """What a context is made of."""
        from ...lm.llama.adapters import Adapter, Tuned

        return Tuned(self.path, tuple(Adapter(one.local.path, one.scale) for one in self.adapters))

    @property
    def name(self) -> str:
        """As tables call it."""
        return " + ".join(
            [str(self.local.reference), *(f"{one.scale:g} {one.local.reference}" for one in self.adapters)]
        )

    @cached_property
    def sha256s(self) -> tuple[str, ...]:
        """One per part; raises ModelError where one is not what its origin states."""
        return verify(self.local)

    @property
    def sha256(self) -> str:
        return self.sha256s[0]

    @property
    def digests(self) -> tuple[str, ...]:
        """What tells its logits from others: the files' sha256, and those of the adapters with their scales."""
        return (*self.sha256s, *(f"{one.scale:g} {one.sha256}" for one in self.adapters))


ModelNamed = tuple[str, tuple[AdapterChoice, ...]]
"""A model and adapters as an experiment names them."""


def models_in_use(experiment: Experiment, voices: Sequence[Agent]) -> dict[ModelNamed, ModelInUse]:
    """One entry per model and adapters that a voice names; equal files are one model."""
    known: dict[Hashable, ModelInUse] = {}
    in_use = {}
    for voice in voices:
        if voice.model is None or (voice.model, voice.adapters) in in_use:
            continue
        model = model_in_use(experiment, voice.model, voice.adapters)
        base = known.setdefault(model.path.resolve(), replace(model, adapters=()))
        key = base.path, *((one.local.path.resolve(), one.scale) for one in model.adapters)
        whole = known.setdefault(key, replace(base, adapters=model.adapters) if model.adapters else base)
        in_use[voice.model, voice.adapters] = whole
    return in_use


def model_in_use(experiment: Experiment, reference: str, choices: Sequence[AdapterChoice]) -> ModelInUse:
    """A model with adapters. Raises ModelError, with a place, where llama.cpp cannot read it or they do not fit."""
    from ...lm.llama.adapters import is_adapter
    from ...lm.llama.metadata import read_metadata

    local = located(experiment, reference)
    if is_adapter(read_header(local.path)):
        message = f"{local.path}: this is an adapter, not a model: name it under `adapter`, and its base under `model`"
        raise placed(experiment, reference, message)
    model = ModelInUse(local, read_metadata(local.path))
    return replace(model, adapters=tuple(_adapter(experiment, model, choice) for choice in choices))


def _adapter(experiment: Experiment, base: ModelInUse, choice: AdapterChoice) -> AdapterInUse:
    """An adapter that goes with the model, as far as headers say; else ModelError, with its place."""
    from ...lm.llama.adapters import check_adapter

    local = located(experiment, choice.file)
    try:
        check_adapter(local.path, base.metadata.header, str(base.local.reference))
    except ModelError as error:
        raise placed(experiment, choice.file, str(error)) from error
    return AdapterInUse(local, choice.scale)


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
