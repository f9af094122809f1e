"""`tokauction run EXP|RUN`: run an experiment, or continue it."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..system.errors import UsageError
from .matrix import load_members, run_matrix
from .options import (
    EXIT_INTERRUPTED,
    Format,
    Output,
    Overrides,
    Quiet,
    Results,
    Trust,
    Vary,
    load,
    quiet_llama,
)
from .results import (
    exit_if_failed,
    is_long,
    print_run,
    print_tables,
    print_verdicts,
    tell_what_is_doubtful,
    tell_what_is_few,
    tell_what_is_next,
    tell_what_is_unfollowed,
)

if TYPE_CHECKING:
    from ..experiment.experiment import Experiment
    from ..experiment.matrix import Matrix


def run(
    target: Annotated[
        Path,
        typer.Argument(metavar="EXP|RUN", help="An experiment file, or a run folder to continue.", show_default=False),
    ],
    overrides: Overrides = None,
    vary: Vary = None,
    trust: Trust = None,
    output: Results = Path("results"),
    n: Annotated[int | None, typer.Option("-n", "--limit", metavar="N", min=1, help="Only the first N texts.")] = None,
    shard: Annotated[
        str | None,
        typer.Option("--shard", metavar="K/N", help="Only part K of N, for job arrays: in a run folder of its own."),
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Start anew; the old run folder is renamed.")] = False,
    no_reuse: Annotated[
        bool, typer.Option("--no-reuse", help="Compute the texts that other runs in the folder have finished, too.")
    ] = False,
    workers: Annotated[
        int | None, typer.Option("--workers", metavar="N", min=1, help="Share the work among N processes.")
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option("--scheduler", metavar="ADDRESS", help="Share it among a Dask cluster, as tcp://host:8786."),
    ] = None,
    how: Output = Format.table,
    junit: Annotated[
        Path | None,
        typer.Option(
            "--junit", metavar="FILE", help="Write the expectations as JUnit XML, for continuous integration."
        ),
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Run an experiment, or continue it, and print the table of texts; then see whether its expectations hold.

    Of a matrix, every member is run, and one table has the means of all.
    """
    from ..analysis.tables.figure_tables import FigureChoice
    from ..api import run_experiment
    from ..engine.running.interrupts import how_to_continue, interrupt
    from ..workers.workers import Workers
    from .junit import write_junit
    from .progress import progress_for_stderr

    chosen = Workers.chosen(workers, scheduler, trust or [])
    if matrix := load_members(target, overrides, vary, trust):
        if junit is not None:
            raise UsageError("--junit is for one experiment: the file is a matrix")
        _run_matrix(
            matrix, output, quiet, how, shard, {"n": n, "fresh": fresh, "reuse": not no_reuse, "workers": chosen}
        )
        return
    loaded, output = _experiment_and_results(target, overrides or [], trust or [], output, shard)
    if not quiet:
        _tell_left_out(loaded)
    progress = progress_for_stderr(quiet, loaded)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupt)
    with quiet_llama():
        try:
            result = run_experiment(loaded, output, progress, n=n, fresh=fresh, reuse=not no_reuse, workers=chosen)
        except KeyboardInterrupt:
            progress.end()
            typer.echo(how_to_continue(progress.kept), err=True)
            raise typer.Exit(EXIT_INTERRUPTED) from None
        finally:
            progress.end()
    if how is Format.table:
        print_run(result, FigureChoice(constant=False, pooled=is_long(result)))
        print_verdicts(result)
    else:
        print_tables(result.text_tables(), how, loaded)
    tell_what_is_unfollowed(result)
    tell_what_is_few(result)
    tell_what_is_doubtful(loaded, result)
    if junit is not None:
        write_junit(junit, result)
    if how is Format.table and not quiet:
        tell_what_is_next(result)
    exit_if_failed(result)


def _run_matrix(
    matrix: Matrix, output: Path, quiet: bool, how: Format, shard: str | None, options: dict[str, Any]
) -> None:
    from ..engine.running.interrupts import how_to_continue, interrupt
    from ..experiment.resolved.shard import Shard
    from .progress import progress_for_stderr

    progress = progress_for_stderr(quiet, matrix.members[0].experiment)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupt)
    with quiet_llama():
        try:
            run_matrix(matrix, output, progress, how, None if shard is None else Shard.parse(shard), options)
        except KeyboardInterrupt:
            progress.end()
            typer.echo(how_to_continue(progress.kept), err=True)
            raise typer.Exit(EXIT_INTERRUPTED) from None
        finally:
            progress.end()


def _experiment_and_results(
    target: Path, overrides: list[str], trust: list[str], output: Path, shard: str | None
) -> tuple[Experiment, Path]:
    """What to run, and in which folder of run folders: that of a run is where it lies."""
    from ..api import experiment_of_run, sharded
    from ..experiment.resolved.shard import Shard
    from ..runs.run_folders import folder_of

    part = None if shard is None else Shard.parse(shard)
    if not target.is_dir():
        whole = load(target, overrides, trust)
        return (whole if part is None else sharded(whole, part)), output
    if part is not None:
        raise UsageError(f"{target} is a run folder, which is a shard or is none: --shard needs an experiment file")
    if overrides:
        raise UsageError(f"{target} is a run folder, whose experiment is fixed: --set needs an experiment file")
    experiment, here = experiment_of_run(target, trust), target.resolve()
    expected = folder_of(experiment, here.parent).path
    if here != expected:
        raise UsageError(
            f"{target}: this folder was renamed, so the run would begin anew: name it {expected.name} again"
        )
    return experiment, here.parent


def _tell_left_out(experiment: Experiment) -> None:
    """Which payments will be missing, and why."""
    from ..engine.rules import Rules

    left_out = Rules.of(experiment).left_out(experiment.auction.reserve)
    if left_out:
        typer.echo(f"Left out: {'; '.join(one.in_words for one in left_out)}", err=True)
