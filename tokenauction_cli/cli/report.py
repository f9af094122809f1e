"""`tokauction report RUN...`: read runs, write the page and the figures, print where the page is."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from ..system.errors import UsageError
from .options import EXIT_SOME_FAILED, FIGURE_FORMATS, Quiet, Results, Runs, listed


def report(
    runs: Runs,
    page: Annotated[
        Path | None,
        typer.Option(
            "--page",
            metavar="FILE",
            help="Where to write the page. Default: report.html in the run folder, or here for several.",
        ),
    ] = None,
    figures: Annotated[
        str,
        typer.Option(
            "--figures",
            metavar="LIST",
            help="Which figures to write beside the page: names such as mention_rate,text_regret; all; or none. "
            "payment stands for all payment.RULE.",
        ),
    ] = "all",
    figure_format: Annotated[
        str, typer.Option("--figure-format", metavar="LIST", help=f"In which formats: {', '.join(FIGURE_FORMATS)}.")
    ] = "svg",
    open_it: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
    results: Results = Path("results"),
    quiet: Quiet = False,
) -> None:
    """Write one self-contained HTML page about runs, and their figures; of a matrix, one page about all members."""
    from ..api import write_report
    from ..members import member_runs
    from ..system.environment import visible
    from .progress import steps_on_stderr

    formats, names = _figures(figures, figure_format)
    members = member_runs(runs[0], results) if len(runs) == 1 else None
    page = members[1] / "report.html" if members and page is None else page
    with steps_on_stderr(quiet) as hear:
        written = write_report(members[0].runs if members else runs, page, formats, results, names, hear=hear)
    typer.echo(written.page)
    if open_it and not webbrowser.open(written.page.absolute().as_uri()):
        typer.echo("no browser was found here: open the page by hand", err=True)
    for note in written.notes:
        typer.echo(visible(note), err=True)
    if written.figures:
        typer.echo(f"{len(written.figures)} files in {written.figures[0].parent}", err=True)
    if written.what_is_wrong:
        raise typer.Exit(EXIT_SOME_FAILED)


def _figures(figures: str, figure_format: str) -> tuple[list[str], list[str]]:
    """The formats, none for no figures, and the names, none for all figures."""
    names, formats = listed(figures), listed(figure_format)
    if not names:
        raise UsageError("--figures needs names of figures, as in --figures mention_rate,revenue; or all, or none")
    unknown = [name for name in formats if name not in FIGURE_FORMATS]
    if unknown or not formats:
        raise UsageError(f"--figure-format {figure_format}: expected a list of {', '.join(FIGURE_FORMATS)}")
    if names == ["none"]:
        return [], []
    return formats, [] if names == ["all"] else names
