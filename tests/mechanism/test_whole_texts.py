"""Laws of exact expectations over whole texts, of best bids, and of best-response dynamics."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mechanism_strategies import profiles

from tokenauction_cli.mechanism.distributions import MechanismError, Profile
from tokenauction_cli.mechanism.divergences import kl_to_agents
from tokenauction_cli.mechanism.outcome import Outcome
from tokenauction_cli.mechanism.payments.second_price import SecondPrice
from tokenauction_cli.mechanism.registry import find
from tokenauction_cli.mechanism.terms import Terms
from tokenauction_cli.mechanism.whole_texts.best_response import BackwardInduction, best_bid, fine_grid
from tokenauction_cli.mechanism.whole_texts.dynamics import Answer, Dynamics, Path, Question, best_responses, played
from tokenauction_cli.mechanism.whole_texts.finding import price_of_anarchy, welfare_ratio
from tokenauction_cli.mechanism.whole_texts.game import Game, gained
from tokenauction_cli.mechanism.whole_texts.tree import LEAF, TokenAuctions, Tree, Worth, replaced, total, tv_losses

LENGTH = 3
RULES = ("linear", "log_linear")
IDS = "abcd"


def tree_of(rows: Sequence[Profile], length: int = LENGTH) -> Tree:
    """All texts of this length, where the profile depends on the last token: `rows` at the start, then by token."""
    n_tokens = rows[0].n_tokens
    parents, tokens, levels = [-1], [-1], [0, 1]
    for _ in range(length):
        for parent in range(levels[-2], levels[-1]):
            parents += [parent] * n_tokens
            tokens += range(n_tokens)
        levels.append(len(parents))
    places = [LEAF if node >= levels[-2] else token + 1 for node, token in enumerate(tokens)]
    texts = tuple(map(str, range(len(parents))))
    return Tree(np.array(parents), np.array(tokens), np.array(places), texts, tuple(levels), tuple(rows), tuple(rows))


def texts_of(n_tokens: int) -> list[tuple[int, ...]]:
    """In the order of the tree's leaves."""
    return list(product(range(n_tokens), repeat=LENGTH))


@st.composite
def trees(draw: st.DrawFn, n: int | None = None) -> Tree:
    n = n or draw(st.integers(1, 3))
    n_tokens = draw(st.integers(2, 3))
    mass = st.floats(0.01, 1.0)
    rows = [
        Profile.of(
            [
                np.array(row) / sum(row)
                for row in draw(st.lists(st.lists(mass, min_size=n_tokens, max_size=n_tokens), min_size=n, max_size=n))
            ]
        )
        for _ in range(n_tokens + 1)
    ]
    return tree_of(rows)


def bids_of(draw: st.DrawFn, n: int, least: float = 0.0) -> tuple[float, ...]:
    bid = st.floats(0.05, 5.0) if least else st.one_of(st.just(0.0), st.floats(0.05, 5.0))
    return tuple(draw(st.lists(bid, min_size=n, max_size=n).filter(any)))


def auctions_of(tree: Tree, rule: str = "linear") -> TokenAuctions:
    return TokenAuctions(tree, find("aggregation", rule), Terms(tuple(IDS[: tree.profiles[0].n_agents])))


def counted(tree: Tree, agent: int, value: float, token: int = 0) -> Worth:
    """The value times how often a token occurs."""
    of_texts = np.zeros(tree.n_nodes)
    of_texts[tree.leaves] = [text.count(token) for text in texts_of(tree.profiles[0].n_tokens)]
    return Worth(agent, value, of_texts)


def lost(tree: Tree, agent: int, value: float) -> Worth:
    return Worth(agent, value, np.zeros(tree.n_nodes), tv_losses)


@given(st.data(), trees(), st.sampled_from(RULES))
def test_expectations_are_sums_over_texts(data: st.DataObject, tree: Tree, rule: str) -> None:
    """Each text's probability, worth and payments multiplied out; together the texts have probability 1."""
    n = tree.profiles[0].n_agents
    bids = bids_of(data.draw, n)
    auctions, payment = auctions_of(tree, rule), find("payment", "vcg")
    law = auctions.at(bids)
    assert law.p[tree.leaves].sum() == pytest.approx(1, abs=1e-12)
    outcomes = [Outcome(auctions.rule, profile, bids, auctions.terms) for profile in tree.profiles]
    paid, occurs, away = np.zeros(n), 0.0, np.zeros(n)
    for leaf, text in zip(tree.leaves, texts_of(tree.profiles[0].n_tokens), strict=True):
        met = [outcomes[0], *(outcomes[token + 1] for token in text[:-1])]
        p = math.prod(outcome.q.at(token) for outcome, token in zip(met, text, strict=True))
        assert law.p[leaf] == pytest.approx(p, abs=1e-14)
        paid += p * sum(payment.expected(outcome) for outcome in met)
        away += p * sum(outcome.tvs for outcome in met)
        occurs += p * text.count(0)
    assert law.payments(payment) == pytest.approx(paid, abs=1e-10)
    for agent in range(n):
        assert law.mean(lost(tree, agent, 2.0)) == pytest.approx(-2 * away[agent], abs=1e-10)
        assert law.mean(counted(tree, agent, 2.0)) == pytest.approx(2 * occurs, abs=1e-10)


