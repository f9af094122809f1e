"""`tokauction init [DIR]`: a commented experiment file to begin with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def init(
    directory: Annotated[Path, typer.Argument(metavar="[DIR]", help="Where to write it.")] = Path("."),
) -> None:
    """Write a commented experiment file, and the schema with which editors complete it."""
    from ..experiment.format.schema import write_starter

    for path in write_starter(directory):
        typer.echo(path)
    typer.echo(f"Next: tokauction run {directory / 'experiment.yaml'}", err=True)
