"""The columns of mechanisms beside the token auction: part of the table in `columns.py`, whose notation they use."""

from __future__ import annotations

from .column import BIDS, Column

_H = "H(b, S) = S ln(1 + b / S) - b S / (S + b)"
_WITH_OTHERS = "Only where the file has another mechanism than the token auction."

MECHANISM = Column(
    "mechanism",
    "What wrote the text: token_auction or another mechanism. Only where the file has another. The frames of Python "
    "have none: there `aggregation` names the aggregation rule or the mechanism.",
    is_text=True,
)

PAYMENTS = (
    Column(
        "payment.mosaic.A",
        "What agent A pays in the mosaic mechanism: the mean, given the candidates, of its realised payment.",
        BIDS,
        "text",
        "tau KL(p, p_-A), with p the chances of the candidates and p_-A those without agent A's bid",
    ),
    Column(
        "payment.mosaic_realised.A",
        "The payment of agent A for the draw of this text (Clarke).",
        BIDS,
        "text",
        "max_j (W_j - r_Aj) - (W_c - r_Ac), with W_j the worth of candidate j to all, noise and all, r_Aj what agent A "
        "would pay for it, and c the one that is chosen",
    ),
    Column(
        "payment.segment.A",
        "What agent A pays for the segments it writes: for each the bid at which it began to win it. g is the noise.",
        BIDS,
        "text",
        "sum over its segments of max_(j != A) q_j b_j e^(g_j) / (q_A e^(g_A)), with q_j the relevance",
    ),
    Column(
        "payment.segment_expected.A",
        "The mean of agent A's payments, given the bidders that are left at each segment.",
        BIDS,
        "text",
        f"sum over the segments of H(q_A b_A, sum_(j != A) q_j b_j) / q_A, with {_H} and q_j the relevance",
    ),
    Column(
        "payment.lottery.A",
        "What agent A pays where it is drawn to write the text.",
        BIDS,
        "text",
        "S_A w / (1 - w), with w = u b_A / B and u uniform",
    ),
    Column(
        "payment.lottery_expected.A",
        "The mean of payment.lottery.A over all seeds.",
        BIDS,
        "text",
        f"H(b_A, S_A), with {_H}",
    ),
    Column("payment.highest.A", "What agent A pays where its bid is the highest: the second one.", BIDS, "text"),
    Column(
        "payment.text_pool.A",
        "What agent A's bid costs the others in the log-linear pool of whole texts.",
        BIDS + " × nats",
        "text",
        "S_A KL(Q, G_-A), with Q the pool and G_-A that without agent A's bid, over the candidates",
    ),
)
ESS = Column(
    "ess",
    "How many candidates of equal chance the choice is worth: the effective sample size. Below 5 they hardly stand "
    "for the law that is meant. Only of mechanisms with candidates.",
    "candidates",
    "text",
    "1 / sum_j p_j^2, with p_j the chance of candidate j",
)
MEASURES = (
    Column(
        "common_welfare",
        "How much the agents like the text, in one measure for all mechanisms: bids times how much likelier it is to "
        f"each agent than to the reference; without a reference just how likely. {_WITH_OTHERS}",
        BIDS + " × nats",
        "text",
        "sum_i b_i (l_i - l_0), without a reference sum_i b_i l_i, over the agents that bid",
    ),
    Column(
        "revenue_share",
        "What the seller earns over what is bid: by the mechanism's charged payment; in the token auction by "
        f"`auction.charge`, else the first payment rule that fits. {_WITH_OTHERS}",
        "units of the payment per unit of the bids",
        "text",
        "revenue.<payment> / (n sum_i b_i), with n what is bid for: T draws in the token auction, the segments on "
        "offer in a segment auction, 1 where bids are for a whole text",
    ),
    Column(
        "repetition",
        f"Share of the word 4-grams of the text that occurred before in it; empty under 4 words. {_WITH_OTHERS}",
        "share",
        "text",
    ),
)
