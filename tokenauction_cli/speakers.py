"""From an experiment to what speaks for its agents: model files, prompts as tokens, limits; then the loaded models.

`prepare` reads vocabularies and metadata only, so that a plan, its cost and its errors come before any weights.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from .auction import Cast
from .errors import ModelError, UsageError
from .experiment import Experiment
from .lm.base import LanguageModel, Vocabulary
from .lm.table import TableModel, TablePrompt, TableVocabulary
from .models import LocalModel, locate, parse_reference, sha256_of
from .plan import BATCH_ROWS, Capacity, Plan
from .processors import usable_processors
from .prompts import render_messages, render_prompt

if TYPE_CHECKING:
    from .experiment_format import Agent
    from .lm.gguf import Hardware
    from .lm.metadata import GgufMetadata
    from .lm.vocabulary import GgufVocabulary

GPU_BATCH_ROWS = 128
_TABLE_CAPACITY = Capacity(n_sequences=1 << 20, batch_rows=1 << 10)
# llama.cpp's `general.file_type` of formats whose logits were measured to be the same alone and in a batch, on CPU:
# F32, F16, Q4_0, Q4_1, Q8_0, BF16
_BATCH_INVARIANT_FILE_TYPES = frozenset({"0", "1", "2", "3", "7", "32"})


@dataclass(frozen=True, eq=False)
class ModelInUse:
    """One GGUF file of an experiment."""

    local: LocalModel
    metadata: GgufMetadata

    @property
    def path(self) -> Path:
        return self.local.path

    @cached_property
    def sha256(self) -> str:
        return sha256_of(self.path)


class TableSpeakers:
    """Agents with written-down distributions: nothing to load."""

    models: tuple[ModelInUse, ...] = ()
    capacity = _TABLE_CAPACITY
    is_batch_invariant = True
    hardware = None

    def __init__(self, experiment: Experiment) -> None:
        tables = [agent.distributions for agent in experiment.agents]
        self._vocabulary = TableVocabulary([table for table in tables if table is not None])
        prompts = tuple(TablePrompt(agent.name, agent.distributions or {}) for agent in experiment.agents)
        cast = Cast(prompts, tuple(range(len(prompts))))
        self.casts: Mapping[str, Cast] = dict.fromkeys(experiment.queries, cast)

    def kv_cells(self, plan: Plan) -> dict[Path, int]:
        return {}

    @contextmanager
    def loaded(self, plan: Plan) -> Iterator[LanguageModel]:
        yield TableModel(self._vocabulary)


class GgufSpeakers:
    """Agents with language models in GGUF files."""

    def __init__(self, experiment: Experiment) -> None:
        import llama_cpp

        from .lm.gguf import choose_hardware

        runtime = experiment.runtime
        n_threads = usable_processors() if runtime.threads == "auto" else int(runtime.threads)
        self.hardware: Hardware = choose_hardware(runtime.device, runtime.gpu_layers, n_threads)
        default_rows = GPU_BATCH_ROWS if self.hardware.gpu_layers else BATCH_ROWS
        self.capacity = Capacity(
            n_sequences=llama_cpp.llama_max_parallel_sequences() - 1,  # one is kept for padding rows
            batch_rows=default_rows if runtime.batch == "auto" else int(runtime.batch),
        )
        self._experiment = experiment
        self._in_use = _models_in_use(experiment)
        self.models = tuple(dict.fromkeys(self._in_use.values()))
        self.casts: Mapping[str, Cast] = _casts(experiment, self._in_use)

    @property
    def is_batch_invariant(self) -> bool:
        """Whether a cell's record cannot depend on which cells share its batches."""
        return not self.hardware.gpu_layers and all(
            model.metadata.strings.get("general.file_type") in _BATCH_INVARIANT_FILE_TYPES for model in self.models
        )

    def kv_cells(self, plan: Plan) -> dict[Path, int]:
        """The KV cells that each model's context needs: every lane's text and the prompts of as many queries.

        Raises UsageError where `runtime.context` allows fewer.
        """
        needs = {model.path: self._cells_of(model.path, plan.lanes) for model in self.models}
        allowed = self._experiment.runtime.context
        if allowed == "auto":
            return needs
        if max(needs.values()) > int(allowed):
            least = max(self._cells_of(model.path, 1) for model in self.models)
            raise UsageError(
                f"runtime.context is {allowed} tokens, but batches of {plan.lanes} texts need {max(needs.values())} "
                f"and one text at a time needs {least}: raise it, use `auto`, or lower `runtime.batch` or `max_tokens`"
            )
        return dict.fromkeys(needs, int(allowed))

    def _cells_of(self, path: Path, n_lanes: int) -> int:
        prompts = [[len(p.tokens) for p in cast.prompts if p.path == path] for cast in self.casts.values()]
        largest = sorted((sum(lengths) for lengths in prompts), reverse=True)[: n_lanes + 1]
        texts = n_lanes * max(len(lengths) for lengths in prompts) * self._experiment.auction.max_tokens
        return sum(largest) + texts + 1

    @contextmanager
    def loaded(self, plan: Plan) -> Iterator[LanguageModel]:
        """The models with their weights and contexts."""
        from .lm.gguf import GgufContext, GgufModel

        n_prompts = max(len(cast.prompts) for cast in self.casts.values())
        most_held = max(len(wave) + len({cell.query for cell in wave}) + 1 for wave in plan.waves)
        n_sequences = min(self.capacity.n_sequences, most_held * n_prompts)
        cells = self.kv_cells(plan)
        contexts: list[GgufContext] = []
        try:
            for model in self.models:
                contexts.append(
                    GgufContext(
                        model.path,
                        self.hardware,
                        n_cells=cells[model.path],
                        n_sequences=n_sequences,
                        max_rows=plan.lanes * n_prompts,
                    )
                )
            yield GgufModel(contexts)
        finally:
            for context in contexts:
                context.close()


