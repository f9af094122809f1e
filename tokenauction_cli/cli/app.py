"""The command line: parse, call, print. stdout carries the result and nothing else."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any

import typer

from .. import __version__
from ..system.errors import OutputError, TokauctionError, UsageError
from ..system.streams import prepare
from . import (
    audit,
    check,
    compare,
    doctor,
    init,
    market,
    models,
    play,
    report,
    rules,
    run,
    schema,
    show,
    verify,
)
from . import list as run_list
from .command import Command, Group
from .options import EXIT_INTERRUPTED, Settings, quiet_llama

app = typer.Typer(
    cls=Group,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Token auctions between language models: agents bid, one text is written, each agent is charged.",
    epilog="Exit codes: 0 all texts are there; 1 unexpected error; 2 usage; 3 some texts failed, or a run folder is "
    "damaged; 4 an expectation fails; 130 interrupted.",
)

_NO_MEMORY = ("failed to map segment", "Cannot allocate memory")  # how libraries that do not load say it

# Where typer brings a copy of click, these are not click's own classes.
_WrongUsage: Any = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")


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


def _without_llama_prints(command: Callable[..., None]) -> Callable[..., None]:
    @wraps(command)
    def quietly(*args: Any, **kwargs: Any) -> None:
        with quiet_llama():
            command(*args, **kwargs)

    return quietly


def _moved_bench(arguments: Annotated[list[str] | None, typer.Argument(hidden=True)] = None) -> None:
    """Say where the benchmark went."""
    raise UsageError(
        "`tokauction bench` is now `python -m benchmarks` (or `make bench`) in a clone of the repository, with the "
        "same options; `bench --covering` is now `tokauction check EXP --covering`"
    )


PANELS: dict[str, dict[str, Callable[..., None]]] = {
    "Start": {
        "init": init.init,
        "check": check.check,
        "run": run.run,
        "play": play.play,
        "rules": rules.rules,
        "schema": schema.schema,
    },
    "Read": {"list": run_list.list_runs, "show": show.show, "compare": compare.compare, "report": report.report},
    "Incentives": {"audit": audit.audit, "market": market.market},
    "Trust": {"verify": verify.verify, "doctor": doctor.doctor},
}
_LOUD = ("play", "audit", "verify", "doctor")  # llama.cpp prints while they load models
for _panel, _commands in PANELS.items():
    for _name, _command in _commands.items():
        _function = _without_llama_prints(_command) if _name in _LOUD else _command
        app.command(_name, cls=Command, rich_help_panel=_panel)(_function)
app.add_typer(models.app, name="models", rich_help_panel="Trust")
app.command("bench", hidden=True, context_settings={"ignore_unknown_options": True})(_moved_bench)


def main() -> None:
    """Run `tokauction`."""
    run_app(app)


def run_app(app: typer.Typer) -> None:
    """Run a command; an error is one message and an exit code, never a traceback unless --debug."""
    prepare()
    try:
        code = app(standalone_mode=False)
        sys.stdout.flush()
    except typer.Exit as stop:
        code = stop.exit_code
    except _WrongUsage as error:
        error.message = error.message.replace("Value error, ", "")  # typer's word for a wrong choice
        error.show()
        code = UsageError.exit_code
    except (typer.Abort, KeyboardInterrupt):
        from ..engine.running.interrupts import how_to_continue

        print(how_to_continue(), file=sys.stderr)
        code = EXIT_INTERRUPTED
    except TokauctionError as error:
        if isinstance(error, OutputError):
            _write_nowhere()
        code = _tell(error, error.exit_code)
    except BrokenPipeError:
        code = _nobody_reads()
    except SystemExit as stop:  # how click ends when nobody reads
        code = _nobody_reads() if isinstance(stop.__context__, BrokenPipeError) else stop.code
    except Exception as error:
        code = _tell(_in_words(error), 1)
    sys.exit(code or 0)


def _in_words(error: Exception) -> Exception:
    """What the machine has no room for is no unexpected error."""
    if isinstance(error, MemoryError) or any(words in str(error) for words in _NO_MEMORY):
        said = f" ({error})" if str(error) else ""
        return TokauctionError(
            f"memory is full{said}: give it more, or lower `runtime.batch`; what is finished is kept"
        )
    return error


def _write_nowhere() -> None:
    """Nothing more is to be written to stdout, not even when Python ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _nobody_reads() -> int:
    """`tokauction ... | head` is no error."""
    _write_nowhere()
    return 0


def _tell(error: Exception, code: int) -> int:
    from ..system.environment import visible

    if Settings.debug:
        raise error
    kind = "" if isinstance(error, TokauctionError) else f"unexpected error ({type(error).__name__}): "
    hint = (
        ""
        if isinstance(error, TokauctionError)
        else "; run again with `tokauction --debug ...` and report what it prints"
    )
    for line in f"{kind}{error}{hint}".split("\n"):
        print(visible(line), file=sys.stderr)
    return code
