"""Which bid is worth trying? Recorded texts, reweighted to other bids. It chooses a bid and never enters an estimate.

Under a linear mixture q_b(x) = sum_i w_i p_i(x), and a trace holds p_i of every drawn token. A text drawn at the bids b
stands for texts at the bids b' with the weight

    W = prod_t q_b'(x_t) / q_b(x_t),

so the mean utility at b' is near sum W u / sum W (self-normalised). It rests on (sum W)^2 / sum W^2 effective texts,
the ESS, which falls fast with the length of the texts and the distance of the bids (A. Kong, J. S. Liu and W. H. Wong,
JASA 89, 1994).

Payments of agent i at b', along the same text: the expected second price at a prefix is D H(b_i, S), and D, the
distance of p_i from the others' mixture, does not depend on b_i. So the recorded price times H(b'_i, S) / H(b_i, S)
is the price at b'. Pay-your-bid is b'_i for each draw. A log-linear q needs its normaliser, a sum over all tokens,
which no trace holds; nor does a trace hold what a Clarke payment would be at other bids.

Bids are those of the whole text, and no reserve holds: budgets and reserves are not screened. A trace keeps three
decimals of log p_i, enough to choose.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..aggregation.rules import AggregationRule
from ..audit.finding import AuditError
from ..distributions import Array
from ..payments.second_price import mean_price

LEAST_EFFECTIVE_TEXTS = 10.0
PAYMENTS = ("second_price", "pay_your_bid")


class RecordedText(NamedTuple):
    """What a record says of a text: log p_i of each draw, (n_agents, n_draws), and of one agent two numbers.

    `utility` is what the finished text is worth to the agent, before payments; it depends on the text alone, as a
    mention does and a distance from q does not. `second_price` is the sum over its draws of the expected second price.
    """

    log_p: Array
    utility: float
    second_price: float = 0.0


class Setting(NamedTuple):
    """Under which the texts were drawn: every agent's bid, (n_agents,), and whose bid, utility and payment is meant."""

    aggregation: AggregationRule
    payment: str
    bids: tuple[float, ...]
    agent: int

    @property
    def rivals(self) -> float:
        """S, what the others bid together."""
        return sum(bid for i, bid in enumerate(self.bids) if i != self.agent)

    @property
    def refusal(self) -> str:
        """Why recorded texts say nothing of other bids; empty where they do."""
        if not self.aggregation.is_linear_mixture:
            return (
                f"{self.aggregation.name} cannot be screened: its q at other bids needs all tokens, not the drawn ones"
            )
        if self.payment not in PAYMENTS:
            return f"{self.payment} cannot be screened: a trace does not say what it would be at other bids"
        if self.rivals <= 0:
            return "without other bids every bid draws the same texts"
        if self.payment == "second_price" and self.bids[self.agent] <= 0:
            return "an agent that bids 0 pays 0: its record does not say what other bids would pay"
        return ""


class Screening(NamedTuple):
    """Per candidate bid, (c,): the predicted mean utility less payment, and on how many effective texts it rests."""

    bids: Array
    utility: Array
    effective_texts: Array

    def choose(self, least: float = LEAST_EFFECTIVE_TEXTS) -> float | None:
        """The bid with the highest prediction among those with enough effective texts; None where there is none."""
        enough = np.flatnonzero(self.effective_texts >= least)
        if not len(enough):
            return None
        return float(self.bids[enough[self.utility[enough].argmax()]])


def screen(texts: Sequence[RecordedText], setting: Setting, candidates: Sequence[float]) -> Screening:
    """Predict what each candidate bid would bring, (c,). Raises AuditError where that cannot be: `Setting.refusal`."""
    if setting.refusal:
        raise AuditError(setting.refusal)
    if not texts or not len(candidates):
        raise AuditError("screening needs a recorded text and a bid at least")
    bids = np.array(candidates, dtype=np.float64)
    weights = _relative(np.stack([_log_weights(text.log_p, setting, bids) for text in texts], axis=1))
    worth = np.array([text.utility for text in texts]) - _payments(texts, setting, bids)
    total = weights.sum(axis=1)
    mean = np.where(weights > 0, weights * np.where(weights > 0, worth, 0.0), 0.0).sum(axis=1) / np.maximum(total, 1.0)
    ess = total**2 / np.maximum((weights**2).sum(axis=1), 1.0)
    return Screening(bids, np.where(total > 0, mean, -np.inf), ess)


def _log_weights(log_p: Array, setting: Setting, candidates: Array) -> Array:
    """log W of one text at each candidate bid, (c,); -inf where it cannot be drawn there."""
    largest = log_p.max(axis=0)
    p = np.exp(log_p - np.where(np.isfinite(largest), largest, 0.0))
    drawn = np.array(setting.bids) @ p / sum(setting.bids)
    if not (drawn > 0).all():
        raise AuditError("a recorded token has probability 0 at the recorded bids: are these the bids of its text?")
    others = np.delete(np.array(setting.bids), setting.agent) @ np.delete(p, setting.agent, axis=0)
    mixed = (others + candidates[:, None] * p[setting.agent]) / (setting.rivals + candidates[:, None])
    logs = np.log(mixed, out=np.full_like(mixed, -np.inf), where=mixed > 0)
    log_weights: Array = (logs - np.log(drawn)).sum(axis=1)
    return log_weights


def _relative(log_weights: Array) -> Array:
    """Weights whose largest is 1 for each candidate, (c, n_texts); all 0 where no text can be drawn."""
    largest = log_weights.max(axis=1, keepdims=True)
    weights: Array = np.exp(log_weights - np.where(np.isfinite(largest), largest, 0.0))
    return weights


def _payments(texts: Sequence[RecordedText], setting: Setting, candidates: Array) -> Array:
    """What the agent would pay for each text at each candidate bid, (c, n_texts)."""
    if setting.payment == "pay_your_bid":
        return np.outer(candidates, [text.log_p.shape[1] for text in texts])
    recorded = mean_price(setting.bids[setting.agent], setting.rivals)
    ratios = np.array([mean_price(bid, setting.rivals) / recorded for bid in candidates.tolist()])
    return np.outer(ratios, [text.second_price for text in texts])
