"""`list` and `compare`, and that every command takes a run folder, an experiment file, or a folder of runs."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from conftest import Command

from tokenauction_cli.cli.results import is_long

TABLES = """
name: tables
agents:
  - {name: Alpha, distribution: {x: 0.5, y: 0.5}}
  - {name: Beta, distribution: {y: 1}}
auction: {aggregation: [linear, log_linear], max_tokens: 5}
sweep: {agent: Alpha, relative_weight: [0, 0.5, 1], seeds: 4}
"""


@pytest.fixture
def two_runs(tmp_path: Path, in_process: Command) -> list[str]:
    """The names of two run folders of one experiment file, the file's own first."""
    (tmp_path / "e.yaml").write_text(TABLES)
    assert in_process("run", "e.yaml", "-q").returncode == 0
    assert in_process("run", "e.yaml", "-q", "-S", "seed=1").returncode == 0
    first = json.loads(in_process("list", "e.yaml", "--format", "json").stdout)[0]["run"]
    both = sorted(f"results/{path.name}" for path in (tmp_path / "results").iterdir())
    return sorted(both, key=lambda name: name != first)


def test_list(two_runs: list[str], in_process: Command) -> None:
    done = in_process("list", "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert {row["run"]: row["differs"] for row in rows} == {two_runs[0]: "seed: 0", two_runs[1]: "seed: 1"}
    assert {(row["status"], row["cells"], row["planned"]) for row in rows} == {("finished", "24", "24")}
    assert in_process("list", "results", "--format", "csv").stdout == done.stdout


def test_show_of_a_folder_of_runs_lists_it(two_runs: list[str], in_process: Command) -> None:
    done = in_process("show", "results")
    assert (done.returncode, done.stdout) == (0, in_process("list").stdout)


def test_list_of_nothing(in_process: Command) -> None:
    done = in_process("list")
    assert (done.returncode, done.stdout) == (2, "")
    assert "results: there is no such folder" in done.stderr


@pytest.mark.parametrize("target", ["e.yaml", "folder", "results"])
@pytest.mark.parametrize(
    "command",
    [
        ["show", "--format", "csv"],
        ["verify", "--sample", "0"],
        ["audit", "-q", "--format", "csv", "--order", "tv"],
        ["report", "--figures", "none"],
        ["list"],
    ],
    ids=lambda command: str(command[0]),
)
def test_every_command_takes_all_three(
    two_runs: list[str], in_process: Command, command: list[str], target: str
) -> None:
    done = in_process(*command, two_runs[0] if target == "folder" else target)
    assert done.returncode == 0, done.stderr


def test_people_read_the_names_of_runs_under_their_folder(two_runs: list[str], in_process: Command) -> None:
    listed = in_process("list").stdout
    assert listed.split()[0] == "results"
    assert all(Path(run).name in listed and run not in listed for run in two_runs)
    assert all(run in in_process("list", *two_runs, "--format", "csv").stdout for run in two_runs)


def test_verify_names_every_run_that_fails(two_runs: list[str], in_process: Command, tmp_path: Path) -> None:
    (tmp_path / two_runs[1] / "cells.csv").write_text("")
    done = in_process("verify", "results", "--sample", "1")
    assert done.returncode == 1
    assert all(name in done.stdout for name in two_runs)
    assert done.stderr.startswith(f"{two_runs[1]}: 1 of ")


def texts(run: Path) -> list[str]:
    with (run / "cells.csv").open(encoding="utf-8", newline="") as file:
        return [row["text"] for row in csv.DictReader(file)]


def test_compare(two_runs: list[str], in_process: Command, tmp_path: Path) -> None:
    done = in_process("compare", *two_runs)
    assert done.returncode == 0, done.stderr
    assert all(word in done.stdout for word in ("What differs", "B - A", "mention_rate.alpha", "over the whole sweep"))
    first, second, *_ = done.stdout.splitlines()
    assert first == f"A  {two_runs[0]}"
    equal = sum(a == b for a, b in zip(*(texts(tmp_path / run) for run in two_runs), strict=True))
    assert second == f"B  {two_runs[1]}: {equal} of 24 shared texts are equal"
    assert 0 < equal < 24
    exported = in_process(
        "compare", "e.yaml", two_runs[1], "--table", "points", "--columns", "tokens", "--format", "csv"
    )
    rows = list(csv.DictReader(io.StringIO(exported.stdout)))
    assert [(row["title"], row["relative_weight"]) for row in rows[:3]] == [
        *(("linear / tokens", "0"), ("linear / tokens", "0.5"), ("linear / tokens", "1"))
    ]
    assert all(float(row["B - A.low"]) <= float(row["B - A"]) <= float(row["B - A.high"]) for row in rows)
    assert in_process("compare", "results", "--format", "latex").stdout.count(r"\begin{table}") == 3


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["e.yaml"], "compare needs two runs or more"),
        (["results", "--table", "nothing"], "there is no table 'nothing'"),
        (["results", "--columns", "mention_rates"], "did you mean 'mention_rate'"),
        ([], "Missing argument"),
    ],
)
def test_compare_used_badly(two_runs: list[str], in_process: Command, arguments: list[str], words: str) -> None:
    done = in_process("compare", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr


def test_compare_says_what_is_missing(two_runs: list[str], in_process: Command) -> None:
    assert in_process("run", "e.yaml", "-q", "-S", "seed=2", "--no-reuse", "-n", "12").returncode == 0
    done = in_process("compare", "results")
    assert "Only 12 of 24 texts are written" in done.stderr


MANY = TABLES.replace("sweep:", "queries: [%s]\nsweep:") + "blends: true\n"


def test_of_many_queries_people_see_the_means(in_process: Command, tmp_path: Path) -> None:
    """And how to see the rest; programs get everything."""
    names = [f"query{k}" for k in range(5)]
    (tmp_path / "m.yaml").write_text((MANY % ", ".join(names)).replace("seeds: 4", "seeds: 1"))
    run = in_process("run", "m.yaml", "-q")
    (folder,) = (tmp_path / "results").iterdir()
    assert run.returncode == 0
    assert in_process("show", "m.yaml").stdout == run.stdout
    assert f"Means over 5 queries. Each of them: tokauction show results/{folder.name} --all\n" in run.stdout
    assert "all 5 queries / linear" in run.stdout
    assert not any(name in run.stdout for name in names)
    everything = in_process("show", "m.yaml", "--all").stdout
    assert all(name in everything for name in names)
    rows = list(csv.DictReader(io.StringIO(in_process("show", "m.yaml", "--format", "csv").stdout)))
    assert {row["title"] for row in rows} == set(names)
    rows = list(csv.DictReader(io.StringIO(in_process("show", "m.yaml", "--pooled", "--format", "csv").stdout)))
    assert {row["queries"] for row in rows} == {"5"}


@pytest.mark.parametrize(("n_queries", "n_seeds", "long"), [(11, 2, True), (10, 2, False), (5, 1, True), (4, 1, False)])
def test_how_many_queries_are_many(n_queries: int, n_seeds: int, long: bool) -> None:
    experiment = SimpleNamespace(queries=["q"] * n_queries, seeds=[0] * n_seeds)
    run: Any = SimpleNamespace(experiment=experiment, pooled=[0])
    assert is_long(run) == long


def test_what_has_one_query_has_no_means_over_queries(two_runs: list[str], in_process: Command) -> None:
    done = in_process("show", two_runs[0], "--pooled")
    assert (done.returncode, done.stdout) == (2, "")
    assert "--pooled needs the texts of several queries" in done.stderr


def test_rows_by_weight_or_bid(in_process: Command, tmp_path: Path) -> None:
    (tmp_path / "b.yaml").write_text(
        TABLES.replace("relative_weight: [0, 0.5, 1]", "bids: [{Alpha: 0.5}, {Alpha: 1}, {Alpha: 3}]")
    )
    said = in_process("run", "b.yaml", "-q").stdout
    assert "bid of Alpha from 0.5 to 3" in said
    assert "weight of Alpha from 0.333" in in_process("show", "b.yaml", "--x", "weight").stdout
    rows = in_process("show", "b.yaml", "--format", "csv").stdout.splitlines()
    assert rows[0] == "bid of Alpha,linear,log_linear"
    (kept,) = tmp_path.glob("results/*/table.csv")
    assert kept.read_text("utf-8").startswith("weight of Alpha,")  # a file stays as it was


def test_a_run_ends_with_what_one_wants_next(
    in_process: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three commands that work as they stand."""
    (tmp_path / "e.yaml").write_text(TABLES)
    lines = in_process("run", "e.yaml").stderr.splitlines()
    place = lines.index("Next:")
    assert lines[place - 1].startswith("Run folder: results/tables-")
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", lambda address: opened.append(address) or True)
    following = [line.split() for line in lines[place + 1 :]]
    assert [words[1] for words in following] == ["report", "show", "audit"]
    for program, *words in following:
        assert program == "tokauction"
        extra = {"report": ["--figures", "none"], "audit": ["--order", "tv"]}.get(words[0], [])
        assert in_process(*words, *extra).returncode == 0
    (page,) = tmp_path.glob("results/*/report.html")
    assert opened == [page.as_uri()]
