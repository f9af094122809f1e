"""The passes in C say what NumPy says."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tokenauction_cli.mechanism.aggregation.rules import Linear, LogLinear
from tokenauction_cli.mechanism.cumulative import BLOCK
from tokenauction_cli.mechanism.distributions import LIKELY, ROUNDING, Mixture, Profile, weights_of
from tokenauction_cli.mechanism.divergences import kl_from_agents, kl_to_agents
from tokenauction_cli.mechanism.native import compiled
from tokenauction_cli.mechanism.native.compiled import FEW_AGENTS, NOTHING, CompiledProfile, profile_begun, profile_of
from tokenauction_cli.mechanism.native.prefetch import Kind, Need, Needs, Prefetch
from tokenauction_cli.mechanism.native.sources import HEADERS, SOURCES
from tokenauction_cli.mechanism.outcome import Outcome, needs_of
from tokenauction_cli.mechanism.payments.clarke import Clarke
from tokenauction_cli.mechanism.terms import Terms, bidding_of

pytestmark = pytest.mark.skipif(
    compiled.library() is None and shutil.which("cc") is None, reason="there is no compiler for the passes"
)


@st.composite
def logits(draw: st.DrawFn) -> tuple[list[NDArray[np.float32]], list[float]]:
    """1 to 4 rows over 1 to 1100 tokens, spread from nearly equal to hundreds apart, and temperatures."""
    n, n_tokens = draw(st.integers(1, 4)), draw(st.sampled_from([1, 2, 7, 255, 256, 257, 600, 1024, 1100]))
    chance = np.random.default_rng(draw(st.integers(0, 10**6)))
    spread = draw(st.sampled_from([0.01, 1.0, 5.0, 60.0]))
    offset = draw(st.sampled_from([0.0, -300.0, 1e4]))
    rows = [(offset + chance.normal(0, spread, n_tokens)).astype(np.float32) for _ in range(n)]
    return rows, [draw(st.sampled_from([0.3, 1.0, 2.0])) for _ in range(n)]


def both(given: tuple[list[NDArray[np.float32]], list[float]]) -> tuple[CompiledProfile, Profile]:
    here = profile_of(*given)
    assert isinstance(here, CompiledProfile)
    return here, Profile.from_logits(*given)


@given(logits())
def test_profiles(given: tuple[list[NDArray[np.float32]], list[float]]) -> None:
    here, numpy = both(given)
    np.testing.assert_allclose(here.p, numpy.p, rtol=1e-12, atol=1e-200)
    np.testing.assert_allclose(here.log_p, numpy.log_p, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(here.blocks, numpy.blocks, rtol=1e-12, atol=1e-200)
    np.testing.assert_allclose(here.cross, numpy.cross, rtol=1e-11, atol=1e-11)
    token = int(np.argmax(numpy.p[0]))
    np.testing.assert_allclose(here.log_at(token), numpy.log_p[:, token], rtol=1e-12, atol=1e-12)


@given(logits(), st.lists(st.sampled_from([0.0, 1e-9, 0.2, 1.0, 5.0]), min_size=4, max_size=4))
def test_outcomes(given: tuple[list[NDArray[np.float32]], list[float]], offered: list[float]) -> None:
    here, numpy = both(given)
    n = here.n_agents
    bids = [1.0, *offered[1:]][:n]
    terms = Terms(tuple("abcd"[:n]))
    for rule in (Linear(), LogLinear()):
        a, b = Outcome(rule, here, bids, terms), Outcome(rule, numpy, bids, terms)
        np.testing.assert_allclose(a.q.p, b.q.p, rtol=1e-10, atol=1e-150)
        np.testing.assert_allclose(a.q.blocks, b.q.blocks, rtol=1e-10, atol=1e-150)
        np.testing.assert_array_equal(here.likely, numpy.likely)
        clocks = a.q.clocks(here.likely), b.q.clocks(here.likely)
        np.testing.assert_allclose(*clocks, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(a.distances, b.distances, rtol=1e-10, atol=1e-13)
        np.testing.assert_allclose(a.tvs, b.tvs, rtol=1e-10, atol=1e-13)
        for mine, exact in zip(a.kls, (kl_from_agents(numpy, b.q), kl_to_agents(numpy, b.q)), strict=True):
            np.testing.assert_allclose(mine, exact, rtol=1e-8, atol=1e-10 * (1 + np.abs(numpy.cross).max()))
        token = int(np.argmax(b.q.p))
        assert b.q.p[a.q.mode] == pytest.approx(b.q.p[token], rel=1e-12)
        assert a.q.log_at(token) == pytest.approx(b.q.log_at(token), rel=1e-10, abs=1e-11)
        costs = (Clarke().expected(one) for one in (a, b))
        np.testing.assert_allclose(*costs, rtol=1e-8, atol=1e-10 * (1 + np.abs(numpy.cross).max()))


def test_a_first_block_far_below_the_rest() -> None:
    row = np.full(1000, -5000, np.float32)
    row[700:] = np.linspace(0, 10, 300)
    here, numpy = both(([row, row[::-1].copy()], [1.0, 1.0]))
    np.testing.assert_allclose(here.p, numpy.p, rtol=1e-12, atol=1e-200)
    np.testing.assert_allclose(here.cross, numpy.cross, rtol=1e-12)


def test_a_mixture_without_the_only_agent_that_says_a_token() -> None:
    """q underflows to 0 where the agent with a bid of 0 has p: its divergence is large, not lost."""
    rows = [np.zeros(300, np.float32) for _ in range(3)]
    for row in rows[:2]:
        row[0] = -20000
    rows[2][0] = 20
    for bids in ([1, 1, 0], [1, 2, 1e-200], [1, 1, 1e-300]):
        here, numpy = (Mixture(p, np.array(bids) / np.sum(bids)) for p in both((rows, [1.0, 1.0, 1.0])))
        for mine, exact in zip(here.kls, numpy.kls, strict=True):
            np.testing.assert_allclose(mine, exact, rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("place", [0, 299, 511])
def test_logits_that_are_no_numbers_are_left_to_numpy(bad: float, place: int) -> None:
    rows = [np.zeros(512, np.float32), np.zeros(512, np.float32)]
    rows[1][place] = bad
    weights = np.array([0.25, 0.75]).tobytes()
    needs = Needs(Need(kind, weights) for kind in Kind)
    begun = profile_begun(rows, [1.0, 1.0], needs, Prefetch())
    assert begun is not None
    assert not begun.ready()
    begun.close()


def test_weights_are_numbers_whatever_they_come_as() -> None:
    rows = list(np.random.default_rng(0).normal(0, 3, (2, 300)).astype(np.float32))
    here, numpy = both((rows, [1.0, 1.0]))
    exact = numpy.mixture_kls(Mixture(numpy, np.array([0.25, 0.75])))
    strided = np.array([0.25, 9, 0.75, 9])[::2]
    for weights in (np.array([0.25, 0.75], np.float32), strided):
        np.testing.assert_allclose(here.mixture_kls(Mixture(here, weights)), exact, rtol=1e-6)
        np.testing.assert_allclose(here.log_pool(weights).p, numpy.log_pool(np.array([0.25, 0.75])).p, rtol=1e-6)
        np.testing.assert_allclose(here.rising(0, weights), numpy.rising(0, np.array([0.25, 0.75])), atol=1e-9)


def test_rows_of_different_lengths_are_left_to_numpy() -> None:
    rows = [np.zeros(300, np.float32), np.zeros(200, np.float32)]
    assert profile_begun(rows, [1.0, 1.0], NOTHING, Prefetch()) is None
    assert profile_begun([np.zeros(0, np.float32)], [1.0], NOTHING, Prefetch()) is None
    with pytest.raises(ValueError):
        profile_of(rows, [1.0, 1.0])


@given(logits(), st.lists(st.sampled_from([0.0, 0.2, 1.0, 5.0]), min_size=4, max_size=4))
def test_what_is_prefetched_is_what_is_needed(
    given: tuple[list[NDArray[np.float32]], list[float]], offered: list[float]
) -> None:
    """Clarke payments included; and what one call says of everything is what a call for each says, to the last bit."""
    n = len(given[0])
    bids = (1.0, *offered[1:])[:n]
    terms = Terms(tuple("abcd"[:n]))
    for rule in (Linear(), LogLinear()):
        needs = Needs(needs_of(rule, bidding_of(terms, bids), others=True))
        begun = profile_begun(*given, needs, Prefetch())
        assert begun is not None
        assert begun.ready()
        seen = [everything(Outcome(rule, profile, bids, terms)) for profile in (begun, profile_of(*given))]
        assert not begun._later
        assert [array.tobytes() for array in seen[0]] == [array.tobytes() for array in seen[1]]


def everything(outcome: Outcome) -> list[NDArray[np.float64]]:
    """What a run asks of an outcome."""
    numbers = [*outcome.kls, outcome.tvs, Clarke().expected(outcome)]
    return [*numbers, outcome.distances] if outcome.rule.is_linear_mixture else [*numbers, outcome.q.blocks]


def test_many_agents() -> None:
    chance = np.random.default_rng(3)
    rows = list(chance.normal(0, 3, (64, 1000)).astype(np.float32))
    bids = tuple(chance.uniform(0.5, 2, 64).tolist())
    terms = Terms(tuple(f"a{i}" for i in range(64)))
    here, numpy = both((rows, [1.0] * 64))
    for rule in (Linear(), LogLinear()):
        a, b = (Outcome(rule, profile, bids, terms) for profile in (here, numpy))
        np.testing.assert_allclose(a.kls, b.kls, rtol=1e-9)
        np.testing.assert_allclose(a.tvs, b.tvs, rtol=1e-9)


@pytest.mark.parametrize("weights", [(0.2, 0.3, 0.5), (0.5, 0.5, 0.0), (1 - 1e-9, 5e-10, 5e-10)])
def test_what_the_others_would_do_alone(weights: tuple[float, ...]) -> None:
    """Of all agents in one pass, and nothing cancels where one of them has nearly all the weight."""
    rows = list(np.random.default_rng(1).normal(0, 3, (3, 700)).astype(np.float32))
    here, numpy = both((rows, [1.0, 0.7, 1.3]))
    w = np.array(weights)
    others = [weights_of(np.where(np.arange(3) == i, 0, w)) for i in range(3)]
    q = w @ numpy.p
    found = [here.of_rivals(kind, w) for kind in (Kind.DISTANCES, Kind.RIVAL_KLS, Kind.CONSTANTS)]
    np.testing.assert_allclose(
        found[0], [np.abs(p - o @ numpy.p).sum() / 2 for p, o in zip(numpy.p, others, strict=True)]
    )
    kls = [float((o @ numpy.p) @ np.log((o @ numpy.p) / q)) for o in others]
    np.testing.assert_allclose(found[1], kls, rtol=1e-9, atol=1e-14)
    np.testing.assert_allclose(found[2], [np.log(np.exp(o @ numpy.log_p).sum()) for o in others], rtol=1e-7, atol=1e-13)


@pytest.mark.parametrize("n_tokens", [1, 2, 7, 8, 9, 130, 256, 257, 600])
def test_excess_is_numpys_to_the_last_bit(n_tokens: int) -> None:
    here, numpy = both((list(np.zeros((2, n_tokens), np.float32)), [1.0, 1.0]))
    a, b = np.random.default_rng(n_tokens).exponential(size=(2, n_tokens))
    assert here.excess(a, b).tobytes() == numpy.excess(a, b).tobytes()


def test_constants_are_the_same_in_both_languages() -> None:
    folder = Path(compiled.__file__).parent
    source = "".join((folder / name).read_text() for name in (*SOURCES, *HEADERS))
    assert f"#define FEW_AGENTS {FEW_AGENTS} " in source
    assert f"#define BLOCK {BLOCK}\n" in source
    assert f"#define LIKELY (1.0 / {round(1 / LIKELY)})\n" in source
    assert f"#define ROUNDING {ROUNDING:.0e}\n" in source


def test_equal_tokens_the_first_is_the_mode() -> None:
    here, _ = both(([np.zeros(600, np.float32), np.zeros(600, np.float32)], [1.0, 1.0]))
    assert Mixture(here, np.array([0.5, 0.5])).mode == 0
    row = np.zeros(600, np.float32)
    row[[300, 599]] = 1
    here, _ = both(([row, row], [1.0, 1.0]))
    assert Mixture(here, np.array([0.25, 0.75])).mode == 300


def test_without_the_library_profiles_are_numpys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(compiled, "LIBRARY", tmp_path / "passes.so")
    compiled.library.cache_clear()
    try:
        profile = profile_of([np.zeros(4, np.float32)], [1.0])
        assert type(profile) is Profile
        assert profile_begun([np.zeros(4, np.float32)], [1.0], NOTHING, Prefetch()) is None
    finally:
        compiled.library.cache_clear()


@pytest.mark.parametrize("n", [2, 3, 5])
@pytest.mark.parametrize("bids", [(1.0, 0.5, 2.0, 0.3, 1.0), (1.0, 0.0, 0.0, 0.0, 0.0), (0.0, 1.0, 1.0, 1.0, 1.0)])
def test_agents_that_rule_tokens_out(n: int, bids: tuple[float, ...]) -> None:
    """Each others of its own: divergences are infinite where NumPy's are, and else the same."""
    chance = np.random.default_rng(n)
    rows = list(chance.normal(0, 3, (n, 700)).astype(np.float32))
    for row in rows[1:]:
        row[chance.choice(700, 200, replace=False)] = -np.inf
    for rule in (Linear(), LogLinear()):
        a, b = (Outcome(rule, profile, bids[:n], Terms(tuple("abcde"[:n]))) for profile in both((rows, [0.7] * n)))
        for mine, numpys in zip((*a.kls, a.tvs, *costs(a)), (*b.kls, b.tvs, *costs(b)), strict=True):
            np.testing.assert_allclose(mine, numpys, rtol=1e-9, atol=1e-12)


def costs(outcome: Outcome) -> list[NDArray[np.float64]]:
    return [Clarke().expected(outcome), *([outcome.distances] if outcome.rule.is_linear_mixture else [])]
