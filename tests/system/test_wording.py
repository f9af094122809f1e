"""What sentences are built of."""

from __future__ import annotations

import pytest

from tokenauction_cli.system.wording import counted, listed, sentence


@pytest.mark.parametrize(
    ("n", "noun", "said"),
    [(0, "seed", "0 seeds"), (1, "seed", "1 seed"), (2, "prefix", "2 prefixes"), (1, "prefix", "1 prefix")],
)
def test_a_noun_agrees_with_its_number(n: int, noun: str, said: str) -> None:
    assert counted(n, noun) == said


def test_thousands_are_told_apart_where_that_is_asked_for() -> None:
    assert (counted(1234567, "text"), counted(1234567, "text", " ")) == ("1234567 texts", "1 234 567 texts")


def test_a_list_ends_with_and() -> None:
    assert [listed(parts) for parts in ("", "a", "ab", "abc")] == ["", "a", "a and b", "a, b and c"]


def test_a_sentence_keeps_the_letters_within() -> None:
    assert sentence("only TV counts") == "Only TV counts."
