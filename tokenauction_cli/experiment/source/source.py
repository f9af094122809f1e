"""The data of an experiment file with the `-S key.path=value` overrides laid over it, and where each part came from."""

from __future__ import annotations

import copy
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from ...system.errors import ExperimentError, Problem
from .located_yaml import KeyPath, load_yaml, parse_value

RESERVED_IDS = ("low", "high")
"""Names of no agent and of no judge: those of an interval's ends in summary.csv."""


class Laid(NamedTuple):
    """A value that a matrix lays at a key, what it is called, and where it stands: a problem without a message."""

    key: str
    value: Any
    name: str
    place: Problem


class Source:
    """Plain data to read from, and `problem` to say what is wrong at a path of it."""

    def __init__(self, text: bytes, file: str, overrides: Sequence[str] = (), laid: Sequence[Laid] = ()) -> None:
        self._located = load_yaml(text, file)
        self.file = file
        self.data: dict[str, Any] = self._located.value
        self.problems: list[Problem] = self._located.problems
        self._overridden: dict[KeyPath, Problem] = {}
        self._expect: list[int] | None = None  # the places in the file of the expectations that are left
        self._rows: dict[KeyPath, str] = {}  # where each row of another file stands
        for override in overrides:
            self._apply(override)
        for one in laid:
            self._lay(one.key, one.value, one.place)

    def trust(self, modules: Sequence[str]) -> None:
        """Lay the modules of --trust beside those of the file."""
        given = self.data.get("trust") or []
        if isinstance(given, list):
            self.data["trust"] = [*given, *modules]
            for k, module in enumerate(modules, start=len(given)):
                self._overridden[("trust", k)] = Problem(f"--trust {_one_line(module)}", 0, 0, "")

    def lay_rows(self, key: str, file: str, rows: list[dict[str, Any]], lines: Sequence[int]) -> None:
        """Put the rows of another file in the place of the value at a key."""
        self.data[key] = rows
        self._rows = {(key, i): f"{file}:{line}" for i, line in enumerate(lines)}

    def get(self, *path: str | int) -> Any:
        """The value at a path, None where there is none."""
        value: Any = self.data
        for step in path:
            if isinstance(value, dict):
                value = value.get(step)
            elif isinstance(value, list) and isinstance(step, int) and step < len(value):
                value = value[step]
            else:
                return None
        return value

    def _in_file(self, path: KeyPath) -> KeyPath:
        """Where the file has what is at this path."""
        if self._expect is None or path[:1] != ("expect",) or len(path) < 2:
            return path
        return ("expect", self._expect[int(path[1])], *path[2:])

    def problem(self, path: KeyPath, message: str, at_key: bool = False) -> None:
        """A mistake in the value at the path, or in its key."""
        there = self._in_file(path)
        place = self._located.key_place(there) if at_key else self._located.place(there)
        self._add(path, place, message)

    def problem_in_text(self, path: KeyPath, line: int, message: str) -> None:
        """A mistake in one line of the text at the path."""
        self._add(path, self._located.text_place(path, line), message)

    def place(self, path: KeyPath) -> Problem:
        """Where the value at the path stands: a problem that has no message yet."""
        return self._problem(path, self._located.place(self._in_file(path)), "")

    def _add(self, path: KeyPath, place: tuple[int, int], message: str) -> None:
        self.problems.append(self._problem(path, place, message))

    def _problem(self, path: KeyPath, place: tuple[int, int], message: str) -> Problem:
        if path[:2] in self._rows:
            column = f", column {_one_line(str(path[2]))}" if len(path) > 2 else ""
            return Problem(f"{self._rows[path[:2]]}{column}", 0, 0, message)
        for n in range(len(path), 0, -1):
            if path[:n] in self._overridden:
                return replace(self._overridden[path[:n]], message=message)
        return Problem(self.file, *place, message)

    def _apply(self, override: str) -> None:
        place = Problem(f"-S {_one_line(override)}", 0, 0, "")
        key, equals, text = override.partition("=")
        if not equals or not all(key.split(".")):
            self.problems.append(replace(place, message="expected key.path=value, such as agents.alpha.bid=2"))
            return
        try:
            self._lay(key, parse_value(text, place.file), place)
        except ExperimentError as error:
            self.problems.extend(error.problems)

    def _lay(self, key: str, value: Any, place: Problem) -> None:
        """Put a value at a dotted key; `place` is where that is said."""
        try:
            path, made = _put(self.data, key.split("."), copy.deepcopy(value), _labels(self.data.get("agents")))
        except LookupError as error:
            self.problems.append(replace(place, message=str(error.args[0])))
        else:
            self._overridden[made] = self._overridden[path] = place

    def at_key(self, key: str) -> Any:
        """The value at a dotted key, as -S names it; raises LookupError where there is none."""
        here: Any = self.data
        steps = key.split(".")
        path: KeyPath = ()
        while steps:
            step, n_used = _next_step(here, steps, path)
            here, steps, path = here[step], steps[n_used:], (*path, step)
        return here

    def keep_expectations(self, kept: Sequence[int]) -> None:
        """Leave out all others; mistakes in those that are left stand where they stood."""
        self.data["expect"] = [self.data["expect"][k] for k in kept]
        self._expect = list(kept)


