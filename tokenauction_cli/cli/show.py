"""`tokauction show RUN...`: the tables of runs, again; of a folder of runs, what is in it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..system.errors import UsageError
from .matrix import show_members
from .options import Across, By, Format, Output, Results, Runs, TableName, listed
from .results import (
    chosen_tables,
    exit_if_wrong,
    is_long,
    print_plain,
    print_rich,
    print_run,
    print_runs,
    tell_what_is_few,
    tell_what_is_missing,
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
    pooled: Annotated[
        bool, typer.Option("--pooled", help="Only means over all queries, as a run of many queries has them at once.")
    ] = False,
    everything: Annotated[bool, typer.Option("--all", help="Every query of a run of many.")] = False,
    x: Across = None,
    by: Annotated[By, typer.Option("--by", help="What the columns of texts are.")] = By.aggregation,
    seed: Annotated[
        int | None, typer.Option("--seed", help="The seed whose texts are shown; default: the first.")
    ] = None,
    results: Results = Path("results"),
    how: Output = Format.table,
) -> None:
    """Print the tables of runs again: texts, rates, payments, or any columns of summary.csv. A folder is listed.

    Of a run of more than ten queries, or of five with one seed, it prints the means over all of them; --all prints
    every query, and so do --format csv, json and jsonl. Of a matrix, by its file or its folder, one table has all
    members.
    """
    from ..analysis.frames.along import check_x
    from ..analysis.tables.figure_tables import FigureChoice
    from ..api import load_run
    from ..members import member_runs
    from ..system.environment import visible

    across = None if x is None else x.asked
    choice = FigureChoice(tuple(listed(columns)), intervals, how is not Format.table, pooled, across)
    wanted = _tables(tables) or ([TableName.rates] if choice.columns or intervals else [])
    if len(runs) == 1 and (members := member_runs(runs[0], results)):
        show_members(members[0], wanted, by, seed, choice, how)
        return
    exported: list[Table] = []
    shown: list[Run] = []
    for path in _chosen(runs, results, how):
        result = load_run(path)
        check_x(result.experiment, across)
        shown.append(result)
        if pooled and not len(result.pooled):
            raise UsageError(f"{path}: --pooled needs the texts of several queries; this run has those of one")
        tell_what_is_missing(result)
        tell_what_is_few(result)
        if how is not Format.table:
            found = chosen_tables(result, wanted or [TableName.rates if pooled else TableName.texts], by, seed, choice)
            exported += [table.of_run(path.name) for table in found] if len(runs) > 1 else found
            continue
        if len(runs) > 1:
            typer.echo(visible(str(path)))
        meant = choice._replace(pooled=pooled or (not everything and is_long(result)))
        if wanted:
            print_rich(chosen_tables(result, wanted, by, seed, meant), result.experiment)
        else:
            print_run(result, meant, by, seed)
        if (path / "report.html").exists():
            typer.echo(f"Report: {path / 'report.html'}", err=True)
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
