"""`tokauction list [DIR]`: what runs there are, how far they are, and what tells them apart."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .options import Format, Output
from .results import print_runs

RESULTS = Path("results")


def list_runs(
    folders: Annotated[
        list[Path] | None, typer.Argument(metavar="[DIR...]", help="Folders of runs.", show_default="results")
    ] = None,
    how: Output = Format.table,
) -> None:
    """List the runs in a folder: status, texts, when, and what differs from others of the same name."""
    from ..runs.run_folders import listed_runs

    print_runs(listed_runs(folders or [RESULTS], RESULTS), how)