def _labels(entries: Any) -> dict[str, int]:
    """The index of every agent by its id and by its name."""
    entries = entries if isinstance(entries, list) else []
    ids, names = default_ids(entries), agent_names(entries)
    return {label: i for labels in (ids, names) for i, label in enumerate(labels) if label}


def _put(data: dict[str, Any], steps: list[str], value: Any, agents: Mapping[str, int]) -> tuple[KeyPath, KeyPath]:
    """Set the value at the dotted path, making mappings on the way: its path, and that of the first that was made.

    Raises LookupError where the path leads nowhere.
    """
    here: Any = data
    path: KeyPath = ()
    made: KeyPath = ()
    while True:
        step, n_used = _next_step(here, steps, path)
        step = _as_written(here, step, agents)
        path += (step,)
        steps = steps[n_used:]
        if not steps:
            here[step] = value
            return path, made or path
        if isinstance(here, dict) and here.get(step) is None:
            here[step] = {}
            made = made or path
        here = here[step]


def _next_step(here: Any, steps: list[str], path: KeyPath) -> tuple[str | int, int]:
    """The key or index that the path means next, and how many of its dotted parts that took (names may have dots)."""
    where = ".".join(str(step) for step in path)
    if isinstance(here, dict):
        joined = (n for n in range(len(steps), 0, -1) if ".".join(steps[:n]) in here)
        n_used = next(joined, 1)
        return ".".join(steps[:n_used]), n_used
    if not isinstance(here, list):
        raise LookupError(f"{where!r} holds a single value, there is no {steps[0]!r} in it")
    for n_used in range(len(steps), 0, -1):
        index = _index_of(here, ".".join(steps[:n_used]))
        if index is not None:
            return index, n_used
    raise LookupError(f"{where!r} has {len(here)} entries; {steps[0]!r} is none of them")


def _as_written(here: Any, step: str | int, agents: Mapping[str, int]) -> str | int:
    """The step, or where a mapping is by agent the key that names the same agent by its other name."""
    if not isinstance(here, dict) or step in here or not all(key in agents for key in here):
        return step
    return next((key for key in here if agents[key] == agents.get(str(step))), step)


def _index_of(entries: list[Any], label: str) -> int | None:
    for key in ("id", "name"):
        for i, entry in enumerate(entries):
            if isinstance(entry, dict) and isinstance(entry.get("name"), str) and _label(entry, key) == label:
                return i
    return (
        int(label) if label.isascii() and label.isdecimal() and len(label) < 9 and int(label) < len(entries) else None
    )


def _label(entry: dict[str, Any], key: str) -> Any:
    return entry.get(key) or (slug(entry["name"]) if key == "id" else None)


def _one_line(text: str) -> str:
    """An option as a message shows it: one short line, control characters escaped."""
    shown = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
    return shown if len(shown) <= 100 else f"{shown[:97]}..."


def slug(name: str) -> str:
    """A name as an id: ASCII, lower case, other signs as `_`; may be empty."""
    ascii_name = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "_", ascii_name.lower()).strip("_")[:100]


def agent_names(entries: Sequence[Any]) -> list[str]:
    """The names as written, empty where there is none."""
    names = [entry.get("name") if isinstance(entry, dict) else None for entry in entries]
    return [name if isinstance(name, str) else "" for name in names]


def default_ids(entries: Sequence[Any]) -> list[str]:
    """The agents' ids: as written, else the slug of the name, else agent1, agent2, ... by position."""
    given = [entry.get("id") if isinstance(entry, dict) else None for entry in entries]
    ids = [i if isinstance(i, str) else slug(name) for i, name in zip(given, agent_names(entries), strict=True)]
    taken = set(ids)
    for i, agent_id in enumerate(ids):
        if not agent_id:
            ids[i] = next(c for n in range(i + 1, i + 2 + len(ids)) if (c := f"agent{n}") not in taken)
            taken.add(ids[i])
    return ids
