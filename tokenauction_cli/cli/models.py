"""`tokauction models list|pull|path|verify|clean`: parse, call, print. stdout carries the result and nothing else."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from .options import TableOrJson, TablesAs

if TYPE_CHECKING:
    from ..lm.llama.copies import Copy
    from ..model_files.models import ModelReference

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
    """List the models on this machine: of installed packages and the hub's cache, and copies in other formats."""
    from ..lm.llama.copies import copies
    from ..model_files.models import list_local

    listed = [_Listed(str(one.reference), one.size, one.source, str(one.path)) for one in list_local()]
    listed += [_listed_copy(copy) for copy in copies()]
    if how is TableOrJson.json:
        _print_json(listed)
    else:
        _print_table(listed)


@app.command()
def clean(
    unused: Annotated[
        float, typer.Option("--unused", metavar="DAYS", min=0, help="Only what no run has used for so many days.")
    ] = 0.0,
) -> None:
    """Remove the copies of models in other formats, which runs make again where they need them."""
    from ..lm.llama.copies import clean

    removed = [_listed_copy(copy) for copy in clean(unused)]
    for copy in removed:
        typer.echo(copy.path)
    n_bytes = sum(copy.size for copy in removed)
    typer.echo(f"{len(removed)} copies removed, {n_bytes / 1e6:,.0f} MB", err=True)


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


class _Listed(NamedTuple):
    model: str
    size: int
    source: str
    path: str


def _listed_copy(copy: Copy) -> _Listed:
    used = datetime.fromtimestamp(copy.used, timezone.utc)
    return _Listed(f"{copy.name} in {copy.form}", copy.size, f"copy, last used {used:%Y-%m-%d}", str(copy.path))


def _print_json(models: list[_Listed]) -> None:
    import json

    typer.echo(json.dumps([model._asdict() for model in models], indent=2, ensure_ascii=False))


def _print_table(models: list[_Listed]) -> None:
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
        cells = (model.model, model.source, model.path, f"{model.size / 1e6:,.0f}")
        table.add_row(*(Text(visible(cell), overflow="fold") for cell in cells))
    Console(width=None if sys.stdout.isatty() else 10_000).print(table)
