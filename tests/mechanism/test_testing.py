"""The laws that authors of rules call hold for the shipped rules, and fail for rules that break them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from mechanism_strategies import ALL_RULES, auctions, outcome

from tokenauction_cli.mechanism.aggregation.rules import AggregationRule, Linear, LogLinear
from tokenauction_cli.mechanism.distributions import Distribution, Profile
from tokenauction_cli.mechanism.outcome import Outcome
from tokenauction_cli.mechanism.payments.rules import PaymentRule, PayYourBid
from tokenauction_cli.mechanism.registry import find, names
from tokenauction_cli.mechanism.sampling.randomness import DrawKey, Randomness
from tokenauction_cli.mechanism.testing import assert_aggregation, assert_payment, assert_truthful

KEY = DrawKey(Randomness(0, "q", 0), 0)
APART = Profile.of([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8]])


@given(auctions(rules=[rule for rule in ALL_RULES if rule != "winner_take_all"], zeros=False))
def test_shipped_rules_keep_every_law(auction: Outcome) -> None:
    assert_aggregation(auction.rule, auction.profile, auction.bids.tolist())


@given(auctions(zeros=False, least_bid=0.01), st.sampled_from(names("payment")), st.floats(0.01, 20))
def test_shipped_payments_keep_every_law(auction: Outcome, name: str, bid: float) -> None:
    payment, sampling = find("payment", name), find("sampling", "inverse_cdf")
    assume(payment.fits(auction.rule, sampling))
    assert_payment(payment, auction, sampling.draw(auction, KEY), KEY)
    assert_truthful(payment, auction, 0, bid)


class Flat(AggregationRule):
    """Uniform whatever is bid."""

    name = "flat"

    def __call__(self, profile: Profile, bids: Any) -> Distribution:
        return Distribution(p=np.full(profile.n_tokens, 1 / profile.n_tokens))


class Louder(Linear):
    """Squares the bids, yet claims linear's traits."""

    def __call__(self, profile: Profile, bids: Any) -> Distribution:
        return super().__call__(profile, np.square(bids))


class Claims(LogLinear):
    monotone_in = frozenset({"robust"})


class Rebate(PayYourBid):
    def expected(self, outcome: Outcome) -> Any:
        return super().expected(outcome) - 1


class Boast(PayYourBid):
    def truthful_for(self, aggregation: AggregationRule) -> frozenset[str]:
        return frozenset({"tv"})


@pytest.mark.parametrize(
    ("rule", "law"),
    [
        (Flat(), "a lone bidder gets its own distribution"),
        (Louder(), "is_linear_mixture"),
        (Claims(), "monotone_in robust"),
    ],
)
def test_a_rule_that_breaks_a_law_is_told_which(rule: AggregationRule, law: str) -> None:
    profile = Profile.of([[0.4, 0.59, 0.01], [0.4, 0.01, 0.59]])
    with pytest.raises(AssertionError, match=law):
        assert_aggregation(rule, profile, (1, 3))


def test_a_payment_that_breaks_a_law_is_told_which() -> None:
    auction = outcome("linear", APART, [0.5, 1])
    draw = find("sampling", "inverse_cdf").draw(auction, KEY)
    rebate: PaymentRule = Rebate()
    with pytest.raises(AssertionError, match="finite and not negative"):
        assert_payment(rebate, auction, draw, KEY)
    with pytest.raises(AssertionError, match=r"truthful_for tv: bidding 0\.1 gains"):
        assert_truthful(Boast(), auction, 0, 0.1)
