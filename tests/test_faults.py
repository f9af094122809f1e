"""Faults on real processes with the demo's model: killed, interrupted, no room, no right to write, another process.

Whatever happens, the same command continues, and in the end the records are those of an undisturbed run, byte for byte.
"""

from __future__ import annotations

import json
import os
import random
import re
import resource
import shlex
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.model

N_CELLS = 160
EXPERIMENT = f"""
name: tiny
agents:
  - {{name: A, model: smollm2-135m-instruct, prompt: "Fly to"}}
  - {{name: B, model: smollm2-135m-instruct, prompt: "Stay at"}}
auction: {{max_tokens: 3}}
sweep: {{seeds: {N_CELLS}}}
runtime: {{threads: 1, batch: 8, weights: file}}
"""
RUN = ("run", "tiny.yaml", "-q", "--format", "csv")
SOME = 24  # enough where the length of a run does not matter

Done = subprocess.CompletedProcess[str]
Start = Callable[..., "subprocess.Popen[str]"]
Finish = Callable[..., Done]


def but_for_doubts(errors: str) -> str:
    """What was said, without that all texts of this experiment are cut."""
    return re.sub(r"Is this meant\? all \d+ texts were cut .*\n", "", errors)


@pytest.fixture
def start(tmp_path: Path, command_line: list[str], environment: dict[str, str], model_path: Path) -> Iterator[Start]:
    """Starts the command in `tmp_path`; what still runs at the end of the test is killed."""
    (tmp_path / "tiny.yaml").write_text(EXPERIMENT)
    processes = []

    def begin(*arguments: str, **options: Any) -> subprocess.Popen[str]:
        pipes: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        options = {"env": environment, **pipes, **options}
        process = subprocess.Popen([*command_line, *arguments], cwd=tmp_path, text=True, **options)
        processes.append(process)
        return process

    yield begin
    for process in processes:
        process.kill()
        process.communicate()


@pytest.fixture
def finish(start: Start) -> Finish:
    """Runs the command to its end."""

    def run(*arguments: str, **options: Any) -> Done:
        process = start(*arguments, **options)
        output, errors = process.communicate(timeout=120)
        return subprocess.CompletedProcess(arguments, process.returncode, output, errors)

    return run


@pytest.fixture(scope="module")
def undisturbed(
    tmp_path_factory: pytest.TempPathFactory, command_line: list[str], environment: dict[str, str], model_path: Path
) -> Path:
    """The folder of an uninterrupted run."""
    folder = tmp_path_factory.mktemp("undisturbed")
    (folder / "tiny.yaml").write_text(EXPERIMENT)
    subprocess.run([*command_line, *RUN], cwd=folder, env=environment, check=True, capture_output=True, timeout=120)
    return the_run(folder / "results")


def the_run(results: Path) -> Path:
    (folder,) = (path for path in results.iterdir() if ".old-" not in path.name)
    return folder


def lines(folder: Path) -> list[bytes]:
    """The records of a run, sorted; torn last lines left out."""
    found = [line for path in folder.glob("records-*.jsonl") for line in path.read_bytes().splitlines(keepends=True)]
    whole = sorted(line for line in found if line.endswith(b"\n"))
    assert len({json.loads(line)["cell"] for line in whole}) == len(whole), "no record twice"
    return whole


def manifest(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "manifest.json").read_text("utf-8")))


def assert_as_undisturbed(folder: Path, undisturbed: Path) -> None:
    assert lines(folder) == lines(undisturbed)
    for name in ("cells.csv", "summary.csv", "table.md"):
        assert (folder / name).read_bytes() == (undisturbed / name).read_bytes()
    assert manifest(folder)["status"] == "finished"
    assert not list(folder.glob(".*")), "no temporary file stays"


def assert_some_as_undisturbed(folder: Path, undisturbed: Path) -> None:
    assert len(lines(folder)) == SOME
    assert set(lines(folder)) <= set(lines(undisturbed))
    assert manifest(folder)["status"] == "finished"


