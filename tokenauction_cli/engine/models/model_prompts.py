"""The prompts of an experiment's agents as the tokens of their models' vocabularies.

Knows which prompt is for which file; not how a file is loaded or evaluated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ...experiment.templates.prompts import render_messages, render_prompt
from ...system.errors import ModelError
from .model_in_use import ModelInUse, ModelNamed, placed

if TYPE_CHECKING:
    from ...experiment.experiment import Agent, Auction, Experiment
    from ...lm.llama.gguf import GgufPrompt
    from ...lm.llama.vocabulary import GgufVocabulary
    from ...lm.prompts.chat_template import ChatTemplates


def read_prompts(
    experiment: Experiment, voices: Sequence[Agent], in_use: Mapping[ModelNamed, ModelInUse], *, one_vocabulary: bool
) -> dict[str, list[GgufPrompt | None]]:
    """Of every query the prompt of every voice, None for tables; raises ModelError where one does not fit."""
    from contextlib import ExitStack

    from ...lm.llama.gguf import open_vocabulary
    from ...lm.prompts.chat_template import ChatTemplates

    with ExitStack() as stack:
        templates = stack.enter_context(ChatTemplates())
        vocabularies = {
            path: stack.enter_context(open_vocabulary(path))
            for path in dict.fromkeys(model.path for model in in_use.values())
        }
        if one_vocabulary:
            _check_same_vocabulary(experiment, in_use, vocabularies)
        return {
            query: [_prompt(experiment, voice, query, in_use, vocabularies, templates) for voice in voices]
            for query in experiment.queries
        }


def _prompt(
    experiment: Experiment,
    agent: Agent,
    query: str,
    in_use: Mapping[ModelNamed, ModelInUse],
    vocabularies: Mapping[Path, GgufVocabulary],
    templates: ChatTemplates,
) -> GgufPrompt | None:
    from ...lm.llama.gguf import GgufPrompt

    if agent.model is None:
        return None
    model = in_use[agent.model, agent.adapters]
    tokens = _tokens(agent, query, experiment.columns_of(query), model, vocabularies[model.path], templates)
    _check_length(agent, model, len(tokens), experiment.auction)
    return GgufPrompt(model.path, tokens, model.tuned.adapters)


def prompt_text(prompt: GgufPrompt) -> str:
    """What a model reads before it writes, control tokens by their names."""
    from ...lm.llama.gguf import open_vocabulary

    with open_vocabulary(prompt.path) as vocabulary:
        read = b"".join(vocabulary.piece(token, control=True) for token in prompt.tokens)
    return read.decode("utf-8", "replace")


def _tokens(
    agent: Agent,
    query: str,
    columns: Mapping[str, str],
    model: ModelInUse,
    vocabulary: GgufVocabulary,
    templates: ChatTemplates,
) -> tuple[int, ...]:
    from ...lm.prompts.prompt_tokens import tokens_of_messages, tokens_of_text

    if agent.prompt is not None:
        return tokens_of_text(vocabulary, render_prompt(agent, query, columns))
    messages = render_messages(agent, query, columns)
    return tokens_of_messages(vocabulary, model.metadata.chat_template, messages, str(model.local.reference), templates)


def _check_same_vocabulary(
    experiment: Experiment, in_use: Mapping[ModelNamed, ModelInUse], vocabularies: Mapping[Path, GgufVocabulary]
) -> None:
    if len(vocabularies) < 2:
        return
    (first, reference), *others = vocabularies.items()
    for path, vocabulary in others:
        if vocabulary.digest != reference.digest:
            named = next(name for (name, _), model in in_use.items() if model.path == path)
            raise placed(
                experiment,
                named,
                f"{first} ({reference.size} tokens) and {path} ({vocabulary.size} tokens) have different vocabularies: "
                "agents of one experiment must speak over the same tokens; use models of one family, or set "
                "auction.alphabet: bytes",
            )


def _check_length(agent: Agent, model: ModelInUse, n_prompt: int, auction: Auction) -> None:
    if n_prompt == 0:
        raise ModelError(f"agent {agent.name!r}: its prompt has no tokens; a model needs at least one to continue")
    limit = model.metadata.context_length
    if limit is not None and n_prompt + auction.max_draws > limit:
        raise ModelError(
            f"agent {agent.name!r}: its prompt has {n_prompt} tokens and {auction.limit} is {auction.max_draws}, "
            f"together more than the {limit} tokens of context of {model.local.reference}: shorten one of them"
        )
