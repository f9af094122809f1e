"""Runs of several mechanisms as frames, files and tables: three texts of one token, so that numbers are known by hand.

The payments are those of the worked example of MOSAIC and the text pool, bids (1, 1), tau 2.
"""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest
from conftest import Command

import tokenauction_cli as tokauction
from tokenauction_cli.analysis.across_runs.comparison_tables import comparison_tables
from tokenauction_cli.analysis.frames.common_measures import repetition
from tokenauction_cli.analysis.frames.comparable import groups_of
from tokenauction_cli.analysis.other_mechanisms.evaluations import costs
from tokenauction_cli.analysis.other_mechanisms.mechanism_tables import mechanism_tables, most_equal_point
from tokenauction_cli.analysis.run import Run
from tokenauction_cli.analysis.tables.tables import Table
from tokenauction_cli.report.prose import what_was_done

ALL = "[token_auction, mosaic, segment, lottery, highest, text_pool]"
THREE = """
name: three
{queries}
agents:
  - {{name: Ann, id: ann, mentions: [b], distribution: {{a: 0.2, b: 0.6, c: 0.2}}}}
  - {{name: Bob, id: bob, mentions: [c], distribution: {{a: 0.1, b: 0.3, c: 0.6}}}}
reference: {{distribution: {{a: 0.5, b: 0.3, c: 0.2}}}}
auction:
  mechanism: {mechanisms}
  aggregation: [linear]
  payments: [second_price, pay_your_bid]
  max_tokens: 1
  mosaic: {{candidates: {candidates}, tau: {tau}}}
  text_pool: {{candidates: {candidates}}}
sweep: {{agent: ann, relative_weight: [0.25, 0.5, 1], total_bid: 2, seeds: 4}}
{more}
"""
LIKED = {"a": math.log(0.2 / 0.5) + math.log(0.1 / 0.5), "b": math.log(2), "c": math.log(3)}  # at the bids (1, 1)
RIVALS = ("mosaic", "segment", "lottery", "highest", "text_pool")


def experiment(
    mechanisms: str = ALL, candidates: object = "all", tau: float = 2, queries: str = "", more: str = ""
) -> str:
    return THREE.format(mechanisms=mechanisms, candidates=candidates, tau=tau, queries=queries, more=more)


def run_of(folder: Path, text: str) -> Run:
    (folder / "e.yaml").write_text(text, "utf-8")
    return tokauction.run(folder / "e.yaml", folder / "results")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run_of(tmp_path_factory.mktemp("three"), experiment())


def at_equal_bids(run: Run, rule: str) -> dict[str, float]:
    (row,) = run.summary[(run.summary["aggregation"] == rule) & (run.summary["point"] == 1)].to_dict("records")
    return row  # type: ignore[return-value]


def test_frames_name_rules_and_mechanisms_alike(run: Run) -> None:
    for frame in (run.cells, run.summary, run.trends):
        assert list(dict.fromkeys(frame["aggregation"])) == ["linear", *RIVALS]
        assert "mechanism" not in frame


@pytest.mark.parametrize("file", ["cells.csv", "summary.csv", "trends.csv"])
def test_files_tell_the_mechanism_from_the_rule(run: Run, file: str) -> None:
    with (run.path / file).open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    found = list(dict.fromkeys((row["mechanism"], row["aggregation"]) for row in rows))
    assert found == [("token_auction", "linear"), *((name, "") for name in RIVALS)]


def test_files_of_the_token_auction_alone_have_no_such_column(tmp_path: Path) -> None:
    alone = run_of(tmp_path, experiment("token_auction"))
    for file in ("cells.csv", "summary.csv"):
        heads = (alone.path / file).read_text("utf-8").splitlines()[0].split(",")
        assert not {"mechanism", "common_welfare", "revenue_share", "repetition"} & set(heads)
    assert mechanism_tables(alone) == []