@given(st.data(), trees(), st.sampled_from(RULES), st.floats(0.1, 10))
def test_a_common_factor_of_the_bids_moves_no_text(data: st.DataObject, tree: Tree, rule: str, c: float) -> None:
    bids, auctions, payment = (
        bids_of(data.draw, tree.profiles[0].n_agents),
        auctions_of(tree, rule),
        find("payment", "vcg"),
    )
    law, scaled = auctions.at(bids), auctions.at([c * bid for bid in bids])
    assert scaled.p == pytest.approx(law.p, abs=1e-12)
    assert scaled.payments(payment) == pytest.approx(c * law.payments(payment), rel=1e-6, abs=1e-9)


@given(st.data(), trees(n=3), st.sampled_from(RULES), st.permutations(range(3)))
def test_permuting_agents_permutes(data: st.DataObject, tree: Tree, rule: str, order: list[int]) -> None:
    bids, payment = bids_of(data.draw, 3), find("payment", "vcg")
    rows = tuple(Profile(p=profile.p[order]) for profile in tree.profiles)
    law = auctions_of(tree, rule).at(bids)
    permuted = auctions_of(replace(tree, profiles=rows, truths=rows), rule).at([bids[i] for i in order])
    assert permuted.p == pytest.approx(law.p, abs=1e-12)
    assert permuted.payments(payment) == pytest.approx(law.payments(payment)[order], abs=1e-9)
    for place, agent in enumerate(order):
        assert permuted.mean(lost(tree, place, 1.0)) == pytest.approx(law.mean(lost(tree, agent, 1.0)), abs=1e-10)


@given(trees(n=2), st.sampled_from(RULES), st.integers(0, 1))
def test_a_lone_bidder_writes_its_own_texts(tree: Tree, rule: str, agent: int) -> None:
    law = auctions_of(tree, rule).at(tuple(float(i == agent) for i in range(2)))
    for leaf, text in zip(tree.leaves, texts_of(tree.profiles[0].n_tokens), strict=True):
        rows = [tree.profiles[0], *(tree.profiles[token + 1] for token in text[:-1])]
        assert law.p[leaf] == math.prod(row.p[agent, token] for row, token in zip(rows, text, strict=True))
    assert law.mean(lost(tree, agent, 1.0)) == 0


@settings(max_examples=15)
@given(trees(n=2), st.sampled_from(RULES), st.booleans(), st.floats(0.1, 3), st.floats(0.1, 3))
def test_a_bid_for_every_prefix_is_no_worse_than_one_for_all(
    tree: Tree, rule: str, of_draws: bool, value: float, other: float
) -> None:
    worth = lost(tree, 0, value) if of_draws else counted(tree, 0, value)
    game = Game(auctions_of(tree, rule), find("payment", "vcg"), {0: worth}, (value, other))
    truth = game.utility(0, game.truth)
    constant = game.best_bid(0, game.truth)
    by_prefix = BackwardInduction(game.auctions, game.payment, worth, game.truth).solve()
    assert constant.utility >= truth - 1e-12
    assert by_prefix.utility >= constant.utility - 1e-11
    assert game.regret(game.truth) == pytest.approx(constant.utility - truth, abs=1e-12)


def test_the_best_bid_may_lie_just_above_another() -> None:
    """The highest bid wins, and pays what it moves times itself: the less the better, but at a tie it wins a third."""
    tree = tree_of([Profile.of([[0.6, 0.3, 0.1], [0.2, 0.3, 0.5], [0.1, 0.8, 0.1]])] * 4, 1)
    payment = find("payment", "pay_bid_times_influence")
    game = Game(auctions_of(tree, "winner_take_all"), payment, {1: lost(tree, 1, 1.1)}, (1.0, 1.0, 1.0))
    found = game.best_bid(1, game.truth)
    assert 1 < found.bid < 1 + 1e-8
    assert found.utility == pytest.approx(-0.4, abs=1e-8)


