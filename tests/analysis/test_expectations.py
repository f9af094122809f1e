"""Whether a finished run keeps what its file expects: rows, bounds, texts, and what is said where it does not."""

from __future__ import annotations

import math
from pathlib import Path

import pandas as pd
import pytest
from conftest import Reader
from hypothesis import given
from hypothesis import strategies as st

from tokenauction_cli.analysis.expectations import Verdict, figure_names, problem_of, verdict_table, verdicts
from tokenauction_cli.analysis.run import Run
from tokenauction_cli.api import run_experiment
from tokenauction_cli.engine.run import SilentProgress
from tokenauction_cli.experiment.format.expect import At, TextTest
from tokenauction_cli.experiment.resolved.expectation import Expectation
from tokenauction_cli.system.errors import Problem

PLACE = Problem("e.yaml", 7, 5, "")
CERTAIN = """
name: certain
queries: [one, two]
agents:
  - {name: Ann, distribution: {Ann: 1}}
  - {name: Bob, distribution: {Bob: 1}}
auction: {aggregation: [linear, random_dictator], payments: [pay_your_bid, vcg], max_tokens: 2}
sweep: {agent: Ann, relative_weight: [0, 0.3333333, 1], seeds: 4}
"""


def expected(figure: str = "", low: float = -math.inf, high: float = math.inf, **at: object) -> Expectation:
    return Expectation(figure, None, At(**at), low, high, 1.0, PLACE)  # type: ignore[arg-type]


def expected_text(share: float = 1.0, at: At | None = None, **test: str) -> Expectation:
    return Expectation(None, TextTest(**test), at or At(), -math.inf, math.inf, share, PLACE)


@pytest.fixture
def run(read: Reader, tmp_path: Path) -> Run:
    return run_experiment(read(CERTAIN), tmp_path / "results", SilentProgress())


def verdict(run: Run, expectation: Expectation) -> Verdict:
    (one,) = verdicts([expectation], run.cells, run.summary, run.trends)
    return one


@pytest.mark.parametrize(
    ("mechanism", "found"),
    [
        ("token_auction", "0 to 1"),
        ("lottery", "2"),
        ("highest", "there is no row; there are mechanism token_auction, lottery"),
        (None, "2 at one, lottery, relative weight 0 (1 of 13 rows fail)"),
    ],
)
def test_rows_of_one_mechanism(run: Run, mechanism: str | None, found: str) -> None:
    summary = run.summary.assign(mechanism="token_auction")
    other = summary.head(1).assign(mechanism="lottery", aggregation="", **{"mention_rate.ann": 2.0})
    frames = run.cells, pd.concat([summary, other]), run.trends
    (one,) = verdicts([expected("mention_rate.ann", 0, 1, mechanism=mechanism)], *frames)
    assert (one.found, one.holds) == (found, mechanism == "token_auction")


def test_a_run_of_one_mechanism_has_no_column_of_it(run: Run) -> None:
    assert verdict(run, expected("mention_rate.ann", 0, 1, mechanism="token_auction")).found == "0 to 1"
    assert verdict(run, expected("mention_rate.ann", mechanism="token_auction", query="x")).found.startswith("there is")


@pytest.mark.parametrize(
    ("expectation", "holds", "found"),
    [
        (expected("mention_rate.ann", 1, relative_weight=1), True, "1"),
        (expected("mention_rate.ann", 0, 1), True, "0 to 1"),
        (expected("mention_rate.bob", high=0, relative_weight=1, query="two"), True, "0"),
        (expected("mention_rate.ann", 0.5, query="one", aggregation="linear", point=0), False, "0"),
        (expected("payment.pay_your_bid.ann", 4, 4, bids={"ann": 2, "bob": 0}), True, "4"),
        (
            expected("payment.pay_your_bid.ann", 4, 4, relative_weight=1 / 3),
            False,
            "1.333 at one, linear (4 of 4 rows fail)",
        ),
        (expected("mentions.ann", 0, 2), True, "0 to 2"),  # only cells.csv has it
        (expected("cells", 4, 4), True, "4"),
        (expected("mention_rate.ann.low", 0, 1), True, "0 to 0.5101"),
        (expected("trend.mention_rate.ann", 0.8), True, "1"),
        (expected("trend.mention_rate.ann.points", 3, 3, aggregation="linear"), True, "3"),
        (expected("trend.tokens", -1, 1), False, "empty at one, linear (4 of 4 rows fail)"),  # it does not move
        (expected("trend.tokens.violation", 0, 0), True, "0"),
        (expected("payment.vcg.ann", 0, aggregation="random_dictator", point=0, query="one"), False, "empty"),
        (expected("payment.mine.ann", 0), False, "this run has no such figure"),
        (
            expected("tokens", 0, point=0, relative_weight=1),
            False,
            "there is no row; there are relative_weight 0, 0.3333, 1; point 0, 1, 2",
        ),
    ],
)
def test_figures(run: Run, expectation: Expectation, holds: bool, found: str) -> None:
    made = verdict(run, expectation)
    assert (made.holds, made.found) == (holds, found)


