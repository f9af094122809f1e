"""The shape of a curve by hand and against scipy, and slopes of seeds by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenauction_cli.statistics.sign_flips import sign_flip, sign_flips
from tokenauction_cli.statistics.trends import kendall_tau, shape, shapes, slopes

SEEDS = np.repeat([0, 1], 3)
WEIGHTS = np.tile([0.0, 0.5, 1.0], 2)


@given(st.lists(st.integers(0, 5), min_size=3, max_size=12))
def test_tau_is_scipys(values: list[int]) -> None:
    from scipy.stats import kendalltau

    x, y = np.arange(len(values), dtype=float), np.array(values, dtype=float)
    own = kendall_tau(x, y)
    assert np.isnan(own) if len(set(values)) == 1 else own == pytest.approx(kendalltau(x, y).statistic, abs=1e-12)


@given(st.integers(3, 40))
def test_what_always_rises_has_a_tau_of_exactly_1(n: int) -> None:
    assert kendall_tau(np.arange(n), np.arange(n) ** 2) == 1


def test_the_nearest_curve_may_run_against_tau() -> None:
    """One high point at the start: 13 pairs rise and 8 fall, but 9 and then always 1.5 is the nearest curve."""
    means = np.array([9.0, 0.0, 1.0, 2.0, 0.5, 2.5, 3.0])
    found = shape(np.arange(7.0), means)
    assert found.tau == pytest.approx(5 / 21)
    rest = 1.5
    assert found.violation == pytest.approx(1.5)
    assert found.unexplained == pytest.approx(((means[1:] - rest) ** 2).sum() / ((means - means.mean()) ** 2).sum())


@given(st.lists(st.integers(0, 9), min_size=3, max_size=12))
def test_down_is_as_good_as_up(values: list[int]) -> None:
    weights, means = np.arange(len(values), dtype=float), np.array(values, dtype=float)
    up, down = shape(weights, means), shape(weights, -means)
    assert up.unexplained == pytest.approx(down.unexplained)
    assert 0 <= up.unexplained <= 1
    assert up.violation <= max(values) - min(values)


@pytest.mark.parametrize("size", [1e-300, 1e-170, 1e300])
def test_the_shape_knows_no_unit(size: float) -> None:
    weights, means = np.arange(4.0), np.array([0.0, 2.0, 1.0, 3.0])
    assert shape(weights, means * size) == pytest.approx((4 / 6, 0.5 * size, 0.1), rel=1e-9)


def test_points_of_one_weight_are_one_place() -> None:
    found = shape(np.array([0, 0, 1.0]), np.array([1.0, 3.0, 2.0]))
    assert found.violation == pytest.approx(1)


def test_slopes_by_hand() -> None:
    """Seed 0 rises by 2: -.5 x 1 + .5 x 3. Seed 1 lacks its last point: its weights are -.25 and .25."""
    values = np.array([1.0, 5.0, 3.0, 1.0, 3.0, np.nan])[:, None]
    assert slopes(WEIGHTS, values, SEEDS)[:, 0].tolist() == [1.0, 0.5]


def test_a_seed_with_one_weight_has_no_slope() -> None:
    values = np.array([1.0, 5.0, 3.0, 1.0, np.inf, np.nan])[:, None]
    assert np.array_equal(slopes(WEIGHTS, values, SEEDS)[:, 0], [1.0, np.nan], equal_nan=True)
    assert np.isnan(sign_flips(np.array([[1.0, np.nan]]))).all()


@given(st.floats(-1e6, 1e6, allow_subnormal=False), st.lists(st.integers(0, 20), min_size=3, max_size=12, unique=True))
def test_what_stays_where_it_is_has_no_slope(value: float, places: list[int]) -> None:
    weights = np.array(places) / 20
    found = slopes(weights, np.full((len(places), 1), value), np.zeros(len(places), dtype=np.int64))
    assert found.tolist() == [[0]]


def test_seeds_that_all_rise_are_a_trend() -> None:
    assert sign_flips(np.array([np.ones(10), np.zeros(10)])).tolist() == [2 / 2**10, 1]


@given(st.lists(st.lists(st.integers(-4, 4), min_size=5, max_size=5), min_size=1, max_size=4))
def test_many_curves_have_the_shape_of_each(curves: list[list[int]]) -> None:
    """Among them some whose nearest curve pools points of unequal weights, against scipy."""
    from scipy.optimize import isotonic_regression

    weights, rows = np.array([0.0, 0.2, 0.2, 0.7, 1.0]), np.array(curves, dtype=float)
    for found, means in zip(shapes(weights, rows), rows, strict=True):
        assert np.array_equal(found, shape(weights, means), equal_nan=True)
        places = np.array([means[0], means[1:3].mean(), *means[3:]])
        fits = [sign * isotonic_regression(sign * places, weights=[1, 2, 1, 1]).x[[0, 1, 1, 2, 3]] for sign in (1, -1)]
        distances = min((means - fit for fit in fits), key=lambda distance: float(distance @ distance))
        squares = [min(float((means - fit) @ (means - fit)) for fit in fits), float(distances @ distances)]
        assert squares[0] == pytest.approx(squares[1])
        if len(set(means)) > 1:
            variation = float(((means - means.mean()) ** 2).sum())
            assert found[2] == pytest.approx(squares[0] / variation, abs=1e-12)


def test_many_samples_have_the_p_value_of_each() -> None:
    samples = np.random.default_rng(0).normal(0.3, 1, size=(5, 20))
    samples[1, 12:] = np.nan
    assert sign_flips(samples).tolist() == [sign_flip(row[~np.isnan(row)]) for row in samples]
