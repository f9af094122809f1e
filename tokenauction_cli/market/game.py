"""A stage game: what every bidder gets and pays in every cell of a run, under one rule and one payment.

A *cell* is a query, a seed and a set of bids, one of the grid of each bidder. Cells are numbered query by query, seed
by seed, then by bids, those of the last bidder changing first. Bidders are the agents that are charged.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np

from ..mechanism.whole_texts.gains import chosen_by_the_other_half
from ..system.arrays import Array, Integers


class GameName(NamedTuple):
    """The aggregation rule or mechanism, the payment, and the reserve of the auctions."""

    rule: str
    payment: str
    reserve: float


class Setup:
    """What all games of a market share: n bidders, Q queries, S seeds.

    `grids` are the bids of each bidder, ascending, (K_i,) each; `values` (n, Q) what a unit of worth is to a bidder;
    `weights` (Q,) the chance of each query; `days` (Q,) the number of its date, None where dates do not matter.
    """

    def __init__(
        self,
        ids: Sequence[str],
        grids: Sequence[Array],
        values: Array,
        n_seeds: int,
        weights: Array | None = None,
        days: Integers | None = None,
    ) -> None:
        n_queries = values.shape[1]
        self.ids, self.grids, self.values, self.n_seeds, self.days = tuple(ids), tuple(grids), values, n_seeds, days
        self.weights = np.full(n_queries, 1 / n_queries) if weights is None else weights / weights.sum()

    @property
    def n_bidders(self) -> int:
        return len(self.ids)

    @property
    def n_queries(self) -> int:
        return len(self.weights)

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """(Q, S, K_1, ..., K_n)"""
        return (self.n_queries, self.n_seeds, *map(len, self.grids))

    @cached_property
    def n_cells(self) -> int:
        return math.prod(self.shape)

    @cached_property
    def n_bids(self) -> int:
        """Sets of bids."""
        return math.prod(self.shape[2:])

    @cached_property
    def strides(self) -> Integers:
        """By how much the number of a cell grows with the next bid of each bidder, (n,)."""
        sizes = [1, *self.shape[:2:-1]]
        return np.cumprod(sizes)[::-1].astype(np.int64)

    def in_the_mean(self, amounts: Array, bids: Array) -> Array:
        """The mean of `amounts` (F, cells) over queries and seeds, where bidder i bids `bids[i, q]` (n, Q); (F,).

        Exact: a bid between two of the grid is either, with the chances that make the mean right.
        """
        table = amounts.reshape(len(amounts), *self.shape).mean(axis=2)
        for i in reversed(range(self.n_bidders)):
            chances = np.array([self._chances(i, bid) for bid in bids[i].tolist()])
            lifted = chances.reshape(1, self.n_queries, *[1] * i, -1)
            table = (table * lifted).sum(axis=-1)
        return np.asarray(table @ self.weights)

    def _chances(self, i: int, bid: float) -> Array:
        """Of each bid of the grid, (K_i,)."""
        identity = np.eye(len(self.grids[i]))
        return np.array([np.interp(bid, self.grids[i], row) for row in identity])


class StageGame(NamedTuple):
    """(n, cells) each: what a text is worth to a bidder, what it pays, how often the text mentions it (0 or 1)."""

    name: GameName
    worths: Array
    payments: Array
    mentions: Array

    @property
    def utilities(self) -> Array:
        return np.asarray(self.worths - self.payments)


class Truth(NamedTuple):
    """Where every bidder bids its value, in the mean over queries and seeds: (n,) each."""

    worths: Array
    payments: Array
    mentions: Array


def truth_of(setup: Setup, game: StageGame) -> Truth:
    """What truthful bids bring: no round is played for it."""
    amounts = np.concatenate([game.worths, game.payments, game.mentions])
    return Truth(*np.split(setup.in_the_mean(amounts, setup.values), 3))


def best_welfare(setup: Setup, game: StageGame) -> float:
    """The mean welfare of the best bids of the grid, which one half of the seeds chooses for the other."""
    by_seed = game.worths.sum(axis=0).reshape(setup.n_queries, setup.n_seeds, setup.n_bids)
    weighted = by_seed * (setup.weights * setup.n_queries)[:, None, None]
    texts = weighted.reshape(-1, setup.n_bids)
    seeds = np.tile(np.arange(setup.n_seeds), setup.n_queries)
    return float(texts[np.arange(len(texts)), chosen_by_the_other_half(texts, seeds)].mean())
