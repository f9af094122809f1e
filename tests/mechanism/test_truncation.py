"""What top_k, top_p and min_p leave of a distribution, by hand and in C."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenauction_cli.mechanism.aggregation.rules import Linear, LogLinear
from tokenauction_cli.mechanism.distributions import Profile, softmax
from tokenauction_cli.mechanism.divergences import both_kls
from tokenauction_cli.mechanism.native.compiled import CompiledProfile, library, profile_of
from tokenauction_cli.mechanism.native.truncating import compiled_row
from tokenauction_cli.mechanism.truncation import Truncation, truncated, truncated_row
from tokenauction_cli.system.errors import DisjointError

LOGITS = np.log([0.5, 0.3, 0.15, 0.05])
compiled = pytest.mark.skipif(library() is None, reason="the passes are not compiled")
truncations = st.builds(
    Truncation,
    st.sampled_from([0, 1, 2, 7, 40, 300, 5000]),
    st.sampled_from([0.01, 0.25, 0.5, 0.9, 0.99, 0.9999, 1.0]),
    st.sampled_from([0.0, 1e-12, 0.01, 0.1, 0.5, 1.0]),
)


def law(truncation: Truncation) -> list[float]:
    return list(softmax(truncated([LOGITS], [0.5], [truncation])[0], 0.5)["p"])


@pytest.mark.parametrize(
    ("truncation", "expected"),
    [
        (Truncation(), (0.684931507, 0.246575342, 0.061643836, 0.006849315)),
        (Truncation(top_k=3), (0.689655172, 0.248275862, 0.062068966, 0)),
        (Truncation(top_p=0.9), (0.735294118, 0.264705882, 0, 0)),
        (Truncation(min_p=0.1), (0.735294118, 0.264705882, 0, 0)),
        (Truncation(top_k=3, top_p=0.935), (0.735294118, 0.264705882, 0, 0)),
        (Truncation(top_p=0.935), (0.689655172, 0.248275862, 0.062068966, 0)),
        (Truncation(top_k=9, top_p=0.01, min_p=1), (1, 0, 0, 0)),
    ],
)
def test_by_hand(truncation: Truncation, expected: tuple[float, ...]) -> None:
    assert law(truncation) == pytest.approx(expected, abs=1e-9)


def test_ties_go_to_the_lowest_id() -> None:
    flat = np.zeros(5)
    for truncation in (Truncation(top_k=2), Truncation(top_p=0.4), Truncation(top_p=0.3)):
        assert np.flatnonzero(np.isfinite(truncated_row(flat, 1.0, truncation))).tolist() == [0, 1]
    assert np.isfinite(truncated_row(flat, 1.0, Truncation(min_p=1))).all()


@pytest.mark.parametrize(("mass", "n_kept"), [(0.5, 1), (0.8, 2), (0.9, 3), (0.95, 3), (0.96, 4)])
def test_a_border_that_is_met_but_for_rounding_is_met(mass: float, n_kept: int) -> None:
    row = np.log([0.5, 0.3, 0.15, 0.05])
    assert np.isfinite(truncated_row(row, 1.0, Truncation(top_p=mass))).sum() == n_kept
    assert np.isfinite(truncated_row(row, 1.0, Truncation(min_p=0.1))).all()


@given(st.integers(0, 10**6), st.sampled_from([0.3, 1.0]), truncations)
def test_the_definition(seed: int, temperature: float, truncation: Truncation) -> None:
    row = np.random.default_rng(seed).normal(0, 3, 60).round(1)
    kept = np.isfinite(truncated_row(row, temperature, truncation))
    p = softmax(row, temperature)["p"]
    order = np.argsort(-row, kind="stable")[: truncation.top_k or None]
    sums = np.cumsum(p[order]) / p[order].sum()
    if truncation.top_p < 1:
        order = order[: int((sums < truncation.top_p - 1e-11).sum()) + 1]
    expected = {t for t in order.tolist() if p[t] >= truncation.min_p * p.max() * (1 - 1e-11)}
    assert set(np.flatnonzero(kept).tolist()) == expected


@compiled
@given(
    st.integers(0, 10**6),
    st.sampled_from([1, 2, 255, 257, 4000]),
    st.sampled_from([0.01, 2.0, 60.0]),
    st.sampled_from([0.3, 1.0]),
    truncations,
)
def test_c_keeps_what_numpy_keeps(
    seed: int, n_tokens: int, spread: float, temperature: float, truncation: Truncation
) -> None:
    """To the last bit, ties and logits of -inf included."""
    chance = np.random.default_rng(seed)
    row = chance.normal(0, spread, n_tokens).astype(np.float32)
    row[chance.random(n_tokens) < 0.3] = np.float32(spread)
    row[chance.random(n_tokens) < 0.1] = -np.inf
    row[0], row[-1] = 0.0, -0.0
    there = compiled_row(row, temperature, *truncation)
    assert there is not None
    assert there.tobytes() == truncated_row(row, temperature, truncation).tobytes()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_row_without_a_distribution_is_left_as_it_is(bad: float) -> None:
    row = np.zeros(300, np.float32)
    row[299] = bad
    for other in (row, np.full(300, -np.inf, np.float32)):
        [kept] = truncated([other], [1.0], [Truncation(top_k=2)])
        assert kept is other
    assert truncated([row], [1.0], [Truncation()])[0] is row


@compiled
@given(st.integers(0, 10**6), st.sampled_from([(1.0, 2.0), (1.0, 0.0), (1e-9, 1.0)]), st.sampled_from([3, 280]))
def test_compiled_profiles_of_truncated_rows(seed: int, bids: tuple[float, float], top_k: int) -> None:
    """Divergences are infinite where an agent rules out what is drawn, as NumPy says term by term."""
    rows = np.random.default_rng(seed).normal(0, 1, (2, 300)).astype(np.float32)
    rows = np.stack(truncated(rows, [1.0, 0.5], [Truncation(top_k), Truncation(top_p=0.95)]))
    here, numpy = profile_of(rows, [1.0, 0.5]), Profile.from_logits(rows, [1.0, 0.5])
    assert isinstance(here, CompiledProfile)
    np.testing.assert_allclose(here.p, numpy.p, rtol=1e-12)
    for rule in (Linear(), LogLinear()):
        if (numpy.p > 0).all(axis=0).any() or isinstance(rule, Linear):
            a, b = (both_kls(profile, rule(profile, bids)) for profile in (here, numpy))
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)
        elif bids[1]:
            with pytest.raises(DisjointError):
                rule(here, bids)


@compiled
def test_three_agents_of_whom_one_bids_nothing() -> None:
    rows = np.random.default_rng(1).normal(0, 1, (3, 300)).astype(np.float32)
    rows[2] = truncated_row(rows[2], 1.0, Truncation(top_k=5))
    profiles = profile_of(rows, [1.0] * 3), Profile.from_logits(rows, [1.0] * 3)
    for rule, bids in ((Linear(), (1, 1, 0)), (LogLinear(), (1, 1, 0)), (Linear(), (1, 0, 1))):
        here, numpy = (both_kls(profile, rule(profile, bids)) for profile in profiles)
        np.testing.assert_allclose(here, numpy, rtol=1e-9, atol=1e-12)
