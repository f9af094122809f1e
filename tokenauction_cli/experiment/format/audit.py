"""What `audit` in an experiment file may say: whose text is worth what, and which bids and reports are tried.

Mistakes against the other sections are found in `text_audit_checks.py`; `text_audit.py` has what comes out.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from .judges import TextJudge
from .values import Bids, Count, FilledText, Number, Positive, Rows, Section, Share


class Judge(TextJudge):
    """A judge of one agent's texts: a model, its question, and what the answer Yes is worth."""

    value: Number = Field(description="What the answer Yes is worth.")


def _tag_of_judge(value: Any) -> str:
    is_whole = isinstance(value, Judge) or (isinstance(value, dict) and value.keys() & Judge.model_fields.keys())
    return "judge itself" if is_whole else "judge by name"


NamedOrWhole = Annotated[
    Annotated[Judge, Tag("judge itself")]
    | Annotated[dict[FilledText, Number], Field(min_length=1, max_length=1), Tag("judge by name")],
    Discriminator(_tag_of_judge),
]


class Utilities(Section):
    """What one agent wants of a text: each key is audited on its own, and its number is the value v."""

    mention: Number | None = Field(default=None, description="v where the agent's brand occurs in the text.")
    count: Number | None = Field(default=None, description="v for each occurrence of the brand.")
    log_ratio: Number | None = Field(
        default=None,
        description="v times the log probability that the agent's model gives the text, minus that of `reference`.",
    )
    reverse_kl: Number | None = Field(
        default=None, description="Minus v times KL(q, p), of the aggregate q and the agent's p, summed over the draws."
    )
    tv: Number | None = Field(
        default=None, description="Minus v times the total variation between q and p, summed over the draws."
    )
    judge: NamedOrWhole | None = Field(
        default=None,
        description="v times the chance that a judge says Yes: {NAME: v} for one of `judges`, or a judge of its own.",
    )


class Reports(Section):
    """The misreports that are tried beside an agent's honest report, each with every bid."""

    temperature: Annotated[tuple[Positive, ...], Field(min_length=1)] | None = Field(
        default=None, description="Temperatures in place of the agent's own, for every agent that has a value."
    )
    prompts: dict[FilledText, Annotated[tuple[FilledText, ...], Field(min_length=1)]] | None = Field(
        default=None,
        description="By agent (name or id), prompts in place of its own, or of the last message that its user says.",
    )
    distributions: dict[FilledText, Annotated[tuple[Rows, ...], Field(min_length=1)]] | None = Field(
        default=None, description="By agent (name or id), tables in place of its own, as its `distributions`."
    )


class KeptBids(Section):
    """The bids that all agents but the one that deviates keep: by relative_weight or by bids."""

    relative_weight: Share | None = Field(
        default=None, description="The bids of the sweep at this relative weight of the swept agent."
    )
    bids: Bids | None = Field(
        default=None, description="Bids of agents (name or id); those that are not named bid their own."
    )


def _tag_of_bids(value: Any) -> str | None:
    if isinstance(value, (list, tuple)):
        return "list"
    return "auto" if value == "auto" else None


TriedBids = Annotated[
    Annotated[Literal["auto"], Tag("auto")] | Annotated[tuple[Number, ...], Field(min_length=1), Tag("list")],
    Discriminator(_tag_of_bids, custom_error_type="expected", custom_error_message="expected auto, or a list of bids"),
]


class TextAuditSection(Section):
    """Does an agent gain by another bid or report than the truth, where a whole text is what it wants?"""

    value: Annotated[dict[FilledText, Utilities], Field(min_length=1)] | None = Field(
        default=None,
        description="What each agent (name or id) wants. Default: a mention is worth its own bid to every agent that "
        "is charged.",
    )
    bids: TriedBids = Field(
        default="auto",
        description="The bids that are tried, beside the value. auto: the value times 0, 1/8, 1/4, 1/2, 3/4, 1, 3/2, 2 "
        "and 4.",
    )
    reports: Reports | None = Field(default=None, description="The misreports that are tried. Default: none.")
    seeds: Count = Field(default=200, description="How many seeds (0, 1, ...) per deviation.")
    at: KeptBids | None = Field(default=None, description="The bids that the others keep. Default: the agents' own.")


class AuditSection(Section):
    """What `tokauction audit` tries; it does not change the run or its folder."""

    texts: TextAuditSection = Field(description="Incentives over whole texts, for `tokauction audit --texts`.")
