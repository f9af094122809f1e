"""Runs side by side: what differs in their files, and in their numbers on the texts that all of them have.

Texts of two runs belong together where query, rule, place in the sweep and seed are the same; the place is the relative
weight where it tells every run's points apart, else the bids. Each seed then gives a difference, whatever else differs:

    difference   mean over the seeds of (this run - the first run), with its 95 % interval `low`, `high`

The interval is BCa's over the seeds, and for a rate Newcombe's as `statistics/pairs.py` has it, so that 0 of 8 texts
against 0 of 8 has one too. A row without a place averages each seed over the places first. Payments per 1,000 bytes are
ratios of sums over the seeds, and their difference is that of the ratios; the runs may auction tokens, bytes or words.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ...statistics.bootstrap import mean_intervals
from ...statistics.intervals import Estimate
from ...statistics.pairs import rate_difference
from ...statistics.rounding import apart
from ...system.errors import UsageError
from ..frames.metrics import is_rate, observations
from ..frames.per_bytes import per_bytes, ratio_names, sizes_of
from ..run import Run
from .differences import differing, made_with, settings, shown

if TYPE_CHECKING:
    import pandas as pd


PER_DRAW = ("tokens", "revenue")  # what says little where one run draws tokens and another bytes
FIGURES = ("mention_rate", "co_mention_rate", "blend_rate", *PER_DRAW, "revenue_per_1000_bytes", "common_welfare")
"""What is compared where no other figures are asked for; those per draw only in one alphabet."""
_SIZE = "bytes of the text"
WEIGHT, BIDS = "relative_weight", "bids"
_NUMBERS = ("seeds", "mean", "difference", "low", "high")


@dataclass(frozen=True, eq=False)
class Comparison:
    """Several runs, the first of which the others are compared with.

    files    a row per setting or version that differs, a column per run
    numbers  a row per query, rule, place, figure and run; without a place it averages over all of them
    equal    how many of the texts that a run shares with the first one are the same, and of how many, by run
    """

    runs: tuple[Run, ...] = field(repr=False)
    files: pd.DataFrame = field(repr=False)
    numbers: pd.DataFrame = field(repr=False)
    equal: tuple[tuple[int, int], ...] = field(repr=False)

    def __repr__(self) -> str:
        return f"<Comparison of {', '.join(str(run.path) for run in self.runs)}>"


def compare_runs(runs: Sequence[Run]) -> Comparison:
    """Raises UsageError where there are no two runs, or no text that all of them have."""
    if len(runs) < 2:
        raise UsageError("compare needs two runs or more")
    place = WEIGHT if all(_weights_tell_points_apart(run) for run in runs) else BIDS
    equal = tuple(_equal_texts(runs[0], run, place) for run in runs)
    return Comparison(tuple(runs), _files_frame(runs), _numbers_frame(runs, place), equal)


def _files_frame(runs: Sequence[Run]) -> pd.DataFrame:
    import pandas as pd

    rows = {"run": [str(run.path) for run in runs]}
    rows |= differing([{"texts": f"{len(run.cells)} of {run.n_planned}"} for run in runs])
    trees = [_settings(run) | made_with(run.manifest) for run in runs]
    rows |= {key: shown(values) for key, values in differing(trees).items()}
    return pd.DataFrame([(key, *values) for key, values in rows.items()], columns=["what", *letters(len(runs))])


def _settings(run: Run) -> dict[str, Any]:
    """With the alphabet, which a file of tokens need not name."""
    return settings(run.experiment.plain) | {"auction.alphabet": run.experiment.auction.alphabet}


def letters(n_runs: int) -> list[str]:
    """What runs are called in tables: A, B, ..., Z, run 27, ..."""
    return [chr(ord("A") + k) if k < 26 else f"run {k + 1}" for k in range(n_runs)]


def _weights_tell_points_apart(run: Run) -> bool:
    points = run.cells.drop_duplicates("point")[WEIGHT]
    return bool(points.notna().all() and points.is_unique)


def _numbers_frame(runs: Sequence[Run], place: str) -> pd.DataFrame:
    """The figures that every run has, on the texts that every run has."""
    import pandas as pd

    observed = _on_shared_texts([_observed(run, place) for run in runs])
    rows: list[tuple[Any, ...]] = []
    for key, group in observed[0].groupby(level=["query", "aggregation"], sort=False):
        here = [frame.loc[group.index] for frame in observed]
        rows += _rows(runs, (*key, None), [frame.groupby(level="seed").mean() for frame in here], len(group))
        for where, at_place in group.groupby(level=place, sort=True):
            rows += _rows(runs, (*key, where), [frame.loc[at_place.index] for frame in here], len(at_place))
    return pd.DataFrame(rows, columns=["query", "aggregation", place, "figure", "run", *_NUMBERS])


def _observed(run: Run, place: str) -> pd.DataFrame:
    """Every figure of every finished text, by query, rule, place and seed."""
    cells = _finished(run, place)
    return observations(run.experiment, cells).assign(**{_SIZE: sizes_of(cells["text"])})


def _finished(run: Run, place: str) -> pd.DataFrame:
    """The finished texts, by query, rule, place and seed."""
    import pandas as pd

    cells = run.cells[run.cells["end_reason"] != "failed"]
    where = cells[WEIGHT].astype(float).round(12) if place == WEIGHT else _bids_in_words(run, cells)
    keys = [cells["query"], cells["aggregation"], where.rename(place), cells["seed"]]
    return cells.set_axis(pd.MultiIndex.from_arrays(keys), axis=0)


def _equal_texts(first: Run, run: Run, place: str) -> tuple[int, int]:
    """How many texts are the same, of those that both runs have."""
    own, others = (_finished(one, place)["text"] for one in (run, first))
    shared = own[own.index.isin(others.index)]
    return int((shared.to_numpy() == others.loc[shared.index].to_numpy()).sum()), len(shared)


def _bids_in_words(run: Run, cells: pd.DataFrame) -> pd.Series:
    import pandas as pd

    ids = [agent.id for agent in run.experiment.agents]
    bids = cells[[f"bid.{agent}" for agent in ids]].to_numpy(dtype=float)
    words = [", ".join(f"{agent} {bid:g}" for agent, bid in zip(ids, row, strict=True)) for row in bids]
    return pd.Series(words, index=cells.index)


def _on_shared_texts(observed: Sequence[pd.DataFrame]) -> list[pd.DataFrame]:
    """The rows and columns that every frame has, in the first one's order; a number that one misses, all miss."""
    shared, figures = observed[0].index, observed[0].columns
    for frame in observed[1:]:
        shared = shared[shared.isin(frame.index)]
        figures = figures[figures.isin(frame.columns)]
    if not len(shared):
        raise UsageError(f"these runs share no text: {_what_is_not_shared(observed)}")
    aligned = [frame.loc[shared, figures] for frame in observed]
    is_usable = np.logical_and.reduce([np.isfinite(frame.to_numpy(dtype=float)) for frame in aligned])
    return [frame.where(is_usable) for frame in aligned]


