"""Curves in the terminal, and tables for papers."""

from __future__ import annotations

import math
import re
from pathlib import Path

from conftest import Command, Reader
from hostile_run import HOSTILE, SWEEP

from tokenauction_cli.analysis.tables import Table, escaped, render
from tokenauction_cli.api import run_experiment
from tokenauction_cli.cli.sparklines import PLAIN, curve_tables, sparkline
from tokenauction_cli.engine.run import SilentProgress


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
    assert "For figures and a page: tokauction report results/hostile-" in done.stderr
    assert "mentions Beta Resort" in done.stdout
    assert "\x1b" not in done.stdout  # a pipe gets no colours
    folder = next((tmp_path / "results").iterdir())
    assert tokauction("report", str(folder), "--figures", "none").returncode == 0
    shown = tokauction("show", str(folder))
    assert f"Report: {folder / 'report.html'}" in shown.stderr


def test_latex_is_escaped_and_complete() -> None:
    table = Table("50 % & more", ("weight", "a_b"), ((0.5, "x" * 30), (1, "{$\\#^~\n}")))
    text = render([table], "latex")
    assert r"\caption{50 \% \& more}" in text
    assert r"\begin{tabular}{@{}rp{0.82\linewidth}@{}}" in text
    assert r"weight & a\_b \\" in text
    assert r"1 & \{\$\textbackslash{}\#\textasciicircum{}\textasciitilde{} \} \\" in text
    assert text.count(r"\toprule") == text.count(r"\midrule") == text.count(r"\bottomrule") == 1


def test_latex_keeps_hostile_text_in_its_cell() -> None:
    cell = escaped(HOSTILE)
    assert not re.search(r"(?<!\\)[&$#_%<>|]", cell)
    assert "\n" not in escaped("a\n\n\\end{table}")
    assert r"\end{" not in escaped(r"\end{table}")


def test_show_prints_every_table_as_latex(read: Reader, tmp_path: Path, tokauction: Command) -> None:
    run = run_experiment(read(SWEEP, "queries=[q]"), tmp_path / "results", SilentProgress())
    done = tokauction("show", str(run.folder.path), "--format", "latex")
    assert done.returncode == 0, done.stderr
    assert (
        done.stdout.count(r"\begin{tabular}") == done.stdout.count(r"\end{tabular}") == 3
    )  # texts, rates of two rules
