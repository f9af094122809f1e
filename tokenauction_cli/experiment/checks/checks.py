"""Mistakes that only show when parts of an experiment file are held against each other.

Each check looks at the parts whose own form is right and skips the others, whose problems are already known.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path as FilePath
from typing import Any

from ...lm.table import END
from ...model_files.model_reference import known_aliases, parse_reference
from ...system.errors import ModelError
from ...system.wording import did_you_mean
from ...text.sequences import one_text_of_two
from ..format.auction import SPACE
from ..format.draft import Draft, PlacedTemplate, PlacedVoice
from ..format.values import shown
from ..source.located_yaml import KeyPath
from ..source.model_places import adapter_places
from ..source.source import RESERVED_IDS, agent_names, default_ids
from ..templates.prompts import template_mistakes
from .alphabet_checks import check_alphabet
from .constraint_checks import check_constraint
from .expectation_checks import FigureNames, check_expectations
from .judge_checks import check_judges, judge_templates
from .market_checks import check_market
from .mechanism_checks import check_mechanisms
from .queries import check_queries, texts_of
from .rule_checks import check_budgets, check_premises, check_rules
from .sweep_checks import check_sweep
from .text_audit_checks import audit_tables, audit_templates, check_text_audit, judges

MAX_RENDERED = 300
TABLES = ("distribution", "distributions")
VOICES = ("prompt", "chat", "messages")


def check(draft: Draft, figures: FigureNames | None) -> None:
    """Report every mistake between parts to the draft's source."""
    check_names(draft)
    check_queries(draft)
    check_voices(draft)
    check_tables(draft)
    check_separator(draft)
    check_models(draft)
    check_judges(draft)
    check_alphabet(draft)
    check_constraint(draft)
    check_rules(draft)
    check_mechanisms(draft)
    check_premises(draft)
    check_budgets(draft)
    check_sweep(draft)
    check_text_audit(draft)
    check_market(draft)
    check_prompts(draft)
    check_expectations(draft, figures)


def check_names(draft: Draft) -> None:
    """Names and ids are unique, also against each other: either may stand for the agent."""
    ids = default_ids(draft.entries)
    names = agent_names(draft.entries)
    for i, (name, agent_id) in enumerate(zip(names, ids, strict=True)):
        given = isinstance(draft.source.get("agents", i, "id"), str)
        here: KeyPath = ("agents", i, "id" if given else "name")
        if name and name in names[:i]:
            draft.source.problem(
                ("agents", i, "name"), f"the name {shown(name)} is already that of agent {names.index(name) + 1}"
            )
        elif agent_id in ids[:i]:
            other = ids.index(agent_id) + 1
            message = f"the id {agent_id!r} is already that of agent {other}"
            draft.source.problem(here, message + ("" if given else "; give one of them an 'id:' of its own"))
        elif agent_id in RESERVED_IDS:
            message = f"the id {agent_id!r} is that of an interval's end in summary.csv"
            draft.source.problem(here, message + "; choose another" if given else message + "; give the agent an 'id:'")
        elif any(name == agent_id and j != i for j, name in enumerate(names)):
            draft.source.problem(here, f"the id {agent_id!r} is the name of another agent")


def check_voices(draft: Draft) -> None:
    """An agent is either a model with one of prompt, chat and messages, or a table; and so is the reference.

    Those of an auction of tokens are of one kind.
    """
    kinds: set[bool] = set()
    may_mix = draft.auction is not None and draft.auction.alphabet in ("bytes", "words")
    for voice in draft.voices:
        prompts = [key for key in VOICES if voice.entry.get(key) is not None]
        tables = [key for key in TABLES if voice.entry.get(key) is not None]
        _check_voice(draft, voice, prompts, tables)
        if not (prompts or tables or voice.entry.get("model")):
            continue
        is_table = bool(tables)
        if kinds and is_table not in kinds and not may_mix:
            draft.source.problem(
                voice.path, "tables and models do not mix in an auction of tokens; 'alphabet: bytes' lets them"
            )
        kinds.add(is_table)


def _check_voice(draft: Draft, voice: PlacedVoice, prompts: list[str], tables: list[str]) -> None:
    path, has_model = voice.path, voice.entry.get("model") is not None
    if len(tables) == 2:
        draft.source.problem((*path, tables[1]), "expected one of distribution, distributions; got both", at_key=True)
    adapters = ["adapter"] if voice.entry.get("adapter") is not None else []
    if tables and (prompts or has_model or adapters):
        extra = [*prompts, *(["model"] if has_model else adapters)][0]
        draft.source.problem((*path, extra), f"{voice.what} with a {tables[0]} has no {extra}", at_key=True)
    elif len(prompts) > 1:
        draft.source.problem(
            (*path, prompts[1]), f"expected one of prompt, chat, messages; got {' and '.join(prompts)}", at_key=True
        )
    elif not tables and not prompts:
        draft.source.problem(
            path, f"expected one of prompt, chat, messages (or distribution, for {voice.what} without a model)"
        )
    if not tables and not has_model:
        draft.source.problem(path, "the key 'model' is missing")


