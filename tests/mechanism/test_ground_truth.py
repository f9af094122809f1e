"""Numbers one can check by hand, to 1e-9."""

from __future__ import annotations

import numpy as np
import pytest
from mechanism_strategies import BLOG, outcome

from tokenauction_cli.mechanism.distributions import Array, MechanismError
from tokenauction_cli.mechanism.outcome import Outcome
from tokenauction_cli.mechanism.registry import find
from tokenauction_cli.mechanism.sampling.rules import Draw

EXACT = {"rtol": 0, "atol": 1e-9}


def paid(rule: str, auction: Outcome, token: int = 0, column: str | None = None) -> Array:
    payment = find("payment", rule)
    return payment.charge(auction, Draw(token, "inverse_cdf", prices=(0.0,) * auction.n_agents), None)[column or rule]


def test_the_blogs_example() -> None:
    auction = outcome("linear", BLOG, [1, 2, 2])
    np.testing.assert_allclose(auction.q.p, [0.56, 0.44], **EXACT)
    np.testing.assert_array_equal(paid("pay_your_bid", auction), [1, 2, 2])
    expected = [0.0277722616, 0.2438163723, 0.3103117465]
    np.testing.assert_allclose(paid("second_price", auction, column="second_price_expected"), expected, **EXACT)
    np.testing.assert_allclose(paid("myerson_tv", auction), expected, **EXACT)
    np.testing.assert_allclose(paid("vcg", auction), [0.0290093724, 0.5302664965, 1.0528978167], **EXACT)
    np.testing.assert_allclose(
        paid("pay_bid_times_influence", auction), [0.06, 2 * 0.4 * 22 / 30, 2 * 0.4 * 28 / 30], **EXACT
    )


def test_the_blogs_example_is_undefined_in_log_space() -> None:
    with pytest.raises(MechanismError, match="probability zero for some agent"):
        _ = outcome("log_linear", BLOG, [1, 2, 2]).q


def test_two_agents_with_disjoint_supports() -> None:
    auction = outcome("linear", [[1, 0], [0, 1]], [1, 1])
    np.testing.assert_allclose(
        paid("second_price", auction, column="second_price_expected"), [np.log(2) - 0.5] * 2, **EXACT
    )


def test_log_linear_overshoots_where_both_agree() -> None:
    auction = outcome("log_linear", [[0.40, 0.59, 0.01], [0.40, 0.01, 0.59]], [1, 1])
    assert auction.q.p[0] == pytest.approx(0.4 / (0.4 + 2 * np.sqrt(0.0059)), abs=1e-12)
    assert round(auction.q.p[0], 4) == 0.7225


def test_power_mean_by_hand() -> None:
    p = [[0.64, 0.36], [0.04, 0.96]]
    half = np.array([(0.8 + 0.2) ** 2, (0.6 + np.sqrt(0.96)) ** 2])
    np.testing.assert_allclose(outcome("power_mean", p, [1, 1]).q.p, half / half.sum(), **EXACT)
    harmonic = 1 / (1 / np.array(p[0]) + 1 / np.array(p[1]))
    np.testing.assert_allclose(outcome("power_mean_-1", p, [1, 1]).q.p, harmonic / harmonic.sum(), **EXACT)


def test_power_mean_lies_between_its_limits() -> None:
    p = [[0.64, 0.36], [0.04, 0.96]]
    for exponent, limit in ((1, "linear"), (0, "log_linear")):
        for step in (0.0, 1e-9, -1e-9):
            q = outcome(f"power_mean_{exponent + step!r}", p, [1, 2]).q.p
            np.testing.assert_allclose(q, outcome(limit, p, [1, 2]).q.p, atol=1e-8)


def test_dictatorships_by_hand() -> None:
    np.testing.assert_allclose(outcome("random_dictator", BLOG, [1, 2, 2]).q.p, [0.56, 0.44], **EXACT)
    np.testing.assert_allclose(outcome("winner_take_all", BLOG, [3, 2, 2]).q.p, [0.8, 0.2], **EXACT)
    np.testing.assert_allclose(outcome("winner_take_all", BLOG, [1, 2, 2]).q.p, [0.5, 0.5], **EXACT)
    auction = outcome("random_dictator", BLOG, [1, 2, 2])
    expected = [4 * np.log(5 / 4) - 4 / 5, 3 * np.log(5 / 3) - 6 / 5, 3 * np.log(5 / 3) - 6 / 5]
    prices = paid("second_price", auction, column="second_price_expected")
    np.testing.assert_allclose(prices, expected, **EXACT)


def test_winner_take_all_is_the_usual_second_price() -> None:
    auction = outcome("winner_take_all", BLOG, [3, 2, 1])
    payment = find("payment", "second_price").charge(auction, Draw(0, "inverse_cdf", dictator=0), None)
    for amounts in payment.values():
        np.testing.assert_allclose(amounts[0] if amounts is not payment["second_price_given_token"] else 2.0, 2.0)
    np.testing.assert_array_equal(payment["second_price"], [2, 0, 0])
    np.testing.assert_allclose(paid("myerson_tv", auction), [2 * 0.2, 0, 0], **EXACT)


def test_reserve_by_hand() -> None:
    """Disjoint supports, bids 1 and 1, reserve 1/2: thresholds below 1/2 (probability 1/3) pay 1/2."""
    auction = outcome("linear", [[1, 0], [0, 1]], [1, 1], reserve=0.5)
    expected = 0.5 / 3 + (np.log(2 / 1.5) + 1 / 2 - 1 / 1.5)
    prices = paid("second_price", auction, column="second_price_expected")
    np.testing.assert_allclose(prices, [expected] * 2, **EXACT)
    np.testing.assert_allclose(paid("myerson_tv", auction), prices, **EXACT)


def test_a_reference_agent_counts_but_does_not_pay() -> None:
    auction = outcome("linear", BLOG, [1, 2, 2], charged=(True, True, False))
    np.testing.assert_allclose(paid("vcg", auction), [0.0290093724, 0.5302664965, 0], **EXACT)
    for rule in ("pay_your_bid", "second_price", "myerson_tv", "pay_bid_times_influence"):
        for column in find("payment", rule).columns:
            amounts = paid(rule, auction, column=column)
            assert amounts[2] == 0