def test_a_payment_is_0_or_of_another_mechanism(run: Run) -> None:
    """Ann alone bids at the last point: Bob has 0 where his mechanism charges, and nothing elsewhere."""
    last = run.cells[run.cells["point"] == 2]
    for rule in RIVALS:
        own = last["aggregation"] == rule
        assert (last.loc[own, f"payment.{rule}.bob"] == 0).all()
        assert last.loc[~own, f"payment.{rule}.bob"].isna().all()


def test_numbers_of_the_worked_example(run: Run) -> None:
    mosaic, pool = at_equal_bids(run, "mosaic"), at_equal_bids(run, "text_pool")
    assert mosaic["payment.mosaic.ann"] == pytest.approx(0.0858835473, abs=1e-9)
    assert mosaic["revenue_share"] == pytest.approx((0.0858835473 + 0.2290197857) / 2, abs=1e-9)
    assert pool["revenue_share"] == pytest.approx((0.0983326274 + 0.0856883419) / 2, abs=1e-9)
    p = np.array([0.1550510257, 0.4651530772, 0.3797958971])
    assert mosaic["ess"] == pool["ess"] == pytest.approx(1 / (p**2).sum(), abs=1e-8)
    assert at_equal_bids(run, "highest")["revenue_share"] == pytest.approx(1 / 2)  # the second bid of two, 1 of 2


def test_units_of_what_is_bid_for(run: Run) -> None:
    """Three segments are on offer, a text is one token."""
    for rule, units in {"segment": 3, "lottery": 1}.items():
        row = at_equal_bids(run, rule)
        assert row["revenue_share"] == pytest.approx(row[f"revenue.{rule}"] / (2 * units))
    linear = at_equal_bids(run, "linear")
    assert linear["revenue_share"] == pytest.approx(linear["revenue.second_price"] / 2)


def test_common_welfare_is_one_measure(run: Run) -> None:
    equal = run.cells[run.cells["point"] == 1]
    assert equal["common_welfare"].to_numpy() == pytest.approx(equal["text"].map(LIKED).to_numpy())
    mosaic = equal[equal["aggregation"] == "mosaic"]
    assert mosaic["common_welfare"].to_numpy() == pytest.approx(mosaic["welfare"].to_numpy())  # its own score
    assert groups_of("common_welfare", ["linear", *RIVALS]) == [["linear", *RIVALS]]
    assert groups_of("welfare", ["linear", "mosaic", "log_linear"]) == [["linear"], ["mosaic"], ["log_linear"]]


def test_who_bids_nothing_does_not_count_in_common_welfare(run: Run) -> None:
    last = run.cells[run.cells["point"] == 2]
    ratios = {"a": math.log(0.2 / 0.5), "b": math.log(2), "c": 0.0}
    assert last["common_welfare"].to_numpy() == pytest.approx(2 * last["text"].map(ratios).to_numpy())


@pytest.mark.parametrize(
    ("text", "share"), [("a b c d a b c d", 1 / 5), ("A b c d", 0.0), ("x x x x x x", 2 / 3), ("a b c", math.nan)]
)
def test_repetition(text: str, share: float) -> None:
    assert repetition(text) == pytest.approx(share, nan_ok=True)


def table_of(run: Run) -> tuple[Table, dict[str, dict[str, object]]]:
    table, _ = mechanism_tables(run)
    rows = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    return table, {str(row["aggregation"] or row["mechanism"]): row for row in rows}


def test_mechanisms_side_by_side(run: Run) -> None:
    table, rows = table_of(run)
    assert table.title == "Mechanisms at the bids 1 : 1"
    assert list(rows) == ["linear", *RIVALS]
    assert [row["payment"] for row in rows.values()] == ["second_price", *RIVALS]
    shown = rows["mosaic"]["revenue / total bid"]
    assert shown == tuple(at_equal_bids(run, "mosaic")[f"revenue_share{end}"] for end in ("", ".low", ".high"))
    linear = run.cells[(run.cells["aggregation"] == "linear") & (run.cells["point"] == 1)]
    assert rows["linear"]["distinct texts"] == linear["text"].nunique() / 4


