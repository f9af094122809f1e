"""What a market came to: means over rounds, regrets, and the paths of bids and of money; by replication."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..system.arrays import Array, Integers
from .game import Setup, StageGame
from .hindsight import best_fixed, best_multiples
from .rounds import Participant, Played

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
    replications = played.queries.shape[1]
    best = best_multiples(setup, games, bidders, played)
    return [
        _outcome(setup, game, played, range(g * replications, (g + 1) * replications), best)
        for g, game in enumerate(games)
    ]


def _outcome(setup: Setup, game: StageGame, played: Played, lanes: range, best: Mapping[int, Array]) -> MarketOutcome:
    """Of one game, whose replications are these lanes; `best` is what budgets allow, by bidder (L,)."""
    lives = [_life(setup, game, played, r, played.places[:, :, lane]) for r, lane in enumerate(lanes)]
    found = {name: np.array([life[name] for life in lives]).T for name in lives[0] if name not in ("bids", "paths")}
    for i, got in best.items():
        found["best"][i] = got[lanes.start : lanes.stop]
    regret = found.pop("best") - (found["worths"] - found["paid"])
    bids, spent = (np.array([life[name] for life in lives]).T for name in ("bids", "paths"))
    windows = Windows(_edges(len(played.begins))[1:], bids, spent)
    outside = played.outside[:, lanes.start : lanes.stop] / len(played.begins)
    return MarketOutcome(**found, outside=outside, regret=regret, windows=windows)


def _life(setup: Setup, game: StageGame, played: Played, r: int, places: NDArray[Any]) -> dict[str, Any]:
    """One replication, by bidder, (n,) each; the paths are (n, P). `places` are (T, n)."""
    cells = played.begins[:, r] + places @ setup.strides
    n_rounds, edges = len(cells), _edges(len(cells))
    visits = np.bincount(cells, minlength=setup.n_cells)
    bids = np.array([grid[places[:, i]] for i, grid in enumerate(setup.grids)])
    spent = game.payments[:, cells].cumsum(axis=1)
    ended = np.array([np.flatnonzero(each)[-1] + 1 if each.any() else 0 for each in bids > 0])
    late = [each[last // 2 : last] for each, last in zip(bids, ended, strict=True)]
    return {
        "worths": game.worths @ visits / n_rounds,
        "paid": game.payments @ visits / n_rounds,
        "mentions": game.mentions @ visits / n_rounds,
        "spent": spent[:, -1],
        "mean_bid": [each.mean() if len(each) else 0.0 for each in late],
        "ended": ended.astype(float),
        "best": best_fixed(setup, game, visits) / n_rounds,
        "bids": np.add.reduceat(bids, edges[:-1], axis=1) / np.diff(edges),
        "paths": spent[:, edges[1:] - 1],
    }


def _edges(n_rounds: int) -> Integers:
    """Where the windows of the paths begin, and the end."""
    return np.unique(np.linspace(0, n_rounds, MOST_WINDOWS + 1).round().astype(np.int64))
