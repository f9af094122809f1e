"""Differences of pairs that are none, and correlations of tiny numbers."""

from __future__ import annotations

import numpy as np
import pytest

from tokenauction_cli.statistics.intervals import wilson
from tokenauction_cli.statistics.pairs import PAIRED, compared, pearson
from tokenauction_cli.statistics.rounding import apart
from tokenauction_cli.statistics.sign_flips import sign_flip

NOISE = np.random.default_rng(8).normal(size=20)


@pytest.mark.parametrize("constant", [True, False])
def test_what_rounding_alone_tells_apart_is_equal(constant: bool) -> None:
    """Twenty seeds differ by 1.1e-16, always upward: by signs alone that would be a difference beyond doubt."""
    second = np.ones(20) if constant else 1 + NOISE
    found = compared(second * (1 + 2**-52), second)
    assert (found.difference, found.low, found.high, found.p_value, found.interval) == (0, 0, 0, 1, PAIRED)


def test_a_difference_above_the_tolerance_counts() -> None:
    found = compared(np.ones(20) + 1e-8, np.ones(20))
    assert found.difference == pytest.approx(1e-8)
    assert found.p_value < 0.01


def test_rates_that_rounding_tells_apart_keep_their_interval() -> None:
    rates = np.array([0.3, 0.6, 0.3, 0.9, 0.0])
    found, same = compared(rates + 1e-16, rates, 50), compared(rates, rates, 50)
    assert (found.difference, found.p_value) == (0, 1)
    assert found.low == pytest.approx(same.low) != 0


def test_missing_and_infinite_pairs_hide_no_difference() -> None:
    first = np.array([[1.0, 1.0, np.nan], [2.0, np.inf, 5.0]])
    second = np.array([[1.0, 1.0, 5.0], [2.0 + 1e-16, 1.0, 5.0 + 1e-15]])
    assert np.array_equal(apart(first, second), [[0, 0, np.nan], [0, np.inf, 0]], equal_nan=True)


@pytest.mark.parametrize("size", [1e-300, 1e-170, 1e170, 1e300])
def test_a_correlation_knows_no_unit(size: float) -> None:
    other = NOISE + np.arange(20) / 10
    assert pearson(NOISE * size, other) == pytest.approx(pearson(NOISE, other))


def test_flips_that_cancel_are_as_far_as_nothing() -> None:
    """.1 + .2 - .3 is 5.6e-17 and not 0; every flip is at least that far away."""
    assert sign_flip(np.array([0.1, 0.2, -0.3])) == 1


def test_wilson_of_no_text() -> None:
    assert wilson(0, 0) == (0, 1)
