"""Best-response dynamics: where bids settle under a payment that is not truthful.

In turn each charged agent takes the bid with the largest mean utility over the prefixes, the others' bids as they are,
until no bid moves. The last that bids at all bids at least a thousandth of its value (or the reserve), so that bids are
never all 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from ..payments.rules import PaymentRule
from .bidder import Bidder
from .regret import bid_grid, maximum

ROUNDS = 50
SETTLED = 1e-3
LEAST_SHARE = 1e-3


class Equilibrium(NamedTuple):
    """Bids, (n,), after so many rounds; `settled` says whether a whole round moved none by more than 0.1 %."""

    bids: tuple[float, ...]
    rounds: int
    settled: bool


def equilibrium(
    bidders: Sequence[Bidder], payment: PaymentRule, order: str, values: Sequence[float], max_rounds: int = ROUNDS
) -> Equilibrium:
    """From truthful bids on; `bidders` are one per prefix, all with the same bids; `values` (n,)."""
    bids = np.array(values, dtype=np.float64)
    players = [i for i, charged in enumerate(bidders[0].terms.charged) if charged and values[i] > 0]
    bids[[i for i in range(len(bids)) if i not in players]] = [
        b for i, b in enumerate(bidders[0].bids) if i not in players
    ]
    for played in range(1, max_rounds + 1):
        before = bids.copy()
        for i in players:
            bids[i] = _reply(
                [replace(bidder, bids=tuple(bids), agent=i) for bidder in bidders], payment, order, values[i]
            )
        if np.abs(bids - before).max() <= SETTLED * max(bids.max(), before.max()):
            return Equilibrium(tuple(bids), played, True)
    return Equilibrium(tuple(bids), max_rounds, False)


def _reply(bidders: Sequence[Bidder], payment: PaymentRule, order: str, value: float) -> float:
    def utility(bid: float) -> float:
        return float(np.mean([bidder.utility(payment, order, value, bid) for bidder in bidders]))

    least = max(LEAST_SHARE * value, bidders[0].terms.reserve)
    out = [0.0] if bidders[0].rivals > 0 else []
    return maximum(utility, [*out, *sorted({least, *(bid for bid in bid_grid(bidders[0], value) if bid > least)})])[0]
