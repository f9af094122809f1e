"""The words that a reader of a report needs, each in one or two sentences; the documentation reads them here too.

`WORDS` are those of every page, `AUDIT_TERMS` those of an audit. The definitions of the latter are those of
`mechanism/audit`; a name there that a reader meets in `audit.csv` has its entry here.
"""

from __future__ import annotations

TAU = "tau (Kendall's, τ)"
WORDS = {
    "token auction": "Several agents write one text together. Before every token the model of each agent gives a "
    "probability to every token that could come next, the agents' bids mix these probabilities, and one token is drawn "
    "from the mixture.",
    "agent": "A bidder: a language model with a prompt of its own, or a table of probabilities.",
    "bid": "What an agent offers per token (or byte, segment, text: by mechanism). It counts if it is above 0 and at "
    "least the reserve.",
    "weight, relative weight": "An agent's share of all bids, from 0 to 1. The relative weight is the swept agent's "
    "share of the bids of agents that are charged.",
    "linear": "Mixes by a weighted average: a token's probability is the sum, over the agents, of weight times "
    "probability. It says what one of the agents would say.",
    "log-linear": "Mixes by a weighted product, scaled to sum to 1. It says what all agents find likely; what one "
    "bidder excludes is never said.",
    "seed": "Fixes all random numbers of a text. Texts of one seed share their random numbers at every weight, so they "
    "differ by the bids and the rule alone.",
    "mention": "An occurrence of one of an agent's phrases in a text; by default the phrase is the agent's name.",
    "payment rule": "Says what each agent pays for a token. All payment rules are worked out on the same texts.",
    "second price": "The bid at which a seed's token switches; paid if one's bid is above it. Given the token: its "
    "mean over the seeds that draw the same token. Expected: its mean over all seeds.",
    "posterior weight": "How much of a drawn token's probability came from one agent: `w_i p_i / (sum over j of w_j "
    "p_j)`, with weights w and probabilities p.",
    "total variation (TV)": "Half the sum of |p - q| over all tokens: 0 is the same, 1 is nothing in common.",
    "forward KL, reverse KL": "How unlike two distributions are, in nats: of an agent's own p and the auction's q, "
    "KL(p, q) and KL(q, p). 0 is the same.",
    "nat": "The unit of log-probabilities with the natural logarithm; 1 nat is 1.44 bits.",
    "welfare": "How much the agents like a text: the sum of bids times values, by the objective of the rule.",
    "95 % interval": "A range made so that in 95 of 100 runs like this one it holds the mean of very many such texts. "
    "Shares of texts have Wilson's interval, other means the bootstrap's.",
    "bootstrap (BCa)": "Draws from the texts again and again, with repetition, to see how far their mean moves; "
    "bias-corrected and accelerated (BCa).",
    TAU: "1 if a figure rises at every step of the sweep, -1 if it falls at every step.",
}

AUDIT_TERMS = {
    "prefix": "A text so far, as its tokens; the auction is held anew after each. An audit looks at prefixes that the "
    "run met; where agents are tables, at one prefix for every distinct set of distributions that a text can meet.",
    "forward KL": "KL(p, q) = sum p log(p/q), of an agent's own distribution p and the auction's q: large where q "
    "misses what the agent would say. In files `kl`.",
    "reverse KL": "KL(q, p) = sum q log(q/p): large where q says what the agent would not. In files `reverse_kl`.",
    "TV": "Total variation: half the sum of |q - p| over all tokens, from 0 (the same) to 1 (nothing in common). "
    "In files `tv`.",
    "robust order": "An agent likes one distribution better than another only if no token's probability lies farther "
    "from the agent's own, or beyond it. Most pairs cannot be compared.",
    "defined": "The aggregation rule has a distribution at the prefix. A log-linear pool has none where no token is "
    "possible for every agent that bids.",
    "monotone": "Raising an agent's bid moves the auction's distribution only to what the agent likes at least as "
    "much, in the order named.",
    "payment monotone": "An agent pays more exactly when it gets what it likes more, in the order named.",
    "consistent": "How an agent ranks two of its own bids does not depend on the bids of the others, in the order "
    "named.",
    "non-negative": "No agent is paid: every expected payment is at least 0, at every bid tried.",
    "individually rational": "Bidding one's value is no worse than bidding nothing.",
    "value": "What a unit of loss (TV, forward KL or reverse KL from its own distribution) costs an agent. An audit "
    "takes the agent's bid for its value; its utility is minus value times loss, less the expected payment.",
    "regret": "What an agent's best bid gains in utility, per token, over bidding its value, the others' bids as they "
    "are. 0 where a payment is truthful for the order named. Elsewhere the best bid is searched for, so a regret is at "
    "least what is said; no bid gains more than `at_most` in `audit.csv`, which is empty where no bound is known.",
    "misreport": "A distribution that an agent reports in place of its own, its bids adding up to its value. An audit "
    "says what it gains in utility, per token.",
    "temperature": "The misreport p^(1/T), scaled to sum to 1: T below 1 sharpens what the agent says, T above 1 "
    "flattens it.",
    "boost": "The misreport that makes the tokens of the agent's own phrases twice as likely, before scaling. It is "
    "tried where prefixes are a sample, as with language models.",
    "sybils": "The misreport of two copies of an agent, each with half of its bid, that pay for one owner.",
    "equilibrium": "The bids at which best responses settle: in turn each agent takes its best bid, until no bid "
    "that was searched gains more than 1e-10 of the value. There is none where a best bid is approached and "
    "never attained, as just above another's bid. It is sought where no order makes the payment truthful.",
    "universally stable": "One sampling is stable for all agents at once: along any agent's bid the drawn token "
    "changes at most once, from one that the bid does not make likelier to one that it does not make less likely. "
    "Checked on small tables, at bids of 1 and 2.",
}
