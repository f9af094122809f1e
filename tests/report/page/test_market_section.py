"""The section of a market: its words, its charts and its table."""

from __future__ import annotations

import json
import re
from pathlib import Path

from test_market_command import SMALL

import tokenauction_cli as tokauction
from tokenauction_cli.api import market_in


def test_the_page_of_a_run_shows_its_market(tmp_path: Path) -> None:
    run = tokauction.run(SMALL, tmp_path)
    without = tokauction.write_report(run, figures=())
    market_in(run.path, tmp_path)
    report = tokauction.write_report(run, figures=("svg",), only=("market_bids", "market_revenue"))
    data = re.search(r'<script type="application/json" id="data">(.*?)</script>', report.page.read_text("utf-8"))
    assert data is not None
    (shown,) = json.loads(data[1])["runs"]
    assert [chart["id"] for chart in shown["market"]["charts"]] == ["market_bids", "market_spent", "market_revenue"]
    assert all(chart["what"] for chart in shown["market"]["charts"])
    assert [table["file"] for table in shown["market"]["tables"]] == ["market.csv"]
    assert sorted(path.name for path in report.figures if path.suffix == ".svg") == [
        "market_bids.svg",
        "market_revenue.svg",
    ]
    assert without.page == report.page