def check_tables(draft: Draft) -> None:
    """Every row of a table sums to one."""
    for path, what, row in [*_rows_of_voices(draft), *_rows_of_misreports(draft)]:
        total = math.fsum(row.values())
        if not abs(total - 1) <= 1e-6:
            message = f"expected probabilities that sum to 1, got {total:.9g} for {what}"
            draft.source.problem(path, message, at_key=True)


PlacedRow = tuple[KeyPath, str, Mapping[str, float]]


def _rows_of_voices(draft: Draft) -> Iterator[PlacedRow]:
    for voice in draft.voices:
        if voice.section is not None:
            yield from _rows((*voice.path, "distributions"), voice.section.distributions or {})
            if voice.section.distribution is not None:
                yield (*voice.path, "distribution"), "the distribution", voice.section.distribution


def _rows_of_misreports(draft: Draft) -> Iterator[PlacedRow]:
    for path, rows in audit_tables(draft):
        yield from _rows(path, rows)


def check_separator(draft: Draft) -> None:
    """A text of tables is made by one sequence of tokens alone; words with one space between them are taken as such."""
    separator = None if draft.auction is None else draft.auction.separator
    rows = [row for _, _, row in (*_rows_of_voices(draft), *_rows_of_misreports(draft))]
    if separator is None:
        return
    if not rows:
        message = "separator joins the tokens of tables, and no agent has one; leave it out"
        draft.source.problem(("auction", "separator"), message, at_key=True)
    elif separator != SPACE and (found := one_text_of_two({token for row in rows for token in row} - {END}, separator)):
        one, other = (" + ".join(map(shown, tokens)) for tokens in found)
        text = shown(separator.join(found[0]))
        message = f"{one} and {other} are the same text {text}; choose another separator, or other tokens"
        draft.source.problem(("auction", "separator"), message)


def _rows(path: KeyPath, rows: Mapping[str, Mapping[str, float]]) -> Iterator[PlacedRow]:
    return (((*path, text), f"the row {shown(text)}", row) for text, row in rows.items())


def check_models(draft: Draft) -> None:
    """Every model is an alias of the file or a reference: built in, a .gguf file, or on the hub."""
    for alias, reference in draft.models.items():
        if isinstance(reference, str) and reference and not is_model_reference(reference):
            _unknown_model(draft, ("models", alias), reference, known_aliases())
    users = [(voice.path, None if voice.section is None else voice.section.model) for voice in draft.voices]
    users += [(path, judge.model) for path, _, judge in judges(draft)]
    users += [(("judges", name), judge.model) for name, judge in draft.judges.items()]
    for path, model in users:
        if model is not None and model not in draft.models and not is_model_reference(model):
            _unknown_model(draft, (*path, "model"), model, (*draft.models, *known_aliases()))
        for place, file in adapter_places(draft.source, path):
            if isinstance(file, str) and file and file not in draft.models and not is_model_reference(file):
                _unknown_model(draft, place, file, tuple(draft.models), "adapter")


def is_model_reference(text: str) -> bool:
    """Whether a text has the form of a model reference; whether the model exists is not asked here."""
    try:
        parse_reference(text, FilePath())
    except ModelError:
        return False
    return True


def _unknown_model(draft: Draft, path: KeyPath, model: str, known: Sequence[str], what: str = "model") -> None:
    own = "smollm2-135m-instruct, " if what == "model" else ""
    forms = f"a key of models, {own}a .gguf file, hf:user/repo:QUANT or hf:user/repo/file.gguf@revision"
    draft.source.problem(path, f"unknown {what} {shown(model)}{did_you_mean(model, known)}; expected {forms}")


def check_prompts(draft: Draft) -> None:
    """Every template can be rendered with the queries: all of them, or the first few hundred."""
    templates = [
        *(one for voice in draft.voices for one in _templates(voice)),
        *audit_templates(draft),
        *judge_templates(draft),
    ]
    n_queries = max(1, MAX_RENDERED // max(1, len(templates)))
    queries = texts_of(draft, n_queries) or {"": {}}
    query_given = draft.source.get("queries") is not None
    for path, text, agent, is_question in templates:
        for mistake in template_mistakes(text, agent, queries, query_given, is_question=is_question):
            draft.source.problem_in_text(path, mistake.line, mistake.message)


def _templates(voice: PlacedVoice) -> Iterator[PlacedTemplate]:
    """The texts of an agent or the reference that are templates, whatever else is wrong with it."""
    chat, messages = voice.entry.get("chat"), voice.entry.get("messages")
    found: list[tuple[KeyPath, Any]] = [(("prompt",), voice.entry.get("prompt"))]
    if isinstance(chat, dict):
        found += [(("chat", key), chat.get(key)) for key in ("system", "user")]
    if isinstance(messages, list):
        found += [(("messages", k, "content"), m.get("content")) for k, m in enumerate(messages) if isinstance(m, dict)]
    for path, text in found:
        if isinstance(text, str):
            yield PlacedTemplate((*voice.path, *path), text, voice.name)
