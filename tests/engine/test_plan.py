"""The plan: which cells there are, what identifies them, how they are cut into waves."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import pytest
from conftest import Reader

from tokenauction_cli.engine import plan as plan_module
from tokenauction_cli.engine.plan import Cell, Plan, cells_of, make_plan, plan_of
from tokenauction_cli.experiment.experiment import Experiment
from tokenauction_cli.experiment.resolved.mechanism_choice import Candidate, MechanismChoice, TokenAuction

LINEAR = TokenAuction("linear")
AGENTS = """
name: plan
agents:
  - {name: A, distribution: {x: 1}}
  - {name: B, distribution: {y: 1}}
"""
SWEEP = (
    AGENTS
    + """
queries: [q, r]
auction: {aggregation: [linear, log_linear]}
sweep: {agent: A, relative_weight: [0, 1], seeds: [7, 3]}
"""
)


@pytest.fixture
def sweep(read: Reader) -> Experiment:
    """2 queries x 2 seeds x 2 rules x 2 points."""
    return read(SWEEP)


def cell(seed: int = 0, bids: tuple[float, ...] = (1, 1), query: str = "") -> Cell:
    return Cell(query, LINEAR, 0, None, bids, seed)


def test_a_cell_is_named_by_the_hash_of_its_canonical_json() -> None:
    canonical = '["vacations in Zürich","linear",[0.5,2.0],3]'
    expected = hashlib.sha256(canonical.encode()).hexdigest()[:12]
    assert Cell("vacations in Zürich", LINEAR, 4, 0.2, (0.5, 2), 3).id == expected
    assert cell().id == "ad6b4181ae85"  # written down: a changed identity would orphan every run on disk


def test_what_tells_cells_apart() -> None:
    by_another_rule = Cell("", TokenAuction("log_linear"), 0, None, (1, 1), 0)
    different = [cell(), cell(seed=1), cell(bids=(1, 2)), cell(query="q"), by_another_rule]
    assert len({c.id for c in different}) == 5
    assert cell(bids=(1, 1)).id == cell(bids=(1.0, 1.0)).id
    assert Cell("", LINEAR, 5, 0.3, (1, 1), 0).id == cell().id  # the number of the point is no part of it


def test_who_writes_is_part_of_a_cell() -> None:
    """A rule, a mechanism and what writes candidates may have one name."""
    mechanisms = (
        LINEAR,
        Candidate("linear"),
        MechanismChoice("linear", {}, 0, ""),
        MechanismChoice("linear", {"tau": 1}, 0, ""),
    )
    cells = [Cell("", mechanism, 0, None, (1, 1), 0) for mechanism in mechanisms]
    assert len({cell.id for cell in cells}) == len(set(cells)) == 4
    assert [cell.rule.get("mechanism") for cell in cells] == [None, "linear", "linear", "linear"]
    assert [cell.rule["aggregation"] for cell in cells] == ["linear", "", "", ""]


def test_a_query_of_lone_surrogates_has_an_identity() -> None:
    assert cell(query="\ud800").id != cell(query="\ud801").id


def test_cells_are_ordered_by_query_seed_rule_and_point(sweep: Experiment) -> None:
    cells = cells_of(sweep)
    assert [(c.query, c.seed, c.mechanism.name, c.bids) for c in cells] == [
        (query, seed, rule, bids)
        for query in ("q", "r")
        for seed in (7, 3)
        for rule in ("linear", "log_linear")
        for bids in ((0, 2), (2, 0))
    ]
    assert [c.relative_weight for c in cells[:2]] == [0, 1]


def test_equal_points_are_one_cell(read: Reader) -> None:
    """A text that is written once counts once, or intervals would be too narrow."""
    experiment = read(AGENTS + "sweep: {agent: A, bids: [{A: 1}, {A: 2}, {B: 1}], seeds: 2}")
    assert [(c.seed, c.point) for c in cells_of(experiment)] == [(0, 0), (0, 1), (1, 0), (1, 1)]


def test_one_agent_without_a_sweep_is_one_cell(read: Reader) -> None:
    (only,) = cells_of(read("name: one\nagents: [{name: A, distribution: {x: 1}}]\n"))
    assert (only.bids, only.relative_weight, only.seed) == ((1.0,), 1.0, 0)


def sizes(plan: Plan) -> list[int]:
    return [len(wave) for wave in plan.waves]


@pytest.mark.parametrize(
    ("most", "expected"),
    [
        (16, [16]),
        (15, [12, 4]),  # blocks of one query and seed have 4 cells and stay whole
        (8, [8, 8]),
        (7, [4, 4, 4, 4]),
        (3, [3, 1, 3, 1, 3, 1, 3, 1]),  # a block larger than a wave is cut; no other fits beside its rest
    ],
)
def test_waves(sweep: Experiment, monkeypatch: pytest.MonkeyPatch, most: int, expected: list[int]) -> None:
    monkeypatch.setattr(plan_module, "CELLS_PER_WAVE", most)
    plan = make_plan(sweep, 100, is_batch_invariant=True)
    assert list(plan.cells) == cells_of(sweep)
    assert sizes(plan) == expected


def test_waves_are_smaller_where_they_are_repeated_whole(sweep: Experiment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan_module, "CELLS_PER_WHOLE_WAVE", 4)
    assert sizes(make_plan(sweep, 100, is_batch_invariant=True)) == [16]
    assert sizes(make_plan(sweep, 100, is_batch_invariant=False)) == [4, 4, 4, 4]


def test_no_more_lanes_than_cells(sweep: Experiment) -> None:
    assert make_plan(sweep, 100, is_batch_invariant=True).slots == 16
    assert make_plan(sweep, 3, is_batch_invariant=True).slots == 3


def a_plan(*, whole_waves: bool) -> Plan:
    """Waves of 3, 3 and 1 cells."""
    cells = tuple(cell(seed) for seed in range(7))
    return Plan((cells[:3], cells[3:6], cells[6:]), 2, whole_waves)


def seeds(plan: Plan) -> list[list[int]]:
    return [[c.seed for c in wave] for wave in plan.waves]


@pytest.mark.parametrize(
    ("wanted", "one_by_one", "whole"),
    [
        ([0], [[0]], [[0, 1, 2]]),
        ([0, 1, 2], [[0, 1, 2]], [[0, 1, 2]]),
        ([3, 0], [[0], [3]], [[0, 1, 2], [3, 4, 5]]),
        ([1, 2, 6], [[1, 2], [6]], [[0, 1, 2], [6]]),
        ([], [], []),
        (range(99), [[0, 1, 2], [3, 4, 5], [6]], [[0, 1, 2], [3, 4, 5], [6]]),
    ],
)
def test_some_cells_alone(wanted: Sequence[int], one_by_one: list[list[int]], whole: list[list[int]]) -> None:
    """Or whole waves; how many advance together stays."""
    ids = {cell(seed).id for seed in wanted}
    assert seeds(a_plan(whole_waves=False).only(ids)) == one_by_one
    assert seeds(a_plan(whole_waves=True).only(ids)) == whole
    assert a_plan(whole_waves=True).only(ids).slots == 2


def test_a_plan_of_nothing() -> None:
    """Where every text is known there is none to write."""
    assert plan_of([], 8, is_batch_invariant=True).waves == ()
