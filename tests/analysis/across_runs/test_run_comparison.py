"""Runs side by side: differences of paired texts, with intervals."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tokenauction_cli as tokauction
from tokenauction_cli.analysis.across_runs.comparison_tables import comparison_tables
from tokenauction_cli.analysis.across_runs.run_comparison import Comparison
from tokenauction_cli.statistics.intervals import Z, wilson
from tokenauction_cli.statistics.pairs import rate_difference

DUEL: dict[str, Any] = {
    "name": "duel",
    "agents": [
        {"name": "A", "distribution": {"A": 0.5, "B": 0.3, "<end>": 0.2}},
        {"name": "B", "distribution": {"A": 0.2, "B": 0.7, "<end>": 0.1}},
    ],
    "auction": {"aggregation": ["linear", "log_linear"], "payments": ["pay_your_bid"], "max_tokens": 4},
    "sweep": {"agent": "A", "relative_weight": [0, 0.5, 1], "seeds": 8},
}


def compare(tmp_path: Path, *overrides: str) -> Comparison:
    """The duel, and once more for each of the overrides."""
    runs = [tokauction.run(DUEL, tmp_path, overrides=[override] if override else []) for override in ("", *overrides)]
    return tokauction.compare(runs)


def test_a_difference_is_that_of_common_seeds(tmp_path: Path) -> None:
    """Worked out again with pandas, at one place and over all places."""
    compared = compare(tmp_path, "seed=1")
    first, second = (run.cells[run.cells["aggregation"] == "linear"] for run in compared.runs)
    index = ["relative_weight", "seed"]
    apart = second.set_index(index)["tokens"] - first.set_index(index)["tokens"]
    rows = compared.numbers[(compared.numbers["aggregation"] == "linear") & (compared.numbers["figure"] == "tokens")]
    second_rows = rows[rows["run"] == str(compared.runs[1].path)].set_index("relative_weight")
    assert second_rows.loc[0.5, "difference"] == pytest.approx(apart.loc[0.5].mean())
    overall = second_rows[second_rows.index.isna()].iloc[0]
    assert overall["difference"] == pytest.approx(apart.groupby("seed").mean().mean())
    assert overall["low"] <= overall["difference"] <= overall["high"]
    assert overall["seeds"] == 8
    firsts = rows[rows["run"] == str(compared.runs[0].path)]
    assert firsts[["difference", "low", "high"]].isna().all().all(), "the first run is not compared with itself"


def test_only_what_all_runs_have_counts(tmp_path: Path) -> None:
    compared = compare(tmp_path, "sweep.seeds=[5, 6, 7, 8]", "sweep.relative_weight=[0.5, 1]")
    assert set(compared.numbers.query("figure == 'tokens'")["seeds"]) == {3}
    assert set(compared.numbers["relative_weight"].dropna()) == {0.5, 1.0}
    first = compared.runs[0].cells
    here = first[(first["aggregation"] == "linear") & (first["relative_weight"] == 1) & (first["seed"] >= 5)]
    row = compared.numbers.query("aggregation == 'linear' and relative_weight == 1 and figure == 'tokens'").iloc[0]
    assert row["mean"] == here["tokens"].mean()


def test_the_same_run_does_not_differ(tmp_path: Path) -> None:
    compared = compare(tmp_path, "name=again")
    assert (compared.numbers["difference"].dropna() == 0).all()
    assert list(compared.files["what"]) == ["run", "name"]


def test_no_mention_in_either_run_has_an_interval(tmp_path: Path) -> None:
    """0 of 8 texts at one place, 0 of 24 over three: Wilson's upper bounds."""
    runs = [tokauction.run(DUEL, tmp_path, overrides=["agents.0.mentions=[nobody]", f"seed={k}"]) for k in (0, 1)]
    rows = (
        tokauction.compare(runs)
        .numbers.query("figure == 'mention_rate.a' and aggregation == 'linear'")
        .dropna(subset=["difference"])
    )
    for place, n in ((0.5, 8), (math.nan, 24)):
        (row,) = rows[rows["relative_weight"].isna() if math.isnan(place) else rows["relative_weight"] == place].iloc
        assert (row["low"], row["high"]) == pytest.approx((-(Z**2) / (n + Z**2), Z**2 / (n + Z**2)))


