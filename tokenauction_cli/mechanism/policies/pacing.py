"""The policy `pacing`: bids less than the value so that a budget B lasts for T rounds.

    b = v / (1 + mu),  mu <- min(max(0, mu - eps (rho - c)), mu_max),  mu = 0 at first

c is what the round cost, rho = B / T, eps = 1 / (rho sqrt(T)), and mu_max = v / (least positive bid of the grid) - 1.
Until mu has settled it spends too much: by mu / eps. Source: S. Balseiro and Y. Gur, "Learning in repeated auctions
with budgets" (2019).
"""

from __future__ import annotations

import math

import numpy as np

from ...system.arrays import Indices
from .policy import Policy, Rows, Seen, Turn


class Pacing(Policy):
    name = "pacing"
    about = "bids less than its value so that its budget lasts (adaptive pacing)"
    needs_budget = True

    def begin(self, rows: Rows) -> None:
        super().begin(rows)
        self._mu = np.zeros(len(rows.grid))
        self._rate = rows.budget / rows.rounds
        self._step = 1 / (self._rate * math.sqrt(rows.rounds))
        least = np.where(rows.grid > 0, rows.grid, np.inf).min(axis=1)
        self._most = np.maximum(0.0, rows.highest_value / least - 1)

    def choose(self, asked: Turn) -> Indices:
        return self.rows.places(asked.values / (1 + self._mu), asked.uniform_of_place)

    def learn(self, seen: Seen) -> None:
        self._mu = np.clip(self._mu - self._step * (self._rate - seen.paid), 0.0, self._most)
