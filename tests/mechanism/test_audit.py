"""Audits find what theory says, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from mechanism_strategies import outcome, profiles

from tokenauction_cli.mechanism.aggregation.rules import AggregationRule, Linear
from tokenauction_cli.mechanism.audit.audit import Audit
from tokenauction_cli.mechanism.audit.bidder import Bidder, pooled
from tokenauction_cli.mechanism.audit.equilibrium import equilibrium
from tokenauction_cli.mechanism.audit.finding import AuditError, Finding
from tokenauction_cli.mechanism.audit.misreport import boosted, misreports, sharpened, split
from tokenauction_cli.mechanism.audit.monotone import monotone, reached
from tokenauction_cli.mechanism.audit.prose import in_words
from tokenauction_cli.mechanism.audit.regret import best_response
from tokenauction_cli.mechanism.audit.universal_stability import universally_stable
from tokenauction_cli.mechanism.distributions import Profile
from tokenauction_cli.mechanism.registry import find, names
from tokenauction_cli.mechanism.terms import Terms
from tokenauction_cli.statistics.intervals import wilson

OVERSHOOT = Profile.of([[0.40, 0.59, 0.01], [0.40, 0.01, 0.59]])


def bidder(rule: str, profile: Any, bids: tuple[float, ...], agent: int = 0, **terms: Any) -> Bidder:
    auction = outcome(rule, profile, bids, **terms)
    return Bidder(auction.rule, auction.profile, auction.terms, bids, agent)


def audit(rules: list[str], payments: list[str], profiles: list[Profile], **spec: Any) -> list[Finding]:
    n = profiles[0].n_agents
    spec = {"terms": Terms(tuple("abcd"[:n])), "bids": (1.0,) * n, "exact": True, "sampling": "stable"} | spec
    sampling = find("sampling", spec.pop("sampling"))
    return Audit(
        [find("aggregation", rule) for rule in rules], [find("payment", pay) for pay in payments], sampling, **spec
    ).run(profiles)


def select(findings: list[Finding], **wanted: str) -> list[Finding]:
    return [f for f in findings if all(getattr(f, key) == value for key, value in wanted.items())]


BEST_BIDS: dict[str, Callable[[float, float, float], float]] = {  # of the value v, the others' bids S and D
    "second_price": lambda v, s, d: v,
    "myerson_tv": lambda v, s, d: v,
    "pay_your_bid": lambda v, s, d: max(0.0, np.sqrt(v * d * s) - s),
    "pay_bid_times_influence": lambda v, s, d: np.sqrt(s * s + s * v) - s,
}


@given(profiles(n=2), st.floats(0.05, 5), st.floats(0.05, 5))
@pytest.mark.parametrize("payment", BEST_BIDS)
def test_best_responses_are_the_closed_forms(payment: str, profile: Profile, value: float, rivals: float) -> None:
    here = bidder("linear", profile, (value, rivals))
    distance = here.outcome(value).distance(0)
    assume(distance > 1e-3)
    expected = BEST_BIDS[payment](value, rivals, distance)
    rule = find("payment", payment)
    found = best_response(here, rule, "tv", value)
    best = here.utility(rule, "tv", value, expected)
    assert found.utility == pytest.approx(best, abs=1e-9 * max(1, value, rivals))
    assert found.bid == pytest.approx(expected, abs=2e-3 * (value + rivals))
    if payment in ("second_price", "myerson_tv"):
        assert found.regret <= 1e-9
    if payment == "pay_your_bid":
        b = max(0, np.sqrt(value * distance * rivals) - rivals)
        gained = value * distance * (b / (rivals + b) - value / (rivals + value)) - (b - value)
        assert found.regret == pytest.approx(gained, abs=1e-9 * max(1, value, rivals))


@settings(max_examples=15)
@given(profiles(n=3, zeros=False), st.lists(st.floats(0.1, 5), min_size=3, max_size=3))
@pytest.mark.parametrize(("rule", "order"), [("linear", "kl"), ("log_linear", "reverse_kl")])
def test_clarke_leaves_no_regret_in_the_rules_own_order(
    rule: str, order: str, profile: Profile, bids: list[float]
) -> None:
    found = best_response(bidder(rule, profile, tuple(bids)), find("payment", "vcg"), order, bids[0])
    assert found.regret <= 1e-9


@settings(max_examples=8)
@given(profiles(n=2, zeros=False), st.floats(0.1, 5))
@pytest.mark.parametrize("rule", ["log_linear", "power_mean", "winner_take_all", "random_dictator"])
def test_myerson_leaves_no_regret_in_tv(rule: str, profile: Profile, value: float) -> None:
    found = best_response(bidder(rule, profile, (value, 1.0)), find("payment", "myerson_tv"), "tv", value)
    assert found.regret <= 1e-6


def test_with_a_reserve_truth_is_still_best_in_tv() -> None:
    for value in (0.3, 0.7, 2.0):
        here = bidder("linear", OVERSHOOT, (value, 1.0), reserve=0.5)
        assert best_response(here, find("payment", "second_price"), "tv", value).regret <= 1e-9


def test_the_log_linear_counterexample() -> None:
    findings = audit(["linear", "log_linear"], [], [OVERSHOOT, Profile.of([[0.5, 0.3, 0.2]] * 2)])
    for finding in select(findings, check="monotone"):
        if (finding.rule, finding.order) == ("log_linear", "robust"):
            assert finding.violated == finding.low == finding.high == 0.5
            assert (finding.prefix, finding.token) == (0, 0)
            assert finding.worst == pytest.approx(0.4 / (0.4 + 2 * np.sqrt(0.0059)) - 0.4, abs=1e-12)
        else:
            assert finding.holds
    inconsistent = [f for f in select(findings, check="consistent") if not f.holds]
    assert {(f.rule, f.order) for f in inconsistent} == {("log_linear", "robust")}


def test_monotone_measures_a_rise_of_the_loss() -> None:
    class Contrary(AggregationRule):
        """Gives the others what the agent bids for."""

        name, monotone_in = "contrary", frozenset({"tv"})

        def __call__(self, profile: Profile, bids: Any) -> Any:
            return find("aggregation", "linear")(profile, np.sum(bids) - np.asarray(bids))

    here = bidder("linear", [[1, 0], [0, 1]], (1.0, 1.0))
    failure = monotone(Bidder(Contrary(), here.profile, here.terms, here.bids, 0), "tv")
    assert failure.size == pytest.approx(1)


def test_the_whole_table() -> None:
    payments = list(names("payment"))
    findings = audit(["linear", "winner_take_all"], payments, [OVERSHOOT], bids=(1.0, 2.0), brand_tokens={"a": [1]})
    assert all(f.holds for f in select(findings, check="non_negative"))
    assert all(f.holds for f in select(findings, rule="linear", check="payment_monotone"))
    for payment, order, truthful in [
        ("second_price", "tv", True),
        ("myerson_tv", "tv", True),
        ("vcg", "kl", True),
        ("pay_your_bid", "tv", False),
        ("pay_bid_times_influence", "tv", False),
        ("vcg", "tv", False),
    ]:
        rows = select(findings, rule="linear", payment=payment, order=order, check="regret")
        assert len(rows) == 2
        assert all(row.holds for row in rows) == truthful
        rational = select(findings, rule="linear", payment=payment, order=order, check="individually_rational")
        assert all(row.holds for row in rational) or not truthful
    assert not select(findings, rule="winner_take_all", payment="vcg")
    assert select(findings, check="misreport: boost", agent="a")
    assert not select(findings, check="misreport: boost", agent="b")
    assert not any(np.isnan(f.worst) for f in findings)
    words = in_words(findings)
    assert "linear is monotone in the robust order, TV, forward KL and reverse KL for every agent." in words
    assert "bidding one's value is best with second_price (TV), vcg (forward KL) and myerson_tv (TV)." in words


def test_bids_are_columns() -> None:
    """Two agents of one value v that never agree: the best reply to a bid of v is 0, and bids settle at v / 4."""
    findings = audit(["linear"], ["pay_your_bid"], [Profile.of([[1, 0], [0, 1]])], bids=(2.0, 2.0), orders=("tv",))
    for settled in select(findings, check="equilibrium"):
        assert (settled.bid, settled.value, settled.detail) == (pytest.approx(0.5, rel=2e-3), 2, "")
        assert settled.rounds is not None
        assert settled.worst == pytest.approx(1.5, rel=1e-3)
        assert f"{settled.agent} bids 0.5 for a value of 2" in in_words(findings)
    for best in select(findings, check="regret"):
        assert (best.value, best.rounds) == (2, None)
        assert best.bid is not None
        assert best.bid < 0.01
    assert {f.bid for f in findings if f.check not in ("equilibrium", "regret")} == {None}
    assert f"settle after {settled.rounds} rounds: a bids" in in_words(findings)


def test_greedy_draws_leave_only_the_payments_that_need_no_lottery() -> None:
    findings = audit(["linear"], list(names("payment")), [OVERSHOOT], sampling="greedy", orders=("tv",))
    assert {f.payment for f in findings} == {"", "pay_your_bid", "pay_bid_times_influence"}


def test_reference_agents_take_part_and_are_not_audited() -> None:
    terms = Terms(("a", "b"), charged=(True, False))
    findings = audit(["linear"], ["second_price"], [OVERSHOOT], terms=terms, orders=("tv",))
    assert {f.agent for f in findings} == {"", "a"}


def test_undefined_prefixes_are_counted() -> None:
    disjoint = Profile.of([[1, 0, 0], [0, 1, 0]])
    findings = audit(["log_linear"], ["vcg"], [OVERSHOOT, disjoint], orders=("tv",), exact=False)
    defined = select(findings, check="defined")[0]
    assert (defined.violated, defined.prefix) == (0.5, 1)
    assert defined.low < 0.1
    assert select(findings, check="monotone")[0].prefixes == 1
    nothing = audit(["log_linear"], ["vcg"], [disjoint])
    assert in_words(nothing) == "Over 1 prefix: log_linear is undefined at 100% of them."


def test_an_audit_of_other_prefixes_finds_other_equilibria() -> None:
    """Nothing is kept from one run of an audit to the next."""
    made = Audit(
        [find("aggregation", "linear")],
        [find("payment", "pay_your_bid")],
        find("sampling", "stable"),
        terms=Terms(("a", "b")),
        bids=(1.0, 1.0),
        orders=("tv",),
    )
    apart, close = Profile.of([[1, 0], [0, 1]]), Profile.of([[0.6, 0.4], [0.5, 0.5]])
    found = [select(made.run([profile]), check="equilibrium") for profile in (apart, close, apart)]
    assert found[0] == found[2] != found[1]


def test_the_equilibrium_of_pay_your_bid() -> None:
    """Two agents of one value v: v D S / (S + b)^2 = 1 at S = b, so b = v D / 4. Influence: b^2 + 2 S b = S v."""
    bidders = [bidder("linear", [[1, 0], [0, 1]], (2.0, 2.0))]
    found = equilibrium(bidders, find("payment", "pay_your_bid"), "tv", (2.0, 2.0))
    assert found.settled
    np.testing.assert_allclose(found.bids, 0.5, rtol=2e-3)
    found = equilibrium(bidders, find("payment", "pay_bid_times_influence"), "tv", (2.0, 2.0))
    np.testing.assert_allclose(found.bids, 2 / 3, rtol=2e-3)


def test_misreports() -> None:
    here = bidder("linear", OVERSHOOT, (1.0, 1.0))
    np.testing.assert_allclose(sharpened(here, 0.5).profile.p[0], np.array([0.16, 0.3481, 0.0001]) / 0.5082)
    np.testing.assert_allclose(boosted(here, [2]).profile.p[0], np.array([0.4, 0.59, 0.02]) / 1.01)
    two = split(here, 1.0, 2)
    assert two.bids == (1.0, 1.0, 0.5)
    np.testing.assert_allclose(two.outcome(0.5).q.p, here.outcome(1.0).q.p)


def test_sybils_gain_under_second_price() -> None:
    """Two copies at half the bid share the token and each lowers what the other pays."""
    findings = audit(["linear"], ["second_price", "pay_your_bid"], [OVERSHOOT], orders=("tv",))
    gains = {f.payment: f.worst for f in select(findings, check="misreport: sybils 2", agent="a")}
    one, half = np.log(2) - 1 / 2, 1.5 * np.log(2 / 1.5) - 0.5 * 1.5 / 2
    near = 0.58 * 2 / 3  # the other copy is part of what a copy would get without itself
    assert gains["second_price"] == pytest.approx(0.58 * one - 2 * near * half, abs=1e-12)
    assert gains["pay_your_bid"] == pytest.approx(0, abs=1e-12)


def test_pooling_keeps_what_matters() -> None:
    profile = Profile.from_logits(list(np.random.default_rng(0).normal(0, 6, (2, 30_000))), [1, 1])
    small = pooled(profile).profile
    assert small.n_tokens < 10_000
    np.testing.assert_allclose(small.p.sum(axis=1), 1)
    full, few = outcome("linear", profile, [1, 1]), outcome("linear", small, [1, 1])
    assert few.distance(0) == pytest.approx(full.distance(0), abs=1e-2)
    assert pooled(OVERSHOOT).profile is OVERSHOOT


def test_no_sampling_is_stable_for_three_agents_at_once() -> None:
    linear = find("aggregation", "linear")
    assert not universally_stable(linear, Profile.of([[0.5, 0.5, 0], [0, 0.5, 0.5], [0.5, 0, 0.5]]), [1, 2])
    assert universally_stable(linear, Profile.of([[0.5, 0.5, 0], [0, 0.5, 0.5]]), [1, 2])
    assert universally_stable(linear, Profile.of([[0.5, 0.3, 0.2], [0.1, 0.5, 0.4]]), [1, 2, 5])
    assert universally_stable(linear, Profile.of([[0.5, 0.5], [0.1, 0.9], [0.3, 0.7]]), [1, 2])
    with pytest.raises(ValueError, match="maps"):
        universally_stable(linear, Profile.of(np.full((4, 8), 1 / 8)), [1, 2, 3])


def test_bad_audits() -> None:
    with pytest.raises(AuditError, match="unknown order 'l2'; the orders are robust, tv, kl, reverse_kl"):
        audit(["linear"], [], [OVERSHOOT], orders=("l2",))
    spec = Audit([find("aggregation", "linear")], [], find("sampling", "stable"), Terms(("a",)), (1.0,))
    with pytest.raises(AuditError, match="at least one prefix"):
        spec.run([])


def test_wilson_by_hand() -> None:
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=1e-4)
    assert wilson(10, 20) == pytest.approx((0.2993, 0.7007), abs=1e-4)
    assert wilson(20, 20) == pytest.approx((0.8389, 1.0), abs=1e-4)
    assert wilson(0, 0) == (0, 1)


def test_boosting_a_brand_works_in_a_pooled_vocabulary() -> None:
    p = np.full((2, 1200), 1e-7)
    p[0, [0, 1100]] = 0.7, 0.3
    p[1, [0, 1]] = 0.2, 0.8
    profile = Profile.of(p / p.sum(axis=1, keepdims=True))
    one = pooled(profile, keep=(1150,))
    assert one.tokens.tolist() == [0, 1, 1100, 1150]
    assert one.profile.n_tokens == 5
    assert one.places((1150, 1100)) == (2, 3)
    np.testing.assert_allclose(one.profile.p[:, 3], profile.p[:, 1150])
    bidder = Bidder(Linear(), one.profile, Terms(ids=("a", "b")), (1.0, 1.0), 0)
    boosted = next(report for report in misreports(bidder, 1.0, one.places((1150,))) if report.name == "boost")
    ratio = boosted.bidder.profile.p[0, 3] / boosted.bidder.profile.p[0, 0]
    np.testing.assert_allclose(ratio, 2 * bidder.profile.p[0, 3] / bidder.profile.p[0, 0])


def test_with_a_reserve_an_agent_enters_at_the_weight_that_it_gives() -> None:
    """Bob enters beside 1 at the bid 1, so at the weight 1/2: the log pool of both puts sqrt(.4 x .05) over the sum of
    three such roots on the first token, more than Ann's .4. It is more still at .3, which no bid gives him."""
    ann, bob = [0.4, 0.59, 0.01], [0.05, 0.01, 0.94]
    here = bidder("log_linear", Profile.of([ann, bob]), (1.0, 0.49), 1, reserve=1.0)
    assert reached(here) == pytest.approx([0.0, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0])
    at_entry = np.sqrt(np.array(ann) * bob)
    found = monotone(here, "robust")
    assert (found.token, found.size) == (0, pytest.approx(at_entry[0] / at_entry.sum() - 0.4, abs=1e-12))
    assert monotone(bidder("log_linear", Profile.of([ann, bob]), (1.0, 0.49), 1), "robust").size > found.size + 0.05
    assert reached(bidder("log_linear", Profile.of([ann, bob]), (0.9, 1.2), 1, reserve=1.0)) == [1.0], "alone"


def test_a_bid_below_the_reserve_is_nobodys_rival() -> None:
    """Beside Ann there are Cid, who says what she says, and Bob, who bids .49: whatever she bids, q is hers."""
    ann, bob = [0.4, 0.59, 0.01], [0.05, 0.01, 0.94]
    profile, bids = Profile.of([ann, bob, ann]), (1.0, 0.49, 0.5)
    assert monotone(bidder("log_linear", profile, bids, reserve=0.5), "robust").size < 1e-12
    assert monotone(bidder("log_linear", profile, bids), "robust").size > 0.05
