"""Lottery and highest: figures by hand, ties, reserves, and the lottery as an auction of tokens."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mechanism_strategies import bid_vectors, bidding
from scipy.integrate import quad

from tokenauction_cli.mechanism.alternatives.whole_text import Highest, Lottery
from tokenauction_cli.mechanism.measures import posterior
from tokenauction_cli.mechanism.sampling.randomness import DrawKey, Randomness
from tokenauction_cli.mechanism.terms import Terms, bidding_of

START = np.array([[0.7, 0.2, 0.1], [0.1, 0.6, 0.3]])
NEXT = np.array(
    [
        [[0.5, 0.4, 0.1], [0.8, 0.1, 0.1], [0.2, 0.2, 0.6]],
        [[0.2, 0.2, 0.6], [0.3, 0.6, 0.1], [0.1, 0.1, 0.8]],
    ]
)


def key(seed: int) -> DrawKey:
    return DrawKey(Randomness(0, "q", seed), 0)


def test_the_lottery_by_hand() -> None:
    chances, payments = Lottery().expected(bidding((2, 1)))
    np.testing.assert_allclose(chances, [2 / 3, 1 / 3], atol=1e-15)
    np.testing.assert_allclose(payments, [0.4319456220, 0.1442635495], atol=1e-10)


def test_the_highest_bid_pays_the_second() -> None:
    settled = Highest().settle(bidding((1, 4, 3)), key(0))
    assert settled.choice == 1
    np.testing.assert_array_equal(settled.payments["highest"], [0, 3, 0])


def test_of_equal_highest_bids_the_first_listed_writes() -> None:
    for seed in range(5):
        settled = Highest().settle(bidding((1, 3, 3)), key(seed))
        assert settled.choice == 1
        np.testing.assert_array_equal(settled.payments["highest"], [0, 3, 0])


def test_a_reserve_is_the_least_that_is_paid() -> None:
    assert Highest().expected(bidding((4, 2), reserve=2)).payments.tolist() == [2, 0]
    assert Highest().expected(bidding((4, 2.5), reserve=2)).payments.tolist() == [2.5, 0]
    for mechanism in (Highest(), Lottery()):
        assert mechanism.expected(bidding((4, 1), reserve=2)).payments.tolist() == [2, 0]
        (paid, *_) = mechanism.settle(bidding((4, 1), reserve=2), key(0)).payments.values()
        assert paid.tolist() == [2, 0]
    paid = quad(lambda z: max(z, 0.5) / (1 + z) ** 2, 0, 2, points=[0.5])[0]
    assert Lottery().expected(bidding((2, 1), reserve=0.5)).payments[0] == pytest.approx(paid, abs=1e-10)
    prices = [Lottery().settle(bidding((2, 1), reserve=0.5), key(seed)).payments["lottery"] for seed in range(200)]
    assert np.max(prices) > 0.5 == np.min([price.max() for price in prices])


@given(bid_vectors(4), st.integers(0, 3), st.integers(0, 10**6))
def test_who_writes_goes_on_writing_as_its_bid_rises(bids: tuple[float, ...], i: int, seed: int) -> None:
    writes = [
        Lottery().settle(bidding((*bids[:i], bid, *bids[i + 1 :])), key(seed)).choice == i
        for bid in (0.001, 0.1, 0.5, 1.0, 2.0, 8.0)
    ]
    assert writes == sorted(writes)


@pytest.mark.parametrize("bids", [(1, 1), (2, 1), (0.3, 5)])
def test_the_lottery_is_decoding_by_weights_times_likelihood(bids: tuple[float, float]) -> None:
    """All 27 texts of three tokens, of two agents whose next token depends on the last."""
    chances = Lottery().expected(bidding_of(Terms(("a", "b")), bids)).chances
    for text in product(range(3), repeat=3):
        said, decoded = np.ones(2), 1.0
        for t, token in enumerate(text):
            p = (START if t == 0 else NEXT[:, text[t - 1]])[:, token]
            decoded *= float(posterior(bids, np.log(said)) @ p)
            said = said * p
        assert float(chances @ said) == pytest.approx(decoded, abs=1e-14)
