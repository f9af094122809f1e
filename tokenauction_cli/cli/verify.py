"""`tokauction verify RUN...`: look, print what was found, fail where something is not what it was."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..system.errors import TokauctionError
from .options import Results, Runs

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
    results: Results = Path("results"),
) -> None:
    """Check runs' files and models against their manifests, and compute a sample of their cells again."""
    from ..runs.run_folders import chosen_runs
    from ..system.environment import visible

    chosen = chosen_runs(runs, results)
    complaints = []
    for run in chosen:
        if len(chosen) > 1:
            typer.echo(visible(str(run)))
        complaints.append(_complaint(run, cells, trust or []))
    if any(complaints):
        raise TokauctionError("\n".join(filter(None, complaints)))


def _complaint(run: Path, cells: int, trust: list[str]) -> str:
    """Print every check of one run; what failed, in words."""
    from ..engine.verification import verify_run
    from ..system.environment import visible

    checks = []
    for check in verify_run(run, cells, trust):
        checks.append(check)
        typer.echo(visible(f"{_MARKS[check.is_good]}  {check.what}: {check.found}"))
    failed = [check for check in checks if check.is_good is False]
    notes = [check.found for check in checks if check.is_good is None]
    why = f" (note: {'; '.join(notes)})" if notes else ""
    return f"{run}: {len(failed)} of {len(checks)} checks failed{why}" if failed else ""
