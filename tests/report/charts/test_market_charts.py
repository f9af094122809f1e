"""A market in a report: its numbers are those of the files, and a spoiled file is named."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_market_command import SMALL

import tokenauction_cli as tokauction
from tokenauction_cli.analysis.run import Run
from tokenauction_cli.api import market_in
from tokenauction_cli.report.charts.figures import agent_colours
from tokenauction_cli.report.charts.market import LEARNED, TRUTHFUL, market_figures
from tokenauction_cli.report.charts.text_incentives import TextIncentives
from tokenauction_cli.system.errors import StoreError


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Run:
    results = tmp_path_factory.mktemp("played")
    run = tokauction.run(SMALL, results)
    market_in(run.path, results, ["market.budgets={ann: 20}"])
    return run


def found_in(run: Run) -> TextIncentives:
    found = market_figures(run, agent_colours([run]))
    assert found is not None
    return found


def test_without_a_market_nothing_is_shown(tmp_path: Path) -> None:
    run = tokauction.run(SMALL | {"sweep": {"seeds": 1}, "market": None}, tmp_path)
    assert market_figures(run, agent_colours([run])) is None


def test_a_panel_for_each_payment_shows_the_medians_of_the_file(played: Run) -> None:
    charts = {chart.id: chart for chart in found_in(played).charts}
    assert list(charts) == ["market_bids", "market_spent", "market_revenue"]
    paths = tokauction.read_csv(played.path / "market_paths.csv")
    bids = charts["market_bids"]
    assert [panel.title for panel in bids.panels] == ["linear, pay your bid", "linear, second price", "lottery"]
    first = paths[(paths["payment"] == "second_price") & (paths["agent"] == "ann")]
    drawn = [row for row in bids.panels[1].rows if row["series"] == "Ann"]
    assert [row["mean"] for row in drawn] == first["bid"].tolist()
    assert [row["x"] for row in drawn] == first["round"].tolist()
    assert charts["market_spent"].panels[0].truth == (20.0,)
    assert all("layer" in spec["concat"][0] for spec in bids.on_paper().values())


def test_revenue_stands_beside_that_of_truth(played: Run) -> None:
    revenue = next(chart for chart in found_in(played).charts if chart.id == "market_revenue")
    table = tokauction.read_csv(played.path / "market.csv")
    sellers = table[table["agent"].isna() | (table["agent"] == "")]
    rows = revenue.panels[0].rows
    assert [row["mean"] for row in rows if row["series"] == LEARNED] == sellers["revenue"].tolist()
    assert [row["mean"] for row in rows if row["series"] == TRUTHFUL] == sellers["truthful.revenue"].tolist()


def test_a_spoiled_file_is_named(played: Run) -> None:
    path = played.path / "market_paths.csv"
    whole = path.read_text("utf-8")
    path.write_text(whole.replace("round", "lap", 1), "utf-8")
    try:
        with pytest.raises(StoreError, match=r"market_paths\.csv: not as `tokauction market` writes it .*market again"):
            found_in(played)
    finally:
        path.write_text(whole, "utf-8")
