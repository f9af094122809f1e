"""What `expect` may say: what must hold of a finished run.

Mistakes against the other sections are found in `expectation_checks.py`.
"""

from __future__ import annotations

from pydantic import Field

from .values import Bids, Bound, FilledText, Section, Share, Text, Whole


class At(Section):
    """The rows that an expectation is about: those that agree with every key that is given.

    A key of the file, as in `models.of_beta: gemma3-270m`, chooses the members of a matrix that it is about.
    """

    query: Text | None = Field(default=None, description="One of `queries`.")
    mechanism: FilledText | None = Field(default=None, description="One of the mechanisms.")
    aggregation: FilledText | None = Field(default=None, description="One of the aggregation rules.")
    relative_weight: Share | None = Field(default=None, description="One of the relative weights of the sweep.")
    point: Whole | None = Field(default=None, description="The number of a sweep point, from 0.")
    bids: Bids | None = Field(default=None, description="Bids of agents (name or id) at a sweep point.")


class TextTest(Section):
    """What a text is asked; it passes where all that is given holds."""

    contains: FilledText | None = Field(
        default=None,
        description="This very string stands in the text; only a mention (docs/reference/mentions.md) may be spelled "
        "otherwise.",
    )
    not_contains: FilledText | None = Field(default=None, description="This very string does not stand in the text.")
    matches: FilledText | None = Field(
        default=None, description="A regular expression (of Python) that fits some part of the text; (?i) for any case."
    )


class ExpectationSection(Section):
    """What must hold of a finished run, else `tokauction run` exits with 4: bounds of a figure, or a test of texts."""

    figure: FilledText | None = Field(
        default=None,
        description="A column of numbers of summary.csv, else of cells.csv, or trend.F, the tau of a figure F in "
        "trends.csv (trend.F.violation: another column). Every row must hold; an empty number holds no bound.",
    )
    text: TextTest | None = Field(default=None, description="In place of `figure`: a test of each text.")
    at: At | None = Field(default=None, description="Which rows. Default: all.")
    min: Bound | None = Field(default=None, description="The least that the figure may be.")
    max: Bound | None = Field(default=None, description="The most that the figure may be.")
    share: Share | None = Field(
        default=None, description="The least share of the texts that must pass `text`. Default: 1."
    )
