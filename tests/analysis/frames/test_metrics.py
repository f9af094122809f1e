"""From records to numbers: mentions, intervals, cells.csv and summary.csv."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import pytest
from conftest import Reader

from tokenauction_cli.analysis.frames.metrics import cells_frame, summary_frame
from tokenauction_cli.statistics.bootstrap import mean_intervals
from tokenauction_cli.statistics.intervals import Estimate, wilson

# Intervals


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    [  # Newcombe 1998 (Statistics in Medicine 17, table I), the Wilson score without continuity correction
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_in_the_textbook(hits: int, n: int, low: float, high: float) -> None:
    interval = wilson(hits, n)
    assert (round(interval.low, 4), round(interval.high, 4)) == (low, high)


def test_wilson_at_the_ends() -> None:
    assert wilson(0, 10).low == 0  # and not 2.8e-17
    assert wilson(10, 10).high == 1
    assert wilson(10, 10).low == pytest.approx(1 - wilson(0, 10).high)


def mean_interval(*values: float) -> Estimate:
    return mean_intervals(np.array(values)[:, None])[0]


def test_an_interval_of_many_is_nearly_the_normal_one() -> None:
    values = range(100)
    mean, low, high = mean_interval(*values)
    assert mean == 49.5
    half = 1.96 * np.std(values) / 10
    assert (low, high) == (pytest.approx(49.5 - half, abs=1), pytest.approx(49.5 + half, abs=1))
    assert mean_interval(*values) == (mean, low, high)  # reproducible


def test_a_skewed_interval_leans_with_its_values() -> None:
    mean, low, high = mean_interval(0, 0, 0, 0, 0, 0, 0, 0, 0, 10)
    assert mean == 1
    assert 0 <= low < 1 < high
    assert high - mean > mean - low


@pytest.mark.parametrize("values", [(), (3.0,), (1.0, -math.inf), (math.nan,)])
def test_where_an_interval_says_nothing(values: tuple[float, ...]) -> None:
    mean, low, high = mean_interval(*values)
    assert mean == pytest.approx(sum(values) if values else math.nan, nan_ok=True)
    assert math.isnan(low)
    assert math.isnan(high)


def test_the_interval_of_equal_values() -> None:
    assert mean_interval(2, 2, 2, 2, 2) == (2, 2, 2)
    assert mean_interval(2, math.nan, 2) == (2, 2, 2)  # where a figure does not apply it does not count


# Tables

TWO = """
name: t
agents:
  - {name: Alpha Airlines, id: alpha, distribution: {x: 1}}
  - {name: B, id: beta, distribution: {y: 1}, mentions: [Beta, the Resort]}
auction: {payments: [pay_your_bid]}
sweep: {agent: alpha, relative_weight: [0, 1], seeds: 2}
"""


def record(seed: int, point: int, text: str, **changes: Any) -> dict[str, Any]:
    ids = ("alpha", "beta")
    per_agent = {f"{name}.{i}": 0.5 for i in ids for name in ("bid", "weight", "log_prob", "tv", "kl", "reverse_kl")}
    payments = {f"payment.pay_your_bid.{i}": float(seed) for i in ids}
    return {
        "cell": f"{seed}{point}",
        "query": "",
        "aggregation": "linear",
        "point": point,
        "relative_weight": float(point),
        "seed": seed,
        "sampling": "stable",
        "text": text,
        "tokens": 2,
        "end_reason": "end",
        **per_agent,
        **payments,
        "log_prob": -1.0,
        "revenue.pay_your_bid": 2.0 * seed,
        "token_ids": [1, 2],
        **changes,
    }


def test_cells(read: Reader) -> None:
    frame = cells_frame(read(TWO), [record(0, 0, "the resort of Alpha Airlines, BETA"), record(0, 1, "nobody")])
    assert list(frame.columns[:10]) == (
        ["cell", "query", "aggregation", "point", "relative_weight", "seed", "sampling", "text", "tokens", "end_reason"]
    )
    expected = [
        "bid",
        "weight",
        "mentions",
        "first_mention",
        "log_prob",
        "tv",
        "kl",
        "reverse_kl",
        "payment.pay_your_bid",
    ]
    assert list(frame.columns[10:19]) == [f"{name}.alpha" for name in expected]
    assert list(frame.columns[19:28]) == [f"{name}.beta" for name in expected]
    assert list(frame.columns[28:]) == ["log_prob", "revenue.pay_your_bid"]
    assert frame["mentions.alpha"].tolist() == [1, 0]
    assert frame["mentions.beta"].tolist() == [2, 0]
    assert (
        frame.to_csv(index=False)
        .splitlines()[1]
        .startswith('00,,linear,0,0.0,0,stable,"the resort of Alpha Airlines, BETA",2,end,0.5,0.5,1,14,')
    )
    assert ",0,," in frame.to_csv(index=False).splitlines()[2]  # no first mention: empty


def test_a_summary(read: Reader) -> None:
    experiment = read(TWO)
    records = [record(seed, point, "Beta" if seed else "Beta by Alpha Airlines") for seed in (0, 1) for point in (0, 1)]
    records[3]["text"] = ""
    summary = summary_frame(experiment, cells_frame(experiment, records))
    assert summary[["point", "relative_weight", "cells"]].values.tolist() == [[0, 0, 2], [1, 1, 2]]
    assert summary["mention_rate.alpha"].tolist() == [0.5, 0.5]
    assert summary["mention_rate.beta"].tolist() == [1, 0.5]
    assert summary["co_mention_rate"].tolist() == [0.5, 0.5]
    assert summary["mention_rate.beta.low"].tolist() == [wilson(2, 2).low, wilson(1, 2).low]
    assert summary["revenue.pay_your_bid"].tolist() == [1, 1]
    assert summary["revenue.pay_your_bid.low"].tolist() == [0, 0]
    assert summary["revenue.pay_your_bid.high"].tolist() == [2, 2]


def test_failed_cells_count_nowhere(read: Reader) -> None:
    experiment = read(TWO)
    failed = {"end_reason": "failed", "error": "no"}
    records = [record(0, 0, "Beta"), record(1, 0, "Beta", **failed), record(0, 1, "Beta", **failed)]
    summary = summary_frame(experiment, cells_frame(experiment, records))
    assert summary[["point", "cells"]].values.tolist() == [[0, 1]]


def test_a_summary_of_failures_has_columns_and_no_rows(read: Reader) -> None:
    experiment = read(TWO)
    summary = summary_frame(experiment, cells_frame(experiment, [record(0, 0, "", end_reason="failed")]))
    assert len(summary) == 0
    assert {"query", "aggregation", "point", "cells"} <= set(summary.columns)


def test_infinite_figures_are_kept(read: Reader) -> None:
    experiment = read(TWO)
    records = [record(seed, 0, "", **{"kl.alpha": math.inf if seed else 0.1}) for seed in (0, 1)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        summary = summary_frame(experiment, cells_frame(experiment, records))
    assert summary["kl.alpha"].tolist() == [math.inf]
    assert math.isnan(summary["kl.alpha.low"][0])
    assert ",inf," in summary.to_csv(index=False)
