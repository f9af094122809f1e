"""`list` and `compare`, and that every command takes a run folder, an experiment file, or a folder of runs."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from conftest import Command

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
        ["verify", "--cells", "0"],
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
    done = in_process("verify", "results", "--cells", "1")
    assert done.returncode == 1
    assert all(name in done.stdout for name in two_runs)
    assert done.stderr.startswith(f"{two_runs[1]}: 1 of ")


def test_compare(two_runs: list[str], in_process: Command) -> None:
    done = in_process("compare", *two_runs)
    assert done.returncode == 0, done.stderr
    assert all(word in done.stdout for word in ("What differs", *two_runs, "B - A", "mention_rate.alpha"))
    exported = in_process(
        "compare", "e.yaml", two_runs[1], "--table", "points", "--figures", "tokens", "--format", "csv"
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
        (["results", "--figures", "mention_rates"], "did you mean 'mention_rate'"),
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
