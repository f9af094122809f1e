"""Queries from a CSV file: columns for prompts, bids by query, and mistakes that name the file and the row."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import Command
from tiny_gguf import attention_model

from tokenauction_cli import run
from tokenauction_cli.api import check
from tokenauction_cli.engine.plan import cells_of, n_cells
from tokenauction_cli.experiment.experiment import Experiment, load_experiment
from tokenauction_cli.experiment.from_mapping import experiment_from
from tokenauction_cli.system.errors import ExperimentError

AGENTS = [{"name": "Alpha", "distribution": {"x": 1.0}}, {"name": "B b", "distribution": {"y": 1.0}, "bid": 3}]
LOG = """\
query,place,bid.Alpha,bid.b_b
hotels,Hawaii,2,6
"flights, cheap","Paris
again",0.5,
"""


def loaded(folder: Path, log: str = LOG, **sections: Any) -> Experiment:
    (folder / "log.csv").write_text(log, "utf-8")
    return written(folder, queries="log.csv", **sections)


def written(folder: Path, **sections: Any) -> Experiment:
    path = folder / "e.yaml"
    path.write_text(json.dumps({"name": "log", "agents": AGENTS, **sections}))
    return load_experiment(path)


def complaint(folder: Path, log: str, **sections: Any) -> str:
    with pytest.raises(ExperimentError) as error:
        loaded(folder, log, **sections)
    return str(error.value).replace(str(folder / "log.csv"), "log.csv")


def bids(experiment: Experiment) -> list[tuple[str, float | None, tuple[float, ...]]]:
    return [(cell.query, cell.relative_weight, cell.bids) for cell in cells_of(experiment)]


def test_rows_become_queries(tmp_path: Path) -> None:
    """An empty bid is the agent's own; a query's columns do not stand in its text."""
    experiment = loaded(tmp_path)
    assert experiment.queries == ("hotels", "flights, cheap")
    assert experiment.columns_of("flights, cheap") == {"place": "Paris\nagain"}
    assert bids(experiment) == [("hotels", 0.25, (2.0, 6.0)), ("flights, cheap", 0.5 / 3.5, (0.5, 3.0))]


def test_the_total_of_a_query_is_shared(tmp_path: Path) -> None:
    """By the sweep: 8 of the first, 3.5 of the second; where the sweep has a total, that is shared."""
    quarter = {"relative_weight": [0.25]}
    experiment = loaded(tmp_path, sweep=quarter)
    assert [row[1:] for row in bids(experiment)] == [(0.25, (2.0, 6.0)), (0.25, (0.875, 2.625))]
    experiment = loaded(tmp_path, sweep=quarter | {"total_bid": 4})
    assert [row[1:] for row in bids(experiment)] == [(0.25, (1.0, 3.0))] * 2


def test_others_keep_the_bids_of_the_query(tmp_path: Path) -> None:
    experiment = loaded(tmp_path, sweep={"grid": {"Alpha": [0, 1]}})
    assert [row[2] for row in bids(experiment)] == [(0.0, 6.0), (1.0, 6.0), (0.0, 3.0), (1.0, 3.0)]
    assert n_cells(experiment) == 4


def test_queries_whose_points_fall_together(tmp_path: Path) -> None:
    """n_cells counts what cells_of makes, where the swept agent's own bid is one of the bids that are tried."""
    experiment = loaded(tmp_path, sweep={"bids": [{"Alpha": 2}, {"b_b": 6}]})
    assert n_cells(experiment) == len(cells_of(experiment)) == 3


def test_resolved_without_the_file(tmp_path: Path) -> None:
    """What a run folder holds has the rows in it, and is the same experiment; the content is what counts."""
    experiment = loaded(tmp_path, sweep={"relative_weight": [0, 1]})
    assert experiment.plain["queries"] == [
        {"query": "hotels", "place": "Hawaii", "bid.alpha": 2.0, "bid.b_b": 6.0},
        {"query": "flights, cheap", "place": "Paris\nagain", "bid.alpha": 0.5},
    ]
    (tmp_path / "log.csv").unlink()
    again = experiment_from(experiment.plain)
    assert (again.semantic_hash, again.plain) == (experiment.semantic_hash, experiment.plain)
    assert cells_of(again) == cells_of(experiment)
    assert loaded(tmp_path, LOG.replace("Hawaii", "Maui"), sweep={"relative_weight": [0, 1]}).semantic_hash != (
        experiment.semantic_hash
    )


def test_a_file_of_queries_alone_is_a_list_of_them(tmp_path: Path) -> None:
    """Its hash is that of the list; a byte order mark, empty lines and Windows' line ends are no matter."""
    listed = written(tmp_path, queries=["one", "zwei ü"])
    assert loaded(tmp_path, "\ufeffquery\r\none\r\n\r\nzwei ü\r\n").plain["queries"] == ["one", "zwei ü"]
    assert loaded(tmp_path, "query\none\nzwei ü").semantic_hash == listed.semantic_hash


