"""Sampling: how a token is drawn from q. Every lottery here has exactly q as its marginal over the seeds.

    rule         the token
    stable       for each seed it changes at most once as the swept agent's bid rises (`stable.py`), for rules that
                 allow it; for the others it is coupled to that (`coupled.py`)
    inverse_cdf  the first t with q_0 + ... + q_t > u
    gumbel       a race of E / q with E standard exponential, shared by all rules and weights of a seed
    greedy       argmax_t q_t, of equal ones the lowest id; no lottery

A dictatorship first draws its dictator, then the token from that agent's distribution in the same way.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..cumulative import BLOCK, block_sums, quantile
from ..distributions import Array, Distribution
from ..outcome import Outcome
from .randomness import DrawKey, Purpose


class Draw(NamedTuple):
    """A token and how it came about.

    `used` is the sampling that drew it; of `stable` it may be `coupled`. `dictator` is the agent a dictatorship took.
    Where the seed itself sets second prices (`stable`), `prices[i]` is the realised one of agent i, None for the agents
    it does not price, and `switch` the relative weight of the swept agent above which its token is another (inf: the
    token never changes), so that a trace can show it.

    >>> Draw(2, "inverse_cdf").token
    2
    """

    token: int
    used: str
    dictator: int | None = None
    prices: tuple[float | None, ...] = ()
    switch: float = float("nan")


class SamplingRule(ABC):
    """How a token is drawn from q, by the random numbers of one draw_key.

    >>> from tokenauction_cli.mechanism.testing import draw_key_of, salon
    >>> class Last(SamplingRule):
    ...     name = "last"
    ...     lottery = False
    ...
    ...     def draw(self, outcome, draw_key):
    ...         return Draw(outcome.profile.n_tokens - 1, self.name)
    >>> Last().draw(salon(), draw_key_of(seed=0)).token
    2
    """

    name: str
    lottery: bool = True
    """False where the token is not random, so that prices that rest on its chances are undefined."""

    @abstractmethod
    def draw(self, outcome: Outcome, draw_key: DrawKey) -> Draw:
        """The token of this draw_key; over the seeds its distribution is exactly q, unless `lottery` is False."""


class InverseCdf(SamplingRule):
    """The first token at which the cumulative q exceeds u.

    With no pass over the tokens of a mixture.

    >>> from tokenauction_cli.mechanism.testing import draw_key_of, salon
    >>> [InverseCdf().draw(salon(), draw_key_of(seed)).token for seed in range(6)]
    [0, 2, 2, 2, 2, 2]
    """

    name = "inverse_cdf"

    def draw(self, outcome: Outcome, draw_key: DrawKey) -> Draw:
        source, dictator = drawn_source(outcome, draw_key)
        return Draw(source.quantile(draw_key.uniform(Purpose.DRAW)), self.name, dictator)


class Greedy(SamplingRule):
    """The most probable token.

    Of equal ones the lowest id; of a dictatorship the drawn dictator's.

    >>> from tokenauction_cli.mechanism.testing import draw_key_of, salon
    >>> Greedy().draw(salon(bids=(1, 2)), draw_key_of(seed=0)).token
    2
    """

    name = "greedy"
    lottery = False

    def draw(self, outcome: Outcome, draw_key: DrawKey) -> Draw:
        source, dictator = drawn_source(outcome, draw_key)
        return Draw(source.mode, self.name, dictator)


class Gumbel(SamplingRule):
    """The largest log q plus noise that all rules share.

    A race of exponential clocks, won by argmin E / q: one for each likely token, one for the rest of each block.

    A clock wins in proportion to its rate (d): a token with its q_t, a block with what q has there beside the likely
    tokens. Where a block wins, its other tokens race in the same way, so that t wins with q_t in all. A race is argmax
    log q + Gumbel noise. All rules and weights of a seed share the noise, a few hundred numbers at any size of the
    vocabulary; likely tokens, which decide nearly always, have clocks of their own so that neighbouring q agree often.

    Source: C. J. Maddison, D. Tarlow and T. Minka, "A* sampling" (2014), for the race; the clocks of blocks are (d).

    >>> from tokenauction_cli.mechanism.testing import draw_key_of, salon
    >>> [Gumbel().draw(salon(), draw_key_of(seed)).token for seed in range(6)]
    [0, 0, 2, 0, 2, 2]
    """

    name = "gumbel"

    def draw(self, outcome: Outcome, draw_key: DrawKey) -> Draw:
        source, dictator = drawn_source(outcome, draw_key)
        return Draw(race(source, outcome.profile.likely, draw_key, Purpose.DRAW), self.name, dictator)


def race(source: Distribution, likely: NDArray[np.intp], draw_key: DrawKey, purpose: Purpose) -> int:
    """A token from `source`, by clocks of the `likely` tokens and of the rest of each block: see `Gumbel`.

    >>> from tokenauction_cli.mechanism.testing import draw_key_of, salon
    >>> race(Distribution(p=np.array([0.0, 1.0])), np.array([1]), draw_key_of(seed=0), Purpose.DRAW)
    1
    """
    clocks = source.clocks(likely)
    noise = draw_key.exponentials(purpose, BLOCK + len(clocks))
    first, n_blocks = first_of(noise[BLOCK:], clocks), len(clocks) - len(likely)
    if first >= n_blocks:
        return int(likely[first - n_blocks])
    begin = first * BLOCK
    others = np.array(source.part(slice(begin, begin + BLOCK)))
    others[likely[(likely >= begin) & (likely < begin + BLOCK)] - begin] = 0.0
    return begin + first_of(noise[: len(others)], others)


def first_of(noise: Array, rates: Array) -> int:
    """The winner of a race of exponential clocks with these rates; never one with the rate 0.

    argmin_k noise_k / rates_k, of (m,) and (m,).

    >>> first_of(np.array([1.0, 1.0, 1.0]), np.array([0.2, 0.5, 0.3]))
    1
    """
    return int((rates / noise).argmax())


def drawn_source(outcome: Outcome, draw_key: DrawKey) -> tuple[Distribution, int | None]:
    """The distribution the token is drawn from: q, or the drawn dictator's own; and the dictator.

    >>> from tokenauction_cli.mechanism.testing import draw_key_of, salon
    >>> source, dictator = drawn_source(salon(bids=(1, 2)), draw_key_of(seed=0))
    >>> source.p.round(4).tolist(), dictator
    ([0.4, 0.1667, 0.4333], None)
    """
    if outcome.odds is None:
        return outcome.q, None
    dictator = drawn_agent(outcome.odds, draw_key.uniform(Purpose.LOTTERY))
    return outcome.profile.agent(dictator), dictator


def drawn_agent(odds: Array, u: float) -> int:
    """An agent with probability odds[i], from one uniform number; never one without odds.

    Of odds (n,) and 0 <= u < 1.

    >>> drawn_agent(np.array([0.25, 0.75]), 0.5)
    1
    """
    return quantile(odds, block_sums(odds), u)
