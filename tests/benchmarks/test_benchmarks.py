"""`python -m benchmarks` counts what it runs, and says what its ratios are; no timing decides."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import Command
from tiny_gguf import bigram_model, mixed_model, of_byte, pieces

from benchmarks import __main__, formats
from benchmarks.__main__ import OF_WORKERS
from benchmarks.profile import STEPS
from benchmarks.replay import Shape, made, recorded, replay, replayed
from tokenauction_cli.cli.app import run_app
from tokenauction_cli.engine.loop.text_state import TextState
from tokenauction_cli.engine.rules import Rules
from tokenauction_cli.experiment.experiment import load_experiment
from tokenauction_cli.lm.llama.gguf import GgufContext
from tokenauction_cli.lm.llama.hardware import Hardware
from tokenauction_cli.system import processors
from tokenauction_cli.system.errors import OutOfMemoryError

EXPERIMENT = """
name: tiny
agents: [{name: A, model: m.gguf, prompt: a}, {name: B, model: m.gguf, prompt: b}]
auction: {max_tokens: 3, sampling: greedy, payments: [pay_your_bid]}
sweep: {relative_weight: [0, 0.5, 1]}
"""


@pytest.fixture
def benchmarks(in_process: Command, monkeypatch: pytest.MonkeyPatch) -> Command:
    """`python -m benchmarks`, within this process."""
    monkeypatch.setattr("tokenauction_cli.cli.app.main", lambda: run_app(__main__.app))
    return in_process


@pytest.fixture
def benchmarks_apart(tmp_path: Path, environment: dict[str, str]) -> Command:
    """The same in a process of its own, which starts workers."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "benchmarks", *arguments]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)

    return run


@pytest.fixture
def experiment(tmp_path: Path) -> Path:
    """Whatever was said before, c follows, and then d and e: three cells with one text, evaluated once."""
    a, b, c, d, e = map(of_byte, b"abcde")
    bigram_model(tmp_path / "m.gguf", {a: {c: 50.0}, b: {c: 50.0}, c: {d: 50.0}, d: {e: 50.0}})
    path = tmp_path / "e.yaml"
    path.write_text(EXPERIMENT)
    return path


def test_it_counts_what_it_runs(experiment: Path, benchmarks: Command) -> None:
    done = benchmarks(str(experiment), "--format", "json")
    (row,) = json.loads(done.stdout)
    assert (row["scenario"], row["cells"], row["tokens"]) == ("e", 3, 9)
    assert row["evaluations"] == 4  # after c and after cd, for each of two prompts
    assert row["sharing"] == pytest.approx(9 * 2 / 4)
    assert row["times_naive"] == pytest.approx(row["tokens_per_second"] / row["naive_tokens_per_second"])
    assert 0 < row["share_charging"] < row["share_auctioning"]
    assert 0 < row["share_evaluating"] + row["share_auctioning"] + row["share_writing"] <= 1
    assert row["decode_efficiency"] > 0
    assert row["peak_memory_mib"] > 1


def test_the_table_names_every_ratio(experiment: Path, benchmarks: Command) -> None:
    done = benchmarks(str(experiment))
    assert done.returncode == 0
    lines = [line.strip() for line in done.stdout.splitlines()]
    assert any(line.startswith("evaluations of a loop without sharing / ours") and "4.50" in line for line in lines)
    for label in ("speed of our run / one Llama object per agent", "time of the same bare llama_decode calls"):
        assert any(line.startswith(label) for line in lines)


def test_a_profile_says_where_the_time_goes(tmp_path: Path, experiment: Path, benchmarks: Command) -> None:
    """Of models and of tables; once it is over nothing is timed any more."""
    (tmp_path / "t.yaml").write_text("{name: t, agents: [{name: A, distribution: {x: 1}}], auction: {max_tokens: 3}}")
    for file, n_draws in ((experiment, 9), (tmp_path / "t.yaml", 3)):
        rows = {row["step"]: row for row in json.loads(benchmarks(str(file), "--profile", "--format", "json").stdout)}
        assert list(rows) == [*STEPS, "all else", "the whole run"]
        assert rows["draws"]["times"] == rows["payments"]["times"] == str(n_draws)
        assert all(0 <= float(row["seconds"]) <= float(rows["the whole run"]["seconds"]) for row in rows.values())
    assert not hasattr(TextState.record, "__wrapped__")


MOSAIC = """
name: candidates
agents: [{name: A, model: m.gguf, prompt: a}, {name: B, model: m.gguf, prompt: b}]
reference: {model: m.gguf, prompt: f}
auction: {max_tokens: 3, mechanism: [mosaic], mosaic: {candidates: 4}}
sweep: {relative_weight: [0, 0.5, 1], seeds: 2}
"""


