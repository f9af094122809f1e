"""Drawing a word byte by byte, where an agent gives a probability to every beginning of one but cannot list them all.

A word is walked by weights v of sum 1: each byte is drawn in proportion to sum_i v_i p_i(word so far, and the byte).
The steps telescope (d):

    P(x_1 ... x_m) = prod_k [sum_i v_i p_i(x_1 ... x_k)] / [sum_i v_i p_i(x_1 ... x_k-1)] = sum_i v_i p_i(x_1 ... x_m)

so a walk by w_i = b_i / B draws a word from q, one by the others' shares from o, one by agent i alone from p_i. That
holds of the beginning of a word as well, where a text is cut there. Greedy sampling takes each byte's likeliest, which
need not make the likeliest word.

Stable sampling of a linear mixture, in the swept agent's p and o (d): as in `stable.py`, s0 ~ o stays where p >= o, and
else up to the weight w* = u o / (o - p). The word above w* must come from (p - o)^+ / D. D sums over all words and is
not known, so that s1 ~ p is proposed and taken with probability (1 - o / p)^+, which makes p (1 - o / p)^+ = (p - o)^+,
until one is taken: 1 / D proposals in the mean. A word switches with probability w D, so that there are w proposals per
word in the mean, and no need of a limit. All proposals are shared by all weights of a seed.

Dictatorships: the dictator is drawn for the word, which is walked by that agent alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from dataclasses import replace
from itertools import count
from typing import NamedTuple

import numpy as np

from ..aggregation.rules import AggregationRule, Linear
from ..distributions import Array, Mixture, Profile
from ..outcome import Outcome
from ..terms import Bidding
from .randomness import DrawKey, Purpose
from .rules import Draw, SamplingRule, drawn_agent
from .stable import Stable, reached, seed_prices, stable_dictator

WORD = 0
"""The token of a draw of a word, as `WordOutcome` numbers it."""

DrawByte = Callable[[Profile, Array, DrawKey], int]
Walks = Generator["Walk", Array, Draw]
"""Yields walks until a word is kept, each time to be sent log p_i of the word that was walked, (n,)."""


class Walk(NamedTuple):
    """One way through a word: by which weights, (n,), and how a byte is drawn from a mixture by weight.

    >>> greedy = Walk(np.array([0.5, 0.5]), lambda profile, weights, draw_key: Mixture(profile, weights).mode)
    >>> greedy.byte(Profile.of([[0.9, 0.1], [0.3, 0.7]]), np.zeros(2), None)
    0
    """

    weights: Array
    draw_byte: DrawByte

    def byte(self, profile: Profile, log_p: Array, draw_key: DrawKey) -> int:
        """The next byte, given log p_i of the word so far; `draw_key` is that of the byte."""
        present = self.weights > 0
        left = np.zeros(len(self.weights))
        left[present] = self.weights[present] * np.exp(log_p[present] - log_p[present].max())
        return self.draw_byte(profile, left / left.sum(), draw_key)


def walks(rule: AggregationRule, sampling: SamplingRule, bidding: Bidding, draw_key: DrawKey) -> Walks:
    """How a word is drawn at these bids, by the numbers of the position at which it begins.

    Each walk is by weights (n,) of sum 1.

    >>> from tokenauction_cli.mechanism.sampling.rules import InverseCdf
    >>> from tokenauction_cli.mechanism.testing import draw_key_of, salon
    >>> next(walks(Linear(), InverseCdf(), salon(bids=(1, 3)).bidding, draw_key_of(seed=0))).weights.tolist()
    [0.25, 0.75]
    """
    if isinstance(sampling, Stable):
        return _dictated(rule, bidding, draw_key) if rule.is_dictatorship else _switched(bidding, draw_key)
    return _mixed(rule, sampling, bidding, draw_key)


def _mixed(rule: AggregationRule, sampling: SamplingRule, bidding: Bidding, draw_key: DrawKey) -> Walks:
    """Every byte by the sampling rule itself."""
    weights, dictator, odds = bidding.weights, None, rule.odds(bidding.bids)
    if odds is not None:
        dictator = drawn_agent(odds, draw_key.uniform(Purpose.LOTTERY))
        weights = _alone(bidding, dictator)
    of_weights = replace(bidding.terms, reserve=0.0)  # which are no bids

    def draw_byte(profile: Profile, weights: Array, draw_key: DrawKey) -> int:
        return sampling.draw(Outcome(Linear(), profile, weights, of_weights), draw_key).token

    yield Walk(weights, draw_byte)
    return Draw(WORD, sampling.name, dictator)


def _switched(bidding: Bidding, draw_key: DrawKey) -> Walks:
    """Stable sampling of a linear mixture."""
    swept, swept_id = bidding.terms.swept, bidding.terms.ids[bidding.terms.swept]
    shares = bidding.shares[swept]
    log_p = yield Walk(shares, _by_number(Purpose.DRAW))
    at = threshold(draw_key.uniform(Purpose.SWITCH, swept_id), log_p[swept], log_mixture(shares, log_p))
    above = bool(bidding.weights[swept] > at)
    draw = Draw(WORD, Stable.name, None, seed_prices(bidding, at, above), at)
    if not above:
        return draw
    for attempt in count():
        number = f"{swept_id} {attempt}"
        log_p = yield Walk(_alone(bidding, swept), _by_number(Purpose.TARGET, number))
        if draw_key.uniform(Purpose.ACCEPT, number) < acceptance(log_p[swept], log_mixture(shares, log_p)):
            break
    return draw


def _dictated(rule: AggregationRule, bidding: Bidding, draw_key: DrawKey) -> Walks:
    """Stable sampling of a dictatorship."""
    dictator, prices, at = stable_dictator(rule, bidding, draw_key)
    yield Walk(_alone(bidding, dictator), _by_number(Purpose.DRAW))
    return Draw(WORD, Stable.name, dictator, prices, at)


def _by_number(purpose: Purpose, agent: str = "") -> DrawByte:
    """The first byte whose cumulative probability exceeds one uniform number."""
    return lambda profile, weights, draw_key: Mixture(profile, weights).quantile(draw_key.uniform(purpose, agent))


def _alone(bidding: Bidding, i: int) -> Array:
    weights = np.zeros(len(bidding.weights))
    weights[i] = 1.0
    return weights


def threshold(u: float, log_p: float, log_o: float) -> float:
    """w* = u o / (o - p), the relative weight up to which a word drawn from o stays; inf where it always does.

    >>> round(threshold(0.5, math.log(0.1), math.log(0.4)), 4), threshold(0.5, math.log(0.4), math.log(0.1))
    (0.6667, inf)
    """
    return math.inf if log_p >= log_o else reached(u / -math.expm1(log_p - log_o))


def acceptance(log_p: float, log_o: float) -> float:
    """(1 - o / p)^+, the probability with which a word drawn from p is taken.

    >>> round(acceptance(math.log(0.4), math.log(0.1)), 4), acceptance(math.log(0.1), math.log(0.4))
    (0.75, 0.0)
    """
    return 0.0 if log_o >= log_p else -math.expm1(log_o - log_p)


def log_mixture(weights: Array, log_p: Array) -> float:
    """log sum_i w_i p_i, from (n,) and (n,).

    >>> round(log_mixture(np.array([0.25, 0.75]), np.log([0.8, 0.4])), 4), round(math.log(0.5), 4)
    (-0.6931, -0.6931)
    """
    present = weights > 0
    top = float(log_p[present].max())
    return top if top == -math.inf else top + math.log(float(weights[present] @ np.exp(log_p[present] - top)))
