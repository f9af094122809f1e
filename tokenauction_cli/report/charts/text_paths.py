"""The path of best responses over bids for whole texts, as figures: replies in the plane of two agents, or by step."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ...analysis.tables.tables import grouped
from ...analysis.tables.text_audit_tables import rules_label
from ...system.wording import counted
from .figures import Series
from .file_tables import Row
from .text_charts import Bidder, TextChart, TextPanel, chart_id, finite, utility_label

_MOST_RUNS_NAMED = 2
_NEAR = 0.08  # of the width of a panel: the room of a number
_UP, _RIGHT, _DOWN, _LEFT = 0, 90, 180, 270

Outcomes = Mapping[tuple[str, str, str], str]
"""How best responses end, in words, by aggregation, payment and utility."""


def outcomes_of(ends: Sequence[Row]) -> Outcomes:
    return {(row["aggregation"], row["payment"], row["utility"]): _outcome(row) for row in ends}


def path_charts(steps: Sequence[Row], outcomes: Outcomes, bidders: Sequence[Bidder]) -> Iterator[TextChart]:
    """Where best responses lead: a chart per utility, a panel per pair of rules."""
    by_utility = grouped(steps, lambda row: row["utility"])
    is_plane = len(bidders) == 2
    broken = "the broken lines are the truth"
    shown = (
        f"Bids after each reply, numbered, from 0, the truth, to the dot in a ring, on square-root scales; {broken}."
    )
    for utility, found in by_utility.items():
        panels = [
            TextPanel(
                rules_label(rule, payment),
                outcomes.get((rule, payment, utility), ""),
                _bids(path[0], bidders),
                tuple(_replies(path, bidders) if is_plane else _bids_by_step(path, bidders)),
            )
            for (rule, payment), path in _paths(found).items()
        ]
        yield TextChart(
            chart_id("text_path", (utility, by_utility)),
            "plane" if is_plane else "steps",
            "Where best responses lead",
            f"Agents reply in turn with their best bid for whole texts. "
            f"{shown if is_plane else f'Bids after each reply; {broken}.'}",
            utility_label(utility),
            f"bid of {bidders[0].name}" if is_plane else "step",
            f"bid of {bidders[1].name}" if is_plane else "bid",
            tuple(Series(bidder.name, f"bid.{bidder.id}", bidder.colour) for bidder in bidders),
            tuple(panels),
        )


def _paths(rows: Sequence[Row]) -> dict[tuple[str, str], list[Row]]:
    """The steps under each pair of rules, in their order."""
    paths = grouped(rows, lambda row: (row["aggregation"], row["payment"]))
    for (rule, payment), path in paths.items():
        path.sort(key=lambda row: int(row["step"]))
        if int(path[0]["step"]) != 0:
            raise ValueError(f"there is no step 0 under {rule}, {payment}")
    return paths


def _replies(path: Sequence[Row], bidders: Sequence[Bidder]) -> Iterator[dict[str, Any]]:
    """From where to where each reply goes, and the numbers of the replies that stop there."""
    names = {bidder.id: bidder.name for bidder in bidders}
    places = [_bids(row, bidders) for row in path]
    stops = _stops(places)
    for step, row in enumerate(path):
        (x0, y0), (x, y) = places[max(0, step - 1)], places[step]
        yield {
            "series": names[row["agent"]] if row["agent"] else None,
            "step": step,
            "x0": x0,
            "y0": y0,
            "x": x,
            "y": y,
            "middle_x": (x0 + x) / 2,
            "middle_y": (y0 + y) / 2,
            "angle": _angle(x - x0, y - y0),
            "label": _numbers(stops.get(step, [])),
            "is_end": row is path[-1],
            "mean": finite(row["gain"]) if row["agent"] else None,
            "low": finite(row["gain.low"]) if row["agent"] else None,
        }


def _stops(places: Sequence[tuple[float, ...]]) -> dict[int, list[int]]:
    """The steps that stop at one place, or too near it for a number of their own, under the first of them."""
    spread = [[math.sqrt(bid) for bid in bids] for bids in places]
    near = [_NEAR * (max(axis) - min(axis)) for axis in zip(*spread, strict=True)]

    def is_near(first: int, step: int) -> bool:
        apart = [abs(a - b) for a, b in zip(spread[first], spread[step], strict=True)]
        return all(distance <= most for distance, most in zip(apart, near, strict=True))

    stops: dict[int, list[int]] = {}
    for step in range(len(spread)):
        first = next((one for one in stops if is_near(one, step)), step)
        stops.setdefault(first, []).append(step)
    return stops


def _numbers(steps: Sequence[int]) -> str:
    """As in 2, 4–7; of more runs the first, and that there are others."""
    runs: list[list[int]] = []
    for step in steps:
        if runs and step == runs[-1][-1] + 1:
            runs[-1].append(step)
        else:
            runs.append([step])
    shown = [f"{run[0]}–{run[-1]}" if len(run) > 2 else ", ".join(map(str, run)) for run in runs]
    return ", ".join(shown if len(runs) <= _MOST_RUNS_NAMED else [shown[0], "…"])


def _angle(across: float, up: float) -> int | None:
    """The way of an arrow that moves along one axis, in degrees from up; None where it stays."""
    if across:
        return _RIGHT if across > 0 else _LEFT
    return (_UP if up > 0 else _DOWN) if up else None


def _bids_by_step(path: Sequence[Row], bidders: Sequence[Bidder]) -> Iterator[dict[str, Any]]:
    for row in path:
        for bidder, bid in zip(bidders, _bids(row, bidders), strict=True):
            yield {"series": bidder.name, "step": int(row["step"]), "x": int(row["step"]), "y": bid}


def _bids(row: Row, bidders: Sequence[Bidder]) -> tuple[float, ...]:
    return tuple(float(row[f"bid.{bidder.id}"]) for bidder in bidders)


def _outcome(row: Row) -> str:
    return f"{row['outcome']} after {counted(int(float(row['rounds'])), 'round')}"
