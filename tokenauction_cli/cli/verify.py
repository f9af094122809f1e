"""`tokauction verify RUN`: look, print what was found, fail where something is not what it was."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from ..system.errors import TokauctionError
from .options import TableOrJson, TablesAs

CELLS = 5
_MARKS = {True: "ok    ", False: "FAILED", None: "note  "}


def verify(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.", show_default=False)],
    cells: Annotated[
        int, typer.Option("--cells", metavar="N", min=0, help="Compute so many cells again (a sample; 0: none).")
    ] = CELLS,
    trust: Annotated[
        list[str] | None, typer.Option("--trust", metavar="MODULE", help="Run rules from this module of yours.")
    ] = None,
    how: TablesAs = TableOrJson.table,
) -> None:
    """Check a run's files and models against its manifest, and compute a sample of its cells again."""
    from ..engine.verification import verify_run
    from ..system.environment import visible

    checks = []
    for check in verify_run(run, cells, trust or []):
        checks.append(check)
        if how is TableOrJson.table:
            typer.echo(visible(f"{_MARKS[check.is_good]}  {check.what}: {check.found}"))
    if how is TableOrJson.json:
        typer.echo(json.dumps([asdict(check) for check in checks], indent=2, ensure_ascii=False))
    failed = [check for check in checks if check.is_good is False]
    if failed:
        notes = [check.found for check in checks if check.is_good is None]
        why = f" (note: {'; '.join(notes)})" if notes else ""
        raise TokauctionError(f"{run}: {len(failed)} of {len(checks)} checks failed{why}")
