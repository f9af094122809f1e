"""What rows and axes of a sweep are: what moves."""

from __future__ import annotations

import pytest
from conftest import Reader

from tokenauction_cli.analysis.frames.along import X, along, check_x
from tokenauction_cli.system.errors import UsageError

AGENTS = """
name: t
agents:
  - {name: Alpha, distribution: {x: 1}}
  - {name: Beta, distribution: {x: 1}, bid: 3}
sweep: """


@pytest.mark.parametrize(
    ("sweep", "x", "title", "values"),
    [
        ("{relative_weight: [0, 0.25, 1]}", None, "weight of Alpha", [0, 0.25, 1]),
        ("{relative_weight: [0, 0.25, 1]}", "bid", "bid of Alpha", [0, 1, 4]),
        ("{bids: [{Alpha: 1}, {Alpha: 3}]}", None, "bid of Alpha", [1, 3]),
        ("{bids: [{Beta: 1}, {Beta: 3}]}", None, "bid of Beta", [1, 3]),
        ("{bids: [{Alpha: 1}, {Alpha: 3}]}", "weight", "weight of Alpha", [0.25, 0.5]),
        ("{bids: [{Alpha: 1, Beta: 1}, {Alpha: 2, Beta: 2}]}", None, "", [0, 1]),
        ("{bids: [{Alpha: 1, Beta: 1}, {Alpha: 2, Beta: 2}]}", "bid", "bid of Alpha", [1, 2]),
        ("{bids: [{Alpha: 1, Beta: 1}, {Alpha: 2, Beta: 2}]}", "weight", "", [0, 1]),
        ("{grid: {Alpha: [1, 2], Beta: [1, 2]}}", None, "", [0, 1, 2, 3]),
        ("{seeds: 2}", None, "weight of Alpha", [0.25]),
    ],
)
def test_what_the_sweep_moves(read: Reader, sweep: str, x: X | None, title: str, values: list[float]) -> None:
    experiment = read(AGENTS + sweep)
    axis = along(experiment, experiment.points, x)
    assert [axis.value(point) for point in experiment.points] == values
    assert (axis.title(experiment) if axis.kind != "point" else "") == title
    if x is not None and not title:
        with pytest.raises(UsageError, match="--x weight: several points of this sweep have the same weight"):
            check_x(experiment, x)
