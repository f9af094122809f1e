"""Plans are cut into tasks of whole blocks, as long as they should take."""

from __future__ import annotations

import pytest
from conftest import Reader

from tokenauction_cli.engine.plan import Plan, cells_of, make_plan
from tokenauction_cli.workers.tasks import LEAST_SECONDS, MOST_SECONDS, TARGET_SECONDS, Task, Tasks

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


def sizes(tasks: Tasks, n_workers: int = 2) -> list[int]:
    return [len(task.cells) for task in all_of(tasks, n_workers)]


def test_a_query_is_whole_while_there_are_as_many_as_workers_and_then_cut_into_equal_parts(read: Reader) -> None:
    plan = make_plan(read(EXPERIMENT.replace("[a, b]", "[a, b, c]")), 64, is_batch_invariant=True)
    assert sizes(Tasks(plan, TARGET_SECONDS / 300)) == [300, 300, 150, 150]
    assert sizes(Tasks(plan, TARGET_SECONDS / 300), 3) == [300, 150, 150, 99, 99, 102]
    assert sizes(Tasks(plan, TARGET_SECONDS / 300), 5) == [150, 150, 99, 99, 102, 60, 60, 60, 60, 60]


def test_short_queries_are_joined_until_a_task_takes_the_seconds_that_it_should(read: Reader) -> None:
    text = EXPERIMENT.replace("[a, b]", "[a, b, c, d, e, f, g, h]").replace("seeds: 100", "seeds: 10")
    plan = make_plan(read(text), 64, is_batch_invariant=True)
    assert sizes(Tasks(plan, TARGET_SECONDS / 70)) == [60, 60, 60, 30, 15, 15]
    assert sizes(Tasks(plan, TARGET_SECONDS / 70), 1) == [60, 60, 60, 60]


def test_a_long_query_is_cut_by_what_tasks_took(plan: Plan) -> None:
    tasks = Tasks(plan, seconds_per_cell=MOST_SECONDS / 30)
    first = tasks.next(1)
    assert first is not None
    assert len(first.cells) == 30
    tasks.took(30, MOST_SECONDS / 3)  # three times as fast: the mean is twice as fast
    second = tasks.next(1)
    assert second is not None
    assert len(second.cells) == 54  # of 270 left, in equal parts of at most 60


def test_no_task_is_shorter_than_it_is_worth(plan: Plan) -> None:
    assert sizes(Tasks(plan, LEAST_SECONDS / 60), 50) == [60] * 10


def test_whole_waves_are_tasks_where_batches_matter(read: Reader) -> None:
    plan = make_plan(read(EXPERIMENT), 64, is_batch_invariant=False)
    assert [tuple(task.cells) for task in all_of(Tasks(plan), 50)] == list(plan.waves)


def test_what_is_left_of_a_task(plan: Plan) -> None:
    task = Tasks(plan).next(100)
    assert task is not None
    first, second, *_ = task.blocks
    left = task.without({*(cell.id for cell in first), second[1].id})
    assert left.blocks == ((second[0], second[2]), *task.blocks[2:])
    assert task.without({cell.id for cell in task.cells}).blocks == ()


def test_the_blocks_of_a_task_that_failed_are_tried_alone(plan: Plan) -> None:
    tasks = Tasks(plan)
    failed = tasks.next(2)
    assert failed is not None
    assert tasks.part(failed)
    alone = [tasks.next(2) for _ in failed.blocks]
    assert alone == [Task((block,)) for block in failed.blocks]
    assert not tasks.part(Task((failed.blocks[0],)))
    assert Task((failed.blocks[0],)).in_words == "query 'a', seed 0"
