"""`tokauction models list|pull|path|verify`: parse, call, print. stdout carries the result and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .options import TableOrJson, TablesAs

if TYPE_CHECKING:
    from ..model_files.models import LocalModel, ModelReference

app = typer.Typer(no_args_is_help=True, help="The GGUF models on this machine, and fetching them.")

Reference = Annotated[
    str,
    typer.Argument(
        metavar="REF",
        help="An alias, path.gguf, hf:user/repo:QUANT or hf:user/repo/file.gguf@revision.",
        show_default=False,
    ),
]


@app.command("list")
def list_models(
    how: TablesAs = TableOrJson.table,
) -> None:
    """List the models on this machine: aliases of installed packages, GGUF files in the hub's cache."""
    from ..model_files.models import list_local

    models = list_local()
    if how is TableOrJson.json:
        _print_json(models)
    else:
        _print_table(models)


@app.command()
def pull(reference: Reference) -> None:
    """Download a model, or bring it up to date, check its sha256, and print its path."""
    from ..model_files.models import locate

    typer.echo(locate(_parsed(reference), refresh=True).path)


@app.command()
def path(reference: Reference) -> None:
    """Print the path of a model on this machine; nothing is downloaded."""
    from ..model_files.models import locate

    typer.echo(locate(_parsed(reference), offline=True).path)


@app.command()
def verify(
    references: Annotated[list[str], typer.Argument(metavar="REF...", help="Models to check.", show_default=False)],
) -> None:
    """Check each model's header, and its sha256 against what the hub or the package states."""
    from ..system.errors import ModelError

    problems = []
    for reference in references:
        try:
            _verify(reference)
        except ModelError as error:
            problems.append(str(error))
    if problems:
        raise ModelError("\n".join(problems))


def _verify(reference: str) -> None:
    from ..model_files.models import locate, verify

    model = locate(_parsed(reference), offline=True)
    for file, sha256 in zip(model.files, verify(model), strict=True):
        typer.echo(f"ok  {sha256}  {file.path}")


def _parsed(reference: str) -> ModelReference:
    from ..model_files.models import parse_reference

    return parse_reference(reference, Path.cwd())


def _print_json(models: list[LocalModel]) -> None:
    import json

    rows = [
        {"model": str(model.reference), "size": model.size, "source": model.source, "path": str(model.path)}
        for model in models
    ]
    typer.echo(json.dumps(rows, indent=2, ensure_ascii=False))


def _print_table(models: list[LocalModel]) -> None:
    """A table as wide as the terminal; where there is none, as wide as its content: paths stay whole."""
    import sys

    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from ..system.environment import visible

    table = Table("model", "source", "path", box=box.SIMPLE_HEAD)
    table.add_column("MB", justify="right")
    for model in models:
        cells = (str(model.reference), model.source, str(model.path), f"{model.size / 1e6:,.0f}")
        table.add_row(*(Text(visible(cell), overflow="fold") for cell in cells))
    Console(width=None if sys.stdout.isatty() else 10_000).print(table)
