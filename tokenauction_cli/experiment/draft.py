"""The parts of an experiment file on the way to an Experiment, as the checks see them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from .file_format import Agent, Auction, Expectation, Sweep
from .source import Source, agent_names, default_ids


@dataclass
class Draft:
    """The parts of a file, None where the form of a part is wrong."""

    source: Source
    entries: list[Any]  # the agents as written
    agents: list[Agent | None]
    models: dict[str, Any]
    auction: Auction | None
    sweep: Sweep | None
    expect: list[Expectation | None]
    queries: list[str]
    trust: list[str]

    @cached_property
    def _labels(self) -> dict[str, int]:
        ids = {label: i for i, label in enumerate(default_ids(self.entries))}
        return ids | {name: i for i, name in enumerate(agent_names(self.entries)) if name}

    def agent(self, label: str) -> int | None:
        """The index of the agent with this name or id."""
        return self._labels.get(label)

    def require_agent(self, label: str) -> int:
        """The same where it is known to exist."""
        return self._labels[label]

    def by_id(self, named: Mapping[str, Any]) -> dict[str, Any]:
        """The same with agents named by id."""
        ids = default_ids(self.entries)
        return {ids[self._labels[label]]: value for label, value in named.items()}

    def known_agents(self) -> list[str]:
        """Every name and id."""
        return list(self._labels)

    def swept_agent(self, sweep: Sweep) -> int:
        """The index of `sweep.agent`; by default the first agent that is no reference."""
        if sweep.agent is not None:
            return self._labels[sweep.agent]
        return next((i for i, agent in enumerate(self.agents) if agent and not agent.reference), 0)
