"""What an audit of whole texts asks, as `audit.texts` in its file says: whose text is worth what, and what is tried.

A *deviation* is one agent's bid and report; all others keep their bids and are honest. A *misreport* is a report that
is not the agent's own model: another temperature, another prompt, another table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .experiment import Agent

GRID = (0.0, 0.125, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 4.0)
"""`bids: auto`: the value times these."""

FEW_SEEDS = 30
"""Fewer seeds than this are a warning in every output."""

HONEST = "honest"


@dataclass(frozen=True)
class Judge:
    """A model that is asked one question about a finished text; `prompt` is a template that knows `text` too."""

    model: str
    prompt: str


@dataclass(frozen=True)
class Utility:
    """What an agent wants of a text: u is `value` times what `kind` measures, before payments.

    mention     1 where its brand occurs, else 0
    count       how often it occurs
    log_ratio   l_i - l_0, what its model gives to the text beyond the reference
    reverse_kl  -sum over tokens of KL(q || p_i)
    tv          -sum over tokens of TV(p_i, q)
    judge       p(Yes) / (p(Yes) + p(No)) of a model that is asked about the text
    """

    kind: str
    value: float
    judge: Judge | None = None


@dataclass(frozen=True)
class Misreport:
    """A false report: the index of an agent, and the agent that it says it is. `name` is as in `temperature 0.5`."""

    name: str
    agent: int
    reported: Agent


@dataclass(frozen=True)
class TextAudit:
    """An audit of whole texts, every default filled in.

    `utilities` by the index of the agent that has them; `bids` are those to try, None for `GRID` times the value; `at`
    are the bids of all agents that the others keep, (n,).
    """

    utilities: Mapping[int, tuple[Utility, ...]]
    bids: tuple[float, ...] | None
    misreports: tuple[Misreport, ...]
    seeds: int
    at: tuple[float, ...]

    def grid(self, value: float) -> tuple[float, ...]:
        """The bids to try for an agent with this value, ascending, the value among them."""
        tried = self.bids if self.bids is not None else tuple(value * share for share in GRID)
        return tuple(sorted({*tried, value}))
