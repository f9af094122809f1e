"""Wilson's 95 % interval for a share (E. B. Wilson, 1927)."""

from __future__ import annotations

import math
from typing import NamedTuple

Z = 1.959963984540054  # the 97.5 % point of the normal distribution


class Interval(NamedTuple):
    low: float
    high: float


def wilson(successes: int, trials: int) -> Interval:
    """The 95 % interval of the probability behind `successes` out of `trials`; [0, 1] without a trial."""
    if trials == 0:
        return Interval(0.0, 1.0)
    share, z2 = successes / trials, Z * Z / trials
    middle = (share + z2 / 2) / (1 + z2)
    half = Z / (1 + z2) * math.sqrt(share * (1 - share) / trials + z2 / (4 * trials))
    low = max(0.0, middle - half) if successes else 0.0
    return Interval(low, min(1.0, middle + half) if successes < trials else 1.0)
