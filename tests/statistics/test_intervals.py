"""Intervals over few queries: by hand, against scipy, in range, and never narrower than Wilson's."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenauction_cli.analysis.columns.columns import FIGURES, RATES, range_of
from tokenauction_cli.analysis.frames.metrics import columns_of
from tokenauction_cli.analysis.frames.pooled import how, pooled_frame
from tokenauction_cli.statistics.intervals import (
    Estimate,
    difference,
    mean_over_clusters,
    rate_over_clusters,
    t_quantile,
    wilson,
)

ANY = (-math.inf, math.inf)
NOTHING = math.nan


@pytest.mark.parametrize(("df", "t"), [(1, 12.7062), (2, 4.3027), (3, 3.1824), (4, 2.7764), (30, 2.0423)])
def test_quantiles_of_students_table(df: int, t: float) -> None:
    assert t_quantile(df) == pytest.approx(t, abs=1e-4)


def clusters(*means: float) -> np.ndarray:
    return np.array([[mean, NOTHING, NOTHING] for mean in means])


def test_a_t_interval_over_queries_by_hand() -> None:
    found = mean_over_clusters(clusters(1.0, 2.0, 3.0), ANY)
    assert found == pytest.approx((2.0, 2 - 4.302653 / 3**0.5, 2 + 4.302653 / 3**0.5))


def test_it_is_cut_at_the_range() -> None:
    """Token counts of 5 and 15: 10 -+ 12.7 x 5, of which nothing below 0 can be."""
    low, high = mean_over_clusters(clusters(5, 15), range_of("tokens"))[1:]
    assert low == 0
    assert high == pytest.approx(10 + 12.7062 * 5, abs=1e-3)


def test_no_text_is_longer_than_it_may_be() -> None:
    row = {"aggregation": "linear", "point": 0, "relative_weight": 0.5, "cells": 8}
    summary = pd.DataFrame([row | columns_of("tokens", Estimate(mean, mean, mean)) for mean in (5.0, 15.0)])
    assert pooled_frame(summary, max_tokens=16).iloc[0]["tokens.high"] == 16


def test_queries_that_agree_by_luck_are_as_sure_as_their_texts() -> None:
    """Two means of 4, each known to -1 and +2: the mean of both is known to 1/sqrt 2 and 2/sqrt 2."""
    found = mean_over_clusters(np.array([[4.0, 3.0, 6.0], [4.0, 3.0, 6.0]]), ANY)
    assert found == pytest.approx((4, 4 - 1 / 2**0.5, 4 + 2 / 2**0.5))


@pytest.mark.parametrize(("means", "mean"), [((), NOTHING), ((3.0,), 3.0), ((1.0, math.inf), math.inf)])
def test_of_one_query_or_an_infinite_mean_there_is_none(means: tuple[float, ...], mean: float) -> None:
    found = mean_over_clusters(clusters(*means).reshape(-1, 3), ANY)
    assert found.mean == pytest.approx(mean, nan_ok=True)
    assert math.isnan(found.low)


def test_a_rule_that_pays_agents_has_no_end_at_0() -> None:
    assert mean_over_clusters(clusters(-1.0, 2.0), range_of("payment.mine.a")).low < -1
    assert mean_over_clusters(clusters(1.0, 2.0), range_of("payment.mine.a")).low == 0


def test_no_text_of_8_is_wilsons() -> None:
    assert rate_over_clusters(np.zeros(2), 8)[1:] == wilson(0, 8)
    assert rate_over_clusters(np.ones(2), 8)[1:] == wilson(8, 8)


def test_a_rate_by_hand() -> None:
    """Rates 0 and 1/2 of two queries: s^2/m = 1/16, so that n* = (3/16)(16)(1.96 / 12.7062)^2 = 0.0714."""
    found = rate_over_clusters(np.array([0.0, 0.5]), 1000)
    assert found[1:] == pytest.approx(wilson(0.25 * 0.07138, 0.07138), abs=1e-4)
    assert found.high > 0.95


@given(
    st.lists(st.tuples(st.integers(0, 40), st.integers(1, 40)), min_size=2, max_size=8),
)
def test_rates_stay_in_range_and_are_never_narrower_than_wilsons(counts: list[tuple[int, int]]) -> None:
    summary = pd.DataFrame(
        [
            {"aggregation": "linear", "point": 0, "relative_weight": 0.5, "cells": n}
            | columns_of("co_mention_rate", Estimate(min(hits, n) / n, *wilson(min(hits, n), n)))
            for hits, n in counts
        ]
    )
    row = pooled_frame(summary).iloc[0]
    mean, low, high = (row[f"co_mention_rate{end}"] for end in ("", ".low", ".high"))
    assert 0 <= low <= mean <= high <= 1
    n = row["cells"]
    floor = wilson(mean * n, n)
    assert low <= floor.low + 1e-9
    assert high >= floor.high - 1e-9


@given(st.sampled_from(FIGURES), st.lists(st.floats(0, 1), min_size=2, max_size=8), st.floats(0, 100))
def test_every_figure_stays_in_its_range(figure: str, shares: list[float], size: float) -> None:
    low, high = range_of(figure)
    sign = -1.0 if high == 0 else 1.0
    means = np.array(shares) * (1.0 if high == 1 else size) * sign
    found = mean_over_clusters(clusters(*means), (low, high))
    assert low <= found.low <= found.mean <= found.high <= high


def test_every_rate_is_a_share() -> None:
    assert {range_of(rate) for rate in RATES} == {(0.0, 1.0)}


def test_few_queries_are_told() -> None:
    assert how(2) == "t over only 2 queries: rough"
    assert how(5) == "t over queries"


def test_a_difference_of_rates_is_newcombes() -> None:
    """56/70 less 48/80: .0524 to .3339 (R. G. Newcombe, 1998, table II, method 10)."""
    found = difference(Estimate(56 / 70, *wilson(56, 70)), Estimate(48 / 80, *wilson(48, 80)), 0.0)
    assert (round(found.low, 4), round(found.high, 4)) == (0.0524, 0.3339)
