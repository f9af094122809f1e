"""The best bid for whole texts: one bid for all prefixes, or another one at every prefix.

A constant bid's utility may have several humps, and jumps at 0, at the reserve and at the bids of others. It is
searched from a fine grid on (`audit/maximum.py`) and set to where its slope is 0. What is found is a lower bound, and
whole texts have no upper one.

A bid for every prefix is solved backwards: V(prefix) = max over b of E[worth of the draw - payment + V(next)]. (d)
Under linear and second price, with what follows V(x), D = TV(p, o) and the value v of a unit of TV, the utility of b is
-v D S/(S + b) - D [S ln(1 + b/S) - b S/(S + b)] + sum_x (o_x + (p_x - o_x) b/(S + b)) V(x), whose slope is
D S/(S + b)^2 (v + sum_x (p_x - o_x) V(x) / D - b): the best bid is max(0, v + sum_x (p_x - o_x) V(x) / D), not v.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ...system.arrays import Indices
from ..audit.maximum import Payoff, maximum
from ..audit.regret import FAR
from ..distributions import Array, MechanismError
from ..payments.rules import PaymentRule, mean_payments
from .tree import LEAF, Auctions, TokenAuctions, Worth, replaced, total

FACTORS = (0.0, *(2.0 ** (k / 4) for k in range(-40, 25)))
"""The fine grid: the value, and the others' bids, times these."""

SAME = 1e-12
DIGITS = 12
STENCIL = 1e-3  # of the bid: an error of order 1e-12 in the slope, by truncation and by rounding


class BestBid(NamedTuple):
    """A bid, the utility it brings, and the jump next to which a supremum is approached, None where it is attained."""

    bid: float
    utility: float
    approached: float | None = None


def fine_grid(value: float, rivals: float, tried: Sequence[float] = (), far: Sequence[float] = ()) -> list[float]:
    """Bids to begin with, ascending; `tried` are among them."""
    return sorted({scale * factor for scale in (value, rivals) for factor in (*FACTORS, *far)} | {value, *tried})


def bids_to_try(
    auctions: Auctions, bids: Sequence[float], agent: int, value: float, tried: Sequence[float] = (), *, is_exact: bool
) -> list[float]:
    """The agent's fine grid where the others bid so, with bids of many times that where payments are exact."""
    rivals = sum(replaced(bids, agent, 0.0))
    return fine_grid(value, rivals, (*tried, auctions.terms.reserve), FAR if is_exact else ())


def jumps_of(auctions: Auctions, bids: Sequence[float], agent: int) -> tuple[float, ...]:
    """Where what comes of the agent's bid may jump: at 0, at the reserve, and where it passes the bid of another."""
    return tuple(sorted({auctions.terms.reserve, *replaced(bids, agent, 0.0)}))


def best_bid(
    utility: Callable[[float], float], grid: Sequence[float], value: float, jumps: Sequence[float] = ()
) -> BestBid:
    """The best bid that is found, to 1e-9 or so where the utility is smooth; the value where none is better."""
    search = maximum(lambda bid: Payoff(utility(bid)), grid, jumps, scale=max(value, *jumps, grid[0]) or 1.0)
    found = BestBid(search.at, search.value, search.approached)
    polished = [_level(utility, found.bid, grid[-1])] if found.approached is None else []
    for bid in (*polished, *([value] if value in grid else [])):
        reached = utility(bid)
        if reached == found.utility or reached >= found.utility - SAME * abs(found.utility):
            found = BestBid(bid, reached)
    return found


def _level(utility: Callable[[float], float], bid: float, highest: float) -> float:
    """The bid near this one where the slope is 0: two steps of Newton's, by differences of five points."""
    start = bid
    for _ in range(2):
        h = STENCIL * bid
        if not 0 < bid < highest - 2 * h:
            return start
        f = [utility(bid + k * h) for k in (-2, -1, 0, 1, 2)]
        slope = (f[0] - 8 * f[1] + 8 * f[3] - f[4]) / (12 * h)
        bend = (-f[0] + 16 * f[1] - 30 * f[2] + 16 * f[3] - f[4]) / (12 * h * h)
        if not (bend < 0 and abs(slope / bend) < h):
            return start
        bid -= slope / bend
    return bid


