"""The section `market` and the columns of queries that it names: what they become, and what is a mistake."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import Reader

from tokenauction_cli.experiment.experiment import load_experiment
from tokenauction_cli.system.errors import ExperimentError

TWO = """name: two
agents:
  - {name: Ann B, id: ann, distribution: {A: 1}}
  - {name: Bob, distribution: {B: 1}}
auction: {payments: [pay_your_bid, second_price]}
sweep: {grid: {ann: [0, 1, 2], bob: [0, 1]}}
"""
VALUES = "values: {ann: {mention: 2}, bob: {tv: 1}}"
ROWS = """queries:
  - {query: x, weight: "1", time: "2026-05-01T10:00", price: "3", value.Ann B: 2, value.bob: 1}
  - {query: y, weight: "2.5", time: "2026-05-02", price: "4", value.ann: 4, value.bob: 0}
"""


def test_defaults_are_filled_in_and_names_become_ids(read: Reader) -> None:
    market = read(TWO + f"market: {{{VALUES.replace('ann', 'Ann B')}}}\n").market
    assert market is not None
    ann, bob = market.bidders
    assert (ann.agent.id, ann.wanted.kind, ann.wanted.value, ann.policy, ann.budget) == (
        "ann",
        "mention",
        2,
        "hedge",
        float("inf"),
    )
    assert (bob.wanted.kind, bob.wanted.value) == ("tv", 1)
    assert (market.rounds, market.replications, market.money, market.draw) == (10_000, 20, "expected", "evenly")
    assert read(TWO).market is None


def test_a_market_is_no_part_of_the_hash_and_comes_back_from_the_run_folder(read: Reader, tmp_path: Path) -> None:
    import yaml

    plain = read(TWO)
    with_market = read(
        TWO + f"market: {{{VALUES}, policies: {{bob: {{fixed: 1}}}}, budgets: {{ann: {{per_day: 5}}}}}}\n" + ROWS
    )
    again = tmp_path / "resolved.yaml"
    again.write_text(yaml.safe_dump(dict(with_market.plain)), "utf-8")
    assert load_experiment(again).market == with_market.market
    assert read(TWO + f"market: {{{VALUES}}}\n").semantic_hash == plain.semantic_hash
    assert "market" not in plain.plain


def test_values_of_queries_are_no_part_of_the_hash_but_other_columns_are(read: Reader) -> None:
    def hash_of(queries: str) -> str:
        return read(TWO + f"queries: [{queries}]\n").semantic_hash

    assert hash_of("{query: x, value.ann: 2}") == hash_of("x")
    assert hash_of("{query: x, place: y, value.ann: 2}") == hash_of("{query: x, place: y}")
    assert hash_of("{query: x, place: y}") != hash_of("x")
    assert hash_of("{query: x, bid.ann: 2}") != hash_of("x")


def test_columns_give_values_weights_and_dates(read: Reader) -> None:
    values = "values: {ann: {mention: value.Ann B}, bob: {mention: price}}"
    experiment = read(TWO + ROWS + f"market: {{{values}, draw: weight, budgets: {{bob: {{per_day: 2}}}}}}\n")
    assert experiment.market is not None
    ann, bob = experiment.market.bidders
    assert ann.wanted.value == "value.ann"
    assert experiment.numbers_of("value.ann") == (2, 4)
    assert experiment.numbers_of(str(bob.wanted.value)) == (3, 4)
    assert experiment.numbers_of("weight") == (1, 2.5)
    assert bob.per_day
    assert experiment.columns_of("x") == {"weight": "1", "time": "2026-05-01T10:00", "price": "3"}, (
        "prompts know no values"
    )


def test_a_grid_may_hold_a_point_where_nobody_bids(read: Reader) -> None:
    assert (0.0, 0.0) in [point.bids for point in read(TWO).points]


def problems(read: Reader, text: str) -> str:
    with pytest.raises(ExperimentError) as error:
        read(text)
    return "\n".join(str(problem) for problem in error.value.problems)


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ("{}", "the key 'values' is missing"),
        ("{values: {ann: {mention: 2}}}", "'Bob' has no value; write what a text is worth to it, as in {mention: 1}"),
        ("{values: {ann: {mention: 2}, bob: {}}}", "log_ratio, reverse_kl, tv, judge; got none"),
        ("{values: {ann: {mention: 2, tv: 1}, bob: {tv: 1}}}", "got mention and tv"),
        ("{values: {ann: {mention: -1}, bob: {tv: 1}}}", "a number of at least 0, or the name of a column"),
        ("{values: {ann: {log_ratio: 1}, bob: {tv: 1}}}", "log_ratio needs the key 'reference'"),
        ("{values: {ann: {mention: prize}, bob: {tv: 1}}}", "query 1 has no column 'prize'"),
        ("{values: {eve: {mention: 1}}}", "unknown agent 'eve'"),
        (f"{{{VALUES}, budgets: {{ann: 0}}}}", "expected a number above 0, or {per_day: 100}, got 0"),
        (f"{{{VALUES}, budgets: {{ann: {{per_day: 1}}}}}}", "query 1 has no column 'time'"),
        (f"{{{VALUES}, policies: {{ann: hegde}}}}", "unknown policy 'hegde'; did you mean 'hedge'?"),
        (f"{{{VALUES}, policies: {{ann: pacing}}}}", "pacing needs a budget; write one in market.budgets"),
        (f"{{{VALUES}, policies: {{ann: fixed}}}}", "fixed needs a number: a bid, as in {fixed: 0.5}"),
        (f"{{{VALUES}, policies: {{ann: {{hedge: 1}}}}}}", "hedge takes no number; write hedge"),
        (f"{{{VALUES}, policies: {{ann: 3}}}}", "the name of a policy, or one with its number"),
        (f"{{{VALUES}, policies: {{ann: 'mine:Own'}}}}", "code of your own; it runs only with 'trust: [mine]'"),
        (f"{{{VALUES}, draw: weihgt}}", "query 1 has no column 'weihgt'"),
        (f"{{{VALUES}, payments: [second_prize]}}", "no 'second_prize'; did you mean 'second_price'?"),
        (f"{{{VALUES}, money: real}}", "expected expected or realised, got 'real'"),
        (f"{{{VALUES}, rounds: 0}}", "a whole number from 1 to 10000000"),
        (f"{{{VALUES}, policys: {{}}}}", "did you mean 'policies'?"),
    ],
)  # fmt: skip
def test_mistakes_say_what_to_write(read: Reader, section: str, message: str) -> None:
    assert message in problems(read, TWO + f"market: {section}\n")


def test_a_market_needs_a_grid_of_several_bids_and_0_where_there_is_a_budget(read: Reader) -> None:
    market = f"market: {{{VALUES}, budgets: {{bob: 1}}}}\n"
    none = TWO.replace("grid: {ann: [0, 1, 2], bob: [0, 1]}", "relative_weight: [0, 1]")
    assert "a market needs sweep.grid" in problems(read, none + market)
    assert "'Bob' has no bid in the grid" in problems(read, TWO.replace(", bob: [0, 1]", "") + market)
    assert "'Bob' has one bid in the grid" in problems(read, TWO.replace("bob: [0, 1]", "bob: [0, 0]") + market)
    assert "add 0 to sweep.grid of 'Bob'" in problems(read, TWO.replace("bob: [0, 1]", "bob: [1, 2]") + market)


def test_columns_that_hold_something_else_are_named_with_their_row(read: Reader) -> None:
    market = f"market: {{{VALUES}, draw: weight, budgets: {{bob: {{per_day: 2}}}}}}\n"
    assert "expected a number above 0, got '0'" in problems(read, TWO + ROWS.replace('"2.5"', '"0"') + market)
    wrong = problems(read, TWO + ROWS.replace('"2026-05-02"', '"May"') + market)
    assert "expected a time (ISO 8601), such as 2026-05-01T09:30, got 'May'" in wrong
    assert "experiment.yaml:9:" in wrong
    assert "'Ann B' and 'ann' are the same agent" in problems(read, TWO + ROWS.replace("value.bob: 1", "value.ann: 1"))


def test_a_policy_of_ones_own_needs_trust(read: Reader) -> None:
    assert read(TWO + f"trust: [mine]\nmarket: {{{VALUES}, policies: {{ann: 'mine:Own'}}}}\n").market
