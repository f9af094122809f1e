"""A shard is a part of a run in a folder of its own; together they are the run, byte for byte."""

from __future__ import annotations

import json
import math
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import Command, Reader
from test_reuse import GGUF, TABLES, Notes, assert_equal, n_taken, records
from tiny_gguf import attention_model

from tokenauction_cli import load_run
from tokenauction_cli.analysis.run import Run
from tokenauction_cli.api import run_experiment, sharded
from tokenauction_cli.engine.plan import cells_of, n_cells
from tokenauction_cli.experiment.resolved.shard import Shard
from tokenauction_cli.system.errors import UsageError
from tokenauction_cli.verify.verification import verify_run

N = 3
PARTS = [Shard(k, N) for k in range(1, N + 1)]
POOL = TABLES.replace("auction: {", "auction: {mechanism: [token_auction, text_pool], text_pool: {candidates: 4}, ")


def run(
    text: str, read: Reader, results: Path, *, shard: Shard | None = None, notes: Any = None, **options: Any
) -> Run:
    whole = read(text)
    experiment = whole if shard is None else sharded(whole, shard)
    return run_experiment(experiment, results, notes or Notes(), **options)


@pytest.mark.parametrize("text", [TABLES, POOL], ids=["token auction", "candidates"])
def test_shards_become_the_run(text: str, tmp_path: Path, read: Reader) -> None:
    """Every cell is in one of them; the run takes all over and evaluates nothing, as its records show."""
    alone = run(text, read, tmp_path / "alone")
    parts = [run(text, read, tmp_path / "parts", shard=shard) for shard in PARTS]
    assert [part.path.name for part in parts] == [f"{alone.path.name}.shard-{k}-of-3" for k in (1, 2, 3)]
    assert sorted(cell for part in parts for cell in part.cells["cell"]) == sorted(alone.cells["cell"])
    assert all(part.n_planned == len(part.cells) for part in parts)
    whole = run(text, read, tmp_path / "parts")
    assert n_taken(whole) == len(alone.cells)
    assert whole.manifest["sessions"][-1]["evaluations"] == 0
    assert_equal(whole, alone)


def test_what_no_shard_has_is_computed(tmp_path: Path, read: Reader) -> None:
    """One never ran, one began; the notes name what was taken."""
    alone = run(TABLES, read, tmp_path / "alone")
    run(TABLES, read, tmp_path / "parts", shard=PARTS[0])
    run(TABLES, read, tmp_path / "parts", shard=PARTS[1], n=5)
    notes = Notes()
    whole = run(TABLES, read, tmp_path / "parts", notes=notes)
    assert n_taken(whole) == n_cells(replace(read(TABLES), shard=PARTS[0])) + 5
    assert ".shard-1-of-3" in notes.told[0]
    assert records(whole) == records(alone)


def test_a_shard_resumes_and_reads_back(tmp_path: Path, read: Reader) -> None:
    """The folder knows that it is a shard, also under another name."""
    run(TABLES, read, tmp_path, shard=PARTS[0], n=5)
    assert len(load_run(next(tmp_path.iterdir())).cells) == 5
    part = run(TABLES, read, tmp_path, shard=PARTS[0])
    assert len(part.cells) == part.n_planned == n_cells(replace(read(TABLES), shard=PARTS[0]))
    assert part.manifest["shard"] == "1/3"
    assert [check for check in verify_run(part.path, 3) if check.is_good is False] == []
    moved = part.path.rename(tmp_path / "moved")
    assert load_run(moved).n_planned == part.n_planned
    assert "shard 1/3 alone" in load_run(moved).what_is_missing


def test_expectations_are_of_the_whole_run(tmp_path: Path, read: Reader) -> None:
    text = TABLES + "expect: [{figure: tokens, max: 0}]"
    assert run(text, read, tmp_path, shard=PARTS[0]).verdicts == []
    assert not all(verdict.holds for verdict in run(text, read, tmp_path).verdicts)


def test_blocks_stay_where_they_are(read: Reader) -> None:
    """More seeds and queries move none, and shards are of one size but for chance."""

    def shards(text: str) -> dict[tuple[str, int], int]:
        return {
            (cell.query, cell.seed): shard.number
            for shard in PARTS
            for cell in cells_of(replace(read(text), shard=shard))
        }

    few = shards(TABLES)
    many = shards(TABLES.replace("seeds: 3", "seeds: 500").replace("[one, two]", "[zero, two, one, 'drei ü']"))
    assert few.items() <= many.items()
    assert set(many) == {(query, seed) for query in ("zero", "two", "one", "drei ü") for seed in range(500)}
    sizes = Counter(many.values())
    assert all(abs(size - 2000 / N) < 4 * math.sqrt(2000 * 2 / 9) for size in sizes.values())