@dataclass(frozen=True, eq=False)
class BidsByPrefix:
    """An agent's bid at every prefix, (m,), NaN at finished texts; the utility and the expected payment they bring."""

    bids: Array
    utility: float
    payment: float


class _Draw(NamedTuple):
    """What a bid brings at one prefix: worth less payment, the payment, and q, (V,)."""

    gained: float
    paid: float
    q: Array


class BackwardInduction:
    """The best bid of `worth`'s agent at every prefix, while the others keep theirs."""

    def __init__(self, auctions: TokenAuctions, payment: PaymentRule, worth: Worth, bids: Sequence[float]) -> None:
        self._auctions = auctions
        self._payment = payment
        self._worth = worth
        self._bids = bids
        is_exact = auctions.error_of(payment) == 0
        grid = bids_to_try(auctions, bids, worth.agent, worth.value, is_exact=is_exact)
        self._grid = [bid for bid in grid if auctions.terms.is_open(replaced(bids, worth.agent, bid))]
        self._jumps = jumps_of(auctions, bids, worth.agent)
        self._draws: dict[tuple[int, float], _Draw] = {}
        self._solved: dict[tuple[int, bytes], float] = {}

    @property
    def has_bids(self) -> bool:
        """Whether there is a bid at which something is sold; nobody else's counts where there is none."""
        return bool(self._grid)

    def solve(self) -> BidsByPrefix:
        """From the longest prefixes to the root; the bids are then played from the root on for what they pay."""
        tree = self._auctions.tree
        bids, values = np.full(tree.n_nodes, np.nan), np.zeros(tree.n_nodes)
        for node in range(tree.n_nodes - 1, -1, -1):
            place = int(tree.places[node])
            if place == LEAF:
                values[node] = self._worth.of_text(node)
                continue
            tokens, later = tree.tokens[tree.children[node]], values[tree.children[node]]
            bids[node] = self._best(place, tokens, later)
            values[node] = self._utility(place, bids[node], tokens, later)
        return BidsByPrefix(bids, float(values[0]), float(self._paid(bids)))

    def _best(self, place: int, tokens: Indices, later: Array) -> float:
        """The best bid at a profile, given what follows these tokens: alike where that differs by a constant."""
        finite = later[np.isfinite(later)]
        key = place, np.round(later - (finite[0] if finite.size else 0.0), DIGITS).tobytes()
        if key not in self._solved:
            worth = self._worth.value
            found = best_bid(lambda bid: self._utility(place, bid, tokens, later), self._grid, worth, self._jumps)
            self._solved[key] = found.bid
        return self._solved[key]

    def _utility(self, place: int, bid: float, tokens: Indices, later: Array) -> float:
        draw = self._draw(place, bid)
        q = draw.q[tokens]
        return total([draw.gained, *(q[q > 0] * later[q > 0]).tolist()])

    def _draw(self, place: int, bid: float) -> _Draw:
        if (place, bid) not in self._draws:
            self._draws[place, bid] = self._drawn(place, bid)
        return self._draws[place, bid]

    def _drawn(self, place: int, bid: float) -> _Draw:
        """Bids that leave q undefined, or nothing sold, are none to choose."""
        worth = self._worth
        try:
            outcome = self._auctions.outcome(place, replaced(self._bids, worth.agent, bid))
            q = outcome.q
        except MechanismError:
            return _Draw(-math.inf, 0.0, np.zeros(self._auctions.tree.profiles[place].n_tokens))
        paid = float(mean_payments(self._payment, outcome)[worth.agent])
        return _Draw(worth.of_draw(self._auctions.tree.truths[place], q) - paid, paid, q.p)

    def _paid(self, bids: Array) -> float:
        """The expected sum of payments where the agent bids so."""
        tree = self._auctions.tree
        p, paid = np.zeros(tree.n_nodes), 0.0
        p[0] = 1.0
        for node in np.flatnonzero(tree.places != LEAF).tolist():
            if p[node] > 0:
                draw = self._draw(int(tree.places[node]), float(bids[node]))
                paid += p[node] * draw.paid
                p[tree.children[node]] = p[node] * draw.q[tree.tokens[tree.children[node]]]
        return paid
