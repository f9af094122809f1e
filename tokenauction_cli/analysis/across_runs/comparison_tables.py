"""A comparison of runs as tables: the runs are columns A, B, ..., and beside them stands how far each is from A.

files    what differs in settings and versions
overall  one table per query and rule: every figure, averaged over the places of the sweep
points   one table per query, rule and figure: a row per place
means    the same without differences, for runs side by side
mechanisms  every run's rules and mechanisms at equal bids and at equal values
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ...statistics.intervals import Estimate
from ...system.errors import UsageError
from ...system.wording import did_you_mean
from ..other_mechanisms.mechanism_tables import mechanism_tables
from ..tables.tables import Table
from .run_comparison import FIGURES, PER_DRAW, Comparison, letters

if TYPE_CHECKING:
    import pandas as pd

TABLES = ("files", "overall", "points", "means", "mechanisms")
_GROUP = ["query", "aggregation", "figure"]


def comparison_tables(
    comparison: Comparison,
    names: Sequence[str] = ("files", "overall"),
    figures: Sequence[str] = (),
    *,
    paths: bool = True,
) -> list[Table]:
    """These tables, of these figures; a figure is named in full or by what stands before its first dot, or `all`.

    Without any, of `FIGURES`. `paths` are those of the runs, among what differs.
    """
    for name in names:
        if name not in TABLES:
            raise UsageError(f"there is no table {name!r}; there are {', '.join(TABLES)}")
    numbers = numbers_of(comparison, figures)
    place = comparison.numbers.columns[2]
    overall, points = numbers[numbers[place].isna()], numbers[numbers[place].notna()]
    made = {
        "files": lambda: _files(comparison, paths),
        "overall": lambda: _split(comparison, overall, _GROUP[:2], ["figure"], said="each figure over the whole sweep"),
        "points": lambda: _split(comparison, points, _GROUP, [place]),
        "mechanisms": lambda: _mechanisms(comparison),
        "means": lambda: _split(comparison, points, _GROUP, [place], differences=False),
    }
    return [table for name in names for table in made[name]()]


def legend(comparison: Comparison) -> list[str]:
    """Which run each letter is, and how many of its texts are those of the first."""
    named = zip(letters(len(comparison.runs)), comparison.runs, comparison.equal, strict=True)
    lines = [f"{letter}  {run.path}: {n} of {of} shared texts are equal" for letter, run, (n, of) in named]
    return [lines[0].rpartition(": ")[0], *lines[1:]]


def numbers_of(comparison: Comparison, figures: Sequence[str]) -> pd.DataFrame:
    """Those of these figures, without any of the main ones."""
    return _of_figures(comparison.numbers, figures) if figures else _of_main_figures(comparison)


def _of_main_figures(comparison: Comparison) -> pd.DataFrame:
    """Of `FIGURES`, as far as the runs have them."""
    is_one_alphabet = len({run.experiment.auction.alphabet for run in comparison.runs}) == 1
    wanted = [figure for figure in FIGURES if is_one_alphabet or figure not in PER_DRAW]
    return comparison.numbers[[figure.split(".")[0] in wanted for figure in comparison.numbers["figure"]]]


def _of_figures(numbers: pd.DataFrame, figures: Sequence[str]) -> pd.DataFrame:
    """Raises UsageError for a figure that the runs do not have."""
    if "all" in figures:
        return numbers
    known = dict.fromkeys(numbers["figure"])
    names = dict.fromkeys(name for figure in known for name in (figure, figure.split(".")[0]))
    for figure in figures:
        if figure not in names:
            raise UsageError(f"there is no figure {figure!r} that all runs have{did_you_mean(figure, list(names))}")
    return numbers[[figure in figures or figure.split(".")[0] in figures for figure in numbers["figure"]]]


def _mechanisms(comparison: Comparison) -> list[Table]:
    """One for each run with another mechanism than the token auction, told apart by the run's letter."""
    named = zip(letters(len(comparison.runs)), comparison.runs, strict=True)
    return [table.of_run(letter) for letter, run in named for table in mechanism_tables(run)]


def _files(comparison: Comparison, paths: bool) -> list[Table]:
    rows = tuple(map(tuple, comparison.files.to_numpy()))[0 if paths else 1 :]
    return [Table("What differs", tuple(comparison.files.columns), rows)] if rows else []


def _split(
    comparison: Comparison,
    numbers: pd.DataFrame,
    apart: list[str],
    heads: list[str],
    *,
    differences: bool = True,
    said: str = "",
) -> list[Table]:
    """A table per value of `apart`, whose rows begin with `heads`; `said` is what its title ends with."""
    names = letters(len(comparison.runs))
    apart_from_first = [f"{name} - {names[0]}" for name in names[1:]] if differences else []
    columns = (*heads, "seeds", *names, *apart_from_first)
    tables = []
    for key, group in numbers.groupby(apart, sort=False):
        title = " / ".join(str(part) for part in (*key, said) if part != "")
        rows = (_row(place, row, differences) for place, row in group.groupby(heads, sort=False))
        tables.append(Table(title, columns, tuple(rows)))
    return tables


def _row(head: tuple[Any, ...], of_runs: pd.DataFrame, differences: bool) -> tuple[Any, ...]:
    """One row; `of_runs` has a row per run, the first run's first."""
    numbers = of_runs[["difference", "low", "high"]].iloc[1:].to_numpy().tolist() if differences else []
    apart = [Estimate(*three) for three in numbers]
    return (*head, int(of_runs["seeds"].iloc[0]), *of_runs["mean"].tolist(), *apart)
