"""`tokauction show RUN...`: the tables of runs, again."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from .options import By, Format, Output
from .results import print_figures, print_tables, tell_what_is_missing, where_the_report_is


def show(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folders.", show_default=False)],
    by: Annotated[By, typer.Option("--by", help="What the columns of texts are.")] = By.aggregation,
    seed: Annotated[
        int | None, typer.Option("--seed", help="The seed whose texts are shown; default: the first.")
    ] = None,
    how: Output = Format.table,
) -> None:
    """Print the tables of runs again: texts, then rates, only the columns that differ."""
    from ..analysis.tables import render
    from ..api import load_run
    from ..system.environment import visible

    for path in runs:
        result = load_run(path)
        if len(runs) > 1 and how is Format.table:
            typer.echo(visible(str(path)))
        print_tables(result.text_tables(by.value, seed), how, result.experiment)
        tell_what_is_missing(result)
        if how is Format.table:
            print_figures(result)
            if (path / "report.html").exists():
                typer.echo(where_the_report_is(path), err=True)
        elif how is Format.latex:
            sys.stdout.write("\n" + render(result.rate_tables(), how.value))