def test_the_hash_is_documented() -> None:
    """SHA-256 of ["one",0] modulo 8 is 1, worked out with sha256sum."""
    assert [k for k in range(1, 9) if Shard(k, 8).has("one", 0)] == [2]


@pytest.mark.usefixtures("batches_matter")
def test_where_batches_matter_nothing_is_taken_over(tmp_path: Path, read: Reader) -> None:
    """The records of a shard are of its own waves; the run says so, and computes."""
    attention_model(tmp_path / "m.gguf")
    part = run(GGUF, read, tmp_path / "results", shard=Shard(1, 2))
    notes = Notes()
    whole = run(GGUF, read, tmp_path / "results", notes=notes)
    assert (part.manifest["basis"], n_taken(whole), len(whole.cells)) == (None, 0, 8)
    assert any(f"nothing was taken over from {part.path.name}" in note for note in notes.told)


def test_other_shards_are_not_read(tmp_path: Path, read: Reader) -> None:
    first = run(TABLES, read, tmp_path, shard=PARTS[0])
    (first.path / "records-1.jsonl").chmod(0)
    second = run(TABLES, read, tmp_path, shard=PARTS[1])
    assert n_taken(second) == 0
    halves = run(TABLES, read, tmp_path, shard=Shard(1, 2))
    assert n_taken(halves) > 0


def test_on_the_command_line(tmp_path: Path, in_process: Command) -> None:
    """A job array, then the run; the list tells shards apart."""
    (tmp_path / "e.yaml").write_text(TABLES)
    for k in (1, 2, 3):
        done = in_process("run", "e.yaml", "--shard", f"{k}/3", "-q")
        assert done.returncode == 0, done.stderr
    shown = in_process("show", "e.yaml")
    assert shown.returncode == 2
    assert "has not run" in shown.stderr
    assert ".shard-1-of-3" in shown.stderr
    listed = json.loads(in_process("list", "--format", "json").stdout)
    assert "shard: 2/3" in json.dumps(listed)
    (folder,) = (tmp_path / "results").glob("*.shard-1-of-3")
    for command in ("show", "report", "run", "verify"):
        done = in_process(command, str(folder))
        assert done.returncode == 0, done.stderr
    assert "72 of 72 texts taken over" in in_process("run", "e.yaml").stderr


@pytest.mark.parametrize(
    "shard", ["9/8", "0/8", "3", "3/", "/8", "a/b", "-1/8", "1/0", "0/0", "3/8/9", "1.0/2", "", "٣/٨"]
)
def test_what_is_no_shard(tmp_path: Path, in_process: Command, shard: str) -> None:
    (tmp_path / "e.yaml").write_text(TABLES)
    done = in_process("run", "e.yaml", f"--shard={shard}")
    assert (done.returncode, done.stdout) == (2, "")
    assert "expected K/N with K from 1 to N, such as 3/8" in done.stderr
    assert not (tmp_path / "results").exists()


def test_a_shard_without_a_text(tmp_path: Path, in_process: Command, read: Reader) -> None:
    """Not wrong: a job of the array has nothing to do."""
    (tmp_path / "e.yaml").write_text(TABLES)
    empty = next(Shard(k, 100) for k in range(1, 101) if not n_cells(replace(read(TABLES), shard=Shard(k, 100))))
    done = in_process("run", "e.yaml", "--shard", str(empty))
    assert (done.returncode, done.stdout) == (0, "")
    assert f"shard {empty} of e.yaml has no text" in done.stderr
    assert not (tmp_path / "results").exists()


def test_a_run_folder_is_no_experiment_to_divide(tmp_path: Path, in_process: Command) -> None:
    (tmp_path / "e.yaml").write_text(TABLES)
    assert in_process("run", "e.yaml", "--shard", "1/3", "-n", "1", "-q").returncode == 0
    (folder,) = (tmp_path / "results").iterdir()
    done = in_process("run", str(folder), "--shard", "1/3")
    assert done.returncode == 2
    assert "--shard needs an experiment file" in done.stderr


def test_in_python(tmp_path: Path) -> None:
    from tokenauction_cli import run as run_from_python

    (tmp_path / "e.yaml").write_text(TABLES)
    assert run_from_python(tmp_path / "e.yaml", tmp_path, shard="1/3").path.name.endswith(".shard-1-of-3")
    with pytest.raises(UsageError, match="expected K/N"):
        run_from_python(tmp_path / "e.yaml", tmp_path, shard="4/3")
