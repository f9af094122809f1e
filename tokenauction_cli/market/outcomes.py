"""What a market came to: means over rounds, regrets, and the paths of bids and of money; by replication.

    regret          max over bids b' of the grid of  mean_t u_i(b', b_-i,t) - u_i(b_t)
    with a budget   the same over multipliers m: what the bids m v would have got while the money lasted

The multipliers are those that make a bid of the grid, or the middle of two, of the highest value. A bid between two of
the grid gets and costs the mean of what the two do.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from ..system.arrays import Array, Integers
from .game import Setup, StageGame
from .rounds import Bidder, Played, Tables

MOST_WINDOWS = 200
"""Points of a path."""


class Windows(NamedTuple):
    """The paths, at the ends of up to 200 windows of rounds: `ends` (P,), the others (P, n, R).

    `bids` are means over a window, `spent` is what was paid so far.
    """

    ends: Integers
    bids: Array
    spent: Array


class MarketOutcome(NamedTuple):
    """One game, by bidder and replication, (n, R) each.

    worths, paid, mentions   per round
    spent                    in all
    mean_bid                 over the last half of the rounds up to `ended`
    ended                    the last round in which the bidder bid above 0
    outside                  the share of rounds in which its policy bid outside of the grid
    regret                   per round
    """

    worths: Array
    paid: Array
    mentions: Array
    spent: Array
    mean_bid: Array
    ended: Array
    outside: Array
    regret: Array
    windows: Windows


def outcomes_of(
    setup: Setup, games: Sequence[StageGame], bidders: Sequence[Bidder], played: Played
) -> list[MarketOutcome]:
    """Of every game."""
    tables = Tables(setup, games)
    worths, mentions = (
        np.concatenate([getattr(game, name) for game in games], axis=1) for name in ("worths", "mentions")
    )
    edges = np.unique(np.linspace(0, len(played.begins), MOST_WINDOWS + 1).round().astype(np.int64))
    slices = [slice(first, last) for first, last in pairwise(edges.tolist())]
    n_lanes, n_rounds = played.places.shape[2], len(played.begins)
    totals = {name: np.zeros((setup.n_bidders, n_lanes)) for name in ("worths", "paid", "mentions")}
    amounts = {"worths": worths, "paid": tables.payments, "mentions": mentions}
    bids, spent = np.zeros((2, len(slices), setup.n_bidders, n_lanes))
    hindsights = [_hindsight(setup, tables, i, one, n_lanes) for i, one in enumerate(bidders)]
    for p, rounds in enumerate(slices):
        cells = played.cells(setup, rounds)
        for name, table in amounts.items():
            for i in range(setup.n_bidders):
                totals[name][i] += table[i].take(cells).sum(axis=0)
        bids[p] = _bids(setup, played, rounds).mean(axis=1)
        spent[p] = totals["paid"]
        for one in hindsights:
            one.add(cells, played, rounds)
    got = (totals["worths"] - totals["paid"]) / n_rounds
    best = np.array([one.best() for one in hindsights]) / n_rounds
    ended = _ended(setup, played)
    by_lane = {
        **{name: total / n_rounds for name, total in totals.items()},
        "spent": totals["paid"],
        "mean_bid": _mean_bid(setup, played, slices, ended),
        "ended": ended.astype(float),
        "outside": played.outside / n_rounds,
        "regret": best - got,
    }
    return list(_by_game(by_lane, Windows(edges[1:], bids, spent), len(games)))


def _by_game(by_lane: dict[str, Array], windows: Windows, n_games: int) -> Iterator[MarketOutcome]:
    for g in range(n_games):

        def of_game(lanes: Array, g: int = g) -> Array:
            n = lanes.shape[-1] // n_games
            return lanes[..., g * n : (g + 1) * n]

        paths = Windows(windows.ends, of_game(windows.bids), of_game(windows.spent))
        yield MarketOutcome(**{name: of_game(lanes) for name, lanes in by_lane.items()}, windows=paths)


def _bids(setup: Setup, played: Played, rounds: slice) -> Array:
    """(n, t, L)"""
    places = played.places[rounds]
    return np.array([grid[places[:, i]] for i, grid in enumerate(setup.grids)])


def _ended(setup: Setup, played: Played) -> Integers:
    """The last round, from 1, with a bid above 0; 0 without one; (n, L)."""
    n_rounds = len(played.places)
    found = []
    for i, grid in enumerate(setup.grids):
        is_above = (grid > 0)[played.places[::-1, i]]
        found.append(np.where(is_above.any(axis=0), n_rounds - is_above.argmax(axis=0), 0))
    return np.array(found)


def _mean_bid(setup: Setup, played: Played, slices: Sequence[slice], ended: Integers) -> Array:
    total = np.zeros(ended.shape)
    for rounds in slices:
        numbers = np.arange(rounds.start + 1, rounds.stop + 1)[None, :, None]
        counts = (numbers > ended[:, None] // 2) & (numbers <= ended[:, None])
        total += (_bids(setup, played, rounds) * counts).sum(axis=1)
    return np.asarray(total / np.maximum(1, ended - ended // 2))


def _hindsight(setup: Setup, tables: Tables, i: int, bidder: Bidder, n_lanes: int) -> FixedBids | Multipliers:
    return (
        Multipliers(setup, tables, i, bidder, n_lanes)
        if np.isfinite(bidder.budget)
        else FixedBids(setup, tables, i, n_lanes)
    )


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

    def __init__(self, setup: Setup, tables: Tables, i: int, bidder: Bidder, n_lanes: int) -> None:
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
