"""The rows of a file of queries, read one at a time: CSV, JSON Lines or Parquet, on this machine or on the hub.

Columns of agents hold numbers, all else is text: a number in JSON or Parquet is its text, nothing is the empty text.
"""

from __future__ import annotations

import csv
import io
import json
from codecs import BOM_UTF16_BE, BOM_UTF16_LE, BOM_UTF32_LE
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO

from pydantic_core import from_json

from ...model_files.hub_tables import located_table
from ...system.errors import ExperimentError, ModelError, Problem, UsageError
from ...system.regular_files import opened
from ...system.wording import did_you_mean, listed
from ..format.queries import QueryFile
from ..format.values import shown
from ..source.located_yaml import MAX_BYTES, MAX_VALUES, resolve
from .sample import LogRow, SampleError, sampled

BID, VALUE = "bid.", "value."
OF_AGENTS = (BID, VALUE)
"""How the names of columns begin that hold a number of an agent."""

QUERIES = "queries.csv"
"""Where a run folder has the rows that are too many for its resolved.yaml."""

MAX_ROW = 100_000  # characters
_BYTES_PER_VALUE = 6  # of YAML around a value: "- ", ": ", quotes, the end of the line


@dataclass(frozen=True)
class QueryRows:
    """The rows as the experiment file would have them, the line of each, and whether they are too many for it."""

    file: str
    rows: list[dict[str, Any]]
    lines: list[int]
    is_large: bool


def read_rows(chosen: QueryFile, folder: Path, carried: bytes | None = None) -> QueryRows:
    """The queries of a file; where a run `carried` them along, nothing is opened.

    Raises ExperimentError, which names the file and the row, and UsageError where the file cannot be read at all.
    """
    is_remote = chosen.file.startswith("hf:")
    file = chosen.file if is_remote else str(folder / chosen.file)
    try:
        with _opened(file, is_remote, carried) as stream:
            kept = sampled(_rows(file, stream, chosen.by), chosen.sample, chosen.seed, chosen.by)
    except SampleError as error:
        raise mistake(file, 0, str(error)) from None
    except ModelError as error:
        raise UsageError(str(error)) from None
    except (OSError, ValueError) as error:
        reason = "there is no such file" if isinstance(error, FileNotFoundError) else getattr(error, "strerror", error)
        raise UsageError(str(reason)) from None
    if not kept:
        raise mistake(file, 0, "expected at least one row of a query, got none")
    rows = [row.cells for row in kept]
    if chosen.sha256 not in (None, digest_of(rows)):
        raise mistake(file, 0, "these are not the rows that the run began with; restore the file")
    is_large = chosen.sha256 is not None or not _fit(rows)
    return QueryRows(file, rows, [row.line for row in kept], is_large)


def _opened(file: str, is_remote: bool, carried: bytes | None) -> BinaryIO:
    if carried is not None:
        return io.BytesIO(carried)
    return opened(located_table(file) if is_remote else Path(file))


def _rows(file: str, stream: BinaryIO, by: str | None) -> Iterator[LogRow]:
    """Every row, with numbers where they belong."""
    suffix = Path(file.partition("@")[0] if file.startswith("hf:") else file).suffix.lower()
    read = _READERS.get(suffix, _csv)
    for number, cells in read(file, stream):
        n = sum(len(value) for value in cells.values() if isinstance(value, str))
        if n > MAX_ROW:
            raise mistake(file, number, _too_long(n))
        if "query" not in cells:
            raise mistake(file, number, f"there is no 'query' in this row; it has {listed(map(shown, cells))}")
        if not isinstance(cells["query"], str):
            raise mistake(file, number, f"the query must be text, got {shown(cells['query'])}")
        if not cells["query"].strip():
            raise mistake(file, number, "the query is empty")
        if by is not None and by not in cells:
            raise mistake(file, number, f"there is no column {shown(by)} to draw by{did_you_mean(by, cells)}")
        yield LogRow(number, {key: _number(cell) if key.startswith(OF_AGENTS) else cell for key, cell in cells.items()})


def _too_long(n: int | None = None) -> str:
    got = "" if n is None else f", got {n:,}"
    return f"the row is too long: at most {MAX_ROW:,} characters are read{got}"


def _csv(file: str, stream: BinaryIO) -> Iterator[tuple[int, dict[str, Any]]]:
    """Every row that is not empty, with the line where it begins; an empty number of an agent is none."""
    table = csv.reader(_lines(file, stream), strict=True)
    line = 0
    try:
        header = next(table, [])
        _check_header(file, header)
        before = table.line_num
        for cells in table:
            line, before = before + 1, table.line_num
            if not cells:
                continue
            if len(cells) != len(header):
                raise mistake(file, line, f"expected {len(header)} fields, as in the first row, got {len(cells)}")
            row = zip(header, cells, strict=True)
            yield line, {key: cell for key, cell in row if cell.strip() or not key.startswith(OF_AGENTS)}
            line = before
    except csv.Error as error:
        why = _too_long() if "field larger" in str(error) else f"not CSV: {error}"
        raise mistake(file, max(line + 1, table.line_num), why) from None


def _lines(file: str, stream: BinaryIO) -> Iterator[str]:
    """Lines of UTF-8, or of UTF-16 with a byte order mark, as spreadsheets write it; that of UTF-32 begins like it."""
    mark = stream.read(4)
    stream.seek(0)
    is_utf_16 = mark.startswith((BOM_UTF16_LE, BOM_UTF16_BE)) and not mark.startswith(BOM_UTF32_LE)
    encoding, errors = ("utf-16", "strict") if is_utf_16 else ("utf-8-sig", "surrogateescape")
    text = io.TextIOWrapper(stream, encoding, errors, newline="")
    number = 0
    try:
        while line := text.readline(MAX_ROW + 1):
            number += 1
            if len(line) > MAX_ROW:
                raise mistake(file, number, _too_long())
            if "\0" in line:  # UTF-16 without a mark
                raise UnicodeError
            if not line.isascii():
                line.encode()
            yield line
    except UnicodeError:
        name = "UTF-16" if is_utf_16 else "UTF-8"
        raise mistake(file, number, f"this is not {name}; save the file as UTF-8") from None
    finally:
        with suppress(ValueError):  # it is closed already
            text.detach()


