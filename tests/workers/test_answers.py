"""What a worker may return: records of its task's cells are kept, anything else is that worker's failure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenauction_cli import api
from tokenauction_cli.engine.plan import cells_of
from tokenauction_cli.experiment.experiment import Experiment, load_experiment
from tokenauction_cli.runs.run_folder import Record
from tokenauction_cli.workers.answers import NonsenseError, Written, checked
from tokenauction_cli.workers.tasks import Task

EXPERIMENT = """name: t
agents:
  - {name: A, distribution: {x: 0.5, y: 0.3, z: 0.2}}
  - {name: B, distribution: {x: 0.2, y: 0.2, z: 0.6}}
auction: {max_tokens: 3}
sweep: {relative_weight: [0.2, 0.8], seeds: 2}
"""
Truth = tuple[Experiment, Task, list[Record]]
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.binary(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> Truth:
    """An experiment, a task of its first two seeds and the records of that."""
    folder = tmp_path_factory.mktemp("answers")
    (folder / "t.yaml").write_text(EXPERIMENT)
    experiment = load_experiment(folder / "t.yaml")
    records = api.run(folder / "t.yaml", folder / "results").folder.records()
    cells = tuple(cells_of(experiment)[:2])
    return experiment, Task((cells,)), [records[cell.id] for cell in cells]


def answer(records: Any, **changes: Any) -> Written:
    return Written("w", {"passes": "p"}, records, 6, 6, 0.1)._replace(**changes)


def test_the_truth_is_kept(truth: Truth) -> None:
    experiment, task, records = truth
    for some in (records, records[:1], [], tuple(records)):
        assert checked(answer(some), task, experiment).records == some


LIES: list[tuple[str, Callable[[Truth], Any]]] = [
    ("None|nothing", lambda truth: None),
    ("'records'", lambda truth: "records"),
    ("a list", lambda truth: truth[2]),
    ("a list", lambda truth: tuple(answer(truth[2]))),
    ("records is", lambda truth: answer(None)),
    ("a text twice", lambda truth: answer([truth[2][0], truth[2][0]])),
    ("none of this experiment", lambda truth: answer([{**truth[2][0], "cell": "0123456789ab"}])),
    ("seed is 7", lambda truth: answer([{**truth[2][0], "seed": 7}])),
    ("bid.a is 3", lambda truth: answer([{**truth[2][0], "bid.a": 3.0}])),
    ("query is 'other'", lambda truth: answer([{**truth[2][0], "query": "other"}])),
    ("text is 5", lambda truth: answer([{**truth[2][0], "text": 5}])),
    ("a wrong text: text is", lambda truth: answer([{**truth[2][0], "text": "\ud800"}])),
    ("tokens is -1", lambda truth: answer([{**truth[2][0], "tokens": -1}])),
    ("counts that cannot be", lambda truth: answer(truth[2], n_tokens=-1)),
    ("counts that cannot be", lambda truth: answer(truth[2], seconds=float("nan"))),
    ("build", lambda truth: answer(truth[2], build={1: 2})),
    ("notes", lambda truth: answer(truth[2], notes=[3])),
    ("error", lambda truth: answer(truth[2], error=None)),
    ("is_unfit", lambda truth: answer(truth[2], is_unfit=1)),
    ("worker", lambda truth: answer(truth[2], worker=b"w")),
]


@pytest.mark.parametrize(("why", "lie"), LIES)
def test_a_lie_is_named(truth: Truth, why: str, lie: Callable[[Truth], Any]) -> None:
    experiment, task, _ = truth
    with pytest.raises(NonsenseError, match=why):
        checked(lie(truth), task, experiment)


@given(st.data())
def test_whatever_is_returned_is_kept_or_refused(truth: Truth, data: st.DataObject) -> None:
    """Any value at any place of an answer or of a record: nothing but NonsenseError, and what is kept is a record."""
    experiment, task, records = truth
    place = data.draw(st.sampled_from(["the whole", *Written._fields, *records[0], "a new column"]))
    value = data.draw(ANYTHING)
    changed: Any = value
    if place in Written._fields:
        changed = answer(records)._replace(**{place: value})
    elif place != "the whole":
        changed = answer([{**records[0], place: value}, records[1]])
    try:
        kept = checked(changed, task, experiment)
    except NonsenseError:
        return
    assert {record["cell"] for record in kept.records} <= {cell.id for cell in task.cells}