def _what_is_not_shared(observed: Sequence[pd.DataFrame]) -> str:
    for level in map(str, observed[0].index.names):
        values = [set(frame.index.get_level_values(level)) for frame in observed]
        if not set.intersection(*values):
            return f"no {level} is in all of them"
    return "no query, rule, place and seed is in all of them"


def _rows(
    runs: Sequence[Run], key: tuple[Any, ...], values: Sequence[pd.DataFrame], n_texts: int
) -> Iterator[tuple[Any, ...]]:
    """A row per figure and run; `values` has a frame per run with a row per seed, of `n_texts` texts together."""
    means = [frame.drop(columns=_SIZE) for frame in values]
    first = means[0].to_numpy(dtype=float)
    for run, frame in zip(runs, means, strict=True):
        own = frame.to_numpy(dtype=float)
        for k, interval in enumerate(mean_intervals(apart(own, first))):
            usable = ~np.isnan(own[:, k])
            if not usable.any():
                continue
            figure = str(frame.columns[k])
            found = interval
            if run is runs[0]:
                found = Estimate(np.nan, np.nan, np.nan)
            elif is_rate(figure) and (len(own) > 1 or n_texts == 1):
                found = rate_difference(own[usable, k], first[usable, k], n_texts)
            yield (*key, figure, str(run.path), int(usable.sum()), float(own[usable, k].mean()), *found)
    yield from _rows_of_ratios(runs, key, values)


def _rows_of_ratios(
    runs: Sequence[Run], key: tuple[Any, ...], values: Sequence[pd.DataFrame]
) -> Iterator[tuple[Any, ...]]:
    """The same of what is paid per 1,000 bytes, where the texts of every run have any."""
    for figure, amounts in ratio_names(values[0].columns).items():
        ratios = [per_bytes(frame[amounts], frame[_SIZE].to_numpy(dtype=float)) for frame in values]
        for run, ratio in zip(runs, ratios, strict=True) if not np.isnan([one.value for one in ratios]).any() else ():
            found = ratio.less(ratios[0]).estimate if run is not runs[0] else Estimate(np.nan, np.nan, np.nan)
            yield (*key, figure, str(run.path), len(ratio.parts), ratio.value, *found)
