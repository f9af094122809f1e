"""What every column of every file of a run is: its unit, whether it is per token or per text, and its formula.

One table, read by `docs/columns.md` and by the report's tooltips. In a name, `A` is the id of an agent, `<payment>` a
column of a payment rule or of another mechanism, `RULE` an aggregation rule or another mechanism, `NAME` an agent's
name, and `F` a figure: a column of cells.csv that summary.csv sums up, a rate, or a ratio of sums. In formulas p_i is
what agent i's model says of the next token, byte or word (`auction.alphabet`), q the aggregate, o_i the aggregate
without agent i's bid, b_i the bid, B = sum_j b_j, w_i = b_i / B, S_i = B - b_i, and x_t what is drawn at t = 1 ... T.
`token` stands for byte or word too.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache

from .column import Column, File
from .mechanism_columns import ESS, MEASURES, MECHANISM, PAYMENTS
from .text_audit_columns import TEXT_AUDIT_FILES

_AT_LEAST_0, _AT_MOST_0, _ANY, _SHARE = (0.0, math.inf), (-math.inf, 0.0), (-math.inf, math.inf), (0.0, 1.0)
RANGES = {
    **dict.fromkeys(("tokens", "bytes", "first_mention", "unfollowed"), _AT_LEAST_0),
    **dict.fromkeys(("log_prob", "quality"), _AT_MOST_0),
    "log_ratio": _ANY,
    "tv": _SHARE,
    **dict.fromkeys(("kl", "reverse_kl", "reverse_kl_sum", "payment", "revenue"), _AT_LEAST_0),
    "welfare": _AT_MOST_0,
    **dict.fromkeys(("welfare_share", "posterior"), _SHARE),
    "paid_share": _AT_LEAST_0,
    "common_welfare": _ANY,
    "revenue_share": _AT_LEAST_0,
    "ess": _AT_LEAST_0,
    "repetition": _SHARE,
    "sold": _SHARE,
}
"""What the figures can be, by their first parts. A payment rule of one's own may pay agents; no built-in rule does."""

FIGURES = tuple(RANGES)
"""First parts of the columns of cells.csv that summary.csv sums up."""

BY_OBJECTIVE = ("welfare", "welfare_share")
"""Figures that are measured by the aggregation rule's own objective: `comparable.py`."""

RATES = ("mention_rate", "co_mention_rate", "blend_rate")
SOLD = "sold"

RATIOS = ("revenue_per_1000_bytes", "payment_per_1000_bytes")
"""Ratios of sums over texts: `per_bytes.py`."""

_OF_SUMMARY = RATES + RATIOS
"""Figures that one text has not."""

_BIDS = "units of the bids"
_NOT_OF_WORDS = "Not over words: it sums over all of them."
_WITH_REFERENCE = "Only where the file has a `reference`."
_PER_BYTES = f"{_BIDS} per 1,000 bytes"
_H = "H, without a reserve H = S_A ln(1 + b_A / S_A) - b_A S_A / (S_A + b_A)"
_QUERY = Column("query", "The query; empty where the experiment has none.", is_text=True)
_AGGREGATION = Column("aggregation", "The aggregation rule; empty for other mechanisms.", is_text=True)
_WHERE = (_QUERY, MECHANISM, _AGGREGATION)
_POINT = Column("point", "The number of the sweep point, from 0.")
_WEIGHT = Column(
    "relative_weight",
    "The share of `sweep.agent` in the bids of the agents that are charged; empty where none of them bids.",
    "share",
    formula="b_i / (sum of b_j over agents that are not reference agents)",
)