def test_candidates_are_written_and_scored_once_for_all_weights(
    experiment: Path, tmp_path: Path, benchmarks: Command
) -> None:
    """Of each of two seeds four candidates with one text: evaluated after c and after cd, for three prompts."""
    experiment.write_text(MOSAIC)
    a, b, c, d, e, f = map(of_byte, b"abcdef")
    follows = {a: {c: 50.0}, b: {c: 50.0}, f: {c: 50.0}, c: {d: 50.0}, d: {e: 50.0}}
    bigram_model(tmp_path / "m.gguf", follows)
    (row,) = json.loads(benchmarks(str(experiment), "--format", "json").stdout)
    assert (row["cells"], row["tokens"]) == (6, 2 * 4 * 3 * 3)
    assert row["evaluations"] == 2 * 3
    assert row["evaluations_per_candidates"] == pytest.approx(6 / (2 * 4 * 3 * 3))
    assert row["sharing"] == pytest.approx(3 / row["evaluations_per_candidates"])
    assert row["times_naive"] == pytest.approx(3 * row["times_naive_once"])
    assert row["share_writing"] > 0


def test_candidates_are_measured_apart(experiment: Path, benchmarks: Command) -> None:
    experiment.write_text(MOSAIC.replace("[mosaic]", "[lottery, mosaic]"))
    done = benchmarks(str(experiment))
    assert done.returncode == 2
    assert "the benchmark measures mechanisms with candidates over tokens, and apart from others" in done.stderr


def test_only_candidates_have_ratios_of_candidates(experiment: Path, benchmarks: Command) -> None:
    assert "candidates" not in benchmarks(str(experiment)).stdout.replace("settling candidates", "")


