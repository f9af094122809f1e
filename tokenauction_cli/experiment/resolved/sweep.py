"""The points of a sweep: which bids are tried, in which order.

A sweep of relative weight lambda with total bid B gives the swept agent lambda B and the others (1 - lambda) B, shared
in proportion to their own bids. Reference agents stand outside: they keep their bid, and lambda is the share among the
others.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product
from typing import NamedTuple, Protocol

from ...mechanism.terms import Terms, relative_bids
from ..format.sweep import Steps, Sweep


class SweepAgent(Protocol):
    """What a sweep needs to know of an agent."""

    @property
    def id(self) -> str: ...
    @property
    def bid(self) -> float: ...
    @property
    def reference(self) -> bool: ...


class SweepPoint(NamedTuple):
    """One set of bids, in the agents' order; `relative_weight` is None where no charged agent bids."""

    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody needs here
    bids: tuple[float, ...]
    relative_weight: float | None


class AgentBid(NamedTuple):
    """An agent as a sweep knows it."""

    id: str
    bid: float
    reference: bool


def bidding(agents: Iterable[SweepAgent], bids: Mapping[str, float]) -> list[AgentBid]:
    """The agents, some of them, by id, with other bids than their own."""
    return [AgentBid(agent.id, bids.get(agent.id, agent.bid), agent.reference) for agent in agents]


def seeds_of(sweep: Sweep) -> tuple[int, ...]:
    """The seeds of every point: 0 .. n-1, or the ones listed."""
    return tuple(range(sweep.seeds)) if isinstance(sweep.seeds, int) else sweep.seeds


def n_seeds(sweep: Sweep) -> int:
    """How many seeds there are, without making them."""
    return sweep.seeds if isinstance(sweep.seeds, int) else len(sweep.seeds)


def n_points(sweep: Sweep) -> int | None:
    """How many points there are, without making them; None for more than any experiment can hold."""
    if isinstance(sweep.relative_weight, Steps):
        return sweep.relative_weight.n_points
    if sweep.relative_weight is not None:
        return len(sweep.relative_weight)
    if sweep.grid is not None:
        return math.prod(len(bids) for bids in sweep.grid.values())
    return 1 if sweep.bids is None else len(sweep.bids)


def sweep_points(agents: Sequence[SweepAgent], sweep: Sweep, swept: int) -> Iterator[SweepPoint]:
    """Every point of a sweep whose agents are named by id."""
    if sweep.relative_weight is not None:
        total = total_bid_of(agents, sweep)
        for index, weight in enumerate(weights_of_sweep(sweep.relative_weight)):
            yield SweepPoint(index, shared_bids(agents, swept, weight, total), weight)
        return
    for index, bids in enumerate(_explicit_bids(agents, sweep)):
        yield SweepPoint(index, bids, share_of(agents, swept, bids))


def total_bid_of(agents: Sequence[SweepAgent], sweep: Sweep) -> float:
    """What the bids of the charged agents sum to at every relative weight: by default what their own bids do."""
    return sum(agent.bid for agent in agents if not agent.reference) if sweep.total_bid is None else sweep.total_bid


def weights_of_sweep(weights: tuple[float, ...] | Steps) -> Iterable[float]:
    """The relative weights; steps are rounded to 12 decimals so that 0.3 is 0.3, and the last weight is as given."""
    if not isinstance(weights, Steps):
        return weights
    n = weights.n_points
    assert n is not None
    return (*(round(weights.start + k * weights.step, 12) for k in range(n - 1)), weights.to)


def shared_bids(agents: Sequence[SweepAgent], swept: int, weight: float, total_bid: float) -> tuple[float, ...]:
    """The bids at one relative weight."""
    terms = terms_of_agents(agents, swept)
    bids = relative_bids(terms, weight, total_bid).tolist()
    return tuple(agent.bid if agent.reference else _tidy(bid) for agent, bid in zip(agents, bids, strict=True))


def terms_of_agents(agents: Sequence[SweepAgent], swept: int, reserve: float = 0.0) -> Terms:
    """Who bids, who is swept and who is charged."""
    return Terms(
        ids=tuple(agent.id for agent in agents),
        configured=tuple(agent.bid for agent in agents),
        swept=swept,
        charged=tuple(not agent.reference for agent in agents),
        reserve=reserve,
    )


def share_of(agents: Sequence[SweepAgent], swept: int, bids: Sequence[float]) -> float | None:
    """The swept agent's share of the bids of the charged agents."""
    charged = sum(bid for bid, agent in zip(bids, agents, strict=True) if not agent.reference)
    return bids[swept] / charged if charged > 0 else None


def _explicit_bids(agents: Sequence[SweepAgent], sweep: Sweep) -> Iterator[tuple[float, ...]]:
    if sweep.grid is not None:
        points: Iterable[dict[str, float]] = (
            dict(zip(sweep.grid, bids, strict=True)) for bids in product(*sweep.grid.values())
        )
    else:
        points = sweep.bids or ({},)
    for point in points:
        yield tuple(point.get(agent.id, agent.bid) for agent in agents)


def _tidy(bid: float) -> float:
    """A bid without the noise of binary arithmetic: 12 significant digits."""
    return float(f"{bid:.12g}")
