"""The rows that an audit of whole texts leaves, whether texts are enumerated or sampled, and what is said in all."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

from ...experiment.experiment import Experiment
from ...experiment.resolved.text_audit import FEW_SEEDS
from ...mechanism.whole_texts.finding import Deviation, Equilibrium, Step
from ...mechanism.whole_texts.gains import FEW_QUERIES
from ...system.wording import counted


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
        yield f"only {counted(n, 'seed')}: {FEW_SEEDS} or more say something"


def rough(experiment: Experiment) -> Iterator[str]:
    """What to say of bounds over a few queries, which are too narrow."""
    n = len(set(experiment.queries))
    if 1 < n < FEW_QUERIES:
        yield f"over only {n} queries: rough"
