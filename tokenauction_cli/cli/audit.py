"""`tokauction audit EXP|RUN`: look at the distributions that a run met, check every rule on them, print what holds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..system.errors import UsageError
from .options import Format

if TYPE_CHECKING:
    from ..analysis.run import Run
    from ..analysis.tables import Table

PREFIXES = 20


def audit(
    target: Annotated[
        Path, typer.Argument(metavar="EXP|RUN", help="An experiment, which is run first, or a run folder.")
    ],
    overrides: Annotated[list[str] | None, typer.Option("-S", metavar="KEY.PATH=VALUE", help="Override a key.")] = None,
    trust: Annotated[
        list[str] | None, typer.Option("--trust", metavar="MODULE", help="Run rules from this module of yours.")
    ] = None,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="The folder of runs.")] = Path(
        "results"
    ),
    prefixes: Annotated[
        int, typer.Option("--prefixes", min=1, help="Texts so far to look at (tables: all).")
    ] = PREFIXES,
    orders: Annotated[
        list[str] | None, typer.Option("--order", help="robust, tv, kl, reverse_kl; default: all.")
    ] = None,
    how: Annotated[Format, typer.Option("--format", help="How to print the tables.")] = Format.table,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="No progress on stderr.")] = False,
) -> None:
    """Check monotonicity, incentives and misreports of every rule and payment on the distributions of a run."""
    from ..api import audit_run, check_audit

    check_audit(orders or [])
    run = _run(target, overrides or [], trust or [], output, quiet)
    audit = audit_run(run, prefixes, orders or [], tell=_silent if quiet else _tell)
    if run.what_is_missing:
        typer.echo(run.what_is_missing, err=True)
    _print(audit.tables, audit.paragraphs, how)
    typer.echo(f"All {len(audit.findings)} findings: {run.path / 'audit.csv'}", err=True)


def _tell(text: str) -> None:
    typer.echo(text, err=True)


def _silent(text: str) -> None:
    """-q"""


def _run(target: Path, overrides: list[str], trust: list[str], output: Path, quiet: bool) -> Run:
    from ..api import experiment_of_run, load_run, run_experiment
    from ..engine.interrupts import how_to_continue
    from ..experiment.experiment import load_experiment
    from .progress import progress_for_stderr

    if not target.is_dir():
        experiment = load_experiment(target, overrides, trust)
        progress = progress_for_stderr(quiet)
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


def _print(tables: list[Table], words: list[str], how: Format) -> None:
    """Tables and paragraphs for people, tables alone for papers and programs."""
    from ..analysis.tables import render
    from ..system.environment import visible
    from .terminal import console, rich_table

    if how is not Format.table:
        typer.echo(render(tables, how.value), nl=False)
        return
    out = console()
    for table, paragraph in zip(tables, words, strict=True):
        out.print(rich_table(table))
        out.print(visible(paragraph) + "\n", markup=False, highlight=False)
