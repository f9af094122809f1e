"""An experiment from plain data, as YAML would give it: mistakes name the path of the key, not a line."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import Any

from ..system.errors import ExperimentError, Problem
from .checks.expectation_checks import FigureNames
from .experiment import Experiment
from .reader import read_experiment
from .source.located_yaml import MAX_DEPTH, KeyPath, Node, Place, load_yaml

_WHOLE = "the experiment"
_TO_ESCAPE = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")  # JSON does not, YAML does


def experiment_from(
    data: Mapping[str, Any],
    overrides: Sequence[str] = (),
    trust: Sequence[str] = (),
    figures: FigureNames | None = None,
) -> Experiment:
    """The experiment that a file with this data would describe; relative paths in it start in the current folder.

    Raises ExperimentError with every mistake at once, each at the path of its key: `agents.0.bid`.
    """
    problems: list[Problem] = []
    plain = _plain(data, (), problems)
    if problems:
        raise ExperimentError(problems)
    written = json.dumps(plain, ensure_ascii=False, indent=2) + "\n"
    text = _TO_ESCAPE.sub(lambda sign: f"\\u{ord(sign.group()):04x}", written).encode()
    try:
        sections = read_experiment(text, _WHOLE, overrides, trust, figures)
    except ExperimentError as error:
        raise ExperimentError(_at_paths(error.problems, text)) from None
    places = tuple(_at_paths(sections.expect_places, text))
    return Experiment.of(sections._replace(expect_places=places), Path("experiment"), text)


def _plain(value: Any, path: KeyPath, problems: list[Problem]) -> Any:
    """The value as JSON has it; tuples are lists, numbers of NumPy are numbers, a path is text."""
    if len(path) > MAX_DEPTH:
        problems.append(Problem(_named(path[:3]), 0, 0, f"nested too deeply: at most {MAX_DEPTH} levels are read"))
        return None
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str) or _is_half_a_sign(key):
                problems.append(Problem(_named(path), 0, 0, f"a key must be text, got {key!r:.100}"))
        return {str(key): _plain(item, (*path, str(key)), problems) for key, item in value.items()}
    if isinstance(value, (list, tuple, range)) or type(value).__name__ == "ndarray":
        return [_plain(item, (*path, k), problems) for k, item in enumerate(value)]
    if isinstance(value, str) and _is_half_a_sign(value):
        problems.append(Problem(_named(path), 0, 0, f"not text: half of a surrogate pair in {value!r:.100}"))
        return None
    if value is None or isinstance(value, (str, bool)):
        return value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real) and math.isfinite(value):
        return float(value)
    problems.append(
        Problem(_named(path), 0, 0, f"expected text, a finite number, a list or a mapping, got {value!r:.100}")
    )
    return None


def _is_half_a_sign(text: str) -> bool:
    """Whether half of a surrogate pair stands in a text."""
    return not text.isascii() and any("\ud800" <= sign <= "\udfff" for sign in text)


def _at_paths(problems: Sequence[Problem], text: bytes) -> list[Problem]:
    """The same problems, where their line and column stood for a key or a value of this text."""
    try:
        root = load_yaml(text, _WHOLE).node(())
    except ExperimentError:  # it cannot be read at all
        return list(problems)
    names = {place: _named(path) for place, path in _places(root, ())}
    return [
        Problem(names.get(Place(problem.line, problem.column), problem.file), 0, 0, problem.message)
        for problem in problems
    ]


def _places(node: Node, path: KeyPath) -> Iterator[tuple[Place, KeyPath]]:
    """Where each key and value stands: in JSON no two stand at the same place."""
    yield node.place, path
    steps = node.value if isinstance(node.value, dict) else range(len(node.children()))
    for step, child in zip(steps, node.children(), strict=True):
        if isinstance(step, str):
            yield node.key_places[step], (*path, step)
        yield from _places(child, (*path, step))


def _named(path: KeyPath) -> str:
    """As -S writes it."""
    return ".".join(map(str, path)) or _WHOLE
