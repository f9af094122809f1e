"""Reading the CSV files of a run back: words stay words, empty numbers are missing.

A text may be `NA`, `null` or `007`, a query too. What a program guesses from the cells of a column is then wrong, so
which columns hold words is looked up in `columns.py`.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING

from ...system.errors import UsageError
from .columns import FILES, entries_for

if TYPE_CHECKING:
    import pandas as pd


def read_csv(path: str | Path) -> pd.DataFrame:
    """A CSV file of a run as a data frame; one of another name is read as cells.csv.

    In a column of words `NA` is a text and an empty one is ''; in a column of numbers empty is missing.
    """
    import pandas as pd

    path = Path(path)
    try:
        with path.open(encoding="utf-8", newline="") as file:
            columns = next(csv.reader(file), [])
        words = {column: str for column in columns if _holds_words(path.name, column)}
        empty = {column: [""] for column in columns if column not in words}
        return pd.read_csv(path, dtype=words, keep_default_na=False, na_values=empty)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}; the CSV files of a run are in its folder") from error
    except (ValueError, csv.Error) as error:
        raise UsageError(f"{path} is no CSV file of a run: {error}") from error


def _holds_words(file: str, column: str) -> bool:
    known = file if any(one.name == file for one in FILES) else "cells.csv"
    entry = next(entries_for(known, column), None)
    return entry is not None and entry.is_text
