"""Curves and tables in the terminal, and what `show` prints."""

from __future__ import annotations

import io
import json
import math
from pathlib import Path

import pytest
from conftest import Command, Reader, experiments_of
from hostile_run import SWEEP
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from tokenauction_cli.analysis.tables.figure_tables import heading
from tokenauction_cli.analysis.tables.tables import Table, shown
from tokenauction_cli.api import run_experiment
from tokenauction_cli.cli.sparklines import PLAIN, curve_tables, sparkline
from tokenauction_cli.cli.terminal import rich_table
from tokenauction_cli.engine.run import SilentProgress
from tokenauction_cli.experiment.experiment import Experiment
from tokenauction_cli.statistics.intervals import Estimate


def test_a_sparkline_goes_from_low_to_high() -> None:
    assert sparkline([0, 0.5, 1], 0, 1) == "▁▅█"
    assert sparkline([0, 0.5, 1], 0, 1, PLAIN) == "_+@"
    assert sparkline([math.nan, 2.0, -1.0], 0, 1) == "·█▁"
    assert sparkline([3, 3], 0, 0) == "██"
    assert len(sparkline([0.0] * 101, 0, 1)) <= 24


def test_curves_of_a_run(read: Reader, tmp_path: Path) -> None:
    run = run_experiment(read(SWEEP), tmp_path / "results", SilentProgress())
    first, second = curve_tables(run.experiment, run.summary)
    assert first.title == 'q / weight of Alpha "A" <b> from 0 to 1'
    assert first.columns == ("", "linear", "random_dictator")
    by_name = {row[0]: row[1:] for row in first.rows}
    rates = run.summary[(run.summary["query"] == "q") & (run.summary["aggregation"] == "linear")]["mention_rate.beta"]
    assert by_name["mentions Beta Resort"][0].endswith(f"{rates.iloc[0]:.3g} to {rates.iloc[-1]:.3g}")
    assert "Beta Resort pays by second_price" in by_name
    assert len(second.rows) == len(first.rows)


def test_no_curves_without_a_sweep(read: Reader, tmp_path: Path) -> None:
    run = run_experiment(read(SWEEP.split("sweep:")[0] + "sweep: {seeds: 3}\n"), tmp_path, SilentProgress())
    assert curve_tables(run.experiment, run.summary) == []


def test_the_command_tells_where_the_report_is(read: Reader, tmp_path: Path, tokauction: Command) -> None:
    path = str(read(SWEEP).path)
    done = tokauction("run", path)
    assert "  tokauction report results/hostile-" in done.stderr
    assert "mentions Beta Resort" in done.stdout
    assert "\x1b" not in done.stdout  # a pipe gets no colours
    folder = next((tmp_path / "results").iterdir())
    assert tokauction("report", str(folder), "--figures", "none").returncode == 0
    shown = tokauction("show", str(folder))
    assert f"Report: {folder / 'report.html'}" in shown.stderr


# Tables at the width of a terminal

SHIPPED = sorted((Path(__file__).parents[2] / "experiments").glob("*.yaml"))


def printed(table: Table, width: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width)
    console.print(rich_table(table))
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined]


def figures_of(experiment: Experiment) -> list[str]:
    ids = [agent.id for agent in experiment.agents]
    paid = [f"payment.{payment}.{agent}" for payment in experiment.auction.payments for agent in ids]
    rates = [f"{figure}.{agent}" for figure in ("mention_rate", "reverse_kl") for agent in ids]
    return [*rates, "co_mention_rate", *paid, *(f"revenue.{payment}" for payment in experiment.auction.payments)]


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
@pytest.mark.parametrize("value", [0.123456, Estimate(0.5, 0.1234, 0.9876)])
def test_no_head_breaks_inside_a_word_at_80_columns(path: Path, value: float | Estimate) -> None:
    experiment = experiments_of(path)[0]
    heads = [heading(figure, experiment) for figure in figures_of(experiment)]
    swept = f"weight of {experiment.agents[experiment.swept_agent].name}"
    lines = printed(Table("rates", (swept, *heads), ((0.5, *[value] * len(heads)),)), 80)
    assert max(map(len, lines)) <= 80
    words = set(" ".join(lines).split())
    assert {word for head in (swept, *heads) for word in head.split()} <= words
    assert " ".join(lines).count(shown(value)) == len(heads)
    texts = Table("", (swept, *experiment.auction.aggregation), ((0.5, *["so many words " * 20] * 2)[:3],))
    if len(texts.columns) == len(texts.rows[0]):
        assert set(experiment.auction.aggregation) <= set(" ".join(printed(texts, 80)).split())


