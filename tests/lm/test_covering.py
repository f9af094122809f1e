"""The marginal over all tokenisations, against sums over every sequence of tokens."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from token_laws import Array, TokenModel, byte_law, constant, driven, followed, law, random_model

from tokenauction_cli.lm.covering import Covering, Knobs
from tokenauction_cli.lm.lexicon import END

A = constant({b"a": 0.3, b"b": 0.2, b"ab": 0.25, b"aba": 0.15, b"": 0.1})
B = constant({b"b": 0.3, b"bb": 0.15, b"a": 0.25, b"ba": 0.2, b"": 0.1})
DEFAULT = Knobs()
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
def token_models(draw: st.DrawFn, least_bytes: int = 0) -> TokenModel:
    """Overlapping words over three letters, equal ones among them, one or two end tokens, maybe a silent one."""
    words = draw(st.lists(st.text("abc", min_size=1, max_size=4).map(str.encode), min_size=1, max_size=6))
    n_ends, n_silent = draw(st.integers(1, 2)), draw(st.integers(0, 1))
    pieces = [*[b""] * (n_ends + n_silent), *LETTERS, *words]
    return random_model(pieces, frozenset(range(n_ends)), draw(st.integers(0, 1000)), draw(st.sampled_from([0.5, 3.0])))


@given(token_models(), st.text("abc", max_size=6), st.sampled_from([0.3, 1.0, 2.0]))
@settings(max_examples=80)
def test_exact_knobs_sum_over_every_sequence_of_tokens(model: TokenModel, letters: str, temperature: float) -> None:
    text = letters.encode()
    found = law(followed(model, text, temperature=temperature))
    np.testing.assert_allclose(found, byte_law(model, text, temperature), rtol=0, atol=1e-12)


def texts(n: int) -> list[bytes]:
    return [bytes(letters) for k in range(n) for letters in product(b"abc", repeat=k)]


@given(token_models(), st.sampled_from([DEFAULT, Knobs(0.05, 0.3, 0.1), Knobs(0.2, 0.0, 0.5), Knobs(0.0, 0.4, 0.1)]))
@settings(max_examples=25)
def test_a_lone_text_is_as_far_from_its_law_as_was_dropped_at_most(model: TokenModel, knobs: Knobs) -> None:
    """Over texts cut at three bytes: total variation against the expectation, under the covering, of `dropped`."""
    n = 4
    distance = dropped = 0.0
    covering = Covering(model.lexicon, 1.0, knobs)
    order = covering.lexicon.order

    def walk(state, p: float, true_p: float) -> None:  # type: ignore[no-untyped-def]
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
