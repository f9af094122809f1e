"""An outcome: what one aggregation rule makes of one profile and one vector of bids, before any token is drawn.

Everything here is shared by all seeds of a cell's (rule, bids) and worked out when first asked for. What depends only
on the others' shares, such as o and TV(p_i, o) along a sweep of relative weight, is kept on the profile for all bids.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from .aggregation.rules import AggregationRule
from .distributions import AgentDistribution, Aggregate, Array, Distribution, LogMixture, Mixture, Profile
from .divergences import REVERSE_KL, both_kls, total_variation
from .native.prefetch import Kind, Need
from .terms import Bidding, Terms, bidding_of

T = TypeVar("T")


class Outcome:
    """q and what surrounds it: weights w_i = b_i / B, the others' bids S_i = B - b_i, and o_i = q with b_i = 0.

    `bids` may be offered ones: from here on those that count are meant. Raises MechanismError for bids that are not
    finite numbers of at least 0, or none of which counts (here), and for an undefined q (when `q` is first asked for).

    `bids` (n,) and `terms` are of the agents of `profile`, in its order; bids are in money per token.

    >>> from tokenauction_cli.mechanism.aggregation.rules import Linear
    >>> outcome = Outcome(Linear(), Profile.of([[0.6, 0.4], [0.2, 0.8]]), (1, 3), Terms(("ann", "bob")))
    >>> outcome.q.p.round(4).tolist(), outcome.weights.tolist(), outcome.rivals.tolist()
    ([0.3, 0.7], [0.25, 0.75], [3.0, 1.0])
    >>> round(outcome.distance(0), 4), outcome.tvs.round(4).tolist()
    (0.4, [0.3, 0.1])
    """

    def __init__(self, rule: AggregationRule, profile: Profile, bids: ArrayLike, terms: Terms) -> None:
        self.rule = rule
        self.profile = profile
        self.terms = terms
        self.bidding = bidding_of(terms, bids if isinstance(bids, tuple) else tuple(np.asarray(bids, float).tolist()))
        self.bids = self.bidding.bids
        self.weights = self.bidding.weights
        self.rivals = self.bidding.rivals
        self._others: dict[int, Distribution] = {}
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

    @cached_property
    def odds(self) -> Array | None:
        """Of a dictatorship the probability of each agent being the dictator, (n,); otherwise None."""
        return self.rule.odds(self.bids)

    def shares(self, i: int) -> Array:
        """How the others divide what agent i leaves, (n,), 0 at i: see `Bidding`."""
        return np.asarray(self.bidding.shares[i])

    def others_at(self, token: int) -> Array:
        """o_i of one token for every i under a mixture of the p_i by weight, (n,), not to be written to."""
        shares = self.bidding.shares
        return self.profile.once(("o", self.bidding.share_keys, token), lambda: shares @ self.profile.p[:, token])

    def others(self, i: int) -> Distribution:
        """o_i: what the others would do alone."""
        if i not in self._others:
            self._others[i] = self._shared("others", i, lambda: self.rule(self.profile, self.shares(i)))
        return self._others[i]

    def rising(self, i: int) -> Array:
        """Sums over blocks of tokens of (p_i - o_i)^+."""
        return self._shared("rising", i, lambda: self._rising(i))

    def _rising(self, i: int) -> Array:
        if self.rule.is_linear_mixture:
            return self.profile.rising(i, self.shares(i))
        others = self.others(i)
        if isinstance(others, AgentDistribution | Mixture):
            return self.profile.rising(i, others.weights)
        return self.profile.excess(self.profile.p[i], others.p)

    def distance(self, i: int) -> float:
        """D_i = TV(p_i, o_i)."""
        return self._shared("distance", i, lambda: self._distance(i))

    @cached_property
    def distances(self) -> Array:
        """D_i of every agent, (n,), not to be written to."""
        if self.n_agents > 2:
            return self._each_distance()
        return self.profile.once(("D", self.rule.name, self.bidding.share_keys), self._each_distance)

    def _each_distance(self) -> Array:
        found = self.profile.of_rivals(Kind.DISTANCES, self.weights) if self.rule.is_linear_mixture else None
        if found is None:
            return np.array([self.distance(i) for i in range(self.n_agents)])
        found = found.copy()
        for i in {self.terms.swept, *np.flatnonzero(self.rivals == 0).tolist()}:  # o_i by their configured shares
            found[i] = self.distance(i)
        return found

    @cached_property
    def rival_kls(self) -> Array | None:
        """KL(o_i || q) of a mixture of several agents, KL(q || o_i) of their log pool, (n,); None where they have to be
        worked out one by one.
        """
        q, is_pool = self.q, self.rule.objective == REVERSE_KL
        if not (self.profile.overlaps and isinstance(q, LogMixture if is_pool else Mixture)):
            return None
        if self.n_agents == 2:
            return np.asarray(q.kls[is_pool][::-1])
        found = self.profile.of_rivals(Kind.CONSTANTS if is_pool else Kind.RIVAL_KLS, self.weights)
        if found is None or not np.isfinite(found).all():
            return None
        return np.maximum(self.bidding.shares @ q.kls[1] + found if is_pool else found, 0.0)

    def _distance(self, i: int) -> float:
        if self.n_agents == 2:
            i = self.terms.swept  # each is the other's alternative
        return float(self.rising(i).sum())

    def tv(self, i: int) -> float:
        """TV(p_i, q)."""
        return float(self.tvs[i])

    @cached_property
    def tvs(self) -> Array:
        """TV(p_i, q) of every agent, (n,). (d) Where q = (1 - w) o + w p it is (1 - w) D: no pass over the tokens."""
        if self.rule.is_linear_mixture:
            return self.bidding.rival_weights * self.distances
        if isinstance(self.q, Aggregate):
            return self.q.distances
        return np.array([total_variation(row, self.q.p) for row in self.profile.p])

    @cached_property
    def kls(self) -> tuple[Array, Array]:
        """KL(p_i || q) and KL(q || p_i), (n,) each."""
        return both_kls(self.profile, self.q)

    def charged(self, amounts: Array) -> Array:
        """The amounts, (n,), with those of reference agents set to 0."""
        return amounts if self.bidding.everybody_charged else np.where(self.terms.charged, amounts, 0.0)

    def per_agent(self, payment: Callable[[Outcome, int], float]) -> Array:
        """payment(outcome, i) of every charged agent with a positive bid, 0 for the others, (n,)."""
        return np.array([payment(self, i) if due else 0.0 for i, due in enumerate(self.bidding.due.tolist())])

    def once(self, key: Hashable, compute: Callable[[], T]) -> T:
        """compute(), worked out the first time this key is asked for and kept as long as the outcome."""
        if key not in self._kept:
            self._kept[key] = compute()
        kept: T = self._kept[key]
        return kept

    def _shared(self, what: str, i: int, compute: Callable[[], T]) -> T:
        """Kept on the profile for the swept agent and for two agents, whose others are the same at all bids."""
        if i == self.terms.swept or self.n_agents <= 2:
            return self.profile.once((what, self.rule.name, i, self.bidding.share_keys[i]), compute)
        return self.once((what, i), compute)


def needs_of(rule: AggregationRule, bidding: Bidding, *, others: bool) -> Iterator[Need]:
    """What q, its divergences and D = TV(p, o) will need of passes over the tokens, where q is a mixture or a log pool.

    With `others` also what a comparison of q with every o_i does. What is left out, for any other rule or for a payment
    by quadrature, is worked out when it is asked for.

    >>> from tokenauction_cli.mechanism.testing import salon
    >>> outcome = salon(bids=(1, 2))
    >>> [need.kind.name for need in needs_of(outcome.rule, outcome.bidding, others=False)]
    ['MIXTURE', 'PART']
    """
    weights, n, swept = bidding.weights.tobytes(), len(bidding.weights), bidding.terms.swept
    is_mixture, is_log_pool = rule.is_linear_mixture, rule.objective == REVERSE_KL
    if not (is_mixture or is_log_pool):
        return
    if bidding.is_contested or n > 2:  # of two agents the lone bidder's divergences are known
        yield Need(Kind.POOL if is_log_pool and bidding.is_contested else Kind.MIXTURE, weights)
    if is_log_pool and not bidding.is_contested and n == 2:  # how far the other is from the lone bidder
        yield Need(Kind.PART, weights, int(np.argmin(bidding.weights)))
    if is_mixture:
        yield Need(Kind.PART, bidding.share_keys[swept], swept)
    if n > 2 and (is_mixture or not bidding.is_contested):
        yield Need(Kind.DISTANCES, weights)
    if n > 2 and is_mixture:
        alone = np.flatnonzero(bidding.rivals == 0).tolist()
        yield from (Need(Kind.PART, bidding.share_keys[i], i) for i in alone if i != swept)
    if others and n > 2 and bidding.is_contested:
        yield Need(Kind.CONSTANTS if is_log_pool else Kind.RIVAL_KLS, weights)
