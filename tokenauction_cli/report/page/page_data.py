"""What the page knows of a run, as plain data: agents, points, texts with their mentions, tables, how to repeat it."""

from __future__ import annotations

import math
import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ...analysis.columns.columns import explained, figure_explained
from ...analysis.other_mechanisms.mechanism_tables import mechanism_tables
from ...analysis.run import Run, statistics_frames
from ...analysis.tables.figure_tables import heading
from ...analysis.tables.tables import Table, shown
from ...mechanism.registry import label
from ...runs.run_folders import RESOLVED
from ...statistics.intervals import Estimate
from ...text.mentions import Phrases
from ..charts.audit_data import audit_payload
from ..charts.chart import ALL_QUERIES, of_agents
from ..prose import counted, how_drawn

if TYPE_CHECKING:
    import pandas as pd

    from ...experiment.experiment import Agent, Experiment

MOST_CELLS = 20_000  # whose texts are embedded
MOST_CHARACTERS = 20_000  # of a text on the page
_OF_A_FACT = 200  # characters
_MANIFEST = {
    "device": ("device", "Where models were evaluated."),
    "threads": ("threads", "Threads that evaluated models."),
    "lanes": ("written together", "How many texts are written at the same time."),
    "batch_invariant": (
        "batches change no bit",
        "Whether texts are the same, to the bit, however many are written together.",
    ),
}
_SHOWN_IN_TRENDS = ("mention_rate", "co_mention_rate", "blend_rate", "payment", "revenue", "welfare_share", "tokens")


