"""Who wrote what, as manifests keep it."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from conftest import Reader
from hypothesis import given
from hypothesis import strategies as st

from tokenauction_cli.engine.plan import make_plan
from tokenauction_cli.runs.written_by import WrittenBy, in_turns, worker_of_blocks
from tokenauction_cli.verify.verification import _sample

EXPERIMENT = """name: t
queries: [a, b]
agents: [{name: A, distribution: {x: 0.5, y: 0.5}}]
sweep: {seeds: 100}
"""


def test_seeds_are_ranges() -> None:
    written = WrittenBy(set(range(100)))
    written.add("w", [{"query": "q", "seed": seed} for seed in (3, 0, 1, 1, 2, 7, 123_456)], 0.25)
    written.add("w", [{"query": "q", "seed": 8}, {"query": "r", "seed": 5}], 0.5)
    assert written.plain == {"w": {"cells": 9, "seconds": 0.75, "blocks": {"q": "0-3,7-8", "r": "5"}}}


@given(st.lists(st.lists(st.tuples(st.sampled_from("qr"), st.integers(0, 30)), max_size=20), max_size=5))
def test_what_a_manifest_keeps_is_read_back(tasks: list[list[tuple[str, int]]]) -> None:
    written, expected = WrittenBy(set(range(20))), dict[tuple[str, int], str]()
    for k, task in enumerate(tasks):
        written.add(f"w{k}", [{"query": query, "seed": seed} for query, seed in task], 0.0)
        expected |= {block: f"w{k}" for block in task if block[1] < 20}
    assert worker_of_blocks({"sessions": [{}, {"workers": written.plain}]}, set(range(20))) == expected


@pytest.mark.parametrize("workers", [[], {"w": 3}, {"w": {}}, {"w": {"blocks": 3, "cells": 9}}, {"w": {"blocks": []}}])
def test_what_others_wrote_into_a_manifest_is_passed_over(workers: Any) -> None:
    """Versions before this one counted the blocks."""
    assert worker_of_blocks({"sessions": [{"workers": workers}]}, {0}) == {}


def test_ranges_cost_no_more_than_there_are_seeds() -> None:
    blocks = {"q": "0-99999999999999999,x,7,-3,4-2", "r": 5, "s": None}
    found = worker_of_blocks({"sessions": [{"workers": {"w": {"blocks": blocks}}}]}, {1, 5})
    assert found == {("q", 1): "w", ("q", 5): "w", ("r", 5): "w"}


def test_workers_come_in_turns() -> None:
    assert in_turns([(1, "a"), (2, "a"), (3, "b"), (4, "a"), (5, "")]) == [1, 3, 5, 2, 4]


def test_a_sample_has_cells_of_all_workers(read: Reader) -> None:
    plan = make_plan(read(EXPERIMENT), 8, is_batch_invariant=True)
    workers = {("a", seed): "rare" for seed in range(2)} | {("b", seed): "often" for seed in range(100)}
    sample = _sample(plan, {cell.id for cell in plan.cells}, 6, workers)
    assert Counter(workers.get((cell.query, cell.seed), "") for cell in sample.cells) == {"rare": 2, "often": 2, "": 2}
