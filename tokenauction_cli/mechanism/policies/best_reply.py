"""The policy `best_reply`: the bid that would have been best against all rounds so far.

Fictitious play: the best reply to the empirical play of the others. It bids its value in the first round, and of equal
bids the lowest. Source: G. W. Brown, "Iterative solution of games by fictitious play" (1951).
"""

from __future__ import annotations

import numpy as np

from ...system.arrays import Indices
from .policy import Policy, Rows, Seen, Turn


class BestReply(Policy):
    name = "best_reply"
    about = "makes the bid that would have been best in all rounds so far"

    def begin(self, rows: Rows) -> None:
        super().begin(rows)
        self._sums = np.zeros(rows.grid.shape)

    def choose(self, asked: Turn) -> Indices:
        if asked.number == 1:
            return self.rows.places(asked.values, asked.uniform_of_place)
        return np.asarray(self._sums.argmax(axis=1))

    def learn(self, seen: Seen) -> None:
        self._sums += seen.utilities
