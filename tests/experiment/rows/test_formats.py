"""Logs as people have them: JSON Lines, Parquet, the hub, large files, and mistakes that name the row."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hub_server import HubServer, repository

from tokenauction_cli import load_run, run
from tokenauction_cli.engine.plan import cells_of, n_cells
from tokenauction_cli.experiment.experiment import Experiment, load_experiment
from tokenauction_cli.runs.run_folder import RunFolder
from tokenauction_cli.system.errors import ExperimentError

AGENTS = [{"name": "A", "distribution": {"x": 1.0}}, {"name": "B", "distribution": {"y": 1.0}}]
LOG = "query,segment,bid.A\n" + "".join(f"q{k},{'few' if k < 3 else 'many'},{k}\n" for k in range(1, 13))


def written(folder: Path, queries: Any, **files: str | bytes) -> Experiment:
    for name, content in files.items():
        path = folder / name.replace("_", ".")
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    path = folder / "e.yaml"
    path.write_text(json.dumps({"name": "log", "agents": AGENTS, "queries": queries, "auction": {"max_tokens": 1}}))
    return load_experiment(path)


def complaint(folder: Path, queries: Any, **files: str) -> str:
    with pytest.raises(ExperimentError) as error:
        written(folder, queries, **files)
    return str(error.value).replace(f"{folder}/", "")


def small(monkeypatch: pytest.MonkeyPatch, n_values: int = 20) -> None:
    """As if resolved.yaml held so few values."""
    monkeypatch.setattr("tokenauction_cli.experiment.rows.query_files.MAX_VALUES", n_values)


def test_below_the_limit_the_hash_is_what_it_was(tmp_path: Path) -> None:
    """A file, a section with it and the list of its rows are one experiment, with the hash of earlier versions."""
    named = written(tmp_path, "log.csv", log_csv=LOG)
    assert named.semantic_hash == "15e5bfc8"
    assert written(tmp_path, {"file": "log.csv"}).semantic_hash == named.semantic_hash
    assert written(tmp_path, named.plain["queries"]).semantic_hash == named.semantic_hash


def test_a_sample(tmp_path: Path) -> None:
    """A fourth of each segment's rows; the rows count, not how they were drawn."""
    chosen = {"file": "log.csv", "sample": 6, "seed": 1, "by": "segment"}
    drawn = written(tmp_path, chosen, log_csv=LOG)
    assert [drawn.columns_of(query)["segment"] for query in drawn.queries] == ["few"] + ["many"] * 5
    assert written(tmp_path, chosen | {"seed": 2}).queries != drawn.queries
    assert written(tmp_path, drawn.plain["queries"]).semantic_hash == drawn.semantic_hash


def test_json_lines(tmp_path: Path) -> None:
    """Numbers are texts for prompts, nulls are empty; a bid stays a number, and none is the agent's own."""
    log = '{"query": "a", "price": 2.5, "sale": true, "bid.A": 2}\n\n{"query": "é", "price": null, "sale": false}\n'
    read = written(tmp_path, "log.jsonl", log_jsonl=log)
    assert read.plain["queries"] == [
        {"query": "a", "price": "2.5", "sale": "true", "bid.a": 2.0},
        {"query": "é", "price": "", "sale": "false"},
    ]


def parquet(folder: Path) -> bytes:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow.parquet import write_table

    rows = [
        {"query": "a", "time": datetime(2026, 5, 1, 9, 30), "bid.A": 2.0, "rank": 1},
        {"query": "b", "time": datetime(2026, 5, 2), "bid.A": None, "rank": None},
    ]
    write_table(pyarrow.Table.from_pylist(rows), folder / "made.parquet")
    return (folder / "made.parquet").read_bytes()


