"""The columns of an audit of whole texts: every deviation, where best responses settle, and the path there.

A *deviation* is one agent's bid and report; all others keep their bids and are honest.
"""

from __future__ import annotations

from .column import BIDS, Column, File
from .mechanism_columns import MECHANISM

_A_BID = f"{BIDS} per token"
_RULE = Column("aggregation", "The aggregation rule; empty for other mechanisms.", is_text=True)
_PAYMENT = Column(
    "payment",
    "The payment rule; of another mechanism its name. Payments are those expected at each prefix, of another mechanism "
    "those expected of the text.",
    is_text=True,
)
_UTILITY = Column(
    "utility",
    "What agents want of a text: mention, count, log_ratio, reverse_kl, tv or judge.",
    is_text=True,
)
_TEXTS = Column("texts", "How many texts the numbers of the row rest on; exact: all that can arise.", "texts")
_METHOD = Column("method", "`exact` where all texts were enumerated, else `seeds`.", is_text=True)
_NOTE = Column("note", "What a reader of the row should know, in words.", is_text=True)

_AUDIT = (
    MECHANISM,
    _RULE,
    _PAYMENT,
    Column("agent", "The id of the agent that deviates.", is_text=True),
    _UTILITY,
    Column(
        "report",
        "`honest`, or the misreport: another temperature, prompt or distribution of the agent.",
        is_text=True,
    ),
    Column("bid", "What the agent bids; empty for the best bid at every prefix.", _A_BID),
    Column("value", "The agent's value v of what its utility measures; bidding it honestly is the truth.", BIDS),
    Column(
        "mean_utility",
        "What the agent maximises: its value times what the utility measures, less what it pays. Mean over the texts.",
        BIDS,
        "text",
        "U = mean of (v x kind - sum_t payment)",
    ),
    Column("mean_payment", "What the agent pays. Mean over the texts.", BIDS, "text", "mean of sum_t payment"),
    Column("gain", "What the deviation gains over the truth.", BIDS, "text", "U(deviation) - U(truth)"),
    Column(
        "gain.low",
        "The lower end of the gain's two-sided 95 % interval, paired by seed and simultaneous over the deviations that "
        "share rule, payment, agent and utility; the gain itself where it is exact.",
        BIDS,
        "text",
    ),
    Column("gain.high", "The upper end of that interval.", BIDS, "text"),
    _TEXTS,
    _METHOD,
    Column(
        "best",
        "Of which kind the deviation is the best: `tried`, of those that were tried; exact also `constant`, the "
        "refined constant bid, and `every_prefix`, the best bid for every prefix, which are searched for: their gain "
        "is at least this. Empty for all others.",
        is_text=True,
    ),
    _NOTE,
)
_EQUILIBRIUM = (
    MECHANISM,
    _RULE,
    _PAYMENT,
    _UTILITY,
    Column(
        "outcome",
        "Where best responses lead: equilibrium (no bid that was searched gains), cycle, supremum (some agent has no "
        "best bid: its utility tends to a supremum that no bid attains), or unfinished after the most rounds.",
        is_text=True,
    ),
    Column("rounds", "Rounds of best responses.", "rounds"),
    Column("bid.A", "The bid of agent A in the end.", _A_BID, "", "b_A"),
    Column(
        "value.A",
        "The value of agent A, where best responses begin; empty without this utility: such an agent keeps its bid.",
        BIDS,
        "",
        "v_A",
    ),
    Column(
        "regret",
        "The most that any agent is found to gain by another bid there. Exact: the best bid is searched for, so at "
        "least this; by seeds: what one half of fresh ones chooses of the grid gains in the other half, at least 0.",
        BIDS,
        "text",
    ),
    Column(
        "regret.high",
        "The upper end of its interval, paired by seed, for the bids of the grid; exact: the regret that was found.",
        BIDS,
        "text",
    ),
    Column("welfare.truth", "The sum of the agents' values of the text, payments left out, at truth.", BIDS, "text"),
    Column("welfare.equilibrium", "The same where best responses end.", BIDS, "text"),
    Column(
        "welfare.best",
        "The most over the relative weight; by seeds at the weights that each half of the seeds chooses, measured on "
        "the other half.",
        BIDS,
        "text",
    ),
    Column("relative_weight.best", "The relative weight at which it is the most; by seeds over all of them.", "share"),
    Column("revenue.truth", "What the seller earns at truth.", BIDS, "text"),
    Column("revenue.equilibrium", "The same where best responses end.", BIDS, "text"),
    Column("revenue.best", "The same where `welfare.best` is measured.", BIDS, "text"),
    Column(
        "price_of_anarchy",
        "The best welfare over that where best responses end, turned round where both are losses: 1 is nothing lost. "
        "By seeds it may lie below 1, by chance or where welfare is higher there than at any weight. Empty where "
        "welfare is 0 or of two signs.",
        "1 or more, by seeds about",
        formula="welfare.best / welfare.equilibrium",
    ),
    _TEXTS,
    _METHOD,
    _NOTE,
)
_DYNAMICS = (
    MECHANISM,
    _RULE,
    _PAYMENT,
    _UTILITY,
    Column("step", "The number of the reply; 0 is the truth."),
    Column("agent", "The id of the agent that replies; empty at step 0.", is_text=True),
    Column("bid.A", "The bid of agent A after the step.", _A_BID, "", "b_A"),
    Column(
        "gain",
        "What the reply gains over the bid that the agent had; by seeds on those that chose it, so rather too much.",
        BIDS,
        "text",
    ),
    Column("gain.low", "The lower end of its 95 % interval, paired by seed; exact: the gain itself.", BIDS, "text"),
    Column("moved", "Whether the agent changed its bid: only for a gain beyond chance.", is_text=True),
)

TEXT_AUDIT_FILES = (
    File(
        "text_audit.csv",
        "One row per rule or mechanism, payment rule, agent, utility, report and bid of an audit of whole texts.",
        _AUDIT,
    ),
    File(
        "text_equilibrium.csv",
        "One row per rule or mechanism, payment rule and utility: where best responses over bids for whole texts lead.",
        _EQUILIBRIUM,
    ),
    File("text_dynamics.csv", "One row per reply: the path there.", _DYNAMICS),
)
