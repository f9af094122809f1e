"""The game of bidding for whole texts, all of them enumerated: payoffs, replies, welfare and revenue at any bids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from ..audit.maximum import NEARBY, Payoff, maximum
from ..payments.rules import PaymentRule
from ..terms import entry_weights, relative_bids, without
from .best_response import BestBid, best_bid, bids_to_try, jumps_of
from .dynamics import EQUILIBRIUM, MOST_ROUNDS, SUPREMUM, UNFINISHED, Dynamics, Reply, best_responses
from .tree import Auctions, Worth, replaced, total

N_WEIGHTS = 101
REFINEMENTS = 20  # which leaves less of a bid than LEAST_GAIN can tell
ROUNDING = 1e-13  # of a utility
LEAST_GAIN = 1e-12  # of the agent's value: less is rounding


def gained(utility: float, before: float) -> float:
    """The gain of one utility over another; 0 where rounding alone tells them apart, or both are the same infinity."""
    is_same = utility == before or abs(utility - before) <= ROUNDING * min(abs(utility), abs(before))
    return 0.0 if is_same else utility - before


@dataclass(frozen=True, eq=False)
class Game:
    """Agents with one kind of utility, `worths` by agent, under one rule and one payment. `at`, (n,), are all bids.

    Only these agents bid their values at truth and reply; the others keep `at`.
    """

    auctions: Auctions
    payment: PaymentRule | None
    worths: Mapping[int, Worth]
    at: tuple[float, ...]

    @cached_property
    def truth(self) -> tuple[float, ...]:
        """Everybody bids its value, (n,)."""
        return tuple(self.worths[i].value if i in self.worths else bid for i, bid in enumerate(self.at))

    def utility(self, agent: int, bids: Sequence[float]) -> float:
        """The mean worth of the texts to the agent, less its mean payment."""
        law = self.auctions.at(bids)
        return law.mean(self.worths[agent]) - float(law.payments(self.payment)[agent])

    def best_bid(self, agent: int, bids: Sequence[float], tried: Sequence[float] = ()) -> BestBid:
        """The agent's best constant bid where the others bid so; `tried` are looked at too."""
        value = self.worths[agent].value
        is_exact = self.auctions.error_of(self.payment) == 0
        grid = bids_to_try(self.auctions, bids, agent, value, tried, is_exact=is_exact)

        def utility(bid: float) -> float:
            return self.utility(agent, replaced(bids, agent, bid))

        return best_bid(utility, grid, value, jumps_of(self.auctions, bids, agent))

    def dynamics(self, grids: Mapping[int, Sequence[float]]) -> Dynamics:
        """Best responses from truth on, each agent's first candidates being its grid.

        Where such replies end, every agent's best bid is searched thoroughly, and the path goes on if one gains.
        """
        path, ends = (yield from self._replies(self.truth, grids)), list[tuple[float, ...]]()
        while path.outcome == EQUILIBRIUM:
            best = {agent: self.best_bid(agent, path.bids, grid) for agent, grid in grids.items()}
            reply = self._better(path.bids, best)
            approached = {i: one.approached for i, one in best.items() if self._is_unattained(path.bids, i, one)}
            if approached and (
                reply is None or approached.get(reply.agent or 0)
            ):  # hardly more than 0 may have a reply
                return replace(path, outcome=SUPREMUM, approached=approached)
            if reply is None:
                return path
            if any(np.allclose(reply.bids, end, NEARBY, 0.0) for end in ends):
                return replace(path, outcome=UNFINISHED)
            ends.append(path.bids)
            path = path.then(reply, (yield from self._replies(reply.bids, grids)))
            if path.rounds > MOST_ROUNDS and path.outcome == EQUILIBRIUM:
                return replace(path, outcome=UNFINISHED)
        return path

    def _better(self, bids: tuple[float, ...], best: Mapping[int, BestBid]) -> Reply | None:
        """The first reply that gains."""
        for agent, one in best.items():
            gain = gained(one.utility, self.utility(agent, bids))
            if gain > self._least_gain:
                return Reply(agent, replaced(bids, agent, one.bid), gain, gain, moved=True)
        return None

    def _is_unattained(self, bids: tuple[float, ...], agent: int, best: BestBid) -> bool:
        """Whether the agent has no best bid: it gains by coming nearer to a jump, or stands there."""
        if best.approached is None:
            return False
        is_there = abs(bids[agent] - best.approached) <= NEARBY * max(*bids, self.worths[agent].value)
        return is_there or gained(best.utility, self.utility(agent, bids)) > self._least_gain

    @property
    def _least_gain(self) -> float:
        return LEAST_GAIN * max(worth.value for worth in self.worths.values())

    def _replies(self, bids: tuple[float, ...], grids: Mapping[int, Sequence[float]]) -> Dynamics:
        return best_responses(bids, grids, REFINEMENTS, self._least_gain)

    def regret(self, bids: Sequence[float]) -> float:
        """The most that any of the agents gains by another constant bid."""
        return max(
            gained(self.best_bid(agent, bids, (bids[agent],)).utility, self.utility(agent, bids))
            for agent in self.worths
        )

    def welfare(self, bids: Sequence[float]) -> float:
        """The mean worth of the texts to these agents together, payments left out."""
        law = self.auctions.at(bids)
        return total([law.mean(worth) for worth in self.worths.values()])

    def revenue(self, bids: Sequence[float]) -> float:
        """The mean sum of all payments."""
        return float(self.auctions.at(bids).payments(self.payment).sum())

    def best_weight(self) -> float:
        """The relative weight of the swept agent with most welfare, at the total of the true bids, of those at which a
        text is sold."""
        if self._is_alone:
            return 1.0
        terms = replace(self.auctions.terms, configured=self.truth)
        grid = {*np.linspace(0.0, 1.0, N_WEIGHTS).tolist(), *entry_weights(terms)}
        sold = [weight for weight in sorted(grid) if terms.is_open(self.at_weight(weight))]
        return maximum(lambda weight: Payoff(self.welfare(self.at_weight(weight))), sold)[0] if sold else 1.0

    def at_weight(self, weight: float) -> tuple[float, ...]:
        """The bids, (n,), where the swept agent has this share of the true bids, and the others keep their ratios."""
        terms = replace(self.auctions.terms, configured=self.truth)
        charged = float(np.array(self.truth)[list(terms.charged)].sum())
        return tuple(relative_bids(terms, weight, charged).tolist())

    @property
    def _is_alone(self) -> bool:
        """Whether no other charged agent has a true bid."""
        terms = self.auctions.terms
        return not without(np.where(terms.charged, self.truth, 0.0), terms.swept).any()
