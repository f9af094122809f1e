"""Runs from end to end: what is in the folder, and that a run may be interrupted anywhere and continued."""

from __future__ import annotations

import csv
import json
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import Command, Reader
from tiny_gguf import bigram_model, of_byte, recurrent_model

from tokenauction_cli.analysis.run import Run
from tokenauction_cli.api import load_run, run_experiment
from tokenauction_cli.engine.run import SilentProgress
from tokenauction_cli.experiment.experiment import Experiment
from tokenauction_cli.system.errors import TokauctionError, UsageError

BABBLE = """
name: babble
agents:
  - {name: A, distribution: {x: 0.5, y: 0.3, <end>: 0.2}, mentions: ["x y"]}
  - {name: B, distribution: {x: 0.2, y: 0.5, z: 0.2, <end>: 0.1}, bid: 2}
auction: {aggregation: [linear, log_linear], payments: [pay_your_bid, second_price], max_tokens: 6}
sweep: {agent: A, relative_weight: [0, 0.5, 1], seeds: 10}
"""
N_CELLS = 60


def run(experiment: Experiment, results: Path, **options: Any) -> Run:
    return run_experiment(experiment, results, SilentProgress(), **options)


def lines(folder: Path) -> set[bytes]:
    """The records of a run, byte for byte."""
    found = [line for path in folder.glob("records-*.jsonl") for line in path.read_bytes().splitlines(keepends=True)]
    whole = [line for line in found if line.endswith(b"\n")]
    assert len(whole) == len(set(whole)), "no record twice"
    return set(whole)


def rows(folder: Path, name: str = "cells.csv") -> list[dict[str, str]]:
    with (folder / name).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def manifest(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "manifest.json").read_text("utf-8")))


# What is in the folder


@pytest.fixture
def finished(read: Reader, tmp_path: Path) -> Path:
    """The folder of a finished run."""
    return run(read(BABBLE), tmp_path / "results").folder.path


def test_the_folder_is_named_by_the_experiment_and_its_hash(read: Reader, tmp_path: Path) -> None:
    def name(*overrides: str) -> str:
        return run(read(BABBLE, *overrides), tmp_path, n=1).folder.path.name

    first = name()
    assert first == f"babble-{read(BABBLE).semantic_hash}"
    assert name("runtime.threads=1") == first
    assert name("name=other") == first.replace("babble", "other")
    assert len({first, name("seed=1"), name("auction.max_tokens=5"), name("agents.0.bid=3")}) == 4


def test_files(finished: Path) -> None:
    documented = {
        *("experiment.yaml", "resolved.yaml", "manifest.json", "records-1.jsonl"),
        *("cells.csv", "summary.csv", "table.md", "table.csv"),
    }
    assert documented <= {path.name for path in finished.iterdir()}
    assert not list(finished.glob(".*")), "no temporary file stays"
    assert (finished / "experiment.yaml").read_bytes() == BABBLE.encode()


def test_cells_csv(finished: Path) -> None:
    found = rows(finished)
    assert len(found) == N_CELLS
    per_agent = ["bid", "weight", "mentions", "first_mention", "log_prob", "tv", "kl", "reverse_kl"]
    prices = ["payment.pay_your_bid", *(f"payment.second_price{part}" for part in ("", "_expected", "_given_token"))]
    expected = [
        "cell",
        "query",
        "aggregation",
        "point",
        "relative_weight",
        "seed",
        "sampling",
        "text",
        "tokens",
        "end_reason",
    ]
    for agent in "ab":
        expected += [f"{name}.{agent}" for name in per_agent]
        expected += [f"{name}.{agent}" for name in prices]
    columns = list(found[0])
    assert sorted(columns[: len(expected)]) == sorted(expected)
    assert columns[:18] == expected[:18]
    rest = {"log_prob", "revenue.pay_your_bid", "revenue.second_price", "welfare", "welfare_share"}
    assert rest | {f"{name}.{agent}" for name in ("posterior", "paid_share") for agent in "ab"} <= set(columns)


