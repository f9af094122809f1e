"""Interrupts and torn files, inside one process: what is finished is on disk whole, whenever a signal arrives."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import Command, Reader
from tiny_gguf import bigram_model

from tokenauction_cli.api import run_experiment
from tokenauction_cli.engine import writing
from tokenauction_cli.engine.loop.token_loop import TokenLoop
from tokenauction_cli.engine.run import SilentProgress
from tokenauction_cli.engine.running.interrupts import Interrupts
from tokenauction_cli.experiment.experiment import Experiment
from tokenauction_cli.mechanism.sampling.rules import InverseCdf
from tokenauction_cli.runs.lines import decode
from tokenauction_cli.runs.run_folder import RunFolder

BABBLE = """
name: babble
agents:
  - {name: A, distribution: {x: 0.5, y: 0.3, <end>: 0.2}}
  - {name: B, distribution: {x: 0.2, y: 0.5, <end>: 0.3}, bid: 2}
auction: {max_tokens: 6, sampling: inverse_cdf, stop: [yy]}
sweep: {seeds: 40}
"""
N_CELLS = 40


def finish(experiment: Experiment, results: Path) -> Path:
    return run_experiment(experiment, results, SilentProgress()).folder.path


def lines(folder: Path) -> set[bytes]:
    found = [line for path in folder.glob("records-*.jsonl") for line in path.read_bytes().splitlines(keepends=True)]
    whole = [line for line in found if line.endswith(b"\n")]
    assert len({decode(line)["cell"] for line in whole}) == len(whole), "no record twice"
    return set(whole)


def test_a_signal_is_raised_at_once_and_handlers_come_back() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    for number in (signal.SIGINT, signal.SIGTERM):
        with pytest.raises(KeyboardInterrupt), Interrupts():
            os.kill(os.getpid(), number)
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_a_signal_waits_while_it_is_held() -> None:
    after = []
    with Interrupts() as interrupts:
        with interrupts.held():
            with interrupts.held():
                os.kill(os.getpid(), signal.SIGTERM)
            after.append("it goes on")
        with pytest.raises(KeyboardInterrupt):
            interrupts.check()
        assert after


def test_an_interrupt_that_a_callback_swallows_is_raised_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python can only print what is raised in a function that C calls, as llama.cpp calls our log."""
    monkeypatch.setattr(sys, "unraisablehook", lambda _: None)
    callback = ctypes.CFUNCTYPE(None)(lambda: os.kill(os.getpid(), signal.SIGINT))
    with Interrupts() as interrupts:
        callback()
        with pytest.raises(KeyboardInterrupt):
            interrupts.check()
        interrupts.check()


@pytest.mark.parametrize("n_draws", [1, 30, 77, 95])
def test_what_is_finished_is_kept_though_it_was_not_yet_appended(
    read: Reader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n_draws: int
) -> None:
    whole = lines(finish(read(BABBLE), tmp_path / "whole"))
    monkeypatch.setattr(writing, "SECONDS_BETWEEN_APPENDS", 1e9)
    drawn: list[int] = []
    ended: list[str] = []
    draw = InverseCdf.draw

    def draw_and_interrupt(self: InverseCdf, *arguments: Any) -> Any:
        drawn.append(1)
        if len(drawn) == n_draws:
            os.kill(os.getpid(), signal.SIGINT)
        return draw(self, *arguments)

    auction_run = TokenLoop.run

    def noted(self: TokenLoop, *arguments: Any, **options: Any) -> Any:
        for finished in auction_run(self, *arguments, **options):
            ended.extend(record["cell"] for record in finished)
            yield finished

    monkeypatch.setattr(InverseCdf, "draw", draw_and_interrupt)
    monkeypatch.setattr(TokenLoop, "run", noted)
    with pytest.raises(KeyboardInterrupt):
        finish(read(BABBLE), tmp_path)
    monkeypatch.undo()
    (folder,) = tmp_path.glob("babble-*")
    assert {decode(line)["cell"] for line in lines(folder)} == set(ended)
    assert bool(ended) == (n_draws > 1)  # of 40 cells some end with their first token
    assert RunFolder(folder).read_manifest()["status"] == "interrupted"
    assert lines(finish(read(BABBLE), tmp_path)) == whole


