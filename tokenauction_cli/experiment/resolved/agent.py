"""An agent of an experiment, every name resolved and every default filled in."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from ...mechanism.truncation import OFF, Truncation
from ...text.mentions import Phrases
from ..format.agents import Adapters, AgentSection, Reference


@dataclass(frozen=True)
class AdapterChoice:
    """An adapter of an agent's model: its reference, and by how much it counts."""

    file: str
    scale: float


def adapters_of(section: Adapters | None) -> tuple[AdapterChoice, ...]:
    """Those of a section whose names are resolved."""
    return tuple(AdapterChoice(one.file, one.scale) for one in section or ())


@dataclass(frozen=True)
class Agent:
    """A bidder: with a model that is given a raw `prompt` or `messages` (role, text), or with `distributions`.

    A reference agent is not charged. `budget` is inf where there is none;
    `truncation` follows the temperature.
    """

    name: str
    id: str
    model: str | None
    adapters: tuple[AdapterChoice, ...]
    prompt: str | None
    messages: tuple[tuple[str, str], ...]
    distributions: Mapping[str, Mapping[str, float]] | None
    bid: float
    temperature: float
    mentions: tuple[str, ...]
    reference: bool
    budget: float
    truncation: Truncation = OFF

    @cached_property
    def phrases(self) -> Phrases:
        """What counts as a mention of it, ready to be searched for."""
        return Phrases(self.mentions)

    @classmethod
    def of(cls, agent: AgentSection) -> Agent:
        """From a section whose names are resolved."""
        said = [(message.role, message.content) for message in agent.messages or ()]
        if agent.chat is not None:
            said = [("system", agent.chat.system)] if agent.chat.system is not None else []
            said.append(("user", agent.chat.user))
        return cls(
            name=agent.name,
            id=agent.id,
            model=agent.model,
            adapters=adapters_of(agent.adapter),
            prompt=agent.prompt,
            messages=tuple(said),
            distributions=agent.distributions,
            bid=agent.bid,
            temperature=agent.temperature,
            mentions=agent.mentions,
            reference=agent.reference,
            budget=math.inf if agent.budget is None else agent.budget,
            truncation=Truncation(
                agent.top_k or OFF.top_k, OFF.top_p if agent.top_p is None else agent.top_p, agent.min_p or OFF.min_p
            ),
        )

    @classmethod
    def of_reference(cls, reference: Reference) -> Agent:
        """What scores the texts, as an agent that neither bids nor pays and is not looked for in a text."""
        return cls.of(AgentSection(name="reference", id="reference", bid=0.0, reference=True, **dict(reference)))
