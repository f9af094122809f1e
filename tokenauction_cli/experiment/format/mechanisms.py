"""What `auction` may say of the mechanisms beside the token auction: a section of settings for each that has any.

Mistakes against the other sections are found in `mechanism_checks.py`; `mechanism_choice.py` has what comes out.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, Strict

from .values import Bids, FilledText, Flag, Number, Section, says

MAX_CANDIDATES, MAX_SEGMENTS = 10_000, 1_000
CandidateCount = Annotated[
    Literal["all"] | Annotated[int, Strict(), Field(ge=1, le=MAX_CANDIDATES)],
    says(f"all or a whole number from 1 to {MAX_CANDIDATES}"),
]
SegmentCount = Annotated[
    int, Strict(), Field(ge=1, le=MAX_SEGMENTS), says(f"a whole number from 1 to {MAX_SEGMENTS}")
]  # fmt: skip


class TextPoolSection(Section):
    """The log pool of whole texts: bids choose one of the candidates, which do not depend on them."""

    candidates: CandidateCount = Field(
        default=20,
        description="Texts per query and seed. all, for agents with tables in an auction of tokens: every text once.",
    )
    generator: FilledText = Field(
        default="log_linear",
        description="The aggregation rule that writes the candidates, where agents that are charged bid 1. With the "
        "candidates all it is not used.",
    )


class MosaicSection(TextPoolSection):
    """MOSAIC: candidates of the reference, reweighted by what bidders would pay for them."""

    tau: Number = Field(
        default=2.0,
        description="In money per nat, what a departure from the reference must be worth. 0: the best candidate.",
    )
    score: Annotated[Literal["log_ratio", "mention"], says("log_ratio or mention")] = Field(
        default="log_ratio",
        description="What an agent pays for: log_ratio, the log probability that its model gives the text minus that "
        "of `reference`; mention, 1 where its brand occurs.",
    )


class SegmentSection(Section):
    """The segment auction: for each segment of the text agents bid to write it."""

    unit: Annotated[Literal["token", "sentence", "text"], says("token, sentence or text")] = Field(
        default="sentence", description="What a winner writes: to the next token, the end of a sentence or of the text."
    )
    segments: SegmentCount | None = Field(
        default=None, description="How many segments a text has. Default: 3, and 1 with the unit text."
    )
    replacement: Flag = Field(default=True, description="Whether a winner may win a later segment, too.")
    relevance: Bids | None = Field(
        default=None, description="By agent (name or id), q, which multiplies its bid. Default: 1 for each."
    )


SETTINGS: dict[str, type[Section]] = {"mosaic": MosaicSection, "segment": SegmentSection, "text_pool": TextPoolSection}

OF_TOKEN_AUCTION = ("aggregation", "payments", "charge")
"""The keys of `auction` that mean nothing to other mechanisms."""