def test_parquet(tmp_path: Path) -> None:
    """Times are ISO 8601; a row of a Parquet file is known by its number."""
    read = written(tmp_path, "log.parquet", log_parquet=parquet(tmp_path))
    assert read.plain["queries"] == [
        {"query": "a", "time": "2026-05-01T09:30:00", "rank": "1", "bid.a": 2.0},
        {"query": "b", "time": "2026-05-02T00:00:00", "rank": ""},
    ]
    assert complaint(tmp_path, "bad.parquet", bad_parquet="PAR1").startswith("bad.parquet: not Parquet: ")
    assert "there is no column 'kind' to draw by" in complaint(
        tmp_path, {"file": "log.parquet", "sample": 1, "by": "kind"}
    )


def test_a_data_set_of_the_hub(tmp_path: Path, hub: HubServer) -> None:
    """It is downloaded once, by its revision, and then found without the network; mistakes name its rows."""
    data = repository({"log.jsonl": b'{"query": "a"}\n', "bad.csv": b"query\na,b\n"})
    (commit,) = data.commits
    hub.repositories["datasets/user/logs"] = data
    reference = f"hf:datasets/user/logs/log.jsonl@{commit}"
    assert written(tmp_path, {"file": reference}).queries == ("a",)
    asked = len(hub.requests)
    assert written(tmp_path, reference).queries == ("a",)
    assert len(hub.requests) == asked
    bad = complaint(tmp_path, "hf:datasets/user/logs/bad.csv")
    assert bad == "hf:datasets/user/logs/bad.csv:2: expected 1 fields, as in the first row, got 2"
    assert "the repository has no such file" in complaint(tmp_path, "hf:datasets/user/logs/none.csv")
    assert "is no table on the hub: write hf:datasets/" in complaint(tmp_path, "hf:datasets/user")


def test_many_rows_have_a_file_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run folder carries queries.csv, its digest is in the hash and in the manifest; the log is not read again."""
    small(monkeypatch)
    experiment = written(tmp_path, "log.csv", log_csv=LOG)
    assert experiment.plain["queries"].keys() == {"file", "sha256"}
    assert written(tmp_path, "log.csv", log_csv=LOG.replace("few", "two")).semantic_hash != experiment.semantic_hash
    written(tmp_path, "log.csv", log_csv=LOG)
    done = run(tmp_path / "e.yaml", tmp_path / "results")
    (tmp_path / "log.csv").unlink()
    again = load_run(done.path)
    assert (again.experiment.plain, len(again.cells)) == (experiment.plain, 12)
    assert cells_of(again.experiment) == cells_of(experiment)
    table = (done.path / "queries.csv").read_bytes()
    assert done.manifest["files"]["queries.csv"] == hashlib.sha256(table).hexdigest()
    assert load_experiment(done.path / "resolved.yaml").semantic_hash == experiment.semantic_hash
    (done.path / "queries.csv").write_bytes(table.replace(b"q7", b"q_"))
    with pytest.raises(ExperimentError, match="these are not the rows that the run began with"):
        load_run(done.path)


def test_a_run_folder_opens_no_other_file(tmp_path: Path) -> None:
    """One that comes from a stranger may name any."""
    done = run(written(tmp_path, "log.csv", log_csv=LOG).path, tmp_path / "results")
    resolved = json.dumps({"name": "log", "agents": AGENTS, "queries": str(tmp_path / "log.csv")})
    RunFolder(done.path).write("resolved.yaml", resolved)
    with pytest.raises(ExperimentError, match="which is empty"):
        load_run(done.path)


def test_a_query_at_several_times(tmp_path: Path) -> None:
    """Its texts are written once; rows may differ in time, weight and values, and all of them are kept."""
    log = "query,time,weight,bid.A,value.A\na,1,2,3,4\nb,1,1,1,1\na,2,1,3,5\n"
    read = written(tmp_path, "log.csv", log_csv=log)
    assert (read.queries, n_cells(read), len(cells_of(read))) == (("a", "b"), 2, 2)
    assert [(query, row.values["time"], row.worths) for query, row in read.rows] == [
        ("a", "1", {"a": 4.0}),
        ("b", "1", {"a": 1.0}),
        ("a", "2", {"a": 5.0}),
    ]
    assert read.columns_of("a") == {}
    assert written(tmp_path, read.plain["queries"]).semantic_hash == read.semantic_hash


def test_a_market_takes_one_row_of_each_query(tmp_path: Path) -> None:
    market = {"values": {"A": {"mention": 1}, "B": {"mention": 1}}}
    log = "query,time\na,1\na,2\n"
    written(tmp_path, "log.csv", log_csv=log)
    with pytest.raises(ExperimentError, match="a market takes one row of each query"):
        load_experiment(tmp_path / "e.yaml", [f"market={json.dumps(market)}"])


def test_values_of_a_market_change_no_hash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No text depends on them."""
    for _ in range(2):
        without, with_values = (
            written(tmp_path, ["a", "b"]),
            [{"query": "a", "value.A": 1}, {"query": "b", "value.A": 2}],
        )
        assert written(tmp_path, with_values).semantic_hash == without.semantic_hash
        log = written(tmp_path, "log.csv", log_csv="query,value.A\na,1\nb,2\n")
        assert log.semantic_hash == written(tmp_path, "log.csv", log_csv="query,value.A\na,3\nb,2\n").semantic_hash
        small(monkeypatch, n_values=0)


