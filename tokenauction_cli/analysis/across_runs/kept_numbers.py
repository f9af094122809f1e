"""A run beside numbers that were kept: folders with the `summary.csv` of an earlier run, as results/reference has."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from pathlib import Path

from ...system.errors import UsageError
from ..run import Run
from ..tables.tables import Table

KEPT = "summary.csv"
_PLACE = ("query", "mechanism", "aggregation", "relative_weight", "point")


def is_kept(folder: Path) -> bool:
    """Whether a folder holds such numbers, and is no run."""
    return (folder / KEPT).is_file() and not (folder / "resolved.yaml").exists()


def beside_kept(run: Run, folder: Path) -> Table:
    """Every number of the run that differs from the one that was kept. Raises UsageError for other rows or columns."""
    (heads, *rows), (kept_heads, *kept_rows) = _lines(run.path / KEPT), _lines(folder / KEPT)
    if (heads, len(rows)) != (kept_heads, len(kept_rows)):
        raise UsageError(f"{folder}: its {KEPT} has other rows or columns than that of {run.path}: another experiment")
    pairs = zip(rows, kept_rows, strict=True)
    found = tuple(line for row, kept in pairs for line in _differing(heads, row, kept))
    title = f"{len(found)} of {len(heads) * len(rows)} numbers of {run.path} differ from {folder}"
    return Table(title, ("where", "column", "kept", "run"), found)


def _differing(heads: list[str], row: list[str], kept: list[str]) -> Iterator[tuple[str, ...]]:
    where = ", ".join(value for head, value in zip(heads, row, strict=True) if head in _PLACE and value)
    for head, value, wanted in zip(heads, row, kept, strict=True):
        if not is_same(value, wanted):
            yield where, head, wanted, value


def is_same(value: str, wanted: str) -> bool:
    """Texts and counts are equal; numbers with a fraction may differ by 1e-9, where another processor rounds.

    >>> is_same("0.1", "0.10000000000000002"), is_same("100", "100.0")
    (True, False)
    """
    if value == wanted or value.isdigit() or wanted.isdigit():
        return value == wanted
    try:
        return math.isclose(float(value), float(wanted), rel_tol=1e-9, abs_tol=1e-9)
    except ValueError:
        return False


def _lines(path: Path) -> list[list[str]]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return list(csv.reader(file))
    except OSError as error:
        raise UsageError(f"{path}: the file cannot be read: {error.strerror}; finish the run first") from error
