"""Mistakes in a sweep: agents it does not know, bids that leave the auction undefined, more cells than can be run."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from ...system.wording import did_you_mean
from ..format.agents import AgentSection
from ..format.draft import Draft
from ..format.sweep import Steps, Sweep
from ..format.values import shown
from ..resolved.sweep import bidding, n_points, n_seeds, sweep_points
from ..source.located_yaml import KeyPath

MAX_CELLS = 1_000_000
AXES = ("relative_weight", "bids", "grid")


def check_sweep(draft: Draft) -> None:
    """Report the mistakes of the sweep, or of the agents' own bids where there is none."""
    sweep = draft.sweep
    if sweep is None:
        return
    _check_axes(draft, sweep)
    _check_seeds(draft, sweep)
    _check_size(draft, sweep)
    if _check_agents(draft, sweep):
        agents = [agent for agent in draft.agents if agent is not None]
        if len(agents) == len(draft.agents) and agents:
            _check_bids(draft, sweep, agents)


def _check_axes(draft: Draft, sweep: Sweep) -> None:
    axes = [axis for axis in AXES if getattr(sweep, axis) is not None]
    for axis in axes[1:]:
        draft.source.problem(
            ("sweep", axis), f"expected one of {', '.join(AXES)}; got {' and '.join(axes)}", at_key=True
        )
    if sweep.total_bid is not None and sweep.relative_weight is None:
        draft.source.problem(("sweep", "total_bid"), "total_bid goes with relative_weight only", at_key=True)
    if isinstance(sweep.relative_weight, Steps):
        _check_steps(draft, sweep.relative_weight)


def _check_steps(draft: Draft, steps: Steps) -> None:
    path: KeyPath = ("sweep", "relative_weight")
    if steps.start > steps.to:
        message = f"`to` is below `from`: expected a last weight of at least {steps.start:g}, got {steps.to:g}"
        draft.source.problem((*path, "to"), message)
    elif steps.n_points is not None and not steps.fits:
        numbers = sorted({max(1, math.ceil(steps.n_steps)), max(1, math.floor(steps.n_steps))}, reverse=True)
        near = " or ".join(f"{(steps.to - steps.start) / n:.12g}" for n in numbers)
        message = (
            f"steps of {steps.step:g} from {steps.start:g} miss the last weight, {steps.to:g}: the nearest that fit"
        )
        draft.source.problem((*path, "step"), f"{message}: {near}")


def _check_seeds(draft: Draft, sweep: Sweep) -> None:
    if isinstance(sweep.seeds, int):
        return
    seen: set[int] = set()
    for i, seed in enumerate(sweep.seeds):
        if seed in seen:
            draft.source.problem(("sweep", "seeds", i), f"the seed {seed} is here twice")
        seen.add(seed)


def _check_size(draft: Draft, sweep: Sweep) -> None:
    n_queries = draft.n_queries
    n_kinds = 1 if draft.auction is None else draft.auction.n_kinds
    points, seeds = n_points(sweep), n_seeds(sweep)
    n_cells = None if points is None else n_queries * n_kinds * points * seeds
    if n_cells is not None and n_cells <= MAX_CELLS:
        return
    rules = "rules" if draft.auction is None or draft.auction.mechanism is None else "rules and mechanisms"
    factors = f"{n_queries:,} queries x {n_kinds} {rules} x {_counted(points)} points x {_counted(seeds)} seeds"
    path: KeyPath = ("sweep",) if draft.source.get("sweep") else ("queries",)
    message = f"expected at most {MAX_CELLS:,} cells, got {_counted(n_cells)} ({factors})"
    draft.source.problem(path, message, at_key=True)


def _counted(n: int | None) -> str:
    return f"{n:,}" if n is not None and n < 10**15 else "over a thousand million"


def _check_agents(draft: Draft, sweep: Sweep) -> bool:
    """Whether every agent that the sweep names is known."""
    named: list[tuple[KeyPath, dict[str, object]]] = [
        (("sweep", "bids", i), dict(point)) for i, point in enumerate(sweep.bids or ())
    ]
    if sweep.grid is not None:
        named.append((("sweep", "grid"), dict(sweep.grid)))
    all_known = _check_swept(draft, sweep)
    for path, labels in named:
        all_known &= check_labels(draft, path, list(labels), "its bid stays fixed")
    return all_known


def _check_swept(draft: Draft, sweep: Sweep) -> bool:
    if sweep.agent is None:
        return True
    index = draft.agent(sweep.agent)
    if index is None:
        _unknown_agent(draft, ("sweep", "agent"), sweep.agent, at_key=False)
        return False
    agent = draft.agents[index]
    if agent is not None and agent.reference:
        draft.source.problem(("sweep", "agent"), f"{shown(agent.name)} is a reference agent: it is not swept")
    return True


