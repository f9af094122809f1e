"""Tables for papers: text stays text, labels differ, and nothing is wider than the line."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import Reader
from hostile_run import HOSTILE
from hypothesis import given
from hypothesis import strategies as st

from tokenauction_cli.analysis.run import Run
from tokenauction_cli.analysis.tables.figure_tables import FigureChoice
from tokenauction_cli.analysis.tables.latex import escaped
from tokenauction_cli.analysis.tables.layout import Breadth, parts, widths
from tokenauction_cli.analysis.tables.tables import Table, render
from tokenauction_cli.api import run_experiment
from tokenauction_cli.engine.run import SilentProgress
from tokenauction_cli.statistics.intervals import Estimate

LONG_RUN = """
name: long
queries: ["NA & null", "50 % of {{all}}"]
agents:
  - name: A Very Long-Winded Agent of the Northern Islands
    id: a
    distribution: {" Supercalifragilisticexpialidocious": 0.6, " word": 0.4}
  - name: Incomprehensibilities
    id: b
    distribution: {" WWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWW": 0.5, " ~^\\\\_{$": 0.5}
  - {name: C, id: c, bid: 0.5, distribution: {" x": 0.5, " word": 0.3, " https://example.org/a/long/path": 0.2}}
auction:
  aggregation: [linear, random_dictator, winner_take_all]
  payments: [pay_your_bid, second_price, myerson_tv]
  max_tokens: 9
sweep: {agent: a, relative_weight: [0, 0.333333333, 1], seeds: 3}
"""


def test_a_table_is_complete() -> None:
    table = Table("50 % & more", ("weight", "a_b"), ((0.5, "x" * 30), (1, "{$\\#^~\n}")))
    text = render([table], "latex")
    assert r"\caption{50 \% \& more}\label{tab:table-50-more}" in text
    assert r"weight & a\_b \\" in text
    assert r"1 & \{\$\textbackslash{}\#\textasciicircum{}\textasciitilde{} \} \\" in text
    assert text.count(r"\toprule") == text.count(r"\midrule") == text.count(r"\bottomrule") == 1


def test_labels_differ() -> None:
    table = Table("", ("weight", "text"), ((0.5, "x"),), name="texts")
    text = render([table, table], "latex")
    assert re.findall(r"\\label{(.*?)}", text) == ["tab:texts", "tab:texts-2"]
    assert text.count(r"\caption{Texts}") == 2


def test_a_label_made_to_differ_is_no_other_tables_label() -> None:
    titles = ("Hotels", "Hotels!", "Hotels 2")
    text = render([Table(title, ("weight",), ((0.5,),), name="texts") for title in titles], "latex")
    labels = re.findall(r"\\label{(.*?)}", text)
    assert labels == ["tab:texts-hotels", "tab:texts-hotels-2", "tab:texts-hotels-2-2"]


def test_hostile_text_stays_in_its_cell() -> None:
    cell = escaped(HOSTILE)
    assert not re.search(r"(?<!\\)[&$#_%<>|]", cell)
    assert "\n" not in escaped("a\n\n\\end{table}")
    assert r"\end{" not in escaped(r"\end{table}")


def test_long_words_may_break() -> None:
    assert escaped("second_price") == r"second\_price"
    assert escaped("pay_bid_times_influence") == r"pay\_\penalty500 bid\_\penalty500 times\_\penalty500 influence"
    assert escaped("a-word-with-hyphens") == "a-word-with-hyphens"
    assert escaped("x" * 16) == "x" * 16
    assert escaped("x" * 17).count(r"\penalty500 ") == 16


def test_columns_that_do_not_fit_go_on_below() -> None:
    many = Table("", ("weight", *(f"revenue {k}" for k in range(12))), ((0.5, *[Estimate(0.5, 0.123, 0.987)] * 12),))
    text = render([many], "latex")
    assert text.count(r"\begin{tabular}") == text.count("weight & ") == text.count("0.5 & 0.5 [0.123, 0.987] & ") > 1
    assert text.count(r"\begin{table}") == 1


needs = st.lists(
    st.tuples(st.floats(0, 20), st.floats(0, 80)).map(lambda pair: Breadth(pair[0], sum(pair))), min_size=2
)


@given(needs, st.integers(0, 2), st.floats(10, 100))
def test_parts_hold_every_column_once_and_fit(columns: list[Breadth], n_heads: int, available: float) -> None:
    n_heads = min(n_heads, len(columns) - 1)
    found = parts(columns, n_heads, available, 1)
    assert [k for part in found for k in part if k >= n_heads] == list(range(n_heads, len(columns)))
    for part in found:
        assert part[:n_heads] == list(range(n_heads))
        here = [columns[k] for k in part]
        total = sum(widths(here, available, 1)) + len(part) - 1
        assert total <= available + 1e-6 or len(part) > available  # gaps alone are wider
        if len(part) > n_heads + 1:
            assert all(w >= need.least - 1e-6 for w, need in zip(widths(here, available, 1), here, strict=True))


def test_the_widest_column_gives_way() -> None:
    assert widths([Breadth(3, 3), Breadth(30, 30), Breadth(5, 9)], 20, 1) == [3, 10, 5]
    assert widths([Breadth(3, 3), Breadth(2, 30), Breadth(2, 30)], 21, 1) == [3, 8, 8]


@pytest.fixture
def long_run(read: Reader, tmp_path: Path) -> Run:
    return run_experiment(read(LONG_RUN), tmp_path / "results", SilentProgress())


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs pdflatex")
@pytest.mark.parametrize("size", ["10pt", "11pt", "12pt"])
def test_no_box_is_overfull_in_an_article(long_run: Run, tmp_path: Path, size: str) -> None:
    tables = [*long_run.text_tables(), *long_run.text_tables("seed")]
    for choice in (
        FigureChoice(),
        FigureChoice(intervals=True),
        FigureChoice(("tv", "reverse_kl", "log_prob", "tokens"), True),
    ):
        tables += [*long_run.rate_tables(choice), *long_run.payment_tables(choice)]
    made = render(tables, "latex")
    packages = re.search(r"\\usepackage{.*?}", made)
    assert packages is not None
    before = rf"\documentclass[{size}]{{article}}{packages.group()}\extrafloats{{100}}"
    text = rf"{before}\begin{{document}}{made}\end{{document}}"
    (tmp_path / "t.tex").write_text(text, "utf-8")
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "t.tex"], cwd=tmp_path, capture_output=True, check=False, timeout=120
    )
    log = (tmp_path / "t.log").read_text("latin-1")
    assert done.returncode == 0, [line for line in log.splitlines() if line.startswith("!")]
    assert re.findall(r"Overfull \\hbox.*", log) == []
    assert "multiply defined" not in log
