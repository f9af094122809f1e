"""Policies that bid a share of the value v: b = m v.

truthful        m = 1
{multiple: m}
{shading: s}    m = 1 - s
"""

from __future__ import annotations

from ...system.arrays import Indices
from .policy import Policy, Turn


class Multiple(Policy):
    """b = m v."""

    name = "multiple"
    about = "bids m times its value"
    setting = "what the value is multiplied with"

    def __init__(self, number: float = 1.0) -> None:
        self.multiple = number

    def choose(self, asked: Turn) -> Indices:
        return self.rows.places(self.multiple * asked.values, asked.uniform_of_place)


class Truthful(Multiple):
    """b = v."""

    name = "truthful"
    about = "bids its value"
    setting = ""

    def __init__(self) -> None:
        super().__init__(1.0)


class Shading(Multiple):
    """b = (1 - s) v."""

    name = "shading"
    about = "bids its value less a share s of it"
    setting = "the share of the value that is kept back, at most 1"

    def __init__(self, number: float = 0.0) -> None:
        super().__init__(max(0.0, 1 - number))
