"""Payments per 1,000 bytes: ratios of sums, their intervals, and their difference."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import tokenauction_cli as tokauction
from tokenauction_cli.analysis.frames.per_bytes import sizes_of
from tokenauction_cli.statistics.bootstrap import MOST_RESAMPLED, Ratio, mean_intervals

LETTERS = """
name: letters
agents:
  - {name: A, distribution: {é: 0.5, b: 0.3, <end>: 0.2}}
  - {name: B, distribution: {é: 0.1, b: 0.7, <end>: 0.2}}
auction: {aggregation: [linear, random_dictator], payments: [pay_your_bid, second_price], %s}
sweep: {relative_weight: [0.25, 0.5, 0.75], seeds: 12}
expect:
  - {figure: revenue_per_1000_bytes.pay_your_bid, min: 1}
  - {figure: payment_per_1000_bytes.second_price.a, at: {aggregation: linear}, min: 0}
  - {figure: trend.payment_per_1000_bytes.pay_your_bid.a, min: 0.9}
"""


@pytest.mark.parametrize("auction", ["max_tokens: 3", "alphabet: bytes, max_bytes: 6"])
def test_sums_over_sums(tmp_path: Path, auction: str) -> None:
    (tmp_path / "e.yaml").write_text(LETTERS % auction, "utf-8")
    run = tokauction.run(tmp_path / "e.yaml", tmp_path / "results")
    assert all(verdict.holds for verdict in run.verdicts)
    rows = run.summary.set_index(["aggregation", "point"])
    for key, group in run.cells.groupby(["aggregation", "point"]):
        n_bytes = group["text"].map(lambda text: len(text.encode())).sum()
        for amounts in ("revenue.pay_your_bid", "payment.second_price.a"):
            found = rows.loc[key, amounts.replace(".", "_per_1000_bytes.", 1)]
            assert found == pytest.approx(1000 * group[amounts].sum() / n_bytes, nan_ok=True)


def test_bytes_are_those_of_utf_8() -> None:
    assert sizes_of(["", "a", "é", "日", "🏝"]).tolist() == [0, 1, 2, 3, 4]


def test_of_equal_sizes_a_ratio_is_a_mean() -> None:
    values = np.random.default_rng(0).exponential(size=40)
    (mean,) = mean_intervals(values[:, None])
    assert Ratio.of(values, np.ones(40)).estimate == pytest.approx(mean)
    assert Ratio.of(10 * values, np.full(40, 10.0)).estimate == pytest.approx(mean)


def test_a_constant_ratio_has_no_width() -> None:
    sizes = np.array([1.0, 5.0, 2.0, 9.0, 4.0])
    assert Ratio.of(3 * sizes, sizes).estimate == pytest.approx((3, 3, 3))


@pytest.mark.parametrize("n", [30, MOST_RESAMPLED + 1])
def test_95_of_100_intervals_hold_the_truth(n: int) -> None:
    chance = np.random.default_rng(1)
    hits = 0
    for _ in range(100):
        sizes = chance.integers(20, 160, n).astype(float)
        estimate = Ratio.of(sizes * 2 + chance.normal(0, 30, n), sizes).estimate
        hits += estimate.low <= 2 <= estimate.high
    assert 88 <= hits <= 100


def test_what_two_ratios_share_cancels() -> None:
    chance = np.random.default_rng(2)
    sizes, noise = chance.integers(20, 160, 50).astype(float), chance.normal(0, 50, 50)
    first, second = Ratio.of(2 * sizes + noise, sizes), Ratio.of(3 * sizes + noise, sizes)
    apart = second.less(first).estimate
    assert apart == pytest.approx((1, 1, 1))
    assert first.estimate.high - first.estimate.low > 0.1


def test_without_a_byte_there_is_no_ratio() -> None:
    nothing = Ratio.of(np.array([1.0, 2.0]), np.zeros(2))
    assert np.isnan(nothing.estimate).all()
    assert np.isnan(Ratio.of(np.ones(2), np.ones(2)).less(nothing).estimate).all()
    assert np.isnan(Ratio.of(np.array([]), np.array([])).value)
    one = Ratio.of(np.array([4.0]), np.array([2.0])).estimate
    assert one.mean == 2
    assert np.isnan([one.low, one.high]).all()
