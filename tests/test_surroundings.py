"""Commands in hostile surroundings: system calls that fail, streams that are closed, full or narrow, little memory.

`faults.c` makes system calls fail, as SQLite's tests do. Whatever happens, the command ends with words or in silence;
what it wrote before is kept, and the same command continues.
"""

from __future__ import annotations

import errno
import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

EXPERIMENT = """name: t
queries: [Hôtel “Zum Löwen”]
agents:
  - {name: A, distribution: {é…: 0.5, 語: 0.3, z: 0.2}}
  - {name: B, distribution: {é…: 0.2, 語: 0.2, z: 0.6}}
auction: {max_tokens: 6}
sweep: {relative_weight: [0.2, 0.5, 0.8], seeds: 3}
"""
N_CELLS = 9
Done = subprocess.CompletedProcess[str]
Start = Callable[..., Done]


@pytest.fixture
def start(tmp_path: Path, command_line: list[str], environment: dict[str, str]) -> Start:
    """Runs the command in `tmp_path`; options are those of `subprocess.run`, `env` is added."""
    (tmp_path / "t.yaml").write_text(EXPERIMENT, "utf-8")

    def run(*arguments: str, env: dict[str, str] | None = None, **options: Any) -> Done:
        kept = {key: value for key, value in environment.items() if key != "PYTHONIOENCODING"}
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "timeout": 120, **options}
        return subprocess.run(
            [*command_line, *arguments], cwd=tmp_path, env=kept | (env or {}), text=True, check=False,
            encoding="utf-8", errors="surrogateescape", **options,
        )  # fmt: skip

    return run


@pytest.fixture(scope="session")
def faults(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., dict[str, str]]:
    """The environment in which system calls fail."""
    compiler = shutil.which("cc")
    if sys.platform != "linux" or compiler is None:
        pytest.skip("system calls are intercepted on Linux, with a C compiler")
    library = tmp_path_factory.mktemp("faults") / "faults.so"
    source = Path(__file__).with_name("faults.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True)

    def fail(fault: str, **settings: object) -> dict[str, str]:
        named = {f"FAULT_{key.upper().rstrip('_')}": str(value) for key, value in settings.items()}
        return {"LD_PRELOAD": str(library), "FAULT": fault, **named}

    return fail


@pytest.fixture(scope="module")
def undisturbed(
    tmp_path_factory: pytest.TempPathFactory, command_line: list[str], environment: dict[str, str]
) -> list[str]:
    """The records of an uninterrupted run."""
    folder = tmp_path_factory.mktemp("undisturbed")
    (folder / "t.yaml").write_text(EXPERIMENT, "utf-8")
    command = [*command_line, "run", "t.yaml", "-q"]
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
    return lines(folder / "results")


def lines(results: Path) -> list[str]:
    """Complete lines of records, sorted."""
    found = [line for path in results.glob("*/records-*.jsonl") for line in path.read_text("utf-8").splitlines(True)]
    return sorted(line for line in found if line.endswith("\n"))


def assert_words(errors: str) -> None:
    for sign in ("unexpected error", "Traceback", "Exception ignored", "Logging error"):
        assert sign not in errors


# System calls that fail


def test_short_writes_lose_nothing(
    start: Start, faults: Callable[..., dict[str, str]], tmp_path: Path, undisturbed: list[str]
) -> None:
    done = start("run", "t.yaml", "-q", env=faults("short", in_="records-"))
    assert (done.returncode, done.stderr) == (0, "")
    assert lines(tmp_path / "results") == undisturbed


@pytest.mark.parametrize(
    ("fault", "in_", "says"),
    [
        (
            "full",
            "records-",
            "records-1.jsonl: No space left on device; free some space and run the same command again",
        ),
        ("full", "/.cells.csv", "cells.csv: No space left on device; free some space and run the same command again"),
        ("full", "manifest.json", "manifest.json: No space left on device; free some space"),
        ("fsync", "records-", "records-1.jsonl: Input/output error; check the folder"),
        ("fsync", "/.summary.csv", "summary.csv: Input/output error; check the folder"),
        ("fsync", "manifest.json", "manifest.json: Input/output error; check the folder"),
    ],
)
def test_a_disk_that_fails(
    start: Start,
    faults: Callable[..., dict[str, str]],
    tmp_path: Path,
    undisturbed: list[str],
    fault: str,
    in_: str,
    says: str,
) -> None:
    done = start("run", "t.yaml", "-q", env=faults(fault, in_=in_))
    assert done.returncode == 1
    assert says in done.stderr
    assert_words(done.stderr)
    assert set(lines(tmp_path / "results")) <= set(undisturbed)
    assert start("run", "t.yaml", "-q").returncode == 0
    assert lines(tmp_path / "results") == undisturbed


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS], ids=errno.errorcode.get)
def test_a_file_system_without_locks(
    start: Start, faults: Callable[..., dict[str, str]], tmp_path: Path, undisturbed: list[str], number: int
) -> None:
    env = faults("lock", errno=number)
    done = start("run", "t.yaml", "-q", env=env)
    assert done.returncode == 0
    said = f": no locks there ({os.strerror(number)}): start no second run of this experiment meanwhile\n"
    assert done.stderr.endswith(said)
    assert done.stderr.count("\n") == 1
    assert lines(tmp_path / "results") == undisturbed
    listed = start("list", env=env)
    assert (listed.returncode, listed.stderr) == (0, "")
    assert "running" not in listed.stdout