@pytest.mark.parametrize(
    ("name", "log", "expected"),
    [
        ("log.jsonl", "", "log.jsonl: expected at least one row of a query, got none"),
        ("log.jsonl", '{"query": "a"}\n[1]\n', "log.jsonl:2: expected a mapping in every line, got a list"),
        ("log.jsonl", '{"query": "a"}\n{"query": \n', "log.jsonl:2: not JSON: "),
        ("log.jsonl", '{"question": "a"}\n', "log.jsonl:1: there is no 'query' in this row; it has 'question'"),
        ("log.jsonl", '{"query": 3}\n', "log.jsonl:1: the query must be text, got 3"),
        ("log.jsonl", '{"query": "a", "p": [1]}\n', "log.jsonl:1: column p: expected text or a number, got a list"),
        (
            "log.jsonl",
            '{"query": "a", "p": 1}\n{"query": "b", "p": "x"}\n',
            "log.jsonl:2: column p: expected a number, as in line 1, got text",
        ),
        ("log.jsonl", '{"query": "a", "p": "x"}\n{"query": "b"}\n', "log.jsonl:2: the column 'p' is missing"),
        ("log.jsonl", f'{{"query": "{"x" * 100_001}"}}\n', "log.jsonl:1: the row is too long: at most 100,000"),
        ("log.csv", 'query,p\n"' + "x\n" * 60_000 + '","' + "y\n" * 9_000 + '"\n', "the row is too long"),
        (
            "log.csv",
            "query,time\na,1\na,1\n",
            "log.csv:3: the query 'a' is here twice at the time '1', first at log.csv:2",
        ),
        (
            "log.csv",
            "query,time,bid.A\na,1,2\na,2,3\n",
            "log.csv:3, column bid.A: rows of one query must agree: 'bid.A' of 'a' is 2 at log.csv:2, and 3 here",
        ),
    ],
)
def test_mistakes_name_the_row(tmp_path: Path, name: str, log: str, expected: str) -> None:
    assert expected in complaint(tmp_path, name, **{name.replace(".", "_"): log})


@pytest.mark.parametrize(
    ("queries", "expected"),
    [
        ({"file": "log.csv", "sample": 13}, "log.csv: expected at least 13 rows, as many as the sample has, got 12"),
        (
            {"file": "log.csv", "sample": 2, "by": "segmnet"},
            "log.csv:2: there is no column 'segmnet' to draw by; did you",
        ),
        ({"file": "log.csv", "sample": 0}, "expected a whole number of at least 1, got 0"),
        ({"file": "log.csv", "smaple": 2}, "unknown key 'smaple'; did you mean 'sample'"),
        ({"sample": 2}, "the key 'file' is missing"),
    ],
)
def test_mistakes_in_the_section(tmp_path: Path, queries: Any, expected: str) -> None:
    assert expected in complaint(tmp_path, queries, log_csv=LOG)
