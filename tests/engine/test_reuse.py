"""Finished cells of sibling runs are taken over where they would be the same bytes, and nowhere else."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Command, Reader
from tiny_gguf import bigram_model, of_byte

from tokenauction_cli.analysis.run import Run
from tokenauction_cli.api import run_experiment
from tokenauction_cli.engine.models.bidder_models import TableBidders
from tokenauction_cli.engine.run import SilentProgress
from tokenauction_cli.experiment.experiment import Experiment
from tokenauction_cli.runs.run_folder import RunFolder
from tokenauction_cli.verify.verification import verify_run

SIX = "sweep.relative_weight={from: 0, to: 1, step: 0.2}"
ELEVEN = "sweep.relative_weight={from: 0, to: 1, step: 0.1}"
TABLES = """
name: babble
queries: [one, two]
agents:
  - {name: A, distribution: {x: 0.5, y: 0.3, <end>: 0.2}}
  - {name: B, distribution: {x: 0.2, y: 0.5, z: 0.2, <end>: 0.1}, bid: 2}
auction: {aggregation: [linear, log_linear], payments: [pay_your_bid, second_price], max_tokens: 6, trace: top_k}
sweep: {agent: A, relative_weight: {from: 0, to: 1, step: 0.2}, seeds: 3}
"""
N_SIX, N_ELEVEN = 6 * 2 * 2 * 3, 11 * 2 * 2 * 3
GGUF = """
name: tiny
agents: [{name: A, model: m.gguf, prompt: a}, {name: B, model: m.gguf, prompt: b}]
auction: {max_tokens: 3}
sweep: {relative_weight: [0, 1], seeds: 4}
"""
FAILING = """
name: failing
agents:
  - {name: A, distributions: {"": {x: 0.5, y: 0.5}, x: {x: 1}}}
  - {name: B, distributions: {"": {x: 0.5, y: 0.5}, x: {x: 1}}}
auction: {max_tokens: 2}
sweep: {relative_weight: [0.5], seeds: 8}
"""


class Notes(SilentProgress):
    """Keeps what a run tells."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def note(self, text: str) -> None:
        self.told.append(text)


def run(experiment: Experiment, results: Path, **options: Any) -> Run:
    return run_experiment(experiment, results, Notes(), **options)


def n_taken(run: Run) -> int:
    """How many cells the last session took over."""
    taken = run.manifest["sessions"][-1].get("taken_over", {})
    assert all((run.path.parent / sibling).is_dir() for sibling in taken)
    return sum(taken.values())


def records(run: Run) -> set[bytes]:
    return {line for path in run.folder.record_files() for line in path.read_bytes().splitlines()}


def assert_equal(run: Run, other: Run) -> None:
    """Byte for byte, in records and tables."""
    assert records(run) == records(other)
    for name in ("cells.csv", "summary.csv", "trends.csv", "comparisons.csv", "pooled.csv", "table.md"):
        assert (run.path / name).read_bytes() == (other.path / name).read_bytes(), name


# What is taken over


def test_of_eleven_weights_the_six_that_are_there_are_taken_over(read: Reader, tmp_path: Path) -> None:
    """Only the new cells are computed, and everything is as if all were: points have other numbers."""
    six = run(read(TABLES), tmp_path / "results")
    notes = Notes()
    eleven = run_experiment(read(TABLES, ELEVEN), tmp_path / "results", notes)
    assert notes.told == [f"{N_SIX} of {N_ELEVEN} texts taken over from {six.path}"]
    (session,) = eleven.manifest["sessions"]
    assert (session["cells"], session["taken_over"]) == (N_ELEVEN - N_SIX, {six.path.name: N_SIX})
    alone = run(read(TABLES, ELEVEN), tmp_path / "alone")
    assert n_taken(alone) == 0
    assert_equal(eleven, alone)
    assert all(check.is_good for check in verify_run(eleven.path, N_ELEVEN))


@pytest.mark.parametrize(
    "override",
    [
        "sweep.seeds=5",
        "sweep.seeds=[2, 1]",
        "auction.aggregation=[linear, power_mean_2]",
        "queries=[two, three]",
        "sweep.relative_weight=[1, 0.8]",
        "sweep={bids: [{A: 0, B: 3}, {A: 3, B: 0}], seeds: 3}",
        "agents.0.mentions=[xy]",
        "blends=true",
    ],
)
def test_what_leaves_a_record_alone(read: Reader, tmp_path: Path, override: str) -> None:
    run(read(TABLES), tmp_path / "results")
    after = run(read(TABLES, override), tmp_path / "results")
    assert n_taken(after) > 0
    assert_equal_tables(after, run(read(TABLES, override), tmp_path / "alone"))