def test_a_lock_that_cannot_be_read(start: Start, faults: Callable[..., dict[str, str]]) -> None:
    done = start("run", "t.yaml", "-q", env=faults("lock", errno=errno.EIO))
    assert done.returncode == 1
    assert done.stderr.endswith(": Input/output error; check the folder\n")


# Streams


@pytest.mark.parametrize("encoding", ["latin-1", "ascii:strict"])
@pytest.mark.parametrize("how", ["table", "json"])
def test_narrow_streams(start: Start, tmp_path: Path, encoding: str, how: str) -> None:
    env = {"PYTHONIOENCODING": encoding}
    done = start("run", "t.yaml", "--format", how, env=env)
    assert done.returncode == 0
    assert_words(done.stderr)
    assert len(lines(tmp_path / "results")) == N_CELLS
    if how == "json":
        whole = start("run", "t.yaml", "--format", how)
        assert json.loads(done.stdout.encode("utf-8", "surrogateescape").decode("latin-1")) == json.loads(whole.stdout)
    for command in (("check", "t.yaml"), ("show", "results")) if how == "table" else ():
        shown = start(*command, env=env)
        assert (shown.returncode, "unexpected" in shown.stderr) == (0, False)


def close(*descriptors: int) -> Callable[[], None]:
    def before() -> None:
        for descriptor in descriptors:
            os.close(descriptor)

    return before


@pytest.mark.parametrize("closed", [(1,), (2,), (0, 1, 2)])
def test_closed_streams(start: Start, tmp_path: Path, undisturbed: list[str], closed: Iterable[int]) -> None:
    done = start("run", "t.yaml", preexec_fn=close(*closed))
    assert done.returncode == 0
    assert_words(done.stderr)
    assert lines(tmp_path / "results") == undisturbed


def test_a_full_stdout_is_told_and_costs_no_record(start: Start, tmp_path: Path, undisturbed: list[str]) -> None:
    with open("/dev/full", "w") as full:
        done = start("run", "t.yaml", stdout=full)
        assert done.returncode == 1
        last = done.stderr.splitlines()[-1]
        assert last == "stdout takes no more (No space left on device): a run's folder has what was not printed"
        assert_words(done.stderr)
        assert lines(tmp_path / "results") == undisturbed
        for command in (("check", "t.yaml"), ("verify", "results")):
            told = start(*command, stdout=full)
            assert (told.returncode, told.stderr) == (1, f"{last}\n")


def test_a_full_stderr_costs_nothing(start: Start, tmp_path: Path, undisturbed: list[str]) -> None:
    with open("/dev/full", "w") as full:
        done = start("run", "t.yaml", "--format", "csv", stderr=full)
    assert done.returncode == 0
    assert "text" in done.stdout or "語" in done.stdout
    assert lines(tmp_path / "results") == undisturbed


# Memory


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not limit addresses")
@pytest.mark.parametrize("mib", [200, 300, 340])
def test_little_memory_ends_with_words(start: Start, tmp_path: Path, mib: int) -> None:
    """A library that asks for memory for ever is not asked to load."""
    limit = (mib << 20, mib << 20)
    done = start("run", "t.yaml", "-q", preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, limit))
    assert done.returncode in (0, 1)
    assert_words(done.stderr)
    assert done.returncode == 0 or "memory is full (" in done.stderr
