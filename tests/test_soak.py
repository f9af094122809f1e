"""Long runs: flat memory, no descriptor lost; and the largest of everything that the limits allow.

The short variants run by default; `make soak` runs those of 20 000 cells of tables and 2 000 cells of the demo's model.
"""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import Command, Reader
from tiny_gguf import bigram_model, of_byte

from tokenauction_cli.analysis.frames import metrics
from tokenauction_cli.api import load_run, run_experiment
from tokenauction_cli.engine.run import SilentProgress

BYTES_PER_CELL = 1024
TABLE_BYTES_PER_CELL = 8 * 1024  # of the tables at the end, which hold every cell
LARGE = 65536  # bytes: arrays over the vocabulary, which come and go by the hundred megabytes, are counted apart
MEASURED_RUN = """
import ctypes, os, resource
from pathlib import Path
import llama_cpp  # which keeps two files open
from tokenauction_cli.api import load_run, run_experiment
from tokenauction_cli.engine import writing
from tokenauction_cli.experiment.experiment import load_experiment
from tokenauction_cli.system.memory import peak_memory
from tokenauction_cli.engine.run import SilentProgress
from tokenauction_cli.workers.workers import Workers
writing.SECONDS_BETWEEN_APPENDS = 0.0

class Allocated(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in "a b c d large e f g h i".split()]

mallinfo2 = ctypes.CDLL(None).mallinfo2
mallinfo2.restype = Allocated

class Meter(SilentProgress):
    n_done = 0
    def step(self, n_cells, n_tokens, share):
        self.n_done += n_cells
        if n_cells:
            resident = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
            large = mallinfo2().large
            print(self.n_done, resident - large, large, len(os.listdir("/proc/self/fd")))

descriptors = len(os.listdir("/proc/self/fd"))
run_experiment(load_experiment(Path("e.yaml")), Path("results"), Meter(), workers=Workers.chosen(N_WORKERS, None))
assert N_WORKERS or len(os.listdir("/proc/self/fd")) == descriptors  # Dask keeps some
print(peak_memory())
"""
TABLES = """
name: soak
agents:
  - {{name: A, bid: 1, distribution: {{x: 0.5, y: 0.3, <end>: 0.2}}}}
  - {{name: B, bid: 2, distribution: {{x: 0.2, y: 0.6, <end>: 0.2}}}}
auction: {{aggregation: [linear, log_linear], payments: [pay_your_bid, second_price], max_tokens: 8}}
sweep: {{agent: A, relative_weight: {{from: 0, to: 1, step: 0.1}}, seeds: {}}}
"""
DEMO = """
name: soak
agents:
  - {{name: A, model: smollm2-135m-instruct, prompt: "Fly to"}}
  - {{name: B, model: smollm2-135m-instruct, prompt: "Stay at"}}
auction: {{max_tokens: 8}}
sweep: {{agent: A, relative_weight: [0, 0.25, 0.5, 0.75, 1], seeds: {}}}
runtime: {{weights: file}}
"""


def has_mallinfo2() -> bool:
    return sys.platform == "linux" and hasattr(ctypes.CDLL(None), "mallinfo2")


