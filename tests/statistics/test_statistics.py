"""Intervals, trends and comparisons, against scipy, by hand, and against the distributions they speak of."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import Reader
from hypothesis import given
from hypothesis import strategies as st

from tokenauction_cli.analysis.frames.comparable import are_comparable, groups_of
from tokenauction_cli.analysis.frames.comparison import comparisons_frame
from tokenauction_cli.analysis.frames.metrics import figures_of_summary
from tokenauction_cli.analysis.frames.pooled import pooled_frame
from tokenauction_cli.analysis.run import Run, statistics_frames
from tokenauction_cli.api import run_experiment
from tokenauction_cli.engine.run import SilentProgress
from tokenauction_cli.statistics.bootstrap import mean_intervals
from tokenauction_cli.statistics.intervals import Estimate
from tokenauction_cli.statistics.pairs import PAIRED, UNPAIRED, compared, pearson
from tokenauction_cli.statistics.sign_flips import sign_flip
from tokenauction_cli.statistics.trends import shape


def column(values: list[float]) -> Estimate:
    return mean_intervals(np.array(values, dtype=float)[:, None])[0]


def test_bca_is_scipys() -> None:
    from scipy.stats import bootstrap

    sample = np.random.default_rng(3).exponential(size=25)
    own = column(list(sample))
    its = bootstrap((sample,), np.mean, n_resamples=20_000, rng=np.random.default_rng(1)).confidence_interval
    assert own.mean == pytest.approx(sample.mean())
    assert own.low == pytest.approx(its.low, abs=0.02)
    assert own.high == pytest.approx(its.high, abs=0.04)


def test_bca_of_skewed_data_leans_to_the_long_tail() -> None:
    interval = column([0.0] * 18 + [10.0, 12.0])
    assert interval.high - interval.mean > interval.mean - interval.low > 0


def test_bca_covers() -> None:
    """95 % intervals of means of 30 gamma variables contain the truth about that often."""
    samples = np.random.default_rng(5).gamma(2.0, size=(30, 400))
    inside = [low <= 2.0 <= high for _, low, high in mean_intervals(samples)]
    assert 0.90 <= np.mean(inside) <= 0.98


def test_intervals_of_little() -> None:
    assert column([2.0, 2.0, 2.0]) == (2, 2, 2)
    single, empty, infinite = column([2.0]), column([np.nan]), column([1.0, np.inf])
    assert single.mean == 2
    assert np.isnan(single.low)
    assert np.isnan(empty.mean)
    assert infinite.mean == np.inf
    assert np.isnan(infinite.high)


def test_of_very_many_no_bound_lies_beyond_the_observations() -> None:
    rare = np.zeros((5000, 1))
    rare[0] = 1.0
    assert mean_intervals(rare)[0].low == 0


def test_of_very_many_the_interval_is_normal() -> None:
    sample = np.random.default_rng(1).normal(size=(4001, 1))
    mean, low, high = mean_intervals(sample)[0]
    assert (mean - low, high - mean) == pytest.approx((1.96 * sample.std() / 4001**0.5,) * 2, rel=1e-3)
    assert column(list(sample[:4000, 0])).low == pytest.approx(low, abs=2e-3)


def test_missing_values_are_left_out_column_by_column() -> None:
    both = mean_intervals(np.array([[1.0, np.nan], [2.0, 5.0], [4.0, 7.0]]))
    assert both == [column([1.0, 2.0, 4.0]), column([5.0, 7.0])]


def test_many_figures_take_little_time() -> None:
    values = np.random.default_rng(0).normal(size=(20, 400))
    begun = time.process_time()
    for _ in range(5):
        mean_intervals(values)
    assert time.process_time() - begun < 20


def test_a_trend_by_hand() -> None:
    rising = shape(np.array([0, 0.5, 1]), np.array([1.0, 2.0, 5.0]))
    assert (rising.tau, rising.violation, rising.unexplained) == (1, 0, 0)
    bent = shape(np.array([0, 1, 2, 3.0]), np.array([0.0, 2.0, 1.0, 3.0]))  # 2 and 1 are pooled to 1.5
    assert bent.tau == pytest.approx(4 / 6)
    assert bent.violation == pytest.approx(0.5)
    assert bent.unexplained == pytest.approx(0.5 / 5)
    falling = shape(np.array([2, 1, 0.0]), np.array([1.0, 2.0, 3.0]))
    assert (falling.tau, falling.violation) == (-1, 0)
    flat = shape(np.array([0, 1, 2.0]), np.array([0.1 + 0.2, 0.3, 0.3]))
    assert np.isnan(flat.tau)


def test_sign_flips_are_exact_for_few_seeds() -> None:
    assert sign_flip(np.array([1.0, 1.0, 1.0, 1.0])) == 2 / 16
    assert sign_flip(np.array([1.0, -1.0])) == 1
    assert sign_flip(np.zeros(5)) == 1


def test_sign_flips_keep_their_level() -> None:
    rng = np.random.default_rng(2)
    p_values = np.array([sign_flip(rng.normal(size=20)) for _ in range(300)])
    assert 0.02 < np.mean(p_values < 0.05) < 0.09


# Rules in pairs

NOISE = np.random.default_rng(8).normal(size=(2, 20))


def test_pairing_is_claimed_where_seeds_go_together() -> None:
    """One seed moves both rules alike: the difference is known as well as the noise that they do not share."""
    first, second = NOISE[0], NOISE[0] + 0.1 * NOISE[1] - 1
    found = compared(first, second)
    assert found.interval == PAIRED
    assert found.correlation == pytest.approx(np.corrcoef(first, second)[0, 1])
    assert found.low <= found.difference <= found.high
    assert found.high - found.low < 0.2
    assert tuple(found[:3]) == tuple(column(list(first - second)))


def test_independent_seeds_are_not_paired_and_gain_nothing() -> None:
    first, second = NOISE
    found = compared(first, second)
    own = [column(list(values)) for values in (first, second)]
    assert found.interval == UNPAIRED
    down = ((own[0].mean - own[0].low) ** 2 + (own[1].high - own[1].mean) ** 2) ** 0.5
    assert found.correlation > 0  # by chance, so it does not count
    assert found.difference - found.low == pytest.approx(down)


def test_rates_that_are_equal_everywhere_still_have_an_interval() -> None:
    none = np.zeros(8)
    found = compared(none, none, 8)
    assert found.interval == UNPAIRED
    assert np.isnan(found.correlation)
    assert (found.low, found.high) == (pytest.approx(-0.3244, abs=1e-4), pytest.approx(0.3244, abs=1e-4))


def test_paired_rates_are_newcombes_method_10() -> None:
    """36 texts mention under both, 14 under the first alone, none under the second alone or neither but 10: by hand."""
    first = np.array([1.0] * 50 + [0.0] * 10)
    second = np.array([1.0] * 36 + [0.0] * 24)
    found = compared(first, second, 60)
    assert found.interval == PAIRED
    (l1, u1), (l2, u2) = (0.7196, 0.9069), (0.4737, 0.7143)  # Wilson of 50/60 and of 36/60
    phi = (36 * 10 - 30) / (50 * 10 * 36 * 24) ** 0.5  # less n/2
    down = ((5 / 6 - l1) ** 2 - 2 * phi * (5 / 6 - l1) * (u2 - 0.6) + (u2 - 0.6) ** 2) ** 0.5
    up = ((u1 - 5 / 6) ** 2 - 2 * phi * (u1 - 5 / 6) * (0.6 - l2) + (0.6 - l2) ** 2) ** 0.5
    assert found.difference == pytest.approx(14 / 60)
    assert (found.difference - found.low, found.high - found.difference) == pytest.approx((down, up), abs=1e-3)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=2, max_size=30))
def test_differences_of_rates_stay_in_range(pairs: list[tuple[bool, bool]]) -> None:
    first, second = np.array(pairs, dtype=float).T
    found = compared(first, second, len(pairs))
    assert -1 <= found.low <= found.difference <= found.high <= 1
    assert found.high - found.low > 0
    assert found.interval == UNPAIRED or found.correlation > 0


def test_of_three_seeds_nothing_is_paired() -> None:
    first, second = np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 3.1])
    assert compared(first, second).interval == UNPAIRED
    assert pearson(first, second) == pytest.approx(1, abs=1e-3)


def test_pairing_is_seldom_found_by_chance() -> None:
    samples = np.random.default_rng(11).normal(size=(400, 2, 12))
    assert 0.02 < np.mean([compared(*pair).interval == PAIRED for pair in samples]) < 0.09


SWEEP = """
name: t
queries: [q, r]
blends: true
agents:
  - {name: Alpha Airlines, distribution: {"Alpha Airlines": 0.6, "Alpha Resort": 0.3, <end>: 0.1}}
  - {name: Beta Resort, distribution: {"Beta Resort": 0.8, x: 0.1, <end>: 0.1}}
