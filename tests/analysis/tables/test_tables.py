"""Tables for people and programs: what is a row, a column, a title; what is safe on a terminal."""

from __future__ import annotations

import csv
import io
import json
import math
from typing import Any

import pandas as pd
import pytest
from conftest import Reader

from tokenauction_cli.analysis.frames.metrics import cells_frame, summary_frame
from tokenauction_cli.analysis.frames.pooled import pooled_frame
from tokenauction_cli.analysis.tables.figure_tables import FigureChoice, Frames, heading, payment_tables, rate_tables
from tokenauction_cli.analysis.tables.tables import CutText, Table, render, shown
from tokenauction_cli.analysis.tables.text_tables import samplers_of, text_tables
from tokenauction_cli.cli.terminal import rich_tables
from tokenauction_cli.experiment.experiment import Experiment
from tokenauction_cli.statistics.intervals import Estimate, wilson
from tokenauction_cli.system.environment import visible
from tokenauction_cli.system.errors import UsageError

AGENTS = """
name: t
queries: [q, r]
agents:
  - {name: Alpha, distribution: {x: 1}}
  - {name: Beta, distribution: {y: 1}}
auction: {aggregation: [linear, log_linear], payments: [pay_your_bid]}
"""


def cells(experiment: Experiment, **changes: Any) -> pd.DataFrame:
    """cells.csv of an experiment in which every text says which cell it is."""
    from tokenauction_cli.engine.plan import cells_of

    records = []
    for cell in cells_of(experiment):
        bids = dict(zip(("bid.alpha", "bid.beta"), cell.bids, strict=True))
        identity = {"cell": cell.id, "query": cell.query, "aggregation": cell.mechanism.name, "seed": cell.seed}
        identity["sampling"] = "stable"
        sweep = {"point": cell.point, "relative_weight": cell.relative_weight}
        text = f"{cell.query} {cell.mechanism.name} {cell.point} {cell.seed}"
        figures = {"tokens": 4, "revenue.pay_your_bid": sum(cell.bids)}
        records.append({**identity, **sweep, **bids, "text": text, "end_reason": "end", **figures, **changes})
    return cells_frame(experiment, records)


def frames(experiment: Experiment, frame: pd.DataFrame) -> Frames:
    summary = summary_frame(experiment, frame)
    return Frames(summary, pooled_frame(summary), samplers_of(frame))


DIFFER = FigureChoice(constant=False)


@pytest.fixture
def sweep(read: Reader) -> Experiment:
    """2 queries x 2 rules x 2 points x 2 seeds."""
    return read(AGENTS + "sweep: {agent: Alpha, relative_weight: [0, 1], seeds: [5, 3]}\n")


def test_rules_are_columns_and_weights_rows(sweep: Experiment) -> None:
    q, r = text_tables(sweep, cells(sweep))
    assert (q.title, r.title) == ("q", "r")
    assert q.columns == r.columns == ("weight of Alpha", "linear", "log_linear")
    assert q.rows == ((0, "q linear 0 5", "q log_linear 0 5"), (1, "q linear 1 5", "q log_linear 1 5"))
    assert r.rows[1] == (1, "r linear 1 5", "r log_linear 1 5")


def test_another_seed(sweep: Experiment) -> None:
    q, _ = text_tables(sweep, cells(sweep), seed=3)
    assert q.rows[0] == (0, "q linear 0 3", "q log_linear 0 3")
    with pytest.raises(UsageError, match="there is no seed 4; this run has 3, 5"):
        text_tables(sweep, cells(sweep), seed=4)


def test_seeds_as_columns(sweep: Experiment) -> None:
    tables = text_tables(sweep, cells(sweep), "seed")
    assert [table.title for table in tables] == ["q / linear", "q / log_linear", "r / linear", "r / log_linear"]
    assert tables[1].columns == ("weight of Alpha", "seed 5", "seed 3")
    assert tables[1].rows[0] == (0, "q log_linear 0 5", "q log_linear 0 3")