def test_one_seed_says_nothing_of_a_rate_over_places(tmp_path: Path) -> None:
    runs = [tokauction.run(DUEL, tmp_path, overrides=["sweep.seeds=1", f"seed={k}"]) for k in (0, 1)]
    overall = tokauction.compare(runs).numbers.query("figure == 'mention_rate.a' and relative_weight.isna()")
    assert overall["low"].isna().all()


def test_where_weights_do_not_tell_points_apart_bids_do(tmp_path: Path) -> None:
    bids = "sweep={bids: [{A: 1, B: 1}, {A: 2, B: 2}], seeds: 3}"
    first, second = (tokauction.run(DUEL, tmp_path, overrides=[bids, f"seed={k}"]) for k in (0, 1))
    compared = tokauction.compare([first, second])
    assert set(compared.numbers["bids"].dropna()) == {"a 1, b 1", "a 2, b 2"}


@pytest.mark.parametrize(
    ("override", "missing"),
    [
        ("sweep.relative_weight=[0.25, 0.75]", "no relative_weight"),
        ("auction.aggregation=[power_mean_2]", "no aggregation"),
        ("sweep.seeds=[20, 21]", "no seed"),
        ("queries=[one]", "no query"),
    ],
)
def test_runs_that_share_no_text(tmp_path: Path, override: str, missing: str) -> None:
    with pytest.raises(tokauction.UsageError, match=f"these runs share no text: {missing} is in all"):
        compare(tmp_path, override)


def test_one_run_is_not_enough(tmp_path: Path) -> None:
    with pytest.raises(tokauction.UsageError, match="two runs or more"):
        compare(tmp_path)


def test_what_differs_in_the_files(tmp_path: Path) -> None:
    compared = compare(tmp_path, "agents.0.bid=2")
    compared.runs[1].manifest["versions"]["numpy"] = "0.1"
    again = tokauction.compare(compared.runs)
    files = again.files.set_index("what")
    assert list(files.columns) == ["A", "B"]
    assert list(files.loc["agents.a.bid"]) == ["1", "2"]
    assert list(files.loc["versions.numpy"]) == [np.__version__, "0.1"]
    assert list(files.loc["run"]) == [str(run.path) for run in compared.runs]


# Tables


def test_tables_of_two_runs(tmp_path: Path) -> None:
    compared = compare(tmp_path, "seed=1")
    files, linear, log_linear = comparison_tables(compared)
    assert (files.title, linear.title, log_linear.title) == (
        "What differs", *(f"{rule} / each figure over the whole sweep" for rule in ("linear", "log_linear")),
    )  # fmt: skip
    assert linear.columns == ("figure", "seeds", "A", "B", "B - A")
    assert [row[0] for row in linear.rows] == [
        *("mention_rate.a", "mention_rate.b", "co_mention_rate", "tokens", "revenue.pay_your_bid"),
        "revenue_per_1000_bytes.pay_your_bid",
    ]
    for row in linear.rows:
        assert row[4].mean == pytest.approx(row[3] - row[2])


LETTERS = """
name: letters
agents:
  - {name: A, distribution: {a: 0.6, b: 0.2, <end>: 0.2}, mentions: [ab]}
  - {name: B, distribution: {a: 0.2, b: 0.6, <end>: 0.2}, mentions: [ba]}
auction: {%s, payments: [pay_your_bid, second_price]}
sweep: {relative_weight: [0.25, 0.75], seeds: 8}
"""


def test_runs_of_two_alphabets_compare_by_what_does_not_depend_on_draws(tmp_path: Path) -> None:
    alphabets = ("max_tokens: 4", "alphabet: bytes, max_bytes: 7")
    runs = []
    for auction in alphabets:
        (tmp_path / "e.yaml").write_text(LETTERS % auction)
        runs.append(tokauction.run(tmp_path / "e.yaml", tmp_path / "results"))
    files, overall = comparison_tables(tokauction.compare(runs))
    assert {row[0]: row[1:] for row in files.rows}["auction.alphabet"] == ("tokens", "bytes")
    rows = {row[0]: row for row in overall.rows}
    assert {"mention_rate.a", "co_mention_rate", "revenue_per_1000_bytes.second_price"} < set(rows)
    assert not {"tokens", "revenue.second_price"} & set(rows)
    row = rows["revenue_per_1000_bytes.pay_your_bid"]
    for run, found in zip(runs, row[2:4], strict=True):
        n_bytes = sum(len(text.encode()) for text in run.cells["text"])
        assert found == pytest.approx(1000 * run.cells["revenue.pay_your_bid"].sum() / n_bytes)
    assert row[4].mean == pytest.approx(row[3] - row[2])
    assert row[4].low <= row[4].mean <= row[4].high