def _check_header(file: str, header: Sequence[str]) -> None:
    if "query" not in header:
        raise mistake(file, 1, f"expected a column 'query' in the first row, which {_of_what(header)}")
    twice = next((name for k, name in enumerate(header) if name in header[:k]), None)
    if twice is not None:
        raise mistake(file, 1, f"the column {shown(twice)} is here twice")


def _of_what(header: Sequence[str]) -> str:
    """What a first row without a query is, not what it says: the file may be no table, and hold secrets."""
    near = [k for k, name in enumerate(header, 1) if name.strip(" \ufeff").casefold() in ("query", "queries")]
    if near:
        return f"has one in field {near[0]} that is written otherwise: call it query"
    return f"has {len(header)} field{'s' * (len(header) != 1)} of other names" if header else "is empty"


def _json_lines(file: str, stream: BinaryIO) -> Iterator[tuple[int, dict[str, Any]]]:
    """A mapping in every line that is not empty; of one column all values are numbers, or all are texts."""
    first: dict[tuple[str, bool], int] = {}
    for number, line in enumerate(_lines(file, stream), 1):
        if not line.strip():
            continue
        try:
            cells = from_json(line, allow_inf_nan=False)
        except ValueError as error:
            raise mistake(file, number, f"not JSON: {str(error).replace(' at line 1', ' at')}") from None
        if not isinstance(cells, dict):
            raise mistake(file, number, f"expected a mapping in every line, got {shown(cells)}")
        for key, value in cells.items():
            is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if value is None:
                continue
            first.setdefault((key, is_number), number)
            if (key, not is_number) in first:
                kinds = ("text", "a number") if is_number else ("a number", "text")
                before = first[key, not is_number]
                raise mistake(file, number, f"column {key}: expected {kinds[0]}, as in line {before}, got {kinds[1]}")
        yield number, _plain_cells(file, number, cells)


def _parquet(file: str, stream: BinaryIO) -> Iterator[tuple[int, dict[str, Any]]]:
    """The rows of a Parquet file, numbered from 1."""
    try:
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile
    except ImportError:
        raise UsageError("Parquet needs pyarrow: pip install 'tokenauction-cli[parquet]'") from None
    number = 0
    try:
        table = ParquetFile(stream)
        _check_header(file, table.schema_arrow.names)
        for batch in table.iter_batches(batch_size=1024):
            for number, cells in enumerate(batch.to_pylist(), number + 1):  # noqa: B020
                yield number, _plain_cells(file, number, cells)
    except (ArrowException, OSError) as error:
        raise mistake(file, 0, f"not Parquet: {str(error).partition('.')[0]}") from None


def _plain_cells(file: str, number: int, cells: Mapping[str, Any]) -> dict[str, Any]:
    """A row as CSV would have it, but for agents' numbers and the query, which stay what they are."""
    return {
        key: value if key == "query" or key.startswith(OF_AGENTS) else _text(file, number, key, value)
        for key, value in cells.items()
        if not (key.startswith(OF_AGENTS) and (value is None or value != value))
    }


def _text(file: str, number: int, key: str, value: Any) -> str:
    if isinstance(value, str):
        return value
    if value is None or value != value:
        return ""
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, (bool, int, float)):
        return json.dumps(value)
    if isinstance(value, Decimal):
        return str(value)
    raise mistake(file, number, f"column {key}: expected text or a number, got {shown(value)}")


_READERS: dict[str, Callable[[str, BinaryIO], Iterator[tuple[int, dict[str, Any]]]]] = {
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
    ".parquet": _parquet,
}


def _number(cell: Any) -> Any:
    """What an agent's column holds in CSV."""
    if not isinstance(cell, str):
        return float(cell) if isinstance(cell, Decimal) else cell
    try:
        value = resolve(cell.strip())
    except ValueError:  # thousands of digits
        return cell
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else cell


def _fit(rows: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a run folder's resolved.yaml can hold the rows, which must be read again."""
    n_values = sum(1 + len(row) for row in rows)
    n_bytes = sum(len(f"{key}{value}".encode()) + _BYTES_PER_VALUE for row in rows for key, value in row.items())
    return n_values <= MAX_VALUES * 0.9 and n_bytes <= MAX_BYTES * 0.8


def digest_of(rows: Iterable[Mapping[str, Any]]) -> str:
    """The SHA-256 of the rows without what they are worth in a market, which no text depends on."""
    digest = sha256()
    for row in rows:
        known = {key: value for key, value in row.items() if not key.startswith(VALUE)}
        digest.update(json.dumps(known, sort_keys=True, separators=(",", ":")).encode() + b"\n")
    return digest.hexdigest()


def as_csv(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """The rows as a file that reads back as they are."""
    text = io.StringIO(newline="")
    columns = dict.fromkeys(key for row in rows for key in row)
    table = csv.DictWriter(text, list(columns), restval="", lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    return text.getvalue().encode()


def mistake(file: str, line: int, message: str) -> ExperimentError:
    """One mistake of a file, at a line if it is of one."""
    return ExperimentError([Problem(f"{file}:{line}" if line else file, 0, 0, message)])
