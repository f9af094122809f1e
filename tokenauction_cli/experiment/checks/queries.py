"""Queries with columns of their own: what a file of them says, and what prompts and bids take from it.

A query is a text, or a mapping with the key `query`: `bid.<agent>` is what that agent bids for it, `value.<agent>` what
a text on it is worth to that agent in a market, any other key is a text that prompts know by this name. `queries:
file.csv` stands for the list of its rows.
"""

from __future__ import annotations

import csv
import io
import re
from codecs import BOM_UTF16_BE, BOM_UTF16_LE, BOM_UTF32_LE
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from ...system.errors import ExperimentError, Problem, UsageError
from ...system.regular_files import opened
from ...system.wording import did_you_mean, first_few
from ..format.draft import Draft
from ..format.values import shown
from ..source.located_yaml import MAX_BYTES, MAX_VALUES, KeyPath, resolve
from ..templates.prompts import LANGUAGE

BID, VALUE = "bid.", "value."
OF_AGENTS = (BID, VALUE)
"""How the names of columns begin that hold a number of an agent."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_BYTES_PER_VALUE = 6  # of YAML around a value: "- ", ": ", quotes, the end of the line


class Columns(NamedTuple):
    """What a query has beside its text: texts for prompts by name, bids and values by the agent's id."""

    values: Mapping[str, str]
    bids: Mapping[str, float]
    worths: Mapping[str, float]


NO_COLUMNS = Columns({}, {}, {})


@dataclass(frozen=True)
class QueryRows:
    """The rows of a CSV file as the experiment file would have them, and the line of each."""

    file: str
    rows: list[dict[str, Any]]
    lines: list[int]


def read_rows(file: Path) -> QueryRows:
    """The queries of a CSV file. Raises ExperimentError, which names the file and the row, and UsageError where the
    file cannot be read at all.
    """
    table = csv.reader(io.StringIO(_text_of(file), newline=""), strict=True)
    rows: list[dict[str, Any]] = []
    lines: list[int] = []
    line = 1
    try:
        header = next(table, [])
        _check_header(file, header)
        for line, cells in _with_lines(table):
            if len(cells) != len(header):
                raise _mistake(file, line, f"expected {len(header)} fields, as in the first row, got {len(cells)}")
            if not cells[header.index("query")].strip():
                raise _mistake(file, line, "the query is empty")
            rows.append(_row(dict(zip(header, cells, strict=True))))
            lines.append(line)
    except csv.Error as error:
        raise _mistake(file, max(line, table.line_num), f"not CSV: {error}") from None
    if not rows:
        raise _mistake(file, 0, "expected at least one row below the first, which names the columns")
    _check_size(file, rows)
    return QueryRows(str(file), rows, lines)


def _text_of(file: Path) -> str:
    """Raises UsageError where the file cannot be read at all."""
    try:
        with opened(file) as table:
            data = table.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise UsageError(f"the file has more than {MAX_BYTES:,} bytes, the most that are read")
        return data.decode(_encoding(data))
    except UnicodeDecodeError as error:
        name = "UTF-16" if error.encoding.startswith("utf-16") else "UTF-8"
        raise UsageError(f"the file is not {name} (byte {error.start + 1}); save it as UTF-8") from None
    except (OSError, ValueError) as error:
        reason = "there is no such file" if isinstance(error, FileNotFoundError) else getattr(error, "strerror", error)
        raise UsageError(str(reason)) from None


def _encoding(data: bytes) -> str:
    """UTF-8, or UTF-16 with a byte order mark, as spreadsheets write it; that of UTF-32 begins with UTF-16's."""
    is_utf_16 = data.startswith((BOM_UTF16_LE, BOM_UTF16_BE)) and not data.startswith(BOM_UTF32_LE)
    return "utf-16" if is_utf_16 else "utf-8-sig"


def _check_header(file: Path, header: Sequence[str]) -> None:
    if "query" not in header:
        raise _mistake(file, 1, f"expected a column 'query' in the first row, which {_of_what(header)}")
    twice = next((name for k, name in enumerate(header) if name in header[:k]), None)
    if twice is not None:
        raise _mistake(file, 1, f"the column {shown(twice)} is here twice")


