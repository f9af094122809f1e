"""The report of one run or several: one HTML file, and figures for a paper.

Every number comes from the summaries of the runs (`metrics.py`), or from what an audit left; nothing here computes one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from .. import __version__
from ..analysis.columns.column import NOTATION
from ..analysis.columns.columns import explained, figure_explained
from ..analysis.columns.glossary import WORDS
from ..analysis.frames.metrics import numbered
from ..analysis.run import Run
from ..runs.run_folder import RunFolder
from ..system.errors import StoreError
from ..system.steps import Hear, unheard
from .charts.chart import ALL_QUERIES, Chart, ids_named
from .charts.figures import agent_colours, figures_of, horizontal_of, queries_of
from .charts.market import market_figures
from .charts.paths import path_charts
from .charts.sweep import Horizontal
from .charts.text_incentives import TextIncentives, of_several, text_incentives, text_payload
from .export import WHAT_TO_INSTALL, vl_convert, write_figures
from .fonts import what_fonts_lack
from .page.page import page
from .page.page_data import MOST_CHARACTERS, embedded_cells, n_cut, run_payload
from .page.plain import plain_page
from .page.traces import MOST_BYTES, PackedTraces, packed_traces
from .prose import findings, what_was_done

MOST_QUERIES = 10  # that have files of their own
_LETTERS = "letters of formulas"


class Report(NamedTuple):
    """What was written, and what its reader should know."""

    page: Path
    figures: list[Path]
    notes: list[str]
    what_is_wrong: str = ""  # in the run folders: what was passed over


def write_report(
    runs: Sequence[Run],
    output: Path,
    formats: Sequence[str] = (),
    only: Sequence[str] = (),
    hear: Hear = unheard,
) -> Report:
    """Write the page to `output`, and the figures in these formats, or those named `only`, to `figures/` beside it."""
    axis = horizontal_of(runs)
    beside = {"incentives": _from_files(runs, text_incentives), "market": _from_files(runs, market_figures)}
    figures = [*figures_of(runs), *path_charts(runs, axis)]
    charts = [*figures, *(chart for several in beside.values() for found in several if found for chart in found.charts)]
    wanted = ids_named([chart.id for chart in charts], only)
    queries = queries_of(runs)
    traces = [packed_traces(run, embedded_cells(run, queries), MOST_BYTES // len(runs)) for run in runs]
    notes = _notes(runs, queries, traces)
    data = _data(runs, traces, figures, axis, notes)
    for name, several in beside.items():
        for run, found in zip(data["runs"], several, strict=True):
            run[name] = found and text_payload(found)
    are_many = max(len(run.experiment.queries) for run in runs) > MOST_QUERIES
    converter = vl_convert()
    library = None if converter is None else str(converter.javascript_bundle())
    text = page(data["title"], plain_page(data, runs, output), data, [pack.data for pack in traces], library)
    _write(output, text)
    specs = {name: spec for chart in charts if chart.id in wanted for name, spec in chart.on_paper(are_many).items()}
    wrong = "\n".join(run.what_is_wrong for run in runs if run.what_is_wrong)
    if converter and not {"pdf", "png"}.isdisjoint(formats) and (lacking := what_fonts_lack(converter, specs.values())):
        notes = [*notes, lacking]
    return Report(output, write_figures(specs, figures_folder(output), formats, hear), notes, wrong)


def _write(output: Path, text: str) -> None:
    """The page as a whole or not at all, where it is a file."""
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        if output.exists() and not output.is_file():
            output.write_text(text, "utf-8")
            return
    except OSError as error:
        raise StoreError(f"{output}: {error.strerror}; choose another file with --page") from error
    RunFolder(output.parent).write(output.name, text)


def figures_folder(page: Path) -> Path:
    """`figures` beside report.html; beside another page `<page>-figures`, so that pages do not replace each other's."""
    return page.with_name("figures" if page.name == "report.html" else f"{page.stem}-figures")


def _from_files(
    runs: Sequence[Run], read: Callable[[Run, dict[str, int]], TextIncentives | None]
) -> list[TextIncentives | None]:
    """What an audit of whole texts or a market left in the folder of every run, None for those without."""
    colours = agent_colours(runs)
    every = [read(run, colours) for run in runs]
    if len(runs) == 1:
        return every
    return [found and of_several(found, k) for k, found in enumerate(every, 1)]