auction: {aggregation: [linear, random_dictator], payments: [pay_your_bid, second_price], max_tokens: 3}
sweep: {agent: Alpha Airlines, relative_weight: [0, 0.25, 0.5, 0.75, 1], seeds: 12}
"""


@pytest.fixture
def swept(read: Reader, tmp_path: Path) -> Run:
    return run_experiment(read(SWEEP), tmp_path, SilentProgress())


def test_the_files_are_in_the_run_folder(swept: Run) -> None:
    for name, frame in statistics_frames(swept).items():
        written = pd.read_csv(swept.folder.path / name)
        assert list(written.columns) == list(frame.columns)
        assert len(written) == len(frame)


def test_trends_point_the_right_way(swept: Run) -> None:
    found = swept.trends.set_index(["query", "aggregation", "figure"])
    for query in ("q", "r"):
        for rule in ("linear", "random_dictator"):
            assert found.loc[(query, rule, "mention_rate.alpha_airlines"), "tau"] > 0.5
            assert found.loc[(query, rule, "tv.alpha_airlines"), "tau"] == -1
            assert found.loc[(query, rule, "tv.alpha_airlines"), "p_value"] < 0.05


def test_comparisons_are_of_common_seeds(swept: Run) -> None:
    found = comparisons_frame(swept.experiment, swept.cells)
    row = found[(found["query"] == "q") & (found["point"] == 2) & (found["figure"] == "tokens")].iloc[0]
    cells = swept.cells[(swept.cells["query"] == "q") & (swept.cells["point"] == 2)]
    by_rule = cells.pivot_table(index="seed", columns="aggregation", values="tokens").astype(float)
    linear, dictator = by_rule["linear"].to_numpy(), by_rule["random_dictator"].to_numpy()
    assert row["seeds"] == 12
    assert row["difference"] == pytest.approx((linear - dictator).mean())
    assert row["low"] <= row["difference"] <= row["high"]
    assert row["p_value"] == sign_flip(linear - dictator)
    assert row["correlation"] == pytest.approx(pearson(linear, dictator), nan_ok=True)
    assert (row["first_sampling"], row["second_sampling"]) == ("stable", "stable")
    assert set(found[found["point"].isna()]["figure"]) >= set(found[found["point"] == 2]["figure"])


def test_under_greedy_sampling_seeds_prove_nothing(read: Reader, tmp_path: Path) -> None:
    """Every seed has the same texts: twenty of them are one."""
    greedy = ("auction.sampling=greedy", "auction.payments=[pay_your_bid]", "queries=[q]", "sweep.seeds=3")
    run = run_experiment(read(SWEEP, *greedy), tmp_path, SilentProgress())
    assert len(run.comparisons)
    assert run.comparisons["p_value"].isna().all()
    assert run.trends["p_value"].isna().all()


def test_a_comparisons_weight_is_that_of_its_query(read: Reader, tmp_path: Path) -> None:
    queries = "[{query: q, bid.alpha_airlines: 1, bid.beta_resort: 1}, {query: r, bid.alpha_airlines: 3}]"
    changes = (f"queries={queries}", "sweep={seeds: 2}", "auction.max_tokens=1")
    found = run_experiment(read(SWEEP, *changes), tmp_path, SilentProgress()).comparisons
    weights = found[found["point"] == 0].groupby("query")["relative_weight"].unique()
    assert [list(weights[query]) for query in ("q", "r")] == [[0.5], [0.75]]


def test_welfare_is_compared_under_one_objective_alone(read: Reader, tmp_path: Path) -> None:
    rules = "auction.aggregation=[linear, log_linear, random_dictator, power_mean_1, power_mean_0]"
    run = run_experiment(
        read(SWEEP, rules, "sweep.seeds=2", "auction.payments=[pay_your_bid]"), tmp_path, SilentProgress()
    )
    found = run.comparisons
    measured = found[found["figure"].isin(["welfare", "welfare_share"])]
    assert set(zip(measured["first"], measured["second"], strict=True)) == {
        *(("linear", "random_dictator"), ("linear", "power_mean_1"), ("random_dictator", "power_mean_1")),
        ("log_linear", "power_mean_0"),
    }
    assert ("linear", "log_linear") in set(zip(found["first"], found["second"], strict=True))


def test_rules_of_ones_own_are_compared_without_loading_them() -> None:
    assert are_comparable("tokens", "linear", "nowhere:Rule")
    assert not are_comparable("welfare", "linear", "nowhere:Rule")
    assert groups_of("welfare_share", ["a:B", "linear", "a:B", "power_mean"]) == [
        ["a:B", "a:B"],
        ["linear"],
        ["power_mean"],
    ]


def test_queries_are_pooled_with_equal_weight(swept: Run) -> None:
    found = pooled_frame(swept.summary)
    assert len(found) == 2 * 5
    first = found.iloc[0]
    same = swept.summary[
        (swept.summary["aggregation"] == first["aggregation"]) & (swept.summary["point"] == first["point"])
    ]
    assert first["queries"] == 2
    assert first["tokens"] == pytest.approx(same["tokens"].mean())
    assert ((found["mention_rate.alpha_airlines.low"] >= 0) & (found["mention_rate.alpha_airlines.high"] <= 1)).all()


def test_every_figure_lies_within_its_interval(swept: Run) -> None:
    figures = figures_of_summary(swept.summary)
    assert {"mention_rate.beta_resort", "co_mention_rate", "blend_rate", "first_mention.beta_resort"} <= set(figures)
    for figure in figures:
        mean, low, high = (swept.summary[f"{figure}{part}"] for part in ("", ".low", ".high"))
        assert ((low <= mean + 1e-12) & (mean <= high + 1e-12) | low.isna()).all(), figure


def test_blends_are_counted_on_request(swept: Run, read: Reader, tmp_path: Path) -> None:
    assert (swept.cells["blends"] > 0).any()
    without = run_experiment(read(SWEEP.replace("blends: true", "")), tmp_path, SilentProgress())
    assert "blends" not in without.cells
