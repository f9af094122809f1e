"""`tokauction audit --texts`: what it prints and keeps, how it continues, and where it is asked the impossible.

Agents are tables over bytes, whose texts are sampled as a language model's are, or over tokens, which are enumerated.
"""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from conftest import Command

from tokenauction_cli.api import audit_texts, run_experiment
from tokenauction_cli.engine.run import SilentProgress
from tokenauction_cli.experiment.experiment import load_experiment
from tokenauction_cli.mechanism.sampling.stable import Stable

LETTERS = """name: letters
agents:
  - {name: Alpha, mentions: [ab], distributions: {"": {ab: 0.5, ba: 0.5}, "*": {<end>: 1}}}
  - {name: Beta, mentions: [ba], distributions: {"": {ba: 0.75, ab: 0.25}, "*": {<end>: 1}}}
auction: {alphabet: bytes, max_bytes: 4, payments: [second_price]}
sweep: {seeds: 3}
audit:
  texts:
    value: {alpha: {count: 2, tv: 1}, beta: {count: 1}}
    bids: [0.5]
    reports: {temperature: [0.5]}
    seeds: 30
"""
FEW = LETTERS.replace("seeds: 30", "seeds: 8")
TOKENS = """name: tokens
agents:
  - {name: Ann, bid: 2, distribution: {x: 0.7, y: 0.3}, mentions: [x]}
  - {name: Bob, distribution: {x: 0.2, y: 0.8}, mentions: [y]}
auction: {max_tokens: 1, payments: [second_price]}
"""
RESULTS = ("text_audit.csv", "text_equilibrium.csv", "text_dynamics.csv", "text_audit.txt")
ONLY_8 = "nly 8 seeds: 30 or more say something"

Row = dict[str, str]


def rows_of(path: Path) -> list[Row]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def the_run(folder: Path) -> Path:
    (run,) = (folder / "results").iterdir()
    return run


def texts_in(run: Path) -> list[dict[str, Any]]:
    files = sorted(run.glob("text_audit-*.jsonl"))
    return [json.loads(line) for file in files for line in file.read_text("utf-8").splitlines()]


def kept(run: Path) -> dict[str, bytes]:
    return {name: (run / name).read_bytes() for name in RESULTS}


@pytest.fixture
def audited(in_process: Command, tmp_path: Path) -> Path:
    """The run folder of LETTERS, audited."""
    (tmp_path / "e.yaml").write_text(LETTERS, "utf-8")
    done = in_process("audit", "e.yaml", "--texts", "-q")
    assert (done.returncode, done.stderr) == (
        0,
        f"All findings: {the_run(tmp_path) / 'text_audit.csv'}\n".replace(f"{tmp_path}/", ""),
    )
    return the_run(tmp_path)


# What it prints and keeps


def test_tables_and_words_go_to_stdout_and_files_to_the_run(in_process: Command, tmp_path: Path) -> None:
    (tmp_path / "e.yaml").write_text(LETTERS, "utf-8")
    done = in_process("audit", "e.yaml", "--texts", "--details")
    assert done.returncode == 0, done.stderr
    said = " ".join(done.stdout.split())
    assert "linear: what the best bid or report for a whole text gains over truth" in said
    assert "linear: where best replies lead" in said
    assert "Alpha, to whom every mention is worth 2, gets " in said
    assert "Best replies for tv end at Alpha 1, Beta 1, after " in said
    assert "it is no proof that nothing else gains" in said
    assert "cells" not in done.stdout
    run = the_run(tmp_path)
    assert (run / "text_audit.txt").read_text("utf-8").split() == said[said.index("linear, second price:") :].split()
    found = rows_of(run / "text_audit.csv")
    assert {(row["agent"], row["utility"]) for row in found} == {("alpha", "count"), ("alpha", "tv"), ("beta", "count")}
    assert {row["report"] for row in found} == {"honest", "temperature 0.5"}
    assert {(row["method"], row["texts"]) for row in found} == {("seeds", "30")}
    assert [row["note"][:4] for row in found if row["best"] == "tried"] == ["best"] * 3
    [count, _] = rows_of(run / "text_equilibrium.csv")
    assert (count["utility"], count["value.alpha"], count["value.beta"]) == ("count", "2.0", "1.0")
    steps = rows_of(run / "text_dynamics.csv")
    assert (steps[0]["step"], steps[0]["agent"], steps[0]["bid.alpha"], steps[0]["moved"]) == ("0", "", "2.0", "False")


