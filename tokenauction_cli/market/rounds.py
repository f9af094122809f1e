"""The rounds of a market: queries and seeds are drawn, bidders bid, budgets are kept.

All games and replications are played together, as *lanes*: lane g R + r is replication r of game g. In every game a
replication has the same queries, seeds and random numbers, which depend on the seed of the market, on the number of the
replication and on the ids of the bidders alone.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..mechanism.policies.policy import Policy, Rows, Turn
from ..system.arrays import Array, Indices, Integers
from .game import Setup, StageGame

AT_ONCE = 256
"""Rounds whose random numbers are made together."""


class Participant(NamedTuple):
    """How one bidder bids: bidders with an equal `policy` share one, which `maker` makes."""

    policy: tuple[str, float | None]
    maker: Callable[[], Policy]
    budget: float = np.inf
    per_day: bool = False


class Played(NamedTuple):
    """All that was done.

    `places` (T, n, L) are the bids' places in the grids, `begins` (T, R) the first cell of each round's query and seed,
    `new_days` (T, R) where a round is the first of its date, `outside` (n, L) how many bids lay outside of the grid.
    """

    places: NDArray[Any]
    queries: NDArray[np.int32]
    begins: NDArray[np.int32]
    new_days: NDArray[np.bool_]
    outside: Indices

    def cells(self, setup: Setup, rounds: slice) -> Integers:
        """The cells of these rounds in the tables of all games, one behind the other; (t, L)."""
        begins, places = self.begins[rounds], self.places[rounds].astype(np.int64)
        return np.asarray(_spread(begins, setup, places.shape[2]) + np.einsum("i,til->tl", setup.strides, places))


def _spread(begins: NDArray[np.int32], setup: Setup, n_lanes: int) -> Integers:
    """The first cells (t, R) of every game, (t, L)."""
    n_games = n_lanes // begins.shape[1]
    offsets = np.repeat(np.arange(n_games) * setup.n_cells, begins.shape[1])
    return np.asarray(np.tile(begins, n_games) + offsets)


class Tables:
    """The payments and utilities of all games, one behind the other, (n, W)."""

    def __init__(self, setup: Setup, games: Sequence[StageGame]) -> None:
        self.payments = np.concatenate([game.payments for game in games], axis=1)
        self.utilities = np.concatenate([game.utilities for game in games], axis=1)
        self.of_bidder = np.arange(setup.n_bidders)[:, None] * self.payments.shape[1]
        by_game = self.utilities.reshape(setup.n_bidders, len(games), -1)
        self.least, self.spread = by_game.min(axis=2), np.ptp(by_game, axis=2)

    def paid(self, cells: Integers) -> Array:
        """What every bidder pays in these cells (L,): (n, L)."""
        return np.asarray(self.payments.take(self.of_bidder + cells))


class _Seat:
    """Bidders that share a policy and the size of their grid. Its rows are (bidder, lane)."""

    def __init__(self, setup: Setup, tables: Tables, who: Sequence[int], bidders: Sequence[Participant]) -> None:
        in_a_row = list(who) == list(range(who[0], who[-1] + 1))
        self.who = slice(who[0], who[-1] + 1) if in_a_row else list(who)
        self.policy = bidders[who[0]].maker()
        self._tables, self._n = tables, len(who)
        self._grid = np.array([setup.grids[i] for i in who])
        self._strides, self._first = setup.strides[self.who, None], tables.of_bidder[self.who]
        self._steps = self._strides[:, :, None] * np.arange(self._grid.shape[1])
        self._learns = type(self.policy).learn is not Policy.learn

    def begin(self, setup: Setup, bidders: Sequence[Participant], rounds: int, replications: int) -> None:
        def rows(amounts: Array) -> Array:
            """Of amounts by bidder, or by bidder and game."""
            of_games = amounts if amounts.ndim == 2 else np.tile(amounts[:, None], self._tables.least.shape[1])
            return np.repeat(of_games, replications, axis=1).ravel()

        n_days = 1 if setup.days is None else len(set(setup.days.tolist()))
        budgets = np.array([one.budget * (n_days if one.per_day else 1) for one in bidders])
        least, spread = rows(self._tables.least[self.who]), rows(self._tables.spread[self.who])
        highest = rows(setup.values.max(axis=1)[self.who])
        grid = np.repeat(self._grid, len(least) // self._n, axis=0)
        self.rows = Rows(grid, highest, least, spread, rows(budgets[self.who]), rounds)
        self.policy.begin(self.rows)

    def choose(self, number: int, values: Array, uniform: Array) -> Indices:
        """The places of its bidders, (m, L); `values` are (n, L), `uniform` (2, n, L)."""
        of_bid, of_place = uniform[:, self.who].reshape(2, -1)
        places = self.policy.choose(Turn(number, values[self.who].ravel(), of_bid, of_place))
        return np.asarray(places).reshape(self._n, -1)

    def learn(self, cells: Integers, places: Integers) -> None:
        if self._learns:
            self.policy.learn(_Seen(self, cells, places))

    def paid(self, cells: Integers) -> Array:
        return np.asarray(self._tables.payments.take(self._first + cells).ravel())

    def utility(self, cells: Integers) -> Array:
        return np.asarray(self._tables.utilities.take(self._first + cells).ravel())

    def utilities(self, cells: Integers, places: Integers) -> Array:
        at_lowest = self._first + cells - places[self.who] * self._strides
        found = self._tables.utilities.take(at_lowest[:, :, None] + self._steps)
        return np.asarray(found.reshape(-1, self._steps.shape[2]))


class _Seen:
    """One round, for one seat."""

    def __init__(self, seat: _Seat, cells: Integers, places: Integers) -> None:
        self._seat, self._cells, self._places = seat, cells, places

    @cached_property
    def paid(self) -> Array:
        return self._seat.paid(self._cells)

    @cached_property
    def utility(self) -> Array:
        return self._seat.utility(self._cells)

    @cached_property
    def utilities(self) -> Array:
        return self._seat.utilities(self._cells, self._places)


class Budgets:
    """What is left of every bidder's budget, (n, L).

    A bidder whose payment would exceed what is left bids 0 in this round. All such bidders are set to 0 at once, and
    the round is looked up anew until nobody exceeds.
    """

    def __init__(self, setup: Setup, tables: Tables, bidders: Sequence[Participant], n_lanes: int) -> None:
        self._strides, self._tables = setup.strides, tables
        self._whole = np.array([one.budget for one in bidders])[:, None]
        self._daily = np.array([one.per_day for one in bidders])[:, None]
        self.left = np.tile(self._whole, n_lanes)
        self._are_kept = bool(np.isfinite(self._whole).any())

    def begin_day(self, lanes: NDArray[np.bool_]) -> None:
        """Daily budgets are whole again in these lanes (L,)."""
        self.left = np.where(self._daily & lanes, self._whole, self.left)

    def keep(self, begins: Integers, places: Integers) -> Integers:
        """The cells of a round, where `places` (n, L) become those of bids that can be paid."""
        while True:
            cells = np.asarray(begins + self._strides @ places)
            if not self._are_kept:
                return cells
            paid = self._tables.paid(cells)
            exceeds = (paid > self.left) & (places > 0)
            if not exceeds.any():
                self.left -= paid
                return cells
            places[exceeds] = 0


def play(
    setup: Setup, games: Sequence[StageGame], bidders: Sequence[Participant], rounds: int, replications: int, seed: int
) -> Played:
    """Play every game."""
    queries, begins = _drawn(setup, rounds, replications, seed)
    tables, n_lanes = Tables(setup, games), len(games) * replications
    seats = _seats(setup, tables, bidders, rounds, replications)
    budgets = Budgets(setup, tables, bidders, n_lanes)
    new_days = _new_days(setup, bidders, queries)
    is_new_day = [bool(some.any()) for some in new_days]
    dtype = np.min_scalar_type(max(map(len, setup.grids)) - 1)
    made = np.zeros((rounds, setup.n_bidders, n_lanes), dtype=dtype)
    places = np.zeros((setup.n_bidders, n_lanes), dtype=np.int64)
    uniforms = _uniforms(setup, rounds, replications, seed, len(games))
    for first in range(0, rounds, AT_ONCE):
        some = slice(first, min(first + AT_ONCE, rounds))
        cells_before = _spread(begins[some], setup, n_lanes)
        values = np.tile(setup.values[:, queries[some]], len(games)).swapaxes(0, 1)
        for t, (before, worth, uniform) in enumerate(zip(cells_before, values, next(uniforms), strict=True), first):
            for seat in seats:
                places[seat.who] = seat.choose(t + 1, worth, uniform)
            if is_new_day[t]:
                budgets.begin_day(np.tile(new_days[t], len(games)))
            cells = budgets.keep(before, places)
            for seat in seats:
                seat.learn(cells, places)
            made[t] = places
    outside = np.zeros((setup.n_bidders, n_lanes), dtype=np.intp)
    for seat in seats:
        outside[seat.who] = seat.rows.outside.reshape(-1, n_lanes)
    return Played(made, queries, begins, new_days, outside)


def _seats(setup: Setup, tables: Tables, bidders: Sequence[Participant], rounds: int, replications: int) -> list[_Seat]:
    together: dict[tuple[Any, int], list[int]] = {}
    for i, bidder in enumerate(bidders):
        together.setdefault((bidder.policy, len(setup.grids[i])), []).append(i)
    seats = [_Seat(setup, tables, who, bidders) for who in together.values()]
    for seat in seats:
        seat.begin(setup, bidders, rounds, replications)
    return seats


def _drawn(setup: Setup, rounds: int, replications: int, seed: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """The query of each round, and the first cell of its query and seed; (T, R) each, in the order of dates."""
    queries = np.empty((rounds, replications), dtype=np.int32)
    seeds = np.empty_like(queries)
    reached = setup.weights.cumsum()
    for r in range(replications):
        of_query, of_seed = np.random.default_rng([seed, r]).random((2, rounds))
        queries[:, r] = np.minimum(np.searchsorted(reached, of_query, side="right"), setup.n_queries - 1)
        seeds[:, r] = of_seed * setup.n_seeds
        if setup.days is not None:
            order = np.argsort(setup.days[queries[:, r]], kind="stable")
            queries[:, r], seeds[:, r] = queries[order, r], seeds[order, r]
    return queries, (queries * setup.n_seeds + seeds) * np.int32(setup.n_bids)


def _new_days(setup: Setup, bidders: Sequence[Participant], queries: NDArray[np.int32]) -> NDArray[np.bool_]:
    found = np.zeros(queries.shape, dtype=bool)
    if setup.days is not None and any(one.per_day for one in bidders):
        days = setup.days[queries]
        found[1:] = days[1:] != days[:-1]
    return found


def _uniforms(setup: Setup, rounds: int, replications: int, seed: int, n_games: int) -> Iterator[Array]:
    """Two random numbers for each bidder and lane, (t, 2, n, L) for the next rounds.

    They go with the id of a bidder, whatever its place in the file.
    """
    digests = [zlib.crc32(one.encode()) for one in setup.ids]
    generators = [[np.random.default_rng([seed, r, digest]) for r in range(replications)] for digest in digests]
    for first in range(0, rounds, AT_ONCE):
        n = min(AT_ONCE, rounds - first)
        drawn = np.array([[one.random((n, 2)) for one in several] for several in generators])
        yield np.tile(drawn.transpose(2, 3, 0, 1), n_games)
