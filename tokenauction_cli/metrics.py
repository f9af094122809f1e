"""Records to tidy tables: one row per cell, and one row per (query, rule, sweep point) with 95 % intervals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .experiment import Experiment
from .mentions import find_mentions, mention_pattern

if TYPE_CHECKING:
    import pandas as pd

GROUP = ["query", "aggregation", "point"]
_RESAMPLES = 2000
_Z95 = 1.959963984540054
_LEADING = ["cell", "query", "aggregation", "point", "relative_weight", "seed", "sampling", "text", "tokens", "end_reason"]
_PER_AGENT = ["bid", "weight", "mentions", "first_mention", "log_prob", "tv", "kl", "reverse_kl"]
_FIGURES = ("tokens", "log_prob", "tv", "kl", "reverse_kl", "payment", "revenue", "welfare", "posterior", "paid_share")


class Interval(NamedTuple):
    """An estimate with its 95 % interval; NaN bounds where one observation says nothing of the spread."""

    mean: float
    low: float
    high: float


def cells_frame(experiment: Experiment, records: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """`cells.csv`: one row per record, mentions counted, columns in the documented order."""
    import pandas as pd

    frame = pd.DataFrame([{k: v for k, v in record.items() if k not in ("token_ids", "trace")} for record in records])
    for agent in experiment.agents:
        pattern = mention_pattern(agent.mentions)
        found = [find_mentions(pattern, text) for text in frame["text"]]
        frame[f"mentions.{agent.id}"] = [mentions.count for mentions in found]
        frame[f"first_mention.{agent.id}"] = pd.array([mentions.first for mentions in found], dtype="Int64")
    return frame[_ordered(list(frame.columns), [agent.id for agent in experiment.agents])]


def _ordered(columns: Sequence[str], ids: Sequence[str]) -> list[str]:
    documented = [*_LEADING]
    for agent in ids:
        documented += [f"{name}.{agent}" for name in _PER_AGENT]
        documented += [c for c in columns if c.startswith("payment.") and c.endswith(f".{agent}")]
    documented.append("log_prob")
    known = [c for c in documented if c in columns]
    return known + [c for c in columns if c not in set(known)]


def summary_frame(experiment: Experiment, cells: pd.DataFrame) -> pd.DataFrame:
    """`summary.csv`: rates with Wilson intervals and means with bootstrap intervals per query, rule and sweep point."""
    import pandas as pd

    finished = cells[cells["end_reason"] != "failed"]
    ids = [agent.id for agent in experiment.agents]
    figures = [c for c in cells.columns if c.split(".")[0] in _FIGURES and pd.api.types.is_numeric_dtype(cells[c])]
    rows = []
    for key, group in finished.groupby(GROUP, sort=False):
        row: dict[str, Any] = dict(zip(GROUP, key, strict=True))
        row["relative_weight"] = group["relative_weight"].iloc[0]
        row |= {f"bid.{agent}": group[f"bid.{agent}"].iloc[0] for agent in ids}
        row["cells"] = len(group)
        mentioned = np.stack([group[f"mentions.{agent}"].to_numpy() > 0 for agent in ids])
        for agent, hits in zip(ids, mentioned, strict=True):
            row |= _columns(f"mention_rate.{agent}", wilson(int(hits.sum()), len(group)))
        row |= _columns("co_mention_rate", wilson(int(mentioned.all(axis=0).sum()), len(group)))
        for figure in figures:
            row |= _columns(figure, bootstrap(group[figure].dropna().to_numpy(dtype=float)))
        rows.append(row)
    return pd.DataFrame(rows)


def _columns(name: str, interval: Interval) -> dict[str, float]:
    return {name: interval.mean, f"{name}.low": interval.low, f"{name}.high": interval.high}


def wilson(hits: int, n: int) -> Interval:
    """Wilson's score interval for a proportion (Wilson 1927), z = 1.96."""
    rate = hits / n
    middle = (rate + _Z95**2 / (2 * n)) / (1 + _Z95**2 / n)
    half = _Z95 / (1 + _Z95**2 / n) * np.sqrt(rate * (1 - rate) / n + _Z95**2 / (4 * n**2))
    return Interval(rate, max(0.0, float(middle - half)), min(1.0, float(middle + half)))


def bootstrap(values: np.ndarray[Any, np.dtype[np.float64]]) -> Interval:
    """The mean with its percentile bootstrap interval; the resamples are the same for equal sample sizes."""
    n = len(values)
    if n == 0:
        return Interval(np.nan, np.nan, np.nan)
    if n == 1 or not np.isfinite(values).all():
        return Interval(float(values.mean()), np.nan, np.nan)
    chosen = np.random.default_rng(n).integers(0, n, size=(_RESAMPLES, n))
    low, high = np.percentile(values[chosen].mean(axis=1), [2.5, 97.5])
    return Interval(float(values.mean()), float(low), float(high))
