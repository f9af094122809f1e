"""What tells the points of a sweep apart, for rows of tables and for horizontal axes: what the sweep moves.

weight   the relative weight of the swept agent, where weights are swept
bid      the bid of the one agent whose bid moves, where bids are
point    the bids of all agents, or the number of the point, where neither does
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

from ...experiment.experiment import Experiment
from ...experiment.resolved.sweep import SweepPoint
from ...system.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd

X = Literal["bid", "weight"]
"""What people may ask for; None is what the sweep moves."""


class Along(NamedTuple):
    """`agent` is the number of the one whose weight or bid it is."""

    kind: Literal["weight", "bid", "point"]
    agent: int

    def value(self, point: SweepPoint) -> float | int:
        """The place of a point."""
        if self.kind == "weight":
            return math.nan if point.relative_weight is None else point.relative_weight
        return point.bids[self.agent] if self.kind == "bid" else point.index

    def title(self, experiment: Experiment) -> str:
        """As the head of a column; of bids of all agents there is none."""
        return f"{self.kind} of {experiment.agents[self.agent].name}"


def along(experiment: Experiment, points: Sequence[SweepPoint], x: X | None = None) -> Along:
    """By `x`, where that tells the points apart; without, by what the sweep moves."""
    moved = [agent for agent in range(len(experiment.agents)) if len({point.bids[agent] for point in points}) > 1]
    one = moved[0] if len(moved) == 1 else experiment.swept_agent
    weight, bid, point = Along("weight", experiment.swept_agent), Along("bid", one), Along("point", one)
    sweeps_bids = bool(moved) and "relative_weight" not in experiment.plain["sweep"]
    if x == "bid" or (x is None and sweeps_bids and len(moved) == 1):
        wanted = bid
    else:
        wanted = point if x is None and sweeps_bids else weight
    return wanted if _tells_apart(wanted, points) else point


def check_x(experiment: Experiment, x: X | None) -> None:
    """Raises UsageError where `x` does not tell the points of the sweep apart."""
    if x is not None and along(experiment, experiment.points, x).kind != x:
        raise UsageError(f"--x {x}: several points of this sweep have the same {x}; leave --x out")


def points_in(experiment: Experiment, frame: pd.DataFrame) -> list[SweepPoint]:
    """The points of the rows of a frame, each row's own."""
    bids = frame[[f"bid.{agent.id}" for agent in experiment.agents]].to_numpy().tolist()
    weights = frame["relative_weight"].tolist()
    return list(map(SweepPoint, frame["point"].tolist(), map(tuple, bids), weights))


def _tells_apart(one: Along, points: Sequence[SweepPoint]) -> bool:
    values = [one.value(point) for point in points]
    return len(set(values)) == len(values) and not any(map(math.isnan, values))
