"""Which file llama.cpp computes with for each model of an experiment: the model's own, or a copy in another format."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ...experiment.experiment import Experiment
from ...model_files.gguf_header import GgufHeader, read_header
from ...model_files.models import locate, parse_reference
from ...system.errors import ModelError, NoCopyError
from ...system.memory import free_memory, whole_memory
from .model_in_use import ModelInUse

if TYPE_CHECKING:
    from ...lm.llama.copies import Copy
    from ...lm.llama.hardware import Hardware
    from ...lm.llama.weights import Weights
    from ...runs.manifest import Formats


class WeightsInUse:
    """The format of every model's weights, chosen when it is made; copies are made when they are asked for."""

    def __init__(
        self, experiment: Experiment, models: Sequence[ModelInUse], hardware: Hardware, kept: Formats | None
    ) -> None:
        self._models = {model.path: model for model in models}  # once each, whatever its adapters
        self._hardware = hardware
        self._copies: dict[Path, Copy] = {}
        self._kept = dict(kept.weights) if kept else {}
        self._chosen = {path: self._choice(experiment, model) for path, model in self._models.items()}
        if experiment.runtime.weights == "auto":
            self._keep_to_memory(experiment)

    def of(self, path: Path) -> Weights:
        """The format of a model's weights, and why."""
        return self._chosen[path]

    def size(self, path: Path) -> int:
        """Bytes of the weights that are loaded, about."""
        from ...lm.llama.weights import size_of_copy

        model = self._models[path]
        return size_of_copy(model.metadata.header) if self.of(path).is_copy else model.local.size

    def made(self, path: Path) -> Copy | None:
        """The copy of a model, where one was made or found already."""
        return self._copies.get(path)

    def copy_of(self, path: Path, tell: Callable[[str], None] = lambda _: None) -> Copy | None:
        """The copy to load instead of a model's file; None where the file is loaded, also for want of a copy.

        Raises ModelError where a run that began with a copy can have none.
        """
        from ...lm.llama.copies import copy_of

        weights, model = self.of(path), self._models[path]
        if weights.is_copy and path not in self._copies:
            try:
                self._check_memory(path)
                self._copies[path] = copy_of(path, model.sha256s, weights.form, self._hardware.n_threads, tell)
            except NoCopyError as error:
                self.give_up(path, error, tell)
        return self._copies.get(path)

    def path_of_copy(self, path: Path) -> Path | None:
        """Where it is."""
        copy = self.copy_of(path)
        return copy and copy.path

    def make_copies(self, tell: Callable[[str], None]) -> None:
        """Have every copy ready."""
        for path in self._models:
            self.copy_of(path, tell)

    def give_up(self, path: Path, why: ModelError, tell: Callable[[str], None]) -> None:
        """Compute with the file itself from now on. Raises ModelError where the run began otherwise."""
        from ...lm.llama.weights import FILE, Weights

        form, reference = self.of(path).form, self._models[path].local.reference
        if self._is_kept(self._models[path]):
            raise ModelError(
                f"{reference}: this run began with its weights in {form}, which cannot be had here: {why}; change "
                "that, or begin anew with --fresh -S runtime.weights=file",
                file=path,
            ) from why
        tell(f"{reference}: no copy of it in {form}, so its weights are used as they are: {why}")
        self._copies.pop(path, None)
        self._chosen[path] = Weights(FILE, f"there is no copy in {form}: {why}")

    def _choice(self, experiment: Experiment, model: ModelInUse) -> Weights:
        from ...lm.llama.weights import Weights

        if self._is_kept(model):
            return Weights(self._kept[model.sha256], "this run began with them")
        return self._by_rule(experiment, model.metadata.header)

    def _by_rule(self, experiment: Experiment, header: GgufHeader) -> Weights:
        from ...lm.llama.weights import chosen

        runtime = experiment.runtime
        return chosen(runtime.weights, header, self._hardware, alone=runtime.deterministic)

    def _is_kept(self, model: ModelInUse) -> bool:
        return bool(self._kept) and model.sha256 in self._kept

    def _keep_to_memory(self, experiment: Experiment) -> None:
        """Keep files as they are where all copies of the experiment together would take too much of the memory."""
        from ...lm.llama.weights import FILE, MOST_OF_MEMORY, Weights, size_of_copy

        headers = [model.metadata.header for model in self._models.values()]
        headers += _of_others(experiment, self._models) if any(one.is_copy for one in self._chosen.values()) else []
        needed = sum(size_of_copy(header) for header in headers if self._by_rule(experiment, header).is_copy)
        if needed <= MOST_OF_MEMORY * whole_memory():
            return
        for path, model in self._models.items():
            if self.of(path).is_copy and not self._is_kept(model):
                why = f"copies of {needed / 1e9:.1f} GB would take more than {MOST_OF_MEMORY:.0%} of the memory"
                self._chosen[path] = Weights(FILE, why)

    def _check_memory(self, path: Path) -> None:
        """Raises NoCopyError where a copy would not fit what is free."""
        needed, free = self.size(path), free_memory()
        if needed > free:
            raise NoCopyError(f"it would take {needed / 1e9:.1f} GB, and {free / 1e9:.1f} GB of memory are free")


def _of_others(experiment: Experiment, paths: Iterable[Path]) -> Iterator[GgufHeader]:
    """The headers of the experiment's other models that are on this machine: those of agents, reference and judges."""
    voices = [*experiment.agents, *([experiment.reference] if experiment.reference else [])]
    judges = [
        utility.judge.model
        for utilities in (experiment.text_audit.utilities.values() if experiment.audits_texts else ())
        for utility in utilities
        if utility.judge is not None
    ]
    known = {path.resolve() for path in paths}
    for reference in dict.fromkeys([*(voice.model for voice in voices if voice.model), *judges]):
        try:
            path = locate(parse_reference(reference, experiment.path.parent), offline=True).path
            if path.resolve() not in known:
                known.add(path.resolve())
                yield read_header(path)
        except ModelError:
            continue
