"""From an experiment to what speaks for its agents: their prompts, and the models that answer them, ready to load."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING

from ...experiment.experiment import Agent, Experiment
from ...lm.base import LanguageModel
from ...lm.table import TableModel, TablePrompt, TableVocabulary
from ..loop.reporting import Reporting, prompt_sets_of, voices_of
from ..loop.token_loop import PromptSet
from .gguf_files import GgufFiles, Observer
from .model_in_use import models_in_use
from .model_prompts import prompt_text, read_prompts

if TYPE_CHECKING:
    from ...lm.llama.adapters import Tuned
    from ...lm.llama.gguf import KvCall
    from ...runs.manifest import Formats

SLOTS_OF_TABLES = 1024


def unobserved(tuned: Tuned, step: KvCall) -> None:
    """Tells nobody of a call."""


class BidderModels(ABC):
    """What speaks for the agents of an experiment, and for whoever measures its texts."""

    prompt_sets: Mapping[str, PromptSet]
    """By `Cell.prompt_set`."""
    files: GgufFiles | None = None
    """None where all agents are tables."""

    @property
    def slots(self) -> int:
        """How many texts advance together."""
        return SLOTS_OF_TABLES if self.files is None else self.files.slots

    @property
    def is_batch_invariant(self) -> bool:
        """Whether a cell's record cannot depend on which cells share its batches: False where nobody has measured."""
        return self.files is None or self.files.is_batch_invariant

    @abstractmethod
    def prompt_texts(self, query: str) -> list[str]:
        """What every agent's model reads before it writes; '' for a table."""

    @abstractmethod
    def loaded(self, slots: int, observe: Observer = unobserved) -> AbstractContextManager[LanguageModel]:
        """The models with their weights, for fewer slots where memory does not hold as many."""


def table_prompt(agent: Agent) -> TablePrompt:
    """What a table agent says, by its name."""
    return TablePrompt(agent.name, agent.distributions or {})


class TableBidders(BidderModels):
    """Agents with written-down distributions: nothing to load."""

    def __init__(self, experiment: Experiment, reportings: Sequence[Reporting]) -> None:
        voices = voices_of(reportings)
        tables = [voice.distributions for voice in voices if voice.distributions is not None]
        self.vocabulary = TableVocabulary(tables, experiment.auction.separator)
        prompts = dict.fromkeys(experiment.queries, tuple(map(table_prompt, voices)))
        self.prompt_sets: Mapping[str, PromptSet] = prompt_sets_of(reportings, voices, prompts)
        self._n_agents = len(experiment.agents)

    def prompt_texts(self, query: str) -> list[str]:
        return [""] * self._n_agents

    @contextmanager
    def loaded(self, slots: int, observe: Observer = unobserved) -> Iterator[LanguageModel]:
        yield TableModel(self.vocabulary)


class GgufBidders(BidderModels):
    """Agents with language models in GGUF files, over the tokens of one vocabulary."""

    def __init__(self, experiment: Experiment, reportings: Sequence[Reporting], kept: Formats | None = None) -> None:
        voices = voices_of(reportings)
        in_use = models_in_use(experiment, voices)
        prompts = read_prompts(experiment, voices, in_use, one_vocabulary=True)
        self.prompt_sets: Mapping[str, PromptSet] = prompt_sets_of(reportings, voices, prompts)
        distinct = [prompt_set.prompts for prompt_set in self.prompt_sets.values()]
        self.files: GgufFiles = GgufFiles(experiment, in_use, distinct, kept)

    def prompt_texts(self, query: str) -> list[str]:
        prompt_set = self.prompt_sets[query]
        return [prompt_text(prompt_set.prompts[k]) for k in prompt_set.prompt_of_agent]

    @contextmanager
    def loaded(self, slots: int, observe: Observer = unobserved) -> Iterator[LanguageModel]:
        from ...lm.llama.gguf import GgufModel

        with self.files.loaded(slots, observe) as (contexts, room):
            yield GgufModel(contexts, self.files.most_prompts, room)