def _data(
    runs: Sequence[Run], traces: Sequence[PackedTraces], figures: Sequence[Chart], axis: Horizontal, notes: list[str]
) -> dict[str, Any]:
    colours, queries = agent_colours(runs), queries_of(runs)
    return {
        "title": " and ".join(dict.fromkeys(run.experiment.name for run in runs)),
        "version": __version__,
        "lead": [_lead(run, queries) for run in runs],
        "notes": notes,
        "matrix": _matrix(runs),
        "axis": {"title": axis.title, "is_weight": axis.is_weight, "labels": list(axis.labels)},
        "queries": queries,
        "runs": [
            {**run_payload(run, colours, queries), "traced": list(pack.seeds)}
            for run, pack in zip(runs, traces, strict=True)
        ],
        "explained": {
            "tokens": figure_explained("tokens"),
            "weight": explained("cells.csv", "relative_weight"),
            "seed": explained("cells.csv", "seed"),
            "posterior": explained("records-*.jsonl", "trace.posterior"),
        },
        "words": [[word, meaning.replace("`", "")] for word, meaning in (*WORDS.items(), (_LETTERS, NOTATION))],
        "figures": [figure.plain for figure in figures],
    }


def _matrix(runs: Sequence[Run]) -> dict[str, Any] | None:
    """The keys that vary and what each run has there, where the runs are members of a matrix."""
    keys = {tuple(key for key, _ in run.member) for run in runs}
    if len(keys) != 1 or keys == {()}:
        return None
    return {"keys": list(keys.pop()), "members": [[name for _, name in run.member] for run in runs]}


def _lead(run: Run, queries: Sequence[str]) -> dict[str, Any]:
    """What was done, and what was found: by query as the page numbers them, and over all together."""
    places = numbered(queries)
    asked = [(places[query], query) for query in run.experiment.queries if query in places]
    pooled = [(ALL_QUERIES, None)] if len(run.pooled) else []
    found = [
        {"query": number, "points": [found._asdict() for found in findings(run, query)]}
        for number, query in [*pooled, *asked]
    ]
    return {"done": what_was_done(run), "found": found}


def _notes(runs: Sequence[Run], queries: Sequence[str], traces: Sequence[PackedTraces]) -> list[str]:
    """What is missing from the page and why."""
    notes = [f"{run.name}: {run.what_is_missing}" for run in runs if run.what_is_missing]
    notes += [f"{run.name}: {run.what_is_few}" for run in runs if run.what_is_few]
    notes += [f"{run.name}: {run.what_judges_miss}" for run in runs if run.what_judges_miss]
    notes += [f"{run.name}: {run.what_is_wrong}" for run in runs if run.what_is_wrong]
    notes += [] if vl_convert() else [f"There are no charts here: {WHAT_TO_INSTALL}"]
    for run, pack in zip(runs, traces, strict=True):
        name, auction, shown = run.name, run.experiment.auction, embedded_cells(run, queries)
        if (n_queries := shown["query"].nunique()) < run.cells["query"].nunique():
            notes.append(
                f"{name}: beside the numbers of all queries together the page holds those of the first {n_queries}; "
                "summary.csv has all."
            )
        if (n_seeds := shown["seed"].nunique()) < run.cells["seed"].nunique():
            notes.append(f"{name}: the page holds the texts of the first {n_seeds} seeds; all are in cells.csv.")
        if long := n_cut(shown):
            notes.append(
                f"{name}: texts of more than {MOST_CHARACTERS:,} characters are cut on this page ({long} of "
                f"{len(shown)}); cells.csv has all of them."
            )
        if auction.trace == "none":
            notes.append(
                f"{name} was run without traces, so no {auction.shown} can be inspected: set auction.trace to top_k."
            )
        elif 0 < len(pack.seeds) < pack.n_seeds:
            notes.append(
                f"{name}: the page holds the traces of {len(pack.seeds)} of {pack.n_seeds} seeds, to stay small; "
                "all are in the records of the run folder."
            )
    return list(dict.fromkeys(notes))