def test_evaluations(tmp_path: Path) -> None:
    """Texts of one token are drawn after the empty prefix alone; Ann, Bob and the reference are asked, 12 texts share
    it. Where every text is a candidate nothing is written."""
    for candidates, per_text in (("all", math.nan), (8, 3 / 12)):
        run = run_of(tmp_path, experiment(candidates=candidates))
        _, rows = table_of(run)
        assert rows["linear"]["evaluations per text"] == rows["lottery"]["evaluations per text"] == 3 / 12
        assert rows["mosaic"]["evaluations per text"] == pytest.approx(per_text, nan_ok=True)


def test_prefixes_are_counted_once(tmp_path: Path) -> None:
    text = experiment().replace("max_tokens: 1", "max_tokens: 2")
    run = run_of(tmp_path, text)
    cost = costs(run.experiment, run.folder, run.cells, run.manifest)
    firsts = run.cells[run.cells["aggregation"] == "linear"]["text"].str.split().str[0].nunique()
    assert cost["linear"].evaluations == 3 * (1 + firsts) / 12
    assert sum(one["seconds"] for one in run.manifest["sessions"]) >= 12 * cost["linear"].seconds > 0


def test_seconds_of_another_run_are_not_known(tmp_path: Path) -> None:
    run_of(tmp_path, experiment(candidates=8))
    longer = run_of(tmp_path, experiment(candidates=8).replace("seeds: 4", "seeds: 5").replace("three", "longer"))
    assert any(one.get("taken_over") for one in longer.manifest["sessions"])
    _, rows = table_of(longer)
    assert math.isnan(rows["linear"]["seconds per text"])  # type: ignore[arg-type]
    assert math.isnan(rows["mosaic"]["evaluations per text"])  # type: ignore[arg-type]


def test_several_queries_are_pooled(tmp_path: Path) -> None:
    run = run_of(tmp_path, experiment(queries="queries: [one, two]"))
    table, rows = table_of(run)
    assert table.title == "Mechanisms at the bids 1 : 1, over 2 queries"
    pooled = run.pooled[(run.pooled["aggregation"] == "lottery") & (run.pooled["point"] == 1)].iloc[0]
    assert rows["lottery"]["texts"] == 8
    assert rows["lottery"]["mentions Ann"][0] == pooled["mention_rate.ann"]  # type: ignore[index]
    with (run.path / "pooled.csv").open(encoding="utf-8", newline="") as lines:
        assert {row["mechanism"] for row in csv.DictReader(lines)} == {"token_auction", *RIVALS}


@pytest.mark.parametrize("n", [1, 5, 9, 13, 76])
def test_a_part_of_a_run(tmp_path: Path, n: int) -> None:
    """One query, one mechanism, or no text at equal bids may be all there is."""
    (tmp_path / "e.yaml").write_text(experiment(queries="queries: [one, two]", candidates=8), "utf-8")
    run = tokauction.run(tmp_path / "e.yaml", tmp_path / "results", n=n)
    rows = [row for table in mechanism_tables(run) if table.name == "mechanisms" for row in table.rows]
    equal = run.cells[run.cells["point"] == 1]
    assert len(rows) == equal["aggregation"].nunique()
    assert what_was_done(run)


def test_the_most_equal_point_is_the_first_of_its_kind(run: Run) -> None:
    assert most_equal_point(run.experiment).bids == (1, 1)


def test_regret_where_whole_texts_were_audited(tmp_path: Path) -> None:
    run = run_of(tmp_path, experiment())
    assert "regret at most" not in table_of(run)[0].columns
    rows = [
        ("linear", "second_price", 1, 0.25),
        ("linear", "second_price", 2, 0.5),
        ("linear", "second_price", "", 7),  # a bid for every prefix
        ("linear", "pay_your_bid", 1, 9),
    ]
    lines = [f"{rule},{payment},ann,{bid},{gain}" for rule, payment, bid, gain in rows]
    lines = ["aggregation,payment,agent,bid,gain.high", *lines]
    (run.path / "text_audit.csv").write_text("\n".join(lines) + "\n", "utf-8")
    _, found = table_of(run)
    assert found["linear"]["regret at most"] == 0.5
    assert math.isnan(found["mosaic"]["regret at most"])  # type: ignore[arg-type]


