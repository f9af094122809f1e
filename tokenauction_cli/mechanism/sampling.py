"""Sampling: how a token is drawn from q. Every lottery here has exactly q as its marginal over the seeds.

    rule         the token
    stable       for each seed it changes at most once as the swept agent's bid rises (`stable_sampling.py`)
    inverse_cdf  the first t with q_0 + ... + q_t > u
    gumbel       argmin_t E_t / q_t with E_t standard exponential, shared by all rules and weights of a seed
    greedy       argmax_t q_t, of equal ones the lowest id; no lottery

A dictatorship first draws its dictator, then the token from that agent's distribution in the same way.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np

from .cumulative import block_sums, quantile
from .distributions import Array, Distribution
from .outcome import Outcome
from .randomness import Moment, Purpose


class Draw(NamedTuple):
    """A token and how it came about.

    `used` is the sampling that drew it. `dictator` is the agent a dictatorship took. Where the seed itself sets
    second prices (`stable`), `prices[i]` is the realised one of agent i, NaN for the agents it does not price, and
    `switch` the relative weight of the swept agent above which its token is `token_above` (inf: the token never
    changes), so that a trace can show it.
    """

    token: int
    used: str
    dictator: int | None = None
    prices: Array | None = None
    switch: float = float("nan")


class SamplingRule(Protocol):
    """`lottery` is False where the token is not random, so that prices that rest on its chances are undefined."""

    name: str
    lottery: bool

    def draw(self, outcome: Outcome, moment: Moment) -> Draw: ...


class InverseCdf:
    """The first token at which the cumulative q exceeds u; with no pass over the tokens of a mixture."""

    name = "inverse_cdf"
    lottery = True

    def draw(self, outcome: Outcome, moment: Moment) -> Draw:
        source, dictator = drawn_source(outcome, moment)
        return Draw(source.quantile(moment.uniform(Purpose.DRAW)), self.name, dictator)


class Greedy:
    """The most probable token, of equal ones the lowest id; of a dictatorship the drawn dictator's."""

    name = "greedy"
    lottery = False

    def draw(self, outcome: Outcome, moment: Moment) -> Draw:
        source, dictator = drawn_source(outcome, moment)
        return Draw(source.mode, self.name, dictator)


class Gumbel:
    """argmin_t E_t / q_t, the exponential race: token t wins with probability q_t. It is argmax log q_t + Gumbel_t.

    The noise of the last moment is kept: draw all cells of a seed before those of the next.
    """

    name = "gumbel"
    lottery = True

    def __init__(self) -> None:
        self._last: tuple[tuple[object, ...], Array] = ((), np.empty(0))

    def draw(self, outcome: Outcome, moment: Moment) -> Draw:
        source, dictator = drawn_source(outcome, moment)
        with np.errstate(divide="ignore", over="ignore"):
            times = self._noise(moment, outcome.profile.n_tokens) / source.p
        return Draw(int(np.argmin(times)), self.name, dictator)

    def _noise(self, moment: Moment, n_tokens: int) -> Array:
        key = (moment.key, n_tokens)
        if self._last[0] != key:
            generator = moment.randomness.generator(moment.position, Purpose.DRAW)
            noise = generator.standard_exponential(n_tokens)
            self._last = (key, np.maximum(noise, np.finfo(np.float64).tiny))  # 0 / 0 would win everywhere
        return self._last[1]


def drawn_source(outcome: Outcome, moment: Moment) -> tuple[Distribution, int | None]:
    """The distribution the token is drawn from: q, or the drawn dictator's own; and the dictator."""
    if outcome.odds is None:
        return outcome.q, None
    dictator = drawn_agent(outcome.odds, moment.uniform(Purpose.LOTTERY))
    return outcome.profile.agent(dictator), dictator


def drawn_agent(odds: Array, u: float) -> int:
    """An agent with probability odds[i], from one uniform number; never one without odds."""
    return quantile(odds, block_sums(odds), u)
