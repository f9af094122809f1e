"""What a page and a paper show of several mechanisms: paths, panels, words, a table; nothing new where there is one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import Reader

from tokenauction_cli.analysis.run import Run
from tokenauction_cli.api import run_experiment
from tokenauction_cli.engine.run import SilentProgress
from tokenauction_cli.report.charts.chart import ALL_QUERIES
from tokenauction_cli.report.charts.figures import figures_of, horizontal_of
from tokenauction_cli.report.charts.paths import PathChart, path_charts
from tokenauction_cli.report.page.page_data import run_payload
from tokenauction_cli.report.prose import findings, how_drawn, what_was_done
from tokenauction_cli.report.report import write_report

TOKENS = "mechanism: [token_auction, mosaic, segment, lottery, highest, text_pool], aggregation: [linear, log_linear], "
TWO = """
name: two
{queries}
agents:
  - {{name: Ann, id: ann, mentions: [b], distribution: {{a: 0.2, b: 0.6, c: 0.2}}}}
  - {{name: Bob, id: bob, mentions: [c], distribution: {{a: 0.1, b: 0.3, c: 0.6}}}}
{reference}
auction: {{{rules}max_tokens: 2, trace: chosen}}
sweep: {{agent: ann, relative_weight: {weights}, seeds: 4}}
"""
REFERENCE = "reference: {distribution: {a: 0.5, b: 0.3, c: 0.2}}"


def experiment(rules: str = TOKENS, reference: str = REFERENCE, weights: str = "[1, 0, 0.5]", queries: str = "") -> str:
    return TWO.format(rules=rules, reference=reference, weights=weights, queries=queries)


@pytest.fixture
def run(read: Reader, tmp_path: Path) -> Run:
    return run_experiment(read(experiment()), tmp_path / "results", SilentProgress())


def paths_of(run: Run) -> dict[str, PathChart]:
    return {chart.id: chart for chart in path_charts([run], horizontal_of([run]))}


def test_a_path_goes_along_the_weights(run: Run) -> None:
    """The file lists the weights out of order; every number is one of the summary."""
    paths = paths_of(run)
    assert list(paths) == ["welfare_quality", "revenue_welfare"]
    mosaic = [row for row in paths["revenue_welfare"].panels[0].rows if row["series"] == "MOSAIC"]
    assert [(row["at"], row["place"]) for row in mosaic] == [(0, "first"), (0.5, "between"), (1, "last")]
    summary = run.summary[run.summary["aggregation"] == "mosaic"].sort_values("relative_weight")
    assert [(row["x"], row["mean"], row["low"]) for row in mosaic] == list(
        summary[["common_welfare", "revenue_share", "revenue_share.low"]].itertuples(index=False, name=None)
    )
    names = [series.name for series in paths["revenue_welfare"].series]
    assert names == ["linear", "log-linear", "MOSAIC", "segment auction", "lottery", "highest bid", "text pool"]


def test_without_a_reference_there_is_no_quality(read: Reader, tmp_path: Path) -> None:
    text = experiment("mechanism: [token_auction, lottery], ", reference="")
    assert list(paths_of(run_experiment(read(text), tmp_path, SilentProgress()))) == ["revenue_welfare"]


def test_the_token_auction_alone_has_no_path(read: Reader, tmp_path: Path) -> None:
    run = run_experiment(read(experiment("")), tmp_path, SilentProgress())
    assert paths_of(run) == {}
    assert run_payload(run, {"Ann": 0, "Bob": 1}, run.experiment.queries)["compared"] == []
    assert not {"ess", "common_welfare"} & {figure.id for figure in figures_of([run])}


def test_several_queries_have_paths_of_their_own_and_one_together(read: Reader, tmp_path: Path) -> None:
    run = run_experiment(read(experiment(queries="queries: [one, two]")), tmp_path, SilentProgress())
    rows = paths_of(run)["revenue_welfare"].panels[0].rows
    assert {row["query"] for row in rows} == {0, 1, ALL_QUERIES}
    for query in (0, 1, ALL_QUERIES):
        lottery = [row["place"] for row in rows if row["query"] == query and row["series"] == "lottery"]
        assert lottery == ["first", "between", "last"]


def test_panels_of_many_mechanisms_stand_in_rows(run: Run) -> None:
    mentions = next(figure for figure in figures_of([run]) if figure.id == "mention_rate")
    (spec,) = mentions.on_paper().values()
    assert [panel["title"]["text"] for panel in spec["concat"]][2:4] == ["MOSAIC", "segment auction"]
    assert spec["columns"] == 2
    titles = [panel["encoding"]["y"]["axis"].get("title", "its unit") for panel in spec["concat"]]
    assert titles == ["its unit", None] * 3 + ["its unit"]


def test_paths_are_vega(run: Run) -> None:
    vl_convert = pytest.importorskip("vl_convert")
    for figure in paths_of(run).values():
        (spec,) = figure.on_paper().values()
        svg = vl_convert.vegalite_to_svg(spec)
        assert all(series.name in svg for series in figure.series)
        (panel,) = figure.panels
        page = figure.on_page(panel) | {"width": 300, "data": {"name": "rows", "values": list(panel.rows)}}
        assert vl_convert.vegalite_to_svg(page).count("<path") > len(panel.rows)


def test_welfare_has_a_tab_for_each_measure_and_one_for_all(run: Run) -> None:
    welfare = [figure.id for figure in figures_of([run]) if "welfare" in figure.id]
    own = ["linear", "log_linear", "mosaic", "segment", "lottery", "highest", "text_pool"]
    assert welfare == [*(f"welfare.{rule}" for rule in own), "common_welfare"]


def test_what_was_done_in_words(run: Run) -> None:
    said = what_was_done(run)
    assert "token by token, under linear and log-linear aggregation, and by MOSAIC, segment auction, lottery" in said
    drawn = how_drawn(run)
    assert "Tokens are drawn under linear by stable sampling and log-linear by a coupling" in drawn
    assert "Texts of MOSAIC and text pool are chosen among whole candidates." in drawn
    assert "Texts of segment auction, lottery and highest bid are written by one agent at a time." in drawn
    found = " ".join(one.text for one in findings(run, ""))
    assert "revenue over what is bid for a text" in found
    assert "MOSAIC" in found


def test_no_token_auction_at_all(read: Reader, tmp_path: Path) -> None:
    run = run_experiment(read(experiment("mechanism: [lottery, mosaic], ")), tmp_path / "results", SilentProgress())
    assert what_was_done(run).startswith("Ann and Bob wrote 24 texts, by lottery and MOSAIC: 3 settings")
    assert how_drawn(run).startswith("One seed: the same random numbers in every row")
    assert write_report([run], tmp_path / "r.html").page.is_file()


def test_the_page_has_the_table_and_no_trace_of_settled_texts(run: Run) -> None:
    payload = run_payload(run, {"Ann": 0, "Bob": 1}, run.experiment.queries)
    compared, at_equal_values = payload["compared"]
    assert at_equal_values["title"] == "Mechanisms at the values 1 : 1 per nat of l_i - l_0"
    assert at_equal_values["rows"][0][0] == "truthful"
    assert compared["columns"][:4] == ["", "linear", "log-linear", "MOSAIC"]
    heads = [row[0] for row in compared["rows"]]
    assert heads[:3] == ["texts", "payment", "mentions Ann"]
    assert [cell[0] for cell in compared["rows"][heads.index("texts")][1:]] == ["4"] * 7
    assert [rule["traced"] for rule in payload["rules"]] == [True] * 2 + [False] * 5
    json.dumps(payload, allow_nan=False)
