"""How results are printed: tables and figures of a run, what is missing from it, what failed."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from ..system.errors import UsageError
from .options import EXIT_EXPECTATION_FAILED, EXIT_SOME_FAILED, By, Format, TableName

if TYPE_CHECKING:
    from ..analysis.run import Run
    from ..analysis.tables.figure_tables import FigureChoice
    from ..analysis.tables.tables import Table
    from ..experiment.experiment import Experiment


def print_tables(tables: list[Table], how: Format, experiment: Experiment) -> None:
    from ..analysis.tables.tables import render

    if how is Format.table:
        print_rich(tables, experiment)
    else:
        sys.stdout.write(render(tables, how.value))


def chosen_tables(
    result: Run, names: Sequence[TableName], by: By, seed: int | None, choice: FigureChoice
) -> list[Table]:
    """The tables of these names; where no column of figures differs between rows, with those that are equal."""
    found: list[Table] = []
    for name in dict.fromkeys(names):
        if name is TableName.texts:
            found += result.text_tables(by.value, seed, choice.columns)
        elif name is TableName.mechanisms:
            found += _mechanisms(result)
        else:
            make = result.rate_tables if name is TableName.rates else result.payment_tables
            found += make(choice) or make(choice._replace(constant=True))
    return found


def _mechanisms(result: Run) -> list[Table]:
    from ..analysis.other_mechanisms.mechanism_tables import mechanism_tables

    if not result.experiment.auction.others:
        raise UsageError(f"{result.path}: it has no mechanism beside the token auction; auction.mechanism lists them")
    return mechanism_tables(result)


def print_plain(tables: list[Table], how: Format) -> None:
    """Tables that hold no texts of agents."""
    from ..analysis.tables.tables import render
    from .terminal import console, rich_table

    if how is not Format.table:
        sys.stdout.write(render(tables, how.value))
        return
    out = console()
    for table in tables:
        out.print(rich_table(table))


def print_runs(runs: Sequence[Path], how: Format) -> None:
    """What runs there are; for programs by their paths."""
    from ..analysis.across_runs.run_list import run_table, run_table_for_people

    print_plain([run_table_for_people(runs) if how is Format.table else run_table(runs)], how)


def print_figures(result: Run) -> None:
    """Rates where there are several texts to a point, and curves where there is a sweep."""
    from ..analysis.tables.figure_tables import FigureChoice
    from .sparklines import BLOCKS, PLAIN, curve_tables

    if result.summary["cells"].max() > 1:
        print_rich(result.rate_tables(FigureChoice(constant=False)), result.experiment)
        blocks = BLOCKS if "utf" in (sys.stdout.encoding or "").lower() else PLAIN
        print_rich(curve_tables(result.experiment, result.summary, blocks), result.experiment)


def where_the_report_is(folder: Path) -> str:
    import shlex

    page = folder / "report.html"
    if page.exists():
        return f"Report: {page}"
    return f"For figures and a page: tokauction report {shlex.quote(str(folder))}"


def print_rich(tables: list[Table], experiment: Experiment) -> None:
    from ..analysis.tables.tables import notes_of
    from ..system.environment import visible
    from .terminal import console, rich_tables

    out = console()
    for table in rich_tables(tables, experiment):
        out.print(table)
    for note in notes_of(tables):
        out.print(visible(note), markup=False, highlight=False)


def tell_what_is_missing(result: Run) -> None:
    if result.what_is_missing:
        typer.echo(result.what_is_missing, err=True)


def exit_if_wrong(results: Iterable[Run]) -> None:
    """Say what was passed over in the folders of runs that are shown, and end with the exit code for it."""
    from ..system.environment import visible

    told = [f"{result.path}: {result.what_is_wrong}" for result in results if result.what_is_wrong]
    for sentence in told:
        typer.echo(visible(sentence), err=True)
    if told:
        raise typer.Exit(EXIT_SOME_FAILED)


def tell_what_is_unfollowed(result: Run) -> None:
    if result.what_is_unfollowed:
        typer.echo(result.what_is_unfollowed, err=True)


def tell_what_is_few(result: Run) -> None:
    if result.what_is_few:
        typer.echo(result.what_is_few, err=True)


def tell_what_is_doubtful(experiment: Experiment, result: Run | None = None) -> None:
    """What passes in silence otherwise: see `experiment/advice.py`, and texts that were all cut."""
    from ..experiment.advice import advice
    from ..system.environment import visible

    doubts = advice(experiment) + ([] if result is None or not result.what_is_cut else [result.what_is_cut])
    for doubt in doubts:
        typer.echo(visible(f"Is this meant? {doubt}"), err=True)


def print_verdicts(result: Run) -> None:
    """A table of the expectations, or why there is none."""
    from ..analysis.expectations import verdict_table

    if result.verdicts:
        print_rich([verdict_table(result.verdicts)], result.experiment)
    elif result.experiment.expect:
        typer.echo("Whether expectations hold is decided when all texts are written.", err=True)


def exit_if_failed(result: Run) -> None:
    """Say what failed, and end with the exit code for it: texts go before expectations."""
    from ..analysis.expectations import problem_of
    from ..system.environment import visible

    broken = [problem_of(verdict) for verdict in result.verdicts if not verdict.holds]
    for problem in broken:
        typer.echo(visible(str(problem)), err=True)
    if result.n_failed:
        typer.echo(result.what_failed, err=True)
        raise typer.Exit(EXIT_SOME_FAILED)
    if broken:
        raise typer.Exit(EXIT_EXPECTATION_FAILED)
