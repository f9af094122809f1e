"""Queries with columns of their own: what a file of them says, and what prompts and bids take from it.

A query is a text, or a mapping with the key `query`: `bid.<agent>` is what that agent bids for it, `value.<agent>` what
a text on it is worth to that agent in a market, any other key is a text that prompts know by this name. A query may be
there several times, each with another `time`: then prompts do not know `time` and `weight`, and its texts are written
once.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ...system.wording import did_you_mean, first_few
from ..format.draft import Draft
from ..format.values import shown
from ..rows.query_files import BID as BID  # also for those who take it from here
from ..rows.query_files import OF_AGENTS
from ..rows.query_files import VALUE as VALUE
from ..source.located_yaml import KeyPath
from ..templates.prompts import LANGUAGE

TIME = "time"
OF_ROWS = (TIME, "weight")
"""What rows of one query may differ in, beside its values."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Columns(NamedTuple):
    """What a query has beside its text: texts for prompts by name, bids and values by the agent's id."""

    values: Mapping[str, str]
    bids: Mapping[str, float]
    worths: Mapping[str, float]


NO_COLUMNS = Columns({}, {}, {})


def check_queries(draft: Draft) -> None:
    """Report columns that no prompt could name, bids of nobody, and queries that are there twice or miss a column."""
    written = draft.source.get("queries")
    if not isinstance(written, list) or len(draft.queries) != len(written):
        return  # one has no text, which is reported already, and the others cannot be numbered
    known: set[str] = set()
    for i, row in enumerate(draft.query_rows):
        for key in row:
            if key not in known:
                _check_column(draft, ("queries", i, key), key)
        for prefix in OF_AGENTS:
            _check_bidders(draft, ("queries", i), [key for key in row if key.startswith(prefix)])
        known |= row.keys()
        for key, value in row.items():
            _check_value(draft, ("queries", i, key), key, value)
    _check_twice(draft)
    _check_missing(draft)


def _check_column(draft: Draft, path: KeyPath, key: str) -> None:
    prefix = next(filter(key.startswith, OF_AGENTS), None)
    if prefix is None:
        if key in LANGUAGE or not _NAME.fullmatch(key):
            message = f"{shown(key)} is no name that a prompt can use: a column is called by a letter or _, then"
            draft.source.problem(path, f"{message} letters, digits and _, and not {first_few(LANGUAGE)}", at_key=True)
        return
    label = key.removeprefix(prefix)
    index = draft.agent(label)
    if index is None:
        near = did_you_mean(label, draft.known_agents())
        there_are = near or f"; there are {first_few(map(shown, draft.known_agents()))}"
        draft.source.problem(path, f"unknown agent {shown(label)}{there_are}", at_key=True)
    elif (agent := draft.agents[index]) is not None and agent.reference:
        why = "its bid stays fixed" if prefix == BID else "nothing is worth anything to it"
        draft.source.problem(path, f"{shown(agent.name)} is a reference agent: {why}", at_key=True)


def _check_bidders(draft: Draft, path: KeyPath, keys: Sequence[str]) -> None:
    """Name and id of one agent do not both have a number."""
    first: dict[int, str] = {}
    for key in keys:
        index = draft.agent(key.partition(".")[2])
        if index is not None and first.setdefault(index, key) != key:
            labels = " and ".join(shown(one.partition(".")[2]) for one in (first[index], key))
            draft.source.problem((*path, key), f"{labels} are the same agent", at_key=True)


def _check_value(draft: Draft, path: KeyPath, key: str, value: Any) -> None:
    """Bids and values are numbers and all else is text; which numbers, the file's form says."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if key.startswith(OF_AGENTS) and isinstance(value, str):
        draft.source.problem(path, f"expected a number of at least 0, got {shown(value)}")
    elif not key.startswith(OF_AGENTS) and is_number:
        draft.source.problem(path, f"expected text, got {shown(value)}; put it in quotes")


def _check_twice(draft: Draft) -> None:
    """A query names its cells: it can be there once, or once for each time; its texts and bids are the same then."""
    first: dict[str, int] = {}
    seen: dict[tuple[str, str], int] = {}
    for i, (query, row) in enumerate(zip(draft.queries, draft.query_rows, strict=True)):
        before = seen.setdefault((query, repr(row.get(TIME))), i)  # a time that is no text is a list, or anything
        if before < i:
            at = f" at the time {shown(row[TIME])}" if TIME in row else ""
            message = f"the query {shown(query)} is here twice{at}, first at {_where(draft, before)}"
            draft.source.problem(("queries", i), message)
        elif (before := first.setdefault(query, i)) < i:
            _check_agreement(draft, before, i)


def _check_agreement(draft: Draft, before: int, i: int) -> None:
    """Of rows of one query a text, or a bid, is the same."""
    first, row = draft.query_rows[before], draft.query_rows[i]
    for key in dict.fromkeys((*first, *row)):
        if first.get(key) != row.get(key) and key not in OF_ROWS and not key.startswith(VALUE):
            query, had, has = shown(draft.queries[i]), shown(first.get(key)), shown(row.get(key))
            message = f"rows of one query must agree: {shown(key)} of {query} is {had} at {_where(draft, before)}"
            draft.source.problem(("queries", i, key), f"{message}, and {has} here")


def _where(draft: Draft, i: int) -> str:
    return str(draft.source.place(("queries", i))).removesuffix(": ")


def _check_missing(draft: Draft) -> None:
    first: dict[str, int] = {}
    for i, row in enumerate(draft.query_rows):
        for key in row:
            first.setdefault(key, i)
    texts = [key for key in first if not key.startswith(OF_AGENTS)]
    for i, row in enumerate(draft.query_rows):
        missing = next((key for key in texts if key not in row), None)
        if missing is not None:
            where = _where(draft, first[missing])
            draft.source.problem(("queries", i), f"the column {shown(missing)} is missing; the query at {where} has it")


def rows_of(draft: Draft) -> tuple[tuple[str, Columns], ...]:
    """The rows of a file without a mistake: the query of each, and what it has beside that."""
    found = []
    for query, row in zip(draft.queries, draft.query_rows, strict=True):
        values = {key: value for key, value in row.items() if not key.startswith(OF_AGENTS)}
        bids, worths = (
            {key.removeprefix(prefix): float(value) for key, value in row.items() if key.startswith(prefix)}
            for prefix in OF_AGENTS
        )
        found.append((query, Columns(values, draft.by_id(bids), draft.by_id(worths)) if row else NO_COLUMNS))
    return tuple(found)


def columns_of(rows: Sequence[tuple[str, Columns]]) -> dict[str, Columns]:
    """The columns of every query that has some: of several rows those of the first, without what they may differ in."""
    found: dict[str, Columns] = {}
    for query, columns in rows:
        found.setdefault(query, columns)
    if len(found) < len(rows):
        for query, columns in found.items():
            found[query] = columns._replace(values=_without_times(columns.values))
    return {query: columns for query, columns in found.items() if any(columns)}


def _without_times(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key not in OF_ROWS}


def texts_of(draft: Draft, n: int) -> dict[str, dict[str, str]]:
    """What prompts know of the first n rows' queries: their texts, each with its columns that are text."""
    are_times = draft.n_queries < len(draft.queries)
    found = {}
    for query, row in zip(draft.queries[:n], draft.query_rows, strict=False):
        texts = {k: v for k, v in row.items() if not k.startswith(OF_AGENTS) and isinstance(v, str)}
        found[query] = _without_times(texts) if are_times else texts
    return found