def test_prompts_know_columns(tmp_path: Path) -> None:
    """Control tokens in a column are text, as in a query."""
    attention_model(tmp_path / "m.gguf")
    agents = [{"name": "A", "model": "m.gguf", "prompt": "{{ agent }} of {{ place }}{% if vip == 'yes' %}!{% endif %}"}]
    log = "query,place,vip\na,here,yes\nb,</s>,no\n"
    bidders = check_of(loaded(tmp_path, log, agents=agents))
    assert bidders.prompt_texts("a")[0].endswith("A▁of▁here!")
    read = bidders.prompt_texts("b")[0]
    assert read.endswith("A▁of▁</s>")
    assert len(bidders.prompt_sets["b"].prompts[0].tokens) >= len("A of </s>")


def check_of(experiment: Experiment) -> Any:
    return check(experiment.path).bidders


def test_a_run(tmp_path: Path) -> None:
    """It reads back, continues and reports without the file."""
    experiment = loaded(tmp_path, sweep={"relative_weight": [0, 0.5, 1], "seeds": 2}, auction={"max_tokens": 2})
    result = run(experiment.path, tmp_path / "results")
    assert list(result.cells["bid.alpha"][:3]) == [0.0, 4.0, 8.0]
    (tmp_path / "log.csv").unlink()
    from tokenauction_cli import load_run, write_report

    again = load_run(result.path)
    assert len(again.cells) == again.n_planned == 12
    assert write_report(result.path).page.exists()


def test_texts_are_not_shared_between_columns(tmp_path: Path) -> None:
    """Equal cells of other columns may have other prompts: their records are another basis."""
    first = run(loaded(tmp_path).path, tmp_path / "results")
    second = run(loaded(tmp_path, LOG.replace("Hawaii", "Maui")).path, tmp_path / "results")
    assert "taken_over" not in second.manifest["sessions"][-1]
    assert first.manifest["basis"] != second.manifest["basis"]


@pytest.mark.parametrize(
    ("log", "expected"),
    [
        ("", "log.csv:1: expected a column 'query' in the first row, which is empty"),
        (
            "question,place\na,b\n",
            "log.csv:1: expected a column 'query' in the first row, which has 2 fields of other names",
        ),
        ("query,place,place\na,b,c\n", "log.csv:1: the column 'place' is here twice"),
        ("query\n", "log.csv: expected at least one row"),
        ("query,place\na,b\nc\n", "log.csv:3: expected 2 fields, as in the first row, got 1"),
        ('query\n"a\n', "log.csv:2: not CSV: unexpected end of data"),
        ("query,my place\na,b\n", "log.csv:2, column my place: 'my place' is no name that a prompt can use"),
        ("query,agent\na,b\n", "log.csv:2, column agent: 'agent' is no name"),
        ("query,\na,b\n", "log.csv:2, column : '' is no name"),
        ("query,bid.Alfa\na,1\n", "log.csv:2, column bid.Alfa: unknown agent 'Alfa'; did you mean 'Alpha'?"),
        ("query,bid.Alpha\na,1\nb,much\n", "log.csv:3, column bid.Alpha: expected a number of at least 0, got 'much'"),
        ("query,bid.Alpha\na,1\n ,3\n", "log.csv:3: the query is empty"),
        ("query,bid.Alpha\na,-1\n", "log.csv:2, column bid.Alpha: expected text, or for a bid a number of at least 0"),
        (
            "query,bid.Alpha\na,.nan\n",
            "log.csv:2, column bid.Alpha: expected text, or for a bid a number of at least 0",
        ),
        ("query,bid.Alpha,bid.alpha\na,1,2\n", "log.csv:2, column bid.alpha: 'Alpha' and 'alpha' are the same agent"),
        ("query,bid.Alpha,bid.b_b\na,1,1\nb,0,0\n", "log.csv:3: all bids are zero for this query"),
        ("query\na\nb\na\n", "log.csv:4: the query 'a' is here twice, first at log.csv:2"),
        ("query,p\na,1\nb,2\na,1\n", "log.csv:4: the query 'a' is here twice, first at log.csv:2"),
    ],
)
def test_mistakes_name_the_row(tmp_path: Path, log: str, expected: str) -> None:
    assert expected in complaint(tmp_path, log)