_TEXT = (
    Column(
        "cell",
        "Names the text: the first 12 hex digits of the SHA-256 of [query, aggregation, bids, seed]; "
        "of another mechanism with its settings behind these.",
        is_text=True,
    ),
    *_WHERE,
    _POINT,
    _WEIGHT,
    Column("seed", "The seed of the text, from `sweep.seeds`. Texts of one seed share their random numbers."),
    Column(
        "sampling",
        "How the tokens were drawn: `auction.sampling`, or `coupled` to it where this rule has no stable sampling.",
        is_text=True,
    ),
    Column(
        "text",
        "The text, without the stop string and without end tokens. `auction.separator` joins the tokens of tables.",
        is_text=True,
    ),
    Column(
        "tokens",
        "Draws, the end token and those of the stop string included: of tokens, or of what `auction.alphabet` says.",
        "tokens",
        "text",
        "T",
    ),
    Column(
        "bytes",
        "Bytes drawn, those of the stop string included. Only where `auction.alphabet` is bytes or words.",
        "bytes",
        "text",
    ),
    Column(
        "end_reason",
        "Why the text ends: end (an end token), stop, length (`max_tokens` or `max_bytes`), budget, segments (all that "
        "are sold), unsold (no bid counted before the first draw), or failed.",
        is_text=True,
    ),
    Column(
        "sold",
        "1 where a text was sold, 0 where nobody's bid counted. Then nothing is drawn, payments and welfare "
        "are 0, and means per token are empty. Only where the file has a reserve, or some text is unsold.",
        "0 or 1",
        "text",
    ),
    Column("candidate", "The number of the candidate that is chosen, from 0. Only of mechanisms with candidates."),
    Column("error", "Why the text failed; other numbers are then empty. Only where some text failed.", is_text=True),
    Column(
        "bid.A", "The bid of agent A as offered, before a reserve or a spent budget.", f"{_BIDS} per token", "", "b_A"
    ),
    Column("weight.A", "The weight of agent A among all agents.", "share", "", "w_A = b_A / B"),
)
_FIGURES_OF_A_TEXT = (
    Column(
        "log_prob.A", "Log-probability of the text under agent A's own model.", "nats", "text", "sum_t log p_A(x_t)"
    ),
    Column(
        "tv.A",
        f"Total variation between what agent A would say and what is said. {_NOT_OF_WORDS}",
        "0 to 1",
        "mean per token",
        "TV(p_A, q)",
    ),
    Column(
        "kl.A",
        f"Forward KL of agent A. {_NOT_OF_WORDS}",
        "nats",
        "mean per token",
        "KL(p_A, q) = sum_x p_A(x) log(p_A(x) / q(x))",
    ),
    Column(
        "reverse_kl.A",
        f"Reverse KL of agent A. {_NOT_OF_WORDS}",
        "nats",
        "mean per token",
        "KL(q, p_A) = sum_x q(x) log(q(x) / p_A(x))",
    ),
    Column(
        "log_ratio.A",
        f"How much likelier the text is to agent A's own model than to the reference. {_WITH_REFERENCE}",
        "nats",
        "text",
        "l_A - l_0, with l_A = sum_t log p_A(x_t)",
    ),
    Column(
        "reverse_kl_sum.A",
        f"Reverse KL of agent A over the whole text. {_WITH_REFERENCE} {_NOT_OF_WORDS}",
        "nats",
        "text",
        "sum_t KL(q, p_A)",
    ),
    Column(
        "unfollowed.A",
        "The ways to spell the text in agent A's own tokens that were left out, as shares added over its bytes. Of a "
        "lone agent it bounds, in the mean, how far the law of its texts is from its model's. Only where "
        "`auction.alphabet` is bytes or words.",
        "share",
        "text",
    ),
    Column("payment.pay_your_bid.A", "What agent A pays: its bid for every token.", _BIDS, "text", "sum_t b_A"),
    Column(
        "payment.second_price.A",
        "What agent A pays: the bid at which the token that was drawn switched, else nothing. By the text's own seed "
        "for the swept agent, and for both of two; by a draw of its own for any other. Of a dictatorship only the "
        "dictator pays. Where no other bid counts: the reserve, for each draw.",
        _BIDS,
        "text",
        "sum_t z_t; under stable sampling of a swept agent z_t is the smallest bid at which this seed draws x_t, 0 "
        "where it does so at any bid; else a random number with the law that this has over the seeds that draw x_t",
    ),
    Column(
        "payment.second_price_given_token.A",
        "The mean of agent A's second price over the seeds that draw the same tokens.",
        _BIDS,
        "text",
        f"sum_t (p_A(x_t) - o_A(x_t))^+ / q(x_t) {_H}",
    ),
    Column(
        "payment.second_price_expected.A",
        "The mean of agent A's second price over all seeds, at the prefixes. Over words under random_dictator only.",
        _BIDS,
        "text",
        f"sum_t TV(p_A, o_A) {_H}",
    ),
    Column(
        "payment.vcg.A",
        "What agent A's bid costs the others in the rule's own objective (Clarke).",
        _BIDS + " × nats",
        "text",
        "linear: sum_t S_A KL(o_A, q); log_linear: sum_t S_A KL(q, o_A)",
    ),
    Column(
        "payment.myerson_tv.A",
        "Myerson's payment for the loss TV(q, p_A); the reserve where no other bid counts.",
        _BIDS,
        "text",
        "sum_t (integral from 0 to b_A of TV(q(z), p_A) dz - b_A TV(q, p_A)), with q(z) the aggregate at the bid z",
    ),
    Column(
        "payment.pay_bid_times_influence.A",
        "What agent A pays: its bid times what the bid moves; where no other bid counts, from what the others would do "
        "at their configured shares. Empty where that is undefined.",
        _BIDS,
        "text",
        "sum_t b_A TV(o_A, q)",
    ),
    *PAYMENTS,
    Column(
        "payment.<payment>.A",
        "What agent A pays under a payment rule, where the rule fits the aggregation; for the rule `auction.charge` at "
        "most its budget. 0 for a reference agent.",
        _BIDS,
        "text",
        "sum over the tokens of what the rule charges",
    ),
    Column("log_prob", "Log-probability of the text under the auction.", "nats", "text", "sum_t log q(x_t)"),
    Column(
        "quality",
        f"Mean log-probability of the tokens under the reference, which never bids. {_WITH_REFERENCE}",
        "nats",
        "mean per token",
        "l_0 / T, with l_0 = sum_t log p_0(x_t)",
    ),
    Column("revenue.<payment>", "What the seller earns.", _BIDS, "text", "sum over the agents of payment.<payment>.A"),
    Column(
        "welfare",
        "How much the agents like what is said, by the rule's own objective; 0 is best. Not to be compared between "
        f"rules of two objectives. {_NOT_OF_WORDS} Other mechanisms have objectives of their own, in which 0 is not "
        "the best.",
        _BIDS + " × nats",
        "text",
        "W = sum_t sum_i b_i v_i, with v_i = -KL(p_i, q); log_linear: -KL(q, p_i); power_mean_r: -D_r(p_i, q); "
        "mosaic: sum_i b_i s_i of the text; text_pool: -sum_i b_i KL(Q, p_i) over whole texts; segment, lottery and "
        "highest: sum of q_i b_i over who writes",
    ),
    Column(
        "welfare_share",
        "How near the text comes to the best aggregate for the bids, by the rule's own objective; 1 is the optimum. "
        f"Not to be compared between rules of two objectives. {_NOT_OF_WORDS}",
        "0 to 1",
        "text",
        "exp((W - W*) / (T B)), with W* = sum_t max over q of sum_i b_i v_i",
    ),
    ESS,
    Column(
        "posterior.A",
        "Posterior weight of agent A's model, given the bids and the text: whose model explains it.",
        "share",
        "text",
        "b_A exp(log_prob.A) / sum_j b_j exp(log_prob.j)",
    ),
    Column(
        "paid_share.A",
        "What agent A pays as a share of its bids, under `auction.charge`, else the first payment rule that fits.",
        "share",
        "text",
        "payment.<payment>.A / (b_A T)",
    ),
    Column("spent_at.A", "The token, from 1, that spent agent A's budget; empty where it lasted.", "tokens", "text"),
)
_MENTIONS = (
    Column("mentions.A", "How often the text mentions agent A: docs/mentions.md.", "mentions", "text"),
    Column(
        "first_mention.A", "Where the first mention of agent A begins, from 0; empty without.", "characters", "text"
    ),
    Column(
        "blends", "How many blends of two agents' phrases are in the text. Only with `blends: true`.", "blends", "text"
    ),
)
_TRACE = (
    Column(
        "token_ids",
        "The ids of the tokens drawn, in the vocabulary of the first agent's model; over bytes and words the values of "
        "the bytes drawn, and 256 for the end.",
        "",
        "token",
    ),
    Column("trace.pieces", "The text that each token completes.", "", "token"),
    Column("trace.log_p", "One list per agent: log-probability of each token.", "nats", "token", "log p_i(x_t)"),
    Column("trace.log_q", "Log-probability of each token under the auction.", "nats", "token", "log q(x_t)"),
    Column(
        "trace.posterior",
        "One list per agent: whose model explains the token.",
        "share",
        "token",
        "w_i p_i(x_t) / sum_j w_j p_j(x_t)",
    ),
    Column(
        "trace.switch",
        "Stable sampling: the relative weight at which this seed's token changes, at most 1; null where none does it.",
        "share",
        "token",
    ),
    Column("trace.dictator", "Of a dictatorship: the number of the agent whose token was drawn, from 0.", "", "token"),
    Column("trace.payments.<payment>", "One list per agent: what is paid for the token, to 5 digits.", _BIDS, "token"),
    Column(
        "trace.candidates.tokens",
        "`top_k`: the likeliest tokens under each agent and under the auction, the latter's likeliest first. Not over "
        "words.",
        "",
        "token",
    ),
    Column(
        "trace.candidates.log_p", "One list per agent: log-probability of each candidate.", "nats", "token", "log p_i"
    ),
    Column("trace.candidates.log_q", "Log-probability of each candidate under the auction.", "nats", "token", "log q"),
)

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

