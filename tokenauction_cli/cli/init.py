"""`tokauction init [DIR]`: an experiment file to begin with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..experiment.examples import examples


def init(
    directory: Annotated[Path, typer.Argument(metavar="[DIR]", help="Where to write it.")] = Path("."),
    example: Annotated[
        str | None,
        typer.Option(
            "--example",
            metavar="NAME",
            help=f"Write an experiment that comes along instead: {', '.join(examples())}.",
            autocompletion=lambda: list(examples()),
        ),
    ] = None,
) -> None:
    """Write a commented experiment file and the schema with which editors complete it; or an example, to run as it is.

    No file is replaced.
    """
    from ..experiment.examples import example as text_of
    from ..experiment.format.schema import write_new, write_starter

    if example is None:
        written = write_starter(directory)
    else:
        written = write_new(directory, {f"{example}.yaml": text_of(example)})
    for path in written:
        typer.echo(path)
    typer.echo(f"Next: tokauction run {written[0]}", err=True)