def test_queries_as_columns(sweep: Experiment) -> None:
    linear, log_linear = text_tables(sweep, cells(sweep), "query")
    assert (linear.title, log_linear.title) == ("linear", "log_linear")
    assert linear.columns == ("weight of Alpha", "q", "r")
    assert linear.rows[1] == (1, "q linear 1 5", "r linear 1 5")


def test_a_cell_that_is_missing_or_failed(sweep: Experiment) -> None:
    frame = cells(sweep)
    frame["error"] = None
    frame.loc[0, ["end_reason", "error"]] = "failed", "no distribution"
    q, _ = text_tables(sweep, frame.drop(index=1))
    assert q.rows == ((0, "[failed: no distribution]", "q log_linear 0 5"), (1, "", "q log_linear 1 5"))


def test_bids_tell_points_apart_where_weights_do_not(read: Reader) -> None:
    experiment = read(AGENTS + "sweep: {agent: Alpha, bids: [{Alpha: 1, Beta: 1}, {Alpha: 2, Beta: 2}]}\n")
    q, _ = text_tables(experiment, cells(experiment))
    assert q.columns[:2] == ("bid of Alpha", "bid of Beta")
    assert [row[:2] for row in q.rows] == [(1, 1), (2, 2)]


def test_rates_show_what_differs(sweep: Experiment) -> None:
    """The texts of weight 0 mention Alpha; lengths and revenues are all the same, so they are left out."""
    frame = cells(sweep)
    frame.loc[frame["point"] == 0, "mentions.alpha"] = 1
    tables = rate_tables(sweep, frames(sweep, frame), DIFFER)
    rules = ("linear", "log_linear")
    assert [table.title for table in tables] == [
        *(f"{query} / {rule}, 2 texts each" for query in "qr" for rule in rules),
        *(f"all 2 queries / {rule}, 4 texts each" for rule in rules),
    ]
    assert tables[0].columns == ("weight of Alpha", "mentions Alpha")
    assert tables[0].rows == ((0, 1), (1, 0))


def test_what_is_left_out_is_said(sweep: Experiment) -> None:
    """Once where it is the same in all tables, else below its table."""
    frame = cells(sweep)
    frame.loc[frame["point"] == 0, "mentions.alpha"] = 1
    frame.loc[frame["aggregation"] == "linear", "tokens"] = 3
    tables = rate_tables(sweep, frames(sweep, frame), DIFFER)
    said = "The same everywhere: mentions Beta 0, mentions all 0, revenue pay_your_bid 2."
    assert {table.notes[0] for table in tables} == {said}
    assert [table.caption for table in tables[:2]] == [f"The same in every row: tokens {n}." for n in (3, 4)]
    assert "\n| 1 | 0 |\n\nThe same in every row: tokens 3." in render(tables[:1], "md")


def test_every_column_of_the_summary_can_be_chosen(sweep: Experiment) -> None:
    made = frames(sweep, cells(sweep))
    names = [name for name in made.summary if name not in ("query", "aggregation")]
    assert len(names) > 10
    for name in names:
        (table, *_) = rate_tables(sweep, made, FigureChoice((name,)))
        group = made.summary[(made.summary["query"] == "q") & (made.summary["aggregation"] == "linear")]
        assert [row[-1] for row in table.rows] == pytest.approx(group[name].tolist(), nan_ok=True)
    (table, *_) = rate_tables(sweep, made, FigureChoice(("bid", "cells")))
    assert table.columns == ("weight of Alpha", "bid Alpha", "bid Beta", "texts")


def test_means_over_all_queries_alone(sweep: Experiment) -> None:
    made = frames(sweep, cells(sweep))
    tables = rate_tables(sweep, made, FigureChoice(pooled=True))
    assert [table.title for table in tables] == [
        f"all 2 queries / {rule}, 4 texts each" for rule in ("linear", "log_linear")
    ]
    with pytest.raises(UsageError, match="the means over all queries have no bid"):
        rate_tables(sweep, made, FigureChoice(("bid.alpha",), pooled=True))


