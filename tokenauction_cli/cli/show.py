"""`tokauction show RUN...`: the tables of runs, again; of a folder of runs, what is in it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..system.errors import UsageError
from .options import By, Format, Output, Results, Runs, TableName, listed
from .results import (
    chosen_tables,
    exit_if_wrong,
    print_figures,
    print_plain,
    print_runs,
    print_tables,
    tell_what_is_few,
    tell_what_is_missing,
    where_the_report_is,
)

if TYPE_CHECKING:
    from ..analysis.run import Run
    from ..analysis.tables.tables import Table


def show(
    runs: Runs,
    tables: Annotated[
        str,
        typer.Option(
            "--table",
            metavar="LIST",
            help="What to print: texts, rates, payments, mechanisms (at equal bids, and at equal values). "
            "Default: texts, and in the terminal rates too.",
        ),
    ] = "",
    columns: Annotated[
        str,
        typer.Option(
            "--columns",
            metavar="LIST",
            help="Only these columns: figures of summary.csv, e.g. tokens,tv.alpha (`tv`: of all agents); "
            "of --table texts its heads. Without --table it prints rates.",
        ),
    ] = "",
    intervals: Annotated[
        bool, typer.Option("--intervals", help="95 % intervals beside the means. Without --table it prints rates.")
    ] = False,
    by: Annotated[By, typer.Option("--by", help="What the columns of texts are.")] = By.aggregation,
    seed: Annotated[
        int | None, typer.Option("--seed", help="The seed whose texts are shown; default: the first.")
    ] = None,
    results: Results = Path("results"),
    how: Output = Format.table,
) -> None:
    """Print the tables of runs again: texts, rates, payments, or any columns of summary.csv. A folder is listed."""
    from ..analysis.tables.figure_tables import FigureChoice
    from ..api import load_run
    from ..system.environment import visible

    choice = FigureChoice(tuple(listed(columns)), intervals, constant=how is not Format.table)
    wanted = _tables(tables) or ([TableName.rates] if choice.columns or intervals else [])
    exported: list[Table] = []
    shown: list[Run] = []
    for path in _chosen(runs, results, how):
        result = load_run(path)
        shown.append(result)
        found = chosen_tables(result, wanted or [TableName.texts], by, seed, choice)
        tell_what_is_missing(result)
        tell_what_is_few(result)
        if how is not Format.table:
            exported += [table.of_run(path.name) for table in found] if len(runs) > 1 else found
            continue
        if len(runs) > 1:
            typer.echo(visible(str(path)))
        print_tables(found, how, result.experiment)
        if not wanted:
            print_figures(result)
        if (path / "report.html").exists():
            typer.echo(where_the_report_is(path), err=True)
    if exported:
        print_plain(exported, how)
    exit_if_wrong(shown)


def _chosen(targets: list[Path], results: Path, how: Format) -> list[Path]:
    """The run folders that are meant; what is in a folder of runs is listed at once."""
    from ..runs.run_folders import chosen_run, is_run, runs_in

    chosen = []
    for target in targets:
        if not is_run(target) and (inside := runs_in(target)):
            print_runs(inside, how)
        else:
            chosen.append(chosen_run(target, results))
    return chosen


def _tables(text: str) -> list[TableName]:
    known, names = [table.value for table in TableName], listed(text)
    for name in names:
        if name not in known:
            raise UsageError(f"there is no table {name!r}; there are {', '.join(known)}")
    return [TableName(name) for name in names]
