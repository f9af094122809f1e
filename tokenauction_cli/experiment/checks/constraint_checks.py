"""The form of texts: its files are read, and what does not go with it or cannot be read is a mistake."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ...lm.forms.constraint import KINDS, Constraint
from ...system.errors import ExperimentError, UsageError
from ..format.auction import TOKEN_AUCTION
from ..format.constraint import ConstraintSection
from ..format.draft import Draft
from ..format.values import shown
from ..source.located_yaml import KeyPath
from ..source.source import Source

PATH: KeyPath = ("auction", "constraint")
_NAMES = {"regex": "regular expression", "json_schema": "JSON schema", "lark": "Lark grammar", "gbnf": "GBNF grammar"}


def constraint_of(section: ConstraintSection | None) -> Constraint | None:
    """The form of a section with one key, whose files are read."""
    given = [] if section is None else [(kind, getattr(section, kind)) for kind in KINDS if getattr(section, kind)]
    return Constraint(*given[0]) if len(given) == 1 else None


def lay_constraint(source: Source, folder: Path) -> None:
    """Put the schema or the grammar in the place of the name of its file. A schema becomes text: its order counts.

    Raises ExperimentError where one cannot be read.
    """
    section = source.get(*PATH)
    if not isinstance(section, dict):
        return
    for key, sign in (("json_schema", "{"), ("gbnf", "::=")):
        given = section.get(key)
        try:
            if isinstance(given, str) and given and sign not in given:
                section[key] = given = (folder / given).read_text("utf-8-sig")
            if key == "json_schema" and given:
                section[key] = _as_json(given)
        except (OSError, ValueError, TypeError) as error:
            told = "there is no such file" if isinstance(error, FileNotFoundError) else error
            source.problem((*PATH, key), f"{shown(given)} cannot be read: {told}")
            raise ExperimentError(source.problems) from None


def _as_json(schema: Any) -> str:
    """A schema as one line of JSON."""
    read = json.loads(schema) if isinstance(schema, str) else schema
    return json.dumps(read, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def check_constraint(draft: Draft) -> None:
    """One form, of an auction that can keep it."""
    auction = draft.auction
    if auction is None or auction.constraint is None:
        return
    written = [key for key in KINDS if draft.source.get(*PATH, key) is not None]
    if len(written) != 1:
        got = " and ".join(written) or "none of them"
        draft.source.problem(PATH, f"expected one of {', '.join(KINDS)}; got {got}", at_key=True)
    if auction.alphabet == "words":
        message = "a form is kept byte by byte, and a word that is drawn may be taken back; use 'alphabet: bytes'"
        draft.source.problem(PATH, message, at_key=True)
    if auction.stop:
        message = "a text with a constraint ends where its form is complete; leave stop out, or put it into the form"
        draft.source.problem(("auction", "stop"), message, at_key=True)
    if others := [name for name in auction.mechanisms if name != TOKEN_AUCTION]:
        message = f"only {TOKEN_AUCTION} keeps a form, not {others[0]}; leave one of the two out"
        draft.source.problem(PATH, message, at_key=True)
    is_joined = auction.separator != "" and auction.alphabet in (None, "tokens")
    if is_joined and any(agent and agent.model is None for agent in draft.agents):
        message = (
            "the tokens of tables are joined by one space, which no token writes; add 'separator: \"\"' to auction"
        )
        draft.source.problem(PATH, message, at_key=True)


def check_readable(draft: Draft) -> None:
    """Whether llguidance can follow the form."""
    constraint = None if draft.auction is None else constraint_of(draft.auction.constraint)
    if constraint is None:
        return
    try:
        mistake = constraint.mistake
    except UsageError as error:
        draft.source.problem(PATH, str(error), at_key=True)
        return
    if mistake:
        what = f"{shown(constraint.text)} cannot be read as a {_NAMES[constraint.kind]}"
        draft.source.problem((*PATH, constraint.kind), f"{what}: {mistake}")
