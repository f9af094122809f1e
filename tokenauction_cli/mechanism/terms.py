"""The terms of an auction: who bids, who is swept, who is charged, what the others' shares are, and the reserve.

Terms hold for a whole experiment; bids change from cell to cell (and within a text, when a budget is spent). What
follows from bids alone is a `Bidding`, the same at every token.

Who takes part is asked of the bids that count (`Terms.effective`), here and nowhere else:

    a bid counts           where it is above 0 and, unless it is a reference agent's, at least the reserve r
    nobody takes part      no bid counts: nothing is sold, nothing is drawn, and everything paid is 0 (`is_open`)
    agent i is alone       its bid counts and no other does, a reference agent's included (`Bidding.alone`); o is then
                           what the others would do at their configured shares

For a draw, or a segment or text where that is sold, an agent that is alone pays b under pay_your_bid, b TV(p, o) under
pay_bid_times_influence (nothing is said where o is undefined), 0 under Clarke, and r under all others, where a second
price is due: 0 without a reserve. MOSAIC and text_pool take no reserve, and charge as they always do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike

from .distributions import Array, MechanismError, checked_bids, weights_of

SAME_SHARES = 1e-12
NEXT_TO = 1e-12  # of a relative weight: beyond rounding


@dataclass(frozen=True)
class Terms:
    """`configured` are the bids of the experiment file, (n,): they say what the others would do where their bids are 0.

    `charged[i]` is False for a reference agent: it counts in B and S with its fixed bid and pays nothing.

    `ids` are agents' ids, `swept` is the index of the agent whose bid a sweep moves. Bids and `reserve` are in money
    per token. Raises MechanismError for lengths that disagree, bad bids and a bad reserve.

    >>> terms = Terms(("ann", "bob"), configured=(1, 2), reserve=1.5)
    >>> terms.effective((1, 2)).tolist(), terms.is_open((1, 1))
    ([0.0, 2.0], False)
    """

    ids: tuple[str, ...]
    configured: tuple[float, ...] = ()
    swept: int = 0
    charged: tuple[bool, ...] = field(default=())
    reserve: float = 0.0

    def __post_init__(self) -> None:
        n = len(self.ids)
        object.__setattr__(self, "configured", tuple(map(float, self.configured or (1.0,) * n)))
        object.__setattr__(self, "charged", tuple(self.charged or (True,) * n))
        if not len(self.configured) == len(self.charged) == n:
            raise MechanismError(f"{n} agents need {n} configured bids and {n} marks of who is charged")
        checked_bids(self.configured)
        if not (np.isfinite(self.reserve) and self.reserve >= 0):
            raise MechanismError(f"the reserve must be a finite number of at least 0, got {self.reserve}")

    def effective(self, bids: ArrayLike) -> Array:
        """The bids that count, (n,): those of charged agents below the reserve are 0."""
        b = checked_bids(bids)
        return b if not self.reserve else np.where(np.array(self.charged) & (b < self.reserve), 0.0, b)

    def is_open(self, bids: ArrayLike) -> bool:
        """Whether anybody's bid counts, so that there is an auction."""
        return bool(self.effective(bids).any())


