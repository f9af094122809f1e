"""Laws of every aggregation rule."""

from __future__ import annotations

from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mechanism_strategies import ALL_RULES, auctions, outcome, profiles

from tokenauction_cli.mechanism.distributions import MechanismError, Profile, log_normalize, weights_of
from tokenauction_cli.mechanism.outcome import Outcome
from tokenauction_cli.mechanism.terms import Terms, relative_bids

every_rule = pytest.mark.parametrize("rule", ALL_RULES)


@given(auctions())
def test_q_sums_to_one(auction: Outcome) -> None:
    assert auction.q.p.sum() == pytest.approx(1, abs=1e-12)
    assert (auction.q.p >= 0).all()


@given(auctions())
def test_tokens_nobody_offers_stay_impossible(auction: Outcome) -> None:
    offered = (auction.profile.p[auction.weights > 0] > 0).any(axis=0)
    assert not auction.q.p[~offered].any()
    assert np.isneginf(auction.q.log_p[~offered]).all()


@given(profiles(n=3), st.sampled_from(ALL_RULES), st.integers(0, 2))
def test_the_only_bidder_gets_its_own_distribution_exactly(profile: Profile, rule: str, i: int) -> None:
    bids = np.zeros(3)
    bids[i] = 0.7
    np.testing.assert_array_equal(outcome(rule, profile, bids).q.p, profile.p[i])


@given(auctions(n=3))
def test_a_zero_bid_removes_the_agent(auction: Outcome) -> None:
    bids = auction.bids.copy()
    bids[0] = 0
    if not bids.any():
        return
    without_it = outcome(auction.rule.name, Profile.of(auction.profile.p[1:]), bids[1:])
    np.testing.assert_allclose(outcome(auction.rule.name, auction.profile, bids).q.p, without_it.q.p, atol=1e-12)


@given(auctions(), st.randoms())
def test_permuting_the_agents_changes_nothing(auction: Outcome, random: Random) -> None:
    order = random.sample(range(auction.n_agents), auction.n_agents)
    shuffled = outcome(auction.rule.name, Profile.of(auction.profile.p[order]), auction.bids[order])
    np.testing.assert_allclose(shuffled.q.p, auction.q.p, atol=1e-12)


@given(auctions(), st.floats(0.01, 100))
def test_only_the_ratios_of_bids_count(auction: Outcome, factor: float) -> None:
    if auction.rule.name == "winner_take_all":
        factor = 2.0  # exact, so that equal bids stay equal
    scaled = outcome(auction.rule.name, auction.profile, auction.bids * factor)
    np.testing.assert_allclose(scaled.q.p, auction.q.p, atol=1e-12)


@given(st.lists(st.floats(-50, 50), min_size=2, max_size=8), st.floats(-1e4, 1e4), st.sampled_from(ALL_RULES))
def test_a_common_shift_of_the_logits_changes_nothing(logits: list[float], shift: float, rule: str) -> None:
    x = np.array(logits)
    rows = [x, x[::-1]]
    q = outcome(rule, Profile.from_logits(rows, [1, 2]), [1, 2]).q.p
    shifted = outcome(rule, Profile.from_logits([row + shift for row in rows], [1, 2]), [1, 2]).q.p
    np.testing.assert_allclose(shifted, q, atol=1e-9)


@every_rule
def test_extreme_logits(rule: str) -> None:
    profile = Profile.from_logits([[1e4, -1e4, 0.0], [-1e4, 1e4, 0.0]], [1, 1])
    q = outcome(rule, profile, [1, 3]).q
    assert np.isfinite(q.log_p).all()
    assert q.p.sum() == pytest.approx(1, abs=1e-12)


@every_rule
def test_262_144_tokens_in_float32_lose_nothing(rule: str) -> None:
    logits = np.random.default_rng(3).normal(0, 8, (2, 262_144)).astype(np.float32)
    profile = Profile.from_logits(list(logits), [0.7, 1.3])
    exact = logits.astype(np.longdouble) / np.array([[0.7], [1.3]], dtype=np.longdouble)
    exact = np.exp(exact - exact.max(axis=1, keepdims=True))
    exact /= exact.sum(axis=1, keepdims=True)
    assert np.abs(profile.p - exact).max() < 1e-12
    assert outcome(rule, profile, [1, 2]).q.p.sum() == pytest.approx(1, abs=1e-12)
    means = {"linear": exact[0] / 3 + 2 * exact[1] / 3, "log_linear": np.cbrt(exact[0] * exact[1] ** 2)}
    if rule in means:
        q = means[rule] / means[rule].sum()
        assert np.abs(outcome(rule, profile, [1, 2]).q.p - q).max() < 1e-12


def test_float32_probabilities_are_scaled_to_sum_one() -> None:
    p = np.random.default_rng(0).dirichlet(np.full(262_144, 0.1)).astype(np.float32)
    profile = Profile.of([p])
    assert profile.p.sum() == pytest.approx(1, abs=1e-12)
    assert np.abs(profile.p[0] - p).max() < 1e-6


@pytest.mark.parametrize("bids", [[-1, 1], [np.nan, 1], [np.inf, 1], [0, 0]])
@every_rule
def test_bad_bids(rule: str, bids: list[float]) -> None:
    with pytest.raises(MechanismError, match="bids"):
        outcome(rule, [[1, 0], [0, 1]], bids)


@pytest.mark.parametrize(
    ("rows", "complaint"),
    [
        ([[0.5, 0.5], [0.5, 0.4]], "row 1: probabilities must sum to 1, got 0.9"),
        ([[1.5, -0.5]], "row 0"),
        ([[np.nan, 1]], "row 0"),
        ([1.0], "one row of probabilities per agent"),
    ],
)
def test_bad_distributions(rows: Any, complaint: str) -> None:
    with pytest.raises(MechanismError, match=complaint):
        Profile.of(rows)


def test_huge_bids_are_bad_bids() -> None:
    np.testing.assert_array_equal(weights_of([8e307, 8e307]), [0.5, 0.5])
    with pytest.raises(MechanismError, match="sum of the bids"):
        weights_of([1.7e308, 1.7e308])


def test_a_distribution_needs_a_finite_score() -> None:
    for scores in ([-np.inf, -np.inf], [np.nan, 0.0], [np.inf, 0.0]):
        with pytest.raises(MechanismError, match="finite score"):
            log_normalize(scores)


def test_relative_bids() -> None:
    terms = Terms(("a", "b", "c", "r"), configured=(5, 1, 3, 7), charged=(True, True, True, False))
    np.testing.assert_allclose(relative_bids(terms, 0.25, 8), [2, 1.5, 4.5, 7])
    np.testing.assert_allclose(relative_bids(terms, 1, 8), [8, 0, 0, 7])
    with pytest.raises(MechanismError, match="relative weight"):
        relative_bids(terms, 1.5, 8)
    with pytest.raises(MechanismError, match="no other charged agent"):
        relative_bids(Terms(("a",)), 0.5, 1)


def test_the_reserve_silences_low_bids_of_charged_agents() -> None:
    terms = Terms(("a", "b", "r"), charged=(True, True, False), reserve=1.0)
    np.testing.assert_array_equal(terms.effective([0.5, 1.0, 0.5]), [0, 1.0, 0.5])
