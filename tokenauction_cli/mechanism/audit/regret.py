"""Audits of bidding: what an agent gains by a bid other than its value.

    non_negative           no payment is below 0
    individually_rational  bidding one's value is no worse than bidding 0
    regret                 what the best bid brings beyond bidding one's value; 0 under a truthful payment

The best bid is searched (`maximum.py`), so that a regret is at least what is said. It is at most what `at_most` says
where that is known: 0 beyond what was found where the payment is truthful for the order, and by monotonicity where the
rule is monotone in the order and the payment never falls. Under linear with the loss TV the best bid is (d; per unit of
D, V(b) = v b/(S+b) less the payment, derivative 0):
    second_price, myerson_tv   v
    pay_your_bid               max(0, sqrt(v D S) - S)
    pay_bid_times_influence    -S + sqrt(S^2 + S v)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from ..payments.rules import PaymentRule
from .bidder import Bidder
from .finding import Failure
from .maximum import Maximum, Payoff, maximum

FACTORS = (0.0, *(2.0**k for k in range(-8, 7)))
FAR = tuple(2.0**k for k in (8, 10, 12, 16, 20, 28))
"""Looked at where payments are exact: an error that grows with the bid would drown what such a bid brings."""


class BestResponse(NamedTuple):
    """The best bid found, what it brings, and what bidding the value brings; as `Maximum` says."""

    bid: float
    utility: float
    truthful: float
    at_most: float | None = None
    approached: float | None = None

    @property
    def regret(self) -> float:
        """At least 0; 0 where both are -inf."""
        return self.utility - self.truthful if self.utility > self.truthful else 0.0

    @property
    def regret_at_most(self) -> float | None:
        """None where that is unknown."""
        if self.at_most is None:
            return None
        return self.at_most - self.truthful if self.at_most > self.truthful else 0.0


def best_response(bidder: Bidder, payment: PaymentRule, order: str, value: float) -> BestResponse:
    """The best bid of an agent for whom a unit of the loss is worth `value`."""
    is_truthful = order in payment.truthful_for(bidder.rule) and bidder.truth is None
    found = best_reply([bidder], payment, order, value, is_bounded=not is_truthful)
    truthful = bidder.utility(payment, order, value, value) if bidder.is_open(value) else found.value
    at_most = found.at_most if found.at_most < math.inf else None
    if is_truthful:
        at_most = max(found.value, truthful)
    return BestResponse(found.at, found.value, truthful, at_most, found.approached)


def best_reply(
    bidders: Sequence[Bidder], payment: PaymentRule, order: str, value: float, *, is_bounded: bool = True
) -> Maximum:
    """The bid with the largest mean utility over prefixes, of one agent whose rivals bid the same at all of them."""
    here = bidders[0]

    def payoff(bid: float) -> Payoff:
        each = [bidder.payoff(payment, order, value, bid) for bidder in bidders]
        return Payoff(*(sum(part) / len(each) for part in zip(*each, strict=True)))

    rises = order in here.rule.monotone_in and payment.never_falls and here.truth is None
    is_exact = payment.relative_error(here.rule, here.profile.n_tokens) == 0
    return maximum(
        payoff,
        bid_grid(here, value, FAR if is_exact else ()),
        here.jumps,
        scale=here.scale(value),
        most=0.0 if rises and is_bounded else None,
    )


def bid_grid(bidder: Bidder, value: float, far: Sequence[float] = ()) -> list[float]:
    """Multiples of the value and of the others' bids, ascending, and the reserve; only bids that leave an auction."""
    bids = {scale * factor for scale in (value, bidder.rivals) for factor in (*FACTORS, *far)} | {bidder.terms.reserve}
    return sorted(bid for bid in bids if bidder.is_open(bid))


def regret(bidder: Bidder, payment: PaymentRule, order: str, value: float) -> Failure:
    """What the best bid gains over bidding the value."""
    response = best_response(bidder, payment, order, value)
    why = "" if response.approached is None or not response.regret else unattained(response.approached)
    return Failure(response.regret, detail=why, bid=response.bid, at_most=response.regret_at_most)


def unattained(jump: float) -> str:
    """How a supremum is approached."""
    where = "the higher the better" if math.isinf(jump) else f"the nearer to {jump:.4g} the better"
    return f"{where}, and no bid is best"


def individually_rational(bidder: Bidder, payment: PaymentRule, order: str, value: float) -> Failure:
    """What bidding the value loses against bidding nothing; nothing to compare where nobody else bids."""
    if bidder.rivals == 0:
        return Failure(0.0)
    stay, bid = (bidder.utility(payment, order, value, b) for b in (0.0, value))
    return Failure(stay - bid if stay > bid else 0.0)


def non_negative(bidder: Bidder, payment: PaymentRule, bids: Sequence[float]) -> Failure:
    """The largest amount an agent is paid instead of paying, over these bids."""
    lowest = min(float(payment.expected(bidder.outcome(bid))[bidder.agent]) for bid in bids)
    return Failure(max(0.0, -lowest))
