"""Policies: hedge's bound on any table, what each bids, bids between two of the grid, one's own."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tokenauction_cli.mechanism import registry
from tokenauction_cli.mechanism.policies.hedge import Hedge
from tokenauction_cli.mechanism.policies.policy import Policy, Rows, Turn
from tokenauction_cli.system.errors import UnknownRuleError

GRID = np.array([0.0, 1.0, 2.0, 4.0])
TABLES = st.integers(2, 5).flatmap(
    lambda k: arrays(float, st.tuples(st.integers(1, 60), st.just(k)), elements=st.floats(-3, 3, width=32))
)


def rows(n: int = 1, budget: float = np.inf, rounds: int = 100) -> Rows:
    return Rows(np.tile(GRID, (n, 1)), np.full(n, 2.0), np.full(n, -1.0), np.full(n, 2.0), np.full(n, budget), rounds)


def asked(value: float, number: int = 1, uniform: float = 0.5) -> Turn:
    return Turn(number, np.array([value]), np.array([uniform]), np.array([uniform]))


class Told:
    """One row that hears this of a round."""

    def __init__(self, utilities: list[float], paid: float = 0.0, utility: float = 0.0) -> None:
        self.utilities, self.paid, self.utility = np.array([utilities]), np.array([paid]), np.array([utility])


def policy(name: str, number: float | None = None, **known: float) -> Policy:
    found: Policy = registry.find("policy", name, {} if number is None else {"number": number})
    found.begin(rows(**known))  # type: ignore[arg-type]
    return found


def bid(policy: Policy, asked: Turn) -> float:
    return float(GRID[policy.choose(asked)[0]])


@given(TABLES)
def test_hedge_has_no_regret_beyond_its_bound_on_any_table(table: np.ndarray) -> None:
    """Its chances, and not one draw from them, against every fixed bid: whatever the table says comes next."""
    rounds, k = table.shape
    spread = float(np.ptp(table))
    hedge = Hedge()
    hedge.begin(
        Rows(np.arange(k)[None, :] * 1.0, *(np.array([one]) for one in (1, table.min(), spread, np.inf)), rounds)
    )
    got = 0.0
    for t, utilities in enumerate(table, 1):
        weights = hedge.weights(t)[0]
        got += float(weights / weights.sum() @ utilities)
        hedge.learn(Told(utilities.tolist()))
    bound = 2 * spread * math.sqrt(math.log(k) / (2 * rounds)) + spread * math.sqrt(math.log(k) / 8) / rounds
    assert float(table.sum(axis=0).max() - got) / rounds <= bound + 1e-9


def test_what_the_simple_policies_bid() -> None:
    assert bid(policy("truthful"), asked(2.0)) == 2
    assert bid(policy("fixed", 4.0), asked(2.0)) == 4
    assert bid(policy("multiple", 0.5), asked(2.0)) == 1
    assert bid(policy("shading", 0.5), asked(2.0)) == 1


def test_a_bid_between_two_of_the_grid_has_the_right_mean_and_one_outside_is_counted() -> None:
    n = 20_000
    known = rows(n)
    uniform = (np.arange(n) + 0.5) / n
    assert GRID[known.places(np.full(n, 2.5), uniform)].mean() == pytest.approx(2.5)
    assert set(known.places(np.full(n, 4.0), uniform).tolist()) == {3}
    assert not known.outside.any()
    assert set(known.places(np.full(n, 9.0), uniform).tolist()) == {3}
    assert known.outside.tolist() == [1] * n


def test_a_best_reply_begins_with_the_value_and_then_bids_what_was_best() -> None:
    reply = policy("best_reply")
    assert bid(reply, asked(2.0)) == 2
    reply.learn(Told([0.0, 0.5, 0.2, 0.1]))
    assert bid(reply, asked(2.0, 2)) == 1
    reply.learn(Told([0.5, 0.0, 0.2, 0.0]))
    assert bid(reply, asked(2.0, 3)) == 0, "of equal bids the lowest"


def test_pacing_bids_less_after_a_round_that_cost_more_than_its_share() -> None:
    """rho = 1, eps = 1 / sqrt(100): after a cost of 3, mu is 0.2; after nothing it falls by 0.1, never below 0."""
    pacing = policy("pacing", budget=100.0)
    assert bid(pacing, asked(2.4)) in (2, 4)
    pacing.learn(Told([], paid=3.0))
    assert bid(pacing, asked(2.4)) == 2
    for _ in range(3):
        pacing.learn(Told([]))
    assert bid(pacing, asked(4.0)) == 4


def test_a_bandit_finds_the_best_bid() -> None:
    bandit = policy("exp3")
    draws = np.random.default_rng(0).random(3000)
    made = []
    for t, uniform in enumerate(draws, 1):
        made.append(int(bandit.choose(asked(2.0, t, uniform))[0]))
        bandit.learn(Told([], utility=1.0 if made[-1] == 2 else 0.0))
    assert np.mean(np.array(made[-500:]) == 2) > 0.8


def test_every_policy_says_what_it_is_and_a_number_too_many_is_a_mistake() -> None:
    known = [registry.find("policy", name) for name in registry.names("policy")]
    assert [one.name for one in known if one.needs_budget] == ["pacing"]
    assert [one.name for one in known if one.setting] == ["fixed", "multiple", "shading"]
    assert all(one.about for one in known)
    with pytest.raises(UnknownRuleError, match="policy 'nowhere:Sniper' cannot be loaded"):
        registry.find("policy", "nowhere:Sniper")
