"""`tokauction verify RUN...`: look, print what was found, fail where something is not what it was."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..system.errors import TokauctionError
from .options import Results, Runs, TableOrJson, TablesAs

if TYPE_CHECKING:
    from ..verify.verification import Check

CELLS = 5
_MARKS = {True: "ok    ", False: "FAILED", None: "note  "}


def verify(
    runs: Runs,
    cells: Annotated[
        int, typer.Option("--cells", metavar="N", min=0, help="Compute so many cells again (a sample; 0: none).")
    ] = CELLS,
    trust: Annotated[
        list[str] | None, typer.Option("--trust", metavar="MODULE", help="Run rules from this module of yours.")
    ] = None,
    places: Annotated[
        list[str] | None,
        typer.Option("-S", metavar="models.NAME=PATH", help="Where the file of a model is now, if it was moved."),
    ] = None,
    results: Results = Path("results"),
    how: TablesAs = TableOrJson.table,
) -> None:
    """Check runs' files and models against their manifests, and compute a sample of their cells again."""
    from ..runs.run_folders import chosen_runs
    from ..system.environment import visible

    chosen = chosen_runs(runs, results)
    plain: list[dict[str, Any]] = []
    complaints = []
    for run in chosen:
        if len(chosen) > 1 and how is TableOrJson.table:
            typer.echo(visible(str(run)))
        checks = list(_checked(run, cells, trust or [], places or [], how))
        plain += [{"run": str(run), **asdict(check)} for check in checks]
        complaints.append(_complaint(run, checks))
    if how is TableOrJson.json:
        typer.echo(json.dumps(plain, indent=2, ensure_ascii=False))
    if any(complaints):
        raise TokauctionError("\n".join(filter(None, complaints)))


def _checked(run: Path, cells: int, trust: list[str], places: list[str], how: TableOrJson) -> Iterator[Check]:
    """Every check of one run; in the terminal each is told as soon as it is made."""
    from ..system.environment import visible
    from ..verify.verification import verify_run

    for check in verify_run(run, cells, trust, places):
        if how is TableOrJson.table:
            typer.echo(visible(f"{_MARKS[check.is_good]}  {check.what}: {check.found}"))
        yield check


def _complaint(run: Path, checks: Sequence[Check]) -> str:
    """What failed, in words."""
    failed = [check for check in checks if check.is_good is False]
    notes = [check.found for check in checks if check.is_good is None]
    why = f" (note: {'; '.join(notes)})" if notes else ""
    return f"{run}: {len(failed)} of {len(checks)} checks failed{why}" if failed else ""
