"""Mistakes in `judges`: names that make no column, questions that are asked of no agent."""

from __future__ import annotations

from collections.abc import Iterator, Set

from ...system.errors import PromptError
from ..format.draft import Draft, PlacedTemplate
from ..source.source import RESERVED_IDS
from ..templates.prompts import names_in


def check_judges(draft: Draft) -> None:
    """Report the mistakes of every judge; those of its model and template are found with the agents'."""
    for name, judge in draft.judges.items():
        if name in RESERVED_IDS:
            message = f"the name {name!r} is that of an interval's end in summary.csv; choose another"
            draft.source.problem(("judges", name), message, at_key=True)
        if "agent" in _names(judge.prompt):
            message = "{{ agent }} is known to a judge in audit.texts.value alone: this one reads texts for nobody"
            draft.source.problem(("judges", name, "prompt"), message)


def _names(prompt: str) -> Set[str]:
    try:
        return names_in(prompt)
    except PromptError:  # which is reported with the templates
        return frozenset()


def judge_templates(draft: Draft) -> Iterator[PlacedTemplate]:
    """The questions of the judges of every text."""
    for name, judge in draft.judges.items():
        yield PlacedTemplate(("judges", name, "prompt"), judge.prompt, "", is_question=True)
