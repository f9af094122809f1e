"""`tokauction report RUN...`: read runs, write the page and the figures, print where the page is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from ..system.errors import UsageError
from .options import EXIT_SOME_FAILED, Runs, listed

FORMATS = ("svg", "pdf", "png")


def report(
    runs: Runs,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            help="The page. Default: report.html in the run folder, or here for several.",
        ),
    ] = None,
    figures: Annotated[
        str, typer.Option("--figures", metavar="LIST", help="Write figures/ beside the page: svg,pdf,png or none.")
    ] = "svg",
    only: Annotated[
        str | None,
        typer.Option(
            "--only",
            metavar="LIST",
            help="Write only these figures: mention_rate,text_regret; payment stands for all payment.RULE.",
        ),
    ] = None,
    results: Annotated[Path, typer.Option("--results", metavar="DIR", help="The folder of run folders.")] = Path(
        "results"
    ),
) -> None:
    """Write one self-contained HTML page about runs, and their figures."""
    from ..api import write_report
    from ..system.environment import visible

    formats, names = _formats(figures), listed(only or "")
    if only is not None and not (formats and names):
        raise UsageError("--only names figures to write, as in --only mention_rate,revenue; --figures none writes none")
    written = write_report(runs, output, formats, results, names)
    typer.echo(written.page)
    for note in written.notes:
        typer.echo(visible(note), err=True)
    if written.figures:
        typer.echo(f"{len(written.figures)} files in {written.figures[0].parent}", err=True)
    if written.what_is_wrong:
        raise typer.Exit(EXIT_SOME_FAILED)


def _formats(figures: str) -> Sequence[str]:
    wanted = [] if figures == "none" else listed(figures)
    unknown = [name for name in wanted if name not in FORMATS]
    if unknown:
        raise UsageError(f"--figures {unknown[0]}: expected a list of {', '.join(FORMATS)}, or none")
    return wanted