def test_rows_are_the_bid_that_moves(read: Reader) -> None:
    experiment = read(AGENTS + "sweep: {bids: [{Alpha: 0.5}, {Alpha: 3}]}\n")
    frame = cells(experiment)
    for x, head, places in (
        (None, "bid of Alpha", [0.5, 3]),
        ("weight", "weight of Alpha", [pytest.approx(1 / 3), 0.75]),
    ):
        for table in (
            text_tables(experiment, frame, x=x)[0],
            rate_tables(experiment, frames(experiment, frame), FigureChoice(x=x))[0],
        ):
            assert (table.columns[0], [row[0] for row in table.rows]) == (head, places)


def test_one_row_of_rates_shows_everything(read: Reader) -> None:
    experiment = read(AGENTS)
    table = rate_tables(experiment, frames(experiment, cells(experiment)), DIFFER)[0]
    assert table.columns == (
        *("weight of Alpha", "mentions Alpha", "mentions Beta", "mentions all", "tokens", "revenue pay_your_bid"),
    )
    assert table.rows == ((0.5, 0, 0, 0, 4, 2),)


def test_no_table_of_rates_where_nothing_differs(sweep: Experiment) -> None:
    assert rate_tables(sweep, frames(sweep, cells(sweep)), DIFFER) == []


def test_exports_keep_what_is_constant(sweep: Experiment) -> None:
    table = rate_tables(sweep, frames(sweep, cells(sweep)), FigureChoice())[0]
    assert table.columns[-2:] == ("tokens", "revenue pay_your_bid")
    assert table.rows == ((0, 0, 0, 0, 4, 2), (1, 0, 0, 0, 4, 2))
    written = list(csv.DictReader(io.StringIO(render([table], "csv"))))
    assert {**written[0], "tokens": "4"} == written[0]
    assert (written[0]["query"], written[0]["aggregation"]) == ("q", "linear")


def test_columns_are_chosen_by_name(sweep: Experiment) -> None:
    made = frames(sweep, cells(sweep))
    table = rate_tables(sweep, made, FigureChoice(("tokens", "mention_rate"), constant=False))[0]
    assert table.columns == ("weight of Alpha", "tokens", "mentions Alpha", "mentions Beta")
    assert payment_tables(sweep, made, FigureChoice(("tokens",)))[0].columns == ("weight of Alpha", "tokens")
    with pytest.raises(UsageError, match=r"no column 'tokenz' .*; did you mean 'tokens'\?; there are mention_rate, "):
        rate_tables(sweep, made, FigureChoice(("tokenz",)))
    with pytest.raises(UsageError, match="no column 'liner' in this table of texts; did you mean 'linear'"):
        text_tables(sweep, cells(sweep), columns=["liner"])
    assert text_tables(sweep, cells(sweep), columns=["log_linear"])[0].columns == ("weight of Alpha", "log_linear")


def test_intervals_stand_beside_the_means(sweep: Experiment) -> None:
    frame = cells(sweep)
    frame.loc[frame["point"] == 0, "mentions.alpha"] = 1
    made = frames(sweep, frame)
    first, *_, pooled = rate_tables(sweep, made, FigureChoice(("mention_rate.alpha",), intervals=True))
    assert first.rows[0] == (0, Estimate(1, *wilson(2, 2)))
    assert pooled.rows[0] == (0, Estimate(1, *wilson(4, 4)))
    assert pooled.notes == ("Over only 2 queries intervals are rough.",)
    assert first.notes == ("Intervals of means of fewer than 5 texts are too narrow.",)
    assert "| 0 | 1 [0.342, 1] |" in render([first], "md").replace("\\", "")
    (row, _) = json.loads(render([first], "json"))
    ends = [row[f"mentions Alpha{end}"] for end in ("", ".low", ".high")]
    assert ends == [1, pytest.approx(0.3424, abs=1e-4), 1]


