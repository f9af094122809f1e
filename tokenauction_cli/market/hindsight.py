"""What the best bid would have got, known only afterwards: the other bidders' bids are what they were.

    regret          max over bids b' of the grid of  mean_t u_i(b', b_-i,t) - u_i(b_t)
    with a budget   the same over multipliers m: what the bids m v would have got while the money lasted

The multipliers are those that make a bid of the grid, or the middle of two, of the highest value. A bid between two of
the grid gets and costs the mean of what the two do.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..system.arrays import Array, Integers
from .game import Setup, StageGame
from .rounds import Participant, Played, Tables

AT_ONCE = 1_000
"""Rounds whose cells are worked out together."""


def best_fixed(setup: Setup, game: StageGame, visits: Integers) -> Array:
    """What the best bid of the grid would have got each bidder in all rounds, (n,); `visits` (cells,) were played."""
    played, found = visits.reshape(setup.shape), []
    for i, utilities in enumerate(game.utilities):
        axis = 2 + i
        others = played.sum(axis=axis, keepdims=True)
        got = (others * utilities.reshape(setup.shape)).sum(axis=tuple(k for k in range(played.ndim) if k != axis))
        found.append(got.max())
    return np.array(found)


def best_multiples(
    setup: Setup, games: Sequence[StageGame], bidders: Sequence[Participant], played: Played
) -> dict[int, Array]:
    """What the best multiple of the value would have got per round each bidder that has a budget, (L,)."""
    tables, n_lanes = Tables(setup, games), played.places.shape[2]
    limited = [i for i, one in enumerate(bidders) if np.isfinite(one.budget)]
    searched = {i: _Multiples(setup, tables, i, bidders[i], n_lanes) for i in limited}
    for first in range(0, len(played.begins) if searched else 0, AT_ONCE):
        rounds = slice(first, first + AT_ONCE)
        cells = played.cells(setup, rounds)
        for one in searched.values():
            one.add(cells, played, rounds)
    return {i: one.got.max(axis=1) / len(played.begins) for i, one in searched.items()}


class _Multiples:
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
        self.got = np.zeros_like(self._left)

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
            self.got += np.where(lasts, got, self._utilities.take(at_lowest[t])[:, None])