def test_memory_may_have_room_for_fewer(experiment: Path, benchmarks: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """One text at a time instead of three, which differ from their first token on."""
    experiment.write_text(EXPERIMENT.replace("sampling: greedy, ", "").replace("[0, 0.5, 1]", "[0, 0.5, 1], seeds: 9"))
    new_context = GgufContext._new_context

    def small(self: GgufContext, hardware: Hardware, n_sequences: int) -> object:
        if n_sequences > 2:
            raise OutOfMemoryError("no room for that")
        return new_context(self, hardware, n_sequences)

    monkeypatch.setattr(GgufContext, "_new_context", small)
    (row,) = json.loads(benchmarks(str(experiment), "--format", "json").stdout)
    assert row["tokens"] == 27 * 3
    assert row["mean_rows"] <= 2 * 2  # two prompts, whose lone rows have company


def test_tables_have_nothing_to_measure(tmp_path: Path, benchmarks: Command) -> None:
    (tmp_path / "t.yaml").write_text("name: t\nagents: [{name: A, distribution: {x: 1}}]\n")
    done = benchmarks(str(tmp_path / "t.yaml"))
    assert done.returncode == 2
    assert "the benchmark needs agents with language models" in done.stderr


def test_logits_are_recorded_and_replayed_by_several_threads(experiment: Path) -> None:
    loaded = load_experiment(experiment, ["auction.payments=[vcg]", "auction.sampling=stable"])
    found = list(replayed(loaded, [1, 2], [Shape(600, 3)], repeats=1))
    shapes = [(item.logits, item.n_tokens, item.n_agents, item.aggregation) for item in found]
    n_tokens = len(recorded(loaded, most=1)[0][0])
    assert shapes == [
        ("recorded", n_tokens, 2, "linear"),
        ("recorded", n_tokens, 2, "log_linear"),
        ("made", 600, 3, "linear"),
        ("made", 600, 3, "log_linear"),
    ]
    assert all(item.per_second.keys() == {1, 2} and item.times_one_thread[1] == 1 for item in found)


def test_replaying_takes_made_logits_where_there_is_no_model(tmp_path: Path, experiment: Path) -> None:
    (tmp_path / "m.gguf").unlink()
    found = list(replayed(load_experiment(experiment), [1], [Shape(300, 2)], repeats=1))
    assert [item.logits for item in found] == ["made", "made"]


def test_made_logits_stand_out_as_a_models_do() -> None:
    for row in made(Shape(5000, 2), most=1)[0]:
        p = np.exp(row - row.max())
        assert 0.05 < (p / p.sum()).max() < 0.95


def test_the_table_of_a_replay(experiment: Path, benchmarks: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processors, "usable_processors", lambda: 2)
    shown = list(replay(load_experiment(experiment), made(Shape(300, 2), most=3), [1, 2], "made", 1))
    monkeypatch.setattr("benchmarks.replay.replayed", lambda *_, **__: iter(shown))
    done = benchmarks(str(experiment), "--replay")
    assert done.returncode == 0
    assert "2 threads" in done.stdout
    assert "2 / 1" in done.stdout
    assert "log_linear" in done.stdout
    (first, _) = json.loads(benchmarks(str(experiment), "--replay", "--format", "json").stdout)
    assert first["n_tokens"] == 300


OVER_BYTES = """
name: bytes
agents: [{name: A, model: m.gguf, prompt: a}, {name: B, model: m.gguf, prompt: b}]
auction: {alphabet: bytes, max_bytes: 6, sampling: greedy, payments: [pay_your_bid]}
sweep: {relative_weight: [0, 0.5, 1]}
"""


def test_it_counts_evaluations_over_bytes(tmp_path: Path, benchmarks: Command) -> None:
    """After a or b follows "cde", one token, after that again: three bytes to an evaluation."""
    a, b = map(of_byte, b"ab")
    word = len(pieces())
    bigram_model(tmp_path / "m.gguf", {a: {word: 50.0}, b: {word: 50.0}, word: {word: 50.0}}, ["cde"])
    (tmp_path / "e.yaml").write_text(OVER_BYTES)
    (row,) = json.loads(benchmarks("e.yaml", "--format", "json").stdout)
    assert (row["cells"], row["tokens"]) == (3, 18)
    assert row["evaluations"] == 2 * 2  # of two prompts, and after "cde": what follows "cdecde" is not asked
    assert row["evaluations_per_draw"] == pytest.approx(4 / (2 * 5))
    assert row["naive_tokens_per_second"] > 0


def test_a_table_of_coverings(tmp_path: Path, in_process: Command) -> None:
    """One token is all that is likely, so nothing is lost, however little is followed."""
    a, b = map(of_byte, b"ab")
    word = len(pieces())
    bigram_model(tmp_path / "m.gguf", {a: {word: 50.0}, b: {word: 50.0}, word: {word: 50.0}}, ["cde"])
    (tmp_path / "e.yaml").write_text(OVER_BYTES)
    rows = json.loads(in_process("check", "e.yaml", "--covering", "--format", "json").stdout)
    assert (0.001, 0.05) in [(row["open"], row["merge"]) for row in rows]
    assert all(row["texts"] == 3 and row["draws"] == 18 and row["largest_distance"] < 1e-9 for row in rows)
    done = in_process("check", "e.yaml", "--covering")
    assert "3 texts, 18 draws" in done.stdout
    assert "TV of q: mean" in done.stdout


def test_tokens_have_no_covering(experiment: Path, in_process: Command) -> None:
    done = in_process("check", str(experiment), "--covering")
    assert done.returncode == 2
    assert "only an auction over bytes has a covering; set auction.alphabet: bytes" in done.stderr


SHARED = """
name: shared
queries: [a, b]
agents: [{name: A, distribution: {x: 0.5, y: 0.5}}, {name: B, distribution: {x: 0.5, y: 0.5}}]
auction: {max_tokens: 2}
sweep: {relative_weight: [0.2, 0.8], seeds: 5}
"""


def test_what_workers_gain(tmp_path: Path, benchmarks_apart: Command) -> None:
    pytest.importorskip("distributed")
    (tmp_path / "e.yaml").write_text(SHARED)
    done = benchmarks_apart("e.yaml", "--workers", "2", "--format", "json")
    row = json.loads(done.stdout)
    assert (row["scenario"], row["workers"], row["alone"], row["cells"]) == ("shared", 2, "one worker", 20)
    assert row["times_alone"] == pytest.approx(row["seconds_alone"] / row["seconds"])
    assert row["share_of_linear"] == pytest.approx(row["times_alone"] / 2)
    assert row["evaluations_over_alone"] == pytest.approx(row["evaluations"] / row["evaluations_alone"])
    assert row["evaluation_rate"] == pytest.approx(row["evaluations_over_alone"] * row["times_alone"])
    assert 0 < row["share_without_task"] < 1


def test_what_workers_gain_in_words(experiment: Path, benchmarks_apart: Command) -> None:
    pytest.importorskip("distributed")
    done = benchmarks_apart(str(experiment), "--workers", "2")
    first, *others = done.stdout.splitlines()
    assert first == "tiny: 3 texts, 2 workers, compared with this process"
    assert [line.split(maxsplit=1)[1] for line in others][:3] == [
        "texts/s, over those of the one",
        "evaluations/s, over those of the one",
        "evaluations, over those of the one",
    ]


def test_the_stand_in_sleeps() -> None:
    loaded = load_experiment(OF_WORKERS, ["sweep.seeds=1", "sweep.relative_weight=[0.5]"])
    assert Rules.of(loaded).sampling.name == "benchmarks.stand_in:Asleep"
    assert "benchmarks.stand_in" in loaded.trust


def test_the_command_says_where_the_benchmark_went(in_process: Command) -> None:
    done = in_process("bench", "e.yaml", "--repeat", "3", "--covering")
    assert done.returncode == 2
    assert "python -m benchmarks" in done.stderr
    assert "tokauction check EXP --covering" in done.stderr


def test_formats_are_timed_and_compared_with_the_law(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a file says in f32 is nearest to a copy in f16, and Q8_0 rounds what it multiplies."""
    monkeypatch.setattr(formats, "FORMATS", {"F16": 1})
    monkeypatch.setattr(formats, "N_STEPS", 2)
    told: list[str] = []
    as_it_is, f16 = formats.measured(mixed_model(tmp_path / "m.gguf"), ["F16"], [1, 2], 1, told.append)
    assert (as_it_is.form, f16.form) == (formats.AS_IT_IS, "F16")
    assert 0 < f16.distances.mean() < as_it_is.distances.mean() < 0.1
    assert f16.distances.shape == (100,)
    assert all(rate > 0 for one in (as_it_is, f16) for rate in one.rows_per_second.values())
    assert f16.size > as_it_is.size
    assert told[-1] == "pass 1 of 1: F16"
