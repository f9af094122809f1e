"""The columns of the files that sum up texts: a row is a sweep point, a trend along them, or two rules compared."""

from __future__ import annotations

from .column import BIDS, Column
from .mechanism_columns import MECHANISM
from .text_columns import AGGREGATION, POINT, QUERY, WEIGHT, WHERE

_PER_BYTES = f"{BIDS} per 1,000 bytes"
_OF_F = "that of F"
_INTERVALS = (
    Column(
        "F.low",
        "The lower end of the 95 % interval of F; empty where one text says nothing of it. Unpaired: it is of this row "
        "alone. Rows share their seeds, so two intervals do not say how sure the difference of two rows is.",
        _OF_F,
    ),
    Column("F.high", "The upper end of the 95 % interval of F; unpaired, as the lower one.", _OF_F),
)
_FIGURE = Column("figure", "The figure: the name of a column of summary.csv.", is_text=True)
_P_VALUE = "p_value"

SUMMARY = (
    *WHERE,
    POINT,
    WEIGHT,
    Column("bid.A", "The bid of agent A.", f"{BIDS} per token", "", "b_A"),
    Column("cells", "How many texts the row sums up; failed ones are left out.", "texts"),
    Column("mention_rate.A", "Share of the texts that mention agent A. Interval: Wilson, unpaired.", "share"),
    Column("co_mention_rate", "Share of the texts that mention all agents. Interval: Wilson, unpaired.", "share"),
    Column(
        "blend_rate", "Share of the texts with a blend. Only with `blends: true`. Interval: Wilson, unpaired.", "share"
    ),
    Column(
        "revenue_per_1000_bytes.<payment>",
        "What the seller earns for 1,000 bytes of text (UTF-8, without the stop string), so that auctions of tokens, "
        "bytes and words compare. Interval: BCa bootstrap of the ratio, over the texts of the row, unpaired.",
        _PER_BYTES,
        formula="1000 (sum over the texts of revenue.<payment>) / (sum over the texts of their bytes)",
    ),
    Column(
        "payment_per_1000_bytes.<payment>.A",
        "What agent A pays for 1,000 bytes of text. Interval: BCa bootstrap of the ratio, over the texts of the row, "
        "unpaired.",
        _PER_BYTES,
        formula="1000 (sum over the texts of payment.<payment>.A) / (sum over the texts of their bytes)",
    ),
    Column(
        "F",
        "Mean over the texts of the column F of cells.csv, empty ones left out. Interval: BCa bootstrap over the texts "
        "of the row, unpaired; of more than 4000 the normal one. It is too narrow of fewer than 5 texts.",
        _OF_F,
        formula="1/n sum over n texts of F",
    ),
    *_INTERVALS,
)
POOLED = (
    MECHANISM,
    AGGREGATION,
    POINT,
    WEIGHT,
    Column("queries", "How many queries the row sums up.", "queries"),
    Column("cells", "How many texts they have together.", "texts"),
    Column(
        "interval",
        "How the intervals are made: over the queries by Student's t, within the range of the figure; of rates "
        "Wilson's with the effective number of texts. With fewer than 5 queries it says how few: "
        "such intervals are rough. Unpaired: queries are independent, and a row is taken by itself.",
        is_text=True,
    ),
    Column("F", "Mean over the queries of the mean of F in summary.csv.", _OF_F, formula="1/m sum over m queries of F"),
    *_INTERVALS,
)
TRENDS = (
    Column("query", "The query; empty in the row over all queries, and where the experiment has none.", is_text=True),
    *WHERE[1:],
    _FIGURE,
    Column("points", "Sweep points with a number.", "points"),
    Column(
        "tau",
        "Kendall's tau-b of the means against the relative weight: 1 always rising, -1 always falling.",
        "-1 to 1",
        formula="(concordant - discordant pairs) / sqrt(pairs not tied in weight × pairs not tied in mean)",
    ),
    Column(
        _P_VALUE,
        "Two-sided p-value of no slope along the weight, paired by seed: each seed's texts share their random numbers, "
        "so they give one number, T, and the signs of these are flipped (all signs up to 10 seeds, else 2000 draws of "
        "them). Each (query, seed) counts as a seed in the row over all queries. It is no p-value of tau. Empty for "
        "one seed, and under greedy sampling, where seeds say nothing; not corrected for the number of rows.",
        "0 to 1",
        formula="T = sum over a seed's points of (weight - its mean weight) × F",
    ),
    Column(
        "violation",
        "The largest distance of a mean from the nearest curve that moves one way, up or down, whatever the sign of "
        "tau; the nearest has the least sum of squares.",
        "that of the figure",
    ),
    Column(
        "unexplained",
        "The part of the variance of the means that this curve leaves; 0 for a figure that moves one way.",
        "0 to 1",
        formula="sum (mean - curve)^2 / sum (mean - mean of means)^2",
    ),
)
COMPARISONS = (
    QUERY,
    Column("point", "The number of the sweep point; empty: each seed's figures are first averaged over the points."),
    Column("relative_weight", "That of the point; empty as `point`.", "share"),
    Column("first", "The first aggregation rule or other mechanism.", is_text=True),
    Column("second", "The second aggregation rule or other mechanism.", is_text=True),
    Column("first_sampling", "How tokens were drawn under the first rule.", is_text=True),
    Column("second_sampling", "How tokens were drawn under the second rule.", is_text=True),
    _FIGURE,
    Column("seeds", "Seeds that both rules have, with a finite difference.", "seeds"),
    Column(
        "difference",
        "Mean over the seeds of the figure under the first rule less that under the second.",
        "that of the figure",
        formula="1/n sum over n seeds of (first - second)",
    ),
    Column("low", "The lower end of its 95 % interval.", "that of the figure"),
    Column("high", "The upper end of its 95 % interval.", "that of the figure"),
    Column(
        "interval",
        "`paired by seed` where the two rules' figures go together beyond chance: then it is the BCa bootstrap of the "
        "seeds' differences. So it is, at [0, 0], where no seed differs by more than rounding (1e-9 of the larger "
        "figure). Else `unpaired`: of two independent samples (square-and-add of the rules' own intervals). "
        "Of rates square-and-add of Wilson's intervals, with the correlation where it is paired.",
        formula="paired where correlation > tanh(1.645 / sqrt(seeds - 3))",
        is_text=True,
    ),
    Column(
        "correlation",
        "Pearson's correlation, over the seeds, of the figure under the two rules: what common random numbers gain. "
        "Empty where the figure is constant under one of them.",
        "-1 to 1",
    ),
    Column(
        _P_VALUE,
        "Sign-flip test, paired by seed whatever `interval` says: on the seeds' differences, exact up to 10 seeds, "
        "2000 flips beyond; not corrected for the number of rows. 1 where rounding alone tells the rules apart; empty "
        "under greedy sampling, where seeds say nothing.",
        "0 to 1",
        formula="share of sign flips whose mean is at least as far from 0",
    ),
)
TABLE = (
    Column("title", "The query, where there are several.", is_text=True),
    Column("weight of NAME", "The relative weight of the swept agent, where it tells the rows apart.", "share"),
    Column(
        "bid of NAME", "The bid of the agent, where relative weights do not tell the rows apart.", f"{BIDS} per token"
    ),
    Column("RULE", "The text of the first seed under this aggregation rule.", "", "text", is_text=True),
)
