"""Whether a record says of its cell what the plan says: who holds a run folder may have edited it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ...experiment.experiment import Experiment
from ...lm.bytes.lexicon import END
from ...runs.run_folder import Record
from ..plan import Cell


def agrees(record: Record, cell: Cell, ids: Sequence[str]) -> bool:
    """Whether the record is of a text of this query, rule, seed and bids; `ids` are those of the agents."""
    expected = cell.identity(ids)
    return all(record.get(key) == value for key, value in expected.items())


def disagreement(experiment: Experiment, cells: Iterable[Cell]) -> Callable[[Record], str | None]:
    """What is wrong with a record of an experiment of these cells, in words; None where nothing is."""
    by_id = {cell.id: cell for cell in cells}
    ids = [agent.id for agent in experiment.agents]

    def problem(record: Record) -> str | None:
        cell = by_id.get(record["cell"])
        if cell is None:
            return f"cell {record['cell']!r} is none of this experiment"
        if not (agrees(record, cell, ids) and record["point"] == cell.point and _is_weight(record, cell)):
            return _first_difference(record, cell, ids)
        return _problem_of_trace(experiment, record, record["trace"]) if "trace" in record else None

    return problem


def _is_weight(record: Record, cell: Cell) -> bool:
    said, meant = record["relative_weight"], cell.relative_weight
    if said is None or meant is None:
        return said is meant
    return math.isclose(said, meant, abs_tol=1e-9)


def _first_difference(record: Record, cell: Cell, ids: Sequence[str]) -> str:
    meant = cell.identity(ids) | {"point": cell.point, "relative_weight": cell.relative_weight}
    key = next(key for key, value in meant.items() if record.get(key) != value)
    said = f"is {record[key]!r:.60}" if key in record else "is missing"
    return f"{key} {said}; of this cell it is {meant[key]!r:.60}"


def _problem_of_trace(experiment: Experiment, record: Record, trace: Mapping[str, Any]) -> str | None:
    n_draws, n_agents = len(trace["pieces"]), len(experiment.agents)
    if n_draws and len(trace["log_p"]) != n_agents:
        return f"trace.log_p has {len(trace['log_p'])} rows; there are {n_agents} agents"
    drawn = record["token_ids"]
    if experiment.auction.alphabet == "bytes" and (len(drawn) != n_draws or max(drawn, default=0) > END):
        return "token_ids are not the bytes of the trace"
    return None
