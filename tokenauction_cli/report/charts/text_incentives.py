"""What a report shows of an audit of whole texts: does bidding one's value stay best for agents that care about texts?

It reads `text_audit.csv`, `text_equilibrium.csv`, `text_dynamics.csv` and `text_audit.txt` as `tokauction audit` left
them in the run folder; the numbers are those of the files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...analysis.run import Run
from ...system.wording import listed
from .chart import Chart
from .curves import curve_charts
from .deviations import DrawnAgent, gain_of
from .file_tables import FileRows, Row, as_written_by, file_table, paragraphs, read_rows
from .regret import regret_charts
from .replies import outcomes_of, reply_charts

AUDIT, EQUILIBRIUM, DYNAMICS = "text_audit.csv", "text_equilibrium.csv", "text_dynamics.csv"
_TABLES = {
    AUDIT: ("All deviations", "What every bid and every report gains over the truth, the largest gains first"),
    EQUILIBRIUM: ("Where best responses lead", "Bids, regret, welfare and revenue where best responses end"),
    DYNAMICS: ("Every reply", "The path of best responses, reply by reply"),
}
_NOTHING = FileRows([], [])


@dataclass(frozen=True)
class TextIncentives:
    """What there is to show; `missing` says which files are not there, '' where all are."""

    charts: tuple[Chart, ...]
    words: list[str]
    tables: list[dict[str, Any]]
    missing: str


def text_incentives(run: Run, colours: Mapping[str, int]) -> TextIncentives | None:
    """The audit of whole texts in a run folder, None where there is none. Raises StoreError where a file is spoiled."""
    paths = {name: run.folder.path / name for name in _TABLES}
    there = {name: path for name, path in paths.items() if path.is_file()}
    if not there:
        return None
    found = {name: _rows(path) for name, path in paths.items()}
    missing = [name for name in paths if name not in there]
    return TextIncentives(
        tuple(_charts(paths, found, _agents(run, colours))),
        paragraphs(run.folder.path / "text_audit.txt"),
        [_table(name, found[name]) for name in there],
        f"The run folder has no {listed(missing)}: audit again to see the rest." if missing else "",
    )


def of_several(found: TextIncentives, number: int) -> TextIncentives:
    """The same where a report has several runs: the number of the run is part of the names of its figures."""
    return replace(found, charts=tuple(replace(chart, id=_numbered(chart.id, number)) for chart in found.charts))


def _numbered(name: str, number: int) -> str:
    figure, *parts = name.split(".", 1)
    return ".".join([figure, f"run-{number}", *parts])


def text_payload(found: TextIncentives) -> dict[str, Any]:
    """The same as plain data for the page."""
    charts = [chart.plain for chart in found.charts]
    return {"charts": charts, "words": found.words, "tables": found.tables, "missing": found.missing}


def _agents(run: Run, colours: Mapping[str, int]) -> list[DrawnAgent]:
    agents = [agent for agent in run.experiment.agents if not agent.reference]
    return [DrawnAgent(agent.id, agent.name, colours[agent.name]) for agent in agents]


def _charts(paths: Mapping[str, Path], found: Mapping[str, FileRows], agents: list[DrawnAgent]) -> list[Chart]:
    charts: list[Chart] = []
    with as_written_by("audit", paths[AUDIT]):
        rows = _named(found[AUDIT])
        charts += [*regret_charts(rows, agents), *curve_charts(rows, agents)]
    with as_written_by("audit", paths[EQUILIBRIUM]):
        outcomes = outcomes_of(_named(found[EQUILIBRIUM]))
    with as_written_by("audit", paths[DYNAMICS]):
        charts += reply_charts(_named(found[DYNAMICS]), outcomes, agents)
    return charts


def _rows(path: Path) -> FileRows:
    with as_written_by("audit", path):
        return read_rows(path) if path.is_file() else _NOTHING


def _named(found: FileRows) -> list[Row]:
    """The rows of a file, with the name of a mechanism in the place of an aggregation rule."""
    return [{**row, "aggregation": row["aggregation"] or row.get("mechanism", "")} for row in found.rows]


def _table(name: str, found: FileRows) -> dict[str, Any]:
    title, about = _TABLES[name]
    rows = found.rows if name != AUDIT else sorted(found.rows, key=gain_of, reverse=True)
    return file_table(title, about, name, found.columns, rows)
