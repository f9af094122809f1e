"""Contests whose equilibria are known: what learning, truth and pacing come to."""

from __future__ import annotations

import numpy as np
import pytest
from contests import bidder, contest, played

from tokenauction_cli.market.game import best_welfare, truth_of

GRID = np.array([*(k / 18 for k in range(1, 19)), 1.25, 1.5, 2, 2.5, 3])
HEDGE = [bidder("hedge")] * 2


def test_hedge_finds_the_equilibrium_where_bids_are_paid() -> None:
    """A Tullock contest: bids (4/9, 2/9), revenue 2/3, utilities 8/9 and 1/9, welfare 5/3 of 2."""
    setup, game = contest([GRID, GRID], [2, 1], "pay_your_bid")
    found = played(setup, game, HEDGE, 8_000)
    assert found.mean_bid[:, 0] == pytest.approx([4 / 9, 2 / 9], abs=0.01)
    assert found.paid.sum() == pytest.approx(2 / 3, abs=0.02)
    assert (found.worths - found.paid)[:, 0] == pytest.approx([8 / 9, 1 / 9], abs=0.02)
    assert found.regret.max() < 0.01
    assert found.regret.min() > 0
    assert best_welfare(setup, game) / found.worths.sum() == pytest.approx(1.2, abs=0.02)


def test_hedge_bids_nearly_the_truth_at_second_price() -> None:
    """Truth is dominant, bids near it cost little."""
    setup, game = contest([GRID, GRID], [2, 1], "second_price")
    found = played(setup, game, HEDGE, 8_000)
    assert found.mean_bid[:, 0] == pytest.approx([2.05, 0.92], abs=0.05)
    assert found.paid.sum() == pytest.approx(0.565, abs=0.01)
    assert found.regret.max() < 0.005


def test_what_truth_earns_is_exact_also_between_bids_of_the_grid() -> None:
    setup, game = contest([GRID, GRID], [2, 1], "second_price")
    assert truth_of(setup, game).payments.sum() == pytest.approx(0.5762091716, abs=1e-10)
    between, coarse = contest([np.array([1.0, 3.0]), np.array([0.0, 1.0])], [2, 1], "pay_your_bid")
    truth = truth_of(between, coarse)
    assert truth.payments.tolist() == [2, 1]
    assert truth.mentions.tolist() == pytest.approx([(1 / 2 + 3 / 4) / 2, (1 / 2 + 1 / 4) / 2])


def test_pacing_finds_the_bid_that_spends_its_share() -> None:
    """H(b, 1) = 0.1 at b = 0.62123, whatever the value; the money ends early, by what was spent before mu settled."""
    setup, game = contest([np.arange(13) / 16, np.array([0.0, 1.0])], [3, 1], "second_price")
    found = played(setup, game, [bidder("pacing", budget=600.0), bidder("fixed", 1.0)], 6_000)
    assert found.mean_bid[0, 0] == pytest.approx(0.6212268350, abs=0.002)
    assert found.ended[0, 0] == pytest.approx(5_702, abs=15)
    assert 599.8 < found.spent[0, 0] <= 600
    assert found.ended[1, 0] == 6_000
    assert 0 < found.outside[0, 0] < 0.3, "a value of 3 lies outside of the grid until mu has grown"


def test_best_replies_settle_at_the_equilibrium() -> None:
    setup, game = contest([GRID, GRID], [2, 1], "pay_your_bid")
    found = played(setup, game, [bidder("best_reply")] * 2, 2_000)
    assert found.mean_bid[:, 0] == pytest.approx([4 / 9, 2 / 9], abs=0.03)
