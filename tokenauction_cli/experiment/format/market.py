"""What `market` may say: bidders that learn and have budgets, in many rounds of the auctions of a finished run.

Mistakes against the other sections are found in `market_checks.py`; `resolved/market.py` has what comes out.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, Strict

from .values import FilledText, Number, Positive, RuleNames, Section, Whole, says

EVENLY = "evenly"
MAX_ROUNDS, MAX_REPLICATIONS = 10_000_000, 1_000

NumberOrColumn = Annotated[
    Annotated[float, Strict(), Field(ge=0, allow_inf_nan=False)] | Annotated[str, Strict(), Field(min_length=1)],
    says("a number of at least 0, or the name of a column of the queries"),
]


class MarketValue(Section):
    """What a text is worth to one agent: one of these, a number or the name of a column of the queries."""

    mention: NumberOrColumn | None = Field(default=None, description="v where the agent's brand occurs in the text.")
    count: NumberOrColumn | None = Field(default=None, description="v for each occurrence of the brand.")
    log_ratio: NumberOrColumn | None = Field(
        default=None,
        description="v times the log probability that the agent's model gives the text, minus that of `reference`.",
    )
    reverse_kl: NumberOrColumn | None = Field(
        default=None, description="Minus v times KL(q, p), of the aggregate q and the agent's p, summed over the draws."
    )
    tv: NumberOrColumn | None = Field(
        default=None, description="Minus v times the total variation between q and p, summed over the draws."
    )
    judge: Annotated[dict[FilledText, NumberOrColumn], Field(min_length=1, max_length=1)] | None = Field(
        default=None, description="v times the chance that a judge, named as in `judges`, says Yes: {quality: 2}."
    )


class DailyBudget(Section):
    """A budget that is whole again with every date."""

    per_day: Positive = Field(description="What may be paid on one date; the queries need a column time (ISO 8601).")


def _policy(value: Any) -> Any:
    """`{fixed: 1}` is one policy and its number."""
    return {value: None} if isinstance(value, str) else value


PolicyChoice = Annotated[
    dict[FilledText, Annotated[float, Strict(), Field(ge=0, allow_inf_nan=False)] | None],
    Field(min_length=1, max_length=1),
    BeforeValidator(_policy, json_schema_input_type=str | dict[str, Number]),
    says("the name of a policy, or one with its number, as in {fixed: 1}"),
]
BudgetChoice = Annotated[
    Positive | DailyBudget, says("a number above 0, or {per_day: 100}")
]  # fmt: skip
ByAgent = Field(min_length=1)


class MarketSection(Section):
    """Many rounds of the auctions of a finished run, among bidders that learn and have budgets."""

    values: Annotated[dict[FilledText, MarketValue], ByAgent] = Field(
        description="By agent (name or id), what a text is worth to it. Every agent that is charged needs a value."
    )
    policies: Annotated[dict[FilledText, PolicyChoice], ByAgent] | None = Field(
        default=None,
        description="By agent, how it chooses its bids: truthful, {fixed: 1}, {multiple: 0.8}, {shading: 0.3}, hedge, "
        "exp3, best_reply, pacing, or package.module:Name. Default: hedge.",
    )
    budgets: Annotated[dict[FilledText, BudgetChoice], ByAgent] | None = Field(
        default=None,
        description="By agent, what it can pay in all, or {per_day: 100}. Default: no limit. Its grid of bids needs a "
        "0.",
    )
    rounds: Annotated[int, Strict(), Field(ge=1, le=MAX_ROUNDS), says(f"a whole number from 1 to {MAX_ROUNDS}")] = (
        Field(default=10_000, description="Auctions in a row, each of one query and one seed of the run.")
    )
    replications: Annotated[
        int, Strict(), Field(ge=1, le=MAX_REPLICATIONS), says(f"a whole number from 1 to {MAX_REPLICATIONS}")
    ] = Field(default=20, description="How often the market is repeated, with other queries, seeds and draws.")
    draw: FilledText = Field(
        default=EVENLY, description="How queries are drawn: evenly, or by a column of numbers, such as weight."
    )
    payments: Annotated[RuleNames, Field(min_length=1)] | None = Field(
        default=None, description="The payment rules of the token auction to compare. Default: those of the file."
    )
    money: Annotated[Literal["expected", "realised"], says("expected or realised")] = Field(
        default="expected", description="What is paid: the mean payment of each draw, or the realised one."
    )
    reserves: Annotated[tuple[Number, ...], Field(min_length=1)] | None = Field(
        default=None,
        description="Reserves to compare, each from a run of the same file with that `auction.reserve`. Default: that "
        "of the file.",
    )
    seed: Whole = Field(default=0, description="Seed of the market: another seed, other draws.")
