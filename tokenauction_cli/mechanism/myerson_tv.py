"""Myerson's payment for the valuation -TV(q, p_i), under any rule monotone in TV.

    zeta_i(b) = integral_0^b TV(q(z), p_i) dz - b TV(q(b), p_i)

(d) Value v gains v x(z) - zeta(z) from the bid z, with x(z) = -TV(q(z), p_i) non-decreasing; truth is a maximum iff
zeta(b) = b x(b) - integral_0^b x(z) dz + constant (Myerson 1981), and the constant is 0 where a bid of 0 pays nothing.

Linear, and random dictator, whose q is the same: TV(q(z), p) = D S/(S + z), so zeta = D [S ln(1 + b/S) - b S/(S + b)],
linear's expected second price. Winner take all: TV(q(z), p) is D below the highest other bid M and 0 above, so the
winner pays D M, and of k equal winners each b (D - TV(q, p)). A reserve r makes TV(q(z), p) = D for z < r. At S = 0
it is 0.

Otherwise by quadrature in y = ln(1 + z/S), where the integrand TV (S + z) is smooth but for the kinks of |q_t - p_t|.
The error is at most 1e-9 b_i for vocabularies of up to 1000 tokens, beyond that 1e-5 b_i.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .aggregation import AggregationRule
from .dictatorship import WinnerTakeAll
from .distributions import Array
from .divergences import total_variation
from .outcome import Outcome
from .quadrature import Integral, integrate
from .randomness import Moment
from .sampling import Draw, SamplingRule
from .second_price import mean_price, runner_up


class MyersonTV:
    """The truthful payment for -TV in the mean over the draw. Needs a rule monotone in TV and a lottery."""

    name = "myerson_tv"
    columns = (name,)

    def fits(self, aggregation: AggregationRule, sampling: SamplingRule, reserve: float = 0.0) -> bool:
        return sampling.lottery and "tv" in aggregation.monotone_in

    def charge(self, outcome: Outcome, draw: Draw, moment: Moment) -> Mapping[str, Array]:
        return {self.name: self.expected(outcome)}

    def expected(self, outcome: Outcome) -> Array:
        return outcome.once(self.name, lambda: outcome.per_agent(myerson_payment))


def myerson_payment(outcome: Outcome, i: int) -> float:
    """Agent i's payment, in closed form where there is one."""
    bid, rivals = float(outcome.bids[i]), float(outcome.rivals[i])
    if outcome.straight:
        return outcome.distance(i) * mean_price(bid, rivals, outcome.terms.reserve)
    if isinstance(outcome.rule, WinnerTakeAll):
        return runner_up(outcome, i) * (outcome.distance(i) - outcome.tv(i))
    return max(0.0, by_quadrature(outcome, i).value)


def by_quadrature(outcome: Outcome, i: int) -> Integral:
    """Agent i's payment under any rule, and what its error is at most."""
    bid, rivals, reserve = float(outcome.bids[i]), float(outcome.rivals[i]), outcome.terms.reserve
    if rivals == 0:
        return Integral(0.0, 0.0)
    tolerance = bid * relative_error(outcome.profile.n_tokens)
    low, high = np.log1p(reserve / rivals), np.log1p(bid / rivals)
    area = integrate(lambda y: rivals * np.exp(y) * tv_at(outcome, i, -np.expm1(-y)), low, high, tolerance)
    return Integral(reserve * outcome.distance(i) + area.value - bid * outcome.tv(i), area.error)


def relative_error(n_tokens: int) -> float:
    """What the quadrature may be off by, as a share of the bid: each token has a kink, and many make it slow."""
    return 1e-9 if n_tokens <= 1000 else 1e-5


def tv_at(outcome: Outcome, i: int, weight: float) -> float:
    """TV(q, p_i) at another relative weight of agent i, the others' shares unchanged."""
    weights = (1 - weight) * outcome.shares(i)
    weights[i] += weight
    return total_variation(outcome.rule(outcome.profile, weights).p, outcome.profile.agent(i).p)
