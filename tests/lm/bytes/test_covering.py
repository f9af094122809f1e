"""The marginal over all tokenisations, against sums over every sequence of tokens."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from token_laws import EXACT, Array, TokenModel, byte_law, constant, driven, followed, law, random_model, token_law

from tokenauction_cli.lm.bytes.covering import Covering, Knobs, log_shares
from tokenauction_cli.lm.bytes.hypotheses import State
from tokenauction_cli.lm.bytes.lexicon import END
from tokenauction_cli.system.errors import CellError

A = constant({b"a": 0.3, b"b": 0.2, b"ab": 0.25, b"aba": 0.15, b"": 0.1})
B = constant({b"b": 0.3, b"bb": 0.15, b"a": 0.25, b"ba": 0.2, b"": 0.1})
COARSE = Knobs(1e-3, 0.05, 0.1)
LETTERS = [b"a", b"b", b"c"]


def of(law: Array) -> list[float]:
    return [float(law[symbol]) for symbol in (ord("a"), ord("b"), END)]


@pytest.mark.parametrize(
    ("model", "text", "expected"),
    [
        (A, b"", [0.7, 0.2, 0.1]),
        (A, b"a", [0.3, 0.657142857, 0.042857143]),
        (A, b"ab", [0.797826087, 0.134782609, 0.067391304]),
        (A, b"aba", [0.463487738, 0.470299728, 0.066212534]),
        (B, b"", [0.25, 0.65, 0.1]),
    ],
)
def test_ground_truth(model: TokenModel, text: bytes, expected: list[float]) -> None:
    found = law(followed(model, text))
    assert of(found) == pytest.approx(expected, abs=1e-9)
    assert found.sum() == pytest.approx(1, abs=1e-14)


@st.composite
def token_models(draw: st.DrawFn) -> TokenModel:
    """Overlapping words over three letters, equal ones among them, one or two end tokens, maybe a silent one."""
    words = draw(st.lists(st.text("abc", min_size=1, max_size=4).map(str.encode), min_size=1, max_size=6))
    n_ends, n_silent = draw(st.integers(1, 2)), draw(st.integers(0, 1))
    pieces = [*[b""] * (n_ends + n_silent), *LETTERS, *words]
    return random_model(pieces, frozenset(range(n_ends)), draw(st.integers(0, 1000)), draw(st.sampled_from([0.5, 3.0])))


@given(token_models(), st.text("abc", max_size=6), st.sampled_from([0.3, 1.0, 2.0]))
def test_exact_knobs_sum_over_every_sequence_of_tokens(model: TokenModel, letters: str, temperature: float) -> None:
    text = letters.encode()
    found = law(followed(model, text, temperature=temperature))
    np.testing.assert_allclose(found, byte_law(model, text, temperature), rtol=0, atol=1e-12)


def texts(n: int) -> list[bytes]:
    return [bytes(letters) for k in range(n) for letters in product(b"abc", repeat=k)]


@given(token_models(), st.sampled_from([COARSE, Knobs(0.05, 0.3, 0.1), Knobs(0.2, 0.0, 0.5), Knobs(0.0, 0.4, 0.1)]))
def test_a_lone_text_is_as_far_from_its_law_as_was_dropped_at_most(model: TokenModel, knobs: Knobs) -> None:
    """Over texts cut at three bytes: total variation against the expectation, under the covering, of `dropped`."""
    n = 4
    distance = dropped = 0.0
    covering = Covering(model.lexicon, 1.0, knobs)
    order = covering.lexicon.order

    def walk(state: State, p: float, true_p: float) -> None:
        nonlocal distance, dropped
        found, truth = law(state), byte_law(model, state.text)
        for symbol in (*b"abc", END):
            p_text, true_text = p * found[symbol], true_p * truth[symbol]
            if symbol == END or len(state.text) + 1 == n:
                distance += max(0.0, true_text - p_text)
                dropped += p_text * state.dropped
            else:
                walk(driven(covering.advance(state, symbol), model, order), p_text, true_text)

    walk(driven(covering.begin(), model, order), 1.0, 1.0)
    assert distance <= dropped + 1e-10


def test_what_is_certain_costs_one_evaluation_per_token() -> None:
    model = constant({b"abc": 1 - 2e-4, b"a": 1e-4, b"": 1e-4})
    evaluated: list[tuple[int, ...]] = []
    state = followed(model, b"abcabc", COARSE, evaluated=evaluated)
    assert evaluated == [(), (0,), (0, 0)]
    assert state.dropped == pytest.approx(2e-4, rel=1e-2)


def test_a_text_that_nobody_expects_revives_what_was_put_aside() -> None:
    """After "ab", all but certain to become "abc", somebody else writes "d"."""
    model = constant({b"abc": 1 - 3e-4, b"a": 1e-4, b"b": 1e-4, b"d": 5e-5, b"": 5e-5})
    before, after = followed(model, b"ab", COARSE), followed(model, b"abd", COARSE)
    assert [h.context for h in before.hypotheses] == [()]
    assert [c.context for c in before.pending] == [(1,)]
    assert after.hypotheses[0].context == (1, 2, 3)
    np.testing.assert_allclose(law(after), byte_law(model, b"abd"), atol=2e-12)
    assert before.log_p[ord("d")] == pytest.approx(math.log(1e-12 * 5e-5))  # the floor: no other way is followed


@given(token_models(), st.text("abc", min_size=1, max_size=10))
def test_no_text_kills_a_model_that_spells_every_letter(model: TokenModel, letters: str) -> None:
    found = law(followed(model, letters.encode(), Knobs(0.1, 0.9, 0.5)))
    assert found.sum() == pytest.approx(1, abs=1e-12)
    assert all(found[byte] > 0 for byte in b"abc")


@given(token_models(), st.text("abc", max_size=6))
def test_finer_knobs_come_to_the_exact_law(model: TokenModel, letters: str) -> None:
    text = letters.encode()
    found, exact = law(followed(model, text, Knobs(1e-13, 1e-13, 1e-13))), law(followed(model, text))
    np.testing.assert_allclose(found, exact, atol=1e-9)


def test_characters_of_four_bytes_across_tokens_and_bytes_that_are_no_text() -> None:
    smile = "😀".encode()
    pieces = [b"", smile, smile[:2], smile[2:], smile[:1], smile[1:], smile[:3], smile[3:], b"\xff", b"\xff\x80"]
    model = random_model(pieces, frozenset({0}), 3)
    for text in (smile[:3], smile * 2 + smile[:1], b"\xff", b"\xff" + smile):
        np.testing.assert_allclose(law(followed(model, text)), byte_law(model, text), atol=1e-12)


def test_what_underflows_is_summed_beside_itself() -> None:
    """At temperature .01 "b" has probability e^-2000, and yet what follows it is as exact as anything."""
    logits = np.array([20.0, 0.0, 0.0, math.log(3), 19.0])
    model = TokenModel((b"a", b"b", b"bc", b"bd", b""), frozenset({4}), lambda context: logits)
    state = followed(model, b"b", temperature=0.01)
    assert law(state)[[ord("a"), ord("c"), ord("d")]] == pytest.approx([0, 0, 1], abs=1e-12)
    assert followed(model, b"", temperature=0.01).log_p[ord("b")] == pytest.approx(100 * math.log(3) - 2000)
    assert state.log_p[ord("c")] == pytest.approx(-100 * math.log(3))


def test_shares_lose_no_digits_among_many() -> None:
    scores = np.concatenate([np.full(1 << 18, 10.0), [-20.0, -21.0]])
    shares = log_shares(scores, np.array([0, 1 << 18, (1 << 18) + 1]), 1.0)
    assert shares[1] - shares[2] == pytest.approx(1, abs=1e-12)
    assert shares[1] == pytest.approx(-30 - 18 * math.log(2), abs=1e-12)


def test_impossible_tokens_are_not_followed() -> None:
    with np.errstate(divide="ignore"):
        model = constant({b"a": 0.5, b"ab": 0.0, b"b": 0.5, b"": 0.0})
    state = followed(model, b"a")
    assert law(state)[[ord("a"), ord("b"), END]] == pytest.approx([0.5, 0.5, 0])
    assert {h.context for h in state.hypotheses} == {(0,)}


@pytest.mark.parametrize("bad", [[np.nan, 0.0, 0.0], [np.inf, 0.0, 0.0], [-np.inf, -np.inf, -np.inf]])
def test_a_model_must_give_a_distribution(bad: list[float]) -> None:
    model = TokenModel((b"a", b"b", b""), frozenset({2}), lambda context: np.array(bad))
    with pytest.raises(CellError, match="gave no distribution"):
        followed(model, b"")


def test_silent_tokens_are_left_out_and_counted() -> None:
    model = TokenModel((b"a", b"", b""), frozenset({2}), lambda context: np.log([0.6, 0.2, 0.2]))
    state = followed(model, b"aa")
    assert law(state)[[ord("a"), END]] == pytest.approx([0.75, 0.25])
    assert state.dropped == pytest.approx(3 * 0.2)


def test_a_byte_that_no_token_has_is_a_dead_end() -> None:
    with pytest.raises(CellError, match="cannot spell byte 78 after 'ab'"):
        followed(A, b"abx", COARSE)


def test_equal_tokens_count_together_and_merge() -> None:
    twice = TokenModel((b"a", b"a", b"b", b""), frozenset({3}), lambda context: np.log([0.4, 0.02, 0.48, 0.1]))
    assert of(law(followed(twice, b""))) == pytest.approx([0.42, 0.48, 0.1])
    state = followed(twice, b"a", COARSE)
    assert [h.context for h in state.hypotheses] == [(0,)]
    assert state.dropped == pytest.approx(0.02 / 0.42)
    assert len(followed(twice, b"a").hypotheses) == 2


@given(token_models(), st.integers(0, 2**32))
@settings(max_examples=10)
def test_byte_texts_are_texts_of_the_tokens(model: TokenModel, seed: int) -> None:
    """Chi-square of 400 texts cut at three bytes, against the law of texts drawn token by token."""
    chance = np.random.default_rng(seed)
    covering = Covering(model.lexicon, 1.0, EXACT)
    states = {b"": driven(covering.begin(), model, covering.lexicon.order)}
    counts: dict[bytes, list[int]] = {}
    for _ in range(400):
        counts.setdefault(by_tokens(model, chance), [0, 0])[0] += 1
        counts.setdefault(by_bytes(model, covering, states, chance), [0, 0])[1] += 1
    table = np.array(list(counts.values()), float)
    table = np.vstack([table[table.sum(1) >= 10], table[table.sum(1) < 10].sum(0)])
    statistic = float(((table[:, 0] - table[:, 1]) ** 2 / np.maximum(1, table.sum(1))).sum())
    assert statistic < len(table) + 6 * math.sqrt(2 * len(table))


def by_tokens(model: TokenModel, chance: np.random.Generator) -> bytes:
    context: tuple[int, ...] = ()
    text = b""
    while len(text) < 3:
        token = int(chance.choice(len(model.pieces), p=token_law(model, context)))
        if token in model.ends:
            return text + b"|"
        context, text = (*context, token), text + model.pieces[token]
    return text[:3]


def by_bytes(model: TokenModel, covering: Covering, states: dict[bytes, State], chance: np.random.Generator) -> bytes:
    text = b""
    while len(text) < 3:
        symbol = int(chance.choice(257, p=law(states[text]) / law(states[text]).sum()))
        if symbol == END:
            return text + b"|"
        text += bytes([symbol])
        if text not in states:
            states[text] = driven(covering.advance(states[text[:-1]], symbol), model, covering.lexicon.order)
    return text


@given(st.text("ab", max_size=8).map(str.encode))
def test_merging_is_exact_where_the_context_does_not_matter(text: bytes) -> None:
    """Of the words of A many spell the same text: one context stands for all of them, with their weights."""
    state = followed(A, text, Knobs(0.0, 0.999, 0.1))
    np.testing.assert_allclose(law(state), law(followed(A, text)), atol=2e-12)
    assert len({h.start for h in state.hypotheses}) == len(state.hypotheses)
