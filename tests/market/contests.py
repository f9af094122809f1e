"""The contest of two agents of whom each always writes its own token, as tables: A writes with probability b_A / B."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tokenauction_cli.market.game import GameName, Setup, StageGame
from tokenauction_cli.market.outcomes import MarketOutcome, outcomes_of
from tokenauction_cli.market.rounds import Participant, play
from tokenauction_cli.mechanism import registry
from tokenauction_cli.mechanism.payments.second_price import mean_price
from tokenauction_cli.system.arrays import Array


def bidder(name: str, number: float | None = None, budget: float = np.inf, *, per_day: bool = False) -> Participant:
    settings = {} if number is None else {"number": number}
    return Participant((name, number), lambda: registry.find("policy", name, settings), budget, per_day)


def contest(
    grids: Sequence[Array], values: Sequence[float], payment: str, *, days: int = 1, dated: bool = False
) -> tuple[Setup, StageGame]:
    """One query for each day, one seed; a bid against no other has the whole text."""
    ours, theirs = (each.ravel() for each in np.meshgrid(*grids, indexing="ij"))
    bids = np.array([ours, theirs])
    shares = bids / np.maximum(bids.sum(axis=0), 1e-300)
    if payment == "second_price":
        paid = np.array([list(map(mean_price, one, other)) for one, other in ((ours, theirs), (theirs, ours))])
    else:
        paid = bids
    v = np.array(values, dtype=float)[:, None]
    setup = Setup(("a", "b"), grids, np.tile(v, days), 1, days=np.arange(days) if dated else None)
    wide = (np.tile(amounts, days) for amounts in (v * shares, paid, shares))
    return setup, StageGame(GameName("linear", payment, 0.0), *wide)


def played(
    setup: Setup, game: StageGame, bidders: Sequence[Participant], rounds: int, replications: int = 1, seed: int = 0
) -> MarketOutcome:
    (outcome,) = outcomes_of(setup, [game], bidders, play(setup, [game], bidders, rounds, replications, seed))
    return outcome
