"""What the best bid would have got, known only afterwards: the other bidders' bids are what they were.

    regret          max over bids b' of the grid of  mean_t u_i(b', b_-i,t) - u_i(b_t)
    with a budget   the same over multipliers m: what the bids m v would have got while the money lasted

The multipliers are those that make a bid of the grid, or the middle of two, of the highest value. A bid between two of
the grid gets and costs the mean of what the two do.
"""

from __future__ import annotations

import numpy as np

from ..system.arrays import Array, Integers
from .game import Setup
from .rounds import Participant, Played, Tables


def hindsight_of(setup: Setup, tables: Tables, i: int, bidder: Participant, n_lanes: int) -> FixedBids | Multipliers:
    """What bidder i is compared with."""
    if np.isfinite(bidder.budget):
        return Multipliers(setup, tables, i, bidder, n_lanes)
    return FixedBids(setup, tables, i, n_lanes)


class FixedBids:
    """What each bid of the grid would have got bidder i in all rounds so far, (L, K)."""

    def __init__(self, setup: Setup, tables: Tables, i: int, n_lanes: int) -> None:
        self._utilities, self._i, self._stride = tables.utilities[i], i, setup.strides[i]
        self._got = np.zeros((n_lanes, len(setup.grids[i])))

    def add(self, cells: Integers, played: Played, rounds: slice) -> None:
        at_lowest = cells - played.places[rounds, self._i].astype(np.int64) * self._stride
        for k in range(self._got.shape[1]):
            self._got[:, k] += self._utilities.take(at_lowest + k * self._stride).sum(axis=0)

    def best(self) -> Array:
        return np.asarray(self._got.max(axis=1))


class Multipliers:
    """What bids m v would have got bidder i while its money lasted, (L, M)."""

    def __init__(self, setup: Setup, tables: Tables, i: int, bidder: Participant, n_lanes: int) -> None:
        grid, values = setup.grids[i], setup.values[i]
        bids = np.sort(np.concatenate([grid, (grid[1:] + grid[:-1]) / 2]))
        multipliers = bids / values.max() if values.max() > 0 else np.zeros(1)
        wanted = np.clip(values[:, None] * multipliers, grid[0], grid[-1])
        self._low = np.clip(np.searchsorted(grid, wanted, side="right") - 1, 0, len(grid) - 2)
        self._share = (wanted - grid[self._low]) / np.diff(grid)[self._low]
        self._utilities, self._payments = tables.utilities[i], tables.payments[i]
        self._i, self._stride, self._bidder = i, setup.strides[i], bidder
        self._left = np.full((n_lanes, len(multipliers)), bidder.budget)
        self._got = np.zeros_like(self._left)

    def add(self, cells: Integers, played: Played, rounds: slice) -> None:
        at_lowest = cells - played.places[rounds, self._i].astype(np.int64) * self._stride
        n_games = cells.shape[1] // played.queries.shape[1]
        queries = np.tile(played.queries[rounds], n_games)
        new_days = np.tile(played.new_days[rounds], n_games)
        for t in range(len(cells)):
            if self._bidder.per_day and new_days[t].any():
                self._left[new_days[t]] = self._bidder.budget
            low, share = at_lowest[t][:, None] + self._low[queries[t]] * self._stride, self._share[queries[t]]
            cost, got = (
                (1 - share) * table.take(low) + share * table.take(low + self._stride)
                for table in (self._payments, self._utilities)
            )
            lasts = cost <= self._left
            self._left -= np.where(lasts, cost, 0.0)
            self._got += np.where(lasts, got, self._utilities.take(at_lowest[t])[:, None])

    def best(self) -> Array:
        return np.asarray(self._got.max(axis=1))
