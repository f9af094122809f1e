"""CSV files that an audit left in the run folder: their rows as words, and all of them as a table of the page."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path
from typing import Any, NamedTuple

from ...analysis.columns.columns import explained
from ...system.errors import StoreError
from ...system.regular_files import opened

MOST_ROWS = 400

Row = Mapping[str, str]


class FileRows(NamedTuple):
    """What a file holds; a name that no row fills is there too."""

    columns: list[str]
    rows: list[Row]


@contextmanager
def as_written_by(command: str, path: Path) -> Iterator[None]:
    """Whatever is wrong with the file inside is an error that names it, and the command that writes such files."""
    try:
        yield
    except (ValueError, TypeError, KeyError, IndexError, csv.Error, OSError) as error:
        what = f"there is no {error}" if isinstance(error, KeyError) else getattr(error, "strerror", error)
        raise StoreError(
            f"{path}: not as `tokauction {command}` writes it ({what}); {command} again, or remove it", file=path
        ) from error


def read_rows(path: Path) -> FileRows:
    """Every row of a CSV file, as text. Raises ValueError where a row is torn."""
    with opened(path, follow_links=False) as file:
        reader = csv.DictReader(TextIOWrapper(file, encoding="utf-8", newline=""))
        rows: list[Row] = list(reader)
    columns = list(reader.fieldnames or ())
    for number, row in enumerate(rows, 1):
        if None in row or None in row.values():
            raise ValueError(f"row {number} has not {len(columns)} entries")
    return FileRows(columns, rows)


def paragraphs(path: Path) -> list[str]:
    """The paragraphs of a text file, none where there is no such file."""
    if not path.is_file():
        return []
    with as_written_by("audit", path), opened(path, follow_links=False) as file:
        return file.read().decode("utf-8").strip().split("\n\n")


def file_table(title: str, about: str, file: str, columns: Sequence[str], rows: Sequence[Row]) -> dict[str, Any]:
    """The first `MOST_ROWS` rows, without the columns that are empty in all; `about` is half a sentence."""
    told = [column for column in columns if any(row[column] for row in rows)]
    only = f": the first {MOST_ROWS} of {len(rows)} rows" if len(rows) > MOST_ROWS else ""
    return {
        "title": title,
        "about": f"{about}{only}.",
        "file": file,
        "columns": told,
        "explained": [explained(file, column) for column in told],
        "rows": [[_number(row[column]) for column in told] for row in rows[:MOST_ROWS]],
    }


def _number(value: str) -> str | float:
    try:
        found = float(value)
    except ValueError:
        return value
    return found if math.isfinite(found) else value
