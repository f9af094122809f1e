"""What holds of every market: budgets are kept, bidders may change places, one seed gives one market."""

from __future__ import annotations

import numpy as np
import pytest
from contests import bidder, contest, played
from hypothesis import given
from hypothesis import strategies as st

from tokenauction_cli.market.game import GameName, Setup, StageGame
from tokenauction_cli.market.outcomes import outcomes_of
from tokenauction_cli.market.rounds import Participant, Tables, play
from tokenauction_cli.system.arrays import Array

POLICIES = (
    ("truthful", None),
    ("fixed", 0.7),
    ("multiple", 0.8),
    ("shading", 0.3),
    ("hedge", None),
    ("exp3", None),
    ("best_reply", None),
    ("pacing", None),
)
SIZES = (3, 4, 3)


def random_game(seed: int) -> tuple[Setup, StageGame]:
    """Three bidders, two queries of other chances and values, three seeds; who bids 0 pays 0."""
    draw = np.random.default_rng(seed)
    grids = [np.concatenate([[0.0], np.sort(draw.random(k - 1) * 2 + 0.01)]) for k in SIZES]
    setup = Setup(("a", "b", "c"), grids, draw.random((3, 2)) + 0.5, 3, weights=np.array([1.0, 2.0]))
    bids = np.array(np.meshgrid(*grids, indexing="ij")).reshape(3, -1)
    paid = np.tile(bids, 6) * draw.random((3, setup.n_cells))
    worths, mentions = draw.random((2, 3, setup.n_cells))
    return setup, StageGame(GameName("linear", "made_up", 0.0), worths, paid, mentions.round())


def permuted(setup: Setup, game: StageGame, order: list[int]) -> tuple[Setup, StageGame]:
    def moved(amounts: Array) -> Array:
        axes = (0, 1, 2, *(3 + i for i in order))
        return amounts.reshape(3, *setup.shape)[order].transpose(axes).reshape(3, -1)

    others = Setup(
        [setup.ids[i] for i in order], [setup.grids[i] for i in order], setup.values[order], 3, weights=setup.weights
    )
    return others, StageGame(game.name, *map(moved, game[1:]))


@st.composite
def bidders(draw: st.DrawFn) -> list[Participant]:
    found = []
    for _ in range(3):
        name, number = draw(st.sampled_from(POLICIES))
        budget = draw(st.floats(0.5, 20)) if name == "pacing" or draw(st.booleans()) else np.inf
        found.append(bidder(name, number, budget))
    return found


@given(st.integers(0, 99), bidders())
def test_no_budget_is_ever_exceeded_and_money_adds_up(seed: int, bidders: list[Participant]) -> None:
    setup, game = random_game(seed)
    rounds = play(setup, [game], bidders, 60, 2, seed)
    budgets = np.array([one.budget for one in bidders])[:, None]
    paid = np.array([Tables(setup, [game]).paid(cells) for cells in rounds.cells(setup, slice(None))])
    assert (paid.cumsum(axis=0) <= budgets + 1e-9).all()
    (found,) = outcomes_of(setup, [game], bidders, rounds)
    assert found.spent == pytest.approx(paid.sum(axis=0))
    assert found.windows.spent[-1] == pytest.approx(found.spent)


@given(st.integers(0, 99), bidders(), st.permutations(range(3)))
def test_bidders_may_change_places(seed: int, bidders: list[Participant], order: list[int]) -> None:
    setup, game = random_game(seed)
    others, moved = permuted(setup, game, order)
    here, there = played(setup, game, bidders, 40, 2), played(others, moved, [bidders[i] for i in order], 40, 2)
    for name in ("worths", "paid", "mentions", "mean_bid", "ended", "regret", "outside"):
        assert getattr(there, name) == pytest.approx(getattr(here, name)[order], abs=1e-12), name


def test_one_seed_gives_one_market_alone_or_beside_others() -> None:
    setup, game = random_game(1)
    several = [bidder("hedge"), bidder("exp3", budget=5.0), bidder("pacing", budget=3.0)]
    alone = play(setup, [game], several, 300, 4, 7)
    other = game._replace(payments=game.payments / 2)
    beside = play(setup, [other, game], several, 300, 4, 7)
    assert alone.places.tobytes() == np.ascontiguousarray(beside.places[:, :, 4:]).tobytes()
    fewer = play(setup, [game], several, 300, 2, 7)
    assert (fewer.places == alone.places[:, :, :2]).all(), "a replication does not know how many there are"
    assert (play(setup, [game], several, 300, 4, 8).places != alone.places).any()


def test_who_cannot_pay_bids_0_and_is_asked_again() -> None:
    """Both pay 1 a round and have 2.5 and 3: two rounds each, then the first is out, and the second has one more."""
    grids = [np.array([0.0, 1.0])] * 2
    setup, game = contest(grids, [2, 2], "pay_your_bid")
    rounds = play(setup, [game], [bidder("fixed", 1.0, 2.5), bidder("fixed", 1.0, 3.0)], 5, 1, 0)
    assert rounds.places[:, :, 0].tolist() == [[1, 1], [1, 1], [0, 1], [0, 0], [0, 0]]
    (found,) = outcomes_of(setup, [game], [bidder("fixed", 1.0, 2.5), bidder("fixed", 1.0, 3.0)], rounds)
    assert found.ended[:, 0].tolist() == [2, 3]


def test_all_that_exceed_are_set_to_0_at_once() -> None:
    """At second price the first pays less where the second is gone: it is looked up anew, and bids on."""
    setup, game = contest([np.array([0.0, 1.0])] * 2, [2, 2], "second_price")
    cost = float(game.payments[0, 3])
    bidders = [bidder("fixed", 1.0, cost * 1.5), bidder("fixed", 1.0, cost / 2)]
    rounds = play(setup, [game], bidders, 3, 1, 0)
    assert rounds.places[:, :, 0].tolist() == [[1, 0]] * 3, "alone it pays nothing"


def test_every_date_begins_with_a_whole_budget() -> None:
    setup, game = contest([np.array([0.0, 1.0])] * 2, [2, 2], "pay_your_bid", days=3, dated=True)
    bidders = [bidder("fixed", 1.0, 2.0, per_day=True), bidder("fixed", 0.0)]
    rounds = play(setup, [game], bidders, 30, 2, 0)
    (found,) = outcomes_of(setup, [game], bidders, rounds)
    assert (np.diff(rounds.queries, axis=0) >= 0).all(), "rounds are in the order of dates"
    assert found.spent[0].tolist() == [6, 6]


def test_regret_is_that_of_the_best_fixed_bid_and_with_a_budget_of_the_best_multiple() -> None:
    """The other bids 1 and the value is 6: bids 0, 1 and 2 get 0, 6 / 2 - 1 = 2 and 6 x 2 / 3 - 2 = 2.

    With 10 of money for 20 rounds 2 can be bid 5 times, and 0.5, which costs 0.5 and gets 1 in the mean, 20 times.
    """
    grids = [np.array([0.0, 1.0, 2.0]), np.array([0.0, 1.0])]
    setup, game = contest(grids, [6, 1], "pay_your_bid")
    free = played(setup, game, [bidder("fixed", 0.0), bidder("fixed", 1.0)], 20)
    assert free.regret[0, 0] == pytest.approx(2.0)
    poor = played(setup, game, [bidder("fixed", 2.0, 10.0), bidder("fixed", 1.0)], 20)
    # two bids of 0.5: between 0 and 1, in the mean it costs 0.5 and gets 1.0, in all 20 rounds
    assert poor.regret[0, 0] == pytest.approx(20 / 20 - 5 * 2 / 20)
