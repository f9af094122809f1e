"""Segment auctions: the published table, prices as thresholds, and where truth does not pay."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mechanism_strategies import bidding

from tokenauction_cli.mechanism.alternatives.segment import Segment, segment_figures
from tokenauction_cli.mechanism.distributions import MechanismError
from tokenauction_cli.mechanism.payments.second_price import mean_price
from tokenauction_cli.mechanism.sampling.randomness import DrawKey, Randomness

Q = np.array([0.3573685884, 0.8709760308, 0.3079646826, 0.2607223093])
RELEVANCE = dict(zip("abcd", Q.tolist(), strict=True))
BIDS = (3.0, 3.0, 2.0, 2.0)
WITH, WITHOUT = (Segment(replacement=replacement, relevance=RELEVANCE) for replacement in (True, False))


def key(seed: int, segment: int = 0) -> DrawKey:
    return DrawKey(Randomness(0, "q", seed), segment)


@pytest.mark.parametrize(
    ("mechanism", "exact", "published"),
    [
        (WITH, (0.68474, 0.37900, 0.71058, 0.16915), (0.660, 0.371, 0.688, 0.185)),
        (WITHOUT, (0.52406, 0.33485, 0.56782, 0.29262), (0.521, 0.333, 0.565, 0.294)),
    ],
)
def test_the_published_table(mechanism: Segment, exact: tuple[float, ...], published: tuple[float, ...]) -> None:
    """The paper has means of 500 runs."""
    figures = segment_figures(mechanism, bidding(BIDS))
    np.testing.assert_allclose(figures, exact, atol=5.1e-6)
    np.testing.assert_allclose(figures, published, atol=0.026)


def test_without_replacement_by_enumeration() -> None:
    wins, paid = np.zeros((3, 4)), np.zeros((3, 4))
    for order in permutations(range(4), 3):
        chance, left = 1.0, Q * BIDS
        for segment, winner in enumerate(order):
            for i in np.flatnonzero(left):  # spread over the orders that go on alike
                alike = np.prod([4 - k - 1 for k in range(segment, 3)])
                paid[segment, i] += chance * mean_price(left[i], left.sum() - left[i]) / Q[i] / alike
            chance *= left[winner] / left.sum()
            left = np.where(np.arange(4) == winner, 0.0, left)
        for segment, winner in enumerate(order):
            wins[segment, winner] += chance
    mean = WITHOUT.expected_segments(bidding(BIDS))
    np.testing.assert_allclose(mean.chances, wins, atol=1e-12)
    assert wins.sum(axis=1) == pytest.approx(1)


def mean_utility(mechanism: Segment, bids: tuple[float, ...], value: float) -> float:
    mean = mechanism.expected_segments(bidding(bids))
    return float(value * mean.chances[:, 0].sum() - mean.payments[:, 0].sum())


def test_without_replacement_a_lower_bid_may_gain() -> None:
    gain = mean_utility(WITHOUT, (2.047, *BIDS[1:]), 3) - mean_utility(WITHOUT, BIDS, 3)
    assert gain == pytest.approx(0.0892, abs=5e-5)
    assert WITHOUT.truthful_for == frozenset()
    assert mean_utility(WITH, (2.047, *BIDS[1:]), 3) < mean_utility(WITH, BIDS, 3)
    assert Segment(segments=1, replacement=False).truthful_for == {"writing"}


@given(st.integers(0, 10**6), st.lists(st.floats(0.1, 3), min_size=4, max_size=4))
def test_the_price_is_the_bid_at_which_the_winner_began_to_win(seed: int, bids: list[float]) -> None:
    settled = WITH.settle(bidding(bids), key(seed))
    price = settled.payments["segment"][settled.choice]
    for factor, wins in ((1 - 1e-9, False), (1 + 1e-9, True)):
        tried = [price * factor if i == settled.choice else bid for i, bid in enumerate(bids)]
        assert (WITH.settle(bidding(tried), key(seed)).choice == settled.choice) is wins


def test_segments_have_numbers_of_their_own() -> None:
    winners = {WITH.settle(bidding(BIDS), key(0, segment)).choice for segment in range(20)}
    assert len(winners) > 1


def test_without_replacement_each_agent_writes_once_then_the_text_ends() -> None:
    mechanism, bids, winners = Segment(segments=4, replacement=False), np.array([1.0, 0.0, 2.0, 3.0]), []
    while bids.any():
        settled = mechanism.settle(bidding(bids), key(1, len(winners)))
        winners.append(settled.choice)
        bids = mechanism.next_bids(bids, settled.choice)
    assert sorted(winners) == [0, 2, 3]
    assert settled.payments["segment"].tolist() == [0, 0, 0, 0]
    chances = mechanism.expected_segments(bidding([1, 0, 2, 3])).chances
    np.testing.assert_allclose(chances.sum(axis=1), [1, 1, 1, 0], atol=1e-12)
    np.testing.assert_allclose(chances.sum(axis=0), [1, 0, 1, 1], atol=1e-12)


def test_with_replacement_all_segments_are_alike() -> None:
    mean, one = WITH.expected_segments(bidding(BIDS)), WITH.expected(bidding(BIDS))
    for segment in range(3):
        np.testing.assert_array_equal(mean.chances[segment], one.chances)
        np.testing.assert_array_equal(mean.payments[segment], one.payments)
    np.testing.assert_allclose(one.chances, Q * BIDS / (Q * BIDS).sum(), atol=1e-15)


def test_an_irrelevant_agent_neither_wins_nor_pays_nor_makes_others_pay() -> None:
    """Beside it an agent is alone, and pays the reserve."""
    mechanism = Segment(relevance={"a": 0})
    for reserve in (0.0, 0.5):
        terms = bidding((5, 1), reserve=reserve)
        assert mechanism.expected(terms).chances.tolist() == [0, 1]
        assert mechanism.expected(terms).payments.tolist() == [0, reserve]
        for seed in range(10):
            assert mechanism.settle(terms, key(seed)).payments["segment"].tolist() == [0, reserve]
    with pytest.raises(MechanismError, match="nobody can win a segment"):
        mechanism.expected(bidding((5, 0)))


def test_realised_prices_with_a_reserve_have_the_expected_mean() -> None:
    terms, n_seeds = bidding((1.0, 2.0, 0.0, 0.6), reserve=0.5), 3000
    paid = np.array([WITH.settle(terms, key(seed)).payments["segment"] for seed in range(n_seeds)])
    assert (paid[paid > 0] >= 0.5).all()
    distance = np.abs(paid.mean(axis=0) - WITH.expected(terms).payments)
    assert (distance <= 4 * paid.std(axis=0) / np.sqrt(n_seeds)).all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"unit": "word"}, "a segment is one token, sentence, text, got 'word'"),
        ({"segments": 0}, "at least 1, got 0"),
        ({"relevance": {"a": -1.0}}, "the relevance of a must be a finite number of at least 0"),
        ({"relevance": {"a": float("nan")}}, "the relevance of a must be"),
    ],
)
def test_settings_are_checked(settings: dict[str, object], message: str) -> None:
    with pytest.raises(MechanismError, match=message):
        Segment(**settings)  # type: ignore[arg-type]