@pytest.mark.parametrize("how", ["json", "csv", "md", "latex"])
def test_stdout_carries_the_result_alone(audited: Path, in_process: Command, how: str) -> None:
    done = in_process("audit", str(audited), "--texts", "-q", "--format", how)
    assert done.returncode == 0, done.stderr
    if how == "json":
        rows = json.loads(done.stdout)
        assert {"payment", "utility", "gain", "gain.low", "gain.high", "regret at most"} <= rows[0].keys()
        assert [row["Alpha bids"] for row in rows if row.get("ends as")][1] == 1
    elif how == "csv":
        assert next(csv.DictReader(done.stdout.splitlines()))["payment"] == "second price"
    elif how == "md":
        assert done.stdout.startswith("### linear: what the best bid")
        assert "Bounds hold for all deviations of a row together" in done.stdout
    else:
        assert done.stdout.count("\\caption") == 2


def test_few_seeds_are_a_warning_in_every_output(in_process: Command, tmp_path: Path) -> None:
    (tmp_path / "e.yaml").write_text(FEW, "utf-8")
    done = in_process("audit", "e.yaml", "--texts", "-q")
    run = the_run(tmp_path)
    assert f"o{ONLY_8}" in done.stderr
    assert f"O{ONLY_8}" in " ".join(done.stdout.split())
    assert f"O{ONLY_8}" in (run / "text_audit.txt").read_text("utf-8")
    rows = [*rows_of(run / "text_audit.csv"), *rows_of(run / "text_equilibrium.csv")]
    assert all(f"o{ONLY_8}" in row["note"] for row in rows)
    for how in ("md", "latex"):
        assert f"O{ONLY_8}" in in_process("audit", str(run), "--texts", "-q", "--format", how).stdout
    for how in ("csv", "json"):
        assert f"o{ONLY_8}" in in_process("audit", str(run), "--texts", "-q", "--format", how).stderr


def test_without_the_key_each_agent_values_a_mention_at_its_bid(in_process: Command, tmp_path: Path) -> None:
    (tmp_path / "e.yaml").write_text(TOKENS, "utf-8")
    done = in_process("audit", "e.yaml", "--texts", "-q")
    assert done.returncode == 0, done.stderr
    assert "The file has no audit.texts, so each agent values a mention at its own bid." in " ".join(
        done.stdout.split()
    )
    lines = done.stdout.splitlines()
    assert lines[0].startswith("What the best other bid or report for a whole text gains over truth (")
    assert lines[1].startswith("linear, ")
    assert len(lines) <= 15
    found = rows_of(the_run(tmp_path) / "text_audit.csv")
    assert {(row["agent"], row["utility"], row["value"]) for row in found} == {
        ("ann", "mention", "2.0"),
        ("bob", "mention", "1.0"),
    }
    assert {row["method"] for row in found} == {"exact"}


def test_files_of_several_mechanisms_say_which(in_process: Command, tmp_path: Path) -> None:
    """The token auction alone has no such column."""
    (tmp_path / "tokens.yaml").write_text(TOKENS, "utf-8")
    (tmp_path / "both.yaml").write_text(TOKENS.replace("payments:", "mechanism: [token_auction, lottery], payments:"))
    for name in ("tokens", "both"):
        assert in_process("audit", f"{name}.yaml", "--texts", "-q", "-o", name).returncode == 0
    names = ("mechanism", "aggregation", "payment")
    for file in RESULTS[:3]:
        [alone], [both] = ((tmp_path / name).glob(f"*/{file}") for name in ("tokens", "both"))
        assert "mechanism" not in rows_of(alone)[0]
        assert tuple(rows_of(both)[0])[:3] == names
        written = {tuple(row[name] for name in names) for row in rows_of(both)}
        assert written == {("token_auction", "linear", "second_price"), ("lottery", "", "lottery")}


