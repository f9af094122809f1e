"""`tokauction audit EXP|RUN...`: look at the distributions that runs met, check every rule there, print what holds."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..system.errors import UsageError
from .options import Format, Results

if TYPE_CHECKING:
    from ..analysis.run import Run
    from ..analysis.tables import Table

PREFIXES = 20


def audit(
    targets: Annotated[
        list[Path],
        typer.Argument(metavar="EXP|RUN...", help="Experiments, which are run first, run folders, or folders of runs."),
    ],
    overrides: Annotated[list[str] | None, typer.Option("-S", metavar="KEY.PATH=VALUE", help="Override a key.")] = None,
    trust: Annotated[
        list[str] | None, typer.Option("--trust", metavar="MODULE", help="Run rules from this module of yours.")
    ] = None,
    output: Results = Path("results"),
    prefixes: Annotated[
        int, typer.Option("--prefixes", min=1, help="How many prefixes to look at (tables: all).")
    ] = PREFIXES,
    orders: Annotated[
        list[str] | None, typer.Option("--order", help="robust, tv, kl, reverse_kl; default: all.")
    ] = None,
    how: Annotated[Format, typer.Option("--format", help="How to print the tables.")] = Format.table,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="No progress on stderr.")] = False,
) -> None:
    """Check monotonicity, incentives and misreports of every rule and payment on the distributions of a run."""
    from ..analysis.tables import render
    from ..api import audit_run, check_audit
    from ..runs.run_folders import chosen_runs, is_experiment

    check_audit(orders or [])
    meant = [
        one for target in targets for one in ([target] if is_experiment(target) else chosen_runs([target], output))
    ]
    tables: list[Table] = []
    for target in dict.fromkeys(meant):
        run = _run(target, overrides or [], trust or [], output, quiet)
        audit = audit_run(run, prefixes, orders or [], tell=_silent if quiet else _tell)
        if run.what_is_missing:
            typer.echo(run.what_is_missing, err=True)
        name = f"{run.path}: " if len(meant) > 1 else ""
        tables += [replace(table, title=f"{name}{table.title}") for table in audit.tables]
        if how is Format.table:
            _print(tables[-len(audit.tables) :], audit.paragraphs)
        typer.echo(f"All {len(audit.findings)} findings: {run.path / 'audit.csv'}", err=True)
    if how is not Format.table:
        sys.stdout.write(render(tables, how.value))


def _tell(text: str) -> None:
    typer.echo(text, err=True)


def _silent(text: str) -> None:
    """-q"""


def _run(target: Path, overrides: list[str], trust: list[str], output: Path, quiet: bool) -> Run:
    from ..api import check_auditable, experiment_of_run, load_run, run_experiment
    from ..engine.interrupts import how_to_continue
    from ..experiment.experiment import load_experiment
    from .progress import progress_for_stderr

    if not target.is_dir():
        experiment = load_experiment(target, overrides, trust)
        check_auditable(experiment)
        progress = progress_for_stderr(quiet, experiment.auction.counted)
        try:
            return run_experiment(experiment, output, progress)
        except KeyboardInterrupt:
            progress.end()
            typer.echo(how_to_continue(progress.kept), err=True)
            raise typer.Exit(130) from None
        finally:
            progress.end()
    if overrides:
        raise UsageError(f"{target} is a run folder, whose experiment is fixed: -S needs an experiment file")
    experiment_of_run(target, trust)
    return load_run(target)


def _print(tables: list[Table], words: list[str]) -> None:
    """Tables and paragraphs, for people."""
    from ..system.environment import visible
    from .terminal import console, rich_table

    out = console()
    for table, paragraph in zip(tables, words, strict=True):
        out.print(rich_table(table))
        out.print(visible(paragraph) + "\n", markup=False, highlight=False)