def _of_what(header: Sequence[str]) -> str:
    """What a first row without a query is, not what it says: the file may be no table, and hold secrets."""
    near = [k for k, name in enumerate(header, 1) if name.strip(" \ufeff").casefold() in ("query", "queries")]
    if near:
        return f"has one in field {near[0]} that is written otherwise: call it query"
    return f"has {len(header)} field{'s' * (len(header) != 1)} of other names" if header else "is empty"


def _with_lines(table: Any) -> Iterator[tuple[int, list[str]]]:
    """Every row that is not empty, with the line where it begins."""
    before = table.line_num
    for cells in table:
        if cells:
            yield before + 1, cells
        before = table.line_num


def _row(cells: Mapping[str, str]) -> dict[str, Any]:
    """With agents' numbers as numbers; an empty one is none."""
    return {
        key: _number(cell) if key.startswith(OF_AGENTS) else cell
        for key, cell in cells.items()
        if not _is_none(key, cell)
    }


def _is_none(key: str, cell: str) -> bool:
    return key.startswith(OF_AGENTS) and not cell.strip()


def _number(cell: str) -> Any:
    try:
        value = resolve(cell.strip())
    except ValueError:  # thousands of digits
        return cell
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else cell


def _check_size(file: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """A run folder holds the rows in YAML, which must be read again."""
    n_values = sum(1 + len(row) for row in rows)
    n_bytes = sum(len(f"{key}{value}".encode()) + _BYTES_PER_VALUE for row in rows for key, value in row.items())
    if n_values > MAX_VALUES * 0.9 or n_bytes > MAX_BYTES * 0.8:
        raise _mistake(
            file,
            0,
            f"{len(rows):,} rows of {len(rows[0])} columns are too many for one experiment: leave out columns that no "
            "prompt names, or make several files",
        )


def _mistake(file: Path, line: int, message: str) -> ExperimentError:
    return ExperimentError([Problem(f"{file}:{line}" if line else str(file), 0, 0, message)])


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
    """A query names its cells: it can be there once."""
    first: dict[str, int] = {}
    for i, query in enumerate(draft.queries):
        before = first.setdefault(query, i)
        if before < i:
            where = str(draft.source.place(("queries", before))).removesuffix(": ")
            draft.source.problem(("queries", i), f"the query {shown(query)} is here twice, first at {where}")


def _check_missing(draft: Draft) -> None:
    first: dict[str, int] = {}
    for i, row in enumerate(draft.query_rows):
        for key in row:
            first.setdefault(key, i)
    texts = [key for key in first if not key.startswith(OF_AGENTS)]
    for i, row in enumerate(draft.query_rows):
        missing = next((key for key in texts if key not in row), None)
        if missing is not None:
            where = str(draft.source.place(("queries", first[missing]))).removesuffix(": ")
            draft.source.problem(("queries", i), f"the column {shown(missing)} is missing; the query at {where} has it")


def columns_of(draft: Draft) -> dict[str, Columns]:
    """The columns of every query that has some, of a file without a mistake."""
    found = {}
    for query, row in zip(draft.queries, draft.query_rows, strict=True):
        values = {key: value for key, value in row.items() if not key.startswith(OF_AGENTS)}
        bids, worths = (
            {key.removeprefix(prefix): float(value) for key, value in row.items() if key.startswith(prefix)}
            for prefix in OF_AGENTS
        )
        if row:
            found[query] = Columns(values, draft.by_id(bids), draft.by_id(worths))
    return found


def texts_of(draft: Draft, n: int) -> dict[str, dict[str, str]]:
    """What prompts know of the first n queries: their texts, each with its columns that are text."""
    rows = zip(draft.queries[:n], draft.query_rows, strict=False)
    return {
        query: {key: value for key, value in row.items() if not key.startswith(OF_AGENTS) and isinstance(value, str)}
        for query, row in rows
    }
