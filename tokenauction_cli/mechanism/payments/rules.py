"""Payment rules: what each agent pays for one token. Further rules: `second_price.py`, `myerson_tv.py`, `clarke.py`.

    rule                     zeta_i                               truthful, in the mean over the draw, for
    pay_your_bid             b_i                                  nobody
    second_price             the bid at which the token switched  -TV, under linear
    vcg                      what its bid costs the others        the negative KL that the rule minimises
    myerson_tv               the integral for -TV                 -TV, under every rule monotone in TV
    pay_bid_times_influence  b_i TV(o_i, q)                       nobody

All are 0 for an agent with a bid of 0 and for a reference agent; all are homogeneous of degree one in the bids (and the
reserve).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from ..aggregation.rules import AggregationRule
from ..distributions import Array
from ..divergences import total_variation
from ..outcome import Outcome
from ..sampling.randomness import Moment
from ..sampling.rules import Draw, SamplingRule


class PaymentRule(Protocol):
    """`package.module:Name` in a file names a class of this shape.

    `columns` are the names after `payment.`, the one that is charged first. `fits` says whether the premise holds;
    where it does not the columns stay empty and `charge` must not be called. `charge` gives one amount per agent and
    column, (n,) float64, for one drawn token; `expected` the mean of the first column over the draw, (n,), for audits.
    One that compares q with every o_i may have `compares_others = True`: that is then prefetched.
    """

    name: str
    columns: tuple[str, ...]

    def fits(self, aggregation: AggregationRule, sampling: SamplingRule, reserve: float = 0.0) -> bool: ...

    def charge(self, outcome: Outcome, draw: Draw, moment: Moment) -> Mapping[str, Array]: ...

    def expected(self, outcome: Outcome) -> Array: ...


class PayYourBid:
    """zeta_i = b_i per token, the blog's illustration.

    Not truthful: where a unit of TV is worth v the best response under linear is max(0, sqrt(v D S) - S). (d) The gain
    over a bid of 0 is v D b / (S + b) - b, whose slope v D S / (S + b)^2 - 1 falls in b.
    """

    name = "pay_your_bid"
    columns = (name,)

    def fits(self, aggregation: AggregationRule, sampling: SamplingRule, reserve: float = 0.0) -> bool:
        return True

    def charge(self, outcome: Outcome, draw: Draw, moment: Moment) -> Mapping[str, Array]:
        return {self.name: self.expected(outcome)}

    def expected(self, outcome: Outcome) -> Array:
        return outcome.charged(outcome.bids)


class PayBidTimesInfluence:
    """zeta_i = b_i TV(o_i, q). With nobody else o_i = p_i and it is 0.

    Not truthful: where a unit of TV is worth v the best response under linear is -S + sqrt(S^2 + S v). (d) TV(o, q) =
    D b / (S + b), so the gain is D b (v - b) / (S + b), whose slope has the sign of S v - 2 S b - b^2.
    """

    name = "pay_bid_times_influence"
    columns = (name,)

    def fits(self, aggregation: AggregationRule, sampling: SamplingRule, reserve: float = 0.0) -> bool:
        return True

    def charge(self, outcome: Outcome, draw: Draw, moment: Moment) -> Mapping[str, Array]:
        return {self.name: self.expected(outcome)}

    def expected(self, outcome: Outcome) -> Array:
        return outcome.once(self.name, lambda: outcome.per_agent(self._payment))

    def _payment(self, outcome: Outcome, i: int) -> float:
        return float(outcome.bids[i]) * influence(outcome, i)


def influence(outcome: Outcome, i: int) -> float:
    """TV(o_i, q), what agent i's bid moves."""
    if outcome.straight:  # (d) q - o = w (p - o)
        return float(outcome.weights[i]) * outcome.distance(i)
    return total_variation(outcome.others(i).p, outcome.q.p)
