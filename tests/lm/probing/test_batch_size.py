"""`runtime.batch: auto`: which size is picked, what is remembered, who measures, and that no record hears of it."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from conftest import Command, Reader
from hypothesis import given
from hypothesis import strategies as st
from tiny_gguf import bigram_model, of_byte, recurrent_model

from tokenauction_cli.analysis.run import Run
from tokenauction_cli.api import check_experiment, run_experiment
from tokenauction_cli.cli.plan_tables import plan_tables
from tokenauction_cli.engine.models import gguf_files
from tokenauction_cli.engine.models.gguf_files import CPU_BATCH_ROWS, GPU_BATCH_ROWS, GgufFiles
from tokenauction_cli.engine.models.prepare import prepare
from tokenauction_cli.engine.run import SilentProgress
from tokenauction_cli.experiment.experiment import Experiment
from tokenauction_cli.lm.llama.gguf import GgufContext
from tokenauction_cli.lm.llama.hardware import Hardware, choose_hardware
from tokenauction_cli.lm.probing import batch_size
from tokenauction_cli.lm.probing.batch_size import SECONDS, SIZES, best, measure, remembered
from tokenauction_cli.system.errors import ModelError

CPU = choose_hardware("cpu", "auto", 2)
N_CELLS = 120
MAX_TOKENS = 3
EXPERIMENT = f"""
name: t
agents: [{{name: A, model: m.gguf, prompt: a}}]
auction: {{max_tokens: {MAX_TOKENS}}}
sweep: {{seeds: {N_CELLS}}}
runtime: {{threads: 2}}
"""
FASTEST_AT_64 = {16: 100.0, 32: 200.0, 64: 300.0, 96: 301.0}
Find = Callable[[Mapping[int, float] | BaseException], list[list[int]]]


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nothing is remembered when a test begins."""
    monkeypatch.setenv("TOKAUCTION_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """After a letter follows any letter, or the end."""
    letters = [of_byte(byte) for byte in b"abcdefghijklmnopqrstuvwxyz"]
    row = dict.fromkeys([*letters, 2], 20.0)
    return bigram_model(tmp_path / "m.gguf", dict.fromkeys(letters, row))


@pytest.fixture
def find(monkeypatch: pytest.MonkeyPatch) -> Find:
    """Has every measurement find these rows per second; returns the sizes that each of them was asked for."""

    def find(outcome: Mapping[int, float] | BaseException) -> list[list[int]]:
        asked: list[list[int]] = []

        def found(_stopwatch: object, sizes: list[int]) -> dict[int, float]:
            asked.append(sizes)
            if isinstance(outcome, BaseException):
                raise outcome
            return dict(outcome)

        monkeypatch.setattr(batch_size._Stopwatch, "rows_per_second", found)
        return asked

    return find


@pytest.fixture
def worth_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every run is long enough."""
    monkeypatch.setattr(gguf_files, "ROWS_WORTH_MEASURING", 1)


class Notes(SilentProgress):
    """Keeps what the user would have read."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def run(experiment: Experiment, results: Path, **options: Any) -> tuple[Run, list[str]]:
    progress = Notes()
    return run_experiment(experiment, results, progress, **options), progress.notes


def lines(folder: Path) -> list[bytes]:
    """The records of a run, byte for byte, in any order."""
    return sorted(line for path in folder.glob("records-*.jsonl") for line in path.read_bytes().splitlines())


def manifest(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "manifest.json").read_text("utf-8")))


def files_of(experiment: Experiment) -> GgufFiles:
    found = prepare(experiment, probe=True).files
    assert found is not None
    return found


# Which size is picked


@pytest.mark.parametrize(
    ("rates", "size"),
    [
        ({16: 355.0, 32: 379.0, 64: 394.0, 96: 406.0}, 64),  # SmolLM2-135M on two quiet cores, and on two busy ones
        ({16: 163.0, 32: 191.0, 64: 207.0}, 64),
        ({16: 100.0, 32: 100.0, 64: 100.0, 96: 100.0}, 16),
        ({16: 100.0, 32: 104.0, 64: 102.0, 96: 99.0}, 16),
        ({16: 100.0, 32: 200.0, 64: 100.0, 96: 100.0}, 32),
        ({16: 100.0, 32: 200.0, 64: 400.0, 96: 600.0}, 96),
        ({16: 100.0}, None),
        ({}, None),
    ],
)
def test_the_smallest_of_the_fastest_is_picked(rates: dict[int, float], size: int | None) -> None:
    assert best(rates) == size


@given(st.dictionaries(st.sampled_from(SIZES), st.floats(1e-3, 1e6), min_size=2), st.floats(1e-3, 1e3))
def test_what_is_picked_costs_little_speed_and_no_memory_for_nothing(rates: dict[int, float], times: float) -> None:
    picked = best(rates)
    assert picked is not None
    assert rates[picked] >= 0.95 * max(rates.values())
    assert all(rate < 0.95 * max(rates.values()) for size, rate in rates.items() if size < picked)


# How it is measured: on a clock that only evaluating moves


class PretendedContext:
    """Decodes in so many seconds, and so many more per row."""

    clock = 0.0
    per_decode = 0.0
    per_row = 0.0
    vocabulary = SimpleNamespace(size=260)

    def __init__(self, *_arguments: object, n_sequences: int, n_tokens: int) -> None:
        self._held: list[tuple[int, ...]] = [()] * n_sequences
        self._n_tokens = n_tokens

    def evaluate(self, wanted: dict[int, tuple[int, ...]]) -> None:
        n_rows = 0
        for number, tokens in wanted.items():
            assert 0 < len(tokens) <= self._n_tokens
            assert all(0 <= token < self.vocabulary.size for token in tokens)
            is_there = any(held[: len(tokens) - 1] == tokens[:-1] for held in self._held)
            n_rows += 1 if is_there else len(tokens)
            self._held[number] = tokens
        PretendedContext.clock += self.per_decode + n_rows * self.per_row

    def close(self) -> None:
        self._held.clear()


@pytest.fixture
def pretend(monkeypatch: pytest.MonkeyPatch, model: Path) -> Callable[[float, float], tuple[dict[int, float], float]]:
    """What a measurement of such a model finds, and how long it takes."""

    def measured(per_decode: float, per_row: float, n_occupied: int = 87) -> tuple[dict[int, float], float]:
        monkeypatch.setattr(PretendedContext, "clock", 0.0)
        monkeypatch.setattr(PretendedContext, "per_decode", per_decode)
        monkeypatch.setattr(PretendedContext, "per_row", per_row)
        return measure(model, CPU, SIZES, n_occupied), PretendedContext.clock

    monkeypatch.setattr(batch_size, "GgufContext", PretendedContext)
    monkeypatch.setattr(batch_size, "perf_counter", lambda: PretendedContext.clock)
    return measured


@pytest.mark.parametrize("n_occupied", [1, 2, 87, 256, 5000])
def test_rows_per_second_are_those_of_one_new_token_each(pretend: Any, n_occupied: int) -> None:
    found, seconds = pretend(0.01, 0.0005, n_occupied)
    assert found == pytest.approx({size: size / (0.01 + size * 0.0005) for size in SIZES})
    assert seconds < SECONDS


@pytest.mark.parametrize("per_row", [1e-5, 1e-3, 0.003, 0.01, 0.03, 0.1, 1.0, 20.0])
@pytest.mark.parametrize("per_decode", [0.0, 0.1, 0.5])
def test_a_slow_model_is_not_measured_for_long(pretend: Any, per_decode: float, per_row: float) -> None:
    found, seconds = pretend(per_decode, per_row)
    assert seconds <= SECONDS + 2 * (per_decode + 2 * per_row)
    assert tuple(found) == SIZES[: len(found)]
    assert len(found) == (4 if per_decode + per_row < 0.004 else len(found))
    assert not found or per_decode + per_row < 0.6


def test_a_real_measurement(model: Path) -> None:
    found = measure(model, CPU, SIZES[:2], 300)
    assert set(found) <= set(SIZES[:2])
    assert all(rate > 0 for rate in found.values())
    assert remembered(model, CPU) == found


# What is remembered


def test_another_file_or_other_threads_are_measured_anew(model: Path, tmp_path: Path, find: Find) -> None:
    find(FASTEST_AT_64)
    assert remembered(model, CPU) is None
    assert measure(model, CPU, SIZES, 9) == FASTEST_AT_64
    assert remembered(model, CPU) == FASTEST_AT_64
    assert remembered(model, Hardware(0, 3)) is None
    assert remembered(model, Hardware(-1, 2)) is None
    assert remembered(bigram_model(tmp_path / "other.gguf"), CPU) is None
    os.utime(model, ns=(1, 1))
    assert remembered(model, CPU) is None, "another file, for all we know"
    assert remembered(tmp_path / "nothing.gguf", CPU) is None


def test_that_a_model_was_too_slow_is_remembered(model: Path, find: Find) -> None:
    find({})
    measure(model, CPU, SIZES, 9)
    assert remembered(model, CPU) == {}


FOREIGN = (
    b"",
    b"{",
    b"\xff\xfe",
    b"[]",
    b"16",
    b"[" * 100_000,
    b'{"16": "fast"}',
    b'{"16": NaN}',
    b'{"16": 1e999}',
    b'{"16": -1.0}',
    b'{"16": true}',
    b'{"16": null}',
    b'{"7000": 1.0}',
    b'{"all": 1.0}',
)


@pytest.mark.parametrize("content", FOREIGN, ids=range(len(FOREIGN)))
def test_what_is_not_ours_is_ignored(model: Path, find: Find, empty_cache: Path, content: bytes) -> None:
    find(FASTEST_AT_64)
    measure(model, CPU, SIZES, 9)
    (memory,) = (empty_cache / "batch-sizes").iterdir()
    memory.write_bytes(content)
    assert remembered(model, CPU) is None
    measure(model, CPU, SIZES, 9)
    assert remembered(model, CPU) == FASTEST_AT_64


@pytest.mark.usefixtures("worth_it", "model")
def test_a_cache_that_cannot_be_written_is_no_error(read: Reader, tmp_path: Path, find: Find) -> None:
    (tmp_path / "cache").write_text("a file in its place")
    find(FASTEST_AT_64)
    for results in ("one", "two"):
        result, notes = run(read(EXPERIMENT), tmp_path / results)
        assert manifest(result.folder.path)["lanes"] == 64
        assert len(notes) == 1, "it is measured every time"


# Who measures


@pytest.mark.usefixtures("worth_it", "model")
def test_a_long_run_measures_once(read: Reader, tmp_path: Path, find: Find) -> None:
    asked = find(FASTEST_AT_64)
    result, notes = run(read(EXPERIMENT), tmp_path / "one")
    assert notes == ["measuring which batch suits m.gguf on this machine, once: about two seconds"]
    assert manifest(result.folder.path)["lanes"] == 64
    log = (result.folder.path / "log.txt").read_text("utf-8")
    assert "m.gguf: rows per second by batch: {16: 100, 32: 200, 64: 300, 96: 301}" in log
    result, notes = run(read(EXPERIMENT), tmp_path / "two")
    assert notes == []
    assert asked == [list(SIZES)]
    assert manifest(result.folder.path)["lanes"] == 64


@pytest.mark.parametrize(("n_rows", "n_measured"), [(N_CELLS * MAX_TOKENS, 1), (N_CELLS * MAX_TOKENS + 1, 0)])
def test_a_short_run_does_not_measure(
    read: Reader, tmp_path: Path, model: Path, find: Find, monkeypatch: pytest.MonkeyPatch, n_rows: int, n_measured: int
) -> None:
    monkeypatch.setattr(gguf_files, "ROWS_WORTH_MEASURING", n_rows)
    asked = find(FASTEST_AT_64)
    result, notes = run(read(EXPERIMENT), tmp_path)
    assert len(notes) == len(asked) == n_measured
    assert manifest(result.folder.path)["lanes"] == (64 if n_measured else CPU_BATCH_ROWS)


def test_texts_that_are_written_already_or_not_asked_for_do_not_count(
    read: Reader, tmp_path: Path, model: Path, find: Find, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gguf_files, "ROWS_WORTH_MEASURING", N_CELLS * MAX_TOKENS)
    asked = find(FASTEST_AT_64)
    for n in (1, None):
        run(read(EXPERIMENT), tmp_path, n=n)
    assert not asked


def test_a_short_run_and_a_check_use_what_is_remembered(read: Reader, tmp_path: Path, model: Path, find: Find) -> None:
    find(FASTEST_AT_64)
    measure(model, CPU, SIZES, 9)
    files_of(read(EXPERIMENT))
    find(AssertionError("it is known"))
    result, notes = run(read(EXPERIMENT), tmp_path)
    assert (manifest(result.folder.path)["lanes"], notes) == (64, [])
    assert ("texts in a batch", 64) in [
        row for table in plan_tables(check_experiment(read(EXPERIMENT))) for row in table.rows
    ]


@pytest.mark.usefixtures("worth_it")
@pytest.mark.parametrize(
    ("write", "override", "slots"),
    [
        (recurrent_model, "runtime.device=cpu", CPU_BATCH_ROWS),  # a batch may change a record
        (bigram_model, "runtime.deterministic=true", CPU_BATCH_ROWS),
        (bigram_model, "runtime.batch=8", 8),
    ],
)
def test_elsewhere_nothing_is_measured_or_remembered(
    read: Reader, tmp_path: Path, find: Find, write: Callable[[Path], Path], override: str, slots: int
) -> None:
    path = write(tmp_path / "m.gguf")
    find(FASTEST_AT_64)
    measure(path, CPU, SIZES, 9)
    asked = find(AssertionError("it must not be measured"))
    result, notes = run(read(EXPERIMENT, override), tmp_path)
    assert (manifest(result.folder.path)["lanes"], notes, asked) == (slots, [], [])


@pytest.mark.usefixtures("worth_it", "model")
def test_on_a_gpu_nothing_is_measured(read: Reader, find: Find) -> None:
    asked = find(FASTEST_AT_64)
    on_gpu = files_of(read(EXPERIMENT))
    on_gpu.hardware = Hardware(-1, 2)
    on_gpu.measure_batch(N_CELLS, lambda _: None)
    assert (on_gpu.slots, asked) == (GPU_BATCH_ROWS, [])


@pytest.mark.usefixtures("worth_it", "model")
def test_prompts_share_a_batch(read: Reader, tmp_path: Path, find: Find) -> None:
    find(FASTEST_AT_64)
    text = EXPERIMENT.replace("}]", "}, {name: B, model: m.gguf, prompt: b}, {name: C, model: m.gguf, prompt: c}]")
    result, _ = run(read(text), tmp_path)
    assert manifest(result.folder.path)["lanes"] == 64 // 3


@pytest.mark.usefixtures("model")
def test_of_two_files_the_one_with_fewer_texts_decides(read: Reader, tmp_path: Path, find: Find) -> None:
    """Each file has batches of its own; where one is unknown, they share the usual one."""
    other = bigram_model(tmp_path / "n.gguf")
    agents = "{name: B, model: n.gguf, prompt: b}, {name: C, model: n.gguf, prompt: c}]"
    experiment = read(EXPERIMENT.replace("}]", "}, " + agents))
    find(FASTEST_AT_64)
    measure(tmp_path / "m.gguf", CPU, SIZES, 9)
    assert files_of(experiment).slots == CPU_BATCH_ROWS // 3
    find({16: 1.0, 96: 9.0})
    measure(other, CPU, SIZES, 9)
    assert files_of(experiment).slots == 96 // 2
    find({16: 1.0, 32: 9.0})
    measure(other, CPU, SIZES, 9)
    assert files_of(experiment).slots == 32 // 2
    find({})
    measure(other, CPU, SIZES, 9)
    assert files_of(experiment).slots == CPU_BATCH_ROWS // 3


@pytest.mark.usefixtures("worth_it", "model")
@pytest.mark.parametrize(("n_sequences", "sizes"), [(200, list(SIZES)), (64, [16, 32, 64]), (33, [16, 32]), (31, None)])
def test_sizes_that_the_run_has_no_room_for_are_not_tried(
    read: Reader, tmp_path: Path, find: Find, n_sequences: int, sizes: list[int] | None
) -> None:
    asked = find(FASTEST_AT_64)
    result, notes = run(read(EXPERIMENT, f"runtime.context={n_sequences * 256}"), tmp_path)
    assert asked == ([sizes] if sizes else [])
    assert len(notes) == len(asked)
    assert manifest(result.folder.path)["lanes"] <= n_sequences


@pytest.mark.usefixtures("worth_it", "model")
@pytest.mark.parametrize("error", [ModelError("no room for that"), MemoryError("no room for that")])
def test_a_measurement_that_fails_leaves_the_usual_batch(
    read: Reader, tmp_path: Path, find: Find, empty_cache: Path, error: Exception
) -> None:
    find(error)
    result, _ = run(read(EXPERIMENT), tmp_path)
    found = manifest(result.folder.path)
    assert (found["status"], found["lanes"], len(result.cells)) == ("finished", CPU_BATCH_ROWS, N_CELLS)
    log = (result.folder.path / "log.txt").read_text("utf-8")
    assert "WARNING batches could not be measured, so the usual one is used: no room for that" in log
    assert not (empty_cache / "batch-sizes").exists()


@pytest.mark.usefixtures("worth_it", "model")
def test_an_interrupted_measurement(tmp_path: Path, find: Find, in_process: Command) -> None:
    (tmp_path / "experiment.yaml").write_text(EXPERIMENT)
    find(KeyboardInterrupt())
    done = in_process("run", "experiment.yaml")
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr.splitlines()[-1].endswith("continue with: tokauction run experiment.yaml")
    find(FASTEST_AT_64)
    assert in_process("run", "experiment.yaml").returncode == 0


# No record hears of it


@pytest.mark.usefixtures("worth_it", "model")
def test_records_are_the_same_with_every_size(read: Reader, tmp_path: Path, find: Find, empty_cache: Path) -> None:
    folders = []
    for size in SIZES:
        find({16: 1.0, size: 9.0, 96: 9.0})
        folders.append(run(read(EXPERIMENT), tmp_path / str(size))[0].folder.path)
        for memory in (empty_cache / "batch-sizes").iterdir():
            memory.unlink()
    assert [manifest(folder)["lanes"] for folder in folders] == list(SIZES)
    first, *others = map(lines, folders)
    assert len(first) == N_CELLS
    assert len({json.loads(line)["text"] for line in first}) > max(SIZES), "batches were full"
    assert all(other == first for other in others)


@pytest.mark.usefixtures("model")
def test_a_run_goes_on_in_other_batches(
    read: Reader, tmp_path: Path, find: Find, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = find(FASTEST_AT_64)
    whole, _ = run(read(EXPERIMENT), tmp_path / "whole")
    begun, _ = run(read(EXPERIMENT), tmp_path / "parts", n=50)
    assert manifest(begun.folder.path)["lanes"] == CPU_BATCH_ROWS
    assert not asked
    monkeypatch.setattr(gguf_files, "ROWS_WORTH_MEASURING", 1)
    continued, notes = run(read(EXPERIMENT), tmp_path / "parts")
    found = manifest(continued.folder.path)
    assert (found["lanes"], len(notes)) == (64, 1)
    assert all("changed" not in session for session in found["sessions"])
    assert lines(continued.folder.path) == lines(whole.folder.path)


@pytest.mark.model
def test_logits_are_the_same_bits_in_every_size(model_path: Path) -> None:
    chance = random.Random(0)
    beginning = tuple(chance.choices(range(1000, 40_000), k=20))
    texts = {number: (*beginning, token) for number, token in enumerate(chance.sample(range(1000, 40_000), max(SIZES)))}
    looked_at = (0, 7, SIZES[0] - 1)
    context = GgufContext(model_path, CPU, n_sequences=max(SIZES), n_tokens=100)
    try:
        alone = {number: context.evaluate({number: texts[number]})[number].tobytes() for number in looked_at}
        for size in SIZES:
            together = context.evaluate({number: texts[number] for number in range(size)})
            assert {number: together[number].tobytes() for number in looked_at} == alone
    finally:
        context.close()
