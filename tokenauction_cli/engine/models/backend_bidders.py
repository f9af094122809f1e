"""Agents whose models installed packages add: nothing of llama.cpp, the same road."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from ...experiment.experiment import Agent, Experiment
from ...experiment.templates.prompts import render_messages, render_prompt
from ...lm.backend import Backend, BackendModel, BackendPrompt
from ...lm.base import LanguageModel, Vocabulary
from ...system.errors import ModelError
from ...system.installed import MODELS, Addition, additions
from ..loop.reporting import Reporting, prompt_sets_of, voices_of
from ..loop.token_loop import PromptSet
from ..rules import added_rules
from .bidder_models import SLOTS_OF_TABLES, BidderModels, unobserved
from .gguf_files import Observer


def added_models(experiment: Experiment) -> dict[str, Addition]:
    """The models of an experiment that installed packages add, by name."""
    voices = [*experiment.agents, *([experiment.reference] if experiment.reference else [])]
    found = {voice.model: additions(MODELS).get(voice.model) for voice in voices if voice.model is not None}
    return {name: added for name, added in found.items() if added is not None}


def packages_of(experiment: Experiment) -> dict[str, str]:
    """By rule, mechanism or model that an installed package adds: which package, of which version."""
    added = added_rules(experiment.auction) | {f"model {name}": one for name, one in added_models(experiment).items()}
    return {what: one.origin for what, one in added.items()}


class BackendBidders(BidderModels):
    """All agents, and whoever measures, speak by models of packages over one vocabulary."""

    def __init__(self, experiment: Experiment, reportings: Sequence[Reporting]) -> None:
        voices = voices_of(reportings)
        self._added = added_models(experiment)
        for voice in voices:
            if voice.model not in self._added:
                raise ModelError(
                    f"{experiment.path}: {voice.name!r} has no model of a package while {next(iter(self._added))} is "
                    "one: all agents of an experiment are tables, GGUF files or models of packages"
                )
        prompts = {query: [_prompt(experiment, voice, query) for voice in voices] for query in experiment.queries}
        self.prompt_sets: Mapping[str, PromptSet] = prompt_sets_of(reportings, voices, prompts)

    @property
    def slots(self) -> int:
        return SLOTS_OF_TABLES

    def prompt_texts(self, query: str) -> list[str]:
        prompt_set = self.prompt_sets[query]
        read = (prompt_set.prompts[k].read for k in prompt_set.prompt_of_agent)
        return [one if isinstance(one, str) else "\n".join(": ".join(pair) for pair in one) for one in read]

    @contextmanager
    def loaded(self, slots: int, observe: Observer = unobserved) -> Iterator[LanguageModel]:
        backends: dict[str, Backend] = {name: _made(added) for name, added in self._added.items()}
        (first, one), *others = backends.items()
        for name, other in others:
            if _spoken(other.vocabulary) != _spoken(one.vocabulary):
                raise ModelError(f"{first} and {name} have different vocabularies: agents speak over the same tokens")
        yield BackendModel(backends)


def _prompt(experiment: Experiment, voice: Agent, query: str) -> BackendPrompt:
    assert voice.model is not None
    columns = experiment.columns_of(query)
    if voice.prompt is not None:
        return BackendPrompt(voice.model, "".join(render_prompt(voice, query, columns)))
    messages = render_messages(voice, query, columns)
    return BackendPrompt(voice.model, tuple((one["role"], one["content"]) for one in messages))


def _made(added: Addition) -> Backend:
    try:
        made: Backend = added.load()()
    except Exception as error:  # of the package
        raise ModelError(f"the model {added.name} of {added.origin} cannot be loaded: {error}") from error
    return made


def _spoken(vocabulary: Vocabulary) -> tuple[list[bytes], frozenset[int]]:
    return [vocabulary.piece(token) for token in range(vocabulary.size)], vocabulary.ends