def test_the_rest_cannot_be_shared(tmp_path: Path) -> None:
    log = "query,bid.b_b\na,1\nb,0\n"
    found = complaint(tmp_path, log, sweep={"relative_weight": [0.5]})
    assert found == "log.csv:3: the bids of all agents but 'Alpha' are zero: they cannot share the rest"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_encodings(tmp_path: Path, encoding: str) -> None:
    """UTF-8, and UTF-16 with a byte order mark."""
    mark = "\ufeff" if encoding.endswith("e") else ""
    (tmp_path / "log.csv").write_bytes(f"{mark}query,place\nホテル,東京\n".encode(encoding))
    read = written(tmp_path, queries="log.csv")
    assert (read.queries, read.columns_of("ホテル")) == (("ホテル",), {"place": "東京"})


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "bytes.csv").write_bytes(b"query\n\xff")
    (tmp_path / "half.csv").write_bytes("query\na\n".encode("utf-16") + b"b")
    (tmp_path / "no_mark.csv").write_bytes("query\né".encode("utf-16-le"))
    (tmp_path / "utf_32.csv").write_bytes("query\na\n".encode("utf-32"))
    (tmp_path / "long.csv").write_text("query\na\n" + "x" * 1_000_000)
    for name, expected in {
        "missing.csv": "expected a list, or a file of queries (CSV, .jsonl, .parquet), got 'missing.csv': there is no",
        ".": "this is no regular file",
        "bytes.csv": "bytes.csv:2: this is not UTF-8; save the file as UTF-8",
        "half.csv": "half.csv:2: this is not UTF-16",
        "no_mark.csv": "no_mark.csv:1: this is not UTF-8",
        "utf_32.csv": "utf_32.csv:1: this is not UTF-8",
        "long.csv": "long.csv:3: the row is too long: at most 100,000 characters are read",
    }.items():
        with pytest.raises(ExperimentError) as error:
            written(tmp_path, queries=name)
        assert expected in str(error.value)
        assert name in str(error.value)


@pytest.mark.parametrize(
    ("queries", "expected"),
    [
        ([{"place": "Hawaii"}], "put the query in quotes (or the key 'query' is missing)"),
        ([{"query": "a", "price": 3}], "expected text, got 3; put it in quotes"),
        ([{"query": "a", "p": "x"}, "b"], "the column 'p' is missing; the query at "),
        ([{"query": "a", "bid.Alpha": "2"}], "expected a number of at least 0, got '2'"),
        ([{"query": 3}], "expected text, got 3"),
        ([3], "expected text, got 3"),
        (3, "expected a list, got 3"),
        ("", "expected a list, got ''"),
        (["a", {"query": "a", "bid.Alpha": 2}], "the query 'a' is here twice"),
        (["a", "b", "a"], "the query 'a' is here twice"),
    ],
)
def test_mistakes_in_a_list(tmp_path: Path, queries: Any, expected: str) -> None:
    with pytest.raises(ExperimentError) as error:
        written(tmp_path, queries=queries)
    assert expected in str(error.value)


def test_an_unknown_column_in_a_prompt(tmp_path: Path) -> None:
    agents = [{"name": "A", "model": "smollm2-135m-instruct", "prompt": "{{ plaec }}"}]
    found = complaint(tmp_path, "query,place\na,b\n", agents=agents)
    assert (
        "unknown name 'plaec'; did you mean 'place'?; a prompt knows {{ place }}, {{ query }} and {{ agent }}" in found
    )


def test_a_reference_agent_keeps_its_bid(tmp_path: Path) -> None:
    agents = [AGENTS[0], AGENTS[1] | {"reference": True}]
    assert "is a reference agent: its bid stays fixed" in complaint(tmp_path, LOG, agents=agents)


def test_on_the_command_line(tmp_path: Path, in_process: Command) -> None:
    """-S names a file, too; the message is one line and no traceback."""
    written(tmp_path, queries=["a"])
    (tmp_path / "log.csv").write_text("query,bid.Alpha\na,1\nb,much\n")
    done = in_process("check", "e.yaml", "-S", "queries=log.csv")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("log.csv:3, column bid.Alpha: expected a number")


def test_tables_have_the_bids_of_each_query(tmp_path: Path) -> None:
    """Weights differ between queries: each table has its own, and that over all queries has points by number."""
    result = run(loaded(tmp_path, auction={"max_tokens": 2}).path, tmp_path / "results")
    assert result.pooled["relative_weight"].isna().all()
    tables = result.rate_tables()
    assert [(table.columns[0], table.rows[0][0]) for table in tables] == [
        ("weight of Alpha", 0.25),
        ("weight of Alpha", pytest.approx(0.5 / 3.5)),
        ("point", 0),
    ]


def test_check_shows_the_bids_of_the_queries(tmp_path: Path, in_process: Command) -> None:
    loaded(tmp_path)
    checked = in_process("check", "e.yaml")
    assert "0.5 to 2, by query" in checked.stdout
    assert "3 to 6, by query" in checked.stdout
    facts = json.loads(in_process("check", "e.yaml", "--format", "json").stdout)
    assert [agent["bids_of_queries"] for agent in facts["agents"]] == [[0.5, 2], [3, 6]]
