"""Myerson's payment for the valuation -TV(q, p_i), under any rule monotone in TV.

    zeta_i(b) = integral_0^b TV(q(z), p_i) dz - b TV(q(b), p_i)

(d) Value v gains v x(z) - zeta(z) from the bid z, with x(z) = -TV(q(z), p_i) non-decreasing; truth is a maximum iff
zeta(b) = b x(b) - integral_0^b x(z) dz + constant (Myerson 1981), and the constant is 0 where a bid of 0 pays nothing.

Linear, and random dictator, whose q is the same: TV(q(z), p) = D S/(S + z), so zeta = D [S ln(1 + b/S) - b S/(S + b)],
linear's expected second price. Winner take all: TV(q(z), p) is D below the highest other bid M and 0 above, so the
winner pays D M, and of k equal winners each b (D - TV(q, p)). A reserve r makes TV(q(z), p) = D for z < r. An agent
that is alone pays r: below it nothing is sold, so there is no o.

Otherwise by quadrature in y = ln(1 + z/S), where the integrand TV (S + z) is smooth but for a kink where q_t passes
p_t. (d) That happens at most once per token. In the notes of `power_mean.py` p_t = q_t where S rho_t^(-r) = N^r - z,
with N the normalising constant. N^r is the norm of exponent 1/r of the vector S m^r + z p^r, and that of p^r is 1: by
Minkowski's inequality N^r - z falls in z for 0 < r <= 1, by its reverse it rises for other r. Log-linear: log rho_t =
-log Z(w) / (1 - w), which rises with w, for log Z is convex and at most 0 at w = 1. So with 64 possible tokens all
kinks are found by bisection and the error is at most 1e-9 b_i. Beyond that the kinks are many and small, they are left
to the adaptive rule, and 1e-5 b_i is no proof but an estimate: over 60 random auctions of 65 to 1000 tokens and two or
three agents the largest error was 6e-6 b_i.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ..aggregation.rules import AggregationRule
from ..distributions import Array, Distribution
from ..divergences import total_variation
from ..outcome import Outcome
from ..sampling.rules import SamplingRule
from .quadrature import Integral, integrate
from .rules import PaymentRule
from .second_price import mean_price, runner_up

FEW_TOKENS = 64


class MyersonTV(PaymentRule):
    """The truthful payment for -TV, in the mean.

    Needs a rule monotone in TV and a lottery.

    Source: R. B. Myerson, "Optimal auction design" (1981), for the valuation -TV (d).

    >>> from tokenauction_cli.mechanism.testing import salon
    >>> MyersonTV().expected(salon(bids=(1, 2))).round(4).tolist()
    [0.0721, 0.216]
    """

    name = "myerson_tv"
    never_falls = True
    label = "Myerson (TV)"
    premise = "a random draw and a rule that is monotone in TV"

    def fits(self, aggregation: AggregationRule, sampling: SamplingRule, reserve: float = 0.0) -> bool:
        return sampling.lottery and "tv" in aggregation.monotone_in

    def truthful_for(self, aggregation: AggregationRule) -> frozenset[str]:
        return frozenset({"tv"})

    def relative_error(self, aggregation: AggregationRule, n_tokens: int) -> float:
        has_formula = aggregation.is_linear_mixture or aggregation.highest_bid_wins
        return 0.0 if has_formula else relative_error(n_tokens)

    def expected(self, outcome: Outcome) -> Array:
        return outcome.once(self.name, lambda: outcome.per_agent(myerson_payment))


def myerson_payment(outcome: Outcome, i: int) -> float:
    """Agent i's payment, in closed form where there is one.

    In money per token.

    >>> from tokenauction_cli.mechanism.testing import salon
    >>> round(myerson_payment(salon(bids=(1, 2)), 0), 4)
    0.0721
    """
    bid, rivals = float(outcome.bids[i]), float(outcome.rivals[i])
    if outcome.bidding.alone[i]:
        return outcome.terms.reserve
    if outcome.rule.is_linear_mixture:
        return outcome.distance(i) * mean_price(bid, rivals, outcome.terms.reserve)
    if outcome.rule.highest_bid_wins:
        return runner_up(outcome.bidding, i) * max(0.0, outcome.distance(i) - outcome.tv(i))
    return max(0.0, by_quadrature(outcome, i).value)


def by_quadrature(outcome: Outcome, i: int) -> Integral:
    """Agent i's payment under any rule, and its error.

    Both in money per token. Raises MechanismError where the quadrature does not come within its tolerance.

    >>> from tokenauction_cli.mechanism.testing import salon
    >>> found = by_quadrature(salon(bids=(1, 2)), 0)
    >>> round(found.value, 4), found.error < 1e-9
    (0.0721, True)
    """
    bid, rivals, reserve = float(outcome.bids[i]), float(outcome.rivals[i]), outcome.terms.reserve
    if rivals == 0:
        return Integral(reserve, 0.0)
    tolerance = bid * relative_error(outcome.profile.n_possible)
    points = breaks(outcome, i, float(np.log1p(reserve / rivals)), float(np.log1p(bid / rivals)))
    area = integrate(lambda y: rivals * np.exp(y) * tv_at(outcome, i, share_at(y)), points, tolerance)
    return Integral(reserve * outcome.distance(i) + area.value - bid * outcome.tv(i), area.error)


def relative_error(n_tokens: int) -> float:
    """What the quadrature may be off by, as a share of the bid.

    >>> relative_error(3), relative_error(1000)
    (1e-09, 1e-05)
    """
    return 1e-9 if n_tokens <= FEW_TOKENS else 1e-5


def share_at(y: float) -> float:
    """The relative weight z / (S + z) of the bid z = S (e^y - 1).

    >>> share_at(float(np.log(2)))
    0.5
    """
    return float(-np.expm1(-y))


def breaks(outcome: Outcome, i: int, low: float, high: float) -> list[float]:
    """low, every y between at which some q_t passes p_t, high; only the ends for large vocabularies.

    `low` and `high` are values of y = ln(1 + z / S).

    >>> from tokenauction_cli.mechanism.testing import salon
    >>> breaks(salon(bids=(1, 2)), 0, 0.0, 0.5)
    [0.0, 0.5]
    """
    if outcome.profile.n_possible > FEW_TOKENS:
        return [low, high]
    p = outcome.profile.agent(i).p

    def above(y: float) -> NDArray[np.bool_]:
        return np.asarray(q_at(outcome, i, share_at(y)).p > p)

    kinks = [bisect(lambda y: above(y)[t], low, high) for t in np.flatnonzero(above(low) != above(high))]  # noqa: B023
    return [low, *sorted(kinks), high]


def bisect(condition: Callable[[float], np.bool_], low: float, high: float, steps: int = 24) -> float:
    """Where a condition changes between low and high; a kink found within d leaves an error of order d squared.

    >>> round(bisect(lambda x: np.bool_(x > 0.25), 0.0, 1.0), 6)
    0.25
    """
    at_low = condition(low)
    for _ in range(steps):
        middle = (low + high) / 2
        low, high = (middle, high) if condition(middle) == at_low else (low, middle)
    return (low + high) / 2


def q_at(outcome: Outcome, i: int, weight: float) -> Distribution:
    """q at another relative weight of agent i, the others' shares unchanged.

    >>> from tokenauction_cli.mechanism.testing import salon
    >>> q_at(salon(), 0, 0.5).p.round(3).tolist()
    [0.45, 0.2, 0.35]
    """
    weights = (1 - weight) * outcome.shares(i)
    weights[i] += weight
    return outcome.rule(outcome.profile, weights)


def tv_at(outcome: Outcome, i: int, weight: float) -> float:
    """TV(q, p_i) at another relative weight of agent i.

    >>> from tokenauction_cli.mechanism.testing import salon
    >>> round(tv_at(salon(), 0, 0.5), 3)
    0.25
    """
    return total_variation(q_at(outcome, i, weight).p, outcome.profile.agent(i).p)
