"""A matrix of experiments: every combination of the values that some keys of a file shall have.

A member is an experiment of its own: its file without `matrix`, with one value laid at each key, as -S would lay it. So
it is the same run whether it is one of a matrix or not. The last key varies fastest.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

from ..system.errors import ExperimentError, Problem
from ..system.wording import did_you_mean
from .checks.expectation_checks import FigureNames
from .experiment import NO_EFFECT_ON_RECORDS, Experiment, read_file
from .format.values import shown
from .reader import read_experiment
from .source.located_yaml import parse_value
from .source.source import Laid, Source

MOST_MEMBERS = 200
_NAMED = {"value", "name"}


class Axis(NamedTuple):
    """A key that varies, and its values with their names and places."""

    key: str
    values: tuple[Laid, ...]


@dataclass(frozen=True, eq=False)
class Member:
    """One experiment of a matrix, and what its values are called, by key."""

    names: tuple[str, ...]
    experiment: Experiment


@dataclass(frozen=True, eq=False)
class Matrix:
    """Experiments that differ in the values of some keys."""

    name: str
    path: Path
    keys: tuple[str, ...]
    members: tuple[Member, ...]

    def label(self, member: Member) -> str:
        """As in `models.of_beta gemma3-270m, agents.0.temperature 1`."""
        return ", ".join(f"{key} {name}" for key, name in zip(self.keys, member.names, strict=True))

    @property
    def folder(self) -> str:
        """Where what is said of all of them lies, beside their runs."""
        members = [self.keys, *((member.names, member.experiment.semantic_hash) for member in self.members)]
        digest = hashlib.sha256(json.dumps(members).encode("ascii")).hexdigest()[:8]
        return f"{self.name}-matrix-{digest}"


def load_matrix(
    path: Path,
    overrides: Sequence[str] = (),
    vary: Sequence[str] = (),
    trust: Sequence[str] = (),
    figures: FigureNames | None = None,
) -> Matrix | None:
    """The matrix of a file and of `KEY=A,B` as after --vary; None where no key varies.

    A key that `overrides` or `vary` name does not vary as the file says. Raises ExperimentError with every mistake.
    """
    text = read_file(path)
    source = Source(text, str(path))
    axes = {axis.key: axis for axis in _axes_of_file(source) if axis.key not in _keys_of(overrides)}
    axes |= {axis.key: axis for axis in map(_axis_of_option, vary)}
    _check(source, list(axes.values()))
    if not axes:
        return None
    members: list[Member] = []
    problems: list[Problem] = []
    for laid in product(*(axis.values for axis in axes.values())):
        try:
            sections = read_experiment(text, str(path), overrides, trust, figures, laid=laid)
        except ExperimentError as error:
            problems += error.problems
        else:
            members.append(Member(tuple(one.name for one in laid), Experiment.of(sections, path, text)))
    if problems:
        raise ExperimentError(problems)
    _check_apart(source, members)
    return Matrix(members[0].experiment.name, path, tuple(axes), tuple(members))


def _keys_of(overrides: Sequence[str]) -> set[str]:
    return {override.partition("=")[0] for override in overrides}


def _axes_of_file(source: Source) -> Iterator[Axis]:
    section = source.get("matrix")
    if section is not None and not isinstance(section, dict):
        source.problem(("matrix",), f"expected a mapping of keys to lists of values, got {shown(section)}")
        section = None
    for key, values in (section or {}).items():
        if not isinstance(values, list) or not values:
            source.problem(("matrix", key), f"expected a list of values for {key}, got {shown(values)}")
            continue
        yield Axis(key, tuple(_laid(key, value, source.place(("matrix", key, k))) for k, value in enumerate(values)))


def _axis_of_option(option: str) -> Axis:
    """Of KEY=A,B; raises ExperimentError."""
    key, equals, text = option.partition("=")
    place = Problem(f"--vary {option}", 0, 0, "")
    values = parse_value(f"[{text}]", place.file) if equals and key else None
    if not isinstance(values, list) or not values:
        message = "expected KEY=A,B, such as agents.alpha.temperature=0.6,1; a value that is a list stands in brackets"
        raise ExperimentError([Problem(place.file, 0, 0, message)])
    return Axis(key, tuple(_laid(key, value, place) for value in values))


def _laid(key: str, value: Any, place: Problem) -> Laid:
    if isinstance(value, Mapping) and value.keys() == _NAMED:
        return Laid(key, value["value"], str(value["name"]), place)
    return Laid(key, value, value if isinstance(value, str) else _in_words(value), place)


def _in_words(value: Any) -> str:
    """As it is written in a file, on one line."""
    if isinstance(value, list):
        return f"[{', '.join(map(_in_words, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_in_words(one)}" for key, one in value.items()) + "}"
    return json.dumps(value, ensure_ascii=False) if not isinstance(value, str) else value


def _check(source: Source, axes: Sequence[Axis]) -> None:
    """Raises ExperimentError for keys that cannot vary, and for more members than there may be."""
    n_members = 1
    for axis in axes:
        place, n_members = axis.values[0].place, n_members * len(axis.values)
        names = [one.name for one in axis.values]
        twice = next((name for k, name in enumerate(names) if name in names[:k]), None)
        if why := _why_not(source, axis.key):
            source.problems.append(replace(place, message=why))
        elif twice is not None:
            message = f"{axis.key}: the value {twice} is here twice; give one of them a name: {{value: ..., name: ...}}"
            source.problems.append(replace(place, message=message))
    if n_members > MOST_MEMBERS:
        message = f"expected at most {MOST_MEMBERS} combinations, got {n_members:,}"
        source.problems.append(replace(axes[-1].values[0].place, message=message))
    if source.problems:
        raise ExperimentError(source.problems)


def _why_not(source: Source, key: str) -> str:
    """Why a key cannot vary, '' where it can."""
    first, _, rest = key.partition(".")
    if first in (*NO_EFFECT_ON_RECORDS, "matrix"):
        return (
            f"{key} cannot vary: the key {first} does not change the texts, so all members would have one run folder; "
            f"leave it out, and set it with -S"
        )
    models = source.get("models")
    if first == "models" and rest and not (isinstance(models, dict) and rest in models):
        near = did_you_mean(rest, list(models) if isinstance(models, dict) else [])
        return f"{key}: `models` has no key {shown(rest)}{near}"
    return ""


def _check_apart(source: Source, members: Sequence[Member]) -> None:
    """Raises ExperimentError where two members are one experiment."""
    known: dict[str, Member] = {}
    for member in members:
        other = known.setdefault(member.experiment.semantic_hash, member)
        if other is not member:
            one, two = (", ".join(each.names) for each in (other, member))
            source.problem(("matrix",), f"the members ({one}) and ({two}) are one experiment: vary what changes texts")
    if source.problems:
        raise ExperimentError(source.problems)
