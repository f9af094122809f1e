"""What the page says without a script: what a token auction is, what was found, where the data are, the numbers.

The scripts take these elements over and put theirs between them.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ...analysis.columns.columns import FILES, figure_explained
from ...analysis.run import Run
from ...analysis.tables.figure_tables import FigureChoice, Frames, heading, rate_figures, rate_tables
from ...analysis.tables.tables import Table, notes_of
from ...analysis.tables.text_tables import samplers_of
from ...mechanism.registry import label
from ...system.environment import visible
from ..charts.chart import of_agents
from ..prose import what_it_is

PAPER = "https://arxiv.org/abs/2310.10826"
_PACKAGE = "tokenauction-cli"
_LINKED = ("cells.csv", "summary.csv", "experiment.yaml", "manifest.json")
_ABOUT = {one.name: one.about[0].lower() + one.about[1:-1] for one in FILES} | {
    "experiment.yaml": "the experiment as it was run",
    "manifest.json": "versions, models, times",
}


def plain_page(data: dict[str, Any], runs: Sequence[Run], page: Path) -> str:
    """HTML for the page to begin with."""
    header = [
        _element("p", "token auction", cls="kicker"),
        _element("h1", data["title"]),
        *(_element("p", sentence, cls="intro") for sentence in what_it_is(runs)),
        *(_lead(run, lead) for run, lead in zip(runs, data["lead"], strict=True)),
        *(_element("p", note, cls="note") for note in data["notes"]),
        *_links(runs, page),
    ]
    numbers = [_inside("section", _numbers(run, len(runs) > 1), cls="of-run") for run in runs]
    return "\n".join(
        [
            _inside("header", header, cls="top"),
            _inside("section", [_element("h2", "The numbers"), *numbers], cls="plain"),
        ]
    )


def _lead(run: Run, lead: dict[str, Any]) -> str:
    first = lead["found"][0]["points"] if lead["found"] else []
    found = _inside("ul", [_element("li", point["text"]) for point in first]) if first else ""
    return _inside("div", [_element("p", lead["done"]), _inside("div", [found], cls="findings")], cls="lead")


def _links(runs: Sequence[Run], page: Path) -> Iterator[str]:
    """The data of every run that lies beside or below the page, the paper and the project."""
    here = page.resolve().parent
    for run in runs:
        folder = run.folder.path.resolve()
        name = f" of {run.name}" if len(runs) > 1 else ""
        there = [file for file in _LINKED if (folder / file).is_file()]
        if folder.is_relative_to(here):
            below = folder.relative_to(here)
            links = [_link(quote((below / file).as_posix()), file) + _said(f" ({_ABOUT[file]})") for file in there]
            yield _inside("p", [_said(f"Data{name}: "), " · ".join(links)], cls="links")
        else:
            why = f"This page does not lie in the run folder, so it has no links to the data{name}."
            yield _element("p", f"{why} In the run folder {folder.name} are {', '.join(there)}.", cls="links")
    project = _project()
    known = _link(project, "tokauction") if project else _said(f"tokauction (Python package {_PACKAGE})")
    yield _inside("p", [_link(PAPER, "The paper"), _said(" · The program: "), known], cls="links")


def _project() -> str:
    """The first address that the installed package names, '' where it names none."""
    try:
        addresses = metadata(_PACKAGE).get_all("Project-URL") or [""]
    except PackageNotFoundError:
        return ""
    return str(addresses[0]).rpartition(", ")[2]


def _numbers(run: Run, is_one_of_several: bool) -> Iterator[str]:
    """The main figures: of several queries over all together, otherwise as in the summary."""
    experiment, summary = run.experiment, run.summary
    if len(run.pooled):
        summary = summary[summary["query"] == experiment.queries[0]]
    frames = Frames(summary, run.pooled, samplers_of(run.cells))
    tables = rate_tables(experiment, frames, FigureChoice(intervals=True, constant=False))
    tables = [table for table in tables if dict(table.keys).get("queries")] or tables
    if is_one_of_several:
        yield _element("h3", run.name)
    figures = {heading(figure, experiment): figure for figure in rate_figures(experiment)}
    heads = {head: heading(figure, experiment, label) for head, figure in figures.items()}
    for table in tables:
        yield _table(replace(table, columns=tuple(heads.get(column, column) for column in table.columns)))
    yield from (_element("p", note, cls="about") for note in notes_of(tables))
    shown = {column for table in tables for column in table.columns}
    yield _what_is_this([f"{heads[head]}: {_explained(run, figures[head])}" for head in figures if head in shown])


def _explained(run: Run, figure: str) -> str:
    names = [agent.name for agent in run.experiment.agents if figure.endswith(f".{agent.id}")]
    return of_agents(figure_explained(figure), names)


def _what_is_this(told: Sequence[str]) -> str:
    """These sentences, behind a line that opens them; nothing where there are none."""
    parts = [_element("summary", "What is this?"), *(_element("p", words) for words in told)]
    return _inside("details", parts, cls="what") if told else ""


def _table(table: Table) -> str:
    """Numbers to the right; what names a row is its head."""
    sides = [' class="n"' if table.holds_numbers(k) else "" for k in range(len(table.columns))]
    heads = "".join(
        f'<th scope="col"{side}>{_said(head)}</th>' for head, side in zip(table.columns, sides, strict=True)
    )
    rows = (
        f"<tr>{''.join(_cell(k, text, sides[k], table.n_heads) for k, text in enumerate(table.shown(row)))}</tr>"
        for row in table.rows
    )
    body = f"<caption>{_said(table.title)}</caption><thead><tr>{heads}</tr></thead><tbody>{''.join(rows)}</tbody>"
    return f'<div class="scroll"><table>{body}</table></div>'


def _cell(k: int, text: str, side: str, n_heads: int) -> str:
    if k < n_heads:
        return f'<th scope="row"{side}>{_said(text)}</th>'
    mean, bracket, interval = text.partition(" [")
    return f"<td{side}>{_said(mean)}{f' <small>[{_said(interval)}</small>' if bracket else ''}</td>"


def _said(text: str) -> str:
    return html.escape(visible(text))


def _link(address: str, text: str) -> str:
    return f'<a href="{html.escape(address)}">{_said(text)}</a>'


def _element(tag: str, text: str, cls: str = "") -> str:
    return _inside(tag, [_said(text)], cls)


def _inside(tag: str, parts: Iterable[str], cls: str = "") -> str:
    return f"<{tag}{f' class={chr(34)}{cls}{chr(34)}' if cls else ''}>{''.join(parts)}</{tag}>"
