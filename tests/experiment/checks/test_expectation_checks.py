"""Mistakes in `expect`, each with its place, and what becomes of one without."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import Reader

from tokenauction_cli.analysis.expectations import figure_names
from tokenauction_cli.experiment.experiment import Experiment, load_experiment
from tokenauction_cli.experiment.format.expect import At
from tokenauction_cli.experiment.from_mapping import experiment_from
from tokenauction_cli.system.errors import ExperimentError

FILE = """name: e
agents:
  - {name: Ann Air, id: ann, distribution: {x: 1}}
  - {name: Bob, distribution: {y: 1}}
auction: {aggregation: [linear, log_linear], payments: [second_price]}
sweep: {relative_weight: [0, 0.25, 1]}
"""


def load(folder: Path, expect: str, text: str = FILE, *overrides: str) -> Experiment:
    path = folder / "e.yaml"
    path.write_text(f"{text}expect:\n  - {expect}\n", "utf-8")
    return load_experiment(path, overrides, figures=figure_names)


@pytest.mark.parametrize(
    ("expect", "column", "message"),
    [
        ("{figure: tokns, min: 1}", 14, "unknown figure 'tokns'; did you mean 'tokens'?"),
        ("{figure: mention_rate.Ann, min: 1}", 14, "did you mean 'mention_rate.ann'?"),
        ("{figure: trend.mention_rate.anne, min: 1}", 14, "did you mean 'trend.mention_rate.ann'?"),
        ("{figure: zzzzzzzzzzzzzzzz, min: 1}", 14, "figures are the columns of numbers of summary.csv"),
        ("{figure: end_reason, min: 1}", 14, "unknown figure 'end_reason'"),
        ("{figure: payment.vcg.ann, min: 1}", 14, "unknown figure 'payment.vcg.ann'"),
        ("{figure: tokens}", 5, "expected min, max or both"),
        ("{figure: tokens, text: {contains: x}}", 5, "expected one of figure and text, got both"),
        ("{min: 1}", 5, "expected one of figure and text, got neither"),
        ("{figure: tokens, min: 2, max: 1}", 35, "expected at least 2, the min, got 1"),
        ("{figure: tokens, min: '2'}", 27, "expected a number, got '2'; remove the quotes"),
        ("{figure: tokens, min: .inf}", 27, "expected a number, got inf"),
        ("{figure: tokens, min: 1, share: 0.5}", 30, "a share of the texts goes with text only"),
        ("{text: {contains: x}, max: 1}", 27, "bounds go with figure only"),
        ("{text: {}}", 12, "expected one of contains, not_contains, matches"),
        ("{text: {contain: x}}", 13, "unknown key 'contain'; did you mean 'contains'?"),
        ("{text: {contains: ''}}", 23, "expected text that is not empty"),
        ("{text: {matches: '['}}", 22, "not a regular expression: unterminated character set"),
        ("{text: {contains: x}, share: 90}", 34, "expected a number from 0 to 1, got 90"),
        ("{figure: tokens, min: 1, at: {query: q}}", 42, "unknown query 'q'; there are ''"),
        (
            "{figure: tokens, min: 1, at: {aggregation: lin}}",
            48,
            "unknown aggregation rule 'lin'; did you mean 'linear'?",
        ),
        ("{figure: tokens, min: 1, at: {relative_weight: 0.3}}", 52, "relative_weight = 0.3; there are 0, 0.25, 1"),
        ("{figure: tokens, min: 1, at: {point: 3}}", 42, "no sweep point has point = 3; there are 0, 1, 2"),
        ("{figure: tokens, min: 1, at: {point: 0, relative_weight: 1}}", 62, "relative_weight = 1; there are 0"),
        ("{figure: tokens, min: 1, at: {bids: {Bob: 7}}}", 47, "bids.Bob = 7; there are 2, 1.5, 0"),
        ("{figure: tokens, min: 1, at: {bids: {Cat: 7}}}", 42, "unknown agent 'Cat'; there are 'ann', 'bob'"),
        ("{figure: trend.tokens, min: 1, at: {point: 0}}", 41, "a trend goes over all sweep points"),
        ("tokens > 3", 5, "expected a mapping (key: value), got 'tokens > 3'"),
    ],
)
def test_mistakes(tmp_path: Path, expect: str, column: int, message: str) -> None:
    with pytest.raises(ExperimentError) as caught:
        load(tmp_path, expect)
    (problem,) = caught.value.problems
    assert (problem.line, problem.column) == (8, column), problem
    assert message in problem.message


def test_a_mistake_elsewhere_hides_none(tmp_path: Path) -> None:
    with pytest.raises(ExperimentError) as caught:
        load(tmp_path, "{figure: tokns, min: 1}", FILE.replace("name: Bob", "name: Bob, bidd: 1"))
    assert [problem.line for problem in caught.value.problems] == [4, 8]


def test_what_it_becomes(tmp_path: Path) -> None:
    at = "at: {bids: {Ann Air: 0.5}, relative_weight: 0.2500001}"
    one, two = load(tmp_path, f"{{figure: tokens, max: 1, {at}}}\n  - {{text: {{contains: x}}}}").expect
    assert (one.figure, one.low, one.high, one.at) == (
        "tokens", float("-inf"), 1, At(relative_weight=0.2500001, bids={"ann": 0.5}),
    )  # fmt: skip
    assert (two.figure, two.share, two.at) == (None, 1, At())
    assert str(two.place).endswith("e.yaml:9:5: ")
    assert str(load(tmp_path, "{figure: tokens, max: 1}", FILE, "expect.0.max=2").expect[0].place).endswith(
        "e.yaml:8:5: "
    )


def test_it_is_no_part_of_the_run(read: Reader, tmp_path: Path) -> None:
    first, second = (load(tmp_path, f"{{figure: tokens, max: {most}}}") for most in (1, 2))
    assert first.semantic_hash == second.semantic_hash == read(FILE).semantic_hash
    assert read(json.dumps(first.plain)).expect[0].high == 1


def test_from_a_dict_the_place_is_a_path() -> None:
    agent = {"name": "A", "distribution": {"x": 1}}
    made = experiment_from({"name": "e", "agents": [agent], "expect": [{"figure": "tokens", "min": 1}]})
    assert str(made.expect[0].place) == "expect.0: "
    with pytest.raises(ExperimentError, match=r"expect\.0\.figure: unknown figure 'tokns'"):
        experiment_from(
            {"name": "e", "agents": [agent], "expect": [{"figure": "tokns", "min": 1}]}, figures=figure_names
        )


def test_a_payment_rule_of_ones_own_may_have_any_column(tmp_path: Path) -> None:
    text = FILE.replace("[second_price]", '["mine:Rule"]') + "trust: [mine]\n"
    assert load(tmp_path, "{figure: trend.payment.what_mine_charges.ann, min: 0}", text).expect
    with pytest.raises(ExperimentError, match="unknown figure"):
        load(tmp_path, "{figure: mention_rate.an, min: 0}", text)


def test_who_evaluates_nothing_need_not_know_the_figures(read: Reader) -> None:
    assert read(FILE + "expect: [{figure: of a later version, min: 0}]\n").expect
