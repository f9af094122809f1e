"""Payment rules: what each agent pays for one token. Further rules: `second_price.py`, `myerson_tv.py`, `clarke.py`.

    rule                     zeta_i                               truthful, in the mean over the draw, for
    pay_your_bid             b_i                                  nobody
    second_price             the bid at which the token switched  -TV, under linear
    vcg                      what its bid costs the others        the negative KL that the rule minimises
    myerson_tv               the integral for -TV                 -TV, under every rule monotone in TV
    pay_bid_times_influence  b_i TV(o_i, q)                       nobody

Each rises with the agent's own bid (d): D H does with H; Myerson's has the slope -b dTV(q, p_i)/db >= 0; KL(o || q) is
convex on the way of linear's q away from o, where it is 0, and so is KL(q || g) on the exponential family of the log
pool; and by the notes of `power_mean.py` q(A) rises for every upper set A of rho, and TV(o_i, q) is q(A) - o_i(A) for
one of them.

All are 0 for an agent with a bid of 0 and for a reference agent; all are homogeneous of degree one in the bids (and the
reserve).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping

import numpy as np

from ..aggregation.rules import AggregationRule
from ..distributions import Array, MechanismError
from ..divergences import total_variation
from ..outcome import Outcome
from ..sampling.randomness import DrawKey
from ..sampling.rules import Draw, SamplingRule


class PaymentRule(ABC):
    """What each agent pays for one drawn token, and what is true of it. `expected` alone makes a payment rule.

    Amounts are (n,) float64, at most infinite, 0 for an agent that bids 0; `outcome.charged` and `outcome.per_agent`
    make those of reference agents 0. NaN is an amount that is not defined, though q is: it stays empty.

    >>> from tokenauction_cli.mechanism.testing import salon
    >>> class Half(PaymentRule):
    ...     name = "half"
    ...
    ...     def expected(self, outcome):
    ...         return outcome.charged(outcome.bids / 2)
    >>> Half().expected(salon(bids=(1, 2))).tolist()
    [0.5, 1.0]
    """

    name: str
    label: str = ""
    """The name as people say it, where that is not the name with spaces."""
    premise: str = ""
    """What `fits` asks for, in words after "it needs"."""
    never_falls: bool = False
    """Whether, in expectation, a higher bid never costs less under a rule that fits and is monotone in TV."""
    compares_others: bool = False
    """Whether it compares q with every o_i: that is then prefetched."""
    needs_drawn_alone: bool = False
    """Whether `charge` needs what agents give to the drawn symbol alone: all that is known of a word."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The names after `payment.`; the first is the amount that is charged."""
        return (self.name,)

    @property
    def mean_column(self) -> str:
        """The column of the mean over the draw of what is charged; '' where there is none."""
        if type(self).charge is PaymentRule.charge:
            return self.columns[0]
        return next((column for column in self.columns if column == f"{self.name}_expected"), "")

    @abstractmethod
    def expected(self, outcome: Outcome) -> Array:
        """The mean over the draw of the amount that is charged."""

    def charge(self, outcome: Outcome, draw: Draw, draw_key: DrawKey) -> Mapping[str, Array]:
        """The amounts of every column for one drawn token. By default the mean: nothing depends on the draw."""
        return {self.columns[0]: self.expected(outcome)}

    def fits(self, aggregation: AggregationRule, sampling: SamplingRule, reserve: float = 0.0) -> bool:
        """Whether the premise holds; where it does not the columns stay empty, and nothing else is asked."""
        return True

    def truthful_for(self, aggregation: AggregationRule) -> frozenset[str]:
        """The orders (tv, kl, reverse_kl) in which bidding one's value is best under a rule that fits, whatever
        others bid."""
        return frozenset()

    def relative_error(self, aggregation: AggregationRule, n_tokens: int) -> float:
        """The largest error of `expected`, as a part of the bid; 0 for a formula, which only rounding disturbs."""
        return 0.0


class PayYourBid(PaymentRule):
    """The bid, for every token: b_i.

    zeta_i = b_i is the blog's illustration.

    Not truthful: where a unit of TV is worth v the best response under linear is max(0, sqrt(v D S) - S). (d) The gain
    over a bid of 0 is v D b / (S + b) - b, whose slope v D S / (S + b)^2 - 1 falls in b.

    `bids` and amounts are in money per token.

    >>> from tokenauction_cli.mechanism.testing import salon
    >>> PayYourBid().expected(salon(bids=(1, 2))).tolist()
    [1.0, 2.0]
    """

    name = "pay_your_bid"
    never_falls = True
    needs_drawn_alone = True

    def expected(self, outcome: Outcome) -> Array:
        return outcome.charged(outcome.bids)


class PayBidTimesInfluence(PaymentRule):
    """The bid times how far it moves q: b_i TV(o_i, q).

    Alone an agent pays b_i TV(p_i, o_i), the limit as the others' bids fall. NaN where o_i is undefined.

    With nobody else in the experiment o_i = p_i and it is 0.

    Not truthful: where a unit of TV is worth v the best response under linear is -S + sqrt(S^2 + S v). (d) TV(o, q) =
    D b / (S + b), so the gain is D b (v - b) / (S + b), whose slope has the sign of S v - 2 S b - b^2.

    Amounts are in money per token.

    >>> from tokenauction_cli.mechanism.testing import salon
    >>> PayBidTimesInfluence().expected(salon(bids=(1, 2))).round(4).tolist()
    [0.1667, 0.6667]
    """

    name = "pay_bid_times_influence"
    never_falls = True

    def expected(self, outcome: Outcome) -> Array:
        return outcome.once(self.name, lambda: outcome.per_agent(self._payment))

    def _payment(self, outcome: Outcome, i: int) -> float:
        try:
            return float(outcome.bids[i]) * influence(outcome, i)
        except MechanismError:
            if outcome.bidding.alone[i]:  # q is defined: the agents that do not bid agree on no token
                return math.nan
            raise


def influence(outcome: Outcome, i: int) -> float:
    """TV(o_i, q), what agent i's bid moves.

    >>> from tokenauction_cli.mechanism.testing import salon
    >>> round(influence(salon(bids=(1, 2)), 0), 4)
    0.1667
    """
    if outcome.rule.is_linear_mixture:  # (d) q - o = w (p - o)
        return float(outcome.weights[i]) * outcome.distance(i)
    return total_variation(outcome.others(i).p, outcome.q.p)


def mean_payments(payment: PaymentRule, outcome: Outcome) -> Array:
    """What agents pay in the mean, (n,), for audits. Raises MechanismError where that is not defined.

    In money per token.

    >>> from tokenauction_cli.mechanism.testing import salon
    >>> mean_payments(PayYourBid(), salon(bids=(1, 2))).tolist()
    [1.0, 2.0]
    """
    amounts = payment.expected(outcome)
    if np.isnan(amounts).any():
        name = outcome.terms.ids[int(np.isnan(amounts).argmax())]
        raise MechanismError(f"{payment.name} of {name} alone is undefined: the others, who do not bid, share no token")
    return amounts
