"""The policy {fixed: x}: b = x in every round."""

from __future__ import annotations

import numpy as np

from ...system.arrays import Indices
from .policy import Policy, Turn


class Fixed(Policy):
    """b = x."""

    name = "fixed"
    about = "makes one bid in every round"
    setting = "a bid"

    def __init__(self, number: float = 0.0) -> None:
        self.bid = number

    def choose(self, asked: Turn) -> Indices:
        return self.rows.places(np.full(len(asked.values), self.bid), asked.uniform_of_place)