def assert_equal_tables(run: Run, other: Run) -> None:
    assert records(run) == records(other)
    assert run.cells.equals(other.cells)


def test_another_name_costs_no_work(read: Reader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is left to compute, so no model is loaded."""
    run(read(TABLES), tmp_path / "results")
    monkeypatch.delattr(TableBidders, "loaded")
    renamed = run(read(TABLES, "name=renamed"), tmp_path / "results")
    assert n_taken(renamed) == len(renamed.cells) == N_SIX
    assert (renamed.manifest["status"], renamed.manifest["sessions"][0]["cells"]) == ("finished", 0)


def test_several_siblings_each_give_what_only_they_have(read: Reader, tmp_path: Path) -> None:
    for weights in ("[0, 0.5]", "[0.5, 1]", "[0, 1]"):
        run(read(TABLES, f"sweep.relative_weight={weights}"), tmp_path)
    notes = Notes()
    both = run_experiment(read(TABLES, "sweep.relative_weight=[0, 0.5, 1]"), tmp_path, notes)
    assert sorted(both.manifest["sessions"][0]["taken_over"].values()) == [12, 24]
    assert notes.told[0].startswith("36 of 36 texts taken over from ")
    assert " (24), " in notes.told[0] or notes.told[0].endswith(" (24)")


def test_a_part_takes_over_a_part(read: Reader, tmp_path: Path) -> None:
    run(read(TABLES), tmp_path)
    part = run(read(TABLES, ELEVEN), tmp_path, n=11)
    assert (len(part.cells), n_taken(part)) == (11, 6)
    rest = run(read(TABLES, ELEVEN), tmp_path)
    assert (len(rest.cells), n_taken(rest)) == (N_ELEVEN, N_SIX - 6)


# What is not


@pytest.mark.parametrize(
    "override",
    [
        "seed=1",
        "agents.0.bid=2",
        "agents.0.temperature=0.5",
        "agents.0.name=C",
        "agents.0.id=c",
        "auction.charge=pay_your_bid",
        "agents.0.distribution={x: 0.5, y: 0.25, <end>: 0.25}",
        "auction.payments=[pay_your_bid]",
        "auction.payments=[second_price, pay_your_bid]",
        "auction.sampling=gumbel",
        "auction.max_tokens=5",
        "auction.stop=[z]",
        "auction.trace=chosen",
        "auction.reserve=0.5",
        "sweep.agent=B",
    ],
)
def test_what_a_record_may_depend_on(read: Reader, tmp_path: Path, override: str) -> None:
    text = TABLES.replace("agent: A, ", "")
    before = run(read(text), tmp_path)
    after = run(read(text, override), tmp_path)
    assert before.path != after.path
    assert n_taken(after) == 0


def test_another_version_or_build_is_another_basis(read: Reader, tmp_path: Path) -> None:
    path = run(read(TABLES), tmp_path).path / "manifest.json"
    path.write_text(path.read_text().replace('"basis": "', '"basis": "0'))
    assert n_taken(run(read(TABLES, ELEVEN), tmp_path)) == 0


def test_a_run_of_two_builds_has_no_basis(read: Reader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody can tell which of its records came from which."""
    run(read(TABLES), tmp_path, n=10)
    monkeypatch.setattr("tokenauction_cli.runs.manifest.passes_build", lambda: "another")
    assert run(read(TABLES), tmp_path).manifest["basis"] is None
    assert n_taken(run(read(TABLES, ELEVEN), tmp_path)) == 0


def test_fresh_and_without_reuse_everything_is_computed(read: Reader, tmp_path: Path) -> None:
    run(read(TABLES), tmp_path)
    assert n_taken(run(read(TABLES, ELEVEN), tmp_path, reuse=False)) == 0
    assert n_taken(run(read(TABLES, ELEVEN), tmp_path, fresh=True)) == 0


def test_what_was_set_aside_is_no_sibling(read: Reader, tmp_path: Path) -> None:
    RunFolder(run(read(TABLES), tmp_path).path).set_aside()
    assert n_taken(run(read(TABLES, ELEVEN), tmp_path)) == 0


def test_failed_cells_are_computed_again(read: Reader, tmp_path: Path) -> None:
    before = run(read(FAILING), tmp_path)
    assert 0 < before.n_failed < len(before.cells)
    after = run(read(FAILING, "name=again"), tmp_path)
    assert n_taken(after) == len(before.cells) - before.n_failed
    assert after.manifest["sessions"][0]["cells"] == before.n_failed


def edited(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b'"tokens":6', b'"tokens":5', 1))