def test_payments(read: Reader) -> None:
    experiment = read(AGENTS)
    frame = cells(experiment, **{"payment.pay_your_bid.alpha": 1.5, "payment.pay_your_bid.beta": 0.5})
    table = payment_tables(experiment, frames(experiment, frame), FigureChoice())[0]
    heads = ("Alpha pays by pay_your_bid", "Beta pays by pay_your_bid", "revenue pay_your_bid")
    assert table.columns == ("weight of Alpha", *heads)
    assert table.rows == ((0.5, 1.5, 0.5, 2),)


def test_the_sampler_is_named_where_it_differs(sweep: Experiment) -> None:
    frame = cells(sweep)
    frame.loc[frame["aggregation"] == "log_linear", "sampling"] = "gumbel"
    assert text_tables(sweep, frame)[0].notes == ("Sampling: stable under linear; gumbel under log_linear.",)
    titles = [table.title for table in rate_tables(sweep, frames(sweep, frame), FigureChoice())]
    assert titles[1] == "q / log_linear, 2 texts each (gumbel sampling)"
    assert text_tables(sweep, cells(sweep))[0].notes == ()


def test_no_sampler_is_named_where_nothing_was_drawn(sweep: Experiment) -> None:
    frame = cells(sweep)
    frame.loc[frame["aggregation"] == "log_linear", "sampling"] = ""
    assert text_tables(sweep, frame)[0].notes == ()
    titles = [table.title for table in rate_tables(sweep, frames(sweep, frame), FigureChoice())]
    assert titles[1] == "q / log_linear, 2 texts each"


def test_two_measures_of_welfare_are_told_apart(sweep: Experiment) -> None:
    made = frames(sweep, cells(sweep, welfare=-1.0))
    (note,) = rate_tables(sweep, made, FigureChoice(("welfare",)))[0].notes
    assert note == "welfare: by the rule's own objective, so do not compare linear with log_linear."


@pytest.mark.parametrize(
    ("figure", "head"),
    [
        ("mention_rate.alpha", "mentions Alpha"),
        ("payment.mine:Own.rule.alpha", "Alpha pays by mine:Own.rule"),
        ("reverse_kl.beta", "reverse_kl Beta"),
        ("log_prob", "log_prob"),
    ],
)
def test_headings(sweep: Experiment, figure: str, head: str) -> None:
    assert heading(figure, sweep) == head


# Texts that were cut


def test_a_text_cut_at_max_tokens_is_marked_for_people_alone(sweep: Experiment) -> None:
    frame = cells(sweep, tokens=16)
    frame.loc[0, "end_reason"] = "length"
    q, r = text_tables(sweep, frame)
    assert q.notes == ("…: the text was cut at max_tokens (64).",)
    assert r.notes == ()
    md, latex = render([q, r], "md"), render([q, r], "latex")
    assert md.count("…") == 2  # the text, and once what that means
    assert latex.count(r"\ldots{}") == 2
    assert "q linear 0 5…" in md
    assert not {"…", "max_tokens"} & set("".join(render([q, r], how) for how in ("csv", "json", "jsonl")))
    assert json.loads(render([q], "json"))[0]["linear"] == "q linear 0 5"


# Formats

ONE = Table("", ("weight", "a|b"), ((0.1 + 0.2, "one\ntwo"), (1.0, 'say "x", <b> *y*')))


def test_csv() -> None:
    assert render([ONE], "csv") == 'weight,a|b\n0.3,"one\ntwo"\n1,"say ""x"", <b> *y*"\n'


def test_json_and_jsonl() -> None:
    expected = [{"weight": 0.1 + 0.2, "a|b": "one\ntwo"}, {"weight": 1.0, "a|b": 'say "x", <b> *y*'}]
    assert json.loads(render([ONE], "json")) == expected
    assert [json.loads(line) for line in render([ONE], "jsonl").splitlines()] == expected


def test_markdown() -> None:
    assert render([ONE], "md") == (
        '| weight | a\\|b |\n|---|---|\n| 0.3 | one<br>two |\n| 1 | say "x", \\<b\\> \\*y\\* |\n'
    )


