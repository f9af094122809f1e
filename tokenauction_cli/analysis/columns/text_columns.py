"""The columns of cells.csv and of the records, where a row is a text; their notation is that of `columns.py`."""

from __future__ import annotations

from .column import BIDS, Column
from .mechanism_columns import ESS, MECHANISM, PAYMENTS

_NOT_OF_WORDS = "Not over words: it sums over all of them."
_WITH_REFERENCE = "Only where the file has a `reference`."
_H = "H, without a reserve H = S_A ln(1 + b_A / S_A) - b_A S_A / (S_A + b_A)"
QUERY = Column("query", "The query; empty where the experiment has none.", is_text=True)
AGGREGATION = Column("aggregation", "The aggregation rule; empty for other mechanisms.", is_text=True)
WHERE = (QUERY, MECHANISM, AGGREGATION)
POINT = Column("point", "The number of the sweep point, from 0.")
WEIGHT = Column(
    "relative_weight",
    "The share of `sweep.agent` in the bids of the agents that are charged; empty where none of them bids.",
    "share",
    formula="b_i / (sum of b_j over agents that are not reference agents)",
)

TEXT = (
    Column(
        "cell",
        "Names the text: the first 12 hex digits of the SHA-256 of [query, aggregation, bids, seed]; "
        "of another mechanism with its settings behind these.",
        is_text=True,
    ),
    *WHERE,
    POINT,
    WEIGHT,
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
    Column(
        "complete",
        "1 where the text has the form of `auction.constraint`, 0 where it was cut before it had it. Only with a form.",
        "0 or 1",
        "text",
    ),
    Column("candidate", "The number of the candidate that is chosen, from 0. Only of mechanisms with candidates."),
    Column("error", "Why the text failed; other numbers are then empty. Only where some text failed.", is_text=True),
    Column(
        "bid.A", "The bid of agent A as offered, before a reserve or a spent budget.", f"{BIDS} per token", "", "b_A"
    ),
    Column("weight.A", "The weight of agent A among all agents.", "share", "", "w_A = b_A / B"),
)
FIGURES_OF_A_TEXT = (
    Column(
        "log_prob.A", "Log-probability of the text under agent A's own model.", "nats", "text", "sum_t log p_A(x_t)"
    ),
    Column(
        "log_allowed.A",
        "What the form costs agent A: the log-probability that it gave, token by token, to what the form allowed. "
        "Every other number is that of its distribution after the cut to the form. Only with `auction.constraint`.",
        "nats",
        "text",
        "sum_t log p_A(allowed), p_A before the cut",
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
    Column("payment.pay_your_bid.A", "What agent A pays: its bid for every token.", BIDS, "text", "sum_t b_A"),
    Column(
        "payment.second_price.A",
        "What agent A pays: the bid at which the token that was drawn switched, else nothing. By the text's own seed "
        "for the swept agent, and for both of two; by a draw of its own for any other. Of a dictatorship only the "
        "dictator pays. Where no other bid counts: the reserve, for each draw.",
        BIDS,
        "text",
        "sum_t z_t; under stable sampling of a swept agent z_t is the smallest bid at which this seed draws x_t, 0 "
        "where it does so at any bid; else a random number with the law that this has over the seeds that draw x_t",
    ),
    Column(
        "payment.second_price_given_token.A",
        "The mean of agent A's second price over the seeds that draw the same tokens.",
        BIDS,
        "text",
        f"sum_t (p_A(x_t) - o_A(x_t))^+ / q(x_t) {_H}",
    ),
    Column(
        "payment.second_price_expected.A",
        "The mean of agent A's second price over all seeds, at the prefixes. Over words under random_dictator only.",
        BIDS,
        "text",
        f"sum_t TV(p_A, o_A) {_H}",
    ),
    Column(
        "payment.vcg.A",
        "What agent A's bid costs the others in the rule's own objective (Clarke).",
        BIDS + " × nats",
        "text",
        "linear: sum_t S_A KL(o_A, q); log_linear: sum_t S_A KL(q, o_A)",
    ),
    Column(
        "payment.myerson_tv.A",
        "Myerson's payment for the loss TV(q, p_A); the reserve where no other bid counts.",
        BIDS,
        "text",
        "sum_t (integral from 0 to b_A of TV(q(z), p_A) dz - b_A TV(q, p_A)), with q(z) the aggregate at the bid z",
    ),
    Column(
        "payment.pay_bid_times_influence.A",
        "What agent A pays: its bid times what the bid moves; where no other bid counts, from what the others would do "
        "at their configured shares. Empty where that is undefined.",
        BIDS,
        "text",
        "sum_t b_A TV(o_A, q)",
    ),
    *PAYMENTS,
    Column(
        "payment.<payment>.A",
        "What agent A pays under a payment rule, where the rule fits the aggregation; for the rule `auction.charge` at "
        "most its budget. 0 for a reference agent.",
        BIDS,
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
    Column("revenue.<payment>", "What the seller earns.", BIDS, "text", "sum over the agents of payment.<payment>.A"),
    Column(
        "welfare",
        "How much the agents like what is said, by the rule's own objective; 0 is best. Not to be compared between "
        f"rules of two objectives. {_NOT_OF_WORDS} Other mechanisms have objectives of their own, in which 0 is not "
        "the best.",
        BIDS + " × nats",
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
MENTIONS = (
    Column(
        "judge.NAME",
        "What the judge NAME of `judges` says of the text, asked after the last text of the run.",
        "share",
        "text",
        "p(Yes) / (p(Yes) + p(No))",
    ),
    Column("mentions.A", "How often the text mentions agent A: docs/reference/mentions.md.", "mentions", "text"),
    Column(
        "first_mention.A", "Where the first mention of agent A begins, from 0; empty without.", "characters", "text"
    ),
    Column(
        "blends", "How many blends of two agents' phrases are in the text. Only with `blends: true`.", "blends", "text"
    ),
)
TRACE = (
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
    Column("trace.payments.<payment>", "One list per agent: what is paid for the token, to 5 digits.", BIDS, "token"),
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