def embedded_cells(run: Run, queries: Sequence[str]) -> pd.DataFrame:
    """The cells of these queries whose texts the page carries: all, or those of the first seeds."""
    cells, seeds = run.cells, list(run.experiment.seeds)
    if len(queries) < len(run.experiment.queries):
        cells = cells[cells["query"].isin(queries)]
    most = max(1, MOST_CELLS * len(seeds) // max(1, len(cells)))
    return cells if most >= len(seeds) else cells[cells["seed"].isin(seeds[:most])]


def run_payload(run: Run, colours: dict[str, int], queries: Sequence[str]) -> dict[str, Any]:
    """One run, with what it has of these queries."""
    experiment, cells = run.experiment, embedded_cells(run, queries)
    queries = [query for query in experiment.queries if query in set(queries)]
    return {
        "name": run.name,
        "folder": run.folder.path.resolve().name,
        "agents": [_agent(agent, colours[agent.name]) for agent in experiment.agents],
        "swept": experiment.swept_agent,
        "rules": [_rule(experiment, rule) for rule in experiment.auction.rules],
        "payments": {column: label(column) for column in _payment_columns(run)},
        "explained": {column: of_agents(figure_explained(f"payment.{column}.A")) for column in _payment_columns(run)},
        "symbol": experiment.auction.symbol,
        "shown": experiment.auction.shown,
        "limit": experiment.auction.limit,
        "most": counted(experiment.auction.max_draws, experiment.auction.counted.removesuffix("s")),
        "drawn": how_drawn(run),
        "is_pooled": len(run.pooled) > 0,
        "queries": queries,
        "n_queries": len(experiment.queries),
        "points": [{"weight": point.relative_weight, "bids": list(point.bids)} for point in experiment.points],
        "bids_of": _bids_of(experiment),
        "seeds": list(dict.fromkeys(int(seed) for seed in cells["seed"])),
        "n_seeds": len(experiment.seeds),
        "rough": run.what_is_rough,
        **_texts(run, cells),
        "compared": [_compared(table) for table in mechanism_tables(run)],
        "tables": _tables(run, queries),
        "audit": audit_payload(run),
        "config": _config(run),
        "facts": _facts(run),
        "command": f"tokauction run {shlex.quote(experiment.name)}.yaml",
    }


def _rule(experiment: Experiment, rule: str) -> dict[str, Any]:
    """Traces are kept of the token auction alone."""
    return {"id": rule, "name": label(rule), "traced": rule not in experiment.auction.others}


def _agent(agent: Agent, colour: int) -> dict[str, Any]:
    return {
        "id": agent.id,
        "name": agent.name,
        "colour": colour,
        "model": agent.model or "table",
        "temperature": agent.temperature,
        "reference": agent.reference,
    }


def _payment_columns(run: Run) -> list[str]:
    """The names between `payment.` and the first agent's id: rules may have several columns."""
    last = f".{run.experiment.agents[0].id}"
    columns = [c for c in run.cells.columns if c.startswith("payment.") and c.endswith(last)]
    return [c.removeprefix("payment.").removesuffix(last) for c in columns]


def _bids_of(experiment: Experiment) -> dict[int, list[list[float]]]:
    """The bids at every point, by the number of the query, of those with bids of their own."""
    own = experiment.points_of_queries
    numbered = {query: k for k, query in enumerate(experiment.queries)}
    return {numbered[query]: [list(point.bids) for point in points] for query, points in own.items()}


def _texts(run: Run, cells: pd.DataFrame) -> dict[str, Any]:
    """The distinct texts as runs of [words, agent mentioned or -1], and for every cell which text it is."""
    phrases = [agent.phrases for agent in run.experiment.agents]
    failed = cells["end_reason"] == "failed"
    shown = cells["text"].where(~failed, cells["error"] if "error" in cells.columns else "failed")
    keys = list(zip(shown, failed, strict=True))
    numbers = {key: k for k, key in enumerate(dict.fromkeys(keys))}
    queries = {query: k for k, query in enumerate(run.experiment.queries)}
    rules = {rule: k for k, rule in enumerate(run.experiment.auction.rules)}
    columns = {
        "query": [queries[query] for query in cells["query"]],
        "rule": [rules[rule] for rule in cells["aggregation"]],
        "point": [int(point) for point in cells["point"]],
        "seed": [int(seed) for seed in cells["seed"]],
        "text": [numbers[key] for key in keys],
        "tokens": [int(n) for n in cells["tokens"]],
        "end": list(cells["end_reason"]),
    }
    texts = [_marked(_cut(text), () if is_failed else phrases) for text, is_failed in numbers]
    return {"texts": texts, "cells": columns}


def _cut(text: str) -> str:
    return text if len(text) <= MOST_CHARACTERS else f"{text[:MOST_CHARACTERS]} ..."


def n_cut(cells: pd.DataFrame) -> int:
    """How many of these texts are longer than the page shows."""
    return int((cells["text"].str.len() > MOST_CHARACTERS).sum())


def _marked(text: str, phrases: Sequence[Phrases]) -> list[list[Any]]:
    """A text in pieces, each with the number of the agent it mentions or -1; of overlapping mentions the first."""
    found = sorted((*span, k) for k, one in enumerate(phrases) for span in one.mention_spans(text))
    pieces: list[list[Any]] = []
    at = 0
    for start, end, agent in found:
        if start >= at:
            pieces += [[text[at:start], -1]] if start > at else []
            pieces.append([text[start:end], agent])
            at = end
    return [*pieces, [text[at:], -1]] if at < len(text) or not pieces else pieces


def _compared(table: Table) -> dict[str, Any]:
    """A table of mechanisms with these in columns."""
    mechanisms = [label(str(row[0] if row[1] == "" else row[1])) for row in table.rows]
    rows = zip(table.columns[2:], *(row[2:] for row in table.rows), strict=True)
    told = [[head, *map(_with_interval, values)] for head, *values in rows]
    return {"title": table.title, "columns": ["", *mechanisms], "rows": told, "notes": list(table.notes)}


def _with_interval(value: Any) -> list[str]:
    if isinstance(value, Estimate):
        has_interval = math.isfinite(value.low)
        ends = [_minus(shown(end)) for end in value[1:]] if has_interval else []
        return [_minus(shown(value.mean)), " to ".join(ends)]
    return [label(value) if isinstance(value, str) else _minus(shown(value)), ""]


def _minus(number: str) -> str:
    return number.replace("-", "−")


def _tables(run: Run, queries: Sequence[str]) -> list[dict[str, Any]]:
    """Trends and comparisons of the figures people ask for first, of these queries and of all together."""
    frames = statistics_frames(run)
    tables = []
    if "trends.csv" in frames:
        about = "Kendall’s τ of the means against the relative weight; their distance from a curve that moves one way."
        tables.append(_table(run, queries, "Trends", about, "trends.csv", frames["trends.csv"]))
    if "comparisons.csv" in frames:
        overall = frames["comparisons.csv"]
        shown = overall[overall["point"].isna()].drop(columns=["point", "relative_weight"])
        about = "Differences between aggregation rules, averaged over the sweep; paired where common seeds help."
        tables.append(_table(run, queries, "Rules compared", about, "comparisons.csv", shown))
    return tables


def _table(run: Run, queries: Sequence[str], title: str, about: str, file: str, frame: pd.DataFrame) -> dict[str, Any]:
    """Of which query a row is stands beside it, by number, -1 for all together; figures have names for people."""
    numbers = {query: k for k, query in enumerate(queries)}
    is_main = frame["figure"].str.split(".").str[0].isin(_SHOWN_IN_TRENDS)
    is_pooled = frame["query"].eq("") & (len(run.pooled) > 0)
    frame = frame[is_main & (is_pooled | frame["query"].isin(numbers))]
    of_query = [
        ALL_QUERIES if pooled else numbers[query]
        for query, pooled in zip(frame["query"], is_pooled[frame.index], strict=True)
    ]
    frame = frame.drop(columns="query").dropna(axis=1, how="all")
    frame = frame.assign(figure=[heading(figure, run.experiment, label) for figure in frame["figure"]])
    rows = [[_plain(value) for value in row] for row in frame.itertuples(index=False, name=None)]
    heads = _heads(file, list(frame.columns))
    return {"title": title, "about": about, "file": file, **heads, "rows": rows, "queries": of_query}


def _heads(file: str, columns: Sequence[str]) -> dict[str, list[str]]:
    """The heads of a table, and what each column is."""
    return {"columns": list(columns), "explained": [explained(file, column) for column in columns]}


def _plain(value: Any) -> Any:
    value = value.item() if hasattr(value, "item") else value
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _yes_or_no(value: Any) -> str:
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)


