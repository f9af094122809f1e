"""A market from end to end: play every game, and estimate what it comes to, over replications."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..engine.rules import Rules, own_modules
from ..experiment.experiment import Experiment
from ..experiment.resolved.market import Market, MarketBidder
from ..mechanism import registry
from ..mechanism.policies.policy import Policy
from ..statistics.bootstrap import mean_intervals
from ..statistics.intervals import Estimate
from ..system.arrays import Array
from ..system.errors import UsageError
from .game import GameName, Setup, StageGame, Truth, best_welfare, truth_of
from .outcomes import MarketOutcome, outcomes_of
from .records import Games, setup_of
from .rounds import Participant, play

if TYPE_CHECKING:
    import pandas as pd

MOST_BYTES = 1 << 28
"""Of places of bids that are kept; more games are played one after the other."""
BAND = (5, 95)
"""Percentiles over replications, around the median of a path."""


class MarketRow(NamedTuple):
    """One game for one bidder, or for all together where `agent` is ''. What does not apply is not in `figures`."""

    name: GameName
    agent: str
    policy: str
    figures: Mapping[str, Estimate]
    numbers: Mapping[str, float]


class PathRow(NamedTuple):
    """The path of one bidder up to `round`: the median over replications, and a band."""

    name: GameName
    agent: str
    policy: str
    round: int
    bid: Estimate
    spent: Estimate


class MarketFound(NamedTuple):
    """Rows in the order of games and bidders, and sentences about what is left out."""

    rows: list[MarketRow]
    paths: list[PathRow]
    left_out: list[str]


def market_of(runs: Sequence[tuple[Experiment, pd.DataFrame]], market: Market) -> MarketFound:
    """Of the cells of runs that differ in their reserve; raises UsageError where there is no game to play."""
    first = runs[0][0]
    setup, games, left_out = setup_of(first, market), [], []
    for experiment, cells in runs:
        found = Games(experiment, market, setup, Rules.of(experiment), cells)
        games += list(found.all())
        left_out += found.left_out
    if not games:
        raise UsageError(f"{first.path}: there is no payment to play for. {'; '.join(dict.fromkeys(left_out))}")
    rows: list[MarketRow] = []
    paths: list[PathRow] = []
    with own_modules(first):
        bidders = [_bidder(first, one) for one in market.bidders]
        for some in _batches(setup, games, market):
            played = play(setup, some, bidders, market.rounds, market.replications, market.seed)
            for game, outcome in zip(some, outcomes_of(setup, some, bidders, played), strict=True):
                rows += _rows(setup, market, game, outcome)
                paths += _paths(market, game.name, outcome)
    return MarketFound(rows, paths, list(dict.fromkeys(left_out)))


def _batches(setup: Setup, games: Sequence[StageGame], market: Market) -> Iterator[Sequence[StageGame]]:
    """Games that are played together."""
    size = market.rounds * setup.n_bidders * market.replications * (2 if max(map(len, setup.grids)) > 256 else 1)
    n = max(1, MOST_BYTES // size)
    return (games[k : k + n] for k in range(0, len(games), n))


def _bidder(experiment: Experiment, one: MarketBidder) -> Participant:
    settings = {} if one.number is None else {"number": one.number}
    maker = partial(registry.find, "policy", one.policy, settings)
    policy: Policy = maker()
    if policy.needs_budget and not np.isfinite(one.budget):
        raise UsageError(
            f"{experiment.path}: {one.policy} needs a budget; write one of {one.agent.id} in market.budgets"
        )
    return Participant((one.policy, one.number), maker, one.budget, one.per_day)


def _rows(setup: Setup, market: Market, game: StageGame, outcome: MarketOutcome) -> Iterator[MarketRow]:
    """Those of the bidders, and one for all."""
    truth, n_days = truth_of(setup, game), 1 if setup.days is None else int(setup.days.max()) + 1
    for i, one in enumerate(market.bidders):
        budget = one.budget * (n_days if one.per_day else 1)
        by_replication = {
            **_money(outcome.worths[i], outcome.paid[i], outcome.spent[i]),
            **({"budget_share": outcome.spent[i] / budget} if np.isfinite(budget) else {}),
            **{name: getattr(outcome, name)[i] for name in ("mean_bid", "ended", "outside", "mentions", "regret")},
        }
        numbers = {"value": float(setup.values[i] @ setup.weights), **_of_truth(truth, [i])}
        numbers |= {"budget": budget} if np.isfinite(budget) else {}
        numbers |= {"truthful.mentions": float(truth.mentions[i])}
        yield MarketRow(game.name, one.agent.id, one.policy_in_words, _estimates(by_replication), numbers)
    welfare, best = outcome.worths.sum(axis=0), best_welfare(setup, game)
    by_replication = _money(welfare, outcome.paid.sum(axis=0), outcome.spent.sum(axis=0))
    if best > 0 and (welfare > 0).all():
        by_replication |= {"price_of_anarchy": best / welfare}
    everybody = list(range(setup.n_bidders))
    numbers = {"best_welfare": best, **_of_truth(truth, everybody)}
    yield MarketRow(game.name, "", "", _estimates(by_replication), numbers)


def _money(worths: Array, paid: Array, spent: Array) -> dict[str, Array]:
    return {"revenue": paid, "welfare": worths, "utility": worths - paid, "spend": spent}


def _of_truth(truth: Truth, who: Sequence[int]) -> dict[str, float]:
    worths, paid = float(truth.worths[who].sum()), float(truth.payments[who].sum())
    return {"truthful.revenue": paid, "truthful.welfare": worths, "truthful.utility": worths - paid}


def _estimates(by_replication: Mapping[str, Array]) -> dict[str, Estimate]:
    found = mean_intervals(np.column_stack(list(by_replication.values())))
    return dict(zip(by_replication, found, strict=True))


def _paths(market: Market, name: GameName, outcome: MarketOutcome) -> Iterator[PathRow]:
    windows = outcome.windows
    (low, bid, high), (least, spent, most) = (
        np.percentile(amounts, (BAND[0], 50, BAND[1]), axis=2) for amounts in (windows.bids, windows.spent)
    )
    for i, one in enumerate(market.bidders):
        for p, end in enumerate(windows.ends.tolist()):
            bids, money = (
                Estimate(*(float(part[p, i]) for part in parts)) for parts in ((bid, low, high), (spent, least, most))
            )
            yield PathRow(name, one.agent.id, one.policy_in_words, end, bids, money)