def wait_until(is_so: Callable[[], object], process: subprocess.Popen[str]) -> None:
    while not is_so():
        assert process.poll() is None, process.communicate()
        time.sleep(0.005)


def has_begun(results: Path) -> bool:
    return any(path.stat().st_size for path in results.glob("*/records-*.jsonl"))


# Killed


@pytest.mark.parametrize("n_kills", [4, pytest.param(25, marks=pytest.mark.slow)])
def test_killed_at_random_moments(
    start: Start, finish: Finish, undisturbed: Path, tmp_path: Path, n_kills: int
) -> None:
    """Again and again in one run; where it ends before its turn to be killed, a new run begins."""
    moments = random.Random(n_kills)
    runs = [tmp_path / "results-0"]
    while n_kills:
        process = start(*RUN, "-o", str(runs[-1]))
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=moments.uniform(0.2, 3))
        process.kill()
        if process.wait() == -signal.SIGKILL:
            n_kills -= 1
            if runs[-1].exists():
                assert set(lines(the_run(runs[-1]))) <= set(lines(undisturbed))
        else:
            assert process.returncode == 0
            runs.append(tmp_path / f"results-{len(runs)}")
    for results in runs:
        done = finish(*RUN, "-o", str(results))
        assert (done.returncode, but_for_doubts(done.stderr)) == (0, "")
        assert_as_undisturbed(the_run(results), undisturbed)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted(start: Start, finish: Finish, undisturbed: Path, tmp_path: Path, number: signal.Signals) -> None:
    process = start("run", "tiny.yaml", "-o", "my results", "--fresh")
    wait_until(lambda: has_begun(tmp_path / "my results"), process)
    process.send_signal(number)
    output, errors = process.communicate(timeout=30)
    assert (process.returncode, output) == (130, "")
    assert "Traceback" not in errors
    last = errors.splitlines()[-1]
    folder = the_run(tmp_path / "my results")
    n_kept = len(lines(folder))
    how = "tokauction run tiny.yaml -o 'my results'"
    assert last == f"Interrupted. Kept {n_kept} of {N_CELLS} texts; continue with: {how}"
    assert 0 < n_kept < N_CELLS
    assert manifest(folder)["status"] == "interrupted"
    assert "interrupted" in (folder / "log.txt").read_text()
    done = finish(*shlex.split(last.partition("tokauction ")[2]))
    assert done.returncode == 0, done.stderr
    assert_as_undisturbed(folder, undisturbed)


@pytest.mark.parametrize("moment", [0.35, 0.7, 1.0])
def test_interrupted_before_it_writes(start: Start, tmp_path: Path, moment: float) -> None:
    """While it reads the file, asks the model or loads weights."""
    process = start("run", "tiny.yaml")
    time.sleep(moment)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=30)
    # 0 where it was done already, -SIGTERM where Python itself had hardly begun
    assert process.returncode in (0, 130, -signal.SIGTERM)
    assert "Traceback" not in errors


