"""A form's tokens are those that begin one of its texts: held against languages that are written out."""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenauction_cli.lm.base import spelled
from tokenauction_cli.lm.bytes.byte_model import ByteVocabulary
from tokenauction_cli.lm.forms.constraint import Constraint
from tokenauction_cli.lm.forms.form import Form
from tokenauction_cli.lm.forms.shortest import fewest_tokens, is_too_long, shortest
from tokenauction_cli.lm.table import TableVocabulary
from tokenauction_cli.system.errors import CellError

LETTERS = "abé"


class Language(NamedTuple):
    """A regular expression, and the texts that it stands for."""

    regex: str
    texts: frozenset[str]


def joined(parts: list[Language]) -> Language:
    texts = {""}
    for part in parts:
        texts = {a + b for a in texts for b in part.texts}
    return Language("".join(part.regex for part in parts), frozenset(texts))


def either(parts: list[Language]) -> Language:
    return Language(f"(?:{'|'.join(p.regex for p in parts)})", frozenset().union(*(p.texts for p in parts)))


def repeated(part: Language, least: int, more: int) -> Language:
    several = [joined([part] * n).texts for n in range(least, least + more + 1)]
    return Language(f"(?:{part.regex}){{{least},{least + more}}}", frozenset().union(*several))


SOME = st.lists(st.sampled_from(LETTERS), min_size=1, unique=True)
LEAVES = SOME.map(lambda some: Language(f"[{''.join(some)}]", frozenset(some)))
LANGUAGES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map(joined),
        st.lists(inner, min_size=1, max_size=3).map(either),
        st.builds(repeated, inner, st.integers(0, 1), st.integers(0, 1)),
    ),
    max_leaves=5,
).filter(lambda language: len(language.texts) < 400)
PIECES = st.lists(st.text(LETTERS, min_size=1, max_size=3), min_size=1, max_size=6, unique=True)


def vocabulary_of(*pieces: str) -> TableVocabulary:
    return TableVocabulary([{"*": dict.fromkeys(pieces, 1.0)}], separator="")


def by_hand(language: Language, vocabulary: TableVocabulary, prefix: tuple[int, ...]) -> list[bool]:
    text = spelled(vocabulary, prefix).decode()
    begun = {whole[:end] for whole in language.texts for end in range(len(whole) + 1)}
    return [
        text in language.texts if t in vocabulary.ends else text + vocabulary.tokens[t] in begun
        for t in range(vocabulary.size)
    ]


@given(LANGUAGES, PIECES, st.randoms())
def test_what_is_allowed_is_what_begins_a_text(language: Language, pieces: list[str], chance: object) -> None:
    vocabulary = vocabulary_of(*pieces)
    form = Form(Constraint("regex", language.regex), vocabulary)
    waiting: list[tuple[int, ...]] = [()]
    for _ in range(30):
        prefix = waiting.pop(chance.randrange(len(waiting)))  # type: ignore[attr-defined]
        wanted = by_hand(language, vocabulary, prefix)
        if any(wanted):
            assert form.allowed(prefix).tolist() == wanted
        else:
            with pytest.raises(CellError, match=f"the form allows none of the {vocabulary.size} tokens"):
                form.allowed(prefix)
        waiting += [(*prefix, t) for t in np.flatnonzero(wanted).tolist() if t not in vocabulary.ends]
        if not waiting:
            break


@given(LANGUAGES)
def test_over_bytes_a_text_may_stop_within_a_character(language: Language) -> None:
    form = Form(Constraint("regex", language.regex), ByteVocabulary())
    whole = max(text.encode() for text in language.texts)
    for end in range(len(whole) + 1):
        begun = {text.encode()[end] for text in language.texts if text.encode()[:end] == whole[:end] != text.encode()}
        ends = {256} if whole[:end] in {text.encode() for text in language.texts} else set()
        assert set(np.flatnonzero(form.allowed(tuple(whole[:end]))).tolist()) == begun | ends


def test_a_prefix_outside_the_form_is_an_error_with_the_text() -> None:
    form = Form(Constraint("regex", "ab|b"), vocabulary_of("a", "b"))
    with pytest.raises(CellError, match="no text of the form begins with 'aa'"):
        form.allowed((0, 0))