def _config(run: Run) -> str:
    return run.folder.read(RESOLVED).decode("utf-8", "replace")


def _facts(run: Run) -> list[list[str]]:
    """What the numbers rest on, in triples of words (what, how much, what it is): no path and no name of a machine."""
    manifest = run.manifest
    facts = [
        ["tokauction", str(manifest.get("tokauction", "")), "The version that wrote the texts."],
        [
            "texts",
            f"{len(run.cells)} ({run.n_failed} failed)",
            "Texts in this run folder, and how many of them failed.",
        ],
    ]
    for model in manifest.get("models", ()):
        size = f"{model['size'] / 1e6:,.0f} MB"
        facts.append(["model", f"{model['reference']} ({model['architecture']}, {size})", "A model file and its size."])
        facts.append(["sha256", model["sha256"], "The digest of the model file."])
    facts += [
        [name, _yes_or_no(manifest[key]), about]
        for key, (name, about) in _MANIFEST.items()
        if manifest.get(key) is not None
    ]
    facts += [[name, version, "The version of this package."] for name, version in manifest.get("versions", {}).items()]
    sessions = manifest.get("sessions", ())
    if sessions:
        spent = sum(session.get("seconds") or 0 for session in sessions)
        when = f"{sessions[-1].get('started', '')}, {spent:.0f} s in all"
        facts.append(["computed", when, "When the last session began, and the seconds of all sessions."])
    host = manifest.get("host", {})
    facts += [["machine", str(host["system"]), "The system."]] if "system" in host else []
    return [[word[:_OF_A_FACT] for word in fact] for fact in facts]
