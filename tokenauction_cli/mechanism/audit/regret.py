"""Audits of bidding: what an agent gains by a bid other than its value.

    non_negative           no payment is below 0
    individually_rational  bidding one's value is no worse than bidding 0
    regret                 what the best bid brings beyond bidding one's value; 0 under a truthful payment

The best bid is searched on a grid around the value and the others' bids, then within its neighbours on the grid. Under
linear with the loss TV it must be (d; per unit of D, V(b) = v b/(S+b) less the payment, derivative 0):
    second_price, myerson_tv   v
    pay_your_bid               max(0, sqrt(v D S) - S)
    pay_bid_times_influence    -S + sqrt(S^2 + S v)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from ..payments.rules import PaymentRule
from .bidder import Bidder
from .finding import Failure

FACTORS = (0.0, *(2.0**k for k in range(-8, 7)))
SEARCH_STEPS = 40


class BestResponse(NamedTuple):
    """The best bid found, what it brings, and what bidding the value brings."""

    bid: float
    utility: float
    truthful: float

    @property
    def regret(self) -> float:
        """At least 0; 0 where both are -inf."""
        return self.utility - self.truthful if self.utility > self.truthful else 0.0


def best_response(bidder: Bidder, payment: PaymentRule, order: str, value: float) -> BestResponse:
    """The best bid of an agent for whom a unit of the loss is worth `value`."""

    def utility(bid: float) -> float:
        return bidder.utility(payment, order, value, bid)

    bid, best = maximum(utility, bid_grid(bidder, value))
    return BestResponse(bid, best, utility(value) if bidder.is_open(value) else best)


def bid_grid(bidder: Bidder, value: float) -> list[float]:
    """Multiples of the value and of the others' bids, ascending, and the reserve; only bids that leave an auction."""
    bids = {scale * factor for scale in (value, bidder.rivals) for factor in FACTORS} | {bidder.terms.reserve}
    return sorted(bid for bid in bids if bidder.is_open(bid))


def maximum(f: Callable[[float], float], grid: Sequence[float]) -> tuple[float, float]:
    """The best point of the grid, improved by a bounded search between its neighbours; (point, value)."""
    from scipy.optimize import minimize_scalar

    values = [f(x) for x in grid]
    k = int(np.argmax(values))
    low, high = grid[max(k - 1, 0)], grid[min(k + 1, len(grid) - 1)]
    if not math.isfinite(values[k]) or low == high:
        return grid[k], values[k]
    options = {"xatol": 1e-7 * high, "maxiter": SEARCH_STEPS}
    found = minimize_scalar(lambda x: -max(f(float(x)), -1e300), bounds=(low, high), method="bounded", options=options)
    return (float(found.x), float(-found.fun)) if -found.fun > values[k] else (grid[k], values[k])


def regret(bidder: Bidder, payment: PaymentRule, order: str, value: float) -> Failure:
    """What the best bid gains over bidding the value."""
    response = best_response(bidder, payment, order, value)
    return Failure(response.regret, bid=response.bid)


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