@given(trees(n=2), st.booleans(), st.floats(0.1, 3), st.floats(0.1, 3))
def test_the_best_bid_at_a_prefix_is_truth_for_what_follows(
    tree: Tree, of_draws: bool, value: float, other: float
) -> None:
    """Under linear and second price b* = max(0, v + sum_x (p_x - o_x) V(x) / D), V the utility from x on."""
    worth = lost(tree, 0, value) if of_draws else counted(tree, 0, value)
    auctions = auctions_of(tree)
    found = BackwardInduction(auctions, SecondPrice(), worth, (value, other)).solve()
    values = np.array([worth.of_text(node) if tree.places[node] == LEAF else 0.0 for node in range(tree.n_nodes)])
    for node in range(tree.levels[-2] - 1, -1, -1):
        place = int(tree.places[node])
        p, o = tree.profiles[place].p
        distance, later = 0.5 * np.abs(p - o).sum(), values[tree.children[node]]
        effective = (value if of_draws else 0.0) + float((p - o) @ later) / distance if distance > 1e-6 else math.nan
        best = min(max(0.0, effective), max(fine_grid(value, other)))
        if distance > 1e-2 and (best == 0 or best > 1e-2):
            assert found.bids[node] == pytest.approx(best, rel=1e-5, abs=1e-5)
        outcome = auctions.outcome(place, (found.bids[node], other))
        paid = SecondPrice().expected(outcome)[0]
        values[node] = worth.of_draw(tree.truths[place], outcome.q) - paid + outcome.q.p @ later
    assert found.utility == pytest.approx(values[0], abs=1e-10)


def test_a_bid_for_every_prefix_pays_what_its_utility_leaves() -> None:
    rows = [Profile.of([[0.7, 0.3], [0.2, 0.8]]), Profile.of([[0.5, 0.5], [0.9, 0.1]]), Profile.of([[1, 0], [0, 1]])]
    tree = tree_of(rows, 2)
    of_texts = np.zeros(tree.n_nodes)
    of_texts[tree.leaves] = [2, 1, 1, 0]
    found = BackwardInduction(auctions_of(tree), SecondPrice(), Worth(0, 1.0, of_texts), (1.0, 1.0)).solve()
    auctions, p, paid = auctions_of(tree), [1.0] + [0.0] * 6, 0.0
    for node in range(3):
        outcome = auctions.outcome(int(tree.places[node]), (float(found.bids[node]), 1.0))
        paid += p[node] * SecondPrice().expected(outcome)[0]
        for child, token in zip(tree.children[node], range(2), strict=True):
            p[child] = p[node] * outcome.q.at(token)
    assert found.payment == pytest.approx(paid, abs=1e-12)
    assert found.utility == pytest.approx(np.array(p)[3:] @ [2, 1, 1, 0] - paid, abs=1e-12)


def test_infinite_losses_stay_infinite() -> None:
    """q has what agent b rules out; whatever else is gained, no NaN and no warning comes of it."""
    tree = tree_of([Profile.of([[0.5, 0.5], [1.0, 0.0]])] * 3, 1)
    law = auctions_of(tree).at((1.0, 1.0))
    ruled_out = Worth(1, 1.0, np.array([0, math.inf, -math.inf]))
    assert law.mean(ruled_out) == -math.inf
    assert law.mean(Worth(1, 1.0, np.zeros(3), kl_to_agents)) == -math.inf
    assert law.mean(Worth(1, 0.0, np.zeros(3), kl_to_agents)) == 0
    alone = auctions_of(tree).at((0.0, 1.0))
    assert alone.mean(Worth(1, 1.0, np.array([0, 3.0, -math.inf]))) == 3  # the text never comes
    assert total([math.inf, -math.inf, math.nan]) == -math.inf


def test_an_undefined_rule_names_the_prefix_that_is_met() -> None:
    met = [Profile.of([[0.5, 0.5], [0.5, 0.5]]), Profile.of([[1, 0], [0, 1]]), Profile.of([[1, 0], [1, 0]])]
    with pytest.raises(MechanismError, match="after '1': log-linear aggregation is undefined"):
        auctions_of(tree_of(met, 2), "log_linear").at((1.0, 1.0))
    never = [Profile.of([[0, 1], [0, 1]]), *met[1:]]
    assert auctions_of(tree_of(never, 2), "log_linear").at((1.0, 1.0)).p.tolist() == [1, 0, 1, 0, 0, 1, 0]


