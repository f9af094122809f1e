"""Screening: recorded texts reweighted to other bids agree with the enumeration, and say on how much they rest."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from token_chains import M3, VALUE, terminal

from tokenauction_cli.mechanism.audit.finding import AuditError
from tokenauction_cli.mechanism.payments.second_price import mean_price
from tokenauction_cli.mechanism.registry import find
from tokenauction_cli.mechanism.whole_texts.screening import RecordedText, Screening, Setting, screen

GRID = (0.0, 0.5, 0.75, 1.0, 1.5, 4.0)
LOG_HALF = math.log(0.5)
ONE_DRAW = (
    RecordedText(np.log([[0.8], [0.2]]), utility=1.0, second_price=0.3),
    RecordedText(np.log([[0.2], [0.8]]), utility=0.0, second_price=0.3),
)


def setting(payment: str = "second_price", bids: tuple[float, ...] = (1.0, 1.0), rule: str = "linear") -> Setting:
    return Setting(find("aggregation", rule), payment, bids, agent=0)


def recorded(kind: str, n_texts: int) -> list[RecordedText]:
    """Texts of M3 at the bids (1, 1), as a trace has them."""
    texts = M3.draw(kind, n_texts, seed=3, bids=(VALUE,)).tokens[0]
    after = np.concatenate([np.zeros((n_texts, 1), dtype=int), 1 + texts[:, :-1]], axis=1)
    log_p = np.log(np.stack([M3.p[after, texts], M3.others[after, texts]], axis=1))
    prices = (M3.distance[after] * mean_price(VALUE, 1.0)).sum(axis=1)
    return [RecordedText(*text) for text in zip(log_p, terminal(kind, texts), prices, strict=True)]


def test_two_texts_by_hand() -> None:
    """q is (.5, .5) at the bid 1 and (.6, .4) at 2: weights 1.2 and .8, so 60 % of the utility, and 4 / 2.08 texts."""
    found = screen(ONE_DRAW, setting(), (1.0, 2.0))
    ratio = (math.log(3) - 2 / 3) / (math.log(2) - 1 / 2)
    np.testing.assert_allclose(found.utility, [0.5 - 0.3, 0.6 - 0.3 * ratio])
    np.testing.assert_allclose(found.effective_texts, [2, 4 / 2.08])


def test_pay_your_bid_is_the_bid_for_every_draw() -> None:
    longer = RecordedText(np.full((2, 3), LOG_HALF), utility=2.0)
    found = screen([longer], setting("pay_your_bid"), (0.0, 0.25, 1.0))
    assert found.utility.tolist() == [2.0, 1.25, -1.0]
    assert found.effective_texts.tolist() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("kind", ["count", "mention"])
def test_the_predictions_are_near_the_enumeration(kind: str) -> None:
    found = screen(recorded(kind, 4000), setting(), GRID)
    exact = [M3.mean_utility(kind, bid) for bid in GRID]
    np.testing.assert_allclose(found.utility, exact, atol=0.06)
    assert found.choose() == GRID[int(np.argmax(exact))]
    assert found.effective_texts.argmax() == GRID.index(VALUE)
    assert found.effective_texts.max() == pytest.approx(4000)


@given(st.integers(0, 10**6), st.floats(0.1, 10), st.floats(0.1, 10))
def test_to_its_own_bids_and_back_nothing_changes(seed: int, bid: float, scale: float) -> None:
    """At the recorded bid: plain means and all texts. Only the ratios of bids count for the weights."""
    rng = np.random.default_rng(seed)
    texts = [RecordedText(np.log(rng.random((2, n))), rng.normal(), rng.random()) for n in (1, 4, 2)]
    found = screen(texts, setting(bids=(bid, 1.0)), (bid, 2 * bid))
    assert found.utility[0] == pytest.approx(np.mean([text.utility - text.second_price for text in texts]))
    assert found.effective_texts[0] == pytest.approx(3)
    scaled = screen(texts, setting(bids=(scale * bid, scale)), (scale * bid, 2 * scale * bid))
    np.testing.assert_allclose(scaled.effective_texts, found.effective_texts)


def test_long_texts_and_tiny_probabilities_neither_overflow_nor_vanish() -> None:
    rng = np.random.default_rng(0)
    texts = [RecordedText(rng.uniform(-2000, -1000, (2, 500)), 1.0) for _ in range(5)]
    found = screen(texts, setting("pay_your_bid"), (1e-9, 1e9))
    assert np.isfinite(found.utility).all()
    assert (found.effective_texts >= 1 - 1e-9).all()


def test_a_bid_at_which_no_recorded_text_can_be_drawn_is_not_chosen() -> None:
    text = RecordedText(np.array([[0.0], [-np.inf]]), utility=5.0, second_price=0.1)
    found = screen([text], setting(), (0.0, 1.0))
    assert (found.utility[0], found.effective_texts[0]) == (-np.inf, 0.0)
    assert found.choose(least=1.0) == 1.0


def test_a_utility_of_minus_infinity_counts_only_where_its_text_can_be_drawn() -> None:
    texts = [RecordedText(np.array([[-np.inf], [0.0]]), -np.inf), RecordedText(np.array([[0.0], [-np.inf]]), 1.0)]
    three = [*texts, RecordedText(np.array([[LOG_HALF], [LOG_HALF]]), 0.0)]
    assert screen(three, setting("pay_your_bid"), (1.0,)).utility.tolist() == [-np.inf]
    others = Setting(find("aggregation", "linear"), "pay_your_bid", (1.0, 1.0), agent=1)
    assert screen(three, others, (0.0,)).utility.tolist() == [pytest.approx(2 / 3)]


def test_the_choice_needs_ten_effective_texts() -> None:
    found = Screening(np.array([0.5, 1.0, 2.0]), np.array([3.0, 1.0, 2.0]), np.array([9.9, 40.0, 10.0]))
    assert found.choose() == 2.0
    assert Screening(found.bids, found.utility, np.full(3, 9.0)).choose() is None


@pytest.mark.parametrize(
    ("given_setting", "why"),
    [
        (setting(rule="log_linear"), "log_linear cannot be screened"),
        (setting(rule="winner_take_all"), "winner_take_all cannot be screened"),
        (setting("vcg"), "vcg cannot be screened"),
        (setting(bids=(1.0, 0.0)), "every bid draws the same texts"),
        (setting(bids=(0.0, 1.0)), "bids 0 pays 0"),
    ],
)
def test_what_cannot_be_screened_is_refused_with_a_reason(given_setting: Setting, why: str) -> None:
    assert why in given_setting.refusal
    with pytest.raises(AuditError, match=why):
        screen(ONE_DRAW, given_setting, (1.0,))


def test_other_nonsense_is_refused() -> None:
    for texts, candidates in (((), (1.0,)), (ONE_DRAW, ())):
        with pytest.raises(AuditError, match="a recorded text and a bid"):
            screen(texts, setting(), candidates)
    with pytest.raises(AuditError, match="probability 0 at the recorded bids"):
        screen([RecordedText(np.array([[0.0], [-np.inf]]), 1.0)], setting("pay_your_bid", (0.0, 1.0)), (1.0,))
