"""Audits of the distribution an agent reports: the mechanism assumes the truth, its critics ask what a lie gains.

    temperature T   p_i^(1/T) instead of p_i; T < 1 sharpens. A truncation of the agent follows the new temperature
    boost           the agent's own brand tokens twice as likely, before scaling
    sybils k        k copies of the agent, each with a k-th of its bid; they pay k times what one pays

The gain is in the utility of the true p_i, at a bid that equals the value.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from ..distributions import Array, Profile, log_normalize, log_of
from ..payments.rules import PaymentRule
from ..terms import Terms
from .bidder import Bidder
from .finding import Failure

TEMPERATURES = (0.5, 0.8, 1.25)
BOOST = 2.0
SYBILS = (2,)


class Misreport(NamedTuple):
    """A misreport: the bidder as it looks to the mechanism, and how many copies of the agent sit in it."""

    name: str
    bidder: Bidder
    copies: int = 1


def misreports(bidder: Bidder, value: float, brand_tokens: Sequence[int] = ()) -> Iterator[Misreport]:
    """Every misreport that is audited; boosting only where the agent has brand tokens."""
    for temperature in TEMPERATURES:
        yield Misreport(f"temperature {temperature:g}", sharpened(bidder, temperature))
    if brand_tokens:
        yield Misreport("boost", boosted(bidder, brand_tokens))
    for copies in SYBILS:
        yield Misreport(f"sybils {copies}", split(bidder, value, copies), copies)


def gain(honest: Bidder, report: Misreport, payment: PaymentRule, order: str, value: float) -> Failure:
    """What the agent and its copies gain by the report, bidding the value in all."""
    if not report.bidder.is_open(value / report.copies) or not honest.is_open(value):
        return Failure(0.0)
    outcome = report.bidder.outcome(value / report.copies)
    lost = value * report.bidder.loss_of(order, outcome) if value else 0.0
    reported = -lost - report.copies * float(payment.expected(outcome)[report.bidder.agent])
    truthful = honest.utility(payment, order, value, value)
    return Failure(reported - truthful if reported > truthful else 0.0)


def reporting(bidder: Bidder, scores: Array) -> Bidder:
    """The bidder with another report, log-probabilities (V,) before scaling, and the same truth."""
    rows = bidder.profile.log_p.copy()
    rows[bidder.agent] = log_normalize(scores)
    return replace(bidder, profile=Profile(log_p=rows), truth=bidder.wanted)


def sharpened(bidder: Bidder, temperature: float) -> Bidder:
    """Reports p_i^(1/T), or what the agent's truncation makes of that."""
    told = bidder.profile.retold.get((bidder.agent, temperature))
    if told is not None:
        return reporting(bidder, log_of(told))
    return reporting(bidder, bidder.profile.log_p[bidder.agent] / temperature)


def boosted(bidder: Bidder, tokens: Sequence[int], factor: float = BOOST) -> Bidder:
    """Reports p_i with these tokens `factor` times as likely."""
    scores = bidder.profile.log_p[bidder.agent].copy()
    scores[list(tokens)] += np.log(factor)
    return reporting(bidder, scores)


def split(bidder: Bidder, value: float, copies: int) -> Bidder:
    """`copies` agents like this one, each bidding its part of the value; the bidder is that of the first."""
    i, extra, terms = bidder.agent, copies - 1, bidder.terms
    return replace(
        bidder,
        profile=Profile(p=np.vstack([bidder.profile.p, *[bidder.profile.p[i]] * extra])),
        terms=Terms(
            ids=(*terms.ids, *(f"{terms.ids[i]} {k + 2}" for k in range(extra))),
            configured=(*terms.configured, *[terms.configured[i]] * extra),
            swept=terms.swept,
            charged=(*terms.charged, *[True] * extra),
            reserve=terms.reserve,
        ),
        bids=(*bidder.bids, *[value / copies] * extra),
        truth=bidder.wanted,
    )
