"""Laws of the payment rules, and their formulas against Monte Carlo and quadrature."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from mechanism_strategies import BLOG, auctions, outcome
from scipy.integrate import quad

from tokenauction_cli.mechanism.distributions import Array, Profile
from tokenauction_cli.mechanism.divergences import kl, total_variation
from tokenauction_cli.mechanism.outcome import Outcome
from tokenauction_cli.mechanism.payments.myerson_tv import breaks, by_quadrature, myerson_payment, q_at, tv_at
from tokenauction_cli.mechanism.payments.quadrature import integrate
from tokenauction_cli.mechanism.payments.second_price import mean_price
from tokenauction_cli.mechanism.registry import find, names
from tokenauction_cli.mechanism.sampling.randomness import DrawKey, Randomness
from tokenauction_cli.mechanism.terms import without

MIXING = ("linear", "random_dictator", "winner_take_all")
THREE = [[0.5, 0.3, 0.2, 0.0], [0.1, 0.1, 0.2, 0.6], [0.25, 0.0, 0.5, 0.25]]


def amounts(auction: Outcome, seed: int = 0, sampling: str = "inverse_cdf") -> dict[str, Array]:
    """Every column of every payment rule that fits, for one draw."""
    draw_key, sampler = DrawKey(Randomness(0, "q", seed), 0), find("sampling", sampling)
    draw = sampler.draw(auction, draw_key)
    columns: dict[str, Array] = {}
    for payment in (find("payment", name) for name in names("payment")):
        if payment.fits(auction.rule, sampler, auction.terms.reserve):
            columns |= payment.charge(auction, draw, draw_key)
    return columns


@given(auctions(), st.integers(0, 10**6), st.sampled_from(["stable", "inverse_cdf", "gumbel"]))
def test_payments_are_finite_non_negative_and_nothing_for_nothing(auction: Outcome, seed: int, sampling: str) -> None:
    for name, paid in amounts(auction, seed, sampling).items():
        assert np.isfinite(paid).all()
        assert (paid >= 0).all()
        assert (paid[auction.bids == 0] == 0).all()
        if name in ("second_price", "pay_your_bid", "second_price_expected", "pay_bid_times_influence"):
            assert (paid <= auction.bids).all()


@given(auctions(rules=MIXING), st.integers(0, 10**6), st.floats(0.1, 10))
def test_payments_are_homogeneous_of_degree_one(auction: Outcome, seed: int, factor: float) -> None:
    factor = 2.0 if auction.rule.name == "winner_take_all" else factor
    scaled = outcome(auction.rule.name, auction.profile, auction.bids * factor)
    once, more = amounts(auction, seed, "stable"), amounts(scaled, seed, "stable")
    assume(find_token(auction, seed) == find_token(scaled, seed))
    for name, paid in once.items():
        np.testing.assert_allclose(more[name], factor * paid, rtol=1e-6, atol=1e-9)


def find_token(auction: Outcome, seed: int) -> int:
    return int(find("sampling", "stable").draw(auction, DrawKey(Randomness(0, "q", seed), 0)).token)


@given(auctions(n=3), st.integers(0, 2), st.sampled_from(["stable", "gumbel"]))
def test_a_lone_bidder_pays_nothing_but_its_bid(auction: Outcome, i: int, sampling: str) -> None:
    bids = np.zeros(3)
    bids[i] = 2.0
    paid = amounts(outcome(auction.rule.name, auction.profile, bids), 1, sampling)
    for name in set(paid) - {"pay_your_bid", "pay_bid_times_influence"}:
        np.testing.assert_array_equal(paid[name], 0)
    alone = amounts(outcome(auction.rule.name, Profile.of(auction.profile.p[:1]), [2.0]), 1, sampling)
    for name in set(alone) - {"pay_your_bid"}:
        np.testing.assert_array_equal(alone[name], 0)


@given(auctions(zeros=False), st.randoms(use_true_random=False))
def test_permuting_the_agents_permutes_the_expected_payments(auction: Outcome, random: object) -> None:
    order = list(np.random.default_rng(auction.n_agents).permutation(auction.n_agents))
    shuffled = outcome(auction.rule.name, Profile.of(auction.profile.p[order]), auction.bids[order])
    once, more = amounts(auction), amounts(shuffled)
    for name in set(once) - {"second_price", "second_price_given_token"}:
        np.testing.assert_allclose(more[name], once[name][order], rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("reserve", [0.0, 0.8])
@pytest.mark.parametrize("sampling", ["stable", "inverse_cdf"])
@pytest.mark.parametrize("rule", MIXING)
@pytest.mark.parametrize("p", [THREE, THREE[:2]])
def test_realised_prices_have_the_expected_mean(p: list[list[float]], rule: str, sampling: str, reserve: float) -> None:
    """Overall, and among the seeds that drew one token: within five standard errors."""
    auction = outcome(rule, p, [1, 2, 2][: len(p)], reserve=reserve)
    sampler, payment, n_seeds = find("sampling", sampling), find("payment", "second_price"), 2500
    tokens, prices = [], []
    for seed in range(n_seeds):
        draw_key = DrawKey(Randomness(7, "q", seed), 0)
        draw = sampler.draw(auction, draw_key)
        paid = payment.charge(auction, draw, draw_key)
        tokens.append(draw.token)
        prices.append([paid["second_price"], paid["second_price_given_token"]])
    realised, given_token = np.array(prices).transpose(1, 0, 2)
    for sample, mean in [(realised, paid["second_price_expected"]), (given_token, paid["second_price_expected"])]:
        assert (np.abs(sample.mean(axis=0) - mean) <= 5 * sample.std(axis=0) / np.sqrt(n_seeds) + 1e-12).all()
    for token in set(tokens):
        sample = realised[np.array(tokens) == token]
        if len(sample) > 50:
            mean = given_token[np.array(tokens) == token][0]
            assert (np.abs(sample.mean(axis=0) - mean) <= 5 * sample.std(axis=0) / np.sqrt(len(sample)) + 1e-9).all()


@given(auctions(rules=["linear", "random_dictator"], n=3), st.floats(0, 1))
def test_the_means_average_over_the_tokens(auction: Outcome, reserve: float) -> None:
    auction = outcome(auction.rule.name, auction.profile, np.maximum(auction.bids, reserve + 0.01), reserve=reserve)
    draw = find("sampling", "inverse_cdf").draw(auction, DrawKey(Randomness(0, "", 0), 0))
    payment, mean = find("payment", "second_price"), np.zeros(3)
    for token in range(auction.profile.n_tokens):
        if auction.q.p[token] > 0:
            paid = payment.charge(auction, draw._replace(token=token), DrawKey(Randomness(0, "", 0), 0))
            mean += auction.q.p[token] * paid["second_price_given_token"]
    np.testing.assert_allclose(mean, paid["second_price_expected"], atol=1e-9)


@given(st.floats(0.01, 100), st.floats(0.01, 100), st.floats(0, 1))
def test_the_mean_price_is_the_integral_of_the_price(bid: float, rivals: float, share: float) -> None:
    reserve = share * bid
    price = quad(lambda z: max(z, reserve) * rivals / (rivals + z) ** 2, 0, bid, points=[reserve], limit=200)[0]
    assert mean_price(bid, rivals, reserve) == pytest.approx(price, abs=1e-9, rel=1e-7)


@given(auctions(rules=["linear", "log_linear", "power_mean", "power_mean_-1"], least_bid=0.01), st.floats(0, 1))
def test_myerson_tv_is_the_integral(auction: Outcome, share: float) -> None:
    reserve = share * float(auction.bids.min())
    auction = outcome(auction.rule.name, auction.profile, auction.bids, reserve=reserve)
    for i in np.flatnonzero(auction.rivals):
        rivals, bid = auction.rivals[i], auction.bids[i]
        kinks = [rivals * np.expm1(y) for y in breaks(auction, i, np.log1p(reserve / rivals), np.log1p(bid / rivals))]
        pieces = [
            quad(lambda z, i=i, s=rivals: tv_at(auction, i, z / (s + z)), low, high, epsabs=1e-12, epsrel=1e-10)[0]
            for low, high in pairwise(kinks)
        ]
        value, error = by_quadrature(auction, i)
        assert error <= 1e-9 * bid
        assert value == pytest.approx(reserve * auction.distance(i) + sum(pieces) - bid * auction.tv(i), abs=1e-9 * bid)
        assert myerson_payment(auction, i) == pytest.approx(value, abs=1e-9 * bid)


@given(auctions(rules=["log_linear", "power_mean", "power_mean_2", "power_mean_-1"], least_bid=0.01))
def test_each_token_passes_the_own_probability_at_most_once(auction: Outcome) -> None:
    weights = np.linspace(0, 1, 60)[:-1]
    above = np.array([q_at(auction, 0, w).p - auction.profile.p[0] for w in weights])
    signs = np.sign(np.where(np.abs(above) < 1e-12, 0, above))
    for column in signs.T:
        seen = column[column != 0]
        assert (seen[1:] != seen[:-1]).sum() <= 1


def test_myerson_tv_equals_the_expected_second_price_of_linear() -> None:
    for reserve in (0.0, 0.5):
        paid = amounts(outcome("linear", BLOG, [1, 2, 2], reserve=reserve))
        np.testing.assert_allclose(paid["myerson_tv"], paid["second_price_expected"], atol=1e-12)


def test_myerson_tv_of_winner_take_all_is_the_integral_of_a_step() -> None:
    auction = outcome("winner_take_all", THREE, [2, 2, 1])
    steps = quad(lambda z: tv_of_bid(auction, 0, z), 0, 2, points=[2.0], limit=200)[0]
    assert myerson_payment(auction, 0) == pytest.approx(steps - 2 * auction.tv(0), abs=1e-9)


def tv_of_bid(auction: Outcome, i: int, bid: float) -> float:
    bids = auction.bids.copy()
    bids[i] = bid
    return outcome(auction.rule.name, auction.profile, bids).tv(i)


def test_a_large_vocabulary_stays_within_the_stated_error() -> None:
    profile = Profile.from_logits(list(np.random.default_rng(1).normal(0, 3, (2, 3000))), [1, 1])
    auction = outcome("log_linear", profile, [1, 2])
    value, error = by_quadrature(auction, 0)
    assert error <= 1e-5
    fine = integrate(lambda z: tv_at(auction, 0, z / (2 + z)), [0, 1], 1e-8).value - auction.tv(0)
    assert value == pytest.approx(fine, abs=1e-5)


@given(auctions(rules=["linear", "log_linear"], least_bid=0.01))
def test_clarke_is_the_others_loss(auction: Outcome) -> None:
    assume(auction.n_agents > 1)
    linear = auction.rule.name == "linear"
    paid = find("payment", "vcg").charge(auction, None, None)["vcg"]
    for i in range(auction.n_agents):
        o, others = auction.others(i), without(auction.bids, i)
        agents = [auction.profile.agent(j) for j in range(auction.n_agents)]
        loss = [kl(p, auction.q) - kl(p, o) if linear else kl(auction.q, p) - kl(o, p) for p in agents]
        assert paid[i] == pytest.approx(sum(b * x for b, x in zip(others, loss, strict=True) if b > 0), abs=1e-9)


@given(auctions())
def test_influence_is_a_distance(auction: Outcome) -> None:
    paid = find("payment", "pay_bid_times_influence").charge(auction, None, None)["pay_bid_times_influence"]
    for i in np.flatnonzero(auction.bids):
        o = (
            auction.rule(auction.profile, without(auction.bids, int(i)))
            if auction.rivals[i]
            else auction.others(int(i))
        )
        expected = auction.bids[i] * total_variation(o.p, auction.q.p)
        assert paid[i] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("rule", ["linear", "log_linear"])
def test_what_fits_what(rule: str) -> None:
    aggregation = find("aggregation", rule)
    lottery, greedy = find("sampling", "stable"), find("sampling", "greedy")
    fitting = {name for name in names("payment") if find("payment", name).fits(aggregation, lottery)}
    assert ("second_price" in fitting) == (rule == "linear")
    assert {"vcg", "myerson_tv", "pay_your_bid", "pay_bid_times_influence"} <= fitting
    assert not find("payment", "vcg").fits(aggregation, lottery, reserve=0.1)
    with_greedy = {name for name in names("payment") if find("payment", name).fits(aggregation, greedy)}
    assert with_greedy == {"pay_your_bid", "pay_bid_times_influence"}


def test_the_second_price_of_stable_sampling_is_seen_along_the_sweep() -> None:
    """Two agents, disjoint supports: the token switches at the weight u, and the price is S u / (1 - u)."""
    payment, sampler = find("payment", "second_price"), find("sampling", "stable")
    for seed in range(20):
        draw_key = DrawKey(Randomness(0, "q", seed), 0)
        draws = [
            sampler.draw(outcome("linear", [[1, 0], [0, 1]], [w, 1 - w]), draw_key) for w in np.linspace(0, 1, 201)
        ]
        switch = next(w for w, draw in zip(np.linspace(0, 1, 201), draws, strict=True) if draw.token == 0)
        auction = outcome("linear", [[1, 0], [0, 1]], [9, 1])
        price = payment.charge(auction, sampler.draw(auction, draw_key), draw_key)["second_price"][0]
        if price:
            assert switch - 0.0051 <= price / (1 + price) <= switch