def test_columns_that_do_not_fit_go_on_below() -> None:
    table = Table("title", ("row", *(f"column{k}" for k in range(9))), (("name", *range(9)),))
    lines = printed(table, 40)
    assert [line.split() for line in lines if "column" in line] == [
        ["row", "column0", "column1", "column2"],
        ["row", "column3", "column4", "column5"],
        ["row", "column6", "column7", "column8"],
    ]
    assert sum("name" in line for line in lines) == 3
    assert sum("title" in line for line in lines) == 1


def test_a_long_head_leaves_the_room_to_texts() -> None:
    table = Table("", ("weight of " + "Grand Hotel " * 5, "linear"), ((0.5, "x" * 20 + " " + "y" * 20),))
    assert any(line.endswith("x" * 20 + " " + "y" * 20 + " ") for line in printed(table, 80))


def test_chinese_texts_stand_side_by_side_and_lose_no_letter() -> None:
    """A letter is as wide as two others; texts without spaces may break anywhere."""
    written = "请入住海景酒店" * 9, "山间度假村很好" * 9
    table = Table("", ("weight of 海景酒店", "linear", "log_linear"), ((0.5, *written),))
    lines = printed(table, 80)
    assert max(map(cell_len, lines)) <= 80
    assert sum("linear" in line for line in lines) == 1
    for width in (9, 80):
        letters = "".join(printed(table, width))
        assert [letters.count(sign) for sign in "请山"] == [9, 9]


@given(st.lists(st.text("abc ", max_size=30), min_size=1, max_size=9), st.integers(8, 90))
def test_nothing_is_wider_than_the_terminal(heads: list[str], width: int) -> None:
    lines = printed(Table("", tuple(heads), (("words of a text",) * len(heads),)), width)
    if max(len(word) for head in (*heads, "words") for word in (head.split() or [""])) * 2 + 5 <= width:
        assert max(map(len, lines)) <= width


# show


def test_show_prints_what_is_asked_for(read: Reader, tmp_path: Path, in_process: Command) -> None:
    run = run_experiment(read(SWEEP, "queries=[q]"), tmp_path / "results", SilentProgress())
    folder = str(run.folder.path)

    def heads(*options: str) -> list[str]:
        done = in_process("show", folder, *options)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()[0].split(",")

    assert heads("--format", "csv") == heads("--table", "texts", "--format", "csv")
    assert heads("--table", "rates", "--format", "csv")[:2] == ["query", "aggregation"]
    assert "Beta Resort pays by second_price" in heads("--table", "payments", "--format", "csv")
    assert heads("--columns", "tokens,tv.beta", "--format", "csv")[-2:] == ["tokens", "tv Beta Resort"]
    three = ["tokens", "tokens.low", "tokens.high"]
    assert heads("--columns", " tokens ", "--intervals", "--format", "csv")[-3:] == three
    assert "mentions Beta Resort.low" in heads("--intervals", "--format", "csv")
    both = in_process("show", folder, "--table", "payments,texts").stdout
    assert both.index("pays") < both.index("random_dictator  ")
    assert "pays" not in in_process("show", folder, "--table", "rates").stdout
    refused = in_process("show", folder, "--columns", "tokenz")
    assert refused.returncode == 2
    assert "did you mean 'tokens'?" in refused.stderr
    refused = in_process("show", folder, "--table", "texts,rate")
    assert (refused.returncode, refused.stderr) == (
        2,
        "there is no table 'rate'; there are texts, rates, payments, mechanisms\n",
    )


def test_several_runs_are_one_table_for_programs(read: Reader, tmp_path: Path, in_process: Command) -> None:
    seeds = [read(SWEEP, "queries=[q]", f"seed={seed}") for seed in (1, 2)]
    runs = [run_experiment(one, tmp_path / "results", SilentProgress()) for one in seeds]
    for table in ("texts", "rates"):
        done = in_process("show", *(str(run.path) for run in runs), "--table", table, "--format", "json")
        rows = json.loads(done.stdout)
        assert {row["run"] for row in rows} == {run.path.name for run in runs}


def test_show_prints_one_table_as_latex(read: Reader, tmp_path: Path, in_process: Command) -> None:
    run = run_experiment(read(SWEEP, "queries=[q]"), tmp_path / "results", SilentProgress())
    for table, n in (("texts", 1), ("rates", 2), ("payments", 2)):  # rates and payments: of two rules
        done = in_process("show", str(run.folder.path), "--table", table, "--format", "latex")
        assert done.returncode == 0, done.stderr
        assert done.stdout.count(r"\begin{table}") == done.stdout.count(r"\end{table}") == n
        assert done.stdout.count(rf"\label{{tab:{table}") == n
