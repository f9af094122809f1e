"""The policy `exp3`: like hedge, but it hears only what its own bid brought.

    p_t(b) = (1 - gamma_t) softmax(gamma_t / K  sum_{r < t} g_r(b)) + gamma_t / K,  gamma_t = min(1, sqrt(K ln K / t))

g_r(b) is the utility, scaled to [0, 1], over the chance of the bid in that round, and 0 for the bids that were not
made. Source: P. Auer, N. Cesa-Bianchi, Y. Freund and R. Schapire, "The nonstochastic multiarmed bandit problem" (2002).
"""

from __future__ import annotations

import math

import numpy as np

from ...system.arrays import Indices
from .hedge import drawn
from .policy import Policy, Rows, Seen, Turn


class Exp3(Policy):
    name = "exp3"
    about = "learns from what its own bid brought (a bandit)"

    def begin(self, rows: Rows) -> None:
        super().begin(rows)
        self._sums = np.zeros(rows.grid.shape)
        self._every = np.arange(len(rows.grid))
        self._spread = np.where(rows.spread > 0, rows.spread, 1.0)

    def choose(self, asked: Turn) -> Indices:
        k = self.rows.n_bids
        explored = min(1.0, math.sqrt(k * math.log(k) / asked.number))
        weights = np.exp((self._sums - self._sums.max(axis=1, keepdims=True)) * (explored / k))
        chances = (1 - explored) * weights / weights.sum(axis=1, keepdims=True) + explored / k
        self._made = drawn(chances, asked.uniform)
        self._chance = chances[self._every, self._made]
        return self._made

    def learn(self, seen: Seen) -> None:
        self._sums[self._every, self._made] += (seen.utility - self.rows.least) / self._spread / self._chance
