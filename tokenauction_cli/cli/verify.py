"""`tokauction verify RUN...`: look, print what was found, fail where something is not what it was."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..system.errors import TokauctionError
from .options import Quiet, Results, Runs, TableOrJson, TablesAs, Trust

if TYPE_CHECKING:
    from ..verify.verification import Check

TEXTS = 5
_MARKS = {True: "ok    ", False: "FAILED", None: "note  "}


def verify(
    runs: Runs,
    sample: Annotated[
        int, typer.Option("--sample", metavar="N", min=0, help="Compute so many texts again, drawn by chance; 0: none.")
    ] = TEXTS,
    trust: Trust = None,
    places: Annotated[
        list[str] | None,
        typer.Option(
            "-S", "--set", metavar="models.NAME=PATH", help="Where the file of a model is now, if it was moved."
        ),
    ] = None,
    results: Results = Path("results"),
    quiet: Quiet = False,
    how: TablesAs = TableOrJson.table,
) -> None:
    """Check runs' files and models against their manifests, and compute a sample of their texts again."""
    from ..runs.run_folders import chosen_runs
    from ..system.environment import visible

    chosen = chosen_runs(runs, results)
    plain: list[dict[str, Any]] = []
    complaints = []
    for run in chosen:
        if len(chosen) > 1 and how is TableOrJson.table:
            typer.echo(visible(str(run)))
        checks = list(_checked(run, sample, trust or [], places or [], how, quiet))
        plain += [{"run": str(run), **asdict(check)} for check in checks]
        complaints.append(_complaint(run, checks))
    if how is TableOrJson.json:
        typer.echo(json.dumps(plain, indent=2, ensure_ascii=False))
    if any(complaints):
        raise TokauctionError("\n".join(filter(None, complaints)))


def _checked(
    run: Path, sample: int, trust: list[str], places: list[str], how: TableOrJson, quiet: bool
) -> Iterator[Check]:
    """Every check of one run; in the terminal each is told as soon as it is made."""
    from ..system.environment import visible
    from ..verify.verification import verify_run
    from .progress import steps_on_stderr

    with steps_on_stderr(quiet) as hear:
        for check in verify_run(run, sample, trust, places, hear):
            if how is TableOrJson.table:
                typer.echo(visible(f"{_MARKS[check.is_good]}  {check.what}: {check.found}"))
            yield check


def _complaint(run: Path, checks: Sequence[Check]) -> str:
    """What failed, in words."""
    failed = [check for check in checks if check.is_good is False]
    notes = [check.found for check in checks if check.is_good is None]
    why = f" (note: {'; '.join(notes)})" if notes else ""
    return f"{run}: {len(failed)} of {len(checks)} checks failed{why}" if failed else ""
