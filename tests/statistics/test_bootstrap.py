"""Intervals of means and of ratios of sums, where numbers are tiny, huge, or very many."""

from __future__ import annotations

import numpy as np
import pytest

from tokenauction_cli.statistics.bootstrap import (
    MOST_RESAMPLED,
    Ratio,
    mean_intervals,
    means_of_samples,
    ratios_of_samples,
)
from tokenauction_cli.statistics.intervals import Estimate, difference


@pytest.mark.parametrize("size", [1e-300, 1e-110, 1e-30, 1e30, 1e110, 1e300])
def test_an_interval_grows_with_the_numbers(size: float) -> None:
    """The cube of 1e-110 is no number, yet its interval is 1e-110 times that of 1."""
    numbers = np.array([[0.0], [1.0], [3.0]])
    (plain,), (scaled,) = mean_intervals(numbers), mean_intervals(numbers * size)
    assert scaled == pytest.approx(tuple(bound * size for bound in plain), rel=1e-12)
    assert plain.low < plain.mean < plain.high


def test_a_difference_of_tiny_means_has_a_width() -> None:
    found = difference(Estimate(3e-200, 2e-200, 4e-200), Estimate(1e-200, 0.0, 2e-200), 0.0)
    assert (found.low, found.high) == pytest.approx((2e-200 - 2**0.5 * 1e-200, 2e-200 + 2**0.5 * 1e-200), rel=1e-12)


@pytest.mark.parametrize("n", [40, MOST_RESAMPLED + 1])
def test_a_ratio_of_what_is_never_negative_has_no_negative_bound(n: int) -> None:
    """One text of thousands earns: the normal interval alone would go below 0."""
    earned = np.zeros(n)
    earned[0] = 1.0
    found = Ratio.of(earned, np.full(n, 30.0)).estimate
    assert 0 <= found.low <= found.mean <= found.high <= 1 / 30


def test_a_difference_of_ratios_stays_between_what_observations_can_make() -> None:
    n = MOST_RESAMPLED + 1
    earned = np.zeros(n)
    earned[0] = 1.0
    apart = Ratio.of(earned, np.full(n, 30.0)).less(Ratio.of(np.zeros(n), np.full(n, 30.0))).estimate
    assert 0 <= apart.low <= apart.mean <= apart.high


def test_ratios_that_rounding_tells_apart_are_equal() -> None:
    sizes = np.arange(1.0, 13.0)
    apart = Ratio.of(0.3 * sizes, sizes).less(Ratio.of((0.1 + 0.2) * sizes, sizes)).estimate
    assert apart == (0, 0, 0)


@pytest.mark.parametrize("unit", [1 / 3, 0.1, 7.0])
def test_an_interval_knows_no_unit(unit: float) -> None:
    """Of few different numbers many resamples have the sample's own mean, but for rounding: these count half."""
    numbers = np.array([[1.0], [2.0], [2.0], [5.0], [5.0], [2.0], [1.0], [1.0]])
    (plain,), (scaled,) = mean_intervals(numbers), mean_intervals(numbers * unit)
    assert scaled == pytest.approx(tuple(bound * unit for bound in plain), rel=1e-9)


def test_many_samples_have_the_interval_of_each() -> None:
    """Of several sizes, with equal rows, constant ones, an infinite number, and texts without a byte."""
    chance = np.random.default_rng(4)
    samples, sizes = chance.exponential(size=(300, 12)), chance.integers(1, 9, size=(300, 12)).astype(float)
    samples[::7, 5:] = np.nan
    samples[1], samples[2], samples[3, 0], samples[4] = 2.0, samples[1], np.inf, np.nan
    sizes[5, 3] = sizes[6] = 0
    means, ratios = means_of_samples(samples), ratios_of_samples(samples, sizes)
    for row, below, mean, ratio in zip(samples, sizes, means, ratios, strict=True):
        there = ~np.isnan(row)
        assert np.array_equal(mean, mean_intervals(row[:, None])[0], equal_nan=True)
        assert np.array_equal(ratio, Ratio.of(row[there], below[there]).estimate, equal_nan=True)
