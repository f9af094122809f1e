"""What a worker returns, checked before it is stored: from a stranger's process it may be anything."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

from pydantic import TypeAdapter, ValidationError

from ..engine.running.agreement import disagreement
from ..experiment.experiment import Experiment
from ..experiment.format.values import shown
from ..runs.record_schema import RecordError, in_words
from ..runs.record_schema import checked as checked_record
from ..runs.run_folder import Record
from .tasks import Task

LEFT = "it was asked to stop"


class Written(NamedTuple):
    """What became of a task. `build` tells what computes there; `error` why it ended early, '' where it did not."""

    worker: str
    build: Mapping[str, str]
    records: Sequence[Record] = ()
    n_tokens: int = 0
    n_evaluations: int = 0
    seconds: float = 0.0
    notes: Sequence[str] = ()
    error: str = ""
    is_unfit: bool = False  # the error is the worker's: none of its tasks can be written


class Nonsense(NamedTuple):
    """What a worker has returned instead."""

    worker: str
    why: str


class NonsenseError(ValueError):
    """This is not what a task returns: what it is instead."""


def checked(answer: object, task: Task, experiment: Experiment) -> Written:
    """The answer itself, where it may be stored: records of this task's cells, each once. Raises NonsenseError."""
    if not isinstance(answer, Written):
        raise NonsenseError(f"{shown(answer)} and no records")
    try:
        _schema().validate_python(answer, strict=True)
    except ValidationError as error:
        raise NonsenseError(in_words(error)) from None
    counted = answer.n_tokens, answer.n_evaluations, answer.seconds
    if not all(math.isfinite(number) and number >= 0 for number in counted):
        raise NonsenseError(f"counts that cannot be: {counted}")
    problem_of = disagreement(experiment, task.cells)
    for record in answer.records:
        if problem := _problem(record) or problem_of(record):
            raise NonsenseError(f"a wrong text: {problem}")
    if len({record["cell"] for record in answer.records}) < len(answer.records):
        raise NonsenseError("a text twice")
    return answer


def _problem(record: Record) -> str | None:
    try:
        checked_record(record)
    except RecordError as error:
        return str(error)
    return None


@cache
def _schema() -> TypeAdapter[Any]:
    return TypeAdapter(Written)