def test_numbers_of_a_cell_add_up(finished: Path) -> None:
    for row in rows(finished):
        n, bids = int(row["tokens"]), [float(row["bid.a"]), float(row["bid.b"])]
        assert sum(bids) == pytest.approx(3)
        assert float(row["weight.a"]) == pytest.approx(float(row["relative_weight"]))
        assert [float(row[f"payment.pay_your_bid.{agent}"]) for agent in "ab"] == pytest.approx(
            [n * bid for bid in bids]
        )
        assert float(row["revenue.pay_your_bid"]) == pytest.approx(3 * n)
        assert int(row["mentions.a"]) <= row["text"].count("x y")
        assert row["first_mention.a"] == (str(row["text"].find("x y")) if row["mentions.a"] != "0" else "")
        assert row["end_reason"] in ("end", "length")
        assert (row["end_reason"] == "end") == (len(row["text"].split()) == n - 1)
        alone = {"0.0": "b", "1.0": "a"}.get(row["relative_weight"])
        if alone:
            assert row["log_prob"] == row[f"log_prob.{alone}"]
            assert float(row[f"tv.{alone}"]) == 0
        is_linear = row["aggregation"] == "linear"
        assert (row["payment.second_price.a"] != "") == is_linear  # a rule whose premise does not hold is left empty
        assert row["sampling"] == ("stable" if is_linear else "coupled")


def test_a_text_is_as_likely_as_its_record_says(read: Reader, tmp_path: Path) -> None:
    """Half of A and half of B, by hand: log q of x x <end> under linear."""
    from math import log

    folder = run(read(BABBLE, "sweep.seeds=200"), tmp_path).folder.path
    probability = {"x": 0.35, "y": 0.4, "z": 0.1, "": 0.15}
    seen = 0
    for row in rows(folder):
        if row["relative_weight"] == "0.5" and row["aggregation"] == "linear":
            ending = [""] if row["end_reason"] == "end" else []
            expected = sum(log(probability[token]) for token in [*row["text"].split(), *ending])
            assert float(row["log_prob"]) == pytest.approx(expected)
            seen += 1
    assert seen == 200


def test_summary_csv(finished: Path) -> None:
    summary, cells = rows(finished, "summary.csv"), rows(finished)
    assert [(row["aggregation"], row["relative_weight"], row["cells"]) for row in summary] == [
        (rule, weight, "10") for rule in ("linear", "log_linear") for weight in ("0.0", "0.5", "1.0")
    ]
    for row in summary:
        group = [c for c in cells if (c["aggregation"], c["point"]) == (row["aggregation"], row["point"])]
        assert float(row["mention_rate.a"]) == sum(c["mentions.a"] != "0" for c in group) / 10
        assert float(row["tokens"]) == pytest.approx(sum(int(c["tokens"]) for c in group) / 10)
        assert float(row["mention_rate.a.low"]) <= float(row["mention_rate.a"]) <= float(row["mention_rate.a.high"])
        assert float(row["tokens.low"]) <= float(row["tokens"]) <= float(row["tokens.high"])


def test_the_papers_table(finished: Path) -> None:
    first = {(c["aggregation"], c["relative_weight"]): c["text"] for c in rows(finished) if c["seed"] == "0"}
    table = rows(finished, "table.csv")
    assert list(table[0]) == ["weight of A", "linear", "log_linear"]
    assert [row["weight of A"] for row in table] == ["0", "0.5", "1"]
    for row, weight in zip(table, ("0.0", "0.5", "1.0"), strict=True):
        assert (row["linear"], row["log_linear"]) == (first["linear", weight], first["log_linear", weight])
    assert (
        (finished / "table.md")
        .read_text("utf-8")
        .startswith("| weight of A | linear | log\\_linear |\n|---|---|---|\n| 0 |")
    )


