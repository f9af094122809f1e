"""There is one tree of errors, its drawing is true, and every error survives the way between processes."""

from __future__ import annotations

import pickle
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tokenauction_cli.mechanism.audit.finding import AuditError
from tokenauction_cli.mechanism.distributions import MechanismError, Profile
from tokenauction_cli.system import errors
from tokenauction_cli.system.errors import (
    CellError,
    ExperimentError,
    ModelError,
    Problem,
    PromptError,
    TemplateMistake,
    TokauctionError,
)

PACKAGE = Path(errors.__file__).parents[1]


def tree(kind: type[TokauctionError], depth: int = 0) -> Iterator[tuple[int, str, int]]:
    yield depth, kind.__name__, kind.exit_code
    for below in kind.__subclasses__():
        if below.__module__ == errors.__name__:
            yield from tree(below, depth + 1)


def drawn() -> Iterator[tuple[int, str, int]]:
    assert errors.__doc__
    for bars, name, code in re.findall(r"^([|` -]*)(\w+) +exit (\d)", errors.__doc__, flags=re.MULTILINE):
        yield len(bars) // 4, name, int(code)


def test_the_drawing_is_the_tree() -> None:
    assert sorted(drawn()) == sorted(tree(TokauctionError))


def test_the_tree_is_in_one_file() -> None:
    names = {name for _, name, _ in tree(TokauctionError)}
    for path in PACKAGE.rglob("*.py"):
        for bases in re.findall(r"^class \w+\((.*)\)", path.read_text("utf-8"), flags=re.MULTILINE):
            assert path.name == "errors.py" or not names & set(re.findall(r"\w+", bases)), path


@pytest.mark.parametrize("kind", [AuditError, MechanismError])
def test_errors_of_arrays_are_value_errors_too(kind: type[Exception]) -> None:
    assert issubclass(kind, ValueError)
    assert issubclass(kind, TokauctionError)


def test_bids_without_an_outcome_fail_a_cell() -> None:
    with pytest.raises(CellError, match="row 1: probabilities must sum to 1"):
        Profile.of([[1, 0], [0.5, 0]])


@pytest.mark.parametrize(
    "error",
    [
        CellError("no token", cell="0123456789ab", agent="Ann"),
        ModelError("m.gguf: broken", file=Path("m.gguf")),
        MechanismError("all bids are zero"),
        ExperimentError([Problem("e.yaml", 2, 1, "no agents"), Problem("e.yaml", 1, 1, "no name")]),
        PromptError(TemplateMistake(2, "'x' is undefined")),
    ],
)
def test_an_error_keeps_its_words_and_its_place_between_processes(error: TokauctionError) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert str(copy) == str(error)
    assert vars(copy) == vars(error)


def test_a_file_of_mistakes_is_named() -> None:
    error = ExperimentError([Problem("e.yaml", 2, 1, "no agents")])
    assert (error.file, str(error)) == ("e.yaml", "e.yaml:2:1: no agents")
