"""MOSAIC: the hand-checked case of three texts, its limits, and how a seed's choice moves with a bid."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mechanism_strategies import bid_vectors, bidding, candidate_sets

from tokenauction_cli.mechanism.alternatives.candidates import Candidates
from tokenauction_cli.mechanism.alternatives.mosaic import Mosaic
from tokenauction_cli.mechanism.distributions import MechanismError
from tokenauction_cli.mechanism.sampling.randomness import DrawKey, Randomness

REFERENCE = np.log([0.5, 0.3, 0.2])
AGENTS = np.log([[0.2, 0.6, 0.2], [0.1, 0.3, 0.6]])


def key(seed: int) -> DrawKey:
    return DrawKey(Randomness(0, "q", seed), 0)


def test_three_texts_each_once() -> None:
    p, payments = Mosaic(tau=2).expected(Candidates.each_once(AGENTS, REFERENCE), bidding((1, 1)))
    np.testing.assert_allclose(p, [0.1550510257, 0.4651530772, 0.3797958971], atol=1e-10)
    np.testing.assert_allclose(payments, [0.0858835473, 0.2290197857], atol=1e-10)


def test_three_texts_of_the_reference() -> None:
    p, payments = Mosaic(tau=2).expected(Candidates(AGENTS, REFERENCE, REFERENCE), bidding((1, 1)))
    np.testing.assert_allclose(p, [0.0824829, 0.4124145, 0.5051026], atol=5e-8)
    np.testing.assert_allclose(payments, [0.0589855405, 0.1856587633], atol=1e-10)


@given(candidate_sets(), st.data())
def test_tau_0_is_clarke_over_the_best_candidate(candidates: Candidates, data: st.DataObject) -> None:
    bids = np.array(data.draw(bid_vectors(len(candidates.log_p))))
    assert candidates.mentions is not None
    assert candidates.log_reference is not None
    rewards = bids[:, None] * (candidates.mentions > 0)
    rewards[:, np.isneginf(candidates.log_reference)] = -1e3  # never chosen
    settled = Mosaic(tau=0, score="mention").settle(candidates, bidding(bids), key(1))
    total = rewards.sum(axis=0)
    assert total[settled.choice] == pytest.approx(total.max(), abs=1e-12)
    for i in range(len(bids)):
        others = np.delete(rewards, i, axis=0).sum(axis=0)
        clarke = others.max() - others[settled.choice] if bids[i] else 0.0
        assert settled.payments["mosaic_realised"][i] == pytest.approx(clarke, abs=1e-12)


def test_equal_candidates_at_tau_0_are_chosen_as_tau_vanishes() -> None:
    candidates = Candidates(np.zeros((1, 3)), np.log([0.5, 0.25, 0.25]), np.log([0.2, 0.6, 0.2]), np.array([[1, 2, 0]]))
    limit = Mosaic(tau=1e-6, score="mention").expected(candidates, bidding((1,)))
    p, payments = Mosaic(tau=0, score="mention").expected(candidates, bidding((1,)))
    np.testing.assert_allclose(p, [1 / 7, 6 / 7, 0], atol=1e-12)
    np.testing.assert_allclose(limit.chances, p, atol=1e-12)
    np.testing.assert_allclose(limit.payments, payments, atol=1e-5)
    chosen = [
        Mosaic(tau=0, score="mention").settle(candidates, bidding((1,)), key(seed)).choice for seed in range(3000)
    ]
    assert abs(chosen.count(0) - 3000 * p[0]) <= 4 * np.sqrt(3000 * p[0] * p[1])
    assert 2 not in chosen


@given(candidate_sets(), st.data(), st.integers(0, 1000), st.sampled_from([0.0, 0.3, 2.0]))
def test_a_higher_bid_never_lowers_the_own_score(
    candidates: Candidates, data: st.DataObject, seed: int, tau: float
) -> None:
    bids = data.draw(bid_vectors(len(candidates.log_p)))
    assert candidates.log_reference is not None
    chosen = [
        Mosaic(tau).settle(candidates, bidding((bid, *bids[1:])), key(seed)).choice for bid in (0.001, 0.5, 1.0, 3.0)
    ]
    scores = candidates.log_p[0][chosen] - candidates.log_reference[chosen]
    assert (np.diff(scores[1:]) >= -1e-12).all()


def test_a_lone_bidder_pays_for_moving_the_text_from_the_reference() -> None:
    candidates = Candidates(AGENTS, REFERENCE, REFERENCE)
    p, payments = Mosaic(tau=2).expected(candidates, bidding((1, 0)))
    against_reference = 2 * (p * np.log(p / (np.full(3, 1 / 3)))).sum()
    assert payments.tolist() == pytest.approx([against_reference, 0], abs=1e-12)


def test_what_the_reference_cannot_say_is_never_chosen() -> None:
    candidates = Candidates.each_once(AGENTS, [np.log(0.5), -np.inf, np.log(0.5)], [[0, 1, 0], [0, 1, 0]])
    for mechanism in (Mosaic(), Mosaic(tau=0), Mosaic(score="mention"), Mosaic(tau=0, score="mention")):
        p, payments = mechanism.expected(candidates, bidding((9, 9)))
        assert p[1] == 0
        assert np.isfinite(payments).all()


def test_without_a_reference_the_generator_is_the_reference() -> None:
    candidates = Candidates(AGENTS, REFERENCE, None, np.array([[1, 0, 0], [0, 1, 0]]))
    p, _ = Mosaic(tau=1, score="mention").expected(candidates, bidding((np.log(2), 0)))
    np.testing.assert_allclose(p, [0.5, 0.25, 0.25], atol=1e-12)


def test_the_effective_sample_size_is_reported() -> None:
    candidates = Candidates.each_once(AGENTS, REFERENCE)
    columns = Mosaic().settle(candidates, bidding((1, 1)), key(0)).columns
    assert columns["ess"] == pytest.approx(1 / (0.1550510257**2 + 0.4651530772**2 + 0.3797958971**2), abs=1e-8)


@pytest.mark.parametrize("tau", [-1, np.nan, np.inf])
def test_tau_is_checked(tau: float) -> None:
    with pytest.raises(MechanismError, match="tau must be a finite number of at least 0"):
        Mosaic(tau)


def test_scores_are_checked() -> None:
    with pytest.raises(MechanismError, match="score must be log_ratio or mention, got 'length'"):
        Mosaic(score="length")  # type: ignore[arg-type]
    with pytest.raises(MechanismError, match="needs a reference"):
        Mosaic().expected(Candidates.each_once(AGENTS), bidding((1, 1)))
    with pytest.raises(MechanismError, match="needs the mentions"):
        Mosaic(score="mention").expected(Candidates.each_once(AGENTS, REFERENCE), bidding((1, 1)))
