"""Charts of the path of best responses over bids for whole texts: replies in the plane of two agents, or by step."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...analysis.tables.tables import grouped
from ...analysis.tables.text_audit_tables import rules_label
from ...system.wording import counted
from .chart import Chart, Panel
from .deviations import DrawnAgent, chart_id, finite, numbers, utility_label
from .file_tables import Row
from .vega import INK, ONCE, Look, Series, Spec, axis_title, broken_rule, number

_MOST_RUNS_NAMED = 2
_NEAR = 0.08  # of the width of a panel: the room of a number
_UP, _RIGHT, _DOWN, _LEFT = 0, 90, 180, 270

Outcomes = Mapping[tuple[str, str, str], str]
"""How best responses end, in words, by aggregation, payment and utility."""


@dataclass(frozen=True, kw_only=True)
class PlaneChart(Chart):
    """Every reply an arrow in the colour of who replies, its stops numbered, the last in a ring; square-root scales."""

    kind = "plane"
    file = "text_dynamics.csv"
    heights = (280, 88)

    def drawn(self, panel: Panel, look: Look) -> Spec:
        values = dict(zip("xy", panel.truth, strict=True))
        titles = {"x": self.across, "y": self.unit}
        place = {
            axis: number(axis, titles[axis], [value, *numbers(panel.rows, axis)], root=True)
            for axis, value in values.items()
        }
        numbered = {**place, "text": {"field": "label", "type": "nominal"}}
        truth = [{**ONCE, "mark": broken_rule(), "encoding": {axis: {"datum": values[axis]}}} for axis in values]
        stop = {"mark": look.point(), "encoding": {**place, "color": {"value": look.colour(INK)}}}
        end = {"transform": [{"filter": "datum.is_end"}], "mark": look.ring, "encoding": place}
        names = {"mark": {**look.said(5, -3), "fontWeight": "bold"}, "encoding": numbered}
        return {"layer": [*truth, *self._arrows(place, look), stop, end, names, *look.targets(place)]}

    def _arrows(self, place: Spec, look: Look) -> list[Spec]:
        """Lines, and heads in their middles."""
        moved = [{"filter": "datum.angle !== null"}]
        colours = self.colours(look, {"symbolType": "stroke", "symbolStrokeWidth": 2})
        along = {**place, "x2": {"field": "x0"}, "y2": {"field": "y0"}, **colours}
        middle = {axis: {**place[axis], "field": f"middle_{axis}"} for axis in place}
        turned = {"angle": {"field": "angle", "type": "quantitative", "scale": None}}
        head = look.point() | {"shape": "triangle-up"}
        return [
            {"transform": moved, "mark": {"type": "rule", "strokeWidth": 1.3 * look.width}, "encoding": along},
            {"transform": moved, "mark": head, "encoding": {**middle, **turned, **colours}},
        ]


@dataclass(frozen=True, kw_only=True)
class StepChart(Chart):
    """A line of bids per agent, level until the agent replies, and its value."""

    kind = "steps"
    file = "text_dynamics.csv"
    heights = (220, 84)

    def drawn(self, panel: Panel, look: Look) -> Spec:
        whole = {"tickMinStep": 1, "format": "d"}
        x = {"field": "x", "type": "quantitative", "title": axis_title(self.across), "axis": whole}
        values = [{"series": one.name, "y": value} for one, value in zip(self.series, panel.truth, strict=True)]
        bids = number("y", self.unit, [*numbers(panel.rows, "y"), *panel.truth])
        layers = [
            {"data": {"values": values}, "mark": broken_rule()},
            {"mark": {**look.line, "interpolate": "step-after"}, "encoding": {"x": x}},
            {"mark": look.point(), "encoding": {"x": x, **self.shapes}},
            *look.targets({"x": x}),
        ]
        return {"layer": layers, "encoding": {"y": bids, **self.colours(look, {"symbolStrokeWidth": 0})}}


def outcomes_of(ends: Sequence[Row]) -> Outcomes:
    return {(row["aggregation"], row["payment"], row["utility"]): _outcome(row) for row in ends}


def reply_charts(
    steps: Sequence[Row], outcomes: Outcomes, agents: Sequence[DrawnAgent]
) -> Iterator[PlaneChart | StepChart]:
    """Where best responses lead: a chart per utility, a panel per pair of rules."""
    by_utility = grouped(steps, lambda row: row["utility"])
    is_plane = len(agents) == 2
    shown = "Bids after each reply"
    if is_plane:
        shown += ", numbered, from 0, the truth, to the dot in a ring, on square-root scales"
    for utility, found in by_utility.items():
        panels = [
            Panel(
                rules_label(rule, payment),
                tuple(_replies(path, agents) if is_plane else _bids_by_step(path, agents)),
                outcomes.get((rule, payment, utility), ""),
                _bids(path[0], agents),
            )
            for (rule, payment), path in _paths(found).items()
        ]
        yield (PlaneChart if is_plane else StepChart)(
            id=chart_id("text_path", (utility, by_utility)),
            chapter="Where best responses lead",
            question="Agents reply in turn with their best bid for whole texts. "
            f"{shown}; the broken lines are the truth.",
            tab=utility_label(utility),
            across=f"bid of {agents[0].name}" if is_plane else "step",
            unit=f"bid of {agents[1].name}" if is_plane else "bid",
            series=tuple(Series(agent.name, f"bid.{agent.id}", agent.colour) for agent in agents),
            panels=tuple(panels),
        )


def _paths(rows: Sequence[Row]) -> dict[tuple[str, str], list[Row]]:
    """The steps under each pair of rules, in their order."""
    paths = grouped(rows, lambda row: (row["aggregation"], row["payment"]))
    for (rule, payment), path in paths.items():
        path.sort(key=lambda row: int(row["step"]))
        if int(path[0]["step"]) != 0:
            raise ValueError(f"there is no step 0 under {rule}, {payment}")
    return paths


def _replies(path: Sequence[Row], agents: Sequence[DrawnAgent]) -> Iterator[dict[str, Any]]:
    """From where to where each reply goes, and the numbers of the replies that stop there."""
    names = {agent.id: agent.name for agent in agents}
    places = [_bids(row, agents) for row in path]
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


def _bids_by_step(path: Sequence[Row], agents: Sequence[DrawnAgent]) -> Iterator[dict[str, Any]]:
    for row in path:
        for agent, bid in zip(agents, _bids(row, agents), strict=True):
            yield {"series": agent.name, "step": int(row["step"]), "x": int(row["step"]), "y": bid}


def _bids(row: Row, agents: Sequence[DrawnAgent]) -> tuple[float, ...]:
    return tuple(float(row[f"bid.{agent.id}"]) for agent in agents)


def _outcome(row: Row) -> str:
    return f"{row['outcome']} after {counted(int(float(row['rounds'])), 'round')}"
