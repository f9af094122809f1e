"""A market as `market` in its file says, every default filled in: who values what, how it bids, what it can spend."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ..format.market import DailyBudget, MarketSection, MarketValue
from .agent import Agent

DEFAULT_POLICY = "hedge"


class MarketWorth(NamedTuple):
    """What a text is worth: a number, or that of a column of the queries, times what `kind` measures.

    The kinds are those of audits (`text_audit.py`); a `judge` is named.
    """

    kind: str
    value: float | str
    judge: str = ""


@dataclass(frozen=True)
class MarketBidder:
    """One agent that is charged; `number` is what its policy takes. The budget is infinite without one."""

    agent: Agent
    wanted: MarketWorth
    policy: str
    number: float | None
    budget: float
    per_day: bool

    @property
    def policy_in_words(self) -> str:
        return self.policy if self.number is None else f"{self.policy} {self.number:g}"


@dataclass(frozen=True)
class Market:
    """`payments` and `reserves` are empty where those of the auction are meant, `draw` where queries come evenly."""

    bidders: tuple[MarketBidder, ...]
    rounds: int
    replications: int
    draw: str
    payments: tuple[str, ...]
    money: str
    reserves: tuple[float, ...]
    seed: int

    @classmethod
    def of(cls, section: MarketSection, agents: Sequence[Agent]) -> Market:
        """From a section whose agents are named by id."""
        return cls(
            bidders=tuple(_bidder(section, agent) for agent in agents if not agent.reference),
            rounds=section.rounds,
            replications=section.replications,
            draw=section.draw,
            payments=section.payments or (),
            money=section.money,
            reserves=section.reserves or (),
            seed=section.seed,
        )


def _bidder(section: MarketSection, agent: Agent) -> MarketBidder:
    ((policy, number),) = (section.policies or {}).get(agent.id, {DEFAULT_POLICY: None}).items()
    budget = (section.budgets or {}).get(agent.id, float("inf"))
    per_day = isinstance(budget, DailyBudget)
    amount = budget.per_day if isinstance(budget, DailyBudget) else budget
    return MarketBidder(agent, wanted_of(section.values[agent.id]), policy, number, amount, per_day)


def wanted_of(value: MarketValue) -> MarketWorth:
    """Of a value that has one kind."""
    ((kind, found),) = value.model_dump(exclude_none=True).items()
    if isinstance(found, dict):
        ((judge, number),) = found.items()
        return MarketWorth(kind, number, judge)
    return MarketWorth(kind, found)
