"""Best bids and equilibria against brute force over fine grids, in random small games."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pytest

from tokenauction_cli.mechanism.audit.bidder import Bidder
from tokenauction_cli.mechanism.audit.equilibrium import equilibrium
from tokenauction_cli.mechanism.audit.maximum import Payoff, maximum
from tokenauction_cli.mechanism.audit.regret import best_response
from tokenauction_cli.mechanism.distributions import Profile
from tokenauction_cli.mechanism.payments.rules import PaymentRule
from tokenauction_cli.mechanism.registry import find, names
from tokenauction_cli.mechanism.terms import Terms

RULES = (
    *(name for name in names("aggregation") if name != "power_mean"),
    "power_mean",
    "power_mean_-1",
    "power_mean_3",
)
STABLE = find("sampling", "stable")
N_GAMES = 3


def games(rule: str, n: int = N_GAMES) -> Iterator[tuple[Bidder, float]]:
    """Random profiles of two or three agents on three tokens, bids apart by factors of up to 100."""
    rng = np.random.default_rng(len(rule))
    for k in range(n):
        n_agents = 2 + k % 2
        profile = Profile.of(rng.dirichlet(np.full(3, 0.5), n_agents) * 0.998 + 0.002 / 3)
        bids = tuple(np.exp(rng.normal(0, 1.5, n_agents)).tolist())
        yield Bidder(find("aggregation", rule), profile, Terms(tuple("abc"[:n_agents])), bids, 0), bids[0]


def fine_grid(bidder: Bidder, value: float) -> list[float]:
    """Independent of the search: logarithmic over eight decades, and on both sides of every other bid."""
    scale = max(value, bidder.rivals)
    others = [bid * (1 + d) for bid in bidder.bids for d in (-1e-7, 0, 1e-7, 1e-3)]
    return [bid for bid in (0.0, *(scale * np.geomspace(1e-5, 1e3, 250)).tolist(), *others) if bidder.is_open(bid)]


FITTING = [
    (rule, payment)
    for rule in RULES
    for payment in names("payment")
    if find("payment", payment).fits(find("aggregation", rule), STABLE)
    and not (
        payment == "myerson_tv" and rule in ("log_linear", "power_mean", "power_mean_3")
    )  # slow: an integral a bid
]


@pytest.mark.parametrize(("rule", "payment"), FITTING)
def test_no_grid_beats_the_best_bid_and_none_its_bound(rule: str, payment: str) -> None:
    pays = find("payment", payment)
    is_slow = pays.relative_error(find("aggregation", rule), 3) > 0  # an integral for every bid
    for bidder, value in games(rule, 1 if is_slow else N_GAMES):
        grid = fine_grid(bidder, value)[:: 12 if is_slow else 1]
        for order in ("kl",) if is_slow else ("tv", "kl"):
            found = best_response(bidder, pays, order, value)
            tried = max(bidder.utility(pays, order, value, bid) for bid in grid)
            scale = max(value, bidder.rivals)
            assert found.utility >= tried - 1e-6 * scale, (bidder, order)
            assert found.at_most is not None
            assert tried <= found.at_most + 1e-6 * scale


@pytest.mark.parametrize(("rule", "payment"), FITTING)
def test_payments_never_fall_where_they_say_so(rule: str, payment: str) -> None:
    pays = find("payment", payment)
    assert pays.never_falls
    for bidder, _ in games(rule, 1):
        for reserve in (0.0, 0.7 * bidder.rivals) if payment != "vcg" else (0.0,):
            here = replace(bidder, terms=replace(bidder.terms, reserve=reserve))
            bids = [bid for bid in fine_grid(bidder, bidder.rivals)[::12] if here.is_open(bid)]
            paid = [float(pays.expected(here.outcome(bid))[0]) for bid in sorted(bids)]
            assert np.diff(paid).min() >= -1e-7 * max(paid)


@pytest.mark.parametrize(("rule", "payment"), [pair for pair in FITTING if pair[1] != "myerson_tv"])
def test_no_equilibrium_is_claimed_that_a_grid_refutes(rule: str, payment: str) -> None:
    pays = find("payment", payment)
    for bidder, _ in games(rule, 2):
        for order in ("tv",):
            values = bidder.bids
            found = equilibrium([bidder], pays, order, values, max_rounds=12)
            if found.settled:
                assert not found.why
                assert gain_of_anybody(bidder, pays, order, values, found.bids) <= 1e-6 * max(values)


def gain_of_anybody(
    bidder: Bidder, payment: PaymentRule, order: str, values: Sequence[float], bids: tuple[float, ...]
) -> float:
    gains = []
    for i, value in enumerate(values):
        here = replace(bidder, bids=bids, agent=i)
        tried = max(here.utility(payment, order, value, bid) for bid in fine_grid(here, value))
        gains.append(tried - here.utility(payment, order, value, bids[i]))
    return max(gains)


def test_an_all_pay_auction_has_no_equilibrium() -> None:
    """The highest bidder's token is drawn and everybody pays: whoever loses had better bid 0, whoever wins less."""
    bidder = Bidder(
        find("aggregation", "winner_take_all"), Profile.of([[1, 0], [0, 1]]), Terms(("a", "b")), (1.0, 1.0), 0
    )
    found = equilibrium([bidder], find("payment", "pay_your_bid"), "tv", (1.0, 1.0))
    assert not found.settled


def test_a_supremum_that_no_bid_attains_is_called_that() -> None:
    """Against a bid of 1 that wins unless it is outbid, 1 + e wins and pays (1 + e) D: the nearer to 1 the better."""
    bidder = Bidder(
        find("aggregation", "winner_take_all"), Profile.of([[1, 0], [0, 1]]), Terms(("a", "b")), (3.0, 1.0), 0
    )
    found = best_response(bidder, find("payment", "pay_bid_times_influence"), "tv", 3.0)
    assert found.approached == 1
    assert found.utility == pytest.approx(-1, abs=1e-8)
    assert found.regret == pytest.approx(2, abs=1e-8)
    second = best_response(bidder, find("payment", "second_price"), "tv", 3.0)
    assert (second.approached, second.regret) == (None, 0)


def test_a_bidder_alone_pays_as_little_as_can_be() -> None:
    bidder = Bidder(find("aggregation", "linear"), Profile.of([[0.5, 0.5], [1, 0]]), Terms(("a", "b")), (1.0, 0.0), 0)
    found = best_response(bidder, find("payment", "pay_your_bid"), "tv", 1.0)
    assert found.approached == 0
    assert found.regret == pytest.approx(1, abs=1e-8)
    settled = equilibrium(
        [replace(bidder, terms=Terms(("a", "b"), charged=(True, True)))],
        find("payment", "pay_your_bid"),
        "tv",
        (1.0, 0.0),
    )
    assert not settled.settled
    assert "nearer to 0" in settled.why


def test_two_humps_and_a_rise_without_end() -> None:
    narrow = maximum(
        lambda x: Payoff(math.exp(-200 * (x - 0.3) ** 2) + 1.1 * math.exp(-200 * (x - 1.7) ** 2)), np.linspace(0, 3, 31)
    )
    assert narrow.at == pytest.approx(1.7, abs=1e-6)
    assert math.isinf(narrow.at_most)
    rising = maximum(lambda x: Payoff(x / (1 + x)), (0, 1, 2, 4), most=1.0, patience=5)
    assert rising.approached == math.inf
    assert rising.at_most == 1
    stairs = maximum(lambda x: Payoff(float(x >= 0.5), x), np.linspace(0, 3, 31), most=1.0, patience=200)
    assert stairs.value <= stairs.at_most <= stairs.value + 0.02