def test_several_targets_are_told_apart(in_process: Command, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(TOKENS, "utf-8")
    (tmp_path / "b.yaml").write_text(TOKENS.replace("name: tokens", "name: others"), "utf-8")
    done = in_process("audit", "a.yaml", "b.yaml", "--texts", "-q", "--format", "json")
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)) == 2 * (2 + 1)
    assert done.stderr.count("All findings: ") == 2


# What it leaves alone


def test_texts_of_the_audit_are_no_part_of_the_run(audited: Path, in_process: Command) -> None:
    assert len(texts_in(audited)) > 100
    assert len(rows_of(audited / "cells.csv")) == 3
    assert in_process("list").stdout.split().count("3") == 2  # cells and planned
    assert in_process("verify", str(audited)).returncode == 0
    assert "tv_sum" not in (audited / "cells.csv").read_text("utf-8")


def test_a_changed_result_is_found_by_verify(audited: Path, in_process: Command) -> None:
    with (audited / "text_equilibrium.csv").open("a") as file:
        file.write("x\n")
    done = in_process("verify", str(audited))
    assert done.returncode == 1
    assert "text_equilibrium.csv" in done.stdout + done.stderr


# How it continues


def test_a_finished_audit_writes_nothing(audited: Path, in_process: Command) -> None:
    before = {path.name: path.read_bytes() for path in audited.glob("text_audit*")}
    for target in ("e.yaml", str(audited)):
        assert in_process("audit", target, "--texts", "-q").returncode == 0
        assert {path.name: path.read_bytes() for path in audited.glob("text_audit*")} == before


def test_other_bids_continue_in_the_same_folder(audited: Path, in_process: Command, tmp_path: Path) -> None:
    before = texts_in(audited)
    (tmp_path / "e.yaml").write_text(LETTERS.replace("[0.5]\n    reports", "[0.5, 3]\n    reports"), "utf-8")
    assert in_process("audit", "e.yaml", "--texts", "-q").returncode == 0
    assert the_run(tmp_path) == audited
    after = texts_in(audited)
    assert after[: len(before)] == before
    assert len(before) < len(after) == len({text["cell"] for text in after})
    assert {row["bid"] for row in rows_of(audited / "text_audit.csv") if row["utility"] == "tv"} == {
        "0.5",
        "1.0",
        "3.0",
    }


def test_a_run_folder_is_audited_as_its_own_file_says(audited: Path, in_process: Command, tmp_path: Path) -> None:
    (tmp_path / "e.yaml").write_text(LETTERS.replace("[0.5]\n    reports", "[0.5, 3]\n    reports"), "utf-8")
    assert in_process("audit", str(audited), "--texts", "-q").returncode == 0
    assert {row["bid"] for row in rows_of(audited / "text_audit.csv") if row["utility"] == "tv"} == {"0.5", "1.0"}


class Stopping(SilentProgress):
    """Ctrl-C once so many texts are on disk."""

    def __init__(self, after: int) -> None:
        self._left = after

    def step(self, n_cells: int, n_tokens: int, share: float) -> None:
        self._left -= n_cells
        if self._left <= 0:
            raise KeyboardInterrupt


@pytest.mark.parametrize("after", [0, 1, 200])
def test_an_interrupted_audit_ends_as_an_undisturbed_one(audited: Path, tmp_path: Path, after: int) -> None:
    experiment = load_experiment(tmp_path / "e.yaml")
    again = run_experiment(experiment, tmp_path / "again", SilentProgress())
    with pytest.raises(KeyboardInterrupt):
        audit_texts(again, Stopping(after))
    begun = texts_in(again.path)
    audit_texts(again, SilentProgress())
    assert kept(again.path) == kept(audited)
    ended = texts_in(again.path)
    assert ended[: len(begun)] == begun
    assert len({text["cell"] for text in ended}) == len(ended) == len(texts_in(audited))