Speakers = TableSpeakers | GgufSpeakers


def prepare(experiment: Experiment) -> Speakers:
    """What speaks for the agents of an experiment; raises ModelError and UsageError before any weights are loaded."""
    if any(agent.distributions is not None for agent in experiment.agents):
        return TableSpeakers(experiment)
    return GgufSpeakers(experiment)


def _models_in_use(experiment: Experiment) -> dict[str, ModelInUse]:
    """One entry per model reference; equal files are one model."""
    from .lm.metadata import read_metadata

    by_path: dict[Path, ModelInUse] = {}
    in_use = {}
    for agent in experiment.agents:
        assert agent.model is not None
        if agent.model not in in_use:
            local = locate(parse_reference(agent.model, experiment.path.parent))
            path = local.path.resolve()
            if path not in by_path:
                by_path[path] = ModelInUse(local, read_metadata(local.path))
            in_use[agent.model] = by_path[path]
    return in_use


def _casts(experiment: Experiment, in_use: Mapping[str, ModelInUse]) -> dict[str, Cast]:
    """The distinct prompts of every query."""
    from contextlib import ExitStack

    from .lm.gguf import GgufPrompt, open_vocabulary

    casts = {}
    with ExitStack() as stack:
        vocabularies = {
            model.path: stack.enter_context(open_vocabulary(model.path)) for model in dict.fromkeys(in_use.values())
        }
        _check_same_vocabulary(vocabularies)
        for query in experiment.queries:
            prompts = []
            for agent in experiment.agents:
                model = in_use[str(agent.model)]
                tokens = _tokens(agent, query, model, vocabularies[model.path])
                _check_length(agent, model, len(tokens), experiment.auction.max_tokens)
                prompts.append(GgufPrompt(model.path, tokens))
            distinct = tuple(dict.fromkeys(prompts))
            casts[query] = Cast(distinct, tuple(distinct.index(prompt) for prompt in prompts))
    return casts


def _tokens(agent: Agent, query: str, model: ModelInUse, vocabulary: GgufVocabulary) -> tuple[int, ...]:
    from .lm.prompt_tokens import tokens_of_messages, tokens_of_text

    if agent.prompt is not None:
        return tokens_of_text(vocabulary, lambda text: render_prompt(agent, text), query)
    return tokens_of_messages(
        vocabulary, model.metadata.chat_template, render_messages(agent, query), str(model.local.reference)
    )


def _check_same_vocabulary(vocabularies: Mapping[Path, Vocabulary]) -> None:
    if len(vocabularies) < 2:
        return
    (first, reference), *others = vocabularies.items()
    for path, vocabulary in others:
        if vocabulary.digest != reference.digest:  # type: ignore[attr-defined]
            raise ModelError(
                f"{first} ({reference.size} tokens) and {path} ({vocabulary.size} tokens) have different vocabularies: "
                "agents of one experiment must speak over the same tokens; use models of one family"
            )


def _check_length(agent: Agent, model: ModelInUse, n_prompt: int, max_tokens: int) -> None:
    if n_prompt == 0:
        raise ModelError(f"agent {agent.name!r}: its prompt has no tokens; a model needs at least one to continue")
    limit = model.metadata.context_length
    if limit is not None and n_prompt + max_tokens > limit:
        raise ModelError(
            f"agent {agent.name!r}: its prompt has {n_prompt} tokens and max_tokens is {max_tokens}, together more than "
            f"the {limit} tokens of context of {model.local.reference}: shorten one of them"
        )
