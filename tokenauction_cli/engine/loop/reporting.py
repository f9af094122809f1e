"""Who speaks in a text: what every agent reports itself to be, and who has no part in it but measures it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ...experiment.experiment import Agent, Experiment
from ...experiment.resolved.text_audit import AgentMisreport
from ...mechanism.truncation import OFF
from ..plan import prompt_set_name
from .token_loop import PromptSet

NO_MISREPORT = ""

BY_OWN_MODEL = ("log_ratio", "tv", "reverse_kl")
"""Kinds of utility that the agent's own model measures."""


class Reporting(NamedTuple):
    """Agents as they report themselves, and scorers: the reference, if any, then who a misreporting agent really is.

    `report` is that of the cells, `truth` the agent that the last scorer is: None where it is not asked for.
    """

    report: str
    agents: tuple[Agent, ...]
    scorers: tuple[Agent, ...]
    truth: int | None = None

    @property
    def voices(self) -> tuple[Agent, ...]:
        """Agents, then scorers."""
        return (*self.agents, *self.scorers)


def honest(experiment: Experiment) -> Reporting:
    """Every agent reports its own model."""
    return Reporting(NO_MISREPORT, experiment.agents, () if experiment.reference is None else (experiment.reference,))


def misreported(experiment: Experiment, misreport: AgentMisreport) -> Reporting:
    """One agent does not; its own model measures the text where its utility asks that."""
    i = misreport.agent
    agents = (*experiment.agents[:i], misreport.reported, *experiment.agents[i + 1 :])
    scorers = honest(experiment).scorers
    if not _is_measured(experiment, i):
        return Reporting(identity(experiment, misreport), agents, scorers)
    return Reporting(identity(experiment, misreport), agents, (*scorers, experiment.agents[i]), i)


def _is_measured(experiment: Experiment, agent: int) -> bool:
    return any(utility.kind in BY_OWN_MODEL for utility in experiment.text_audit.utilities[agent])


def identity(experiment: Experiment, misreport: AgentMisreport) -> str:
    """What tells a report from others, as canonical JSON: whose it is, what it is given to say, and whether its own
    model measures the text: a record without that does not say what the text is worth by it.
    """
    said, own = misreport.reported, experiment.agents[misreport.agent]
    voice: list[Any] = [said.model, said.prompt, said.messages, said.distributions, said.temperature]
    voice += [] if said.truncation == OFF else [said.truncation]
    measured = ["measured"] if _is_measured(experiment, misreport.agent) else []
    return json.dumps([own.id, *voice, *measured], ensure_ascii=True, separators=(",", ":"))


def voices_of(reportings: Sequence[Reporting]) -> list[Agent]:
    """Everybody who speaks in one of them, once."""
    return list({id(voice): voice for reporting in reportings for voice in reporting.voices}.values())


def prompt_sets_of(
    reportings: Sequence[Reporting], voices: Sequence[Agent], prompts: Mapping[str, Sequence[Any]]
) -> dict[str, PromptSet]:
    """The prompt set of every query and reporting, given the prompts of the voices by query; equal ones are one."""
    known: dict[PromptSet, PromptSet] = {}
    prompt_sets = {}
    for query, of_voices in prompts.items():
        by_voice = {id(voice): prompt for voice, prompt in zip(voices, of_voices, strict=True)}
        for reporting in reportings:
            prompt_set = _prompt_set(reporting, by_voice)
            prompt_sets[prompt_set_name(query, reporting.report)] = known.setdefault(prompt_set, prompt_set)
    return prompt_sets


def _prompt_set(reporting: Reporting, by_voice: Mapping[int, Any]) -> PromptSet:
    asked = [by_voice[id(voice)] for voice in reporting.voices]
    distinct = tuple(dict.fromkeys(asked))
    places = tuple(distinct.index(prompt) for prompt in asked)
    n_agents = len(reporting.agents)
    return PromptSet(distinct, places[:n_agents], places[n_agents:], reporting.report)