def test_the_manifest_counts(finished: Path) -> None:
    found = manifest(finished)
    (session,) = found["sessions"]
    cells = [json.loads(line) for line in lines(finished)]
    prefixes = {tuple(cell["token_ids"][:k]) for cell in cells for k in range(1, cell["tokens"])}
    assert found["status"] == "finished"
    assert session["cells"] == N_CELLS
    assert session["tokens"] == sum(cell["tokens"] for cell in cells)
    assert session["evaluations"] == 2 * len(prefixes)


def test_resolved_yaml_is_the_same_experiment(read: Reader, tmp_path: Path) -> None:
    overridden = read(BABBLE, "auction.max_tokens=3")
    folder = run(overridden, tmp_path / "results", n=1).folder.path
    resolved = read((folder / "resolved.yaml").read_text("utf-8"))
    assert resolved.semantic_hash == overridden.semantic_hash
    assert yaml.safe_load((folder / "resolved.yaml").read_text("utf-8"))["auction"]["max_tokens"] == 3


def test_bom_and_crlf_are_kept(tmp_path: Path) -> None:
    from tokenauction_cli.experiment.experiment import load_experiment

    path = tmp_path / "e.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + BABBLE.replace("\n", "\r\n").encode())
    folder = run(load_experiment(path), tmp_path, n=1).folder.path
    assert (folder / "experiment.yaml").read_bytes() == path.read_bytes()


def test_two_runs_are_equal_byte_for_byte(read: Reader, tmp_path: Path) -> None:
    one, two = (run(read(BABBLE), tmp_path / name).folder.path for name in ("one", "two"))
    assert lines(one) == lines(two)
    for path in [*one.glob("*.csv"), *one.glob("*.md"), *one.glob("*.yaml")]:
        assert path.read_bytes() == (two / path.name).read_bytes(), path.name


# Running again


def test_a_finished_run_is_left_alone(read: Reader, finished: Path) -> None:
    before = {path.name: path.read_bytes() for path in finished.iterdir()}
    again = run(read(BABBLE), finished.parent)
    assert again.was_complete
    assert {path.name: path.read_bytes() for path in finished.iterdir()} == before


def test_the_first_cells_then_all(read: Reader, finished: Path, tmp_path: Path) -> None:
    part = run(read(BABBLE), tmp_path / "part", n=7)
    assert part.cells["cell"].tolist() == [row["cell"] for row in rows(finished)[:7]]
    assert run(read(BABBLE), tmp_path / "part", n=5).was_complete
    whole = run(read(BABBLE), tmp_path / "part")
    assert not whole.was_complete
    assert lines(whole.folder.path) == lines(finished)
    assert [session["cells"] for session in manifest(whole.folder.path)["sessions"]] == [7, N_CELLS - 7]


def test_fresh_renames_the_old_run(read: Reader, finished: Path) -> None:
    new = run(read(BABBLE), finished.parent, fresh=True).folder.path
    old = finished.with_name(f"{finished.name}.old-1")
    assert new == finished
    assert lines(new) == lines(old)
    assert sorted(path.name for path in finished.parent.iterdir()) == sorted([new.name, old.name])


def test_a_torn_line_is_written_again(read: Reader, finished: Path) -> None:
    everything = lines(finished)
    path = finished / "records-1.jsonl"
    path.write_bytes(path.read_bytes()[:-9])
    run(read(BABBLE), finished.parent)
    assert lines(finished) == everything


