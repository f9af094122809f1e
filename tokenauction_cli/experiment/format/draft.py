"""The parts of an experiment file on the way to an Experiment, as the checks see them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from ..source.located_yaml import KeyPath
from ..source.source import Source, agent_names, default_ids
from .agents import AgentSection, Reference, Voice
from .auction import AuctionSection
from .audit import TextAuditSection
from .expect import ExpectationSection
from .judges import TextJudge
from .market import MarketSection
from .sweep import Sweep


class PlacedVoice(NamedTuple):
    """An agent or the reference: where it stands, what it is called, as written, and None where its form is wrong."""

    path: KeyPath
    what: str
    name: str
    entry: dict[str, Any]
    section: Voice | None


class PlacedTemplate(NamedTuple):
    """A text that is a template, where it stands, and the name of the agent that it is rendered for.

    A question to a judge knows the text that it is about, too.
    """

    path: KeyPath
    source: str
    agent: str
    is_question: bool = False


@dataclass
class Draft:
    """The parts of a file, None where the form of a part is wrong."""

    source: Source
    entries: list[Any]  # the agents as written
    agents: list[AgentSection | None]
    reference: Reference | None
    models: dict[str, Any]
    auction: AuctionSection | None
    sweep: Sweep | None
    expect: list[ExpectationSection | None]
    text_audit: TextAuditSection | None
    market: MarketSection | None
    judges: dict[str, TextJudge]  # those whose form is right
    queries: list[str]  # of every row
    query_rows: list[dict[str, Any]]  # what each has beside its query
    trust: list[str]

    @cached_property
    def n_queries(self) -> int:
        """How many queries there are, each once; at least the empty one."""
        return max(1, len(set(self.queries)))

    @cached_property
    def _ids(self) -> list[str]:
        return default_ids(self.entries)

    @cached_property
    def _labels(self) -> dict[str, int]:
        ids = {label: i for i, label in enumerate(self._ids)}
        return ids | {name: i for i, name in enumerate(agent_names(self.entries)) if name}

    @property
    def token_auction(self) -> AuctionSection | None:
        """The auction where the token auction is one of its mechanisms, so that its rules have a meaning."""
        return self.auction if self.auction is not None and self.auction.auctions_tokens else None

    @cached_property
    def voices(self) -> list[PlacedVoice]:
        """The agents, and the reference where there is one."""
        named = zip(agent_names(self.entries), self.entries, self.agents, strict=True)
        voices = [
            PlacedVoice(("agents", i), "an agent", name, entry, agent)
            for i, (name, entry, agent) in enumerate(named)
            if isinstance(entry, dict)
        ]
        reference = self.source.get("reference")
        if isinstance(reference, dict):
            voices.append(PlacedVoice(("reference",), "a reference", "reference", reference, self.reference))
        return voices

    def model(self, named: str) -> str:
        """The reference of a model: what `models` says where it is a key of that."""
        reference: str = self.models.get(named, named)
        return reference

    def agent(self, label: str) -> int | None:
        """The index of the agent with this name or id."""
        return self._labels.get(label)

    def name(self, label: str) -> str:
        """The name of the agent with this name or id; the label itself where there is none."""
        index = self.agent(label)
        return label if index is None else agent_names(self.entries)[index]

    def require_agent(self, label: str) -> int:
        """The same where it is known to exist."""
        return self._labels[label]

    def by_id(self, named: Mapping[str, Any]) -> dict[str, Any]:
        """The same with agents named by id."""
        return {self._ids[self._labels[label]]: value for label, value in named.items()}

    def known_agents(self) -> list[str]:
        """Every name and id."""
        return list(self._labels)

    def swept_agent(self, sweep: Sweep) -> int:
        """The index of `sweep.agent`; by default the first agent that is no reference."""
        if sweep.agent is not None:
            return self._labels[sweep.agent]
        return next((i for i, agent in enumerate(self.agents) if agent and not agent.reference), 0)