@pytest.mark.parametrize(
    ("utility", "bid"),
    [
        (lambda b: -((b - 0.3) ** 2), 0.3),
        (lambda b: 1.0 if b == 0 else -((b - 0.3) ** 2), 0.0),
        (lambda b: math.exp(-200 * (b - 0.3) ** 2) + 1.1 * math.exp(-200 * (b - 1.7) ** 2), 1.7),
        (lambda b: 0.0, 1.0),
        (lambda b: math.log(1 + b) - b / 2.5, 1.5),
    ],
    ids=["parabola", "jump at 0", "two humps", "indifferent", "smooth"],
)
def test_the_best_bid_is_found(utility: Callable[[float], float], bid: float) -> None:
    found = best_bid(utility, fine_grid(1.0, 2.0), 1.0)
    assert found.bid == pytest.approx(bid, abs=1e-9)
    assert found.utility == utility(found.bid)


def path_of(dynamics: Dynamics, payoff: Callable[[int, tuple[float, ...]], float], doubt: float = 0.0) -> Path:
    """Where these dynamics lead; the lower bound of a gain is less by `doubt`."""

    def answers(question: Question) -> list[Answer]:
        assert question.candidates[0] == question.bids[question.agent]
        before = payoff(question.agent, question.bids)
        tried = (replaced(question.bids, question.agent, bid) for bid in question.candidates)
        gains = [gained(payoff(question.agent, bids), before) for bids in tried]
        return [Answer(gain, gain - doubt) for gain in gains]

    return played({"": dynamics}, lambda asked: {"": answers(asked[""])})[""]


def path_of_two(
    payoff: Callable[[int, Sequence[float]], float], truth: tuple[float, ...], doubt: float = 0.0, refinements: int = 0
) -> Path:
    """Of two agents with the bids 0, 1, 2 to try."""
    grids = dict.fromkeys(range(2), (0.0, 1.0, 2.0))
    return path_of(best_responses(truth, grids, refinements, most_rounds=6), payoff, doubt)


def test_dynamics_end_in_an_equilibrium() -> None:
    """Everybody wants to bid half of what the other does."""
    path = path_of_two(lambda i, bids: -((bids[i] - bids[1 - i] / 2) ** 2), (2.0, 2.0))
    assert (path.outcome, path.bids, path.cycle) == ("equilibrium", (0, 0), ())
    assert [reply.bids for reply in path.replies[:4]] == [(2, 2), (1, 2), (1, 0), (0, 0)]
    assert [reply.agent for reply in path.replies[:4]] == [None, 0, 1, 0]
    assert path.replies[1].gain == 1


def test_dynamics_refine_between_the_bids_of_the_grid() -> None:
    path = path_of_two(lambda i, bids: -((bids[i] - 0.7) ** 2), (2.0, 2.0), refinements=20)
    assert path.bids == pytest.approx((0.7, 0.7), abs=1e-5)
    assert path.outcome == "equilibrium"


def test_dynamics_report_a_cycle_as_one() -> None:
    """Matching pennies with 0 and 2: one wants to bid as the other does, the other not."""
    path = path_of_two(lambda i, bids: -abs(bids[0] - bids[1]) if i == 0 else abs(bids[0] - bids[1]), (0.0, 0.0))
    assert path.outcome == "cycle"
    assert path.cycle == ((0, 2), (2, 0))
    assert path.bids == path.cycle[0]


def test_dynamics_do_not_move_on_a_doubtful_gain() -> None:
    path = path_of_two(lambda i, bids: -((bids[i] - 1) ** 2), (2.0, 2.0), doubt=1.5)
    assert (path.outcome, path.rounds, path.bids) == ("equilibrium", 1, (2, 2))
    assert (path.replies[1].gain, path.replies[1].low, path.replies[1].moved) == (1, -0.5, False)


def test_dynamics_stop_unfinished() -> None:
    """Each halving of the distance leaves another one."""
    path = path_of_two(lambda i, bids: -abs(bids[i] - (1 + bids[1 - i]) / 2), (0.0, 0.0), refinements=3)
    assert (path.outcome, path.rounds) == ("unfinished", 6)


@pytest.mark.parametrize(
    ("best", "reached", "ratio"),
    [(3, 2, 1.5), (-2, -3, 1.5), (1, 0, None), (1, -1, None), (0, 0, None), (-1, -math.inf, None), (2, 2 + 1e-15, 1)],
)
def test_price_of_anarchy(best: float, reached: float, ratio: float | None) -> None:
    assert price_of_anarchy(best, reached) == ratio


