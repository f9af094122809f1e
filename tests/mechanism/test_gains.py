"""Estimated gains: by hand, as laws, and against the truth over repeated samples."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from token_chains import BRAND, DEVIATIONS, EXAMPLE_A, M3, VALUE, Chain

from tokenauction_cli.mechanism.whole_texts.finding import welfare_ratio
from tokenauction_cli.mechanism.whole_texts.gains import (
    Array,
    Floor,
    Gains,
    Integers,
    chosen_by_the_other_half,
    estimate_gains,
    split_choice,
)

COVERED = 0.92
INF = math.inf


def one_query(n_texts: int) -> Integers:
    return np.zeros(n_texts, dtype=np.int64)


def normal(n_texts: int, n_deviations: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(size=(n_texts, n_deviations))


def estimate(differences: Array, **changed: float) -> Gains:
    return estimate_gains(differences, one_query(len(differences)), **changed)


def assert_ordered(gains: Gains) -> None:
    for bound in (gains.mean, gains.se, gains.lower, gains.upper):
        assert not np.isnan(bound).any()
    assert (gains.lower <= gains.mean).all()
    assert (gains.mean <= gains.upper).all()


def test_mean_and_se_of_one_query_by_hand() -> None:
    gains = estimate(np.array([[1.0, 4.0], [2.0, 4.0], [3.0, 4.0], [6.0, 4.0]]))
    assert gains.mean.tolist() == [3.0, 4.0]
    np.testing.assert_allclose(gains.se, [math.sqrt(14 / 3 / 4), 0])
    np.testing.assert_allclose(gains.lower, gains.mean - gains.critical_lower * gains.se)
    np.testing.assert_allclose(gains.upper, gains.mean + gains.critical_upper * gains.se)
    assert gains.best == 1
    assert (gains.lower[1], gains.upper[1]) == (4.0, 4.0)
    assert gains.gains_at_least == 4.0


def test_of_one_deviation_of_many_texts_c_is_the_normal_quantile() -> None:
    gains = estimate(normal(2000, 1), level=0.95)
    assert gains.critical_lower == pytest.approx(1.645, abs=0.12)
    assert gains.critical_upper == pytest.approx(1.645, abs=0.12)


def test_c_is_that_of_the_largest_of_many_independent_deviations_and_of_copies_that_of_one() -> None:
    apart, copies = normal(2000, 20), np.repeat(normal(2000, 1), 20, axis=1)
    assert estimate(apart, level=0.95).critical_upper == pytest.approx(2.80, abs=0.15)  # .95^(1/20)
    of_one = estimate(copies[:, :1], level=0.95).critical_upper
    assert estimate(copies, level=0.95).critical_upper == pytest.approx(of_one)


def test_c_of_three_texts_by_hand() -> None:
    """Of -1, 0, 1 drawn anew: t is 4 sqrt(3) for three ones (1 of 27), 2 for two and a 0 (3 of 27), else 1 at most."""
    gains = estimate(np.array([[-1.0], [0.0], [1.0]]), level=0.9)
    assert (gains.critical_lower, gains.critical_upper) == (pytest.approx(2), pytest.approx(2))
    assert estimate(np.array([[-1.0], [0.0], [1.0]]), level=0.99).critical_upper == pytest.approx(4 * math.sqrt(3))


def test_lower_bounds_are_never_above_the_mean() -> None:
    assert_ordered(estimate(np.exp(normal(20, 1)), level=0.5))
    assert_ordered(estimate(-np.exp(normal(20, 1)), level=0.5))


def test_statements_are_never_negative() -> None:
    gains = estimate(normal(100, 3) - 10)
    assert (gains.regret_at_most, gains.gains_at_least) == (0.0, 0.0)


def test_the_floor_by_hand() -> None:
    """50 texts, of which 1 changed: se^2 = 4 (1 + 4) / 58 / 50 where the sample's is less."""
    measured = np.zeros((50, 2))
    measured[0, 0] = 1.0
    floor = Floor.of(2.0, measured, np.zeros(50))
    assert floor.flips.tolist() == [1, 0]
    gains = estimate_gains(2 * measured, one_query(50), floor=floor)
    np.testing.assert_allclose(gains.se**2, [4 * 5 / 58 / 50, 4 * 4 / 58 / 50])
    assert gains.critical_lower == gains.critical_upper == 2.75


