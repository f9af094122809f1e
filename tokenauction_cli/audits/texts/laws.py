"""What an audit of whole texts asks of a law: what bids and reports bring under one rule or mechanism and one payment.

Where every text is enumerated the answers are exact (`enumerated.py`); elsewhere they are estimated from texts that
are written for it, by seeds (`sampled.py`). The audit itself (`deviations.py`, `equilibria.py`) knows this interface.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from ...engine.loop.reporting import NO_MISREPORT
from ...experiment.experiment import Experiment
from ...experiment.resolved.text_audit import Utility
from ...mechanism.whole_texts.dynamics import Dynamics

Bids = tuple[float, ...]
"""Of all agents, (n,)."""


class Trial(NamedTuple):
    """What texts are written with: a rule, the bids of all agents, the report of the cells.

    `is_fresh` is on seeds that nothing is chosen on.
    """

    rule: str
    bids: Bids
    report: str = NO_MISREPORT
    is_fresh: bool = False


class Want(NamedTuple):
    """An agent and what it wants of a text."""

    agent: int
    utility: Utility

    @property
    def value(self) -> float:
        return self.utility.value


Players = Sequence[Want]
"""Agents that want the same kind of thing, and bid for it against each other."""


class Means(NamedTuple):
    """What the texts of a trial bring an agent in the mean: its utility after payments, and what it pays."""

    utility: float
    payment: float
    n_texts: int


class Bounds(NamedTuple):
    """A gain with its interval, which holds for all gains that are found together."""

    gain: float
    low: float
    high: float


class Searched(NamedTuple):
    """A bid that was searched for, None for another one at every prefix: what it brings, and what else to say of it."""

    bid: float | None
    means: Means
    words: tuple[str, ...] = ()


class Best(NamedTuple):
    """Welfare and revenue at the relative weight of the swept agent with most welfare."""

    weight: float
    welfare: float
    revenue: float


@dataclass(frozen=True, eq=False)
class AuditedLaw(ABC):
    """`rule` and `payment` are the names that rows have; for a mechanism the two are one."""

    experiment: Experiment
    rule: str
    payment: str
    method: ClassVar[str]

    @property
    @abstractmethod
    def n_texts(self) -> int:
        """Of honest agents."""

    @property
    def with_misreports(self) -> bool:
        """Whether what an agent reports changes what is written."""
        return True

    @abstractmethod
    def has_meaning(self, kind: str) -> bool:
        """Whether a kind of utility is defined here."""

    @abstractmethod
    def means(self, want: Want, trial: Trial) -> Means: ...

    @abstractmethod
    def gains(self, want: Want, now: Trial, others: Sequence[Trial]) -> list[Bounds]:
        """Of the others, at least one, over `now`."""

    @abstractmethod
    def summary(self, want: Want, now: Trial, others: Sequence[Trial], gains: Sequence[Bounds]) -> Iterator[str]:
        """What the row of the best says of all of them."""

    def proposed(self, want: Want) -> Iterable[float]:
        """Bids to try beside those of the grid."""
        return ()

    def doubts(self, want: Want, now: Trial, other: Trial) -> Iterable[str]:
        """What the row of one of the others says of itself."""
        return ()

    def searched(self, want: Want) -> Iterable[Searched]:
        """Bids that are found beyond all trials."""
        return ()

    def truth(self, players: Players) -> Bids:
        """Everybody who plays bids its value, all others what the audit keeps, (n,)."""
        values = {want.agent: want.value for want in players}
        return tuple(values.get(agent, bid) for agent, bid in enumerate(self.experiment.text_audit.at))

    def grids(self, players: Players) -> dict[int, Bids]:
        """The bids that every player tries first."""
        return {want.agent: self.experiment.text_audit.grid(want.value) for want in players}

    @abstractmethod
    def dynamics(self, players: Players) -> Dynamics:
        """Best responses from truth on; `gains` has the answers."""

    def fresh_trials(self, players: Players, bids: Bids) -> Iterable[Trial]:
        """What is still to be written for what follows, where dynamics end at these bids."""
        return ()

    @abstractmethod
    def regret(self, players: Players, bids: Bids) -> tuple[float, float]:
        """The most that a player is found to gain by another bid, and an upper bound of it."""

    @abstractmethod
    def welfare(self, players: Players, bids: Bids) -> float:
        """The mean worth of the texts to all players together, payments left out."""

    @abstractmethod
    def revenue(self, bids: Bids) -> float:
        """The mean sum of all payments."""

    @abstractmethod
    def best(self, players: Players) -> Best: ...


def wants(law: AuditedLaw) -> list[Want]:
    """What agents want, where that is defined; reference agents never deviate."""
    agents, audit = law.experiment.agents, law.experiment.text_audit
    all_wants = (Want(agent, utility) for agent, several in audit.utilities.items() for utility in several)
    return [want for want in all_wants if not agents[want.agent].reference and law.has_meaning(want.utility.kind)]
