"""The four orders: by hand, against their definitions, and what the rules promise in them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from mechanism_strategies import ALL_RULES, auctions, outcome, profiles

from tokenauction_cli.mechanism.aggregation.rules import ORDERS
from tokenauction_cli.mechanism.audit.preferences import TOLERANCE, advantages, excess, outside
from tokenauction_cli.mechanism.distributions import Distribution, MechanismError, Profile
from tokenauction_cli.mechanism.outcome import Outcome


def dist(*p: float) -> Distribution:
    return Distribution(p=np.array(p))


def test_the_robust_order_by_hand() -> None:
    p = dist(0.5, 0.3, 0.2)
    far, near, across = dist(0.7, 0.2, 0.1), dist(0.6, 0.25, 0.15), dist(0.45, 0.35, 0.2)
    assert excess("robust", p, p, dist(1, 0, 0)) == 0
    gains = advantages("robust", p, [far, near, far, across])
    assert gains[0, 1] == -gains[1, 2] == pytest.approx(0.1)
    assert gains[0, 2] == 0
    assert gains[0, 3] is None  # nearer, on the other side
    overshoot = outside(p.p, np.array([0.45, 0.35, 0.2]), np.array([0.7, 0.2, 0.1]))
    np.testing.assert_allclose(overshoot, [0.05, 0.05, 0])


@given(profiles(n=3))
def test_the_robust_order_is_its_definition(profile: Profile) -> None:
    p, r, other = (profile.agent(i) for i in range(3))
    nearer = np.abs(r.p - p.p) <= np.abs(other.p - p.p)
    same_side = (r.p - p.p) * (other.p - p.p) >= 0
    assert (excess("robust", p, r, other) == 0) == (nearer & same_side).all()


@given(profiles(n=2, zeros=False), st.data())
def test_the_robust_order_implies_the_others(profile: Profile, data: st.DataObject) -> None:
    p, other = profile.p
    up, down = np.argmax(p - other), np.argmin(p - other)
    r = other.copy()
    moved = min(p[up] - other[up], other[down] - p[down]) * data.draw(st.floats(0, 1))
    r[up], r[down] = r[up] + moved, r[down] - moved
    for order in ORDERS:
        assert excess(order, Distribution(p=p), Distribution(p=r), Distribution(p=other)) <= TOLERANCE


@pytest.mark.parametrize("order", ORDERS)
@given(auctions(), st.data())
def test_rules_keep_their_promises(order: str, auction: Outcome, data: st.DataObject) -> None:
    """Raising a bid never hurts in the orders that the rule names."""
    assume(order in auction.rule.monotone_in)
    i = data.draw(st.integers(0, auction.n_agents - 1))
    bids = auction.bids.copy()
    bids[i] += data.draw(st.floats(0.001, 20))
    raised = outcome(auction.rule.name, auction.profile, bids)
    assert excess(order, auction.profile.agent(i), raised.q, auction.q) <= TOLERANCE


def test_rules_name_the_robust_order_only_where_it_holds() -> None:
    robust = {rule for rule in ALL_RULES if "robust" in outcome(rule, [[1, 0], [0, 1]], [1, 0]).rule.monotone_in}
    assert robust == {"linear", "power_mean_1", "winner_take_all", "random_dictator"}


def test_infinite_losses_are_equal() -> None:
    p = dist(0.5, 0.5, 0)
    assert advantages("kl", p, [dist(0, 1, 0), dist(1, 0, 0)]) == {(0, 1): 0}
    assert advantages("kl", p, [dist(0, 1, 0), dist(0.9, 0.1, 0)]) == {(0, 1): np.inf}
    assert advantages("reverse_kl", p, [dist(0, 1, 0), dist(0.9, 0, 0.1)]) == {(0, 1): -np.inf}


def test_an_unknown_order() -> None:
    with pytest.raises(MechanismError, match="'l2': it is one of tv, kl, reverse_kl"):
        excess("l2", dist(1), dist(1), dist(1))