def test_three_runs_side_by_side(tmp_path: Path) -> None:
    compared = compare(tmp_path, "seed=1", "seed=2")
    (tokens, _) = comparison_tables(compared, ["means"], ["tokens"])
    assert tokens.title == "linear / tokens"
    assert tokens.columns == ("relative_weight", "seeds", "A", "B", "C")
    assert [row[:2] for row in tokens.rows] == [(0.0, 8), (0.5, 8), (1.0, 8)]
    (points, _) = comparison_tables(compared, ["points"], ["tokens"])
    assert points.columns[5:] == ("B - A", "C - A")
    assert [row[:5] for row in points.rows] == list(tokens.rows)


def test_a_table_or_figure_that_is_not_there(tmp_path: Path) -> None:
    compared = compare(tmp_path, "seed=1")
    with pytest.raises(tokauction.UsageError, match="no table 'x'; there are files, overall, points, means"):
        comparison_tables(compared, ["x"])
    with pytest.raises(tokauction.UsageError, match=r"no figure 'mention' .* did you mean 'mention_rate'"):
        comparison_tables(compared, ["means"], ["mention"])
    assert len(comparison_tables(compared, ["points"], ["all"])) > len(comparison_tables(compared, ["points"]))


def test_the_frames_are_tidy(tmp_path: Path) -> None:
    numbers = compare(tmp_path, "seed=1").numbers
    assert isinstance(numbers, pd.DataFrame)
    assert not numbers.duplicated(["query", "aggregation", "relative_weight", "figure", "run"]).any()


# The difference of two shares


def hits(*counts: int) -> tuple[Any, Any, int]:
    """Pairs: both, first only, second only, neither; and how many."""
    pairs = [pair for pair, n in zip([(1, 1), (1, 0), (0, 1), (0, 0)], counts, strict=True) for _ in range(n)]
    first, second = np.array(pairs, dtype=float).T
    return first, second, len(pairs)


def test_where_no_text_has_it_the_interval_is_wilsons() -> None:
    """0 of 20 twice: p = q = 0, phi = 0, so the half-width is Wilson's upper bound, z^2 / (n + z^2) = .1611."""
    found = rate_difference(*hits(0, 0, 0, 20))
    assert found == (0.0, pytest.approx(-(Z**2) / (20 + Z**2)), pytest.approx(Z**2 / (20 + Z**2)))


def test_uncorrelated_pairs_by_hand() -> None:
    """5 pairs of each kind: phi = 0, both shares are 1/2, and Wilson's two lengths are squared and added."""
    low, high = wilson(10, 20)
    half = math.hypot(0.5 - low, high - 0.5)
    assert rate_difference(*hits(5, 5, 5, 5)) == (0.0, pytest.approx(-half), pytest.approx(half))


def test_pairs_that_agree_are_worth_more() -> None:
    """10 of 20 in both, always together: phi = (100 - 10) / 100 = .9, so the half-width shrinks by sqrt(2 (1 - .9))."""
    low, high = wilson(10, 20)
    found = rate_difference(*hits(10, 0, 0, 10))
    assert found.high == pytest.approx((high - 0.5) * math.sqrt(0.2))
    assert high - 0.5 == pytest.approx(0.5 - low)


@given(st.tuples(*[st.integers(0, 30)] * 4).filter(any))
def test_an_interval_holds_its_difference_and_turns_with_it(counts: tuple[int, ...]) -> None:
    first, second, n = hits(*counts)
    found, turned = rate_difference(first, second, n), rate_difference(second, first, n)
    assert -1 <= found.low <= found.mean <= found.high <= 1
    assert found.low < found.high
    assert (turned.mean, turned.low, turned.high) == pytest.approx((-found.mean, -found.high, -found.low), abs=1e-12)
