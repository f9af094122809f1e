"""What a market came to: means over rounds, regrets, and the paths of bids and of money; by replication."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from ..system.arrays import Array, Integers
from .game import Setup, StageGame
from .hindsight import hindsight_of
from .rounds import Participant, Played, Tables

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
    setup: Setup, games: Sequence[StageGame], bidders: Sequence[Participant], played: Played
) -> list[MarketOutcome]:
    """Of every game."""
    tables, n_rounds, n_lanes = Tables(setup, games), len(played.begins), played.places.shape[2]
    amounts = {"worths": _joined(games, "worths"), "paid": tables.payments, "mentions": _joined(games, "mentions")}
    totals = {name: np.zeros((setup.n_bidders, n_lanes)) for name in amounts}
    hindsights = [hindsight_of(setup, tables, i, one, n_lanes) for i, one in enumerate(bidders)]
    slices = _slices(n_rounds)
    spent = np.zeros((len(slices), setup.n_bidders, n_lanes))
    for p, rounds in enumerate(slices):
        cells = played.cells(setup, rounds)
        for name, table in amounts.items():
            totals[name] += [of_bidder.take(cells).sum(axis=0) for of_bidder in table]
        spent[p] = totals["paid"]
        for one in hindsights:
            one.add(cells, played, rounds)
    by_lane = {name: total / n_rounds for name, total in totals.items()}
    best = np.array([one.best() for one in hindsights]) / n_rounds
    by_lane |= {"spent": totals["paid"], "regret": best - by_lane["worths"] + by_lane["paid"]}
    by_lane |= _of_bids(setup, played, slices)
    bids = np.array([_bids(setup, played, rounds).mean(axis=1) for rounds in slices])
    return list(_by_game(by_lane, Windows(np.array([one.stop for one in slices]), bids, spent), len(games)))


def _joined(games: Sequence[StageGame], name: str) -> Array:
    """The tables of all games, one behind the other."""
    return np.concatenate([getattr(game, name) for game in games], axis=1)


def _slices(n_rounds: int) -> list[slice]:
    """The windows of the paths."""
    edges = np.unique(np.linspace(0, n_rounds, MOST_WINDOWS + 1).round().astype(np.int64))
    return [slice(first, last) for first, last in pairwise(edges.tolist())]


def _of_bids(setup: Setup, played: Played, slices: Sequence[slice]) -> dict[str, Array]:
    ended = _ended(setup, played)
    outside = played.outside / len(played.begins)
    return {"mean_bid": _mean_bid(setup, played, slices, ended), "ended": ended.astype(float), "outside": outside}


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
