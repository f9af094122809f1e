"""Divergences, welfare and posterior weights: exact where infinite, never NaN."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mechanism_strategies import auctions, outcome
from scipy.special import rel_entr

from tokenauction_cli.mechanism.distributions import Distribution, Profile
from tokenauction_cli.mechanism.divergences import alpha_divergence, kl
from tokenauction_cli.mechanism.measures import measure, posterior
from tokenauction_cli.mechanism.outcome import Outcome
from tokenauction_cli.mechanism.welfare import optimal_welfare, welfare, welfare_share


@given(auctions())
def test_divergences_match_scipy(auction: Outcome) -> None:
    measures, p, q = measure(auction), auction.profile.p, auction.q.p
    np.testing.assert_allclose(measures.tv, 0.5 * np.abs(p - q).sum(axis=1), atol=1e-12)
    np.testing.assert_allclose(measures.kl, rel_entr(p, q).sum(axis=1), atol=1e-9)
    np.testing.assert_allclose(measures.reverse_kl, rel_entr(q, p).sum(axis=1), atol=1e-9)


@given(auctions())
def test_nothing_is_ever_nan(auction: Outcome) -> None:
    measures = measure(auction)
    assert not any(np.isnan(value).any() for value in measures)
    assert measures.welfare <= measures.optimum + 1e-9
    assert 0 <= welfare_share(*measures[3:]) <= 1


@given(auctions(rules=["linear", "log_linear", "power_mean", "power_mean_2", "power_mean_-1"], zeros=False), st.data())
def test_a_rule_maximises_its_own_welfare(auction: Outcome, data: st.DataObject) -> None:
    n_tokens = auction.profile.n_tokens
    noise = np.array(data.draw(st.lists(st.floats(0.5, 2), min_size=n_tokens, max_size=n_tokens)))
    other = Distribution(p=auction.q.p * noise / (auction.q.p * noise).sum())
    reached = measure(auction).welfare
    assert welfare(auction.rule, auction.profile, other, auction.bids) <= reached + 1e-9
    assert welfare_share(*measure(auction)[3:]) == 1


def test_welfare_by_hand() -> None:
    auction = outcome("linear", [[1, 0], [0, 1]], [1, 3])
    assert measure(auction).welfare == pytest.approx(np.log(1 / 4) + 3 * np.log(3 / 4))
    winner = measure(outcome("winner_take_all", [[1, 0], [0, 1]], [1, 3]))
    assert winner.welfare == -np.inf
    assert welfare_share(*winner[3:]) == 0
    assert measure(outcome("linear", [[1, 0], [0, 1]], [0, 3])).welfare == 0


def test_welfare_counts_the_bids_that_a_budget_keeps_out() -> None:
    measures = measure(outcome("linear", [[0.6, 0.4], [0.4, 0.6]], [0, 1]), offered=[1, 1])
    assert measures.offered == 2
    lost = 0.6 * np.log(0.6 / 0.4) + 0.4 * np.log(0.4 / 0.6)
    assert measures.welfare == pytest.approx(-lost)
    assert measures.optimum == pytest.approx(2 * (0.6 * np.log(0.5 / 0.6) + 0.4 * np.log(0.5 / 0.4)))
    assert welfare_share(*measures[3:]) == pytest.approx(np.exp((measures.welfare - measures.optimum) / 2))


def test_an_optimum_nobody_can_reach() -> None:
    profile = Profile.of([[1, 0], [0, 1]])
    assert optimal_welfare(outcome("log_linear", profile, [1, 0]).rule, profile, [1, 1]) == -np.inf
    measures = measure(outcome("log_linear", profile, [1, 0]), offered=[1, 1])
    assert welfare_share(*measures[3:]) == 1


def test_kl_far_below_the_smallest_float() -> None:
    """p_t = e^-20000 is 0 in float64; the divergence from it is not infinite."""
    profile = Profile.from_logits([[0.0, 0.0], [0.0, -20000.0]], [1, 1])
    assert measure(outcome("linear", profile, [0, 1])).kl[0] == pytest.approx(10000 - np.log(2))
    third = Profile.from_logits([[0.0, 0.0], [0.0, -20000.0], [0.0, -30000.0]], [1, 1, 1])
    assert measure(outcome("linear", third, [0, 1, 1])).kl[0] == pytest.approx(10000 - np.log(2), rel=1e-3)


@pytest.mark.parametrize("r", [-1.0, 0.5, 2.0])
def test_alpha_divergence(r: float) -> None:
    p, q = np.array([0.5, 0.5, 0.0]), np.array([0.1, 0.9, 0.0])
    expected = (1 - (p[:2] ** r * q[:2] ** (1 - r)).sum()) / (r * (1 - r))
    assert alpha_divergence(Distribution(p=p), Distribution(p=q), r) == pytest.approx(expected)
    assert alpha_divergence(Distribution(p=p), Distribution(p=p), r) == pytest.approx(0, abs=1e-12)
    near = alpha_divergence(Distribution(p=p), Distribution(p=q), 1 + 1e-6)
    assert near == pytest.approx(kl(Distribution(p=p), Distribution(p=q)), abs=1e-5)
    half = Distribution(p=np.array([0.5, 0.5])), Distribution(p=np.array([1.0, 0.0]))
    assert np.isfinite(alpha_divergence(*half, r)) == (r < 1)
    assert np.isfinite(alpha_divergence(*half[::-1], r)) == (r > 0)


def test_posterior_by_hand() -> None:
    np.testing.assert_allclose(posterior([1, 3], np.log([0.6, 0.2])), [0.5, 0.5])
    np.testing.assert_array_equal(posterior([1, 3], [-np.inf, -5]), [0, 1])
    np.testing.assert_array_equal(posterior([0, 3], [-1, -5000]), [0, 1])
    np.testing.assert_array_equal(posterior([1, 3], [-np.inf, -np.inf]), [0.25, 0.75])