def test_a_ratio_of_estimates_is_not_cut() -> None:
    assert welfare_ratio(2, 2.5) == 0.8
    assert welfare_ratio(-2.5, -2) == 0.8
    assert welfare_ratio(1, 0) is None


@given(profiles(n=2, zeros=False))
def test_welfare_is_best_at_some_relative_weight(profile: Profile) -> None:
    """Of two agents with the worth -TV, the one that is worth more decides alone or is indifferent."""
    tree = tree_of([profile] * (profile.n_tokens + 1), 1)
    game = Game(auctions_of(tree), SecondPrice(), {0: lost(tree, 0, 2.0), 1: lost(tree, 1, 1.0)}, (1.0, 1.0))
    best = game.at_weight(game.best_weight())
    assert game.truth == (2, 1)
    assert sum(best) == pytest.approx(3)
    assert game.welfare(best) >= max(game.welfare(bids) for bids in (game.truth, (3.0, 0.0), (0.0, 3.0)))
    assert game.welfare((3.0, 0.0)) == pytest.approx(game.welfare(best), abs=1e-9)


def gain_of_anybody(game: Game, bids: Sequence[float]) -> float:
    """The most that a fine grid, on both sides of the other bids too, gains over these bids."""
    gains = []
    for agent in game.worths:
        others = [bid * (1 + d) for bid in replaced(bids, agent, 0.0) for d in (-1e-7, 0, 1e-7)]
        scale = max(game.worths[agent].value, *bids)
        grid = [*(scale * np.geomspace(1e-5, 1e3, 120)).tolist(), 0.0, *others]
        tried = [game.utility(agent, replaced(bids, agent, bid)) for bid in grid if any(replaced(bids, agent, bid))]
        gains.append(max(tried) - game.utility(agent, bids))
    return max(gains)


@pytest.mark.parametrize("payment", ["pay_your_bid", "second_price", "pay_bid_times_influence"])
@pytest.mark.parametrize("rule", ["winner_take_all", "linear"])
def test_no_equilibrium_of_whole_texts_is_claimed_that_a_grid_refutes(rule: str, payment: str) -> None:
    rng = np.random.default_rng(3)
    for _ in range(3):
        tree = tree_of([Profile.of(rng.dirichlet(np.ones(2), 2)) for _ in range(3)], 2)
        values = rng.uniform(0.5, 3, 2).tolist()
        worths = {i: lost(tree, i, values[i]) for i in range(2)}
        game = Game(auctions_of(tree, rule), find("payment", payment), worths, (1.0, 1.0))
        grids = {i: (0.0, values[i] / 2, values[i], 2 * values[i]) for i in range(2)}
        path = path_of(game.dynamics(grids), game.utility)
        if path.outcome == "equilibrium":
            assert gain_of_anybody(game, path.bids) <= 1e-6
            assert game.regret(path.bids) <= 1e-9
            assert not path.approached


def test_a_bidder_that_pays_whatever_it_bids_would_bid_as_little_as_can_be() -> None:
    """Nobody else bids, so every bid writes the same texts, and the mention is worth 1: .996 for a bid of 1/256."""
    tree = tree_of([Profile.of([[1.0, 0.0], [0.0, 1.0]])] * 3, 1)
    worth = Worth(0, 1.0, np.array([0.0, 1.0, 0.0]))
    game = Game(auctions_of(tree), find("payment", "pay_your_bid"), {0: worth}, (1.0, 0.0))
    found = game.best_bid(0, game.truth)
    assert found.utility == pytest.approx(1, abs=1e-8)
    assert found.approached == 0
    path = path_of(game.dynamics({0: (0.0, 0.5, 1.0)}), game.utility)
    assert path.outcome == "supremum"
    assert path.approached == {0: 0.0}


def test_the_best_bid_at_a_prefix_may_be_far_above_the_value() -> None:
    """Second price, a text that is worth 1000 and a value of 1: b = sum_x (p_x - o_x) V(x) / D = 1000."""
    apart, close = Profile.of([[1, 0], [0, 1]]), Profile.of([[0.51, 0.49], [0.5, 0.5]])
    tree = tree_of([close, apart, apart], 1)
    worth = Worth(0, 1.0, np.array([0.0, 1000.0, 0.0]))
    found = BackwardInduction(auctions_of(tree), SecondPrice(), worth, (1.0, 1.0)).solve()
    assert found.bids[0] == pytest.approx(1000, rel=1e-6)
