"""A vocabulary by its bytes: every range holds the tokens that begin alike, and splits by what follows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenauction_cli.lm.bytes.lexicon import END, Lexicon
from tokenauction_cli.system.errors import ModelError

PIECES = [b"", b"b", b"ab", b"a", b"", b"aba", b"ab", b"\xff"]
END_TOKENS = frozenset({4})


def test_order_is_by_bytes_then_ends_then_silent_tokens() -> None:
    lexicon = Lexicon(PIECES, END_TOKENS)
    assert lexicon.order.tolist() == [3, 2, 6, 5, 1, 7, 4, 0]
    assert (lexicon.n_spelling, lexicon.n_speaking, lexicon.size) == (6, 7, 8)


def test_the_root_splits_into_first_bytes_and_end() -> None:
    lexicon = Lexicon(PIECES, END_TOKENS)
    assert lexicon.root.symbols.tolist() == [ord("a"), ord("b"), 0xFF, END]
    assert lexicon.root.segments.tolist() == [0, 4, 5, 6]
    assert lexicon.first_segments.tolist() == [0, 4, 5, 6, 7]
    assert lexicon.root.child(ord("a")) == (0, 0, 4)
    assert lexicon.root.child(0xFF) == (2, 5, 6)
    assert lexicon.root.child(ord("c")) is None


def test_equal_tokens_end_side_by_side() -> None:
    lexicon = Lexicon(PIECES, END_TOKENS)
    ab = lexicon.split(1, 4, 2)
    assert (ab.n_here, ab.symbols.tolist(), ab.segments.tolist()) == (2, [ord("a")], [0, 1, 2])
    assert ab.child(ord("a")) == (0, 3, 4)
    aba = lexicon.split(3, 4, 3)
    assert (aba.n_here, aba.symbols.tolist(), aba.segments.tolist()) == (1, [], [0])


def test_pieces_of_end_tokens_do_not_count() -> None:
    assert Lexicon([b"</s>", b"x"], frozenset({0})).order.tolist() == [1, 0]


def test_without_end_tokens_no_text_ends() -> None:
    assert Lexicon([b"x"], frozenset()).root.symbols.tolist() == [ord("x")]


def test_a_vocabulary_must_spell_something() -> None:
    with pytest.raises(ModelError, match="no token that spells anything"):
        Lexicon([b"", b""], frozenset({0}))


@given(st.lists(st.binary(max_size=5), min_size=1, max_size=30).filter(any), st.integers(0, 3))
def test_every_token_is_found_at_the_end_of_its_bytes(pieces: list[bytes], n_ends: int) -> None:
    lexicon = Lexicon([b"end"] * n_ends + pieces, frozenset(range(n_ends)))
    for token, piece in enumerate(pieces, n_ends):
        split = lexicon.root
        for depth, byte in enumerate(piece, 1):
            child = split.child(byte)
            assert child is not None
            split = lexicon.split(child.lo, child.hi, depth)
        if piece:
            assert token in lexicon.order[split.lo : split.lo + split.n_here]
            assert all(pieces[t - n_ends] == piece for t in lexicon.order[split.lo : split.lo + split.n_here])
    assert sorted(lexicon.order) == list(range(len(pieces) + n_ends))
