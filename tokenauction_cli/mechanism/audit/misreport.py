"""Audits of the distribution an agent reports: the mechanism assumes the truth, its critics ask what a lie gains.

    temperature T   p_i^(1/T) instead of p_i; T < 1 sharpens
    boost           the agent's own brand tokens twice as likely, before scaling
    sybils k        k copies of the agent, each with a k-th of its bid; they pay k times what one pays

The gain is in the utility of the true p_i, at a bid that equals the value.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from ..distributions import Array, Profile, log_normalize
from ..payments.rules import PaymentRule
from ..terms import Terms
from .bidder import Seat
from .finding import Failure

TEMPERATURES = (0.5, 0.8, 1.25)
BOOST = 2.0
SYBILS = (2,)


class Lie(NamedTuple):
    """A misreport: the seat as it looks to the mechanism, and how many copies of the agent sit in it."""

    name: str
    seat: Seat
    copies: int = 1


def lies(seat: Seat, value: float, brand_tokens: Sequence[int] = ()) -> Iterator[Lie]:
    """Every misreport that is audited; boosting only where the agent has brand tokens."""
    for temperature in TEMPERATURES:
        yield Lie(f"temperature {temperature:g}", sharpened(seat, temperature))
    if brand_tokens:
        yield Lie("boost", boosted(seat, brand_tokens))
    for copies in SYBILS:
        yield Lie(f"sybils {copies}", split(seat, value, copies), copies)


def gain(honest: Seat, lie: Lie, payment: PaymentRule, order: str, value: float) -> Failure:
    """What the agent and its copies gain by the lie, bidding the value in all."""
    if not lie.seat.is_open(value / lie.copies) or not honest.is_open(value):
        return Failure(0.0)
    outcome = lie.seat.outcome(value / lie.copies)
    lost = value * lie.seat.loss_of(order, outcome) if value else 0.0
    lied = -lost - lie.copies * float(payment.expected(outcome)[lie.seat.agent])
    truthful = honest.utility(payment, order, value, value)
    return Failure(lied - truthful if lied > truthful else 0.0)


def reporting(seat: Seat, scores: Array) -> Seat:
    """The seat with another report, log-probabilities (V,) before scaling, and the same truth."""
    rows = seat.profile.log_p.copy()
    rows[seat.agent] = log_normalize(scores)
    return replace(seat, profile=Profile(log_p=rows), truth=seat.wanted)


def sharpened(seat: Seat, temperature: float) -> Seat:
    """Reports p_i^(1/T)."""
    return reporting(seat, seat.profile.log_p[seat.agent] / temperature)


def boosted(seat: Seat, tokens: Sequence[int], factor: float = BOOST) -> Seat:
    """Reports p_i with these tokens `factor` times as likely."""
    scores = seat.profile.log_p[seat.agent].copy()
    scores[list(tokens)] += np.log(factor)
    return reporting(seat, scores)


def split(seat: Seat, value: float, copies: int) -> Seat:
    """`copies` agents like this one, each bidding its part of the value; the seat is that of the first."""
    i, extra, terms = seat.agent, copies - 1, seat.terms
    return replace(
        seat,
        profile=Profile(p=np.vstack([seat.profile.p, *[seat.profile.p[i]] * extra])),
        terms=Terms(
            ids=(*terms.ids, *(f"{terms.ids[i]} {k + 2}" for k in range(extra))),
            configured=(*terms.configured, *[terms.configured[i]] * extra),
            swept=terms.swept,
            charged=(*terms.charged, *[True] * extra),
            reserve=terms.reserve,
        ),
        bids=(*seat.bids, *[value / copies] * extra),
        truth=seat.wanted,
    )
