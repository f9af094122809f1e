"""An audit of whole texts in a report: its numbers are those of the files, and a spoiled file is named."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

import pytest
from conftest import Command, Reader
from hostile_run import SWEEP
from text_audit_files import AGENTS, MISREPORT, PAYMENTS, VALUE, WORDS, write_text_audit

from tokenauction_cli.analysis.run import Run
from tokenauction_cli.api import run_experiment
from tokenauction_cli.engine.run import SilentProgress
from tokenauction_cli.report.charts.chart import Chart
from tokenauction_cli.report.charts.figures import agent_colours
from tokenauction_cli.report.charts.text_incentives import TextIncentives, text_incentives, text_payload
from tokenauction_cli.report.report import write_report
from tokenauction_cli.system.errors import StoreError

ALPHA = 'Alpha "A" <b>'
FILES = ("text_audit.csv", "text_equilibrium.csv", "text_dynamics.csv")


@pytest.fixture
def swept(read: Reader, tmp_path: Path) -> Run:
    return run_experiment(read(SWEEP), tmp_path / "results", SilentProgress())


@pytest.fixture
def audited(swept: Run) -> Run:
    write_text_audit(swept.path)
    return swept


def found_in(run: Run) -> TextIncentives:
    found = text_incentives(run, agent_colours([run]))
    assert found is not None
    return found


def charts_of(run: Run) -> dict[str, Chart]:
    return {chart.id: chart for chart in found_in(run).charts}


def written(run: Run, name: str) -> list[dict[str, str]]:
    with (run.path / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def data_of(page: Path) -> Any:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page.read_text("utf-8"))
    assert found is not None
    return json.loads(found[1])


def test_without_such_files_nothing_is_shown(swept: Run, tmp_path: Path) -> None:
    assert text_incentives(swept, agent_colours([swept])) is None
    report = write_report([swept], tmp_path / "r.html", ["svg"], ["mention_rate"])
    assert data_of(report.page)["runs"][0]["incentives"] is None
    assert not [path for path in report.figures if path.name.startswith("text_")]


def test_regret_is_the_gain_of_the_best_deviations(audited: Run) -> None:
    chart = charts_of(audited)["text_regret"]
    rows = written(audited, "text_audit.csv")
    assert [panel.title for panel in chart.panels] == ["linear", "log-linear"]
    exact, by_seeds = (panel.rows for panel in chart.panels)
    assert len(exact) == len(AGENTS) * len(PAYMENTS) * 2  # the best bid for every prefix is there too
    assert len(by_seeds) == len(AGENTS) * len(PAYMENTS)
    assert {(row["low"], row["high"]) for row in exact} == {(None, None)}
    group = [row for row in rows if list(row.values())[:3] == ["log_linear", "second_price", "alpha"]]
    best = max(group, key=lambda row: float(row["gain"]))
    assert [by_seeds[0][end] for end in ("mean", "low", "high")] == [
        float(best[column]) for column in ("gain", "gain.low", "gain.high")
    ]
    assert (by_seeds[0]["series"], by_seeds[0]["payment"]) == (ALPHA, "second price")


def test_curves_are_the_rows_and_their_bands_the_gains(audited: Run) -> None:
    charts = charts_of(audited)
    assert [name for name in charts if name != "text_path"] == [
        "text_regret",
        *("text_utility.alpha", "text_utility.beta", "text_payment.alpha", "text_payment.beta"),
    ]
    panel = charts["text_utility.beta"].panels[5]
    assert (panel.title, panel.truth) == ("log-linear, pay your bid", (VALUE,))
    rows = {
        (row["report"], float(row["bid"])): row
        for row in written(audited, "text_audit.csv")
        if list(row.values())[:3] == ["log_linear", "pay_your_bid", "beta"]
    }
    at_truth = float(rows["honest", VALUE]["mean_utility"])
    assert len(panel.rows) == len(rows) == 18
    for drawn in panel.rows:
        row = rows[drawn["series"], drawn["x"]]
        assert drawn["mean"] == float(row["mean_utility"])
        assert drawn["low"] == at_truth + float(row["gain.low"])
        assert drawn["high"] == at_truth + float(row["gain.high"])
    payment = charts["text_payment.beta"].panels[5]
    assert [row["mean"] for row in payment.rows] == [
        float(rows[row["series"], row["x"]]["mean_payment"]) for row in payment.rows
    ]
    assert {row["low"] for row in payment.rows} == {None}


def test_the_best_bid_for_every_prefix_has_no_place_on_the_axis(audited: Run) -> None:
    chart = charts_of(audited)["text_utility.alpha"]
    assert [series.name for series in chart.series] == ["honest", MISREPORT, "best bid for every prefix"]
    assert [row["series"] for row in chart.panels[0].rows if row["x"] is None] == ["best bid for every prefix"]
    assert [row["x"] for row in chart.panels[3].rows if row["x"] is None] == []


def test_the_path_of_a_cycle_comes_back(audited: Run) -> None:
    chart = charts_of(audited)["text_path"]
    cycle = chart.panels[5]
    assert (cycle.title, cycle.about, cycle.truth) == ("log-linear, pay your bid", "cycle after 4 rounds", (2.0, 2.0))
    assert [row["label"] for row in cycle.rows] == ["0", "1", "2, 6", "3, 7", "4", "5", "", ""]
    assert [row["angle"] for row in cycle.rows] == [None, 270, 180, 90, 0, 270, 180, 90]
    assert [row["series"] for row in cycle.rows[:3]] == [None, ALPHA, "Beta Resort"]
    assert [row["is_end"] for row in cycle.rows] == [False] * 7 + [True]
    assert chart.panels[0].about == "equilibrium after 2 rounds"


def test_a_number_stands_for_all_steps_too_near_to_tell_apart(audited: Run) -> None:
    head, *_ = (audited.path / "text_dynamics.csv").read_text("utf-8").splitlines()
    places = [(1, 1), (0, 1), (0, 0.25), (0.0001, 0.25), (0, 0.25), (1, 0.25), (0, 0.25), (1, 0.25), (0, 0.25)]
    rows = [f"linear,vcg,tv,{k},{'alpha' if k else ''},{a},{b},0.1,0,True" for k, (a, b) in enumerate(places)]
    (audited.path / "text_dynamics.csv").write_text("\n".join([head, *rows]), "utf-8")
    (panel,) = charts_of(audited)["text_path"].panels
    assert [row["label"] for row in panel.rows] == ["0", "1", "2–4, …", "", "", "5, 7", "", "", ""]


THIRD = "  - {name: Gamma, id: gamma, distribution: {x: 0.5, <end>: 0.5}}\n"


def test_bids_of_three_agents_stand_against_the_step(read: Reader, tmp_path: Path) -> None:
    three = read(SWEEP.replace("auction:\n", f"{THIRD}auction:\n"))
    run = run_experiment(three, tmp_path / "results", SilentProgress())
    head = "aggregation,payment,utility,step,agent,bid.alpha,bid.beta,bid.gamma,gain,gain.low,moved\n"
    run.folder.write(
        "text_dynamics.csv", f"{head}linear,vcg,tv,1,alpha,1,2,3,.1,0,true\nlinear,vcg,tv,0,,2,2,3,,,false\n"
    )
    (chart,) = found_in(run).charts
    (panel,) = chart.panels
    assert (chart.kind, panel.truth) == ("steps", (2, 2, 3))
    assert [(row["series"], row["step"], row["y"]) for row in panel.rows] == [
        *((ALPHA, 0, 2), ("Beta Resort", 0, 2), ("Gamma", 0, 3)),
        *((ALPHA, 1, 1), ("Beta Resort", 1, 2), ("Gamma", 1, 3)),
    ]
    report = write_report([run], tmp_path / "r.html", ["svg"], ["text_path"])
    assert [path.name for path in report.figures] == ["text_path.vl.json", "text_path.svg"]


def test_words_and_tables_are_the_files(audited: Run) -> None:
    found = found_in(audited)
    assert found.words == WORDS.strip().split("\n\n")
    assert [table["file"] for table in found.tables] == list(FILES)
    deviations, ends, _ = found.tables
    assert len(deviations["rows"]) == len(written(audited, "text_audit.csv"))
    gains = [row[deviations["columns"].index("gain")] for row in deviations["rows"]]
    assert gains == sorted(gains, reverse=True)
    assert {row[ends["columns"].index("outcome")] for row in ends["rows"]} == {"equilibrium", "cycle"}
    assert all(all(table["explained"]) for table in found.tables)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(audited: Run, name: str) -> None:
    (audited.path / name).unlink()
    found = found_in(audited)
    assert name in found.missing
    assert [other for other in FILES if other != name and other in found.missing] == []
    assert found_in(audited).charts


def test_charts_of_versions_without_the_column_best_lack_its_rings_alone(audited: Run) -> None:
    now, path = charts_of(audited), audited.path / "text_audit.csv"
    rows = [{name: value for name, value in row.items() if name != "best"} for row in written(audited, path.name)]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    earlier = charts_of(audited)
    assert earlier["text_regret"] == now["text_regret"]
    ringed = [[row["is_best"] for row in charts["text_utility.alpha"].panels[0].rows] for charts in (now, earlier)]
    assert [found.count(True) for found in ringed] == [2, 0]


def test_what_a_note_says_finds_no_row(audited: Run) -> None:
    """Sentences are for readers: no chart is another one where every note begins with `best`."""
    now, path = charts_of(audited), audited.path / "text_audit.csv"
    rows = [{**row, "note": "best constant bid for every prefix"} for row in written(audited, path.name)]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)

    def drawn(charts: dict[str, Chart]) -> list[list[dict[str, Any]]]:
        panels = [panel for chart in charts.values() for panel in chart.panels]
        return [[{**row, "note": ""} for row in panel.rows] for panel in panels]

    assert drawn(charts_of(audited)) == drawn(now)


SPOILED = [
    ("text_audit.csv", "gain,", "profit,", "there is no 'gain'"),
    ("text_audit.csv", "exact", "half,of,it", "row 1 has not 16 entries"),
    ("text_audit.csv", "best bid for every prefix", "best\ntorn", "row 21 has not 16 entries"),
    ("text_audit.csv", ",beta,", ",nobody,", "there is no 'nobody'"),
    ("text_audit.csv", ",honest,2.0,", ",honest,2.1,", "no honest row bids the value 2"),
    ("text_equilibrium.csv", "rounds", "turns", "there is no 'rounds'"),
    ("text_dynamics.csv", ",0,,", ",9,,", "there is no step 0 under linear, second_price"),
    ("text_dynamics.csv", "bid.beta", "bid.gamma", "there is no 'bid.beta'"),
]


@pytest.mark.parametrize(("name", "old", "new", "words"), SPOILED)
def test_a_spoiled_file_is_an_error_that_names_it(audited: Run, name: str, old: str, new: str, words: str) -> None:
    path = audited.path / name
    path.write_text(path.read_text("utf-8").replace(old, new), "utf-8")
    with pytest.raises(StoreError, match=rf"{name}: not as .* writes it \(.*{words}.*audit again, or remove it"):
        found_in(audited)


def test_words_that_are_no_text_are_named(audited: Run) -> None:
    (audited.path / "text_audit.txt").write_bytes(b"\xff")
    with pytest.raises(StoreError, match=r"text_audit\.txt: not as"):
        found_in(audited)


@pytest.mark.parametrize("gain", ["-inf", ""])
def test_infinite_and_empty_numbers_stand_in_the_tables_alone(audited: Run, gain: str) -> None:
    path = audited.path / "text_audit.csv"
    head, first, *rest = path.read_text("utf-8").splitlines()
    parts = first.split(",")
    spoiled = [*parts[:7], "-inf", parts[8], gain, gain, gain, *parts[12:]]
    path.write_text("\n".join([head, ",".join(spoiled), *rest]) + "\n", "utf-8")
    found = found_in(audited)
    assert found.tables[0]["rows"][-1][7:10] == ["-inf", 0, gain]
    row = next(chart for chart in found.charts if chart.id == "text_utility.alpha").panels[0].rows[0]
    assert (row["x"], row["mean"], row["low"]) == (0, None, None)
    json.dumps(text_payload(found), allow_nan=False)


def test_figures_for_a_paper_have_the_rows_of_the_page(audited: Run, tmp_path: Path) -> None:
    report = write_report([audited], tmp_path / "r.html", ["svg", "pdf"], ["text_regret", "text_utility"])
    assert {path.name for path in report.figures} == {
        f"{name}.{form}"
        for name in ("text_regret", "text_utility.alpha", "text_utility.beta")
        for form in ("svg", "pdf", "vl.json")
    }
    shown = {chart["id"]: chart for chart in data_of(report.page)["runs"][0]["incentives"]["charts"]}
    for chart in charts_of(audited).values():
        (paper,) = chart.on_paper().values()
        on_page = [panel["rows"] for panel in shown[chart.id]["panels"]]
        assert [panel["data"]["values"] for panel in paper["concat"]] == on_page
    for pdf in (path for path in report.figures if path.suffix == ".pdf"):
        width = re.search(rb"/MediaBox \[0 0 ([\d.]+)", pdf.read_bytes())
        assert width is not None
        assert 200 < float(width[1]) < 260  # one column of a paper


def test_several_runs_and_utilities_have_names_of_their_own(swept: Run, tmp_path: Path) -> None:
    write_text_audit(swept.path, ("mention", "log_ratio"))
    data = data_of(write_report([swept, swept], tmp_path / "r.html").page)
    first, second = ([chart["id"] for chart in run["incentives"]["charts"]] for run in data["runs"])
    assert first[:3] == ["text_regret.run-1.mention", "text_regret.run-1.log_ratio", "text_utility.run-1.alpha.mention"]
    assert second == [name.replace("run-1", "run-2") for name in first]
    assert data["runs"][0]["incentives"]["charts"][3]["tab"] == f"{ALPHA}, log ratio"


def test_a_wrong_name_lists_these_figures_too(audited: Run, tokauction: Command) -> None:
    wrong = tokauction("report", str(audited.path), "--figures", "text_regrets")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "did you mean 'text_regret'?" in wrong.stderr
    assert "text_path" in wrong.stderr
