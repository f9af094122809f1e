"""What an audit of whole texts asks, as `audit.texts` in its file says: whose text is worth what, and what is tried.

A *deviation* is one agent's bid and report; all others keep their bids and are honest. A *misreport* is a report that
is not the agent's own model: another temperature, another prompt, another table.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from ..format.audit import Judge, KeptBids, Reports, TextAuditSection, Utilities
from .agent import Agent
from .sweep import SweepAgent, shared_bids

GRID = (0.0, 0.125, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 4.0)
"""`bids: auto`: the value times these."""

FEW_SEEDS = 30
"""Fewer seeds than this are a warning in every output."""

HONEST = "honest"

USER = "user"


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
class AgentMisreport:
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
    misreports: tuple[AgentMisreport, ...]
    seeds: int
    at: tuple[float, ...]

    @classmethod
    def of(cls, section: TextAuditSection, agents: Sequence[Agent], swept: int, total_bid: float) -> TextAudit:
        """From a section whose names are resolved and whose values are filled in; `at` by the bids of the sweep."""
        audit = cls.honest(section, agents, swept, total_bid)
        return replace(audit, misreports=tuple(_misreports(section.reports, agents, tuple(audit.utilities))))

    @classmethod
    def honest(cls, section: TextAuditSection, agents: Sequence[SweepAgent], swept: int, total_bid: float) -> TextAudit:
        """The same without its misreports: what is known of agents that only bid."""
        value = section.value or {}
        return cls(
            utilities={i: tuple(_utilities(value[agent.id])) for i, agent in enumerate(agents) if agent.id in value},
            bids=None if section.bids == "auto" else section.bids,
            misreports=(),
            seeds=section.seeds,
            at=_kept_bids(section.at, agents, swept, total_bid),
        )

    def grid(self, value: float) -> tuple[float, ...]:
        """The bids to try for an agent with this value, ascending, the value among them."""
        tried = self.bids if self.bids is not None else tuple(value * share for share in GRID)
        return tuple(sorted({*tried, value}))

    @property
    def n_deviations(self) -> int:
        """How many settings of bids and report are tried under each rule, truth among them, before best replies."""
        tried = {
            ((*self.at[:i], bid, *self.at[i + 1 :]), report)
            for i, utilities in self.utilities.items()
            for bid in {bid for utility in utilities for bid in self.grid(utility.value)}
            for report in ("", *(f"{i} {one.name}" for one in self.misreports if one.agent == i))
        }
        return len(tried)


def _kept_bids(at: KeptBids | None, agents: Sequence[SweepAgent], swept: int, total_bid: float) -> tuple[float, ...]:
    """The bids that the others keep, (n,); of a section whose agents are named by id."""
    if at is not None and at.relative_weight is not None:
        return shared_bids(agents, swept, at.relative_weight, total_bid)
    bids = at.bids or {} if at is not None else {}
    return tuple(bids.get(agent.id, agent.bid) for agent in agents)


def _utilities(section: Utilities) -> Iterator[Utility]:
    for kind in type(section).model_fields:
        wanted = getattr(section, kind)
        if isinstance(wanted, Judge):
            yield Utility(kind, wanted.value, wanted)
        elif wanted is not None:
            yield Utility(kind, wanted)


def _misreports(reports: Reports | None, agents: Sequence[Agent], who: Sequence[int]) -> Iterator[AgentMisreport]:
    """Those of every agent that has a value, agent by agent; a report that is the agent's own is none."""
    if reports is None:
        return
    for i in who:
        for name, reported in _reported(reports, agents[i]):
            if reported != agents[i]:
                yield AgentMisreport(name, i, reported)


def _reported(reports: Reports, agent: Agent) -> Iterator[tuple[str, Agent]]:
    for temperature in reports.temperature or ():
        yield f"temperature {temperature:g}", replace(agent, temperature=temperature)
    for k, prompt in enumerate((reports.prompts or {}).get(agent.id, ()), start=1):
        yield f"prompt {k}", _prompted(agent, prompt)
    for k, rows in enumerate((reports.distributions or {}).get(agent.id, ()), start=1):
        yield f"distribution {k}", replace(agent, distributions=rows)


def _prompted(agent: Agent, prompt: str) -> Agent:
    """The agent with this prompt in place of its own, or of the last message that its user says."""
    if agent.prompt is not None:
        return replace(agent, prompt=prompt)
    last = max(k for k, (role, _) in enumerate(agent.messages) if role == USER)
    return replace(agent, messages=(*agent.messages[:last], (USER, prompt), *agent.messages[last + 1 :]))
