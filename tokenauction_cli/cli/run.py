"""`tokauction run EXP`: run an experiment, or continue it."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Annotated

import typer

from .options import (
    EXIT_INTERRUPTED,
    ExperimentFile,
    Format,
    Output,
    Overrides,
    Quiet,
    Results,
    Trust,
    load,
    quiet_llama,
)
from .results import exit_if_failed, print_figures, print_tables, where_the_report_is


def run(
    experiment: ExperimentFile,
    overrides: Overrides = None,
    trust: Trust = None,
    output: Results = Path("results"),
    n: Annotated[int | None, typer.Option("-n", metavar="N", min=1, help="Only the first N cells.")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Start anew; the old run folder is renamed.")] = False,
    how: Output = Format.table,
    quiet: Quiet = False,
) -> None:
    """Run an experiment, or continue it, and print the table of texts."""
    from ..api import run_experiment
    from ..engine.interrupts import how_to_continue, interrupt
    from .progress import progress_for_stderr

    loaded = load(experiment, overrides, trust)
    progress = progress_for_stderr(quiet)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupt)
    with quiet_llama():
        try:
            result = run_experiment(loaded, output, progress, n=n, fresh=fresh)
        except KeyboardInterrupt:
            progress.end()
            typer.echo(how_to_continue(progress.kept), err=True)
            raise typer.Exit(EXIT_INTERRUPTED) from None
        finally:
            progress.end()
    print_tables(result.text_tables(), how, loaded)
    if how is Format.table:
        print_figures(result)
        if not quiet:
            typer.echo(f"Run folder: {result.path}\n{where_the_report_is(result.path)}", err=True)
    exit_if_failed(result)
