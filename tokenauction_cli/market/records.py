"""From the records of a run to the games of a market.

worth of a text    value times what its kind measures; 0 where nothing was sold
payment            of the token auction under each of its payments, of another mechanism its own
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np

from ..engine.rules import Rules
from ..experiment.checks.market_checks import TIME, date_of
from ..experiment.experiment import Experiment
from ..experiment.format.market import EVENLY
from ..experiment.resolved.market import Market, MarketBidder
from ..system.arrays import Array, Integers
from ..system.errors import UsageError
from .game import GameName, Setup, StageGame

if TYPE_CHECKING:
    import pandas as pd

OF_DRAWS = ("tv", "reverse_kl")
"""Kinds that are sums over the draws of an auction of tokens, of which a record has the mean."""


def setup_of(experiment: Experiment, market: Market) -> Setup:
    """What all games share."""
    ids = [one.agent.id for one in market.bidders]
    at_points = np.array([point.bids for point in experiment.points])
    places = [k for k, agent in enumerate(experiment.agents) if not agent.reference]
    values = np.array([_by_query(experiment, one.wanted.value) for one in market.bidders])
    weights = None if market.draw == EVENLY else np.array(experiment.numbers_of(market.draw))
    days = None
    if any(one.per_day for one in market.bidders):
        days = np.unique(
            [date_of(experiment.columns_of(query)[TIME]) for query in experiment.queries], return_inverse=True
        )[1]
    grids = [np.unique(at_points[:, k]) for k in places]
    return Setup(ids, grids, values, len(experiment.seeds), weights, days)


def _by_query(experiment: Experiment, value: float | str) -> tuple[float, ...]:
    return experiment.numbers_of(value) if isinstance(value, str) else (value,) * len(experiment.queries)


class Games:
    """The games of one run; what is left out of them is told in `left_out`, as sentences."""

    def __init__(self, experiment: Experiment, market: Market, setup: Setup, rules: Rules, cells: pd.DataFrame) -> None:
        self.left_out: list[str] = []
        self._experiment, self._market, self._setup, self._rules = experiment, market, setup, rules
        self._cells = cells

    def all(self) -> Iterator[StageGame]:
        """One per rule or mechanism and payment."""
        for rule in self._rules.names:
            cells = self._in_order(rule)
            worths = self._worths(rule, cells)
            if worths is None:
                continue
            ids = self._setup.ids
            mentions = np.array([cells[f"mentions.{one}"].to_numpy(dtype=float) > 0 for one in ids]).astype(float)
            for payment, column in self._payments(rule).items():
                paid = self._paid(rule, payment, column, cells)
                if paid is not None:
                    name = GameName(rule, payment, self._experiment.auction.reserve)
                    yield StageGame(name, worths, paid, mentions)

    def _in_order(self, rule: str) -> pd.DataFrame:
        """The texts of a rule, by the number of their cell. Raises UsageError where one is not there."""
        cells = self._cells[self._cells["aggregation"] == rule]
        path, n_missing = self._experiment.path, self._setup.n_cells - len(cells)
        if n_missing:
            raise UsageError(f"{path}: {n_missing} texts of {rule} are not there: `tokauction run {path}` writes them")
        numbers = self._numbers(cells)
        assert (np.sort(numbers) == np.arange(len(cells))).all()
        return cells.iloc[np.argsort(numbers)]

    def _numbers(self, cells: pd.DataFrame) -> Integers:
        setup, experiment = self._setup, self._experiment
        queries = cells["query"].map({query: k for k, query in enumerate(experiment.queries)}).to_numpy()
        seeds = cells["seed"].map({seed: k for k, seed in enumerate(experiment.seeds)}).to_numpy()
        places = [
            np.searchsorted(grid, cells[f"bid.{one}"].to_numpy(dtype=float))
            for one, grid in zip(setup.ids, setup.grids, strict=True)
        ]
        return np.ravel_multi_index((queries, seeds, *places), setup.shape)

    def _worths(self, rule: str, cells: pd.DataFrame) -> Array | None:
        """(n, cells); None where a kind has no meaning under the rule."""
        found = []
        for one, values in zip(self._market.bidders, self._setup.values, strict=True):
            has_draws = rule in self._rules.aggregation or one.wanted.kind not in OF_DRAWS
            measured = self._measured(one, cells) if has_draws else None
            if measured is None or not np.isfinite(measured).all():
                why = (
                    "is not a number for each of its texts"
                    if has_draws
                    else "has a meaning where tokens are auctioned alone"
                )
                self.left_out.append(f"{rule}: {one.wanted.kind} of {one.agent.name} {why}")
                return None
            found.append(np.repeat(values, self._setup.n_cells // len(values)) * measured)
        return np.array(found)

    def _measured(self, bidder: MarketBidder, cells: pd.DataFrame) -> Array | None:
        """What the kind measures of each text, None where the records do not have it."""
        agent, kind = bidder.agent.id, bidder.wanted.kind
        column = {"judge": f"judge.{bidder.wanted.judge}", "mention": f"mentions.{agent}", "count": f"mentions.{agent}"}
        name = column.get(kind, f"{kind}.{agent}")
        if name not in cells:
            if kind == "judge":
                raise UsageError(
                    f"{self._experiment.path}: the run has no column {name}; write `judges: {{{bidder.wanted.judge}: "
                    "...}` in the file and run it again: `tokauction run` asks the judge and writes no text"
                )
            return None
        found = cells[name].astype("Float64").to_numpy(dtype=float, na_value=math.nan)
        if kind == "mention":
            found = np.minimum(found, 1.0)
        if kind in OF_DRAWS:
            found = -found * cells["tokens"].to_numpy(dtype=float)
        return np.where((cells["end_reason"] == "unsold").to_numpy(), 0.0, found)

    def _payments(self, rule: str) -> Mapping[str, str]:
        """The column of each payment, '' where it has no mean."""
        is_mean, mechanism = self._market.money == "expected", self._rules.mechanisms.get(rule)
        if mechanism is not None:
            return {rule: mechanism.mean_column if is_mean else mechanism.realised_column}
        fitting = self._rules.fitting(rule, self._experiment.auction.reserve)
        chosen = [one for one in fitting if one.name in (self._market.payments or [one.name])]
        return {one.name: one.mean_column if is_mean else one.columns[0] for one in chosen}

    def _paid(self, rule: str, payment: str, column: str, cells: pd.DataFrame) -> Array | None:
        """(n, cells); None where it is not known of each text."""
        names = [f"payment.{column}.{one}" for one in self._setup.ids]
        if column and set(names) <= set(cells.columns):
            paid = np.array([cells[name].to_numpy(dtype=float) for name in names])
            if np.isfinite(paid).all():
                return paid
        why = "has no mean" if self._market.money == "expected" else "is not known"
        self.left_out.append(f"{rule}, {payment}: the payment {why} for each of the texts")
        return None