def test_several_queries_by_hand() -> None:
    """Means 1 and 3 of two queries with two and four texts: mean 2, se |3 - 1| / 2."""
    differences = np.array([[0.9], [1.1], [2.9], [3.1], [2.9], [3.1]])
    gains = estimate_gains(differences, np.array([7, 7, 2, 2, 2, 2]))
    assert gains.mean == pytest.approx([2.0])
    assert gains.se == pytest.approx([1.0])
    assert gains.n_queries == 2


def test_queries_that_agree_by_luck_are_no_surer_than_their_texts() -> None:
    """Variances .02 and .04 of two texts each: se^2 = (.02 / 2 + .04 / 2) / 4."""
    half, more = 0.1, math.sqrt(0.02)
    gains = estimate_gains(np.array([[-half], [half], [-more], [more]]), np.array([0, 0, 1, 1]))
    assert gains.se**2 == pytest.approx([0.03 / 4])


def test_texts_of_a_query_that_all_agree_count_as_one() -> None:
    """Copies of a query's text leave the bounds as they are: there are as many queries, not more."""
    differences = normal(12, 3)
    once = estimate_gains(differences, np.arange(12))
    copied = estimate_gains(np.repeat(differences, 50, axis=0), np.repeat(np.arange(12), 50))
    np.testing.assert_allclose(copied.upper, once.upper)
    assert copied.upper.max() > estimate(np.repeat(differences, 50, axis=0)).upper.max()


def test_infinite_differences_leave_the_other_deviations_alone() -> None:
    differences = normal(40, 5)
    alone = estimate(differences[:, :1])
    differences[0, 1], differences[0, 2], differences[0, 3] = -INF, INF, np.nan
    differences[:2, 4] = -INF, INF
    gains = estimate(differences)
    assert_ordered(gains)
    assert gains.lower[0] == pytest.approx(alone.lower[0])
    assert gains.mean[1:].tolist() == [-INF, INF, 0.0, 0.0]
    assert gains.lower[1:].tolist() == [-INF, INF, -INF, -INF]
    assert gains.upper[1:].tolist() == [-INF, INF, INF, INF]
    only_worse = estimate(differences[:, :2])
    assert only_worse.regret_at_most == max(0.0, only_worse.upper[0])


@pytest.mark.parametrize("first", [0.0, 3.0, -INF, INF, np.nan])
def test_one_text_bounds_nothing_finite(first: float) -> None:
    gains = estimate(np.array([[first, 0.0]]))
    assert_ordered(gains)
    assert (gains.lower[1], gains.upper[1]) == (-INF, INF)


def test_no_change_at_all_is_no_gain_and_needs_no_warning() -> None:
    gains = estimate(np.zeros((30, 3)))
    assert (gains.regret_at_most, gains.gains_at_least) == (0.0, 0.0)
    equal = estimate(np.full((30, 1), 0.1))  # whose mean is not .1, by rounding
    assert equal.lower == equal.mean == equal.upper


def test_one_text_that_matters_does_not_widen_the_other_bounds_without_limit() -> None:
    differences = normal(50, 2)
    differences[:, 1] = 0.0
    differences[3, 1] = 1.0
    gains = estimate(differences)
    assert gains.critical_upper < 4.5


def test_the_same_numbers_give_the_same_bounds() -> None:
    assert estimate(normal(60, 4)).upper.tolist() == estimate(normal(60, 4)).upper.tolist()


@pytest.mark.parametrize(
    ("shape", "n_clusters", "level"), [((0, 2), 0, 0.9), ((3, 0), 3, 0.9), ((3, 1), 2, 0.9), ((3, 1), 3, 1.0)]
)
def test_nonsense_is_refused(shape: tuple[int, int], n_clusters: int, level: float) -> None:
    with pytest.raises(ValueError, match=r"differences need|as many clusters|level must"):
        estimate_gains(np.zeros(shape), one_query(n_clusters), level)


samples = st.tuples(st.integers(2, 40), st.integers(1, 5), st.integers(0, 10**6))


@given(samples, st.floats(-5, 5), st.floats(0.01, 100), st.integers(1, 6))
def test_shifted_and_scaled_differences_shift_and_scale_the_bounds(
    sample: tuple[int, int, int], shift: float, scale: float, n_queries: int
) -> None:
    differences, clusters = normal(*sample), np.arange(sample[0]) % n_queries
    gains, moved = (estimate_gains(d, clusters) for d in (differences, scale * differences + shift))
    assert_ordered(gains)
    for bound, changed in ((gains.mean, moved.mean), (gains.lower, moved.lower), (gains.upper, moved.upper)):
        np.testing.assert_allclose(changed, scale * bound + shift, rtol=1e-7, atol=1e-7 * (1 + scale))