class Bidding:
    """The bids that count, (n,): weights w_i = b_i / B, the others' bids S_i = B - b_i, and the shares within S_i.

    Arrays are not to be written to. Raises MechanismError for bids that are not finite numbers of at least 0, and where
    none counts.

    >>> bidding = Bidding(Terms(("ann", "bob", "eve")), (1.0, 2.0, 1.0))
    >>> bidding.weights.tolist(), bidding.rivals.tolist()
    ([0.25, 0.5, 0.25], [3.0, 2.0, 3.0])
    """

    def __init__(self, terms: Terms, bids: tuple[float, ...]) -> None:
        n = len(bids)
        self.terms = terms
        self.bids = checked_bids(tuple(terms.effective(bids).tolist()))
        self.weights = weights_of(self.bids)
        self.is_contested = np.count_nonzero(self.weights) > 1
        self.due = np.array(terms.charged) & (self.bids > 0)  # who may have to pay
        self.everybody_charged = all(terms.charged)
        # S_i and 1 - w_i, summed, not subtracted: 0 exactly where they should be
        self.rivals = np.array([without(self.bids, i).sum() for i in range(n)])
        self.alone = (self.bids > 0) & (self.rivals == 0)
        self.somebody_is_alone = bool(self.alone.any())
        self.rival_weights = np.array([without(self.weights, i).sum() for i in range(n)])
        self.shares = np.array([self._shares(i) for i in range(n)])
        self.share_keys = tuple(row.tobytes() for row in self.shares)

    def _shares(self, i: int) -> Array:
        """How the others divide what agent i leaves, (n,), 0 at i: by their bids, or where those are 0 as configured.

        An agent without any other is its own alternative, so that nothing it does counts.
        """
        configured = _configured_shares(self.terms, i)
        if self.rivals[i] == 0:
            return configured
        actual = weights_of(without(self.bids, i))
        same = np.abs(actual - configured).max() < SAME_SHARES  # of a sweep: equal up to rounding, so one key for all
        return configured if same else actual


@lru_cache(maxsize=4096)  # a sweep asks for the same few bids at every token
def bidding_of(terms: Terms, bids: tuple[float, ...]) -> Bidding:
    """The bidding of these bids, shared by whoever asks.

    >>> terms = Terms(("ann", "bob"))
    >>> bidding_of(terms, (1.0, 2.0)) is bidding_of(terms, (1.0, 2.0))
    True
    """
    return Bidding(terms, bids)


def _configured_shares(terms: Terms, i: int) -> Array:
    """The others' configured bids over their sum; equal shares where all are 0; all of it for i where i is alone."""
    bids = without(terms.configured, i)
    if not bids.any():
        bids = without(np.ones(len(bids)), i) if len(bids) > 1 else np.ones(1)
    return weights_of(bids)


def relative_bids(terms: Terms, relative_weight: float, total_bid: float) -> Array:
    """Bids (n,) that give the swept agent this share of the charged agents' `total_bid`; reference agents keep theirs.

    The other charged agents share the rest in proportion to their configured bids. Raises MechanismError for a weight
    outside [0, 1] and where the rest has nobody to go to.

    >>> relative_bids(Terms(("ann", "bob"), configured=(1, 3)), relative_weight=0.25, total_bid=4).tolist()
    [1.0, 3.0]
    """
    if not 0 <= relative_weight <= 1:
        raise MechanismError(f"a relative weight lies in [0, 1], got {relative_weight}")
    bids = np.array(terms.configured)
    others = np.array(terms.charged)
    others[terms.swept] = False
    if relative_weight < 1:
        if not bids[others].sum() > 0:
            raise MechanismError("no other charged agent has a positive bid: only the relative weight 1 is possible")
        bids[others] *= (1 - relative_weight) * total_bid / bids[others].sum()
    else:
        bids[others] = 0.0
    bids[terms.swept] = relative_weight * total_bid
    return bids


def entry_weights(terms: Terms) -> list[float]:
    """The relative weights, at the total of the configured bids, around which a bid begins to count; none without a
    reserve. On either side of each, so that what jumps there is seen at its best.

    >>> [round(weight, 6) for weight in entry_weights(Terms(("ann", "bob"), configured=(1, 1), reserve=0.5))]
    [0.25, 0.25, 0.25, 0.75, 0.75, 0.75]
    """
    bids = np.where(terms.charged, terms.configured, 0.0)
    total, others = float(bids.sum()), without(bids, terms.swept)
    if not terms.reserve or not others.any():
        return []
    rests = (others[others > 0] / others.sum()).tolist()
    at = [terms.reserve / total, *(1 - terms.reserve / (total * rest) for rest in rests)]
    return sorted({weight + step for weight in at for step in (-NEXT_TO, 0.0, NEXT_TO) if 0 <= weight + step <= 1})


def without(bids: Sequence[float] | Array, i: int) -> Array:
    """The bids with agent i's set to 0, (n,).

    >>> without((1, 2, 3), 1).tolist()
    [1.0, 0.0, 3.0]
    """
    others = np.array(bids, dtype=np.float64)
    others[i] = 0.0
    return others
