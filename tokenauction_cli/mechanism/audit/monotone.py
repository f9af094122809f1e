"""Audits of the aggregation rule and of what is paid along an agent's bid axis.

    monotone          raising b_i moves q only to something i weakly prefers
    payment_monotone  i pays more exactly when it gets what it likes more
    consistent        how i ranks two of its own bids does not depend on the others' bids

Duetting et al.: for a given order the last two together are equivalent to the first. All need the order to be named.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np

from ..distributions import Distribution
from ..payments.rules import PaymentRule
from .bidder import Bidder
from .finding import Failure
from .preferences import TOLERANCE, advantages, increase, loss, outside

WEIGHTS = tuple(np.linspace(0, 1, 11))
CLEAR = 1e-6


def reached(bidder: Bidder, weights: Sequence[float] = WEIGHTS) -> list[float]:
    """Those of these relative weights that some bid gives the agent, ascending.

    With a reserve it enters at `entry`. A lower bid does not count: its weight is 0, if anybody else takes part.
    """
    entry = bidder.entry
    out = [0.0] if bidder.rivals > 0 or not entry else []
    return sorted({*out, entry, *(weight for weight in weights if weight > entry)})


def monotone(bidder: Bidder, order: str, weights: Sequence[float] = WEIGHTS) -> Failure:
    """The largest excess of q at a higher weight of the agent over q at a lower one; over all pairs of weights."""
    weights = reached(bidder, weights)
    path = [bidder.at_weight(weight) for weight in weights]
    if order == "robust":
        return _overshoot(bidder.wanted, path, weights)
    losses = [loss(order, bidder.wanted, q) for q in path]
    worst, at = max((_rise(losses, k), k) for k in range(len(losses)))
    return Failure(worst, detail=f"at relative weight {weights[at]:.3g}" if worst > TOLERANCE else "")


def _rise(losses: Sequence[float], k: int) -> float:
    return increase(losses[k], min(losses[: k + 1]))


def _overshoot(p: Distribution, path: Sequence[Distribution], weights: Sequence[float]) -> Failure:
    worst = Failure(0.0)
    for (lower, before), (higher, after) in combinations(zip(weights, path, strict=True), 2):
        beyond = outside(p.p, after.p, before.p)
        token = int(np.argmax(beyond))
        if beyond[token] > max(worst.size, TOLERANCE):
            detail = f"relative weight {lower:.3g} to {higher:.3g}: p {before.at(token):.4f} to {after.at(token):.4f}"
            worst = Failure(float(beyond[token]), token, f"{detail}, own {p.at(token):.4f}")
    return worst


def payment_monotone(bidder: Bidder, payment: PaymentRule, order: str, weights: Sequence[float] = WEIGHTS) -> Failure:
    """The largest step of the payment that goes against what the agent prefers, or that comes with no preference."""
    bids = _bids(bidder, weights) if bidder.rivals > 0 else []  # then any bid is open
    outcomes = [bidder.outcome(bid) for bid in bids]
    paid = [float(payment.expected(outcome)[bidder.agent]) for outcome in outcomes]
    worst = Failure(0.0)
    for (low, high), gain in advantages(order, bidder.wanted, [outcome.q for outcome in outcomes]).items():
        more = paid[high] - paid[low]
        size = _disagreement(more, gain)
        if size > worst.size:
            liked = "is not comparable" if gain is None else f"is preferred by {gain:+.4g}"
            worst = Failure(size, detail=f"bid {bids[low]:.4g} to {bids[high]:.4g}: pays {more:+.4g} for what {liked}")
    return worst


def _bids(bidder: Bidder, weights: Sequence[float]) -> list[float]:
    """Bids that give the agent these weights beside the others, or beside a bid of 1, and the reserve; ascending."""
    return sorted({(bidder.rivals or 1.0) * w / (1 - w) for w in weights if w < 1} | {bidder.terms.reserve})


def _disagreement(more: float, gain: float | None) -> float:
    """By how much paying more contradicts a gain: 0 where both have one sign, or where both are too small to tell."""
    if gain is None:
        return abs(more) if abs(more) > CLEAR else 0.0
    size = max(abs(more), abs(gain))
    opposed = min(abs(more), abs(gain)) > TOLERANCE and (more > 0) != (gain > 0)
    alone = min(abs(more), abs(gain)) <= TOLERANCE and size > CLEAR
    return size if opposed or alone else 0.0


def consistent(bidder: Bidder, order: str, weights: Sequence[float] = WEIGHTS) -> Failure:
    """1 where the agent ranks two of its bids one way under some bids of the others and another way under others."""
    bids = [bid for bid in _bids(bidder, weights) if bid > 0]
    bidders = [replace(bidder, bids=others) for others in others_grid(bidder)]
    bidders = [each for each in bidders if all(each.is_open(bid) for bid in bids)]
    if not bidders:
        return Failure(0.0)
    ranks = [advantages(order, each.wanted, [each.outcome(bid).q for bid in bids]) for each in bidders]
    for low, high in ranks[0]:
        found = {_verdict(rank[low, high]) for rank in ranks} - {"equal"}
        if len(found) > 1:
            return Failure(1.0, detail=f"bid {bids[high]:.4g} against {bids[low]:.4g}: {' or '.join(sorted(found))}")
    return Failure(0.0)


def _verdict(gain: float | None) -> str:
    if gain is None:
        return "not comparable"
    return "equal" if gain == 0 else ("better" if gain > 0 else "worse")


def others_grid(bidder: Bidder) -> list[tuple[float, ...]]:
    """The others' bids as they are, all of them times 1/4 and times 4, and each of them alone times 4."""
    n, i = len(bidder.bids), bidder.agent
    base = np.array(bidder.bids)
    factors = [np.full(n, factor) for factor in (1.0, 0.25, 4.0)]
    factors += [np.where(np.arange(n) == j, 4.0, 1.0) for j in range(n) if j != i and n > 2]
    return [tuple(base * np.where(np.arange(n) == i, 1.0, factor)) for factor in factors]
