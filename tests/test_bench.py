"""`tokauction bench` counts what it runs, and says what its ratios are; no timing decides."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import Command
from tiny_gguf import bigram_model, of_byte

EXPERIMENT = """
name: tiny
agents: [{name: A, model: m.gguf, prompt: a}, {name: B, model: m.gguf, prompt: b}]
auction: {max_tokens: 3, sampling: greedy, payments: [pay_your_bid]}
sweep: {relative_weight: [0, 0.5, 1]}
"""


@pytest.fixture
def experiment(tmp_path: Path) -> Path:
    """Whatever was said before, c follows, and then d and e: three cells with one text, evaluated once."""
    a, b, c, d, e = map(of_byte, b"abcde")
    bigram_model(tmp_path / "m.gguf", {a: {c: 50.0}, b: {c: 50.0}, c: {d: 50.0}, d: {e: 50.0}})
    path = tmp_path / "e.yaml"
    path.write_text(EXPERIMENT)
    return path


def test_it_counts_what_it_runs(experiment: Path, in_process: Command) -> None:
    done = in_process("bench", str(experiment), "--format", "json")
    (row,) = json.loads(done.stdout)
    assert (row["scenario"], row["cells"], row["tokens"]) == ("e", 3, 9)
    assert row["evaluations"] == 4  # after c and after cd, for each of two prompts
    assert row["sharing"] == pytest.approx(9 * 2 / 4)
    assert row["times_naive"] == pytest.approx(row["tokens_per_second"] / row["naive_tokens_per_second"])
    assert 0 < row["share_charging"] < row["share_auctioning"]
    assert 0 < row["share_evaluating"] + row["share_auctioning"] + row["share_writing"] <= 1
    assert row["decode_efficiency"] > 0
    assert row["peak_memory_mib"] > 1


def test_the_table_names_every_ratio(experiment: Path, in_process: Command) -> None:
    done = in_process("bench", str(experiment))
    assert done.returncode == 0
    lines = [line.strip() for line in done.stdout.splitlines()]
    assert any(line.startswith("evaluations of a loop without sharing / ours") and "4.50" in line for line in lines)
    for label in ("speed of our run / one Llama object per agent", "time of the same bare llama_decode calls"):
        assert any(line.startswith(label) for line in lines)


def test_tables_have_nothing_to_measure(tmp_path: Path, in_process: Command) -> None:
    (tmp_path / "t.yaml").write_text("name: t\nagents: [{name: A, distribution: {x: 1}}]\n")
    done = in_process("bench", str(tmp_path / "t.yaml"))
    assert done.returncode == 2
    assert "bench needs agents with language models" in done.stderr
