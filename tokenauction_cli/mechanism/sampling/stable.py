"""Stable sampling: for each seed the token changes at most once as the swept agent's bid rises, at a threshold.

The others' bids are held; along lambda, where theirs fall, the same holds because their shares stay. Beside a reference
agent, whose bid is fixed, the shares move with lambda, and then the token may change more often along lambda.

Linear (d). Draw t0 from o, u uniform. If p_t0 >= o_t0 it stays for every bid. Otherwise it survives at the relative
weight w with probability q_t0(w) / o_t0 = 1 - w (o_t0 - p_t0) / o_t0, so it switches at w* = u o_t0 / (o_t0 - p_t0),
that is at the bid S w* / (1 - w*), or never if w* >= 1. The mass that leaves at w goes to the rising tokens in
proportion to dq_t / dw = p_t - o_t, the same for every w: t1 is drawn from (p - o)^+ / D. Marginal of a rising token:
o_t + P(switched) (p_t - o_t)^+ / D = o_t + w D (p_t - o_t)^+ / D = q_t.
t0, t1 and w* are shared by all weights of a seed: no pass over the tokens per cell.

Two agents: q depends on w alone, and a token that falls in the one's bid rises in the other's, so the draw is stable
for both; the other agent's token switches, as its bid rises, at the bid S (1 - w*) / w* with S the first agent's bid.

Dictatorships: t0 is the token of the dictator among the others, t1 the swept agent's own, w* the lottery's number:
it is the dictator iff w > w* (random dictator) or its bid is the highest (winner take all).

Rules without a stable sampling draw by a coupling to this one: see `coupled.py`.
"""

from __future__ import annotations

from typing import NamedTuple

from ..aggregation.rules import AggregationRule
from ..outcome import Outcome
from ..terms import Bidding
from .coupled import coupled, others_token, rising_token
from .randomness import DrawKey, Purpose
from .rules import Draw, SamplingRule, drawn_agent


class Switch(NamedTuple):
    """What a seed decides for every bid of the swept agent: `below` up to the relative weight `at`, `above` beyond.

    >>> Switch(below=2, above=0, at=0.25).above
    0
    """

    below: int
    above: int
    at: float


class Stable(SamplingRule):
    """Changes at most once as the swept agent's bid rises.

    Under linear and the dictatorships; with two agents for both; `Draw.prices` are the thresholds it implies.

    Source: arXiv 2310.10826 for stable sampling; this construction is derived above.

    >>> from tokenauction_cli.mechanism.testing import draw_key_of, salon
    >>> [Stable().draw(salon(bids=(bid, 1)), draw_key_of(seed=8)).token for bid in (0, 0.5, 1, 2, 4)]
    [2, 2, 2, 2, 0]
    """

    name = "stable"

    def draw(self, outcome: Outcome, draw_key: DrawKey) -> Draw:
        if outcome.odds is not None:
            return self._dictated(outcome, draw_key)
        if outcome.rule.is_linear_mixture:
            return self._switched(outcome, draw_key)
        return coupled(outcome, draw_key)

    def _switched(self, outcome: Outcome, draw_key: DrawKey) -> Draw:
        swept = outcome.terms.swept
        key = ("switch", swept, outcome.bidding.share_keys[swept], draw_key.key)
        switch = outcome.profile.once(key, lambda: linear_switch(outcome, swept, draw_key))
        above = bool(outcome.weights[swept] > switch.at)
        token = switch.above if above else switch.below
        return Draw(token, self.name, None, seed_prices(outcome.bidding, switch.at, above), switch.at)

    def _dictated(self, outcome: Outcome, draw_key: DrawKey) -> Draw:
        dictator, prices, at = stable_dictator(outcome.rule, outcome.bidding, draw_key)
        token = outcome.profile.agent(dictator).quantile(draw_key.uniform(Purpose.DRAW))
        return Draw(token, self.name, dictator, prices, at)


def linear_switch(outcome: Outcome, i: int, draw_key: DrawKey) -> Switch:
    """The tokens below and above agent i's threshold, and the relative weight w* at which they change (inf: never).

    >>> from tokenauction_cli.mechanism.testing import draw_key_of, salon
    >>> switch = linear_switch(salon(), 0, draw_key_of(seed=8))
    >>> switch.below, switch.above, round(switch.at, 4)
    (2, 0, 0.7593)
    """
    below = others_token(outcome, i, draw_key)
    o, p = outcome.others(i).at(below), outcome.profile.p.item(i, below)
    if p >= o or not outcome.distance(i):
        return Switch(below, below, float("inf"))
    above = rising_token(outcome, i, draw_key)
    return Switch(below, above, reached(draw_key.uniform(Purpose.SWITCH, outcome.swept_id) * o / (o - p)))


def reached(at: float) -> float:
    """The relative weight w* above which a token is another; inf where no weight is above it, so that it never is.

    >>> reached(0.25), reached(1.5)
    (0.25, inf)
    """
    return at if at < 1 else float("inf")


class Dictator(NamedTuple):
    """Who it is, the prices that the lottery sets, and the relative weight above which it is the swept agent.

    >>> Dictator(agent=1).agent
    1
    """

    agent: int
    prices: tuple[float | None, ...] = ()
    at: float = float("nan")


def stable_dictator(rule: AggregationRule, bidding: Bidding, draw_key: DrawKey) -> Dictator:
    """The dictator of a rule with odds; prices and switch only under random dictator's odds.

    >>> from tokenauction_cli.mechanism.aggregation.dictatorship import RandomDictator
    >>> from tokenauction_cli.mechanism.testing import draw_key_of, salon
    >>> stable_dictator(RandomDictator(), salon(bids=(1, 2)).bidding, draw_key_of(seed=0)).agent
    1
    """
    swept, odds = bidding.terms.swept, rule.odds(bidding.bids)
    others = rule.odds(bidding.shares[swept])
    assert odds is not None
    assert others is not None
    u = draw_key.uniform(Purpose.LOTTERY, bidding.terms.ids[swept])
    own = bool(odds[swept] > u)
    agent = swept if own else drawn_agent(others, draw_key.uniform(Purpose.LOTTERY))
    if not rule.is_linear_mixture:
        return Dictator(agent)
    return Dictator(agent, seed_prices(bidding, u, own), u)


def seed_prices(bidding: Bidding, at: float, above: bool) -> tuple[float | None, ...]:
    """The realised second price of every agent that the switch at the relative weight `at` sets; None for the others.

    The swept agent pays S w* / (1 - w*) if its token is above; of two agents the other S (1 - w*) / w* if it is not.

    In money per token.

    >>> from tokenauction_cli.mechanism.testing import salon
    >>> seed_prices(salon(bids=(1, 3)).bidding, at=0.2, above=True)
    (0.75, 0.0)
    """
    swept, n_agents = bidding.terms.swept, len(bidding.bids)
    prices: list[float | None] = [None] * n_agents
    prices[swept] = capped(bidding, swept, at / (1 - at)) if above else 0.0
    if n_agents == 2:
        prices[1 - swept] = capped(bidding, 1 - swept, (1 - at) / at) if not above and 0 < at < 1 else 0.0
    return tuple(prices)


def capped(bidding: Bidding, i: int, odds: float) -> float:
    """The threshold S_i times these odds, at most the bid, which rounding could otherwise exceed.

    >>> from tokenauction_cli.mechanism.testing import salon
    >>> capped(salon(bids=(1, 2)).bidding, 0, odds=0.25), capped(salon(bids=(1, 2)).bidding, 0, odds=3)
    (0.5, 1.0)
    """
    return min(float(bidding.rivals[i]) * odds, float(bidding.bids[i]))
