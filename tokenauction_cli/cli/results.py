"""How results are printed: tables and figures of a run, what is missing from it, what failed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from .options import EXIT_SOME_FAILED, Format

if TYPE_CHECKING:
    from ..analysis.run import Run
    from ..analysis.tables import Table
    from ..experiment.experiment import Experiment


def print_tables(tables: list[Table], how: Format, experiment: Experiment) -> None:
    from ..analysis.tables import render

    if how is Format.table:
        print_rich(tables, experiment)
    else:
        sys.stdout.write(render(tables, how.value))


def print_plain(tables: list[Table], how: Format) -> None:
    """Tables that hold no texts of agents."""
    from ..analysis.tables import render
    from .terminal import console, rich_table

    if how is not Format.table:
        sys.stdout.write(render(tables, how.value))
        return
    out = console()
    for table in tables:
        out.print(rich_table(table))


def print_figures(result: Run) -> None:
    """Rates where there are several texts to a point, and curves where there is a sweep."""
    from .sparklines import BLOCKS, PLAIN, curve_tables

    if result.summary["cells"].max() > 1:
        print_rich(result.rate_tables(), result.experiment)
        blocks = BLOCKS if "utf" in (sys.stdout.encoding or "").lower() else PLAIN
        print_rich(curve_tables(result.experiment, result.summary, blocks), result.experiment)


def where_the_report_is(folder: Path) -> str:
    import shlex

    page = folder / "report.html"
    if page.exists():
        return f"Report: {page}"
    return f"For figures and a page: tokauction report {shlex.quote(str(folder))}"


def print_rich(tables: list[Table], experiment: Experiment) -> None:
    from .terminal import console, rich_tables

    out = console()
    for table in rich_tables(tables, experiment):
        out.print(table)


def tell_what_is_missing(result: Run) -> None:
    if result.what_is_missing:
        typer.echo(result.what_is_missing, err=True)


def exit_if_failed(result: Run) -> None:
    if result.n_failed:
        failed = result.cells[result.cells["end_reason"] == "failed"]
        typer.echo(
            f"{result.n_failed} of {len(result.cells)} cells failed, the first: {failed['error'].iloc[0]}", err=True
        )
        raise typer.Exit(EXIT_SOME_FAILED)
