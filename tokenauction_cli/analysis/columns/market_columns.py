"""The columns of a market: what every bidder and the seller come to, and the paths of bids and of money."""

from __future__ import annotations

from .column import BIDS, Column, File
from .mechanism_columns import MECHANISM

_HEADS = (
    MECHANISM,
    Column("aggregation", "The aggregation rule; empty for other mechanisms.", is_text=True),
    Column("payment", "The payment rule; of another mechanism its name.", is_text=True),
    Column("reserve", "The least bid that counts, in the run that the texts come from.", BIDS),
    Column("agent", "The id of the bidder; empty in the row of all bidders together.", is_text=True),
    Column("policy", "How the bidder chooses its bids.", is_text=True),
)
_ESTIMATES = (
    Column("revenue", "What the bidder pays for a round; of all: what the seller earns.", BIDS, "text"),
    Column("welfare", "What a round's text is worth to the bidder; of all: the sum.", BIDS, "text"),
    Column("utility", "What a round is worth to the bidder less what it pays.", BIDS, "text", "welfare - revenue"),
    Column("spend", "What is paid in all rounds together.", BIDS),
    Column("budget_share", "The share of the budget that is spent; empty without a budget.", "share"),
    Column(
        "mean_bid",
        "The bid, of the grid, in the mean over the last half of the rounds up to `ended`.",
        BIDS,
    ),
    Column("ended", "The last round in which the bidder bid above 0; 0 if it never did.", "rounds"),
    Column(
        "outside",
        "The share of the rounds in which the policy's bid was outside of the grid, so that the grid's end was bid.",
        "share",
    ),
    Column("mentions", "The share of the rounds whose text mentions the bidder.", "share"),
    Column(
        "regret",
        "What the best bid of the grid, the same in every round, would have got beyond what the bidder got; the "
        "others' bids stay what they were. With a budget: the best multiple of the value, while the money lasts.",
        BIDS,
        "text",
        "max_b' mean_t (u(b', b_-i,t) - u(b_t))",
    ),
    Column(
        "price_of_anarchy",
        "The welfare of the best bids of the grid over the market's; empty where either is not above 0.",
        "ratio",
        "",
        "best_welfare / welfare",
    ),
)
_NUMBERS = (
    Column("value", "What a unit of worth is to the bidder, in the mean over queries.", BIDS),
    Column("budget", "What the bidder can pay in all rounds together; empty without a budget.", BIDS),
    Column(
        "best_welfare",
        "The mean welfare of the best bids of the grid, the same in every round: chosen on one half of the seeds and "
        "measured on the other.",
        BIDS,
        "text",
    ),
    Column("truthful.revenue", "`revenue` where every bidder bids its value, without budgets; exact.", BIDS, "text"),
    Column("truthful.welfare", "`welfare` there.", BIDS, "text"),
    Column("truthful.utility", "`utility` there.", BIDS, "text"),
    Column("truthful.mentions", "`mentions` there.", "share"),
)
ESTIMATES = tuple(one.name for one in _ESTIMATES)
"""Figures with a 95 % interval over replications."""
NUMBERS = tuple(one.name for one in _NUMBERS)


def _with_ends(column: Column) -> tuple[Column, ...]:
    low = Column(f"{column.name}.low", "The lower end of its 95 % interval over replications.", column.unit, column.per)
    return column, low, low._replace(name=f"{column.name}.high", meaning="The upper end of that interval.")


_PATHS = (
    Column("round", "The last round of a window of rounds, from 1."),
    Column("bid", "The mean bid in the window: the median over replications.", BIDS),
    Column("bid.low", "Its 5th percentile over replications.", BIDS),
    Column("bid.high", "Its 95th percentile.", BIDS),
    Column("spent", "What was paid up to that round: the median over replications.", BIDS),
    Column("spent.low", "Its 5th percentile over replications.", BIDS),
    Column("spent.high", "Its 95th percentile.", BIDS),
)
MARKET_FILES = (
    File(
        "market.csv",
        "One row per rule or mechanism, payment and bidder, and one for all bidders: what `tokauction market` found. "
        "Means over rounds, with intervals over replications.",
        (
            *_HEADS,
            *_NUMBERS[:2],
            *(end for column in _ESTIMATES for end in _with_ends(column)),
            *_NUMBERS[2:],
            Column("rounds", "Rounds of a replication."),
            Column("replications", "How often the market was played."),
            Column("queries", "Queries of the run."),
            Column("seeds", "Texts per query and set of bids that the market rests on."),
        ),
    ),
    File(
        "market_paths.csv",
        "One row per rule or mechanism, payment, bidder and window of rounds, at most 200 windows.",
        (*_HEADS, *_PATHS),
    ),
)
