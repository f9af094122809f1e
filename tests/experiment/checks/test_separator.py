"""auction.separator: what joins the tokens of tables, and which files would have one text for two sequences."""

from __future__ import annotations

import doctest
from itertools import chain, product

import pytest
from conftest import Reader
from hypothesis import given
from hypothesis import strategies as st

from tokenauction_cli.system.errors import ExperimentError
from tokenauction_cli.text import sequences
from tokenauction_cli.text.sequences import one_text_of_two

FILE = """
name: joined
agents:
  - {{name: A, distribution: {{ab: 0.5, c: 0.25, <end>: 0.25}}}}
  - {{name: B, distribution: {{{b}: 1}}}}
"""


def test_one_space_is_the_default_and_saying_so_changes_no_hash(read: Reader) -> None:
    text = FILE.format(b="x")
    default, said = read(text), read(text + 'auction: {separator: " "}\n')
    assert default.auction.separator == said.auction.separator == " "
    assert default.semantic_hash == said.semantic_hash == "4d728189"
    other = read(text + 'auction: {separator: ""}\n')
    assert (other.auction.separator, other.plain["auction"]["separator"]) == ("", "")
    assert other.semantic_hash != default.semantic_hash


@pytest.mark.parametrize(
    ("b", "auction", "message"),
    [
        ("a: 0, bc", '{separator: ""}', "6:22: 'a' + 'bc' and 'ab' + 'c' are the same text 'abc'; choose another"),
        ("abab", '{separator: ""}', "6:22: 'abab' and 'ab' + 'ab' are the same text 'abab'"),
        ("c-ab", '{separator: "-"}', "6:22: 'c-ab' and 'c' + 'ab' are the same text 'c-ab'"),
        ("x", '{alphabet: bytes, separator: ""}', "6:28: separator does not go with the alphabet bytes: nothing joins"),
        ("x", "{separator: 3}", "6:22: expected text, got 3; put it in quotes"),
    ],
)
def test_what_is_refused(read: Reader, b: str, auction: str, message: str) -> None:
    with pytest.raises(ExperimentError) as caught:
        read(FILE.format(b=b) + f"auction: {auction}\n")
    assert message in str(caught.value)


def test_a_misreport_has_tokens_too(read: Reader) -> None:
    report = "audit: {texts: {value: {B: {mention: 1}}, reports: {distributions: {B: [{'': {abc: 1}}]}}}}\n"
    assert read(FILE.format(b="x") + report)
    with pytest.raises(ExperimentError, match=r"'abc' and 'ab' \+ 'c' are the same text 'abc'"):
        read(FILE.format(b="x") + report + 'auction: {separator: ""}\n')


def test_there_must_be_tables(read: Reader) -> None:
    with pytest.raises(ExperimentError, match="separator joins the tokens of tables, and no agent has one"):
        read('name: e\nagents: [{name: A, model: a.gguf, prompt: x}]\nauction: {separator: ""}\n')


@pytest.mark.parametrize("b", ["a: 0, bc", "c ab"])
def test_with_one_space_and_with_a_sign_that_no_token_has_all_is_read(read: Reader, b: str) -> None:
    for auction in ("", 'auction: {separator: "-"}\n'):
        assert read(FILE.format(b=b) + auction).points


def test_the_session_of_the_docstring() -> None:
    assert doctest.testmod(sequences) == (0, 2)


@given(
    tokens=st.sets(st.text("ab-", min_size=1, max_size=4), min_size=1, max_size=4),
    separator=st.sampled_from(["", "-", "ab"]),
)
def test_against_every_sequence(tokens: set[str], separator: str) -> None:
    """Of up to 4 tokens: two that make one text are found; and what is found makes one text."""
    found = one_text_of_two(tokens, separator)
    every = list(chain.from_iterable(product(sorted(tokens), repeat=n) for n in range(1, 5)))
    if found is None:
        assert len({separator.join(one) for one in every}) == len(every)
    else:
        one, other = found
        assert one != other
        assert {*one, *other} <= tokens
        assert separator.join(one) == separator.join(other)