@pytest.mark.parametrize(("candidates", "tau", "is_few"), [(4, 2, True), (30, 50, False), (4, 0, False)])
def test_few_candidates_are_told(tmp_path: Path, candidates: int, tau: float, is_few: bool) -> None:
    run = run_of(tmp_path, experiment("[token_auction, mosaic]", candidates, tau))
    assert (run.what_is_few != "") == is_few
    assert ("mosaic" in run.what_is_few) == is_few


def test_a_warning_in_every_output(tmp_path: Path, in_process: Command) -> None:
    (tmp_path / "e.yaml").write_text(experiment("[token_auction, mosaic]", 4), "utf-8")
    for command in (["run", "-q"], ["show"], ["show", "--table", "mechanisms", "--format", "csv"], ["report"]):
        done = in_process(command[0], "e.yaml", *command[1:])
        assert done.returncode == 0, done.stderr
        assert "effective sample size falls to: mosaic" in done.stderr.replace("\n", " ")


def test_expectations_look_at_a_mechanism(tmp_path: Path) -> None:
    lines = [
        "expect:",
        "  - {figure: revenue_share, at: {mechanism: highest, relative_weight: 0.5}, min: 0.5, max: 0.5}",
        "  - {figure: revenue_share, at: {mechanism: lottery, relative_weight: 1}, min: 1}",
        "  - {figure: ess, at: {mechanism: mosaic}, min: 1, max: 3}",
        "  - {figure: trend.mention_rate.ann, at: {mechanism: highest}, min: -1}",
    ]
    run = run_of(tmp_path, experiment(more="\n".join(lines)))
    assert [verdict.holds for verdict in run.verdicts] == [True, False, True, True]


def test_tables_for_programs(run: Run, tmp_path: Path, in_process: Command) -> None:
    shown = in_process("show", str(run.path), "--table", "rates,payments", "--format", "json")
    rows = json.loads(shown.stdout)
    assert {(row["mechanism"], row["aggregation"]) for row in rows} >= {("mosaic", ""), ("token_auction", "linear")}
    mosaic = next(row for row in rows if row["mechanism"] == "mosaic" and row["Ann pays by mosaic"] != "")
    assert mosaic["Ann pays by lottery"] == ""


def test_there_is_nothing_to_compare_in_one_mechanism(tmp_path: Path, in_process: Command) -> None:
    (tmp_path / "e.yaml").write_text(experiment("token_auction"), "utf-8")
    assert in_process("run", "e.yaml", "-q").returncode == 0
    shown = in_process("show", "e.yaml", "--table", "mechanisms")
    assert shown.returncode == 2
    assert "no mechanism beside the token auction" in shown.stderr


def test_runs_compared(run: Run, tmp_path: Path) -> None:
    other = run_of(tmp_path, experiment(tau=4).replace("three", "warmer"))
    compared = tokauction.compare([run, other])
    assert "auction.mosaic.tau" in set(compared.files["what"])
    tables = comparison_tables(compared, ["overall", "mechanisms"])
    titles = "Mechanisms at the bids 1 : 1", "Mechanisms at the values 1 : 1 per nat of l_i - l_0"
    assert [table.title for table in tables[-4:]] == [f"{k}: {title}" for k in "AB" for title in titles]
    overall = next(table for table in tables if table.title == "mosaic / each figure over the whole sweep")
    assert "common_welfare" in [row[0] for row in overall.rows]


def test_check_counts_candidates(tmp_path: Path, in_process: Command) -> None:
    """Linear, segment, lottery and highest write 12 texts each; mosaic and text_pool share 8 candidates of 4 seeds."""
    (tmp_path / "e.yaml").write_text(experiment(candidates=8), "utf-8")
    facts = json.loads(in_process("check", "e.yaml", "--format", "json").stdout)
    counts = [facts[key] for key in ("aggregation_rules", "other_mechanisms", "cells", "candidates", "tokens_at_most")]
    assert counts == [1, 5, 72, 32, 48 + 32]
