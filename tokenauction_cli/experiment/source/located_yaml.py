"""YAML text -> plain Python data that knows where every key and value stands.

The dialect is YAML 1.2's core with nothing that bites: only `true` and `false` are booleans (`no` and `on` are text),
`1e-3` is a number, `1:30` and `2024-01-01` are text, equal keys are a mistake. Files that are broken or built to harm
(deep nesting, anchors that explode) end in a `Problem`. Knows nothing of experiments.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import yaml

from ...system.errors import ExperimentError, Problem

MAX_BYTES = 1_000_000
MAX_DEPTH = 50
MAX_VALUES = 100_000

KeyPath = tuple[str | int, ...]

_PARSER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_UNREADABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_WORDS: dict[str, Any] = {"true": True, "false": False} | dict.fromkeys(("", "~", "null", "Null", "NULL"))
_HINTS = {
    "did not find expected ',' or ']'": "a list opened with '[' is not closed, or a comma is missing",
    "did not find expected ',' or '}'": "a mapping opened with '{' is not closed, or a comma is missing",
    "did not find expected key": "expected a key like the ones above: check the indentation and the quotes",
    "mapping values are not allowed in this context": "a second ': ' on this line: put the text in quotes",
    "could not find expected ':'": "expected 'key: value'",
    "did not find expected <document start>": "the text goes on after the end of the file's mapping",
}


class Place(NamedTuple):
    """Line and column, counted from 1; (0, 0) is no place."""

    line: int
    column: int


NOWHERE = Place(0, 0)


@dataclass(slots=True)
class Node:
    """One value of the file: a scalar, a list of nodes, or a mapping of keys to nodes."""

    value: Any
    place: Place
    style: str | None = None
    key_places: dict[str, Place] = field(default_factory=dict)

    def children(self) -> list[Node]:
        if isinstance(self.value, list):
            return self.value
        return list(self.value.values()) if isinstance(self.value, dict) else []


class Located:
    """The data of one YAML text, and the place of each of its keys and values by path, as in ("agents", 0, "bid")."""

    def __init__(self, file: str, text: str, root: Node, problems: list[Problem]) -> None:
        self.file = file
        self.problems = problems
        self._lines = text.split("\n")
        self._root = root
        self.value = _plain(root)

    def node(self, path: KeyPath) -> Node:
        """The node at the path, or the deepest one on the way to it."""
        node = self._root
        for step in path:
            if not _has(node, step):
                break
            node = node.value[step]
        return node

    def place(self, path: KeyPath) -> Place:
        """Where the value at the path begins; where its nearest ancestor begins when there is none."""
        return self.node(path).place

    def key_place(self, path: KeyPath) -> Place:
        """Where the key of the value at the path stands; for an entry of a list, the entry."""
        parent = self.node(path[:-1])
        return parent.key_places.get(str(path[-1]), self.place(path)) if path else self.place(path)

    def text_place(self, path: KeyPath, line: int) -> Place:
        """Where line `line` (from 1) of the text at the path stands: exact for `|`, the first line for quoted text."""
        node = self.node(path)
        if node.style not in ("|", ">"):
            return node.place
        at = min(node.place.line + line, len(self._lines))
        content = self._lines[at - 1]
        return Place(at, len(content) - len(content.lstrip(" ")) + 1)


def load_yaml(data: bytes, file: str) -> Located:
    """Read one YAML document whose top level is a mapping.

    Raises ExperimentError when the text cannot be read at all; mistakes that leave data behind (equal keys, keys that
    are not text, tags) are in `problems` of the result, to be reported together with those of the reader's own.
    """
    text = _decode(data, file)
    composer = _Composer(file)
    root = composer.document(text)
    if not isinstance(root.value, dict):
        what = "a list" if isinstance(root.value, list) else "a single value"
        composer.fail(root.place, f"expected a mapping (key: value) at the top level, got {what}")
    return Located(file, text, root, composer.problems)


def parse_value(text: str, file: str) -> Any:
    """One value as YAML, for `-S key.path=value`. Raises ExperimentError whose problems have no line."""
    try:
        composer = _Composer(file)
        value = _plain(composer.document(_decode(text.encode("utf-8", "replace"), file), empty_is_null=True))
        problems = composer.problems
    except ExperimentError as error:
        problems = error.problems
    if problems:
        raise ExperimentError([Problem(file, 0, 0, problem.message) for problem in problems])
    return value


def _decode(data: bytes, file: str) -> str:
    if len(data) > MAX_BYTES:
        raise ExperimentError(
            [Problem(file, 0, 0, f"the file has {len(data):,} bytes; at most {MAX_BYTES:,} are read")]
        )
    try:
        text = data.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        place = _place_in(data[: error.start].decode("utf-8"), error.start)
        message = f"the file is not UTF-8: byte {error.start + 1} is 0x{data[error.start]:02x}; save it as UTF-8"
        raise ExperimentError([Problem(file, *place, message)]) from None
    unreadable = _UNREADABLE.search(text)
    if unreadable:
        place = _place_in(text, unreadable.start())
        sign = f"U+{ord(unreadable.group()):04X}"
        message = f"the control character {sign} is not allowed; in double quotes write it as an escape"
        raise ExperimentError([Problem(file, *place, message)])
    return text


def _place_in(text: str, index: int) -> Place:
    before = text[:index]
    return Place(before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1)


class _Composer:
    """Builds nodes from libyaml's events; `problems` collects the mistakes that do not stop it."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.problems: list[Problem] = []
        self._anchors: dict[str, Node] = {}
        self._n_values = 0

    def fail(self, place: Place, message: str) -> None:
        raise ExperimentError([*self.problems, Problem(self.file, *place, message)])

    def note(self, place: Place, message: str) -> None:
        self.problems.append(Problem(self.file, *place, message))

    def document(self, text: str, empty_is_null: bool = False) -> Node:
        try:
            events = yaml.parse(text, Loader=_PARSER)
            next(events)  # the start of the stream
            if isinstance(next(events), yaml.StreamEndEvent):
                if empty_is_null:
                    return Node(None, NOWHERE)
                self.fail(Place(1, 1), "the file is empty; `tokauction init` writes one to start from")
            root = self._node(next(events), events, 0)
            next(events)  # the end of the document
            after = next(events)
            if not isinstance(after, yaml.StreamEndEvent):
                self.fail(_start(after), "a second document begins here ('---'); an experiment is one document")
        except yaml.MarkedYAMLError as error:
            self._fail_to_parse(error, text)
        except yaml.YAMLError as error:
            self.fail(NOWHERE, f"not readable as YAML: {error}")
        return root

    def _fail_to_parse(self, error: yaml.MarkedYAMLError, text: str) -> None:
        mark = error.problem_mark or error.context_mark
        place = Place(mark.line + 1, mark.column + 1) if mark else NOWHERE
        problem = error.problem or "not readable"
        lines = text.split("\n")
        if mark and "\t" in re.match(r"\s*", lines[min(mark.line, len(lines) - 1)]).group():  # type: ignore[union-attr]
            problem = "a tab in the indentation; YAML is indented with spaces"
        context = f" (it begins in line {error.context_mark.line + 1})" if error.context_mark else ""
        self.fail(place, f"not valid YAML: {_HINTS.get(problem, problem)}{context}")

    def _node(self, event: Any, events: Iterator[Any], depth: int) -> Node:
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, depth)
        node = Node(None, _start(event))
        self._count(node, node.place, depth)
        if event.tag not in (None, "!", "tag:yaml.org,2002:str"):
            self.note(node.place, f"tags are not supported, got {event.tag[:80]!r}")
        if isinstance(event, yaml.ScalarEvent):
            node.value, node.style = self._scalar(event), event.style
        elif isinstance(event, yaml.SequenceStartEvent):
            node.value = []
            for inner in _until(yaml.SequenceEndEvent, events):
                node.value.append(self._node(inner, events, depth + 1))
        else:
            self._mapping(node, events, depth)
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        return node

    def _mapping(self, node: Node, events: Iterator[Any], depth: int) -> None:
        node.value = {}
        for inner in _until(yaml.MappingEndEvent, events):
            key = self._key(self._node(inner, events, depth + 1))
            value = self._node(next(events), events, depth + 1)
            place = _start(inner)
            if key in node.value:
                first = node.key_places[key]
                self.note(place, f"the key {key[:80]!r} is here twice; the first is in line {first.line}")
            else:
                node.key_places[key] = place
                node.value[key] = value

    def _key(self, node: Node) -> str:
        if isinstance(node.value, str):
            if node.value == "<<" and not node.style:
                self.note(node.place, "'<<' merges mappings in YAML 1.1 only; write the keys out")
            return node.value
        if isinstance(node.value, (list, dict)) or node.value is None:
            braces = isinstance(node.value, dict) and "; a value that begins with {{ needs quotes around it"
            self.note(node.place, f"a key must be text{braces or ''}")
            return f"key at {node.place}"
        written = str(node.value).lower() if isinstance(node.value, bool) else str(node.value)
        self.note(node.place, f"a key must be text: write {written} in quotes")
        return written

    def _scalar(self, event: Any) -> Any:
        if event.style or event.tag is not None:
            return event.value
        try:
            return resolve(event.value)
        except ValueError:
            self.note(_start(event), f"the number {event.value[:20]}... has too many digits")
            return event.value

    def _alias(self, event: Any, depth: int) -> Node:
        node = self._anchors.get(event.anchor)
        if node is None:
            self.fail(_start(event), f"the alias *{event.anchor[:80]} has no anchor &{event.anchor[:80]} before it")
            raise AssertionError
        self._count(node, _start(event), depth)
        return node

    def _count(self, node: Node, place: Place, depth: int) -> None:
        self._n_values += 1
        if self._n_values > MAX_VALUES:
            self.fail(place, f"the file unfolds to more than {MAX_VALUES:,} values")
        if depth > MAX_DEPTH:
            self.fail(place, f"nested too deeply: at most {MAX_DEPTH} levels are read")
        for child in node.children():
            self._count(child, place, depth + 1)


def resolve(text: str) -> Any:
    """The value of a plain (unquoted) scalar. Raises ValueError for integers of thousands of digits."""
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))
    if _FLOAT.fullmatch(text):
        return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
    return text


def _until(end: type, events: Iterator[Any]) -> Iterator[Any]:
    for event in events:
        if isinstance(event, end):
            return
        yield event


def _start(event: Any) -> Place:
    return Place(event.start_mark.line + 1, event.start_mark.column + 1)


def _has(node: Node, step: str | int) -> bool:
    if isinstance(node.value, dict):
        return step in node.value
    return isinstance(node.value, list) and isinstance(step, int) and 0 <= step < len(node.value)


def _plain(node: Node) -> Any:
    if isinstance(node.value, list):
        return [_plain(child) for child in node.value]
    if isinstance(node.value, dict):
        return {key: _plain(child) for key, child in node.value.items()}
    return node.value
