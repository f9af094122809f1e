"""`tokauction models list|pull|path|verify|clean`: parse, call, print. stdout carries the result and nothing else."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from .command import Command, Group
from .options import TableOrJson, TablesAs

if TYPE_CHECKING:
    from ..lm.llama.copies import Copy
    from ..model_files.models import ModelReference

app = typer.Typer(cls=Group, no_args_is_help=True, help="The GGUF models on this machine, and fetching them.")

Reference = Annotated[
    str,
    typer.Argument(
        metavar="REF",
        help="An alias, path.gguf, hf:user/repo:QUANT or hf:user/repo/file.gguf@revision.",
        show_default=False,
    ),
]


@app.command("list", cls=Command)
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


@app.command(cls=Command)
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


@app.command(cls=Command)
def pull(reference: Reference) -> None:
    """Download a model, or bring it up to date, check its sha256, and print its path."""
    from ..model_files.models import locate

    typer.echo(locate(_parsed(reference), refresh=True).path)


@app.command(cls=Command)
def path(reference: Reference) -> None:
    """Print the path of a model on this machine; nothing is downloaded."""
    from ..model_files.models import locate

    typer.echo(locate(_parsed(reference), offline=True).path)


@app.command(cls=Command)
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
    """A table, and below it where each model lies: at a known width the end of a path that is too long for it."""
    from ..analysis.tables.tables import Table
    from ..system.environment import visible
    from .terminal import console, knows_width, rich_table

    out, paths = console(), [visible(model.path) for model in models]
    rows = tuple((model.model, model.source, f"{model.size / 1e6:,.0f}") for model in models)
    out.print(rich_table(Table("", ("model", "source", "MB"), rows)))
    room = out.width if knows_width() else max(map(len, paths), default=0)
    for path in paths:
        typer.echo(path if len(path) <= room else f"…{path[1 - room :]}")
    if any(len(path) > room for path in paths):
        typer.echo("Whole paths: tokauction models list --format json", err=True)
