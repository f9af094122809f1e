"""Agents with adapters of one base, and one without: in one auction, continued, verified, told in the manifest."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from conftest import Command, Reader
from tiny_gguf import WIDTH, attention_model, lora, random_pair

from tokenauction_cli.analysis.run import Run
from tokenauction_cli.api import run_experiment
from tokenauction_cli.engine.models.prepare import prepare
from tokenauction_cli.engine.run import SilentProgress
from tokenauction_cli.experiment.experiment import Experiment, load_experiment
from tokenauction_cli.system.errors import ExperimentError, ModelError, TokauctionError
from tokenauction_cli.workers.worker import _check_models, assignment_of

FILE = """
name: adapters
models: {base: base.gguf, of_ann: ann.gguf}
agents:
  - {name: Ann, model: base, adapter: of_ann, prompt: ab}
  - {name: Bob, model: base, adapter: {file: bob.gguf, scale: 0.5}, prompt: ab}
  - {name: Cat, model: base, prompt: ab}
reference: {model: base, adapter: [ann.gguf], prompt: abc}
auction: {aggregation: [linear, log_linear], payments: [pay_your_bid], max_tokens: 4, stop: ["x"]}
sweep: {agent: Ann, relative_weight: [0, 0.5], seeds: 3}
"""
SQUARE = (WIDTH, WIDTH)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("adapters")
    attention_model(folder / "base.gguf")
    lora(folder / "ann.gguf", {"blk.0.attn_q.weight": random_pair(SQUARE, 4, 1)}, 16.0)
    lora(folder / "bob.gguf", {"blk.1.attn_output.weight": random_pair(SQUARE, 2, 2)}, 16.0)
    (folder / "file.yaml").write_text(FILE)
    return folder


def run(experiment: Experiment, results: Path, **options: int) -> Run:
    return run_experiment(experiment, results, SilentProgress(), **options)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def finished(folder: Path) -> Run:
    return run(load_experiment(folder / "file.yaml"), folder / "results")


def test_three_agents_speak_by_one_base(finished: Run, folder: Path) -> None:
    assert finished.n_failed == 0
    described = finished.manifest["models"]
    assert [Path(one["path"]).name for one in described] == ["base.gguf"] * 3
    assert [[Path(a["path"]).name for a in one.get("adapters", ())] for one in described] == [
        ["ann.gguf"],
        ["bob.gguf"],
        [],
    ]
    assert described[1]["adapters"][0]["scale"] == 0.5
    merged = finished.cells[["log_prob.ann", "log_prob.bob", "log_prob.cat"]]
    assert merged.nunique(axis=1).eq(3).all()


def test_an_interrupted_run_writes_the_same_bytes(finished: Run, folder: Path, tmp_path: Path) -> None:
    experiment = load_experiment(folder / "file.yaml")
    run(experiment, tmp_path, n=5)
    assert run(experiment, tmp_path).folder.records() == finished.folder.records()


def test_the_basis_knows_the_adapters(folder: Path, tmp_path: Path, finished: Run) -> None:
    """A sibling with another scale takes nothing over; with the adapters under other names it does."""
    for name in ("base.gguf", "ann.gguf", "bob.gguf"):
        shutil.copy(folder / name, tmp_path / name)
    (tmp_path / "file.yaml").write_text(FILE.replace("of_ann: ann.gguf", "of_ann: ./ann.gguf"))
    same = run(load_experiment(tmp_path / "file.yaml"), folder / "results", n=4)
    assert same.manifest["basis"] == finished.manifest["basis"] is not None
    assert same.manifest["sessions"][0]["taken_over"]
    other = run(load_experiment(folder / "file.yaml", ["agents.bob.adapter.scale=0.25"]), folder / "results", n=4)
    assert other.manifest["basis"] != finished.manifest["basis"]


def test_another_adapter_cannot_go_on_with_a_run(folder: Path, tmp_path: Path) -> None:
    for name in ("base.gguf", "ann.gguf", "bob.gguf", "file.yaml"):
        shutil.copy(folder / name, tmp_path / name)
    experiment = load_experiment(tmp_path / "file.yaml", ["runtime.deterministic=true"])  # probed in no time
    run(experiment, tmp_path / "results", n=2)
    lora(tmp_path / "bob.gguf", {"blk.1.attn_output.weight": random_pair(SQUARE, 2, 3)}, 16.0)
    with pytest.raises(TokauctionError, match=r"bob.gguf: this file is not the model that began the run"):
        run(experiment, tmp_path / "results")


def test_verify_computes_with_them_and_finds_them_moved(
    finished: Run, folder: Path, tmp_path: Path, in_process: Command
) -> None:
    copied = tmp_path / "copied"
    shutil.copytree(finished.folder.path, copied)
    done = in_process("verify", str(copied), "--cells", "3")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "ann.gguf" in done.stdout


def test_a_worker_wants_the_same_adapters(folder: Path) -> None:
    experiment = load_experiment(folder / "file.yaml")
    bidders = prepare(experiment)
    assignment = assignment_of(experiment, bidders, {}, 1, 0)
    _check_models(assignment, bidders)
    name = next(one for one in assignment.sha256s if one.endswith("bob.gguf") and "ann" not in one)
    base, adapter = assignment.sha256s[name]
    assignment.sha256s[name] = (base, adapter.replace("0.5 ", "0.6 "))  # type: ignore[index]
    with pytest.raises(ModelError, match=r"bob.gguf is not the model of the run"):
        _check_models(assignment, bidders)


def test_check_counts_a_kv_memory_for_each(folder: Path, in_process: Command) -> None:
    done = in_process("check", str(folder / "file.yaml"))
    assert done.returncode == 0, done.stderr
    assert "KV cells of base.gguf + 1 ann.gguf " in done.stdout.replace("\n", " ")
    assert "KV cells of base.gguf " in done.stdout


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("agents.ann.adapter=[]", "expected at least one entry, got an empty list"),
        ("agents.ann.adapter={fil: ann.gguf}", "unknown key 'fil'; did you mean 'file'?"),
        ("agents.ann.adapter={file: ann.gguf, scale: big}", "expected a number, got 'big'"),
        ("agents.ann.adapter=of_an", "unknown adapter 'of_an'; did you mean 'of_ann'?"),
        ("agents.ann.adapters=of_ann", "unknown key 'adapters'; did you mean 'adapter'?"),
        (
            "agents.ann={name: Ann, distribution: {a: 1}, adapter: of_ann}",
            "an agent with a distribution has no adapter",
        ),
    ],
)
def test_mistakes_of_the_file(folder: Path, override: str, told: str) -> None:
    with pytest.raises(ExperimentError) as error:
        load_experiment(folder / "file.yaml", [override])
    assert told in str(error.value)


def test_what_headers_tell_has_its_place(folder: Path, tmp_path: Path, read: Reader) -> None:
    shutil.copy(folder / "base.gguf", tmp_path / "base.gguf")
    shutil.copy(folder / "ann.gguf", tmp_path / "ann.gguf")
    swapped = FILE.replace("model: base, adapter: of_ann", "model: ./ann.gguf, adapter: of_ann")
    with pytest.raises(ModelError, match=r"experiment.yaml:5:24: .*this is an adapter, not a model"):
        prepare(read(swapped))
    wrong = FILE.replace("{file: bob.gguf, scale: 0.5}", "{file: base.gguf}").replace(
        "models: {base: base.gguf,", "models: {base: ./base.gguf,"
    )
    with pytest.raises(ModelError, match=r"experiment.yaml:6:46: .*this is a model, not an adapter"):
        prepare(read(wrong))