def test_the_worst_row_is_named(run: Run) -> None:
    made = verdict(run, expected("payment.pay_your_bid.bob", low=1, high=3))
    assert made.found == "4 at one, linear, relative weight 0 (8 of 12 rows fail)" or made.found.startswith("0 at")
    assert str(problem_of(made)).startswith(
        "e.yaml:7:5: payment.pay_your_bid.bob: expected at least 1 and at most 3, found "
    )


@pytest.mark.parametrize(
    ("expectation", "holds", "found"),
    [
        (expected_text(contains="Ann", at=At(relative_weight=1)), True, "16 of 16 texts"),
        (expected_text(contains="ann", at=At(relative_weight=1)), False, "0 of 16 texts"),
        (expected_text(matches="(?i)^ann", at=At(relative_weight=1)), True, "16 of 16 texts"),
        (expected_text(contains="Bob", at=At(relative_weight=0), not_contains="Ann"), True, "16 of 16 texts"),
        (expected_text(contains="Ann", share=1 / 3), True, None),
        (expected_text(contains="Cat", share=0.0), True, "0 of 48 texts"),
        (expected_text(contains="Ann", at=At(point=0, relative_weight=1)), False, None),
    ],
)
def test_texts(run: Run, expectation: Expectation, holds: bool, found: str | None) -> None:
    made = verdict(run, expectation)
    assert made.holds == holds
    assert found in (None, made.found)


def test_failed_texts_do_not_count(run: Run) -> None:
    cells = run.cells.assign(end_reason=["failed", *["length"] * 47])
    (one,) = verdicts([expected_text(matches="^")], cells, run.summary, run.trends)
    assert one.found == "47 of 47 texts"


@given(st.floats(allow_nan=False), st.floats(allow_nan=False), st.lists(st.floats(), min_size=1, max_size=5))
def test_every_row_lies_within_the_bounds_or_the_expectation_fails(
    low: float, high: float, values: list[float]
) -> None:
    import pandas as pd

    cells = pd.DataFrame({"end_reason": "end", "seed": range(len(values)), "point": 0, "tokens": values})
    (one,) = verdicts([expected("tokens", low, high)], cells, pd.DataFrame(), pd.DataFrame())
    assert one.holds == all(low <= value <= high for value in values)
    assert one.found


def test_a_table_has_a_row_per_expectation(run: Run) -> None:
    made = [verdict(run, one) for one in (expected("tokens", 2), expected_text(contains="x", share=0.5))]
    table = verdict_table(made)
    assert table.title == "1 of 2 expectations hold"
    assert table.rows == (
        ("tokens", "everywhere", "at least 2", "2", "holds"),
        ("text contains 'x'", "everywhere", "at least 50 % of the texts", "0 of 48 texts", "FAILS"),
    )


def test_every_column_of_numbers_is_a_figure(run: Run) -> None:
    names = set(figure_names(["ann", "bob"], ["pay_your_bid", "vcg"]))
    for frame in (run.summary, run.cells):
        assert set(frame.select_dtypes("number")) - {"point", "seed"} - names == set()
        assert names & set(frame.select_dtypes(exclude="number")) - {"payment.vcg.ann", "payment.vcg.bob"} == set()
    columns = set(run.trends.select_dtypes("number"))
    assert {f"trend.{figure}.{column}" for figure in run.trends["figure"] for column in columns} <= names
    assert not [name for name in names if name.startswith("payment.second_price") or ".A" in name or "<" in name]


def test_an_agent_may_be_called_like_a_column_of_trends(read: Reader, tmp_path: Path) -> None:
    made = run_experiment(read(CERTAIN.replace("name: Ann, ", "name: Ann, id: tau, ")), tmp_path, SilentProgress())
    assert verdict(made, expected("trend.mention_rate.tau", 0.8)).found == "1"
    assert verdict(made, expected("trend.mention_rate.tau.violation", 0, 0)).holds


def test_a_part_of_a_run_decides_nothing(read: Reader, tmp_path: Path) -> None:
    text = CERTAIN + "expect: [{figure: tokens, min: 3}]\n"
    assert run_experiment(read(text), tmp_path, SilentProgress(), n=5).verdicts == []
    (one,) = run_experiment(read(text), tmp_path, SilentProgress()).verdicts
    assert not one.holds
    (again,) = run_experiment(read(text, "expect.0.min=2"), tmp_path, SilentProgress()).verdicts
    assert again.holds
    assert len(list(tmp_path.glob("certain-*"))) == 1
