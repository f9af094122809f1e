"""Agents of any vocabularies, GGUF files and tables in any mixture, over the alphabet of bytes.

The tokens of every agent's own model are followed by a covering (`lm/bytes/covering.py`), for which a prompt has
several sequences per text. An agent's temperature acts there, on the logits of tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from ...experiment.experiment import Agent, Experiment
from ...lm.base import LanguageModel
from ...lm.bytes.byte_model import PLACES, ByteModel, BytePrompt, TokenModel
from ...lm.bytes.lexicon import Lexicon
from ...lm.table import TableModel, TablePrompt, TableVocabulary
from ..loop.reporting import Reporting, prompt_sets_of, voices_of
from ..loop.token_loop import PromptSet
from .bidder_models import BidderModels, table_prompt, unobserved
from .gguf_files import GgufFiles, Observer
from .model_in_use import models_in_use
from .model_prompts import prompt_text, read_prompts

if TYPE_CHECKING:
    from ...lm.llama.adapters import Tuned
    from ...lm.llama.gguf import GgufContext, GgufPrompt
    from ...runs.manifest import Formats


class ByteBidders(BidderModels):
    """Agents over bytes.

    Their token models are numbered: first the GGUF files, then the tables, each of which has tokens of its own.
    """

    def __init__(self, experiment: Experiment, reportings: Sequence[Reporting], kept: Formats | None = None) -> None:
        voices = voices_of(reportings)
        in_use = models_in_use(experiment, voices)
        models = list(dict.fromkeys(in_use.values()))
        self._tables = [voice for voice in voices if voice.distributions is not None]
        read = read_prompts(experiment, voices, in_use, one_vocabulary=False)
        prompts = _byte_prompts(voices, [model.tuned for model in models], read)
        self.prompt_sets: Mapping[str, PromptSet] = prompt_sets_of(reportings, voices, prompts)
        self._knobs = experiment.auction.covering
        self._over_words = experiment.auction.alphabet == "words"  # another agent may begin a word, then take it back
        if models:
            asked = [
                [one.prompt for one in prompt_set.prompts if one.token_model < len(models)]
                for prompt_set in self.prompt_sets.values()
            ]
            self.files = GgufFiles(experiment, in_use, asked, kept, places=PLACES)

    def prompt_texts(self, query: str) -> list[str]:
        prompt_set = self.prompt_sets[query]
        prompts = [prompt_set.prompts[k].prompt for k in prompt_set.prompt_of_agent]
        return ["" if isinstance(prompt, TablePrompt) else prompt_text(prompt) for prompt in prompts]

    @contextmanager
    def loaded(self, slots: int, observe: Observer = unobserved) -> Iterator[LanguageModel]:
        contexts: list[GgufContext] = []
        with ExitStack() as stack:
            if self.files is not None:
                contexts, slots = stack.enter_context(self.files.loaded(slots, observe))
            of_files = [self._of_file(context, slots) for context in contexts]
            yield ByteModel(
                [*of_files, *map(_of_table, self._tables)], self._knobs, slots, may_be_silent=self._over_words
            )

    def _of_file(self, context: GgufContext, slots: int) -> TokenModel:
        from ...lm.llama.gguf import GgufModel

        assert self.files is not None
        n_places = slots * self.files.sequences[context.tuned]
        model = GgufModel([context], {context.tuned: 1}, n_places)
        return TokenModel(model, Lexicon.of(context.vocabulary), self.files.most_prompts[context.tuned])


def _of_table(agent: Agent) -> TokenModel:
    vocabulary = TableVocabulary([agent.distributions or {}])
    return TokenModel(TableModel(vocabulary), Lexicon.of(vocabulary), 1)


def _byte_prompts(
    voices: Sequence[Agent], files: list[Tuned], read: Mapping[str, list[GgufPrompt | None]]
) -> dict[str, list[BytePrompt]]:
    """The prompt of every voice, of every query."""
    tables = [voice for voice in voices if voice.distributions is not None]
    of_tables = {
        id(voice): BytePrompt(len(files) + k, table_prompt(voice), voice.temperature, voice.name)
        for k, voice in enumerate(tables)
    }
    return {
        query: [
            of_tables[id(voice)]
            if prompt is None
            else BytePrompt(files.index(prompt.tuned), prompt, voice.temperature, voice.name)
            for voice, prompt in zip(voices, of_voices, strict=True)
        ]
        for query, of_voices in read.items()
    }
