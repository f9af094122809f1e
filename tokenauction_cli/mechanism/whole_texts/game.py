"""The game of bidding for whole texts, all of them enumerated: payoffs, replies, welfare and revenue at any bids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from ..audit.regret import maximum
from ..payments.rules import PaymentRule
from ..terms import relative_bids, without
from .best_response import BestBid, best_bid, bids_to_try
from .dynamics import Answer, Path, Question, best_responses
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
        grid = bids_to_try(self.auctions, bids, agent, value, tried)
        return best_bid(lambda bid: self.utility(agent, replaced(bids, agent, bid)), grid, value)

    def play(self, grids: Mapping[int, Sequence[float]]) -> Path:
        """Best-response dynamics from truth on, each agent's first candidates being its grid."""
        least_gain = LEAST_GAIN * max(worth.value for worth in self.worths.values())
        dynamics = best_responses(self.truth, grids, REFINEMENTS, least_gain)
        try:
            question = next(dynamics)
            while True:
                question = dynamics.send(self._answers(question))
        except StopIteration as end:
            path: Path = end.value
            return path

    def _answers(self, question: Question) -> list[Answer]:
        now = self.utility(question.agent, question.bids)
        gains = []
        for bid in question.candidates:
            bids = replaced(question.bids, question.agent, bid)
            is_open = self.auctions.is_open(bids)
            gains.append(gained(self.utility(question.agent, bids), now) if is_open else -np.inf)
        return [Answer(gain, gain) for gain in gains]

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
        """The relative weight of the swept agent with most welfare, at the total of the true bids."""
        if self._is_alone:
            return 1.0
        grid = np.linspace(0.0, 1.0, N_WEIGHTS).tolist()
        is_open = [weight for weight in grid if self.auctions.is_open(self.at_weight(weight))]
        return maximum(lambda weight: self.welfare(self.at_weight(weight)), is_open)[0]

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
