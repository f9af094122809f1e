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

    If the last folder is none of a run but holds a summary.csv that was kept, such as results/reference/NAME, the
    numbers of the runs that differ from it are printed.
    """
    from ..analysis.across_runs.comparison_tables import comparison_tables, legend
    from ..analysis.across_runs.kept_numbers import beside_kept, is_kept
    from ..api import compare, load_run
    from ..system.environment import visible

    *others, last = runs
    if is_kept(last):
        print_plain([beside_kept(load_run(path, results), last) for path in others], how)
        return
    compared = compare(runs, results)
    asked = () if columns is None else listed(columns)
    found = comparison_tables(compared, listed(tables), asked, paths=how is not Format.table)
    if how is Format.table:
        typer.echo("\n".join(map(visible, legend(compared))))
    print_plain(found, how)
    for run in compared.runs:
        for sentence in filter(None, (run.what_is_missing, run.what_is_few)):
            typer.echo(f"{run.path}: {sentence}", err=True)
    exit_if_wrong(compared.runs)
