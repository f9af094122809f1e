"""Second price: an agent pays the bid at which the drawn token switched to one it wants more of, else nothing.

Linear, S the others' bids, o what they would do alone, w = b / (S + b), D = TV(p, o), x the drawn token (d).
Along the agent's bid z, token x with p_x > o_x has q_x(z) = (S o_x + z p_x) / (S + z), which rises from o_x. Given x
let v = u q_x, u uniform: the seeds that drew x at the bid 0 already are those with v <= o_x, the others took it up
where q_x(z) = v, that is at z = S (v - o_x) / (p_x - v), the realised price. So P(0 < price <= z, x) = q_x(z) - o_x
= (p_x - o_x) z / (S + z); the mean of the price over these seeds is the integral of z dF with F = z / (S + z):
    H = S ln(1 + b / S) - b S / (S + b)     [ F(z) z - integral F = z^2/(S+z) - z + S ln(1 + z/S) at z = b ]
so that the price is (p_x - o_x)^+ / q_x H in the mean given x, D H in the mean, and positive with probability D w.

Reserve r (bids below it count as 0): the price is max(threshold, r) where it is positive, so H gains the integral of
r - z over z < r: H = r + S ln((S + b) / (S + r)) - b S / (S + b). At S = 0 that is r, and an agent that is alone pays
it for each draw, whatever D is: it began to win every token at the reserve.

Random dictator: only the dictator pays, S w'/(1 - w') with w' = u w; it has the same F, so the mean is H, and given x
it is (p_x / q_x) H. Winner take all: the winner pays the highest other bid M, or r if that is more.

Under `stable` sampling the seed that drew the token sets the price of the swept agent (of two agents, of both);
everybody else has a fresh u of its own (`Purpose.PAYMENT`). Each expectation is exact.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import numpy as np

from ..aggregation.rules import AggregationRule
from ..distributions import Array
from ..outcome import Outcome
from ..sampling.randomness import DrawKey, Purpose
from ..sampling.rules import Draw, SamplingRule
from ..sampling.stable import capped
from ..terms import Bidding, without
from .rules import PaymentRule


class SecondPrice(PaymentRule):
    """The bid at which the drawn token switched, or 0.

    And its mean given the token, and its mean.

    Needs a lottery, and a linear mixture (random dictator's among them) or a dictatorship of the highest bid. Truthful
    for -TV where an agent gains and pays in proportion to the same D, that is unless a dictator pays.

    Amounts are in money per token. Source: arXiv 2310.10826 for the rule, the derivations above for its means.

    >>> from tokenauction_cli.mechanism.testing import salon
    >>> SecondPrice().expected(salon(bids=(1, 2))).round(4).tolist()
    [0.0721, 0.216]
    """

    name = "second_price"
    never_falls = True
    columns = (name, "second_price_given_token", "second_price_expected")
    needs_drawn_alone = True  # but for the expected price, which is then left empty
    premise = "a random draw and a rule under which the token switches at one bid"

    def fits(self, aggregation: AggregationRule, sampling: SamplingRule, reserve: float = 0.0) -> bool:
        return sampling.lottery and (aggregation.is_linear_mixture or aggregation.highest_bid_wins)

    def truthful_for(self, aggregation: AggregationRule) -> frozenset[str]:
        return frozenset() if aggregation.is_dictatorship else frozenset({"tv"})

    def charge(self, outcome: Outcome, draw: Draw, draw_key: DrawKey) -> Mapping[str, Array]:
        unit, expected = outcome.once(self.name, lambda: mean_prices(outcome))
        given = outcome.once(("given", draw.token), lambda: _given(outcome, draw.token, unit))
        amounts = realised(outcome, draw, draw_key), given, expected
        return dict(zip(self.columns, map(outcome.charged, amounts), strict=True))

    def expected(self, outcome: Outcome) -> Array:
        return outcome.charged(outcome.once(self.name, lambda: mean_prices(outcome))[1])


def _given(outcome: Outcome, token: int, unit: Array) -> Array:
    """The mean prices given the token, (n,)."""
    given = unit * moved(outcome, token) / outcome.q.at(token)
    return np.where(outcome.bidding.alone, unit, given) if outcome.bidding.somebody_is_alone else given


def mean_prices(outcome: Outcome) -> tuple[Array, Array]:
    """H of every agent, and its expected second price: D H, or of a dictatorship H itself; each (n,).

    In money per token.

    >>> from tokenauction_cli.mechanism.testing import salon
    >>> [prices.round(4).tolist() for prices in mean_prices(salon(bids=(1, 2)))]
    [[0.1443, 0.4319], [0.0721, 0.216]]
    """
    odds = outcome.odds
    if odds is None:
        unit = unit_prices(outcome.bidding)
        return unit, np.where(outcome.bidding.alone, unit, unit * outcome.distances)
    if outcome.rule.highest_bid_wins:
        unit = odds * [runner_up(outcome.bidding, i) for i in range(outcome.n_agents)]
    else:
        unit = unit_prices(outcome.bidding)
    return unit, unit


@lru_cache(maxsize=4096)
def unit_prices(bidding: Bidding) -> Array:
    """H of every agent, (n,), 0 where it pays nothing; not to be written to.

    In money per token.

    >>> from tokenauction_cli.mechanism.testing import salon
    >>> unit_prices(salon(bids=(1, 2)).bidding).round(4).tolist()
    [0.1443, 0.4319]
    """
    pairs = zip(bidding.bids.tolist(), bidding.rivals.tolist(), strict=True)
    prices = [mean_price(bid, rivals, bidding.terms.reserve) for bid, rivals in pairs]
    return np.where(bidding.due, prices, 0.0)


def mean_price(bid: float, rivals: float, reserve: float = 0.0) -> float:
    """H, the mean price of an agent per unit of D. At S = 0 the reserve; 0 at a bid of 0 and below the reserve.

    With S = `rivals` and r = `reserve` it is r + S ln((S + b) / (S + r)) - b S / (S + b), in money per token.

    >>> round(mean_price(bid=1, rivals=2), 4), mean_price(bid=1, rivals=0, reserve=0.5)
    (0.1443, 0.5)
    """
    if bid == 0 or bid < reserve:
        return 0.0
    if rivals == 0:
        return reserve
    log_ratio = np.log1p((bid - reserve) / (rivals + reserve))
    return max(0.0, float(reserve + rivals * log_ratio - bid * (rivals / (rivals + bid))))


def runner_up(bidding: Bidding, i: int) -> float:
    """What agent i pays if it wins: the highest other bid, or the reserve if that is more.

    In money per token.

    >>> from tokenauction_cli.mechanism.testing import salon
    >>> runner_up(salon(bids=(1, 2)).bidding, 1)
    1.0
    """
    return max(float(without(bidding.bids, i).max()), bidding.terms.reserve)


def moved(outcome: Outcome, token: int) -> Array:
    """The part of q_x that agent i's bid brought: (p_x - o_x)^+, or of a dictatorship p_x; (n,).

    >>> from tokenauction_cli.mechanism.testing import salon
    >>> moved(salon(), token=0).round(2).tolist()
    [0.3, 0.0]
    """
    profile = outcome.profile
    if outcome.odds is not None:
        return np.asarray(profile.p[:, token])
    key = ("moved", outcome.bidding.share_keys, token)
    return profile.once(key, lambda: np.maximum(profile.p[:, token] - outcome.others_at(token), 0.0))


def realised(outcome: Outcome, draw: Draw, draw_key: DrawKey) -> Array:
    """The realised prices, (n,): the seed's own where it sets them, otherwise by a fresh u; the reserve alone.

    In money per token.

    >>> from tokenauction_cli.mechanism.testing import draw_key_of, salon
    >>> realised(salon(bids=(1, 2)), Draw(0, "inverse_cdf"), draw_key_of(seed=2)).round(4).tolist()
    [0.025, 0.0]
    """
    if outcome.bidding.somebody_is_alone:
        return np.where(outcome.bidding.alone, outcome.terms.reserve, 0.0)
    prices = draw.prices
    if not prices or None in prices:
        fresh = fresh_prices(outcome, draw, draw_key)
        known = [(i, price) for i, price in enumerate(prices) if price is not None]
        fresh[[i for i, _ in known]] = [price for _, price in known]
        return np.where(fresh > 0, np.maximum(fresh, outcome.terms.reserve), 0.0)
    return np.array([max(price, outcome.terms.reserve) if price else 0.0 for price in prices])


def fresh_prices(outcome: Outcome, draw: Draw, draw_key: DrawKey) -> Array:
    """Every agent's price given the drawn token (or dictator) by a u of its own, (n,).

    S (v - o_x) / (p_x - v) with v = u q_x where o_x < v < p_x, else 0, in money per token.

    >>> from tokenauction_cli.mechanism.testing import draw_key_of, salon
    >>> fresh_prices(salon(bids=(1, 2)), Draw(0, "inverse_cdf"), draw_key_of(seed=2)).round(4).tolist()
    [0.025, 0.0]
    """
    bidding, dictator = outcome.bidding, draw.dictator
    prices = np.zeros(outcome.n_agents)
    if dictator is not None or outcome.rule.highest_bid_wins:
        for i in range(outcome.n_agents) if dictator is None else (dictator,):
            wins = outcome.rule.highest_bid_wins
            prices[i] = runner_up(bidding, i) if wins else lottery_price(bidding, draw_key, i)
        return np.where(bidding.bids > 0, prices, 0.0)
    u = draw_key.uniforms(Purpose.PAYMENT, outcome.terms.ids)
    p, o, v = outcome.profile.p[:, draw.token], outcome.others_at(draw.token), u * outcome.q.at(draw.token)
    pays = (o < v) & (v < p) & (bidding.bids > 0)
    prices[pays] = np.minimum(bidding.rivals * ((v - o) / np.where(pays, p - v, 1.0)), bidding.bids)[pays]
    return prices


def lottery_price(bidding: Bidding, draw_key: DrawKey, i: int) -> float:
    """What agent i pays where a lottery by bid drew it: S w / (1 - w), w = u b_i / B, u of its own.

    In money per token.

    >>> from tokenauction_cli.mechanism.testing import draw_key_of, salon
    >>> round(lottery_price(salon(bids=(1, 2)).bidding, draw_key_of(seed=0), 0), 4)
    0.2399
    """
    w = draw_key.uniform(Purpose.PAYMENT, bidding.terms.ids[i]) * float(bidding.weights[i])
    return capped(bidding, i, w / (1 - w))