@pytest.mark.usefixtures("batches_matter")
def test_whole_waves(read: Reader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where batches may change bits, -n rounds up, and a torn wave is repeated but no record is written twice."""
    monkeypatch.setattr("tokenauction_cli.engine.plan.CELLS_PER_WHOLE_WAVE", 4)
    bigram_model(tmp_path / "m.gguf")
    experiment = read(
        "name: t\nagents: [{name: A, model: m.gguf, prompt: a}]\nauction: {max_tokens: 2}\nsweep: {seeds: 10}\n"
    )
    folder = run(experiment, tmp_path, n=5).folder.path
    assert len(lines(folder)) == 8
    assert manifest(folder)["batch_invariant"] is False
    path = folder / "records-1.jsonl"
    everything = lines(run(experiment, tmp_path / "whole").folder.path)
    path.write_bytes(path.read_bytes()[:-9])
    run(experiment, tmp_path)
    assert lines(folder) == everything
    assert len(everything) == 10


def test_a_replaced_model_is_refused(read: Reader, tmp_path: Path) -> None:
    a, b, c = map(of_byte, b"abc")
    model = bigram_model(tmp_path / "m.gguf", {a: {b: 9.0}})
    text = "name: t\nagents: [{name: A, model: m.gguf, prompt: a}]\nauction: {max_tokens: 2}\nsweep: {seeds: 4}\n"
    folder = run(read(text), tmp_path, n=2).folder.path
    bigram_model(model, {a: {c: 9.0}})
    with pytest.raises(TokauctionError, match=r"m\.gguf: this file is not the model that began the run .* --fresh"):
        run(read(text), tmp_path)
    assert len(lines(folder)) == 2
    assert run(read(text), tmp_path, n=2).was_complete  # what is finished needs no model
    assert len(run(read(text), tmp_path, fresh=True).cells) == 4


def test_a_run_is_read_without_its_model(read: Reader, tmp_path: Path) -> None:
    model = bigram_model(tmp_path / "m.gguf")
    text = "name: t\nagents: [{name: A, model: m.gguf, prompt: a}]\nauction: {max_tokens: 2}\n"
    result = run(read(text), tmp_path)
    model.unlink()
    assert load_run(result.folder.path).cells.equals(result.cells)


def test_reading_what_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="this is not a run folder"):
        load_run(tmp_path)
    with pytest.raises(UsageError, match="there is no such folder or file"):
        load_run(tmp_path / "nothing")


# Interrupted in the middle: a rule of the user's own that waits at one draw, for good

STALL = """
import time
from pathlib import Path

from tokenauction_cli.engine import writing
from tokenauction_cli.mechanism.sampling.rules import InverseCdf

writing.SECONDS_BETWEEN_APPENDS = -1.0  # what is finished is on disk after every step


class Stalling(InverseCdf):
    n_draws = 0

    def draw(self, outcome, moment):
        Stalling.n_draws += 1
        if Path("stall").exists() and Stalling.n_draws == int(Path("stall").read_text()):
            Path("stalled").touch()
            time.sleep(3600)
        return super().draw(outcome, moment)
"""
CUSTOM = "trust: [stall]\n"
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start_stalling(tmp_path: Path, command_line: list[str], environment: dict[str, str]) -> Iterator[Start]:
    """Starts the command in `tmp_path`, and returns when it waits at its n-th draw."""
    processes = []

    def start(n_draws: int, *arguments: str) -> subprocess.Popen[str]:
        (tmp_path / "stall.py").write_text(STALL)
        (tmp_path / "stall").write_text(str(n_draws))
        process = subprocess.Popen(
            [*command_line, *arguments],
            cwd=tmp_path,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        while not (tmp_path / "stalled").exists():
            assert process.poll() is None, process.communicate()
            time.sleep(0.01)
        (tmp_path / "stall").unlink()
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def write_babble(tmp_path: Path) -> str:
    """60 cells of tables; texts end one after the other."""
    text = BABBLE.replace("payments: [pay_your_bid, second_price]", "sampling: stall:Stalling")
    (tmp_path / "experiment.yaml").write_text(text + CUSTOM)
    return "100"


def write_whole_waves(tmp_path: Path) -> str:
    """200 cells of a tiny model whose bits depend on batches: 128 reach the disk together."""
    recurrent_model(tmp_path / "tiny.gguf")
    (tmp_path / "experiment.yaml").write_text(
        "name: tiny\nagents: [{name: A, model: tiny.gguf, prompt: a}, {name: B, model: tiny.gguf, prompt: b}]\n"
        f"auction: {{max_tokens: 2, sampling: stall:Stalling}}\nsweep: {{seeds: 200}}\n{CUSTOM}"
    )
    return "300"


def write_demo(tmp_path: Path) -> str:
    """12 cells of the demo's model, one text at a time."""
    (tmp_path / "experiment.yaml").write_text(
        "name: demo\nmodels: {small: smollm2-135m-instruct}\n"
        "agents: [{name: A, model: small, prompt: 'Fly to'}, {name: B, model: small, prompt: 'Stay in'}]\n"
        "auction: {aggregation: [linear, log_linear], max_tokens: 5, sampling: stall:Stalling}\n"
        f"sweep: {{agent: A, relative_weight: [0, 0.5, 1], seeds: 2}}\nruntime: {{batch: 2}}\n{CUSTOM}"
    )
    return "25"


@pytest.mark.parametrize(
    "write_experiment",
    [write_babble, write_whole_waves, pytest.param(write_demo, marks=pytest.mark.model)],
)
def test_killed_and_continued(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    start_stalling: Start,
    tokauction: Command,
    write_experiment: Callable[[Path], str],
) -> None:
    """kill -9 at any moment: the same command continues, to the same records as an uninterrupted run."""
    if write_experiment is write_demo:
        request.getfixturevalue("model_path")
    n_draws = int(write_experiment(tmp_path))
    process = start_stalling(n_draws, "run", "experiment.yaml")
    process.kill()
    assert process.wait() == -signal.SIGKILL
    (folder,) = (tmp_path / "results").iterdir()
    before = lines(folder)
    assert manifest(folder)["status"] == "running"
    records = folder / "records-1.jsonl"
    records.write_bytes(records.read_bytes() + b'{"cell":"torn","te')
    assert tokauction("run", "experiment.yaml", "-q").returncode == 0
    assert tokauction("run", "experiment.yaml", "-q", "-o", "whole").returncode == 0
    (whole,) = (tmp_path / "whole").iterdir()
    assert lines(folder) == lines(whole)
    assert 0 < len(before) < len(lines(whole))
    assert before < lines(whole)
    for name in ("cells.csv", "summary.csv", "table.md"):
        assert (folder / name).read_bytes() == (whole / name).read_bytes()
    assert manifest(folder)["status"] == "finished"


def test_interrupted_and_continued(tmp_path: Path, start_stalling: Start, tokauction: Command) -> None:
    """Ctrl-C: exit code 130, and the command that continues."""
    process = start_stalling(int(write_babble(tmp_path)), "run", "experiment.yaml", "-o", "my results", "--fresh")
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate()
    assert (process.returncode, stdout) == (130, "")
    last = stderr.splitlines()[-1]
    (folder,) = (tmp_path / "my results").iterdir()
    kept = lines(folder)
    how = "tokauction run experiment.yaml -o 'my results'"
    assert last == f"Interrupted. Kept {len(kept)} of {N_CELLS} texts; continue with: {how}"
    assert 0 < len(kept) < N_CELLS
    assert manifest(folder)["status"] == "interrupted"
    done = tokauction(*shlex.split(last.partition("continue with: tokauction ")[2]))
    assert done.returncode == 0
    assert done.stderr.startswith(f"{N_CELLS} texts, {len(kept)} already on disk\n")
    assert kept < lines(folder)
    assert len(rows(folder)) == N_CELLS


def test_a_second_process_is_refused(tmp_path: Path, start_stalling: Start, tokauction: Command) -> None:
    process = start_stalling(int(write_babble(tmp_path)), "run", "experiment.yaml")
    (folder,) = (tmp_path / "results").iterdir()
    before = lines(folder)
    for options in ([], ["--fresh"]):
        second = tokauction("run", "experiment.yaml", *options)
        assert (second.returncode, second.stdout) == (1, "")
        assert "another process is running this experiment" in second.stderr
    assert [path.name for path in (tmp_path / "results").iterdir()] == [folder.name]
    assert lines(folder) == before
    assert process.poll() is None
    shown = tokauction("show", str(folder), "--format", "csv")  # looking on is allowed
    assert shown.returncode == 0


# From end to end


def test_without_a_terminal(tmp_path: Path, tokauction: Command) -> None:
    (tmp_path / "experiment.yaml").write_text(BABBLE)
    done = tokauction("run", "experiment.yaml")
    assert done.returncode == 0
    assert "weight of A" in done.stdout
    for stream in (done.stdout, done.stderr):
        assert not any(code in stream for code in ("\x1b", "\r")), "plain lines"
    left_out, first, second, folder, *following = done.stderr.splitlines()
    assert left_out.startswith("Left out: second_price for log_linear (")
    assert first == f"{N_CELLS} texts"
    assert second.startswith(f"{N_CELLS} of {N_CELLS} texts, ")
    assert folder.startswith("Run folder: results/babble-")
    assert len(following) == 4
    quiet = tokauction("run", "experiment.yaml", "--format", "csv", "-q", "-o", "other")
    assert (quiet.returncode, quiet.stderr) == (0, "")
    (path,) = (tmp_path / "other").iterdir()
    assert quiet.stdout == (path / "table.csv").read_text("utf-8")


@pytest.mark.model
def test_the_smoke_experiment(tmp_path: Path, tokauction: Command, model_path: Path) -> None:
    shipped = Path(__file__).parents[2] / "experiments" / "smoke.yaml"
    shutil.copy(shipped, tmp_path)
    done = tokauction("run", "smoke.yaml", "--format", "jsonl")
    assert done.returncode == 0, done.stderr
    table = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["weight of Alpha Airlines"] for row in table] == [0, 0.5, 1]
    assert all(row["linear"] for row in table)
    (folder,) = (tmp_path / "results").iterdir()
    found = manifest(folder)
    assert found["models"][0]["path"] == str(model_path)
    assert found["models"][0]["size"] == model_path.stat().st_size
    assert found["status"] == "finished"
    assert len(rows(folder)) == 6
    assert "llama" not in done.stderr


