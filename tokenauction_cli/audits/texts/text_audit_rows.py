"""The rows that an audit of whole texts leaves, whether texts are enumerated or sampled, and what is said in them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ...experiment.experiment import Experiment
from ...experiment.resolved.text_audit import FEW_SEEDS
from ...mechanism.audit.regret import unattained
from ...mechanism.whole_texts.dynamics import Path
from ...mechanism.whole_texts.finding import Deviation, Equilibrium, Step
from ...mechanism.whole_texts.gains import FEW_QUERIES


@dataclass(frozen=True)
class TextAuditRows:
    """Those of text_audit.csv, text_equilibrium.csv and text_dynamics.csv."""

    deviations: list[Deviation] = field(default_factory=list)
    equilibria: list[Equilibrium] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)

    def __add__(self, other: TextAuditRows) -> TextAuditRows:
        """Those of both."""
        return TextAuditRows(
            self.deviations + other.deviations, self.equilibria + other.equilibria, self.steps + other.steps
        )


def voids(experiment: Experiment) -> Iterator[str]:
    """What the theory does not cover."""
    if experiment.auction.reserve:
        yield "a reserve voids the theory"
    if any(math.isfinite(agent.budget) for agent in experiment.agents):
        yield "a budget voids the theory"


def bids_left_out(experiment: Experiment) -> Iterator[str]:
    """What to say of an audit of a file whose queries have bids."""
    if any(columns.bids for columns in experiment.columns.values()):
        yield "bids by query are left out: every query is audited at the agents' own bids"


def few_seeds(experiment: Experiment) -> Iterator[str]:
    """What to say of an audit that rests on few seeds."""
    n = experiment.text_audit.seeds
    if n < FEW_SEEDS:
        yield f"only {n} seed{'s' * (n != 1)}: {FEW_SEEDS} or more say something"


def rough(experiment: Experiment) -> Iterator[str]:
    """What to say of bounds over a few queries, which are too narrow."""
    n = len(set(experiment.queries))
    if 1 < n < FEW_QUERIES:
        yield f"over only {n} queries: rough"


def at_the_limit(experiment: Experiment, values: Mapping[int, float], bids: Sequence[float]) -> Iterator[str]:
    """Which agents, given by their values, stopped at the highest bid that is tried: they may want to bid more."""
    for i, value in values.items():
        highest = experiment.text_audit.grid(value)[-1]
        if bids[i] >= highest > value:
            yield f"{experiment.agents[i].id} bids {highest:g}, the most that is tried"


def ending(path: Path) -> Iterator[str]:
    """What to say of a path that ends in no equilibrium."""
    if path.outcome == "cycle":
        yield "bids return: " + ", ".join(f"({', '.join(f'{bid:.6g}' for bid in bids)})" for bids in path.cycle)
    elif path.outcome == "unfinished":
        yield f"bids still move after {path.rounds} rounds"


def suprema(experiment: Experiment, path: Path) -> Iterator[str]:
    """Who has no best bid where a path ends."""
    for i, jump in path.approached.items():
        yield f"{experiment.agents[i].id} has no best bid: {unattained(jump or 0.0)}"


def steps_of(experiment: Experiment, names: tuple[str, str, str], path: Path) -> Iterator[Step]:
    """A row per reply; `names` are those of the rule, the payment and the kind of utility."""
    for k, reply in enumerate(path.replies):
        replier = "" if reply.agent is None else experiment.agents[reply.agent].id
        yield Step(*names, k, replier, reply.bids, reply.gain, reply.low, reply.moved)
