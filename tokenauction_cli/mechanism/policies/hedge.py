"""The policy `hedge`: multiplicative weights, which hear what every bid would have brought.

    p_t(b) proportional to exp(eta_t sum_{r < t} u(b, b_-i,r)),  eta_t = sqrt(8 ln K / t) / spread

Its regret in the mean over T rounds is at most 2 spread sqrt(ln K / (2 T)) + spread sqrt(ln K / 8) / T, whatever the
others do. Source: Y. Freund and R. Schapire (1997); the rate for an unknown T is that of N. Cesa-Bianchi and G. Lugosi,
"Prediction, Learning, and Games" (2006), section 2.3.
"""

from __future__ import annotations

import math

import numpy as np

from ...system.arrays import Array, Indices
from .policy import Policy, Rows, Seen, Turn


class Hedge(Policy):
    name = "hedge"
    about = "learns from what every bid would have brought (multiplicative weights)"

    def begin(self, rows: Rows) -> None:
        super().begin(rows)
        self._sums = np.zeros(rows.grid.shape)
        self._rate = math.sqrt(8 * math.log(rows.n_bids)) / np.where(rows.spread > 0, rows.spread, 1.0)[:, None]

    def weights(self, number: int) -> Array:
        """What the chances in this round are proportional to, (rows, K)."""
        ahead = self._sums - self._sums.max(axis=1, keepdims=True)
        return np.asarray(np.exp(ahead * (self._rate / math.sqrt(number))))

    def choose(self, asked: Turn) -> Indices:
        return drawn(self.weights(asked.number), asked.uniform)

    def learn(self, seen: Seen) -> None:
        self._sums += seen.utilities


def drawn(weights: Array, uniform: Array) -> Indices:
    """A place for every row, with chances in proportion to its weights (rows, K).

    >>> drawn(np.array([[1.0, 1.0, 2.0]] * 2), np.array([0.3, 0.5])).tolist()
    [1, 2]
    """
    reached = weights.cumsum(axis=1)
    places = (reached <= (uniform * reached[:, -1])[:, None]).sum(axis=1)
    return np.asarray(np.minimum(places, weights.shape[1] - 1))
