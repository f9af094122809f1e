"""Text pool: the hand-checked case of three texts, and that it is the log-linear auction of whole texts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mechanism_strategies import bid_vectors, bidding, candidate_sets, outcome, profiles

from tokenauction_cli.mechanism.alternatives.candidates import Candidates
from tokenauction_cli.mechanism.alternatives.mosaic import Mosaic
from tokenauction_cli.mechanism.alternatives.text_pool import TextPool
from tokenauction_cli.mechanism.distributions import Profile
from tokenauction_cli.mechanism.registry import find
from tokenauction_cli.mechanism.sampling.randomness import DrawKey, Randomness


def test_three_texts_each_once() -> None:
    candidates = Candidates.each_once(np.log([[0.2, 0.6, 0.2], [0.1, 0.3, 0.6]]))
    q, payments = TextPool().expected(candidates, bidding((1, 1)))
    np.testing.assert_allclose(q, [0.1550510257, 0.4651530772, 0.3797958971], atol=1e-10)
    np.testing.assert_allclose(payments, [0.0983326274, 0.0856883419], atol=1e-10)


@given(profiles(), st.data())
def test_with_texts_for_tokens_it_is_log_linear_and_clarke(profile: Profile, data: st.DataObject) -> None:
    bids = data.draw(bid_vectors(profile.n_agents))
    auction = outcome("log_linear", profile, bids)
    q, payments = TextPool().expected(Candidates.each_once(profile.log_p), bidding(bids))
    np.testing.assert_allclose(q, auction.q.p, atol=1e-12)
    np.testing.assert_allclose(payments, find("payment", "vcg").expected(auction), atol=1e-10)


@given(candidate_sets(), st.data(), st.integers(0, 10**6))
def test_mosaic_with_the_sum_of_bids_as_tau_chooses_the_same(
    candidates: Candidates, data: st.DataObject, seed: int
) -> None:
    assert candidates.log_reference is not None
    open_to_all = Candidates(candidates.log_p, candidates.log_generator, np.maximum(candidates.log_reference, -9.0))
    bids = bidding(data.draw(bid_vectors(len(candidates.log_p))))
    mosaic, pool = Mosaic(tau=float(bids.bids.sum())), TextPool()
    np.testing.assert_allclose(
        mosaic.expected(open_to_all, bids).chances, pool.expected(open_to_all, bids).chances, atol=1e-12
    )
    draw_key = DrawKey(Randomness(0, "q", seed), 0)
    assert mosaic.settle(open_to_all, bids, draw_key).choice == pool.settle(open_to_all, bids, draw_key).choice


def test_a_generator_that_writes_the_pool_leaves_nothing_to_weigh() -> None:
    log_p = np.log([[0.2, 0.6, 0.2], [0.1, 0.3, 0.6]])
    candidates = Candidates(log_p, log_p.mean(axis=0))
    settled = TextPool().settle(candidates, bidding((1, 1)), DrawKey(Randomness(0, "q", 0), 0))
    assert settled.columns["ess"] == pytest.approx(3, abs=1e-12)
