"""How results are printed: tables and figures of a run, what is missing from it, what failed."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from ..system.errors import UsageError
from .options import EXIT_EXPECTATION_FAILED, EXIT_SOME_FAILED, By, Format, TableName

MOST_QUERIES = 10  # whose tables people see one after the other
FEW_QUERIES = 5  # the same where every query has one text to a point

if TYPE_CHECKING:
    import pandas as pd

    from ..analysis.frames.along import X
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
            found += result.text_tables(by.value, seed, choice.columns, choice.x)
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


def is_long(result: Run) -> bool:
    """Whether people see the queries of a run together first: more than ten, or many with one text to a point each."""
    n_queries = len(result.experiment.queries)
    many = FEW_QUERIES if len(result.experiment.seeds) == 1 else MOST_QUERIES + 1
    return n_queries >= many and len(result.pooled) > 0


def print_run(result: Run, choice: FigureChoice, by: By = By.aggregation, seed: int | None = None) -> None:
    """What people see of a run: its texts, and rates as curves, or where there are none as tables.

    Of a run of many queries the means over all of them.
    """
    if choice.pooled:
        _print_pooled(result, choice)
        return
    print_rich(result.text_tables(by.value, seed, x=choice.x), result.experiment)
    if result.summary["cells"].max() > 1:
        curves = _curves(result.experiment, result.summary, choice.x)
        print_rich(curves or result.rate_tables(choice), result.experiment)
        if curves:
            typer.echo(f"As numbers: tokauction show {shlex.quote(str(result.path))} --table rates")


def _print_pooled(result: Run, choice: FigureChoice) -> None:
    print_rich(chosen_tables(result, [TableName.rates], By.aggregation, None, choice), result.experiment)
    print_rich(_curves(result.experiment, result.pooled_with_bids, choice.x), result.experiment)
    n_queries, folder = len(result.experiment.queries), shlex.quote(str(result.path))
    typer.echo(f"Means over {n_queries} queries. Each of them: tokauction show {folder} --all")


def _curves(experiment: Experiment, frame: pd.DataFrame, x: X | None) -> list[Table]:
    from .sparklines import BLOCKS, PLAIN, curve_tables

    blocks = BLOCKS if "utf" in (sys.stdout.encoding or "").lower() else PLAIN
    return curve_tables(experiment, frame, blocks, x)


def tell_what_is_next(result: Run) -> None:
    """Where a run is, and the three commands that one wants next."""
    folder = shlex.quote(str(result.path))
    table = "payments" if result.experiment.auction.payments else "rates --intervals"
    last = "audit" if _is_auditable(result.experiment) else "verify"
    following = (f"report {folder} --open", f"show {folder} --table {table}", f"{last} {folder}")
    lines = [f"Run folder: {result.path}", "Next:", *(f"  tokauction {command}" for command in following)]
    typer.echo("\n".join(lines), err=True)


def _is_auditable(experiment: Experiment) -> bool:
    from ..api import check_auditable

    try:
        check_auditable(experiment)
    except UsageError:
        return False
    return True


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
    for sentence in filter(None, (result.what_is_few, result.what_judges_miss)):
        typer.echo(sentence, err=True)


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
