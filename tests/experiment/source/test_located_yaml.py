"""The YAML dialect: nothing bites, everything has a place, nothing explodes."""

from __future__ import annotations

import math
import time
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenauction_cli.experiment.source.located_yaml import load_yaml, parse_value, resolve
from tokenauction_cli.system.errors import ExperimentError


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("true", True), ("false", False), ("no", "no"), ("on", "on"), ("Yes", "Yes"), ("True", "True"), ("y", "y"),
        ("1", 1), ("-7", -7), ("0o17", 15), ("0x1F", 31), ("017", 17), ("1_000", "1_000"),
        ("1e-3", 0.001), ("1.5", 1.5), (".5", 0.5), ("5.", 5.0), ("+1E6", 1e6),
        (".inf", math.inf), ("-.inf", -math.inf),
        ("1:30", "1:30"), ("2024-01-01", "2024-01-01"), ("7/11", "7/11"), ("O'Hare", "O'Hare"),
        ("~", None), ("null", None), ("", None), ("NO", "NO"),
    ],
)  # fmt: skip
def test_plain_scalars(written: str, value: object) -> None:
    assert resolve(written) == value
    assert type(resolve(written)) is type(value)


def test_nan_is_a_number() -> None:
    assert math.isnan(resolve(".nan"))


def test_quoted_scalars_are_text() -> None:
    assert load_yaml(b"a: '1'\nb: \"true\"\nc: !!str 5\n", "f").value == {"a": "1", "b": "true", "c": "5"}


def test_places_count_from_one() -> None:
    located = load_yaml("a:\n  - é: {b: 1}\n  - x\n".encode(), "f")
    assert located.place(()) == (1, 1)
    assert located.place(("a", 0, "é", "b")) == (2, 12)
    assert located.key_place(("a", 0, "é", "b")) == (2, 9)
    assert located.key_place(("a", 1)) == (3, 5)
    assert located.place(("a", 1, "deeper", 7)) == (3, 5)


def test_lines_of_block_text() -> None:
    located = load_yaml(b"a:\n  b: |-\n    one\n    two\n  c: 'one\n    two'\n", "f")
    assert located.text_place(("a", "b"), 1) == (3, 5)
    assert located.text_place(("a", "b"), 2) == (4, 5)
    assert located.text_place(("a", "c"), 2) == (5, 6)


def test_byte_order_mark_and_crlf() -> None:
    located = load_yaml(b"\xef\xbb\xbfa: 1\r\nb: |\r\n  x\r\n  y\r\n", "f")
    assert located.value == {"a": 1, "b": "x\ny\n"}
    assert located.key_place(("b",)) == (2, 1)


def test_aliases_are_copies() -> None:
    located = load_yaml(b"a: &x {k: [1]}\nb: *x\n", "f")
    located.value["a"]["k"].append(2)
    assert located.value["b"] == {"k": [1]}


BROKEN = [
    (b"", (1, 1), "the file is empty"),
    (b"# only a comment\n", (1, 1), "the file is empty"),
    (b"- a\n", (1, 1), "at the top level, got a list"),
    (b"just text", (1, 1), "at the top level, got a single value"),
    (b"a: 1\n---\nb: 2\n", (2, 1), "second document"),
    (b"a: [1, 2\n", (2, 1), "not closed"),
    (b"a: {b: 1\n", (2, 1), "not closed"),
    (b"a: b: c\n", (1, 5), "put the text in quotes"),
    (b'a: "x\n', (2, 1), "unexpected end of stream"),
    (b"a:\n\tb: 1\n", (2, 1), "a tab in the indentation"),
    (b"a: 1\n b: 2\n", (2, 3), "not valid YAML"),
    (b"a: *x\n", (1, 4), "no anchor &x"),
    (b"a: &x [*x]\n", (1, 8), "no anchor &x"),
    (b"a: @x\n", (1, 4), "cannot start any token"),
    (b"a: 1\nb: \xff\n", (2, 4), "not UTF-8: byte 9 is 0xff"),
    (b"a: \x1b[2J\n", (1, 4), "U+001B"),
    (b"a: \x00\n", (1, 4), "U+0000"),
    (b"\xff\xfea\x00", (1, 1), "not UTF-8"),
    (b"a: " + b"[" * 100 + b"]" * 100, (1, 54), "nested too deeply"),
    (b"a: " + b"[" * 900_000, (1, 54), "nested too deeply"),
    (b"a: [" + b"1," * 200_000 + b"]", (1, 199_999), "more than 100,000 values"),
    (b"#" * 1_000_001, (0, 0), "1,000,001 bytes"),
]


@pytest.mark.parametrize(("data", "place", "words"), BROKEN, ids=range(len(BROKEN)))
def test_what_cannot_be_read(data: bytes, place: tuple[int, int], words: str) -> None:
    started = time.process_time()
    with pytest.raises(ExperimentError) as caught:
        load_yaml(data, "f.yaml")
    (problem,) = caught.value.problems
    assert words in problem.message
    assert (problem.line, problem.column) == place
    assert time.process_time() - started < 10


def test_anchors_that_explode() -> None:
    laughs = "a: &a [x,x,x,x,x,x,x,x,x]\n"
    laughs += "".join(f"{b}: &{b} [{','.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True))
    with pytest.raises(ExperimentError, match="unfolds to more than 100,000 values"):
        load_yaml(laughs.encode(), "f")


def test_aliases_cannot_nest_deeper_than_lists() -> None:
    text = f"a: &a {'[' * 40}{']' * 40}\nb: {'[' * 40}*a{']' * 40}\n"
    with pytest.raises(ExperimentError, match="nested too deeply"):
        load_yaml(text.encode(), "f")


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("a: 1\nb: 2\na: 3\n", [(3, 1, "the key 'a' is here twice; the first is in line 1")]),
        ("{a: {x: 1, x: 2}, a: 1}", [(1, 12, "'x' is here twice"), (1, 19, "'a' is here twice")]),
        ("1: x\ntrue: y\n", [(1, 1, "write 1 in quotes"), (2, 1, "write true in quotes")]),
        ("~: z\n[a]: b\n", [(1, 1, "a key must be text"), (2, 1, "a key must be text")]),
        ("a: !!python/object:os.system x\n", [(1, 4, "tags are not supported")]),
        ("a: &x {k: 1}\nb: {<<: *x}\n", [(2, 5, "'<<' merges")]),
        ("a: " + "9" * 5000, [(1, 4, "too many digits")]),
    ],
)  # fmt: skip
def test_mistakes_that_do_not_stop_reading(text: str, problems: list[tuple[int, int, str]]) -> None:
    found = sorted(load_yaml(text.encode(), "f").problems)
    assert [(problem.line, problem.column) for problem in found] == [(line, column) for line, column, _ in problems]
    for problem, (_, _, words) in zip(found, problems, strict=True):
        assert words in problem.message


def test_values_of_options() -> None:
    assert parse_value("1e-3", "-S") == 0.001
    assert parse_value("", "-S") is None
    assert parse_value("[a, 2]", "-S") == ["a", 2]
    with pytest.raises(ExperimentError) as caught:
        parse_value("[a", "-S x=[a")
    assert str(caught.value).startswith("-S x=[a: not valid YAML")


@given(st.binary(max_size=60) | st.text("ab:-[]{}&*!|>'\"#\n \t,?1", max_size=60).map(str.encode))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    with suppress(ExperimentError):
        assert isinstance(load_yaml(data, "f").value, dict)
