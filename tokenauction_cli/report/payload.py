"""What the page knows of a run, as plain data: agents, points, texts with their mentions, tables, how to repeat it."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING, Any

from ..mentions import mention_pattern
from ..run import RunResult
from ..statistics import statistics_frames
from .figures import spoken

if TYPE_CHECKING:
    import pandas as pd

MOST_CELLS = 20_000  # whose texts are embedded
_SHOWN_IN_TRENDS = ("mention_rate", "co_mention_rate", "blend_rate", "payment", "revenue", "welfare_share", "tokens")


def embedded_cells(run: RunResult) -> pd.DataFrame:
    """The cells whose texts the page carries: all, or those of the first seeds."""
    seeds = list(run.experiment.seeds())
    most = max(1, MOST_CELLS * len(seeds) // max(1, len(run.cells)))
    return run.cells if most >= len(seeds) else run.cells[run.cells["seed"].isin(seeds[:most])]


def run_payload(run: RunResult, colours: dict[str, int]) -> dict[str, Any]:
    """One run."""
    experiment, cells = run.experiment, embedded_cells(run)
    return {
        "name": experiment.name,
        "folder": run.folder.path.resolve().name,
        "agents": [_agent(agent, colours[agent.name]) for agent in experiment.agents],
        "swept": experiment.swept_agent,
        "rules": [{"id": rule, "name": spoken(rule)} for rule in experiment.auction.aggregation],
        "payments": {column: spoken(column) for column in _payment_columns(run)},
        "queries": list(experiment.queries),
        "points": [{"weight": point.relative_weight, "bids": list(point.bids)} for point in experiment.points()],
        "seeds": list(dict.fromkeys(int(seed) for seed in cells["seed"])),
        "n_seeds": len(experiment.seeds()),
        **_texts(run, cells),
        "tables": _tables(run),
        "config": experiment.source_text(),
        "facts": _facts(run),
        "command": _command(run),
    }
