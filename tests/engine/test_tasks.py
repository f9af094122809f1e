"""Plans are cut into tasks of whole blocks, as long as they should take."""

from __future__ import annotations

import pytest
from conftest import Reader

from tokenauction_cli.engine.plan import Plan, cells_of, make_plan
from tokenauction_cli.engine.tasks import LEAST_SECONDS, TARGET_SECONDS, Task, Tasks

EXPERIMENT = """name: t
queries: [a, b]
agents:
  - {name: A, distribution: {x: 0.5, y: 0.5}}
  - {name: B, distribution: {x: 0.5, y: 0.5}}
sweep: {relative_weight: [0.2, 0.5, 0.8], seeds: 100}
"""


@pytest.fixture
def plan(read: Reader) -> Plan:
    """600 cells in 200 blocks of 3."""
    return make_plan(read(EXPERIMENT), 64, is_batch_invariant=True)


def all_of(tasks: Tasks, n_workers: int = 2) -> list[Task]:
    return list(iter(lambda: tasks.next(n_workers), None))


def test_every_cell_is_in_one_task_and_no_block_is_cut(plan: Plan, read: Reader) -> None:
    tasks = all_of(Tasks(plan))
    assert [cell for task in tasks for cell in task.cells] == cells_of(read(EXPERIMENT))
    assert all(len({(cell.query, cell.seed) for cell in block}) == 1 for task in tasks for block in task.blocks)
    assert all(len(block) == 3 for task in tasks for block in task.blocks)


def test_a_task_takes_the_seconds_that_it_should(plan: Plan) -> None:
    tasks = Tasks(plan, seconds_per_cell=TARGET_SECONDS / 30)
    first = tasks.next(1)
    assert first is not None
    assert len(first.cells) == 30
    tasks.took(30, TARGET_SECONDS / 3)  # three times as fast: the mean is twice as fast
    second = tasks.next(1)
    assert second is not None
    assert len(second.cells) == 60


def test_tasks_shrink_towards_the_end(plan: Plan) -> None:
    rate = 600 / LEAST_SECONDS / 10  # the shortest task has 60 cells, the longest could have all
    sizes = [len(task.cells) for task in all_of(Tasks(plan, 1 / rate))]
    assert sizes == [99, 81, 69, 60, 60, 60, 60, 60, 51]


def test_whole_waves_are_tasks_where_batches_matter(read: Reader) -> None:
    plan = make_plan(read(EXPERIMENT), 64, is_batch_invariant=False)
    assert [tuple(task.cells) for task in all_of(Tasks(plan), 50)] == list(plan.waves)


def test_the_blocks_of_a_task_that_failed_are_tried_alone(plan: Plan) -> None:
    tasks = Tasks(plan)
    failed = tasks.next(2)
    assert failed is not None
    assert tasks.part(failed)
    alone = [tasks.next(2) for _ in failed.blocks]
    assert alone == [Task((block,)) for block in failed.blocks]
    assert not tasks.part(Task((failed.blocks[0],)))
    assert Task((failed.blocks[0],)).in_words == "query 'a', seed 0"
