"""The columns of audit.csv, where a row is a check of one rule at prefixes."""

from __future__ import annotations

from .column import BIDS, Column

AUDIT = (
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
        f"{BIDS} per token",
    ),
    Column("value", "regret and equilibrium: the agent's value of a unit of loss, its own bid.", f"{BIDS} per token"),
    Column("rounds", "equilibrium: rounds of best responses until none gained more than 1e-10 of a value.", "rounds"),
    Column(
        "at_most",
        "regret: no bid gains more than this at any of these prefixes. Empty where no bound is known: it takes a "
        "payment that is truthful for the order, or a rule that is monotone in it and a payment that never falls.",
        f"{BIDS} per token",
    ),
    Column("query", "The query of the largest failure.", is_text=True),
)