def test_a_signal_during_an_append_waits_for_it(read: Reader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = lines(finish(read(BABBLE), tmp_path / "whole"))
    write = os.write

    def write_a_part(descriptor: int, data: bytes) -> int:
        os.kill(os.getpid(), signal.SIGTERM)
        return write(descriptor, data[:100])

    monkeypatch.setattr(os, "write", write_a_part)
    with pytest.raises(KeyboardInterrupt):
        finish(read(BABBLE), tmp_path)
    monkeypatch.undo()
    (folder,) = tmp_path.glob("babble-*")
    assert lines(folder) == whole


def test_torn_at_every_byte_of_the_last_record(read: Reader, tmp_path: Path) -> None:
    experiment = read(BABBLE)
    origin = finish(experiment, tmp_path / "origin")
    data = (origin / "records-1.jsonl").read_bytes()
    begin = data.rindex(b"\n", 0, -1) + 1
    last = decode(data[begin:])["cell"]
    torn = RunFolder(shutil.copytree(origin, tmp_path / "torn" / origin.name))
    for size in range(begin, len(data)):
        (torn.path / "records-1.jsonl").write_bytes(data[:size])
        assert len(torn.cells()) == N_CELLS - 1
        assert last not in torn.cells()
        if size % 200 == 0 or size in (begin, len(data) - 1):
            assert lines(finish(experiment, tmp_path / "torn")) == lines(origin)
            (torn.path / "records-2.jsonl").unlink()


def test_a_folder_that_another_process_set_aside_is_not_entered(
    read: Reader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between opening the folder and locking it: the lock would be on the old one."""
    import fcntl

    folder = RunFolder(finish(read(BABBLE), tmp_path))

    def flock_late(descriptor: int, how: int) -> None:
        folder.path.rename(tmp_path / "old")
        folder.path.mkdir()

    monkeypatch.setattr(fcntl, "flock", flock_late)
    with pytest.raises(Exception, match="another process"), folder.locked():
        pass


def test_a_run_that_cannot_begin_leaves_nothing(read: Reader, tmp_path: Path) -> None:
    broken = read("name: b\nagents: [{name: A, model: none.gguf, prompt: x}]\n")
    with pytest.raises(Exception, match="there is no such file"):
        finish(broken, tmp_path / "results")
    assert list((tmp_path / "results").iterdir()) == []


def test_an_interrupted_audit_says_how_to_continue(
    read: Reader, in_process: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    read(BABBLE)
    monkeypatch.setattr(InverseCdf, "draw", lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    done = in_process("audit", "experiment.yaml", "--order", "tv")
    assert done.returncode == 130
    last = done.stderr.splitlines()[-1]
    assert last.endswith("; continue with: tokauction audit experiment.yaml --order tv")


def test_no_memory_left_is_said_and_what_is_finished_is_kept(
    read: Reader, tmp_path: Path, in_process: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = lines(finish(read(BABBLE), tmp_path / "whole"))
    drawn: list[int] = []
    draw = InverseCdf.draw

    def draw_until_memory_is_full(self: InverseCdf, *arguments: Any) -> Any:
        drawn.append(1)
        if len(drawn) == 90:
            raise MemoryError("Unable to allocate 9 GiB")
        return draw(self, *arguments)

    monkeypatch.setattr(InverseCdf, "draw", draw_until_memory_is_full)
    done = in_process("run", "experiment.yaml", "-q")
    assert done.returncode == 1
    said = (
        "memory is full (Unable to allocate 9 GiB): give it more, or lower `runtime.batch`; what is finished is kept\n"
    )
    assert done.stderr == said
    (folder,) = (tmp_path / "results").iterdir()
    assert 0 < len(lines(folder)) < N_CELLS
    assert RunFolder(folder).read_manifest()["status"] == "failed"
    assert lines(folder) < whole


@pytest.mark.usefixtures("batches_matter")
def test_a_continued_run_keeps_its_batches_where_they_matter(read: Reader, tmp_path: Path) -> None:
    bigram_model(tmp_path / "m.gguf")
    text = "name: t\nagents: [{name: A, model: m.gguf, prompt: a}]\nauction: {max_tokens: 2}\nsweep: {seeds: 200}\n"
    first = run_experiment(read(text, "runtime.batch=8"), tmp_path, SilentProgress(), n=1)
    assert (len(first.cells), first.folder.read_manifest()["lanes"]) == (128, 8)
    then = run_experiment(read(text, "runtime.batch=3"), tmp_path, SilentProgress())
    assert (len(then.cells), then.folder.read_manifest()["lanes"]) == (200, 8)