# No room, no right


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 kB."""
    folder = tmp_path / "small disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("mounting a file system needs more rights")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def remount(folder: Path, option: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{option}", folder], check=True)


def test_a_full_disk(finish: Finish, undisturbed: Path, small_disk: Path) -> None:
    done = finish("run", "tiny.yaml", "-o", str(small_disk))
    assert (done.returncode, done.stdout) == (1, "")
    last = done.stderr.splitlines()[-1]
    assert last.endswith("No space left on device; free some space and run the same command again: it continues")
    assert "Traceback" not in done.stderr
    assert "Logging error" not in done.stderr
    folder = the_run(small_disk)
    kept = lines(folder)
    assert 0 < len(kept) < N_CELLS
    assert finish("show", str(folder), "--format", "csv").returncode == 0
    assert finish("run", "tiny.yaml", "-o", str(small_disk)).returncode == 1
    assert set(kept) <= set(lines(folder))
    remount(small_disk, "size=8m")
    assert finish(*RUN, "-o", str(small_disk)).returncode == 0
    assert_as_undisturbed(folder, undisturbed)


def test_a_limit_on_file_sizes(finish: Finish, undisturbed: Path, tmp_path: Path) -> None:
    """The same without rights to mount: a write stops within a line."""
    most = 12_000
    done = finish(*RUN, "-n", str(SOME), preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (most, most)))
    assert done.returncode == 1
    assert done.stderr.endswith("File too large; free some space and run the same command again: it continues\n")
    folder = the_run(tmp_path / "results")
    assert 0 < len(lines(folder)) < SOME
    assert finish(*RUN, "-n", str(SOME)).returncode == 0
    assert_some_as_undisturbed(folder, undisturbed)


def test_a_folder_that_may_only_be_read(finish: Finish, undisturbed: Path, small_disk: Path) -> None:
    remount(small_disk, "size=8m")
    some = (*RUN, "-n", str(SOME), "-o", str(small_disk))
    assert finish(*some).returncode == 0
    remount(small_disk, "ro")
    again = finish(*some)
    assert (again.returncode, again.stdout) == (0, (undisturbed / "table.csv").read_text()), "a finished run is a no-op"
    assert finish("show", str(the_run(small_disk))).returncode == 0
    assert finish("verify", str(the_run(small_disk)), "--sample", "1").returncode == 0
    other = finish(*some, "-S", "seed=1")
    assert (other.returncode, other.stdout) == (1, "")
    assert "Read-only file system; check the folder" in other.stderr


def test_no_room_for_the_kv_cache(
    finish: Finish, environment: dict[str, str], undisturbed: Path, tmp_path: Path
) -> None:
    """It says so, and fewer texts advance together; the records are the same."""
    most = 1_150 << 20  # 240 sequences of 256 tokens take 1.4 GB
    done = finish(
        *(*RUN, "-n", str(SOME), "-S", "runtime.batch=240"),
        env={**environment, "OPENBLAS_NUM_THREADS": "1"},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (most, most)),
    )
    assert done.returncode == 0, done.stderr
    folder = the_run(tmp_path / "results")
    slots = manifest(folder)["lanes"]
    assert but_for_doubts(done.stderr) == f"memory has no room for 120 texts at a time: {slots} advance together\n"
    assert slots in (60, 30, 15)
    assert "failed to allocate" in (folder / "log.txt").read_text()
    assert_some_as_undisturbed(folder, undisturbed)


# Others


def test_two_processes_at_once(start: Start, undisturbed: Path, tmp_path: Path) -> None:
    both = [start(*RUN, "-n", str(SOME)) for _ in range(2)]
    ends = [(process.communicate(timeout=120)[1], process.returncode) for process in both]
    assert min(code for _, code in ends) == 0
    for errors, code in ends:
        assert (code, but_for_doubts(errors)) == (0, "") or (
            code == 1 and "another process is running this experiment" in errors
        )
    assert_some_as_undisturbed(the_run(tmp_path / "results"), undisturbed)


def test_a_clock_that_runs_backwards(
    finish: Finish, environment: dict[str, str], undisturbed: Path, tmp_path: Path
) -> None:
    (tmp_path / "clock").mkdir()
    (tmp_path / "clock" / "sitecustomize.py").write_text(
        "import itertools, time\nseconds = itertools.count(2e9, -3600)\ntime.time = lambda: next(seconds)\n"
        "time.time_ns = lambda: int(1e9 * next(seconds))\n"
    )
    path = os.pathsep.join([str(tmp_path / "clock"), environment["PYTHONPATH"]])
    backwards = {"env": environment | {"PYTHONPATH": path}}
    for n in (SOME // 2, SOME):
        assert finish("run", "tiny.yaml", "-n", str(n), **backwards).returncode == 0
    folder = the_run(tmp_path / "results")
    assert_some_as_undisturbed(folder, undisturbed)
    log = (folder / "log.txt").read_text().splitlines()
    assert log[0][:19] > log[-1][:19], "the clock did run backwards"
