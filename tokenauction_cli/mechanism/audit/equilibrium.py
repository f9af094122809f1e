"""Best-response dynamics: where bids settle under a payment that is not truthful.

In turn each charged agent takes the bid with the largest mean utility over the prefixes, the others' bids as they are,
if that gains more than 1e-10 of its value. Bids settle when a whole round moves none, and the best bids of
that round, searched with more patience, are attained: next to a jump a payoff may have a supremum and no maximum, and
then there is no best response, and no equilibrium, however little is to be gained. They do not settle where they return
to earlier bids.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from ..payments.rules import PaymentRule
from .bidder import Bidder
from .maximum import NEARBY, Maximum
from .regret import best_reply, unattained

ROUNDS = 50
LEAST_GAIN = 1e-10  # of the value


class ReachedBids(NamedTuple):
    """Bids, (n,), after so many rounds; `settled` says whether they are an equilibrium, `why` why they are none."""

    bids: tuple[float, ...]
    rounds: int
    settled: bool
    why: str = ""


def equilibrium(
    bidders: Sequence[Bidder], payment: PaymentRule, order: str, values: Sequence[float], max_rounds: int = ROUNDS
) -> ReachedBids:
    """From truthful bids on; `bidders` are one per prefix, all with the same bids; `values` (n,)."""
    charged = bidders[0].terms.charged
    players = [i for i, pays in enumerate(charged) if pays and values[i] > 0]
    bids = [values[i] if i in players else bid for i, bid in enumerate(bidders[0].bids)]
    ends, is_patient = [tuple(bids)], False
    for played in range(1, max_rounds + 1):
        moved, why = False, []
        for i in players:
            mine = [replace(bidder, bids=tuple(bids), agent=i) for bidder in bidders]
            reply = best_reply(mine, payment, order, values[i], is_bounded=is_patient)
            gains = _gain(mine, payment, order, values[i], reply) > LEAST_GAIN * values[i]
            if reply.approached is not None and (gains or _is_there(reply.approached, mine[0], values[i])):
                why.append(f"{mine[0].terms.ids[i]}: {unattained(reply.approached)}")
                if gains and reply.approached:  # who bids alone goes on with hardly more than 0, to which others reply
                    return ReachedBids(tuple(bids), played, False, why[-1])
            if gains:
                bids[i], moved = reply.at, True
        if not moved and is_patient:
            return ReachedBids(tuple(bids), played, not why, "; ".join(why))
        if moved and any(np.allclose(bids, end, NEARBY, 0.0) for end in ends):
            return ReachedBids(tuple(bids), played, False, "bids return to where they were")
        ends.append(tuple(bids))
        is_patient = not moved
    return ReachedBids(tuple(bids), max_rounds, False)


def _gain(bidders: Sequence[Bidder], payment: PaymentRule, order: str, value: float, reply: Maximum) -> float:
    """What the reply gains over the bid that the agent has."""
    bid = bidders[0].bids[bidders[0].agent]
    now = float(np.mean([bidder.utility(payment, order, value, bid) for bidder in bidders]))
    return reply.value - now if reply.value > now else 0.0


def _is_there(jump: float, bidder: Bidder, value: float) -> bool:
    """Whether the agent bids next to this."""
    return abs(bidder.bids[bidder.agent] - jump) <= NEARBY * bidder.scale(value)