def test_ctrl_c_says_how_to_continue(in_process: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "e.yaml").write_text(LETTERS, "utf-8")
    begun = in_process("run", "e.yaml", "-q")
    assert begun.returncode == 0
    draw, drawn = Stable.draw, [0]

    def draw_and_interrupt(self: Stable, *arguments: Any) -> Any:
        drawn[0] += 1
        if drawn[0] == 700:
            os.kill(os.getpid(), signal.SIGINT)
        return draw(self, *arguments)

    monkeypatch.setattr(Stable, "draw", draw_and_interrupt)
    done = in_process("audit", "e.yaml", "--texts", "-q")
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr.startswith("Interrupted. Kept ")
    assert done.stderr.endswith("continue with: tokauction audit e.yaml --texts -q\n")
    assert not (the_run(tmp_path) / "text_audit.csv").exists()


KILLED = """
import os, signal, sys
from pathlib import Path
from tokenauction_cli.api import audit_texts, run_experiment
from tokenauction_cli.engine.run import SilentProgress
from tokenauction_cli.experiment.experiment import load_experiment

class Killing(SilentProgress):
    def step(self, n_cells, n_tokens, share):
        if n_cells:
            os.kill(os.getpid(), signal.SIGKILL)

run = run_experiment(load_experiment(Path("e.yaml")), Path("again"), SilentProgress())
audit_texts(run, Killing())
"""


def test_a_killed_audit_ends_as_an_undisturbed_one(
    audited: Path, tmp_path: Path, command_line: list[str], environment: dict[str, str]
) -> None:
    """Its last line is torn besides, as by a crash while it was written."""
    killed = subprocess.run([command_line[0], "-c", KILLED], cwd=tmp_path, env=environment, timeout=120, check=False)
    assert killed.returncode == -signal.SIGKILL
    [again] = (tmp_path / "again").iterdir()
    [file] = again.glob("text_audit-*.jsonl")
    file.write_bytes(file.read_bytes()[:-20])
    audit_texts(
        run_experiment(load_experiment(tmp_path / "e.yaml"), tmp_path / "again", SilentProgress()), SilentProgress()
    )
    assert kept(again) == kept(audited)


# What cannot be


@pytest.mark.parametrize(
    ("auction", "said"),
    [
        ("max_tokens: 1, payments: []", "an audit of whole texts needs a payment rule"),
        ("max_tokens: 1, sampling: greedy, payments: [pay_your_bid]", "with greedy sampling there are no expected pay"),
        ("alphabet: words, max_bytes: 4, payments: [pay_your_bid]", "over words there are no expected payments"),
    ],
)
def test_what_cannot_be_audited_costs_nothing(in_process: Command, tmp_path: Path, auction: str, said: str) -> None:
    (tmp_path / "e.yaml").write_text(TOKENS.replace("max_tokens: 1, payments: [second_price]", auction), "utf-8")
    done = in_process("audit", "e.yaml", "--texts")
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize("option", [("--order", "tv"), ("--prefixes", "3")])
def test_options_of_single_prefixes_are_refused(in_process: Command, tmp_path: Path, option: tuple[str, str]) -> None:
    (tmp_path / "e.yaml").write_text(LETTERS, "utf-8")
    done = in_process("audit", "e.yaml", "--texts", *option)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"{option[0]} is about single prefixes, --texts about whole texts: leave one of them out\n"
    assert not (tmp_path / "results").exists()


def test_a_run_folder_s_experiment_is_fixed(audited: Path, in_process: Command) -> None:
    done = in_process("audit", str(audited), "--texts", "-S", "audit.texts.seeds=40")
    assert done.returncode == 2
    assert "whose experiment is fixed" in done.stderr