@given(samples)
def test_of_minus_the_differences_the_bounds_change_places(sample: tuple[int, int, int]) -> None:
    gains, turned = estimate(normal(*sample)), estimate(-normal(*sample))
    np.testing.assert_allclose(turned.lower, -gains.upper)
    np.testing.assert_allclose(turned.upper, -gains.lower)


@given(samples, st.booleans())
def test_another_deviation_never_narrows_the_bounds_of_the_others(sample: tuple[int, int, int], floored: bool) -> None:
    """The resamples are the same, and a maximum over more is no smaller: so it is for every c, up to rounding."""
    differences = np.round(normal(*sample))
    floor = Floor.of(1.0, differences, np.zeros(sample[0])) if floored else None
    more = estimate_gains(differences, one_query(sample[0]), floor=floor)
    fewer_floor = Floor(1.0, floor.flips[:1]) if floor else None
    fewer = estimate_gains(differences[:, :1], one_query(sample[0]), floor=fewer_floor)
    assert more.upper[0] >= fewer.upper[0] - 1e-9
    assert more.lower[0] <= fewer.lower[0] + 1e-9


def test_half_of_the_seeds_choose_for_the_other() -> None:
    """Even seeds choose 0, odd ones 1: what counts is deviation 1 in even seeds, 0 in odd ones."""
    differences = np.array([[5.0, 1.0], [2.0, 3.0], [5.0, 2.0], [1.0, 4.0]])
    found = split_choice(differences, np.array([10, 11, 12, 13]), one_query(4))
    assert found.chosen == (0, 1)
    assert found.gain == np.mean([1, 2, 2, 1])
    assert found.lower < found.gain < found.upper


def test_a_half_in_which_nothing_gains_chooses_truth() -> None:
    nothing = split_choice(-np.ones((4, 2)), np.arange(4), one_query(4), floor=Floor(1.0, np.array([4, 4])))
    assert nothing == (0.0, 0.0, 0.0, (None, None))
    one = split_choice(np.array([[1.0], [-3.0], [1.0], [-3.0]]), np.arange(4), one_query(4))
    assert one.chosen == (0, None)
    assert one.gain == -1.5


def test_the_split_keeps_queries_and_floors() -> None:
    """Three queries of the seeds 0 and 1; 6 flips among all texts are 3 in each half."""
    differences, seeds, clusters = np.ones((6, 1)), np.array([0, 1, 0, 1, 0, 1]), np.array([0, 0, 1, 1, 2, 2])
    assert split_choice(differences, seeds, clusters) == (1.0, 1.0, 1.0, (0, 0))
    floored = split_choice(differences, seeds, clusters, floor=Floor(1.0, np.array([6])))
    assert floored.upper - 1.0 == pytest.approx(2.75 * math.sqrt(10 / 14 / 6))


class Covered(NamedTuple):
    """The share of samples in which a bound holds: the statements' two, and those of all deviations at once."""

    gains_at_least: float
    regret_at_most: float
    all_lower: float
    all_upper: float


CASES = [pytest.param(EXAMPLE_A, "tv", id="A"), *(pytest.param(M3, kind, id=kind) for kind in ("count", "mention"))]


def sampled(chain: Chain, kind: str, n_samples: int, n_texts: int) -> tuple[Array, Array]:
    """Paired differences, and whether the brand's count (or mention) is not truth's: (n_samples, n_texts, d)."""
    drawn = chain.draw(kind, n_samples * n_texts, seed=14)
    found = (drawn.tokens == BRAND).sum(axis=2)
    measured = found > 0 if kind == "mention" else found
    differences, flipped = (drawn.utility[1:] - drawn.utility[0]).T, (measured[1:] != measured[0]).T
    shape = (n_samples, n_texts, len(DEVIATIONS))
    return differences.reshape(shape), flipped.reshape(shape)


def covered(chain: Chain, kind: str, n_samples: int, n_texts: int, floored: bool, first: int = 0) -> Covered:
    """Of the deviations from the `first` on."""
    truth, held = chain.gains(kind)[first:], []
    for differences, flipped in zip(*sampled(chain, kind, n_samples, n_texts), strict=True):
        floor = Floor(VALUE, np.count_nonzero(flipped[:, first:], axis=0)) if floored else None
        gains = estimate_gains(differences[:, first:], one_query(n_texts), 0.95, floor)
        regret = max(0.0, truth.max())
        statements = gains.gains_at_least <= regret, gains.regret_at_most >= regret
        held.append((*statements, (gains.lower <= truth).all(), (gains.upper >= truth).all()))
    return Covered(*np.mean(held, axis=0))