_SUMMARY = (
    *_WHERE,
    _POINT,
    _WEIGHT,
    Column("bid.A", "The bid of agent A.", f"{_BIDS} per token", "", "b_A"),
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
_POOLED = (
    MECHANISM,
    _AGGREGATION,
    _POINT,
    _WEIGHT,
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
_TRENDS = (
    Column("query", "The query; empty in the row over all queries, and where the experiment has none.", is_text=True),
    *_WHERE[1:],
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
_COMPARISONS = (
    _QUERY,
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
_TABLE = (
    Column("title", "The query, where there are several.", is_text=True),
    Column("weight of NAME", "The relative weight of the swept agent, where it tells the rows apart.", "share"),
    Column(
        "bid of NAME", "The bid of the agent, where relative weights do not tell the rows apart.", f"{_BIDS} per token"
    ),
    Column("RULE", "The text of the first seed under this aggregation rule.", "", "text", is_text=True),
)
_AUDIT = (
    Column("rule", "The aggregation rule.", is_text=True),
    Column("payment", "The payment rule; empty where none is meant.", is_text=True),
    Column("agent", "The id of the bidder; empty where none is meant.", is_text=True),
    Column(
        "check",
        "What is checked: defined, monotone, payment_monotone, consistent, non_negative, individually_rational, "
        "regret, `misreport: ...`, equilibrium or universally_stable.",
        is_text=True,
    ),
    Column(
        "order", "What the bidder prefers by: robust, tv, kl or reverse_kl; empty where none is meant.", is_text=True
    ),
    Column("prefixes", "How many prefixes were looked at.", "prefixes"),
    Column(
        "violated",
        "Share of the prefixes at which the check fails (equilibrium: 1 where bids do not settle).",
        "share",
    ),
    Column(
        "low",
        "The lower end of its 95 % interval (Wilson, the prefixes taken as independent, unpaired); the share itself "
        "where the texts are all there are.",
        "share",
    ),
    Column("high", "The upper end of its 95 % interval.", "share"),
    Column(
        "worst",
        "The largest failure that was found, 0 if none: a probability, a loss in the order, or what a bidder gains "
        "(equilibrium: how far the bid lies from the value). Of a regret the best bid is searched for: at least this.",
        "that of the check",
    ),
    Column("prefix", "The prefix of the largest failure.", is_text=True),
    Column("token", "The token of the largest failure, where it is one token's.", is_text=True),
    Column("detail", "The largest failure in words, of checks of a whole curve of bids.", is_text=True),
    Column(
        "bid",
        "regret: the best bid at the prefix of the largest failure, the value if none is better; equilibrium: the "
        "agent's bid where best responses settle.",
        f"{_BIDS} per token",
    ),
    Column("value", "regret and equilibrium: the agent's value of a unit of loss, its own bid.", f"{_BIDS} per token"),
    Column("rounds", "equilibrium: rounds of best responses until none gained more than 1e-10 of a value.", "rounds"),
    Column(
        "at_most",
        "regret: no bid gains more than this at any of these prefixes. Empty where no bound is known: it takes a "
        "payment that is truthful for the order, or a rule that is monotone in it and a payment that never falls.",
        f"{_BIDS} per token",
    ),
    Column("query", "The query of the largest failure.", is_text=True),
)

FILES = (
    File("cells.csv", "One row per text.", (*_TEXT, *_MENTIONS, *_FIGURES_OF_A_TEXT, *MEASURES)),
    File("summary.csv", "One row per query, aggregation rule and sweep point.", _SUMMARY),
    File(
        "trends.csv",
        "One row per query, aggregation rule and figure, where there are 3 weights or more. Of several queries with "
        "the same weights also one over all of them, of the means in pooled.csv.",
        _TRENDS,
    ),
    File(
        "comparisons.csv",
        "One row per query, sweep point, pair of aggregation rules and figure, where there are 2 seeds or more. "
        "Welfare only of rules of one objective.",
        _COMPARISONS,
    ),
    File("pooled.csv", "One row per aggregation rule and sweep point, where there are several queries.", _POOLED),
    File("audit.csv", "One row per check of `tokauction audit`.", _AUDIT),
    *TEXT_AUDIT_FILES,
    File("table.csv", "One row per sweep point: the table that a run prints (`table.md` is the same).", _TABLE),
    File(
        "records-*.jsonl",
        "One line per text, in the order in which texts end; lists have one entry per token. `trace` needs "
        "`auction.trace`; its logarithms and probabilities have 3 decimals.",
        (*_TEXT, *_FIGURES_OF_A_TEXT, *_TRACE),
    ),
)

_HOLES = {
    "A": r"[A-Za-z0-9_]+",
    "<payment>": r".+",
    "NAME": r".+",
    "RULE": r"(?!title$|weight of |bid of ).+",
    "F": rf"(?:{'|'.join(FIGURES + _OF_SUMMARY)})(?:\..+?)?",
}


def entries_for(file: str, column: str) -> Iterator[Column]:
    """The entries that describe a column of a file, the most specific first."""
    (found,) = (one for one in FILES if one.name == file)
    return (entry for entry in found.columns if _pattern(entry.name).fullmatch(column))


@lru_cache(maxsize=256)
def _pattern(name: str) -> re.Pattern[str]:
    """The columns that a name with holes stands for. An id is never low or high: those are ends of intervals."""
    parts = re.split(r"(<payment>|\b(?:A|F|NAME|RULE)\b)", name)
    ends = r"(?!.*\.(?:low|high)$)" if not name.endswith((".low", ".high")) else ""
    return re.compile(ends + "".join(_HOLES.get(part, re.escape(part)) for part in parts), re.DOTALL)


def number_columns(file: str, ids: Sequence[str], payments: Sequence[str]) -> list[str]:
    """The columns of numbers that a file may have in a run with these agents' ids and payment columns."""
    (found,) = (one for one in FILES if one.name == file)
    names = []
    for entry in found.columns:
        if entry.name.split(".")[0] == "F":
            names += [figure + entry.name[1:] for figure in figures(ids, payments)]
        elif entry.unit:  # what has none is a name, a number of something or a text
            names += _filled(entry.name, ids, payments)
    return list(dict.fromkeys(names))


def figures(ids: Sequence[str], payments: Sequence[str]) -> list[str]:
    """The figures of a run's summary.csv: means of columns of cells.csv, rates and ratios."""
    entries = [one for one in FILES[0].columns if one.name.split(".")[0] in FIGURES]
    entries += [one for one in FILES[1].columns if one.name.split(".")[0] in _OF_SUMMARY]
    return list(dict.fromkeys(name for entry in entries for name in _filled(entry.name, ids, payments)))


def _filled(name: str, ids: Sequence[str], payments: Sequence[str]) -> list[str]:
    """The columns that a name with holes stands for; entries of one payment rule are covered by that of all."""
    if name.startswith("payment.") and "<payment>" not in name:
        return []
    names = [name.replace("<payment>", payment) for payment in payments] if "<payment>" in name else [name]
    return [f"{one.removesuffix('.A')}.{agent}" for one in names for agent in ids] if name.endswith(".A") else names


def range_of(figure: str) -> tuple[float, float]:
    """The least and the most that a figure of summary.csv can be."""
    first = figure.split(".")[0]
    return _AT_LEAST_0 if first in RATIOS else RANGES.get(first, _SHARE)


def explained(file: str, column: str) -> str:
    """A column in one sentence or two, for a tooltip; '' where there is no entry."""
    entry = next(entries_for(file, column), None)
    return "" if entry is None else entry.in_words.replace("`", "")


def figure_explained(figure: str) -> str:
    """What a figure of summary.csv is: the column of cells.csv whose mean it is, or an entry of its own."""
    file = "summary.csv" if figure.split(".")[0] in _OF_SUMMARY else "cells.csv"
    return explained(file, figure)