def of_other_bids(path: Path) -> None:
    """A file that no manifest vouches for, whose cells are not what they are called."""
    lines = [json.loads(line) for line in path.read_bytes().splitlines()]
    path.unlink()
    other = b"".join(json.dumps(line | {"bid.a": 7.0}).encode() + b"\n" for line in lines)
    (path.parent / "records-2.jsonl").write_bytes(other)


def broken(path: Path) -> None:
    path.write_bytes(b"{}\n" + path.read_bytes())


@pytest.mark.parametrize("harm", [edited, of_other_bids, broken])
def test_a_file_that_was_edited_is_left_alone(read: Reader, tmp_path: Path, harm: Callable[[Path], None]) -> None:
    harm(run(read(TABLES), tmp_path).path / "records-1.jsonl")
    assert n_taken(run(read(TABLES, ELEVEN), tmp_path)) == 0


def test_a_sibling_that_is_being_written_gives_its_whole_lines(read: Reader, tmp_path: Path) -> None:
    sibling = run(read(TABLES), tmp_path)
    lines = (sibling.path / "records-1.jsonl").read_bytes().splitlines(keepends=True)
    (sibling.path / "records-1.jsonl").unlink()
    (sibling.path / "records-2.jsonl").write_bytes(b"".join(lines[:10]) + lines[10][:50])
    with sibling.folder.locked():
        assert n_taken(run(read(TABLES, ELEVEN), tmp_path)) == 10


def test_a_folder_that_is_no_run_is_no_sibling(read: Reader, tmp_path: Path) -> None:
    run(read(TABLES), tmp_path)
    known = json.loads(next(tmp_path.glob("*/manifest.json")).read_text())
    for name, content in (("notes", ""), ("broken", "{"), ("list", "[]"), ("odd", json.dumps(known | {"files": []}))):
        (tmp_path / name).mkdir()
        (tmp_path / name / "resolved.yaml").write_text("")
        (tmp_path / name / "manifest.json").write_text(content)
    assert n_taken(run(read(TABLES, ELEVEN), tmp_path)) == N_SIX


# With models


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return write_tiny(tmp_path / "m.gguf", 9.0)


def write_tiny(path: Path, logit: float) -> Path:
    a, b, c = map(of_byte, b"abc")
    return bigram_model(path, {a: {b: logit, c: 1.0}, b: {c: logit, a: 1.0}})


def test_cells_of_a_model_are_taken_over(read: Reader, tmp_path: Path, tiny: Path) -> None:
    before = run(read(GGUF), tmp_path / "results")
    assert before.manifest["batch_invariant"]
    more = "sweep.relative_weight=[0, 0.5, 1]"
    after = run(read(GGUF, more), tmp_path / "results")
    assert n_taken(after) == 8
    assert records(after) == records(run(read(GGUF, more), tmp_path / "alone"))


@pytest.mark.parametrize(
    "override", ["agents.0.prompt=b", "runtime.kv_cache=f32", "runtime.deterministic=true", "auction.max_tokens=300"]
)
def test_what_a_model_computes_may_depend_on(read: Reader, tmp_path: Path, tiny: Path, override: str) -> None:
    run(read(GGUF), tmp_path)
    assert n_taken(run(read(GGUF, "name=other", override), tmp_path)) == 0


def test_another_model_of_this_name_writes_other_texts(read: Reader, tmp_path: Path, tiny: Path) -> None:
    run(read(GGUF), tmp_path)
    write_tiny(tiny, 8.0)
    assert n_taken(run(read(GGUF, "name=other"), tmp_path)) == 0


@pytest.mark.usefixtures("batches_matter")
def test_where_batches_matter_nothing_is_taken_over(read: Reader, tmp_path: Path, tiny: Path) -> None:
    assert run(read(GGUF), tmp_path).manifest["basis"] is None
    assert n_taken(run(read(GGUF, "name=other"), tmp_path)) == 0


def test_rules_of_ones_own_may_have_changed(read: Reader, tmp_path: Path) -> None:
    assert run(read(TABLES, "trust=[mine]"), tmp_path).manifest["basis"] is None


def test_on_the_command_line(in_process: Command, tmp_path: Path) -> None:
    (tmp_path / "e.yaml").write_text(TABLES)
    assert in_process("run", "e.yaml", "-q").returncode == 0
    done = in_process("run", "e.yaml", "-q", "-S", ELEVEN)
    assert f"{N_SIX} of {N_ELEVEN} texts taken over from results/babble-" in done.stderr
    assert in_process("run", "e.yaml", "-q", "-S", "name=again", "--no-reuse").stderr == ""
