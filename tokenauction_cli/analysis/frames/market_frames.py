"""A market as frames: `market.csv`, a row per game and bidder and one for all, and `market_paths.csv`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ...experiment.experiment import Experiment
from ...experiment.resolved.market import Market
from ...market.game import GameName
from ...market.market import MarketFound
from ..columns.market_columns import ESTIMATES, NUMBERS
from .metrics import columns_of

if TYPE_CHECKING:
    import pandas as pd

    from ...statistics.intervals import Estimate


def market_frame(experiment: Experiment, market: Market, found: MarketFound) -> pd.DataFrame:
    """`market.csv`."""
    import pandas as pd

    last = {
        "rounds": market.rounds,
        "replications": market.replications,
        "queries": len(experiment.queries),
        "seeds": len(experiment.seeds),
    }
    rows = []
    for row in found.rows:
        numbers = {name: row.numbers.get(name, math.nan) for name in NUMBERS}
        heads = {**_named(row.name), "agent": row.agent, "policy": row.policy}
        heads |= {name: numbers.pop(name) for name in ("value", "budget")}
        rows.append({**heads, **_estimates(row.figures), **numbers, **last})
    return pd.DataFrame(rows)


def paths_frame(found: MarketFound) -> pd.DataFrame:
    """`market_paths.csv`."""
    import pandas as pd

    rows = [
        {
            **_named(row.name),
            "agent": row.agent,
            "policy": row.policy,
            "round": row.round,
            **columns_of("bid", row.bid),
            **columns_of("spent", row.spent),
        }
        for row in found.paths
    ]
    return pd.DataFrame(rows)


def _named(name: GameName) -> dict[str, Any]:
    return {"aggregation": name.rule, "payment": name.payment, "reserve": name.reserve}


def _estimates(figures: Mapping[str, Estimate]) -> dict[str, float]:
    """Every figure of the file; those that this row has not are empty."""
    columns: dict[str, float] = {}
    for figure in ESTIMATES:
        found = figures.get(figure)
        ends = [math.nan] * 3 if found is None else list(map(float, found))
        columns |= dict(zip((figure, f"{figure}.low", f"{figure}.high"), ends, strict=True))
    return columns
