"""An outcome: what one aggregation rule makes of one profile and one vector of bids, before any token is drawn.

Everything here is shared by all seeds of a cell's (rule, bids) and worked out when first asked for. What depends only
on the others' shares, such as o and TV(p_i, o) along a sweep of relative weight, is kept on the profile for all bids.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from .aggregation import AggregationRule, Linear
from .dictatorship import Dictatorship, RandomDictator
from .distributions import Array, Distribution, Profile, checked_bids, weights_of
from .divergences import both_kls, total_variation
from .terms import Terms, without

T = TypeVar("T")
SAME_SHARES = 1e-12


class Outcome:
    """q and what surrounds it: weights w_i = b_i / B, the others' bids S_i = B - b_i, and o_i = q with b_i = 0.

    Raises MechanismError for bids that are not finite numbers of at least 0, or all 0 (here), and for an undefined q
    (when `q` is first asked for).
    """

    def __init__(self, rule: AggregationRule, profile: Profile, bids: ArrayLike, terms: Terms) -> None:
        self.rule = rule
        self.profile = profile
        self.terms = terms
        self.bids = checked_bids(bids)
        self.weights = weights_of(self.bids)
        self._kept: dict[Hashable, Any] = {}

    @property
    def n_agents(self) -> int:
        return len(self.bids)

    @cached_property
    def q(self) -> Distribution:
        """The aggregate distribution; of a dictatorship its expectation over the dictator."""
        return self.rule(self.profile, self.bids)

    @property
    def swept_id(self) -> str:
        return self.terms.ids[self.terms.swept]

    @property
    def straight(self) -> bool:
        """Whether q = (1 - w_i) o_i + w_i p_i for every i, so that all closed forms of the linear rule hold."""
        return isinstance(self.rule, Linear | RandomDictator)

    @cached_property
    def odds(self) -> Array | None:
        """Of a dictatorship the probability of each agent being the dictator, (n,); otherwise None."""
        return self.rule.odds(self.bids) if isinstance(self.rule, Dictatorship) else None

    @cached_property
    def rivals(self) -> Array:
        """S_i, the sum of the others' bids, (n,); summed, not subtracted: 0 exactly where it should be."""
        return np.array([without(self.bids, i).sum() for i in range(self.n_agents)])

    def shares(self, i: int) -> Array:
        """How the others divide what agent i leaves, (n,), 0 at i: by their bids, or where those are 0 as configured.

        An agent without any other is its own alternative, so that nothing it does counts.
        """
        return self.once(("shares", i), lambda: self._shares(i))

    def _shares(self, i: int) -> Array:
        configured = _normalized(without(self.terms.configured, i), i)
        if self.rivals[i] == 0:
            return configured
        actual = weights_of(without(self.bids, i))
        same = np.abs(actual - configured).max() < SAME_SHARES  # of a sweep: equal up to rounding, so one key for all
        return configured if same else actual

    def others_at(self, token: int) -> Array:
        """o_i of one token for every i under a mixture of the p_i by weight, (n,)."""
        shares = self.once("all shares", lambda: np.array([self.shares(i) for i in range(self.n_agents)]))
        return np.asarray(shares @ self.profile.p[:, token])

    def others(self, i: int) -> Distribution:
        """o_i: what the others would do alone."""
        shares = self.shares(i)
        return self._shared("others", i, lambda: self.rule(self.profile, shares))

    def distance(self, i: int) -> float:
        """D_i = TV(p_i, o_i)."""
        return self._shared("distance", i, lambda: total_variation(self.profile.agent(i).p, self.others(i).p))

    def tv(self, i: int) -> float:
        """TV(p_i, q). (d) Where q = (1 - w) o + w p it is (1 - w) D, without a pass over the tokens."""
        if self.straight:
            return float(without(self.weights, i).sum()) * self.distance(i)
        return self.once(("tv", i), lambda: total_variation(self.profile.agent(i).p, self.q.p))

    @cached_property
    def kls(self) -> tuple[Array, Array]:
        """KL(p_i || q) and KL(q || p_i), (n,) each."""
        return both_kls(self.profile, self.q)

    def charged(self, amounts: Array) -> Array:
        """The amounts, (n,), with those of reference agents set to 0."""
        return np.where(np.array(self.terms.charged), amounts, 0.0)

    def per_agent(self, payment: Callable[[Outcome, int], float]) -> Array:
        """payment(outcome, i) of every charged agent with a positive bid, 0 for the others, (n,)."""
        due = self.charged(self.bids)
        return np.array([payment(self, i) if due[i] > 0 else 0.0 for i in range(self.n_agents)])

    def once(self, key: Hashable, compute: Callable[[], T]) -> T:
        """compute(), worked out the first time this key is asked for and kept as long as the outcome."""
        if key not in self._kept:
            self._kept[key] = compute()
        kept: T = self._kept[key]
        return kept

    def _shared(self, what: str, i: int, compute: Callable[[], T]) -> T:
        """Kept on the profile for the swept agent and for two agents, whose others are the same at all bids."""
        if i == self.terms.swept or self.n_agents <= 2:
            return self.profile.once((what, self.rule.name, i, self.shares(i).tobytes()), compute)
        return self.once((what, i), compute)


def _normalized(bids: Array, i: int) -> Array:
    """bids / sum; equal shares for all but i where all are 0; all of it for i where i is alone."""
    n = len(bids)
    if not bids.any():
        bids = without(np.ones(n), i) if n > 1 else np.ones(1)
    return weights_of(bids)
