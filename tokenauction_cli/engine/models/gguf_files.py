"""The GGUF files of an experiment: found, probed, how many texts they have room for; then loaded.

Vocabularies and metadata are read first, so that a plan, its cost and its errors come before any weights.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property, partial
from typing import TYPE_CHECKING, TypeAlias

from ...experiment.experiment import Experiment
from ...runs.manifest import Formats
from ...system.errors import ModelError, OutOfMemoryError, UsageError
from ...system.memory import free_memory
from ...system.processors import usable_processors
from .model_in_use import ModelInUse, ModelNamed
from .weights_in_use import WeightsInUse

if TYPE_CHECKING:
    from ...experiment.experiment import Agent
    from ...lm.llama.adapters import Tuned
    from ...lm.llama.gguf import GgufContext, GgufPrompt, KvCall
    from ...lm.llama.hardware import Hardware
    from ...lm.probing.probe import Probed, Shape

logger = logging.getLogger("tokauction")

Observer: TypeAlias = "Callable[[Tuned, KvCall], object]"

MOST_SEQUENCES = 256  # llama_max_parallel_sequences()


class GgufFiles:
    """The files that an experiment's prompts are for, and how they are evaluated.

    Every text has `places` sequences for each of its prompts.
    """

    def __init__(
        self,
        experiment: Experiment,
        in_use: Mapping[ModelNamed, ModelInUse],
        prompts: Sequence[Sequence[GgufPrompt]],
        kept: Formats | None = None,
        places: int = 1,
    ) -> None:
        """`in_use` are the models as they are named, `prompts` those that each query has to have evaluated.

        `kept` are the formats that a run began with.
        """
        from ...lm.llama.hardware import Split, choose_hardware

        runtime = experiment.runtime
        n_threads = usable_processors() if runtime.threads == "auto" else int(runtime.threads)
        kv_cache = kept.kv_cache if kept else runtime.kv_cache
        split = Split(runtime.split_mode, runtime.tensor_split, runtime.main_gpu)
        self.hardware: Hardware = choose_hardware(
            runtime.device, runtime.gpu_layers, n_threads, kv_cache, runtime.rpc, split
        )
        self._experiment = experiment
        self.findings: dict[Tuned, Probed] = {}
        self._in_use = in_use
        self.models = tuple(dict.fromkeys(in_use.values()))
        self.weights = WeightsInUse(experiment, self.models, self.hardware, kept)
        self._prompts = prompts
        self._places = places
        self._settle(self._remembered)

    @property
    def is_batch_invariant(self) -> bool:
        """Whether a cell's record cannot depend on which cells share its batches: False where nobody has measured."""
        if self._experiment.runtime.deterministic:
            return True
        return all(model.tuned in self.findings and self.findings[model.tuned].keeps_bits for model in self.models)

    @property
    def formats(self) -> Formats:
        """Those in which it computes."""
        weights = {model.sha256: self.weights.of(model.path).form for model in self.models}
        return Formats(self.hardware.kv_cache, weights)

    def of(self, agent: Agent) -> ModelInUse | None:
        """The model of an agent; None for a table."""
        return None if agent.model is None else self._in_use[agent.model, agent.adapters]

    def probe(self, tell: Callable[[str], None] = logger.info, *, thoroughly: bool = False) -> None:
        """Have child processes evaluate every file as this run will, where that was never done here.

        Raises ModelError for a file that cannot be evaluated; of a copy that cannot, the file is. `thoroughly`: anew,
        and for as long as it takes.
        """
        self.weights.make_copies(tell)
        self._settle(lambda tuned: self._measured(tuned, tell, None) if thoroughly else self._known(tuned, tell))
        self._settle(lambda tuned: self._known(tuned, tell))  # one that moves its bits may have got a smaller batch

    def _settle(self, find: Callable[[Tuned], Probed | None]) -> None:
        """Compute as it works for every file."""
        for model in self.models:
            finding = find(model.tuned)
            if finding is None:
                continue
            if finding.hardware != self.hardware:
                self.hardware, self.findings = finding.hardware, {}
                self._settle(find)
                return
            self.findings[model.tuned] = finding

    def _known(self, tuned: Tuned, tell: Callable[[str], None]) -> Probed:
        from ...lm.probing.probe import SECONDS

        return self._remembered(tuned) or self._measured(tuned, tell, SECONDS)

    def _measured(self, tuned: Tuned, tell: Callable[[str], None], seconds: float | None) -> Probed:
        try:
            return self._found(tuned, tell, seconds)
        except ModelError as error:
            if not self.weights.of(tuned.path).is_copy:
                raise
            self.weights.give_up(tuned.path, error, tell)
            return self._remembered(tuned) or self._found(tuned, tell, seconds)

    def _found(self, tuned: Tuned, tell: Callable[[str], None], seconds: float | None) -> Probed:
        from ...lm.probing import probe

        path = tuned.path
        logger.info("%s: a child process evaluates it first, once for these settings", path)
        finding = probe.find(
            path,
            self.hardware,
            self._shape(tuned),
            copy=self.weights.copy_of(path),
            adapters=tuned.adapters,
            sizes=[size for size in probe.SIZES if size <= self._room(tuned)],
            seconds=seconds,
            tell=tell,
        )
        logger.info("%s: %s; %s", path, finding.hardware.in_words, finding.in_words)
        return finding

    def _remembered(self, tuned: Tuned) -> Probed | None:
        from ...lm.probing import probe

        form = self.weights.of(tuned.path).form
        return probe.remembered(tuned.path, self.hardware, self._shape(tuned), form, tuned.adapters)

    def _shape(self, tuned: Tuned) -> Shape:
        """What this run asks of the context of a file."""
        from ...lm.llama.gguf import cells_per_sequence
        from ...lm.probing.probe import Shape

        n_sequences, n_tokens = self.slots * self.sequences[tuned], cells_per_sequence(self.longest[tuned])
        return Shape(n_sequences, n_tokens, alone=self._experiment.runtime.deterministic)

    @cached_property
    def most_prompts(self) -> dict[Tuned, int]:
        """For each file and adapters the most prompts that one query has on it."""
        own = [model.tuned for model in self.models]
        return {one: max(sum(p.tuned == one for p in prompts) for prompts in self._prompts) for one in own}

    @cached_property
    def sequences(self) -> dict[Tuned, int]:
        """For each of them its sequences per slot."""
        return {tuned: self._places * n for tuned, n in self.most_prompts.items()}

    @cached_property
    def longest(self) -> dict[Tuned, int]:
        """For each of them the most tokens that a prompt and its text have together."""
        most_text = self._experiment.auction.max_draws
        return {m.tuned: most_text + max(len(p.tokens) for p in self._all(m.tuned)) for m in self.models}

    def _all(self, tuned: Tuned) -> set[GgufPrompt]:
        """The prompts of all queries for one of them."""
        return {prompt for prompts in self._prompts for prompt in prompts if prompt.tuned == tuned}

    @property
    def slots(self) -> int:
        """How many texts advance together: as many as fill a batch and fit the context, sequences and memory."""
        slots = max(1, self._slots_of_a_batch())
        for model in self.models:
            slots = min(slots, self._room(model.tuned) // self.sequences[model.tuned])
        return max(1, slots)

    def _slots_of_a_batch(self) -> int:
        """As many as fill the user's batch, or the best one; the usual one where a larger one is known to move bits."""
        from ...lm.llama.weights import USUAL_ROWS, best_rows

        batch = self._experiment.runtime.batch
        if batch == "auto":
            is_usual = self._experiment.runtime.deterministic or not all(
                one.keeps_bits for one in self.findings.values()
            )
            rows = [best_rows(self.weights.of(model.path).form, self.hardware) for model in self.models]
            batch = USUAL_ROWS if is_usual and not self.hardware.gpu_layers else min(rows)
        return int(batch) // sum(self.most_prompts.values())

    def _room(self, tuned: Tuned) -> int:
        """For how many sequences of a file there are sequence numbers and memory."""
        model = next(model for model in self.models if model.tuned == tuned)
        return min(MOST_SEQUENCES, self._allowed_cells(model) * self.sequences[tuned] // self._cells_per_slot(tuned))

    def _cells_per_slot(self, tuned: Tuned) -> int:
        from ...lm.llama.gguf import cells_per_sequence

        return self.sequences[tuned] * cells_per_sequence(self.longest[tuned])

    def _allowed_cells(self, model: ModelInUse) -> int:
        """`runtime.context`, or what half of the free memory holds, which a file's contexts share.

        Raises UsageError where one text does not fit.
        """
        allowed, auction = self._experiment.runtime.context, self._experiment.auction
        if allowed == "auto":
            per_cell = self.kv_bytes_per_token(model)
            n_contexts = sum(other.path == model.path for other in self.models)
            return int(free_memory() / 2 / per_cell / n_contexts) if per_cell else 1 << 31
        if int(allowed) < self._cells_per_slot(model.tuned):
            raise UsageError(
                f"runtime.context is {allowed} tokens, but one text of {model.local.reference} needs "
                f"{self._cells_per_slot(model.tuned)}: raise it, use `auto`, or lower `auction.{auction.limit}`"
            )
        return int(allowed)

    def seconds(self, n_tokens: int) -> float | None:
        """To evaluate all prompts, and so many tokens of texts that share nothing; None where a file was not timed."""
        total = 0.0
        for model in self.models:
            n_prompts = self.most_prompts[model.tuned]
            finding = self.findings.get(model.tuned)
            speed = finding.speed(self.slots * n_prompts) if finding else None
            if speed is None:
                return None
            n_rows = n_tokens * n_prompts + sum(len(prompt.tokens) for prompt in self._all(model.tuned))
            total += n_rows / speed
        return total

    def kv_bytes_per_token(self, model: ModelInUse) -> float | None:
        """Of the KV cache; None where the file does not say enough."""
        from ...lm.llama.hardware import BYTES

        numbers = model.metadata.kv_numbers_per_token
        return numbers * BYTES[self.hardware.kv_cache] if numbers else None

    def kv_cells(self, slots: int) -> dict[Tuned, int]:
        """The KV cells of each context."""
        return {model.tuned: slots * self._cells_per_slot(model.tuned) for model in self.models}

    @contextmanager
    def loaded(
        self, slots: int, observe: Observer = lambda tuned, step: None, kind: type[GgufContext] | None = None
    ) -> Iterator[tuple[list[GgufContext], int]]:
        """A context of every file and its adapters, and the slots that they have room for, at most so many.

        `observe` is told every call that moves or computes KV cells. `kind` is that of the contexts; None: the one
        that writes texts as `runtime` says.
        """
        from ...lm.llama import llama_log
        from ...lm.llama.gguf import GgufContext, OneByOneContext

        llama_log.tell_last_word()
        kind = kind or (OneByOneContext if self._experiment.runtime.deterministic else GgufContext)
        contexts, slots = self._contexts(slots, observe, kind)
        try:
            yield contexts, slots
        finally:
            _close(contexts)

    def _contexts(self, slots: int, observe: Observer, kind: type[GgufContext]) -> tuple[list[GgufContext], int]:
        """One context per file and adapters, and the slots that there is room for. Raises ModelError."""
        contexts: list[GgufContext] = []
        try:
            for tuned, n_sequences in self.sequences.items():
                context = kind(
                    tuned.path,
                    self.hardware,
                    copy=self.weights.path_of_copy(tuned.path),
                    adapters=tuned.adapters,
                    beside=next((one for one in contexts if one.path == tuned.path), None),
                    n_sequences=slots * n_sequences,
                    n_tokens=self.longest[tuned],
                    observe=partial(observe, tuned),
                )
                contexts.append(context)
        except ModelError as error:
            _close(contexts)
            if slots == 1 or not isinstance(error, OutOfMemoryError):
                raise
            logger.warning("%s; %d texts at a time are tried", error, slots // 2)
            return self._contexts(slots // 2, observe, kind)
        return contexts, slots


def _close(contexts: Sequence[GgufContext]) -> None:
    """The weights that several share go last, with the first."""
    for context in reversed(contexts):
        context.close()