def test_the_gains_of_the_cases_are_the_known_ones() -> None:
    assert EXAMPLE_A.mean_utility("tv", 1) == pytest.approx(-1.5 * math.log(2))
    best = EXAMPLE_A.mean_utility("tv", 1.5131621504) - EXAMPLE_A.mean_utility("tv", 1)
    assert best == pytest.approx(0.0369308294, abs=1e-10)
    assert M3.mean_utility("count", 0.828926) - M3.mean_utility("count", 1) == pytest.approx(0.00565957, abs=1e-8)


@pytest.mark.parametrize(("chain", "kind"), CASES)
def test_drawn_texts_have_the_enumerated_gains(chain: Chain, kind: str) -> None:
    differences = sampled(chain, kind, 1, 20_000)[0][0]
    error = differences.std(axis=0) / math.sqrt(len(differences))
    assert (np.abs(differences.mean(axis=0) - chain.gains(kind)) < 4 * error).all()


@pytest.mark.parametrize(("chain", "kind"), CASES)
def test_bounds_cover_the_truth(chain: Chain, kind: str) -> None:
    assert min(covered(chain, kind, 60, 60, floored=kind != "tv")) >= COVERED


@pytest.mark.slow
@pytest.mark.parametrize("n_texts", [50, 200])
@pytest.mark.parametrize(("chain", "kind"), CASES)
def test_bounds_cover_the_truth_in_400_samples(chain: Chain, kind: str, n_texts: int) -> None:
    assert min(covered(chain, kind, 400, n_texts, floored=kind != "tv")) >= COVERED


def test_floors_of_several_agents_keep_their_values() -> None:
    joined = Floor.joined([Floor(1.0, np.array([0, 6])), Floor(3.0, np.array([6]))])
    assert joined.flips.tolist() == [0, 6, 6]
    np.testing.assert_allclose(joined.least_variances(42), np.array([4, 10, 90]) / 50 / 42)
    gains = estimate_gains(np.zeros((42, 3)), one_query(42), floor=joined)
    np.testing.assert_allclose(gains.se**2, joined.least_variances(42))


def test_without_the_floor_few_texts_claim_too_much() -> None:
    """Bids from 3/4 on in 50 texts: 3/4 is best, and loses 3.5 % of mentions, which 17 % of the samples never see."""
    of_three_quarters = DEVIATIONS.index(0.75)
    without, floored = (covered(M3, "mention", 150, 50, floored, of_three_quarters) for floored in (False, True))
    assert max(without.gains_at_least, without.all_lower) < 0.86
    assert min(floored) >= COVERED


def test_the_largest_mean_is_biased_upward_and_the_split_choice_is_not() -> None:
    truth = M3.gains("count").max()
    samples = sampled(M3, "count", 200, 50)[0]
    naive = np.array([max(0.0, differences.mean(axis=0).max()) for differences in samples])
    split = np.array([split_choice(d, np.arange(50), one_query(50)).gain for d in samples])
    error = split.std() / math.sqrt(len(samples))
    assert naive.mean() > truth + 5 * error
    assert split.mean() < truth + 2 * error


def test_every_text_counts_under_what_the_other_half_chooses() -> None:
    """Seeds 0 and 2 like the first alternative, 1 and 3 the second: each half is measured where the other one wants."""
    values = np.array([[5.0, 1.0], [2.0, 6.0], [5.0, 2.0], [1.0, 6.0]])
    assert chosen_by_the_other_half(values, np.arange(4)).tolist() == [1, 0, 1, 0]
    assert chosen_by_the_other_half(values[::-1], np.arange(4)[::-1]).tolist() == [0, 1, 0, 1]
    assert chosen_by_the_other_half(values[:1], np.array([7])).tolist() == [0]


def test_a_price_of_anarchy_of_1_is_1_in_the_mean() -> None:
    """200 texts, eleven weights of one welfare: the largest mean claims that a tenth is lost."""
    rng = np.random.default_rng(12)
    naive, split = [], []
    for _ in range(300):
        welfare = rng.exponential(size=(200, 12))
        reached, at_weights = welfare[:, 0].mean(), welfare[:, 1:]
        naive.append(welfare_ratio(at_weights.mean(axis=0).max(), reached))
        chosen = chosen_by_the_other_half(at_weights, np.arange(200))
        split.append(welfare_ratio(at_weights[np.arange(200), chosen].mean(), reached))
    assert np.mean(naive) > 1.1
    assert np.mean(split) == pytest.approx(1, abs=0.02)