def check_labels(draft: Draft, path: KeyPath, labels: list[str], why_no_reference: str = "") -> bool:
    """Whether these keys name agents, each once; where a reason is given a reference agent is a mistake, too."""
    seen: dict[int, str] = {}
    all_known = True
    for label in labels:
        index = draft.agent(label)
        if index is None:
            _unknown_agent(draft, (*path, label), label, at_key=True)
            all_known = False
        elif index in seen:
            draft.source.problem(
                (*path, label), f"{shown(seen[index])} and {shown(label)} are the same agent", at_key=True
            )
        else:
            seen[index] = label
            if why_no_reference:
                _check_no_reference(draft, (*path, label), index, why_no_reference)
    return all_known


def _check_no_reference(draft: Draft, path: KeyPath, index: int, why: str) -> None:
    agent = draft.agents[index]
    if agent is not None and agent.reference:
        draft.source.problem(path, f"{shown(agent.name)} is a reference agent: {why}", at_key=True)


def _unknown_agent(draft: Draft, path: KeyPath, label: str, at_key: bool) -> None:
    known = draft.known_agents()
    near = did_you_mean(label, known) or f"; there are {', '.join(shown(name) for name in known[:20])}"
    draft.source.problem(path, f"unknown agent {shown(label)}{near}", at_key)


def check_bids_of_queries(
    draft: Draft, agents: Sequence[AgentSection], sweep: Sweep, bids: Mapping[str, Mapping[str, float]]
) -> None:
    """Report queries with bids of their own that leave the auction undefined; of sections whose names are resolved."""
    swept = draft.swept_agent(sweep)
    for i, query in enumerate(draft.queries):
        if not bids.get(query):
            continue
        path, bidders = ("queries", i), bidding(agents, bids[query])
        others = [one.bid for k, one in enumerate(bidders) if k != swept and not one.reference]
        if sweep.relative_weight is not None and sum(others) == 0:
            message = f"the bids of all agents but {shown(agents[swept].name)} are zero: they cannot share the rest"
            draft.source.problem(path, message)
        elif sweep.relative_weight is not None:
            _check_sum(draft, path, [one.bid for one in bidders], "for this query")
        else:
            for point in sweep_points(bidders, sweep, swept):
                if sweep.grid is not None and not any(point.bids):
                    continue  # nothing is sold there
                _check_sum(draft, path, list(point.bids), f"for this query at point {point.index} of the sweep")


def _check_bids(draft: Draft, sweep: Sweep, agents: Sequence[AgentSection]) -> None:
    """At every point some bid is positive, and the bids sum to a finite number."""
    if all(agent.reference for agent in agents):
        draft.source.problem(
            ("agents",), "every agent is a reference agent; expected at least one that bids", at_key=True
        )
    elif sweep.relative_weight is not None:
        _check_weighted_bids(draft, sweep, agents)
    elif sweep.grid is not None:
        _check_grid(draft, sweep.grid, agents)
    elif sweep.bids is not None:
        for i, point in enumerate(sweep.bids):
            _check_sum(draft, ("sweep", "bids", i), _bids_at(draft, agents, point), "at this point of the sweep")
    else:
        _check_sum(draft, ("agents",), [agent.bid for agent in agents], "")


def _bids_at(draft: Draft, agents: Sequence[AgentSection], point: dict[str, float]) -> list[float]:
    bids = [agent.bid for agent in agents]
    for label, bid in point.items():
        bids[draft.require_agent(label)] = bid
    return bids


def _check_sum(draft: Draft, path: KeyPath, bids: list[float], where: str) -> None:
    total = sum(bids)
    if total == 0:
        draft.source.problem(path, f"all bids are zero {where}".rstrip() + ": no distribution can be made of them")
    elif math.isinf(total):
        draft.source.problem(path, f"the bids are too large {where}".rstrip() + ": their sum is infinite")


def _check_weighted_bids(draft: Draft, sweep: Sweep, agents: Sequence[AgentSection]) -> None:
    swept = draft.swept_agent(sweep)
    others = [agent.bid for i, agent in enumerate(agents) if i != swept and not agent.reference]
    if not others:
        message = "a sweep of relative_weight needs at least two agents that are charged"
        draft.source.problem(("sweep", "relative_weight"), message, at_key=True)
    elif sum(others) == 0:
        message = f"the bids of all agents but {shown(agents[swept].name)} are zero: they cannot share the rest"
        draft.source.problem(("sweep", "relative_weight"), message, at_key=True)
    else:
        _check_sum(draft, ("agents",), [agent.bid for agent in agents], "")


def _check_grid(draft: Draft, grid: dict[str, tuple[float, ...]], agents: Sequence[AgentSection]) -> None:
    """Where all bids are 0 nothing is sold, which is no mistake; where the highest are, nothing is ever sold."""
    highest = _bids_at(draft, agents, {label: max(bids) for label, bids in grid.items()})
    _check_sum(draft, ("sweep", "grid"), highest, "at the highest bids of the grid")