def test_every_spelling_is_allowed_where_the_text_is_forced() -> None:
    vocabulary = vocabulary_of("a", "ab", "abc", "b", "c")
    assert Form(Constraint("regex", "abc"), vocabulary).allowed(()).tolist() == [True, True, True, False, False, False]


def test_two_tokens_of_one_spelling_are_both_allowed() -> None:
    class Twice(TableVocabulary):
        def piece(self, token: int) -> bytes:
            return b"" if token in self.ends else b"a"

    form = Form(Constraint("regex", "a+"), Twice([{"*": {"x": 0.5, "y": 0.5}}], separator=""))
    assert form.allowed((1,)).tolist() == [True, True, True]


def test_what_is_forgotten_is_found_again(monkeypatch: pytest.MonkeyPatch) -> None:
    vocabulary = vocabulary_of("a", "b")
    monkeypatch.setattr("tokenauction_cli.lm.forms.form.MOST_PREFIXES", 1)
    forgetful = Form(Constraint("regex", "(ab|ba){3}"), vocabulary)
    monkeypatch.undo()
    other = Form(Constraint("regex", "(ab|ba){3}"), vocabulary)
    for prefix in ((0, 1), (1, 0, 0), (0, 1, 1, 0), (0,)):
        assert forgetful.allowed(prefix).tolist() == other.allowed(prefix).tolist()


GRAMMARS = [
    Constraint("lark", 'start: "a" start "b" | "c"'),
    Constraint("gbnf", 'root ::= "a" root "b" | "c"'),
]


@pytest.mark.parametrize("constraint", GRAMMARS, ids=lambda one: one.kind)
def test_a_grammar_counts(constraint: Constraint) -> None:
    form = Form(constraint, vocabulary_of("a", "b", "c"))
    assert form.allowed(()).tolist() == [True, False, True, False]
    assert form.allowed((0, 0, 2)).tolist() == [False, True, False, False]
    assert form.allowed((0, 0, 2, 1, 1)).tolist() == [False, False, False, True]


def test_a_schema_gives_json() -> None:
    form = Form(Constraint("json_schema", '{"enum":[7,"x"]}'), vocabulary_of('"', "x", "7", "y"))
    names = [form.vocabulary.name(t) for t in np.flatnonzero(form.allowed(())).tolist()]
    assert names == ['"', "7"]


@pytest.mark.parametrize(
    ("constraint", "why"),
    [
        (Constraint("regex", "a("), "unclosed group"),
        (Constraint("regex", "a(?=b)"), "look-around, including look-ahead and look-behind, is not supported"),
        (Constraint("json_schema", '{"type":"objekt"}'), "Invalid type: objekt"),
        (Constraint("lark", "starts: /a/"), "no start rule found"),
        (Constraint("lark", 'start: "a" foo'), 'at 1\\(8\\): unknown name: "foo"$'),
        (Constraint("gbnf", 'root ::= "a" [0-9'), "Unexpected end of input"),
    ],
)
def test_what_cannot_be_read_says_why(constraint: Constraint, why: str) -> None:
    assert re.search(why, constraint.mistake)


# How soon a text can end


@given(LANGUAGES)
def test_the_shortest_text_and_the_proof_that_none_is_shorter(language: Language) -> None:
    constraint = Constraint("regex", language.regex)
    least = min(map(len, language.texts))
    found = shortest(Form(constraint, ByteVocabulary()), 40)
    assert found is not None
    assert bytes(found).decode() in language.texts
    assert not is_too_long(constraint, ByteVocabulary(), least)
    assert least == 0 or is_too_long(constraint, ByteVocabulary(), least - 1)


def test_no_length_of_a_grammar_is_proved() -> None:
    assert not is_too_long(GRAMMARS[0], ByteVocabulary(), 0)
    assert shortest(Form(Constraint("lark", 'start: "a" start'), ByteVocabulary()), 20) is None


def test_fewest_tokens() -> None:
    assert fewest_tokens(b"abab", [b"a", b"b", b"ab", b"bab"]) == 2
    assert fewest_tokens(b"abc", [b"a", b"b", b""]) is None
    assert fewest_tokens(b"", [b"a"]) == 0
