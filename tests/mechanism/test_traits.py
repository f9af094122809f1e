"""What the shipped rules say of themselves is true, and a rule with linear's traits is charged as linear is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from mechanism_strategies import ALL_RULES, auctions, outcome, profiles

from tokenauction_cli.mechanism.aggregation.rules import ORDERS
from tokenauction_cli.mechanism.audit.audit import tolerance
from tokenauction_cli.mechanism.audit.bidder import Bidder
from tokenauction_cli.mechanism.distributions import Distribution, Profile
from tokenauction_cli.mechanism.measures import measure
from tokenauction_cli.mechanism.outcome import Outcome
from tokenauction_cli.mechanism.registry import find, label, names
from tokenauction_cli.mechanism.sampling.randomness import DrawKey, Randomness
from tokenauction_cli.mechanism.welfare import welfare

RULES = (*ALL_RULES, "power_mean_0")
WITH_OBJECTIVE = [rule for rule in RULES if find("aggregation", rule).objective is not None]
MIXTURES = {"linear", "random_dictator", "power_mean_1"}
APART = [[0.7, 0.2, 0.1], [0.1, 0.1, 0.8], [0.2, 0.6, 0.2]]
EQUAL_TO_LINEAR = pytest.mark.parametrize("sampling", ["stable", "inverse_cdf", "gumbel", "greedy"])


def off_the_line(auction: Outcome) -> float:
    """The largest distance of q from (1 - w_i) o_i + w_i p_i."""
    w, p = auction.weights, auction.profile.p
    line = [(1 - w[i]) * auction.others(i).p + w[i] * p[i] for i in range(auction.n_agents)]
    return float(np.abs(auction.q.p - line).max())


@given(auctions(rules=sorted(MIXTURES)))
def test_a_linear_mixture_is_one(auction: Outcome) -> None:
    assert auction.rule.is_linear_mixture
    assert off_the_line(auction) < 1e-12


@pytest.mark.parametrize("rule", sorted(set(RULES) - MIXTURES))
def test_no_other_rule_is_a_linear_mixture(rule: str) -> None:
    auction = outcome(rule, APART, [1, 2, 3])
    assert not auction.rule.is_linear_mixture
    assert off_the_line(auction) > 1e-3


@given(
    auctions(rules=WITH_OBJECTIVE, zeros=False),
    st.lists(st.floats(0.01, 1), min_size=6, max_size=6),
    st.floats(0.001, 1),
)
def test_q_minimises_the_objective(auction: Outcome, other: list[float], step: float) -> None:
    there = np.array(other[: auction.profile.n_tokens])
    q = Distribution(p=(1 - step) * auction.q.p + step * there / there.sum())
    best, moved = (welfare(auction.rule, auction.profile, at, auction.bids) for at in (auction.q, q))
    assert best >= moved - 1e-9 * auction.bids.sum()


def test_who_has_which_objective() -> None:
    found = {rule: getattr(find("aggregation", rule).objective, "r", None) for rule in RULES}
    power_means = {"power_mean": 0.5, "power_mean_2": 2, "power_mean_-1": -1, "power_mean_0": 0, "power_mean_1": 1}
    assert found == {"linear": 1, "log_linear": 0, "winner_take_all": None, "random_dictator": None} | power_means


@given(auctions(rules=("winner_take_all", "random_dictator")))
def test_the_odds_of_a_dictatorship(auction: Outcome) -> None:
    odds = auction.odds
    assert auction.rule.is_dictatorship
    assert odds is not None
    assert odds.sum() == pytest.approx(1, abs=1e-12)
    np.testing.assert_allclose(auction.q.p, odds @ auction.profile.p, atol=1e-12)
    for i in np.flatnonzero((odds < 1) & (auction.rivals > 0)):
        left = auction.rule.odds(np.where(np.arange(auction.n_agents) == i, 0.0, auction.bids))
        if odds[i]:  # where the highest bidder leaves, others come up
            np.testing.assert_allclose(odds, (1 - odds[i]) * left + odds[i] * np.eye(len(odds))[i], atol=1e-12)


@given(auctions(rules=("winner_take_all",)))
def test_the_highest_bid_wins(auction: Outcome) -> None:
    assert auction.rule.highest_bid_wins
    assert auction.odds is not None
    assert set(np.flatnonzero(auction.odds)) == set(np.flatnonzero(auction.bids == auction.bids.max()))
    assert not any(find("aggregation", rule).highest_bid_wins for rule in RULES if rule != "winner_take_all")


@pytest.mark.parametrize("payment", names("payment"))
@given(auctions(rules=RULES, n=2, zeros=False, least_bid=0.01), st.floats(0.01, 20))
def test_where_a_payment_is_truthful_no_other_bid_gains(payment: str, auction: Outcome, bid: float) -> None:
    rule, charged = auction.rule, find("payment", payment)
    assume(charged.fits(rule, find("sampling", "stable"), 0.0))
    assert charged.truthful_for(rule) <= set(ORDERS)
    here = Bidder(rule, auction.profile, auction.terms, tuple(auction.bids.tolist()), 0)
    value = float(auction.bids[0])
    for order in sorted(charged.truthful_for(rule)):
        truthful, other = (here.utility(charged, order, value, b) for b in (value, bid))
        assert other <= truthful + tolerance(here, charged, max(value, bid))


def test_which_payments_are_truthful_for_what() -> None:
    stable = find("sampling", "stable")
    found: dict[tuple[str, str], str] = {}
    for payment in (find("payment", name) for name in names("payment")):
        for rule in (find("aggregation", name) for name in RULES):
            if payment.fits(rule, stable) and payment.truthful_for(rule):
                found[payment.name, rule.name] = " ".join(payment.truthful_for(rule))
    assert found == {
        ("second_price", "linear"): "tv",
        ("second_price", "power_mean_1"): "tv",
        ("vcg", "linear"): "kl",
        ("vcg", "power_mean_1"): "kl",
        ("vcg", "log_linear"): "reverse_kl",
        ("vcg", "power_mean_0"): "reverse_kl",
    } | {("myerson_tv", rule): "tv" for rule in RULES}


@EQUAL_TO_LINEAR
@given(profiles(), st.data())
def test_power_mean_1_is_linear_to_the_last_bit(sampling: str, profile: Profile, data: st.DataObject) -> None:
    n = profile.n_agents
    bids = data.draw(st.lists(st.one_of(st.just(0.0), st.floats(0.01, 10)), min_size=n, max_size=n).filter(any))
    terms = {"swept": data.draw(st.integers(0, n - 1)), "reserve": data.draw(st.sampled_from([0.0, 0.005]))}
    seed = data.draw(st.integers(0, 1000))
    linear, same = (everything(outcome(rule, profile, bids, **terms), sampling, seed) for rule in
                    ("linear", "power_mean_1"))  # fmt: skip
    assert linear == same
    payments = {"second_price", "vcg", "myerson_tv"} if terms["reserve"] == 0 else {"second_price", "myerson_tv"}
    assert sampling == "greedy" or payments <= set(linear["charged"])


def everything(auction: Outcome, sampling: str, seed: int) -> dict[str, Any]:
    """The draw, what everybody pays, and the measures."""
    sampler, draw_key = find("sampling", sampling), DrawKey(Randomness(0, "q", seed), 0)
    draw = sampler.draw(auction, draw_key)
    fitting = [rule for rule in (find("payment", name) for name in names("payment"))
               if rule.fits(auction.rule, sampler, auction.terms.reserve)]  # fmt: skip
    charged = {column: list(paid) for rule in fitting for column, paid in rule.charge(auction, draw, draw_key).items()}
    expected = {rule.name: list(rule.expected(auction)) for rule in fitting}
    drawn = {"token": draw.token, "prices": draw.prices, "switch": repr(draw.switch), "used": draw.used}
    return {"drawn": drawn, "charged": charged, "expected": expected, "measures": list(measure(auction).vector)}


def test_labels() -> None:
    said = [label(name) for name in ("log_linear", "vcg", "myerson_tv", "second_price_expected", "power_mean_2", "a:B")]
    assert said == ["log-linear", "Clarke (VCG)", "Myerson (TV)", "second price expected", "power mean 2", "a:B"]
