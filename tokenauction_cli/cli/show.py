"""`tokauction show RUN...`: the tables of runs, again; of a folder of runs, what is in it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from .options import By, Format, Output, Results, Runs
from .results import print_figures, print_plain, print_tables, tell_what_is_missing, where_the_report_is


def show(
    runs: Runs,
    by: Annotated[By, typer.Option("--by", help="What the columns of texts are.")] = By.aggregation,
    seed: Annotated[
        int | None, typer.Option("--seed", help="The seed whose texts are shown; default: the first.")
    ] = None,
    results: Results = Path("results"),
    how: Output = Format.table,
) -> None:
    """Print the tables of runs again: texts, then rates, only the columns that differ. A folder of runs is listed."""
    from ..analysis.run_list import run_table
    from ..runs.run_folders import chosen_run, is_run, runs_in
    from ..system.environment import visible

    for target in runs:
        if not is_run(target) and (inside := runs_in(target)):
            print_plain([run_table(inside)], how)
            continue
        path = chosen_run(target, results)
        if len(runs) > 1 and how is Format.table:
            typer.echo(visible(str(path)))
        _show(path, by, seed, how)


def _show(path: Path, by: By, seed: int | None, how: Format) -> None:
    """One run."""
    from ..analysis.tables import render
    from ..api import load_run

    result = load_run(path)
    print_tables(result.text_tables(by.value, seed), how, result.experiment)
    tell_what_is_missing(result)
    if how is Format.table:
        print_figures(result)
        if (path / "report.html").exists():
            typer.echo(where_the_report_is(path), err=True)
    elif how is Format.latex:
        sys.stdout.write("\n" + render(result.rate_tables(), how.value))
