"""A bidder: one agent in one auction at one prefix, from where it sees what each of its bids would bring.

Its utility of a bid is value times (-loss(q, p_i)) less the expected payment, with the loss TV, KL or reverse KL.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..aggregation.rules import AggregationRule
from ..distributions import Array, Distribution, Profile
from ..outcome import Outcome
from ..payments.rules import PaymentRule, mean_payments
from ..terms import Terms, without
from .maximum import Payoff
from .preferences import loss

FEW_TOKENS = 1000
RARE = 1e-5


@dataclass(frozen=True)
class Bidder:
    """Agent `agent` of the auction with these bids. `truth` is what it wants if that is not the p_i it reports."""

    rule: AggregationRule
    profile: Profile
    terms: Terms
    bids: tuple[float, ...]
    agent: int
    truth: Distribution | None = None

    @cached_property
    def wanted(self) -> Distribution:
        return self.truth or self.profile.agent(self.agent)

    @cached_property
    def rivals(self) -> float:
        """S, the sum of the others' bids that count."""
        return float(self.terms.effective(without(self.bids, self.agent)).sum())

    def is_open(self, bid: float) -> bool:
        """Whether any bid counts when this agent bids so much: otherwise there is no auction."""
        return self.terms.is_open(self._with(bid))

    def outcome(self, bid: float) -> Outcome:
        """What comes of this bid, kept for all payments and orders; with S = 0 it must count."""
        if bid not in self._outcomes:
            self._outcomes[bid] = Outcome(self.rule, self.profile, self._with(bid), self.terms)
        return self._outcomes[bid]

    def _with(self, bid: float) -> tuple[float, ...]:
        return (*self.bids[: self.agent], bid, *self.bids[self.agent + 1 :])

    @cached_property
    def entry(self) -> float:
        """The relative weight of the agent from which on its bid counts; 0 without a reserve."""
        reserve = self.terms.reserve
        return reserve / (self.rivals + reserve) if reserve else 0.0

    def at_weight(self, weight: float) -> Distribution:
        """q where the agent has this share of all bids and the others keep their ratios."""
        return self.rule(self.profile, weight * self._own + (1 - weight) * self._shares)

    def loss_of(self, order: str, outcome: Outcome) -> float:
        """The loss of q; TV by the outcome's closed form where the agent reports what it wants."""
        if order == "tv" and self.truth is None:
            return outcome.tv(self.agent)
        return loss(order, self.wanted, outcome.q)

    def utility(self, payment: PaymentRule, order: str, value: float, bid: float) -> float:
        """value * (-loss) - expected payment; -inf where the loss is infinite and the value positive."""
        return self.payoff(payment, order, value, bid).value

    def payoff(self, payment: PaymentRule, order: str, value: float, bid: float) -> Payoff:
        """What a bid brings, value * (-loss), and costs; -inf where it leaves no auction."""
        if not self.is_open(bid):
            return Payoff(-math.inf)
        outcome = self.outcome(bid)
        lost = self.loss_of(order, outcome)
        return Payoff(-value * lost if value else 0.0, float(mean_payments(payment, outcome)[self.agent]))

    @property
    def jumps(self) -> tuple[float, ...]:
        """Bids at which what comes of a bid may jump: 0, the reserve, and the bids of others, which it passes there."""
        others = without(self.bids, self.agent).tolist()
        return tuple(sorted({0.0, self.terms.reserve, *others}))

    def scale(self, value: float) -> float:
        """A typical bid."""
        return max(value, self.rivals, self.terms.reserve)

    @cached_property
    def _outcomes(self) -> dict[float, Outcome]:
        return {}

    @cached_property
    def _shares(self) -> Array:
        return Outcome(self.rule, self.profile, self.bids, self.terms).shares(self.agent)

    @cached_property
    def _own(self) -> Array:
        return np.asarray(np.eye(len(self.bids))[self.agent])


class Pooled(NamedTuple):
    """A profile over fewer tokens; `tokens` are the old ids of those that kept their own place, in order."""

    profile: Profile
    tokens: NDArray[np.intp]

    def places(self, tokens: Sequence[int]) -> tuple[int, ...]:
        """Where these old ids are now; they must have been kept."""
        return tuple(np.searchsorted(self.tokens, sorted(tokens)).tolist())


def pooled(profile: Profile, keep: Sequence[int] = ()) -> Pooled:
    """The profile with all tokens rare to every agent (p below 1e-5) made one, so that thousands of outcomes are cheap.

    Vocabularies of up to 1000 tokens, and the tokens `keep`, are left as they are.
    """
    rows = np.vstack([profile.p, *profile.retold.values()])
    rare = rows.max(axis=0) < RARE
    rare[list(keep)] = False
    if profile.n_tokens <= FEW_TOKENS or not rare.any():
        return Pooled(profile, np.arange(profile.n_tokens))
    told = np.column_stack([rows[:, ~rare], rows[:, rare].sum(axis=1)])
    few = Profile.of(told[: profile.n_agents])
    few.retold = dict(zip(profile.retold, told[profile.n_agents :], strict=True))
    return Pooled(few, np.flatnonzero(~rare))
