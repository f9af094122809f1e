"""The command line: parse, call, print. stdout carries the result and nothing else."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from enum import Enum
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .. import __version__
from ..errors import TokauctionError, UsageError
from . import audit, bench, doctor, models, play, report, verify
from .formats import Format

if TYPE_CHECKING:
    from ..analysis.run_result import RunResult
    from ..analysis.tables import Table
    from ..experiment.experiment import Experiment

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Token auctions between language models: agents bid, one text is written, each agent is charged.",
    epilog="Exit codes: 0 all cells present; 1 unexpected error; 2 usage; 3 some cells failed; 130 interrupted.",
)
app.add_typer(models.app, name="models")

# Where typer brings a copy of click, these are not click's own classes.
_WrongUsage: Any = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")
EXIT_SOME_FAILED = 3
EXIT_INTERRUPTED = 130


class By(str, Enum):
    """What the columns of the table of texts are."""

    aggregation = "aggregation"
    seed = "seed"
    query = "query"


class Settings:
    """Options before the command."""

    debug = False


ExperimentFile = Annotated[Path, typer.Argument(metavar="EXP", help="The experiment, a YAML file.", show_default=False)]
Overrides = Annotated[
    list[str] | None,
    typer.Option("-S", metavar="KEY.PATH=VALUE", help="Override a key of the file, e.g. -S auction.max_tokens=8."),
]
Trust = Annotated[
    list[str] | None,
    typer.Option("--trust", metavar="MODULE", help="Run rules from this module of yours: its code runs as yours."),
]
Results = Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="The folder of run folders.")]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="No progress on stderr.")]
Output = Annotated[Format, typer.Option("--format", help="How to print the table.")]


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"tokauction {__version__}")
        raise typer.Exit


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks and llama.cpp's own prints.")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and stop.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    Settings.debug = debug


@app.command(no_args_is_help=False)
def init(
    directory: Annotated[Path, typer.Argument(metavar="[DIR]", help="Where to write it.")] = Path("."),
) -> None:
    """Write a commented experiment file, and the schema with which editors complete it."""
    from ..experiment.starter import write_starter

    for path in write_starter(directory):
        typer.echo(path)
    typer.echo(f"Next: tokauction run {directory / 'experiment.yaml'}", err=True)


@app.command()
def schema() -> None:
    """Print the JSON Schema of the experiment file."""
    import json

    from ..experiment.schema import json_schema

    typer.echo(json.dumps(json_schema(), indent=2, ensure_ascii=False))


@app.command()
def check(
    experiment: ExperimentFile,
    overrides: Overrides = None,
    trust: Trust = None,
    probe: Annotated[
        bool, typer.Option("--probe", help="Measure now whether records depend on batching, for as long as it takes.")
    ] = False,
) -> None:
    """Validate an experiment and print its plan and cost; no weights are loaded, but by --probe."""
    from .plan_tables import plan_report

    with _quiet_llama():
        loaded = _load(experiment, overrides, trust)
        for table in plan_report(loaded, probe=probe):
            _print_rich([table], loaded)


@app.command()
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
    from ..analysis.tables import text_tables
    from ..api import run_experiment
    from ..engine.interrupts import how_to_continue, interrupt
    from .progress import progress_for_stderr

    loaded = _load(experiment, overrides, trust)
    progress = progress_for_stderr(quiet)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupt)
    with _quiet_llama():
        try:
            result = run_experiment(loaded, output, progress, n=n, fresh=fresh)
        except KeyboardInterrupt:
            progress.end()
            typer.echo(how_to_continue(), err=True)
            raise typer.Exit(EXIT_INTERRUPTED) from None
        finally:
            progress.end()
    tables = text_tables(loaded, result.cells)
    _print_tables(tables, how, loaded)
    if how is Format.table:
        _print_figures(result)
        if not quiet:
            typer.echo(f"Run folder: {result.folder.path}\n{_where_the_report_is(result.folder.path)}", err=True)
    _exit_if_failed(result)


@app.command()
def show(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folders.", show_default=False)],
    by: Annotated[By, typer.Option("--by", help="What the columns of texts are.")] = By.aggregation,
    seed: Annotated[
        int | None, typer.Option("--seed", help="The seed whose texts are shown; default: the first.")
    ] = None,
    how: Output = Format.table,
) -> None:
    """Print the tables of runs again: texts, then rates, only the columns that differ."""
    from ..analysis.run_result import read_run
    from ..analysis.tables import rate_tables, render, text_tables
    from ..system.safe_text import visible

    for path in runs:
        result = read_run(path)
        if len(runs) > 1 and how is Format.table:
            typer.echo(visible(str(path)))
        _print_tables(text_tables(result.experiment, result.cells, by.value, seed), how, result.experiment)
        _tell_what_is_missing(result)
        if how is Format.table:
            _print_figures(result)
            if (path / "report.html").exists():
                typer.echo(_where_the_report_is(path), err=True)
        elif how is Format.latex:
            sys.stdout.write("\n" + render(rate_tables(result.experiment, result.summary), how.value))


def _without_llama_prints(command: Callable[..., None]) -> Callable[..., None]:
    @wraps(command)
    def quietly(*args: Any, **kwargs: Any) -> None:
        with _quiet_llama():
            command(*args, **kwargs)

    return quietly


app.command()(_without_llama_prints(audit.audit))
app.command()(_without_llama_prints(bench.bench))
app.command()(_without_llama_prints(play.play))
app.command()(report.report)
app.command()(_without_llama_prints(verify.verify))
app.command()(_without_llama_prints(doctor.doctor))


def _load(path: Path, overrides: list[str] | None, trust: list[str] | None) -> Experiment:
    from ..experiment.experiment import load_experiment

    return load_experiment(path, overrides or [], trust or [])


def _quiet_llama() -> Any:
    from ..lm.native_output import quiet

    return quiet(show=Settings.debug)


def _print_tables(tables: list[Table], how: Format, experiment: Experiment) -> None:
    from ..analysis.tables import render

    if how is Format.table:
        _print_rich(tables, experiment)
    else:
        sys.stdout.write(render(tables, how.value))


def _print_figures(result: RunResult) -> None:
    """Rates where there are several texts to a point, and curves where there is a sweep."""
    from ..analysis.tables import rate_tables
    from .sparklines import BLOCKS, PLAIN, curve_tables

    if result.summary["cells"].max() > 1:
        _print_rich(rate_tables(result.experiment, result.summary), result.experiment)
        blocks = BLOCKS if "utf" in (sys.stdout.encoding or "").lower() else PLAIN
        _print_rich(curve_tables(result.experiment, result.summary, blocks), result.experiment)


def _where_the_report_is(folder: Path) -> str:
    import shlex

    page = folder / "report.html"
    if page.exists():
        return f"Report: {page}"
    return f"For figures and a page: tokauction report {shlex.quote(str(folder))}"


def _print_rich(tables: list[Table], experiment: Experiment) -> None:
    from .terminal import console, rich_tables

    out = console()
    for table in rich_tables(tables, experiment):
        out.print(table)


def _tell_what_is_missing(result: RunResult) -> None:
    if result.what_is_missing:
        typer.echo(result.what_is_missing, err=True)


def _exit_if_failed(result: RunResult) -> None:
    if result.n_failed:
        failed = result.cells[result.cells["end_reason"] == "failed"]
        typer.echo(
            f"{result.n_failed} of {len(result.cells)} cells failed, the first: {failed['error'].iloc[0]}", err=True
        )
        raise typer.Exit(EXIT_SOME_FAILED)


def main() -> None:
    """Run the command; an error is one message and an exit code, never a traceback unless --debug."""
    try:
        code = app(standalone_mode=False)
        sys.stdout.flush()
    except typer.Exit as stop:
        code = stop.exit_code
    except _WrongUsage as error:
        error.show()
        code = UsageError.exit_code
    except (typer.Abort, KeyboardInterrupt):
        from ..engine.interrupts import how_to_continue

        print(how_to_continue(), file=sys.stderr)
        code = EXIT_INTERRUPTED
    except TokauctionError as error:
        code = _tell(error, error.exit_code)
    except BrokenPipeError:
        code = _nobody_reads()
    except SystemExit as stop:  # how click ends when nobody reads
        code = _nobody_reads() if isinstance(stop.__context__, BrokenPipeError) else stop.code
    except MemoryError as error:
        code = _tell(TokauctionError(f"memory is full ({error}): lower `runtime.batch`; what is finished is kept"), 1)
    except Exception as error:
        code = _tell(error, 1)
    sys.exit(code or 0)


def _nobody_reads() -> int:
    """`tokauction ... | head` is no error; nothing more is to be written, not even when Python ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return 0


def _tell(error: Exception, code: int) -> int:
    from ..system.safe_text import visible

    if Settings.debug:
        raise error
    kind = "" if isinstance(error, TokauctionError) else f"unexpected error ({type(error).__name__}): "
    hint = (
        ""
        if isinstance(error, TokauctionError)
        else "; run again with `tokauction --debug ...` and report what it prints"
    )
    for line in f"{kind}{error}{hint}".splitlines():
        print(visible(line), file=sys.stderr)
    return code
