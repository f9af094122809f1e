"""What `auction` may say: which mechanisms run, and the rules of the token auction.

Settings of the other mechanisms are in `mechanisms.py`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, Strict

from .constraint import ConstraintSection
from .mechanisms import MosaicSection, SegmentSection, TextPoolSection
from .values import FilledText, Number, RuleNames, Section, Share, Text, says

MAX_RULES = 64
TOKEN_AUCTION = "token_auction"
CUSTOM_RULE = r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$"
MAX_TOKENS, MAX_BYTES = 64, 160
SPACE = " "
Length = Annotated[int, Strict(), Field(ge=1, le=100_000), says("a whole number from 1 to 100000")]


class CoveringSection(Section):
    """How much of a model's tokenisations of a text is followed; exact, and exponential in the text, with both at 0."""

    open: Share = Field(
        default=0.0003, description="A tokenisation is followed from this share of all that are alive on."
    )
    merge: Share = Field(
        default=0.001, description="Of those that end at one byte, the ones below this share join the heaviest."
    )


class AuctionSection(Section):
    """The mechanism: how distributions are aggregated, tokens drawn, payments computed; or whole texts auctioned."""

    mechanism: Annotated[RuleNames, Field(min_length=1, max_length=MAX_RULES)] | None = Field(
        default=None,
        description="One mechanism or a list: each makes its own texts and has its own payments. Default: "
        "token_auction. Their bids are per token, segment or text. One of your own takes no settings; if it chooses "
        "among candidates, there are 20 by log_linear.",
    )
    mosaic: MosaicSection | None = Field(default=None, description="Settings of the mechanism mosaic.")
    segment: SegmentSection | None = Field(default=None, description="Settings of the mechanism segment.")
    text_pool: TextPoolSection | None = Field(default=None, description="Settings of the mechanism text_pool.")
    aggregation: Annotated[RuleNames, Field(min_length=1, max_length=MAX_RULES)] = Field(
        default=("linear",),
        description="Of the token auction: one aggregation rule or a list; each makes its own texts.",
    )
    payments: Annotated[RuleNames, Field(max_length=MAX_RULES)] = Field(
        default=("pay_your_bid",), description="Of the token auction: payment rules, computed on the same texts."
    )
    sampling: FilledText | None = Field(
        default=None,
        description="How a token is drawn from the aggregate. `stable`, the default, draws rules without a stable "
        "sampling by a coupling to it; the column `sampling` then says `coupled`. Other mechanisms write by it, too.",
    )
    alphabet: Annotated[Literal["tokens", "bytes", "words"], says("tokens, bytes or words")] | None = Field(
        default=None,
        description="What is auctioned one after the other. tokens, the default, needs agents with one vocabulary; "
        "bytes and words do not. A word is drawn byte by byte and charged as a whole; it ends with white space (bytes "
        "09 to 0D and 20), at the end of the text, or where the text is cut. words need linear or random_dictator.",
    )
    max_tokens: Length | None = Field(
        default=None, description=f"The most tokens that one text may have. Default: {MAX_TOKENS}."
    )
    max_bytes: Length | None = Field(
        default=None, description=f"The same in bytes, with the alphabet bytes or words. Default: {MAX_BYTES}."
    )
    covering: CoveringSection | None = Field(
        default=None, description="With the alphabet bytes or words: how closely a model's tokenisations are followed."
    )
    separator: Text | None = Field(
        default=None,
        description="What joins the tokens of tables in texts and in the keys of `distributions`. Default: one space. "
        "Another one must not let two sequences of tokens make the same text.",
    )
    stop: tuple[FilledText, ...] = Field(default=(), description="Texts that end a text; they are cut off.")
    constraint: ConstraintSection | None = Field(
        default=None,
        description="The form of every text: each agent's distribution is cut to the tokens with which the text can "
        "still become one of the form, before distributions are aggregated.",
    )
    charge: FilledText | None = Field(default=None, description="The payment rule that budgets pay.")
    reserve: Number | None = Field(
        default=None,
        description="Reserve price, for what a bid is for: a lower bid counts as 0. No bid counts: unsold.",
    )
    trace: Annotated[Literal["none", "chosen", "top_k"], says("none, chosen or top_k")] = Field(
        default="none",
        description="What is kept of every token's distributions, in texts of the token auction.",
    )

    @property
    def mechanisms(self) -> tuple[str, ...]:
        """Those listed, or the token auction."""
        return self.mechanism or (TOKEN_AUCTION,)

    @property
    def auctions_tokens(self) -> bool:
        """Whether the token auction is one of the mechanisms: its rules have no meaning where it is not."""
        return TOKEN_AUCTION in self.mechanisms

    @property
    def n_kinds(self) -> int:
        """How many kinds of text there are: one per aggregation rule of the token auction and per other mechanism."""
        return sum(len(self.aggregation) if name == TOKEN_AUCTION else 1 for name in self.mechanisms)