def measured(
    folder: Path, text: str, environment: dict[str, str], n_workers: int | None = None
) -> tuple[pd.DataFrame, int]:
    """Cells, bytes and descriptors at every append of a run in a process of its own; and the most bytes at any time."""
    (folder / "e.yaml").write_text(text)
    done = subprocess.run(
        [sys.executable, "-c", f"N_WORKERS = {n_workers}\n{MEASURED_RUN}"],
        cwd=folder,
        env={**environment, "MALLOC_MMAP_THRESHOLD_": str(LARGE)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=1800,
    )
    *steps, peak = done.stdout.splitlines()
    rows = [[int(value) for value in step.split()] for step in steps]
    return pd.DataFrame(rows, columns=["cells", "bytes", "large", "files"]), int(peak)


def assert_flat(steps: pd.DataFrame, n_cells: int) -> None:
    """After the first quarter: what a first cell brings with it is loaded by then."""
    assert steps["cells"].iloc[-1] == n_cells
    settled = steps[steps["cells"] > n_cells / 4]
    assert np.polyfit(settled["cells"], settled["bytes"], 1)[0] < BYTES_PER_CELL
    middle = settled["cells"] <= n_cells * 5 / 8
    assert settled["large"][~middle].max() < 1.25 * settled["large"][middle].max()


@pytest.mark.skipif(not has_mallinfo2(), reason="memory is read from /proc and glibc")
@pytest.mark.parametrize("n_seeds", [280, pytest.param(910, marks=pytest.mark.slow)])
def test_many_cells_of_tables(tmp_path: Path, environment: dict[str, str], n_seeds: int) -> None:
    n_cells = 22 * n_seeds
    steps, peak = measured(tmp_path, TABLES.format(n_seeds), environment)
    assert steps["files"].nunique() == 1
    assert_flat(steps, n_cells)
    libraries = 120 << 20  # pandas and scipy
    assert peak - steps["bytes"].iloc[-1] < libraries + TABLE_BYTES_PER_CELL * n_cells


@pytest.mark.slow
@pytest.mark.skipif(not has_mallinfo2(), reason="memory is read from /proc and glibc")
def test_many_cells_of_many_workers(tmp_path: Path, environment: dict[str, str]) -> None:
    pytest.importorskip("distributed")
    n_seeds = 4546
    steps, _ = measured(tmp_path, TABLES.format(n_seeds), environment, n_workers=16)
    assert_flat(steps, 22 * n_seeds)
    is_late = steps["cells"] > 11 * n_seeds
    assert steps["files"][is_late].max() <= steps["files"][~is_late].max()


@pytest.mark.model
@pytest.mark.skipif(not has_mallinfo2(), reason="memory is read from /proc and glibc")
@pytest.mark.parametrize("n_seeds", [20, pytest.param(400, marks=pytest.mark.slow)])
def test_many_cells_of_a_model(tmp_path: Path, environment: dict[str, str], model_path: Path, n_seeds: int) -> None:
    steps, _ = measured(tmp_path, DEMO.format(n_seeds), environment)
    assert steps["files"].nunique() == 1
    if n_seeds >= 400:  # fewer cells are not enough for a slope
        assert_flat(steps, 5 * n_seeds)


def test_tables_do_not_depend_on_how_many_records_are_read_at_once(
    read: Reader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where cells fail, and where a column is empty in one part and not in another."""
    rows = "{'': {x: 0.5, y: 0.5}, x: {x: 0.5, <end>: 0.5}, 'x x': {<end>: 1}}"
    experiment = read(
        f"name: e\nagents: [{{name: A, distributions: {rows}}}, {{name: B, distribution: {{x: 0.7, <end>: 0.3}}}}]\n"
        "auction: {aggregation: [log_linear, linear], payments: [second_price, pay_your_bid], max_tokens: 4}\n"
        "sweep: {agent: A, relative_weight: [0, 0.5], seeds: 25}\n"
    )
    at_once = run_experiment(experiment, tmp_path, SilentProgress())
    assert 0 < at_once.n_failed < 100
    for n in (1, 7, 50):
        monkeypatch.setattr(metrics, "ROWS_AT_ONCE", n)
        in_parts = load_run(at_once.folder.path)
        pd.testing.assert_frame_equal(in_parts.cells, at_once.cells)
        pd.testing.assert_frame_equal(in_parts.summary, at_once.summary)


def test_sixty_four_agents(read: Reader, tmp_path: Path) -> None:
    """All on one model, each with a prompt of its own: 64 sequences per text, four texts at a time."""
    bigram_model(tmp_path / "m.gguf", {of_byte(97 + k): {of_byte(97 + (k + 1) % 26): 3.0} for k in range(26)})
    agents = "".join(f"  - {{name: A{k}, model: m.gguf, prompt: '{k} {chr(97 + k % 26)}'}}\n" for k in range(64))
    experiment = read(
        f"name: e\nagents:\n{agents}auction: {{max_tokens: 4, aggregation: [linear, log_linear]}}\n"
        "sweep: {seeds: 4}\nruntime: {batch: 256}\n"
    )
    result = run_experiment(experiment, tmp_path, SilentProgress())
    assert len(result.cells) == 8
    assert result.n_failed == 0
    manifest = result.folder.read_manifest()
    assert manifest["lanes"] == 4
    for cell in result.cells.itertuples():
        assert cell.tokens == 4
        assert np.isclose(
            sum(getattr(cell, f"_{result.cells.columns.get_loc(f'weight.a{k}') + 1}") for k in range(64)), 1
        )


def test_a_context_filled_to_its_last_token(read: Reader, tmp_path: Path) -> None:
    """A prompt and a text that are together exactly as long as the model's context; one token more is refused."""
    a = of_byte(ord("a"))
    bigram_model(tmp_path / "m.gguf", {a: {a: 50.0}}, metadata={"llama.context_length": 300})
    text = "name: e\nagents: [{name: A, model: m.gguf, prompt: '" + "a" * 199 + "'}]\nauction: {max_tokens: %d}\n"
    result = run_experiment(read(text % 100), tmp_path, SilentProgress())  # the first token of every text is <s>
    assert list(result.cells["text"]) == ["a" * 100]
    assert list(result.cells["end_reason"]) == ["length"]
    with pytest.raises(Exception, match="more than the 300 tokens of context"):
        run_experiment(read(text % 101), tmp_path, SilentProgress())


@pytest.mark.parametrize("n_tokens", [256, 512])
def test_a_kv_cache_filled_to_its_last_cell(read: Reader, tmp_path: Path, n_tokens: int) -> None:
    a = of_byte(ord("a"))
    bigram_model(tmp_path / "m.gguf", {a: {a: 50.0}})
    prompt = "a" * (n_tokens - 11)
    text = f"name: e\nagents: [{{name: A, model: m.gguf, prompt: '{prompt}'}}]\nauction: {{max_tokens: 10}}\n"
    result = run_experiment(read(text + "sweep: {seeds: 3}\n"), tmp_path, SilentProgress())
    assert list(result.cells["text"]) == ["a" * 10] * 3


def test_as_many_sequences_as_llama_allows(read: Reader, tmp_path: Path) -> None:
    """256 in one context: two agents, 128 texts at a time; the records are those of two at a time."""
    letters = {of_byte(97 + j): 3.0 for j in range(26)}
    bigram_model(tmp_path / "m.gguf", {of_byte(97 + k): {**letters, of_byte(97 + k): 0.0} for k in range(26)})
    text = (
        "name: e\nagents: [{name: A, model: m.gguf, prompt: a}, {name: B, model: m.gguf, prompt: b}]\n"
        "auction: {max_tokens: 5}\nsweep: {seeds: 150}\nruntime: {batch: %d}\n"
    )
    many = run_experiment(read(text % 256), tmp_path / "many", SilentProgress())
    few = run_experiment(read(text % 4), tmp_path / "few", SilentProgress())
    assert many.folder.read_manifest()["lanes"] == 128
    assert many.cells.equals(few.cells)
    assert many.cells["text"].nunique() > 140
    more = run_experiment(read(text % 2000), tmp_path / "more", SilentProgress())
    assert more.folder.read_manifest()["lanes"] == 128


def test_sessions_leave_nothing_behind(tmp_path: Path, in_process: Command) -> None:
    """Contexts, models, locks and files are given back: one process may run many experiments."""
    bigram_model(tmp_path / "m.gguf")
    (tmp_path / "e.yaml").write_text(
        "name: e\nagents: [{name: A, model: m.gguf, prompt: a}]\nauction: {max_tokens: 2}\nsweep: {seeds: 20}\n"
    )
    before = 0
    for n in range(1, 13):
        assert in_process("run", "e.yaml", "-q", "-n", str(n)).returncode == 0
        files = len(os.listdir("/dev/fd"))
        before = before or files
        assert files == before
    (folder,) = (tmp_path / "results").iterdir()
    assert len(json.loads((folder / "manifest.json").read_text())["sessions"]) == 12
