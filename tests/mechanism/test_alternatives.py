"""Laws of all mechanisms beside the token auction: who pays nothing, symmetry, scale, means, and that truth pays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mechanism_strategies import bid_vectors, bidding, candidate_sets

from tokenauction_cli.mechanism.alternatives.candidates import Candidates, effective_sample_size
from tokenauction_cli.mechanism.alternatives.mechanisms import Expected, Mechanism, Settled
from tokenauction_cli.mechanism.alternatives.mosaic import Mosaic
from tokenauction_cli.mechanism.alternatives.segment import Segment
from tokenauction_cli.mechanism.alternatives.text_pool import TextPool
from tokenauction_cli.mechanism.alternatives.whole_text import Highest, Lottery
from tokenauction_cli.mechanism.distributions import MechanismError
from tokenauction_cli.mechanism.registry import find
from tokenauction_cli.mechanism.sampling.randomness import DrawKey, Randomness
from tokenauction_cli.mechanism.terms import Bidding, Terms, bidding_of

RELEVANCE = {"a": 0.5, "b": 1.5, "d": 0.25}
ALL: dict[str, Mechanism] = {
    "mosaic": Mosaic(),
    "mosaic, tau 0": Mosaic(tau=0),
    "mosaic, mention": Mosaic(tau=0.5, score="mention"),
    "mosaic, mention, tau 0": Mosaic(tau=0, score="mention"),
    "text_pool": TextPool(),
    "lottery": Lottery(),
    "highest": Highest(),
    "segment": Segment(relevance=RELEVANCE),
}
each = pytest.mark.parametrize("mechanism", ALL.values(), ids=ALL)
TRUTHFUL_GAIN = 1e-12


def expected(mechanism: Any, candidates: Candidates, bids: Bidding) -> Expected:
    return mechanism.expected(*([candidates] if mechanism.writers == "generator" else []), bids)


def settle(mechanism: Any, candidates: Candidates, bids: Bidding, seed: int) -> Settled:
    draw_key = DrawKey(Randomness(0, "q", seed), 0)
    return mechanism.settle(*([candidates] if mechanism.writers == "generator" else []), bids, draw_key)


def play(data: st.DataObject, n: int | None = None) -> tuple[Candidates, tuple[float, ...]]:
    candidates = data.draw(candidate_sets(n=n))
    return candidates, data.draw(bid_vectors(len(candidates.log_p)))


@each
@given(data=st.data(), seed=st.integers(0, 10**6))
def test_payments_are_finite_non_negative_and_nothing_for_nothing(
    mechanism: Mechanism, data: st.DataObject, seed: int
) -> None:
    candidates, bids = play(data)
    mean = expected(mechanism, candidates, bidding(bids))
    settled = settle(mechanism, candidates, bidding(bids), seed)
    assert tuple(settled.payments) == mechanism.payments
    assert mean.chances.sum() == pytest.approx(1, abs=1e-12)
    assert mean.chances[settled.choice] > 0
    for paid in (mean.payments, *settled.payments.values()):
        assert np.isfinite(paid).all()
        assert (paid >= 0).all()
        assert (paid[np.array(bids) == 0] == 0).all()
    if mechanism.writers == "agents":
        assert bids[settled.choice] > 0
        assert (settled.payments[mechanism.payments[0]] <= bids).all()
        assert (np.delete(settled.payments[mechanism.payments[0]], settled.choice) == 0).all()


@pytest.mark.parametrize("name", sorted(set(ALL) - {"mosaic", "mosaic, mention"}))
@given(data=st.data(), seed=st.integers(0, 10**6))
def test_a_lone_bidder_pays_nothing(name: str, data: st.DataObject, seed: int) -> None:
    candidates = data.draw(candidate_sets())
    n = len(candidates.log_p)
    alone = bidding(2.0 * np.eye(n)[data.draw(st.integers(0, n - 1))])
    assert not expected(ALL[name], candidates, alone).payments.any()
    for paid in settle(ALL[name], candidates, alone, seed).payments.values():
        assert not paid.any()


@each
@given(data=st.data())
def test_without_bids_there_is_no_outcome(mechanism: Mechanism, data: st.DataObject) -> None:
    candidates = data.draw(candidate_sets())
    with pytest.raises(MechanismError, match="all bids are zero"):
        expected(mechanism, candidates, bidding([0.0] * len(candidates.log_p)))


@each
@given(data=st.data(), seed=st.integers(0, 10**6))
def test_permuting_the_agents_permutes_the_result(mechanism: Mechanism, data: st.DataObject, seed: int) -> None:
    candidates = data.draw(candidate_sets())
    n = len(candidates.log_p)
    bids = data.draw(st.lists(st.floats(0.01, 3), min_size=n, max_size=n, unique=True))
    order = data.draw(st.permutations(range(n)))
    assert candidates.mentions is not None
    other = Candidates(
        candidates.log_p[order], candidates.log_generator, candidates.log_reference, candidates.mentions[order]
    )
    here = bidding(bids)
    there = bidding_of(Terms(tuple(here.terms.ids[i] for i in order)), tuple(bids[i] for i in order))
    once, more = expected(mechanism, candidates, here), expected(mechanism, other, there)
    np.testing.assert_allclose(more.payments, once.payments[order], atol=1e-12)
    writes = mechanism.writers == "agents"
    np.testing.assert_allclose(more.chances, once.chances[order] if writes else once.chances, atol=1e-12)
    if writes and mechanism.name != "lottery":  # whose one number takes the agents as they are listed
        settled, again = settle(mechanism, candidates, here, seed), settle(mechanism, other, there, seed)
        assert order[again.choice] == settled.choice
        for name, paid in settled.payments.items():
            np.testing.assert_allclose(again.payments[name], paid[order], atol=1e-12)


@each
@given(data=st.data(), seed=st.integers(0, 10**6))
def test_scaling_all_money_scales_the_payments_alone(mechanism: Mechanism, data: st.DataObject, seed: int) -> None:
    candidates, bids = play(data)
    more = Mosaic(4 * mechanism.tau, mechanism.score) if isinstance(mechanism, Mosaic) else mechanism
    here, there = bidding(bids), bidding([4 * bid for bid in bids])
    np.testing.assert_allclose(
        expected(more, candidates, there).payments, 4 * expected(mechanism, candidates, here).payments, atol=1e-12
    )
    once, again = settle(mechanism, candidates, here, seed), settle(more, candidates, there, seed)
    assert again.choice == once.choice
    for name, paid in once.payments.items():
        np.testing.assert_allclose(again.payments[name], 4 * paid, atol=1e-12)


@each
def test_a_reference_agent_counts_and_pays_nothing(mechanism: Mechanism) -> None:
    candidates = Candidates.each_once(
        np.log([[0.2, 0.6, 0.2], [0.1, 0.3, 0.6]]), np.log([0.5, 0.3, 0.2]), [[1, 1, 0], [0, 1, 1]]
    )
    charged, exempt = bidding((2, 3)), bidding((2, 3), charged=(True, False))
    once, more = expected(mechanism, candidates, charged), expected(mechanism, candidates, exempt)
    np.testing.assert_array_equal(more.chances, once.chances)
    np.testing.assert_array_equal(more.payments, once.payments * [1, 0])
    for seed in range(20):
        for paid in settle(mechanism, candidates, exempt, seed).payments.values():
            assert paid[1] == 0


@each
@pytest.mark.parametrize("bids", [(1, 2, 1.5), (3, 0, 0.5)])
def test_realised_payments_and_choices_have_the_expected_means(mechanism: Mechanism, bids: tuple[float, ...]) -> None:
    """Within four standard errors of 3000 seeds."""
    candidates = Candidates(
        np.log([[0.2, 0.6, 0.2, 0.2], [0.1, 0.3, 0.6, 0.6], [0.5, 0.2, 0.3, 0.3]]),
        np.log([0.3, 0.5, 0.2, 0.2]),
        np.log([0.5, 0.3, 0.2, 0.2]),
        np.array([[1, 0, 0, 0], [0, 1, 1, 1], [0, 0, 1, 1]]),
    )
    mean, n_seeds = expected(mechanism, candidates, bidding(bids)), 3000
    settled = [settle(mechanism, candidates, bidding(bids), seed) for seed in range(n_seeds)]
    counts = np.bincount([one.choice for one in settled], minlength=len(mean.chances))
    spread = np.sqrt(n_seeds * mean.chances * (1 - mean.chances))
    assert (np.abs(counts - n_seeds * mean.chances) <= 4 * spread + 1e-9).all()
    for name in mechanism.payments:
        paid = np.array([one.payments[name] for one in settled])
        assert (np.abs(paid.mean(axis=0) - mean.payments) <= 4 * paid.std(axis=0) / np.sqrt(n_seeds) + 1e-12).all()


@pytest.mark.parametrize("mechanism", [m for m in ALL.values() if m.writers == "generator"], ids=lambda m: m.name)
@given(data=st.data())
def test_a_candidate_counts_as_often_as_it_was_written(mechanism: Mechanism, data: st.DataObject) -> None:
    """Two copies are one text to which the generator gives half: as many as it wrote, for their importance weight."""
    one, bids = play(data)
    assert one.mentions is not None
    assert one.log_reference is not None
    pick = [*range(one.n_texts), 0]
    copied = Candidates(one.log_p[:, pick], one.log_generator[pick], one.log_reference[pick], one.mentions[:, pick])
    halved = Candidates(
        one.log_p, one.log_generator - np.log(2) * (np.arange(one.n_texts) == 0), one.log_reference, one.mentions
    )
    many, once = (expected(mechanism, candidates, bidding(bids)) for candidates in (copied, halved))
    np.testing.assert_allclose(many.payments, once.payments, atol=1e-12)
    np.testing.assert_allclose(many.chances[1:-1], once.chances[1:], atol=1e-12)
    assert many.chances[0] + many.chances[-1] == pytest.approx(once.chances[0], abs=1e-12)


@given(candidate_sets(n=2, most=1), bid_vectors(2))
def test_with_one_candidate_nothing_is_decided(candidates: Candidates, bids: tuple[float, ...]) -> None:
    for mechanism in ALL.values():
        if mechanism.writers == "generator":
            mean = expected(mechanism, candidates, bidding(bids))
            np.testing.assert_array_equal(mean.chances, [1])
            np.testing.assert_allclose(mean.payments, 0, atol=1e-14)
            assert settle(mechanism, candidates, bidding(bids), 3).columns["ess"] == 1


def utility(mechanism: Any, candidates: Candidates, bids: Bidding, i: int, value: float) -> float:
    """What agent i has in the mean, worth what the mechanism says it is truthful for."""
    mean = expected(mechanism, candidates, bids)
    held = np.flatnonzero(mean.chances)
    p, own = mean.chances[held], candidates.log_p[i]
    (kind,) = mechanism.truthful_for
    if kind == "writing":
        worth = mean.chances[i]
    elif kind == "reverse_kl":
        worth = -(p * (np.log(p) - (own - candidates.log_generator)[held])).sum()
    elif kind == "mention":
        assert candidates.mentions is not None
        worth = (p * (candidates.mentions[i] > 0)[held]).sum()
    else:
        assert candidates.log_reference is not None
        worth = (p * (own[held] - candidates.log_reference[held])).sum()
    return (value * worth if value else 0.0) - mean.payments[i]


@each
@given(data=st.data(), other=st.one_of(st.just(0.0), st.floats(0.01, 6)))
def test_no_other_bid_gains(mechanism: Mechanism, data: st.DataObject, other: float) -> None:
    candidates, bids = play(data)
    i = data.draw(st.integers(0, len(bids) - 1))
    deviation = (*bids[:i], other, *bids[i + 1 :])
    if bids[i] > 0 and any(deviation):
        truth = utility(mechanism, candidates, bidding(bids), i, bids[i])
        assert utility(mechanism, candidates, bidding(deviation), i, bids[i]) - truth <= TRUTHFUL_GAIN


@pytest.mark.parametrize("name", ["lottery", "highest", "segment"])
@given(data=st.data(), other=st.floats(0, 6), reserve=st.floats(0, 2))
def test_nor_with_a_reserve(name: str, data: st.DataObject, other: float, reserve: float) -> None:
    candidates, bids = play(data, n=3)
    terms = Terms(tuple("abc"), reserve=reserve)
    truthful, deviating = (terms.effective(b) for b in (bids, (other, *bids[1:])))
    if truthful.any() and deviating.any():
        truth, lie = (
            utility(ALL[name], candidates, bidding_of(terms, tuple(b.tolist())), 0, bids[0])
            for b in (truthful, deviating)
        )
        assert lie - truth <= TRUTHFUL_GAIN


def test_what_each_is_truthful_for_and_needs() -> None:
    assert {name: " ".join(sorted(m.truthful_for)) for name, m in ALL.items()} == {
        "mosaic": "log_ratio", "mosaic, tau 0": "log_ratio", "mosaic, mention": "mention",
        "mosaic, mention, tau 0": "mention", "text_pool": "reverse_kl", "lottery": "writing", "highest": "writing",
        "segment": "writing",
    }  # fmt: skip
    assert {name for name, m in ALL.items() if "log_reference" in m.needs} == {"mosaic", "mosaic, tau 0"}
    assert {name for name, m in ALL.items() if "mentions" in m.needs} == {"mosaic, mention", "mosaic, mention, tau 0"}


@each
def test_terms_without_a_meaning_are_refused_in_words(mechanism: Mechanism) -> None:
    assert mechanism.refuses() == ""
    assert mechanism.refuses(has_budget=True).startswith(f"a budget has no meaning in {mechanism.name}")
    why = mechanism.refuses(reserve=0.5)
    assert (why == "") == (mechanism.writers == "agents")
    assert why == "" or why.startswith(f"a reserve has no meaning in {mechanism.name}")


def test_the_token_auction_takes_all_terms() -> None:
    assert find("mechanism", "token_auction").refuses(reserve=1, has_budget=True) == ""


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"log_p": np.zeros(3)}, "a row of log-probabilities per agent"),
        ({"log_p": np.zeros((2, 0)), "log_generator": np.zeros(0)}, "a row of log-probabilities per agent"),
        ({"log_generator": np.zeros(2)}, "log_generator of 2 candidates|must have the shape"),
        ({"log_reference": np.zeros(4)}, r"log_reference of 3 candidates must have the shape \(3,\), got \(4,\)"),
        ({"mentions": np.zeros((3, 3))}, r"mentions of 3 candidates must have the shape \(2, 3\)"),
        ({"log_p": np.full((2, 3), np.nan)}, "log_p must not hold NaN"),
        ({"log_reference": np.full(3, np.inf)}, "log_reference must not hold NaN or [+]inf"),
        ({"log_generator": np.full(3, -np.inf)}, "log_generator must be finite"),
    ],
)
def test_candidates_are_checked(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(MechanismError, match=message):
        Candidates(**({"log_p": np.zeros((2, 3)), "log_generator": np.zeros(3)} | fields))


def test_the_number_of_agents_is_checked() -> None:
    with pytest.raises(MechanismError, match="candidates of 2 agents do not go with 3 bids"):
        TextPool().expected(Candidates.each_once(np.zeros((2, 3))), bidding((1, 1, 1)))


@pytest.mark.parametrize("mechanism", [Mosaic(), Mosaic(tau=0), TextPool()])
def test_where_bidders_share_no_text_there_is_nothing_to_choose(mechanism: Any) -> None:
    apart = Candidates.each_once([[0, -np.inf], [-np.inf, 0]], [0, 0])
    with pytest.raises(MechanismError, match=f"{mechanism.name} has nothing to choose"):
        mechanism.expected(apart, bidding((1, 1)))
    np.testing.assert_array_equal(mechanism.expected(apart, bidding((1, 0))).chances, [1, 0])


def test_effective_sample_size() -> None:
    assert effective_sample_size(np.array([0.25] * 4)) == 4
    assert effective_sample_size(np.array([0.5, 0.5, 0.0])) == 2
