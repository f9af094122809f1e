"""What an audit of whole texts finds: a row per deviation, per equilibrium, and per reply on the way to it.

`utility` is the kind's name. Tuples are by agent, in the experiment's order.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

EXACT, BY_SEEDS = "exact", "seeds"
BestKind = Literal["", "tried", "constant", "every_prefix"]
"""Of which kind a deviation is the best: of those tried, of constant bids, of bids for every prefix; '' is none."""
BEST_IN_WORDS: dict[BestKind, str] = {
    "tried": "best",
    "constant": "best constant bid",
    "every_prefix": "best bid for every prefix",
}


@dataclass(frozen=True)
class Deviation:
    """What one agent's bid and report bring it while all others keep their bids and are honest.

    `bid` is None where it is another one at every prefix. `gain` is over truth, `low` and `high` its simultaneous
    two-sided 95 % interval, both equal to it where it is exact. `texts` are those enumerated, or sampled. `note` is for
    readers alone.
    """

    aggregation: str
    payment: str
    agent: str
    utility: str
    report: str
    bid: float | None
    value: float
    mean_utility: float
    mean_payment: float
    gain: float
    low: float
    high: float
    texts: int
    method: str
    best: BestKind = ""
    note: str = ""


@dataclass(frozen=True)
class Equilibrium:
    """Where best responses from truth on lead, and what is lost there.

    `outcome` is equilibrium, cycle (`bids` are then those that return), supremum (some agent's best bid is approached
    and never attained) or unfinished. `values` are None for agents without this utility, which keep their bids.
    `regret` is the most that any agent is found to gain by another bid, `regret_high` its upper bound.
    `price_of_anarchy` is at least 1, by seeds but for chance, and None where welfare is 0, infinite, or of two signs.
    """

    aggregation: str
    payment: str
    utility: str
    outcome: str
    rounds: int
    bids: tuple[float, ...]
    values: tuple[float | None, ...]
    regret: float
    regret_high: float
    welfare_truth: float
    welfare_equilibrium: float
    welfare_best: float
    relative_weight_best: float
    revenue_truth: float
    revenue_equilibrium: float
    revenue_best: float
    price_of_anarchy: float | None
    texts: int
    method: str
    note: str = ""


@dataclass(frozen=True)
class Step:
    """A reply: the bids after it, and its gain over the bid that the agent had. Step 0 is truth, which is nobody's."""

    aggregation: str
    payment: str
    utility: str
    step: int
    agent: str
    bids: tuple[float, ...]
    gain: float
    low: float
    moved: bool


def price_of_anarchy(best: float, reached: float) -> float | None:
    """The best welfare over the one that is reached, turned round where both are losses: at least 1."""
    ratio = welfare_ratio(best, reached)
    return None if ratio is None else max(1.0, ratio)


def welfare_ratio(best: float, reached: float) -> float | None:
    """The same of estimates, which may lie below 1 by chance: cut at 1 it would be too high in the mean."""
    if best > 0 and reached > 0:
        ratio = best / reached
    elif best < 0 and reached < 0:
        ratio = reached / best
    else:
        return None
    return ratio if math.isfinite(ratio) else None
