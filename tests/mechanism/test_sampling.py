"""Every sampling has q as its marginal, and stable sampling is stable."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mechanism_strategies import ALL_RULES, BLOG, outcome, profiles

from tokenauction_cli.mechanism.distributions import Profile
from tokenauction_cli.mechanism.outcome import Outcome
from tokenauction_cli.mechanism.registry import find, names
from tokenauction_cli.mechanism.sampling.randomness import DrawKey, Purpose, Randomness
from tokenauction_cli.mechanism.sampling.rules import Draw, SamplingRule
from tokenauction_cli.mechanism.terms import Terms, relative_bids
from tokenauction_cli.mechanism.testing import chi_square_p_value, marginal_p_value

LOTTERIES = ("stable", "inverse_cdf", "gumbel")
THREE = [[0.5, 0.3, 0.2, 0.0], [0.1, 0.1, 0.2, 0.6], [0.25, 0.0, 0.5, 0.25]]


@pytest.mark.parametrize("sampling", LOTTERIES)
@pytest.mark.parametrize("rule", [name for name in ALL_RULES if name != "power_mean_-1"])
def test_the_marginal_is_q(rule: str, sampling: str) -> None:
    for bids, swept in (([1, 2, 2], 0), ([3, 1, 0], 2), ([0, 1, 1], 0), ([1, 0, 0], 0)):
        auction = outcome(rule, THREE, bids, swept=swept)
        assert marginal_p_value(find("sampling", sampling), auction, 1500) > 1e-3


@pytest.mark.parametrize("sampling", LOTTERIES)
def test_the_marginal_is_q_on_a_large_vocabulary(sampling: str) -> None:
    profile = Profile.from_logits(list(np.random.default_rng(0).normal(0, 3, (2, 4000))), [1, 1])
    assert marginal_p_value(find("sampling", sampling), outcome("linear", profile, [1, 2]), 4000) > 1e-3


def test_gumbel_draws_the_rest_of_a_block_in_which_a_likely_token_stands() -> None:
    """One token has a clock of its own; the others, one of them beside it in its block, share the clocks of blocks."""
    p = np.full(600, 0.5 / 599)
    p[300] = 0.5
    auction = outcome("linear", [p, p], [1, 1])
    assert auction.profile.likely.tolist() == [300]
    np.testing.assert_allclose(auction.q.clocks(auction.profile.likely)[:3] * 599 / 0.5, [256, 255, 88])
    gumbel = find("sampling", "gumbel")
    drawn = np.array([gumbel.draw(auction, DrawKey(Randomness(0, "q", seed), 0)).token for seed in range(4000)])
    counts = np.array([(drawn == 300).sum(), (drawn < 256).sum(), ((drawn >= 256) & (drawn < 512)).sum()])
    np.testing.assert_allclose(counts / 4000, [0.5, 0.5 * 256 / 599, 0.5 + 0.5 * 255 / 599], atol=0.03)


def test_the_chi_square_test_notices_a_wrong_distribution() -> None:
    counts = np.array([600.0, 400.0, 3.0, 2.0])
    assert chi_square_p_value(counts, np.array([600.0, 400.0, 3.0, 2.0])) == pytest.approx(1)
    assert chi_square_p_value(counts, np.array([500.0, 500.0, 3.0, 2.0])) < 1e-6


def along_lambda(
    rule: str, profile: Profile, terms: Terms, sampling: SamplingRule, seed: int, steps: int = 101
) -> Iterator[tuple[Outcome, Draw]]:
    draw_key = DrawKey(Randomness(1, "q", seed), 3)
    for weight in np.linspace(0, 1, steps):
        auction = Outcome(find("aggregation", rule), profile, relative_bids(terms, weight, 2), terms)
        yield auction, sampling.draw(auction, draw_key)


@given(profiles(), st.sampled_from(["linear", "random_dictator", "winner_take_all"]), st.integers(0, 10**6), st.data())
def test_stable_changes_at_most_once_and_the_price_is_the_switch(
    profile: Profile, rule: str, seed: int, data: st.DataObject
) -> None:
    n = profile.n_agents
    swept = data.draw(st.integers(0, n - 1))
    if n == 1:
        return
    terms = Terms(tuple("abcd"[:n]), configured=tuple(range(1, n + 1)), swept=swept)
    stable, price = find("sampling", "stable"), find("payment", "second_price")
    draws = list(along_lambda(rule, profile, terms, stable, seed, steps=31))
    tokens = [draw.token for _, draw in draws]
    assert sum(a != b for a, b in pairwise(tokens)) <= 1
    for auction, draw in draws:
        assert auction.q.p[draw.token] > 0
        amounts = price.charge(auction, draw, DrawKey(Randomness(1, "q", seed), 3))["second_price"]
        assert (amounts >= 0).all()
        assert (amounts <= auction.bids).all()
        if draw.token != tokens[0] and rule == "linear" and auction.rivals[swept] > 0:
            assert amounts[swept] == pytest.approx(auction.rivals[swept] * draw.switch / (1 - draw.switch))
            assert auction.weights[swept] > draw.switch


@given(profiles(n=2), st.integers(0, 10**6))
def test_with_two_agents_the_thresholds_of_both_are_where_the_token_switches(profile: Profile, seed: int) -> None:
    terms = Terms(("a", "b"))
    for auction, draw in along_lambda("linear", profile, terms, find("sampling", "stable"), seed, steps=11):
        i = 0 if auction.weights[0] > draw.switch else 1
        assert draw.prices[1 - i] == 0
        if draw.prices[i] == 0 or draw.prices[i] == auction.bids[i]:
            continue
        for factor, same in ((1.001, True), (0.999, False)):
            bids = auction.bids.copy()
            bids[i] = min(draw.prices[i] * factor, 1e9)
            again = Outcome(auction.rule, profile, bids, terms)
            token = find("sampling", "stable").draw(again, DrawKey(Randomness(1, "q", seed), 3)).token
            assert (token == draw.token) == same


def test_linear_work_is_shared_by_all_weights_of_a_seed() -> None:
    profile = Profile.of(THREE)
    terms = Terms(("a", "b", "c"), configured=(1, 1, 2))
    switches = {draw.switch for _, draw in along_lambda("linear", profile, terms, find("sampling", "stable"), 5)}
    assert len(switches) == 1
    assert sum(key[0] == "switch" for key in profile._kept) == 1
    assert sum(key[0] == "others" for key in profile._kept) == 1


def test_a_token_that_no_weight_reaches_never_changes() -> None:
    """B says z with .9, A with .1: of the seeds that begin with z, one in nine has u .9 / (.9 - .1) above 1."""
    profile, terms = Profile.of([[0.9, 0.1], [0.1, 0.9]]), Terms(("a", "b"))
    auction = Outcome(find("aggregation", "linear"), profile, (1.0, 1.0), terms)
    keys = [DrawKey(Randomness(1, "q", seed), 0) for seed in range(900)]
    found = np.array([find("sampling", "stable").draw(auction, key).switch for key in keys])
    finite = found[np.isfinite(found)]
    assert finite.max() < 1
    assert len(finite) / len(found) == pytest.approx(0.9 * 8 / 9, abs=0.04)


COUPLED = ("log_linear", "power_mean", "power_mean_0", "power_mean_2")


def tokens_along_lambda(rule: str, profile: Profile, sampling: str, seed: int) -> list[int]:
    terms = Terms(("a", "b"))
    return [draw.token for _, draw in along_lambda(rule, profile, terms, find("sampling", sampling), seed, steps=11)]


def peaked(n_tokens: int, seed: int) -> Profile:
    """Two agents of one mind in part, as two prompts of one model are."""
    rng = np.random.default_rng(seed)
    common, own = rng.normal(0, 3, n_tokens), rng.normal(0, 1, (2, n_tokens))
    return Profile.from_logits(list(common + own), [1, 1])


@pytest.mark.parametrize("rule", COUPLED)
@given(profiles(n=2), st.integers(0, 10**6))
def test_coupled_draws_the_tokens_of_linear_at_both_ends(rule: str, profile: Profile, seed: int) -> None:
    linear, coupled = (tokens_along_lambda(name, profile, "stable", seed) for name in ("linear", rule))
    assert (coupled[0], coupled[-1]) == (linear[0], linear[-1])


@given(profiles(n=2), st.integers(0, 10**6))
def test_log_linear_leaves_the_first_token_once(profile: Profile, seed: int) -> None:
    tokens = tokens_along_lambda("log_linear", profile, "stable", seed)
    stays = [token == tokens[0] for token in tokens]
    assert stays == sorted(stays, reverse=True)


def test_coupled_changes_tokens_less_often_than_gumbel_and_mostly_agrees_with_linear() -> None:
    changes, agreed, n = {"stable": 0, "gumbel": 0}, {"stable": 0, "gumbel": 0}, 0
    for k in range(10):
        profile = peaked(600, k)
        for seed in range(40):
            linear = tokens_along_lambda("linear", profile, "stable", seed)
            n += len(linear)
            for sampling in changes:
                tokens = tokens_along_lambda("log_linear", profile, sampling, seed)
                changes[sampling] += sum(a != b for a, b in pairwise(tokens))
                agreed[sampling] += sum(a == b for a, b in zip(tokens, linear, strict=True))
    assert changes["stable"] <= changes["gumbel"]
    assert agreed["stable"] > 0.8 * n > agreed["gumbel"]


@pytest.mark.parametrize("rule", COUPLED)
@pytest.mark.parametrize("weight", [0.1, 0.5, 0.9])
def test_the_marginal_of_coupled_is_q_by_each_of_its_three_steps(rule: str, weight: float) -> None:
    auction = outcome(rule, peaked(600, 0), [weight, 1 - weight])
    assert find("sampling", "stable").draw(auction, DrawKey(Randomness(0, "q", 0), 0)).used == "coupled"
    assert marginal_p_value(find("sampling", "stable"), auction, 6000) > 1e-3
    assert {"moved", "left"} <= set(auction._kept)  # all three were taken


def test_coupled_draws_for_the_swept_agent_alone_where_the_others_agree_on_nothing() -> None:
    profile = Profile.of([[0.5, 0.5, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    auction = outcome("log_linear", profile, [1, 0, 0])
    assert marginal_p_value(find("sampling", "stable"), auction, 1000) > 1e-3


def test_inverse_cdf_bisects_to_the_token_of_the_cumulative_sum() -> None:
    rng = np.random.default_rng(0)
    profile = Profile.of(rng.dirichlet(np.full(500, 0.02), size=5))
    for _ in range(200):
        auction = outcome("linear", profile, rng.random(5))
        u = rng.random()
        token = auction.q.quantile(u)
        cumulative = np.cumsum(auction.q.p)
        assert auction.q.p[token] > 0
        assert cumulative[token] > u - 1e-12
        assert cumulative[token] - auction.q.p[token] <= u + 1e-12


@pytest.mark.parametrize("u", [0.0, 0.5, 1 - 2**-53])
def test_no_token_of_probability_zero_at_the_edges(u: float) -> None:
    p = [[0, 0, 0.25, 0, 0.75, 0, 0], [0, 0, 0.5, 0, 0, 0.5, 0]]
    for bids in ([1, 1], [1, 0], [0, 1], [1, 1e-9], [1e-300, 1]):
        for rule in ("linear", "log_linear", "power_mean"):
            q = outcome(rule, p, bids).q
            assert q.p[q.quantile(u)] > 0


def test_greedy_takes_the_lowest_of_equal_tokens() -> None:
    auction = outcome("linear", [[0.2, 0.4, 0.4], [0.2, 0.4, 0.4]], [1, 1])
    assert find("sampling", "greedy").draw(auction, DrawKey(Randomness(0, "", 0), 0)).token == 1


def test_numbers_depend_on_what_they_are_for_and_on_nothing_else() -> None:
    one, two = Randomness(0, "q", 1), Randomness(0, "q", 1)
    first = [one.uniform(k, Purpose.DRAW) for k in range(5)]
    assert [two.uniform(k, Purpose.DRAW) for k in reversed(range(5))] == first[::-1]
    others = {Randomness(0, "r", 1), Randomness(1, "q", 1), Randomness(0, "q", 2)}
    assert len({r.uniform(0, Purpose.DRAW) for r in others} | {first[0], one.uniform(0, Purpose.SWITCH)}) == 5
    assert one.uniform(0, Purpose.PAYMENT, "a") != one.uniform(0, Purpose.PAYMENT, "b")


def test_every_sampling_draws_the_own_token_at_both_ends() -> None:
    profile = Profile.of([[1, 0, 0], [0, 1, 0], [0, 0, 1]])
    terms = Terms(("a", "b", "c"), configured=(0, 1, 1))
    for name in names("sampling"):
        for seed in range(30):
            draws = [draw.token for _, draw in along_lambda("linear", profile, terms, find("sampling", name), seed, 2)]
            assert draws[0] in (1, 2)
            assert draws[1] == 0


def test_a_dictator_speaks_alone() -> None:
    for name in names("sampling"):
        for seed in range(30):
            draw = find("sampling", name).draw(
                outcome("random_dictator", BLOG, [1, 2, 2]), DrawKey(Randomness(0, "", seed), 0)
            )
            assert BLOG[draw.dictator][draw.token] > 0


def test_a_number_of_zero_is_no_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Randomness, "uniform", lambda *_: 0.0)
    draw_key = DrawKey(Randomness(0, "", 0), 0)
    for rule in ("linear", "random_dictator", "winner_take_all"):
        for bids in ([0, 1], [1, 0], [1, 1]):
            auction = outcome(rule, [[0.5, 0.5, 0], [0, 0.5, 0.5]], bids)
            draw = find("sampling", "stable").draw(auction, draw_key)
            assert auction.q.p[draw.token] > 0
            prices = find("payment", "second_price").charge(auction, draw, draw_key)["second_price"]
            assert np.isfinite(prices).all()
