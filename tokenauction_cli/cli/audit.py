"""`tokauction audit EXP|RUN...`: check every rule at the prefixes that runs met, or what bids gain over whole texts."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..system.errors import UsageError
from .matrix import audit_members, load_members
from .options import Format, Output, Overrides, Quiet, Results, Trust, Vary

if TYPE_CHECKING:
    from ..analysis.run import Run
    from ..analysis.tables.tables import Table
    from ..auditing import RunAudit, RunTextAudit
    from ..experiment.experiment import Experiment
    from .progress import QuietProgress

PREFIXES = 20
MOST_LINES, VERDICT_WIDTH = 15, 80


def audit(
    targets: Annotated[
        list[Path],
        typer.Argument(metavar="EXP|RUN...", help="Experiments, which are run first, run folders, or folders of runs."),
    ],
    overrides: Overrides = None,
    vary: Vary = None,
    trust: Trust = None,
    output: Results = Path("results"),
    texts: Annotated[
        bool, typer.Option("--texts", help="Audit whole texts, as the key audit.texts asks, instead of prefixes.")
    ] = False,
    prefixes: Annotated[
        int, typer.Option("--prefixes", min=1, help="How many prefixes to look at (tables: all).")
    ] = PREFIXES,
    orders: Annotated[
        list[str] | None, typer.Option("--order", help="robust, tv, kl, reverse_kl; default: all.")
    ] = None,
    details: Annotated[
        bool, typer.Option("--details", help="Print the tables and a paragraph for each rule, not the verdict alone.")
    ] = False,
    how: Output = Format.table,
    quiet: Quiet = False,
) -> None:
    """Check monotonicity, incentives and misreports of every rule and payment on the distributions of a run.

    It prints a verdict, and with --details all that was found. Of a matrix, every member is audited, and one table has
    all findings. With --texts: what other bids and false reports gain where an agent values a whole text.
    """
    from ..analysis.tables.tables import render
    from ..api import check_audit
    from ..runs.run_folders import chosen_runs, is_experiment

    if texts:
        _check_alone(orders, prefixes)
    else:
        check_audit(orders or [])
    if len(targets) == 1 and (matrix := load_members(targets[0], overrides, vary, trust)):

        def audited(experiment: Experiment) -> tuple[Run, list[Table]]:
            run = _run_of(experiment, output, quiet, texts)
            found = _of_texts(run, quiet) if texts else _of_prefixes(run, prefixes, orders or [], quiet)
            return run, found.tables

        audit_members(matrix, audited, how)
        return
    meant = [
        one for target in targets for one in ([target] if is_experiment(target) else chosen_runs([target], output))
    ]
    tables: list[Table] = []
    for target in dict.fromkeys(meant):
        run = _run(target, overrides or [], trust or [], output, quiet, texts)
        found = _of_texts(run, quiet) if texts else _of_prefixes(run, prefixes, orders or [], quiet)
        if run.what_is_missing:
            typer.echo(run.what_is_missing, err=True)
        name = f"{run.path}: " if len(meant) > 1 else ""
        named = [replace(table, title=f"{name}{table.title}") for table in found.tables]
        tables += named
        if how is Format.table and details:
            _print(named, found.paragraphs, one_each=not texts)
        elif how is Format.table:
            _print_verdict([*([str(run.path)] if name else []), *found.verdict])
        file = "text_audit.csv" if texts else "audit.csv"
        typer.echo(f"All findings: {run.path / file}", err=True)
    if how is not Format.table:
        sys.stdout.write(render(tables, how.value))


def _check_alone(orders: list[str] | None, prefixes: int) -> None:
    """Raises UsageError where --texts stands beside an option of the other audit."""
    for option, is_given in (("--order", bool(orders)), ("--prefixes", prefixes != PREFIXES)):
        if is_given:
            raise UsageError(f"{option} is about single prefixes, --texts about whole texts: leave one of them out")


def _of_prefixes(run: Run, prefixes: int, orders: list[str], quiet: bool) -> RunAudit:
    from ..api import audit_run
    from .progress import steps_on_stderr

    with steps_on_stderr(quiet) as hear:
        return audit_run(run, prefixes, orders, tell=_silent if quiet else _tell, hear=hear)


def _of_texts(run: Run, quiet: bool) -> RunTextAudit:
    from ..api import audit_texts

    with _shown_progress(run.experiment, quiet) as progress:
        return audit_texts(run, progress)


def _tell(text: str) -> None:
    typer.echo(text, err=True)


def _silent(text: str) -> None:
    """-q"""


def _run(target: Path, overrides: list[str], trust: list[str], output: Path, quiet: bool, texts: bool) -> Run:
    from ..api import check_auditable, check_text_audit, experiment_of_run, load_run
    from ..experiment.experiment import load_experiment

    check = check_text_audit if texts else check_auditable
    if not target.is_dir():
        return _run_of(load_experiment(target, overrides, trust), output, quiet, texts)
    if overrides:
        raise UsageError(f"{target} is a run folder, whose experiment is fixed: --set needs an experiment file")
    check(experiment_of_run(target, trust))
    return load_run(target)


def _run_of(experiment: Experiment, output: Path, quiet: bool, texts: bool) -> Run:
    from ..api import check_auditable, check_text_audit, run_experiment

    (check_text_audit if texts else check_auditable)(experiment)
    with _shown_progress(experiment, quiet) as progress:
        return run_experiment(experiment, output, progress)


@contextmanager
def _shown_progress(experiment: Experiment, quiet: bool) -> Iterator[QuietProgress]:
    """Progress that ends with its block; interrupted, it says how to continue and exits."""
    from ..engine.running.interrupts import how_to_continue
    from .progress import progress_for_stderr

    progress = progress_for_stderr(quiet, experiment)
    try:
        yield progress
    except KeyboardInterrupt:
        progress.end()
        typer.echo(how_to_continue(progress.kept), err=True)
        raise typer.Exit(130) from None
    finally:
        progress.end()


def _print_verdict(lines: Sequence[str]) -> None:
    """At most so many lines of the terminal; of more it says how many statements are left out."""
    from ..system.environment import visible
    from .terminal import console

    out, room = console(), MOST_LINES - 1
    told = 0
    for line in lines:
        wrapped = textwrap.wrap(visible(line), min(out.width, VERDICT_WIDTH), subsequent_indent="    ") or [""]
        room -= len(wrapped)
        if room < 0:
            break
        typer.echo("\n".join(wrapped))
        told += 1
    more = f"and {len(lines) - told} lines more, " if told < len(lines) else ""
    typer.echo(f"{more}the numbers of each: --details".capitalize())


def _print(tables: list[Table], words: list[str], *, one_each: bool) -> None:
    """Tables and paragraphs, for people: one after each, or all behind the tables."""
    from ..system.environment import visible
    from .terminal import console, rich_table

    out = console()
    for k, table in enumerate(tables):
        out.print(rich_table(table))
        for paragraph in words[k : k + 1] if one_each else ():
            out.print(visible(paragraph) + "\n", markup=False, highlight=False)
    for paragraph in () if one_each else words:
        out.print(visible(paragraph) + "\n", markup=False, highlight=False)
