"""Segment auctions: for each segment of the text agents bid to write it, weighed by their relevance q_i.

    g_i Gumbel, fresh for each segment and agent;   the winner is argmax_i q_i b_i e^(g_i)
    chance x_i             q_i b_i / sum_j q_j b_j
    payment.segment        of the winner: max_{j != i} q_j b_j e^(g_j) / (q_i e^(g_i)), the bid at which it began to win
    payment.segment_expected   H(q_i b_i, sum_{j != i} q_j b_j) / q_i,   H(b, S) = S ln(1 + b / S) - b S / (S + b)   (d)

Winner and price: Hajiaghayi, Lahaie, Rezaei and Shin, "Ad Auctions for LLMs via Retrieval Augmented Generation",
arXiv 2406.09459, and their public code. The expected price is (d): with y = q_i z the chance is y / (S + y), and the
integral of z dx is 1 / q_i times that of y d(y / (S + y)). Without replacement a winner leaves the later segments.

A bid of one's value per segment is best, whatever others bid, for q free of bids: with replacement over the whole
text, without it within one segment only, since who wins now decides against whom others bid later (d).

A race: e^(g_i) = 1 / E_i with E_i standard exponential, so the winner is argmax q_i b_i / E_i. E depends on the seed,
the segment and the agent's id, and not on bids. With a reserve r bids below it count as 0, and the price is at least
r: the bid at which the winner began to win, where it is alone as well. A segment that nobody can win is not sold.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, get_args

import numpy as np

from ..distributions import Array, MechanismError, weights_of
from ..payments.second_price import mean_price
from ..sampling.randomness import DrawKey, Purpose
from ..terms import Bidding, Terms, without
from .mechanisms import Expected, Settled, Unit, WriterMechanism, due, paid_by


class Segment(WriterMechanism):
    """Who writes the next segment, by bid times relevance.

    `relevance` maps ids of agents to q_i, 1 for those it leaves out. Raises MechanismError for settings that have no
    meaning.

    >>> from tokenauction_cli.mechanism.testing import salon
    >>> mean = Segment(relevance={"ann": 2.0}).expected(salon(bids=(1, 2)).bidding)
    >>> mean.chances.tolist(), mean.payments.round(4).tolist()
    ([0.5, 0.5], [0.1931, 0.3863])
    """

    name = "segment"
    label = "segment auction"
    takes_reserve = True

    def __init__(
        self,
        unit: Unit = "sentence",
        segments: int = 3,
        replacement: bool = True,
        relevance: Mapping[str, float] | None = None,
    ) -> None:
        if unit not in get_args(Unit):
            raise MechanismError(f"a segment is one {', '.join(get_args(Unit))}, got {unit!r}")
        if segments < 1:
            raise MechanismError(f"segments must be a whole number of at least 1, got {segments}")
        for agent, q in (relevance or {}).items():
            if not (np.isfinite(q) and q >= 0):
                raise MechanismError(f"the relevance of {agent} must be a finite number of at least 0, got {q}")
        self.unit = unit
        self.segments = segments
        self.replacement = replacement
        self.relevance = dict(relevance or {})
        self.truthful_for = frozenset({"writing"} if replacement or segments == 1 else ())

    @property
    def payments(self) -> tuple[str, ...]:
        return (self.name, f"{self.name}_expected")

    def relevances(self, terms: Terms) -> Array:
        """q, (n,)."""
        return np.array([self.relevance.get(agent, 1.0) for agent in terms.ids])

    def is_open(self, bidding: Bidding) -> bool:
        return bool((self.relevances(bidding.terms) * bidding.bids).any())

    def expected(self, bidding: Bidding) -> Expected:
        q = self.relevances(bidding.terms)
        offers = _offers(q, bidding)
        prices = [_mean_price(offers, q, i, bidding.terms.reserve) for i in range(len(q))]
        return Expected(weights_of(offers), due(bidding, np.array(prices)))

    def settle(self, bidding: Bidding, draw_key: DrawKey) -> Settled:
        race = _offers(self.relevances(bidding.terms), bidding) / _clocks(bidding.terms, draw_key)
        winner = int(np.argmax(race))
        began = float(bidding.bids[winner] * (without(race, winner).max() / race[winner]))
        amounts = paid_by(bidding, winner, began), self.expected(bidding).payments
        welfare = float(_offers(self.relevances(bidding.terms), bidding)[winner])
        return Settled(winner, dict(zip(self.payments, amounts, strict=True)), {"welfare": welfare})

    def next_bids(self, bids: Array, winner: int) -> Array:
        return bids if self.replacement else np.asarray(without(bids, winner))


def _offers(q: Array, bidding: Bidding) -> Array:
    """q_i b_i, (n,), not all 0."""
    offers = np.asarray(q * bidding.bids)
    if not offers.any():
        raise MechanismError("nobody can win a segment: each agent has a bid or a relevance of 0")
    return offers


def _mean_price(offers: Array, q: Array, i: int, reserve: float) -> float:
    own = float(q[i])
    return mean_price(float(offers[i]), float(without(offers, i).sum()), own * reserve) / own if own else 0.0


def _clocks(terms: Terms, draw_key: DrawKey) -> Array:
    """E, (n,), positive: 0 is taken as half of the least that a uniform number can make."""
    uniforms = np.array([draw_key.uniform(Purpose.SEGMENT, agent) for agent in terms.ids])
    return np.asarray(np.maximum(-np.log1p(-uniforms), 2.0**-54))


class SegmentFigures(NamedTuple):
    """The figures of the paper's tables for a text of k segments, bids taken for values (exact, by chances and H).

    welfare is the mean of sum q_i b_i over the winners, divided by k max q_i b_i; revenue is divided by k max b_i;
    relevance is the mean of sum q_i, divided by k max q_i; least_welfare is that of the agent that has least,
    min_i q_i b_i times its mean number of segments, not divided.

    >>> SegmentFigures(0.75, 0.5, 1.0, 0.25).welfare
    0.75
    """

    welfare: float
    revenue: float
    relevance: float
    least_welfare: float


def segment_figures(mechanism: Segment, bidding: Bidding) -> SegmentFigures:
    """The divisors are the same with and without replacement, as in the published tables.

    >>> from tokenauction_cli.mechanism.testing import salon
    >>> round(segment_figures(Segment(segments=1), salon(bids=(1, 1)).bidding).welfare, 4)
    1.0
    """
    q, bids, k = mechanism.relevances(bidding.terms), bidding.bids, mechanism.segments
    mean = mechanism.expected_segments(bidding)
    wins = mean.chances.sum(axis=0)
    return SegmentFigures(
        welfare=float((wins * q * bids).sum() / (k * (q * bids).max())),
        revenue=float(mean.payments.sum() / (k * bids.max())),
        relevance=float((wins * q).sum() / (k * q.max())),
        least_welfare=float((wins * q * bids).min()),
    )