@pytest.mark.model
def test_threads_and_batches_do_not_show(tmp_path: Path, tokauction: Command, model_path: Path) -> None:
    """The same records with one text at a time and one thread."""
    shutil.copy(Path(__file__).parents[2] / "experiments" / "smoke.yaml", tmp_path)
    for output, overrides in (("one", ["-S", "runtime.batch=2", "-S", "runtime.threads=1"]), ("two", [])):
        assert tokauction("run", "smoke.yaml", "-q", "-o", output, *overrides).returncode == 0
    (one,), (two,) = ((tmp_path / name).iterdir() for name in ("one", "two"))
    assert one.name == two.name
    assert lines(one) == lines(two)


def test_a_folder_on_the_way_of_a_file(read: Reader, tmp_path: Path) -> None:
    (tmp_path / "results").write_text("")
    with pytest.raises(TokauctionError, match="check the folder"):
        run(read(BABBLE), tmp_path / "results")
    assert (tmp_path / "results").read_text() == ""


def test_tables_without_spaces(read: Reader, tmp_path: Path) -> None:
    """Texts, keys of `distributions`, stop strings and mentions of tokens that nothing joins."""
    text = """
name: chinese
agents:
  - {name: A, distributions: {"": {请: 1}, 请: {入住: 1}, 请入住: {希尔顿: 1}, "*": {酒店: 1}}, mentions: [希尔顿]}
auction: {separator: "", max_tokens: 9, stop: [酒店酒]}
"""
    run = run_experiment(read(text), tmp_path, SilentProgress())
    (row,) = run.cells.to_dict("records")
    assert (row["text"], row["end_reason"], row["tokens"]) == ("请入住希尔顿", "stop", 5)
    assert (row["mentions.a"], row["first_mention.a"]) == (1, 3)
