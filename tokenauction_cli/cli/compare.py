"""`tokauction compare RUN1 RUN2...`: what differs between runs, in their files and in their numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .options import Format, Output, Results, Runs, listed
from .results import exit_if_wrong, print_plain


def compare(
    runs: Runs,
    tables: Annotated[
        str,
        typer.Option(
            "--table",
            metavar="LIST",
            help="files, overall, points (every weight), means (runs side by side), mechanisms.",
        ),
    ] = "files,overall",
    columns: Annotated[
        str | None,
        typer.Option(
            "--columns",
            metavar="LIST",
            help="Only these columns: figures of summary.csv, such as mention_rate,tv.alpha; or all.",
        ),
    ] = None,
    results: Results = Path("results"),
    how: Output = Format.table,
) -> None:
    """Compare runs with the first one, on the texts that all of them have: means, differences, 95 % intervals.

    Of a matrix, every member is compared with the first.

    If the last folder is none of a run but holds a summary.csv that was kept, such as results/reference/NAME, the
    numbers of the runs that differ from it are printed.
    """
    from ..analysis.across_runs.comparison_tables import comparison_tables, legend
    from ..analysis.across_runs.kept_numbers import beside_kept, is_kept
    from ..api import compare, load_run
    from ..members import member_runs
    from ..system.environment import visible

    *others, last = runs
    if is_kept(last):
        print_plain([beside_kept(load_run(path, results), last) for path in others], how)
        return
    members = member_runs(last, results) if len(runs) == 1 else None
    compared = compare(runs if members is None else members[0].runs, results)
    asked = () if columns is None else listed(columns)
    if members is not None:
        print_plain([members[0].compared(compared, asked)], how)
        exit_if_wrong(compared.runs)
        return
    found = comparison_tables(compared, listed(tables), asked, paths=how is not Format.table)
    if how is Format.table:
        typer.echo("\n".join(map(visible, legend(compared))))
    print_plain(found, how)
    for run in compared.runs:
        for sentence in filter(None, (run.what_is_missing, run.what_is_few)):
            typer.echo(f"{run.path}: {sentence}", err=True)
    exit_if_wrong(compared.runs)