def test_several_tables_are_told_apart_by_their_titles() -> None:
    other = Table("second", ("weight", "c"), ((2.0, 3),))
    first = Table("first", *ONE[1:]) if isinstance(ONE, tuple) else Table("first", ONE.columns, ONE.rows)
    found = list(csv.DictReader(io.StringIO(render([first, other], "csv"))))
    assert [row["title"] for row in found] == ["first", "first", "second"]
    assert found[2] == {"title": "second", "weight": "2", "a|b": "", "c": "3"}
    assert render([first, other], "md").count("### ") == 2


@pytest.mark.parametrize(("value", "plain"), [(math.inf, "inf"), (math.nan, ""), (1e-12, "1e-12"), (7, "7")])
def test_numbers_for_programs(value: float, plain: str) -> None:
    table = Table("", ("x",), ((value,),))
    assert next(csv.DictReader(io.StringIO(render([table], "csv") + "\n")), {"x": ""})["x"] == plain
    (row,) = json.loads(render([table], "json"), parse_constant=pytest.fail)
    assert row["x"] in (value, plain)


@pytest.mark.parametrize(
    ("value", "seen"),
    [
        (0.123456, "0.123"),
        (1234.5, "1234"),
        (999.7, "1000"),
        (-38.66, "-38.7"),
        (8.88e-16, "0"),
        (-1e-9, "-1e-09"),
        (7, "7"),
        (math.nan, ""),
        (-math.inf, "-inf"),
        (CutText("cut "), "cut…"),
        (Estimate(0.25, 0.1138, 0.4692), "0.25 [0.114, 0.469]"),
        (Estimate(3.0, math.nan, math.nan), "3"),
        (Estimate(math.nan, math.nan, math.nan), ""),
    ],
)
def test_people_read_three_digits(value: Any, seen: str) -> None:
    assert shown(value) == seen


def test_what_names_a_row_is_not_rounded() -> None:
    table = Table("", ("weight", "tokens"), ((0.12345, 0.12345),))
    assert "| 0.12345 | 0.123 |" in render([table], "md")


# Safety


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred", "\\x1b[31mred"),
        ("\x07\x00\x7f\x9b", "\\x07\\x00\\x7f\\x9b"),
        ("abc\u202edef", "abc\\x202edef"),
        ("a\u200eb\u200fc\u061cd\u2028e\u2029f", "a\\x200eb\\x200fc\\x61cd\\x2028e\\x2029f"),
        ("pay\u200bpal\u200c\u200d\u2060\ufeff\u00ad", "pay\\x200bpal\\x200c\\x200d\\x2060\\xfeff\\xad"),
        ("half \ud83d and tag \U000e0041", "half \\xd83d and tag \\xe0041"),
        ("tab\tnew\nline é 😀 \u00a0\u3000", "tab\tnew\nline é 😀 \u00a0\u3000"),
    ],
)
def test_control_characters_are_spelled_out(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_nothing_a_model_writes_reaches_the_terminal_raw(read: Reader) -> None:
    from rich.console import Console

    experiment = read(AGENTS)
    table = Table("\x1b]0;title\x07", ("\x1b[2J",), (("[bold]\x1b[31mAlpha[/bold]",),))
    console = Console(file=io.StringIO(), force_terminal=False, width=80)
    for drawn in rich_tables([table], experiment):
        console.print(drawn)
    output = console.file.getvalue()  # type: ignore[attr-defined]
    assert "\x1b" not in output
    assert "\x07" not in output
    assert "[bold]\\x1b[31mAlpha[/bold]" in output  # no markup either


def test_a_character_0_can_be_written_by_every_python() -> None:
    import pandas as pd

    from tokenauction_cli.analysis.tables.tables import frame_csv

    assert frame_csv(pd.DataFrame({"text": ["a\0b"], "n": [1]})) == "text,n\na\ufffdb,1\n"
    assert render([Table("", ("text",), (("a\0b",),))], "csv") == "text\na\ufffdb\n"
