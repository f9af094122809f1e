"""`runtime.weights`: which file a run computes with, what it keeps of that, and what becomes of it without a copy."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from conftest import Command
from tiny_gguf import mixed_model

import tokenauction_cli.engine.models.weights_in_use as module
from tokenauction_cli.api import check, run_experiment
from tokenauction_cli.engine.basis import basis_of
from tokenauction_cli.engine.models.gguf_files import GgufFiles
from tokenauction_cli.engine.models.prepare import prepare
from tokenauction_cli.engine.run import SilentProgress
from tokenauction_cli.experiment.experiment import Experiment, load_experiment
from tokenauction_cli.lm.llama import copies, libraries, weights
from tokenauction_cli.lm.llama.weights import PROCESSORS
from tokenauction_cli.lm.probing import probe
from tokenauction_cli.lm.probing.probe import Probed, Shape
from tokenauction_cli.runs.manifest import Formats, formats_of
from tokenauction_cli.system.errors import ModelError, NoCopyError
from tokenauction_cli.verify.verification import verify_run
from tokenauction_cli.workers.worker import ExperimentPlugin, assignment_of, build_of

AMD = "CPU : AVX2 = 1 | AVX512_BF16 = 1"
TEXT = """
name: t
agents:
  - {name: A, model: m.gguf, prompt: a}
  - {name: B, model: m.gguf, prompt: b}
auction: {max_tokens: 3}
sweep: {seeds: 2}
runtime: {threads: 1, weights: bf16}
"""
Load = Callable[..., Experiment]


class Notes(SilentProgress):
    """Keeps what the user would have read."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.fixture(autouse=True)
def table(monkeypatch: pytest.MonkeyPatch) -> None:
    """As it is shipped."""
    monkeypatch.setattr(weights, "PROCESSORS", PROCESSORS)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with an experiment, its model, and its run with weights in bf16."""
    folder = tmp_path_factory.mktemp("weights")
    mixed_model(folder / "m.gguf")
    (folder / "e.yaml").write_text(TEXT)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TOKAUCTION_CACHE", str(folder / "cache"))
        run_experiment(load_experiment(folder / "e.yaml"), folder / "results", Notes(), n=1)
        yield folder


@pytest.fixture
def load(made: Path, tmp_path: Path) -> Load:
    """Reads that experiment in a folder of one's own, with a copy of its run."""
    for name in ("m.gguf", "e.yaml"):
        (tmp_path / name).symlink_to(made / name)
    shutil.copytree(made / "results", tmp_path / "results")
    return lambda *overrides: load_experiment(tmp_path / "e.yaml", overrides)


def folder_of_run(folder: Path) -> Path:
    (found,) = (folder / "results").iterdir()
    return found


def manifest(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder_of_run(folder) / "manifest.json").read_text("utf-8")))


def run(experiment: Experiment, folder: Path, **options: Any) -> list[str]:
    progress = Notes()
    run_experiment(experiment, folder / "results", progress, **options)
    return progress.notes


def files(experiment: Experiment, kept: Formats | None = None) -> GgufFiles:
    found = prepare(experiment, kept=kept).files
    assert found is not None
    return found


def no_copy(*_: object) -> None:
    raise NoCopyError("the disk is full")


def test_a_run_says_in_which_format_it_is(made: Path) -> None:
    (model,) = manifest(made)["models"]
    assert model["weights"] == "bf16"
    (copy,) = (made / "cache" / "weights").glob("*.gguf")
    assert model["copy_sha256"] == copies.sha256_of(copy)
    assert formats_of(manifest(made)) == Formats("f16", {model["sha256"]: "bf16"})


@pytest.mark.parametrize("override", ["auto", "file"])
def test_a_continued_run_keeps_its_format(load: Load, tmp_path: Path, override: str) -> None:
    notes = run(load(f"runtime.weights={override}"), tmp_path)
    told = "this run began with weights in bf16: runtime.weights changes nothing; --fresh begins anew"
    assert (told in notes) == (override == "file")
    assert manifest(tmp_path)["models"][0]["weights"] == "bf16"
    assert len(manifest(tmp_path)["sessions"]) == 2
    again = run(load(f"runtime.weights={override}"), tmp_path)  # nothing is left to do
    assert (told in again) == (override == "file")
    assert all(check.is_good is not False for check in verify_run(folder_of_run(tmp_path), 2))


def test_a_run_without_the_key_began_with_its_file(load: Load, tmp_path: Path) -> None:
    path = folder_of_run(tmp_path) / "manifest.json"
    old = manifest(tmp_path)
    del old["models"][0]["weights"], old["models"][0]["copy_sha256"]
    path.write_text(json.dumps(old))
    kept = formats_of(old)
    assert kept is not None
    assert set(kept.weights.values()) == {"file"}
    assert form_of(load(), kept) == ("file", "this run began with them")


def test_what_was_begun_with_a_copy_does_not_go_on_without(
    load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = sorted(path.read_bytes() for path in folder_of_run(tmp_path).iterdir())
    monkeypatch.setattr(copies, "copy_of", no_copy)
    with pytest.raises(ModelError, match=r"m\.gguf: this run began with its weights in bf16, which cannot be had here"):
        run(load(), tmp_path)
    assert sorted(path.read_bytes() for path in folder_of_run(tmp_path).iterdir()) == before


@pytest.mark.parametrize("fault", ["a full disk", "no memory"])
def test_a_fresh_run_without_a_copy_uses_the_file_and_says_so(
    load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    if fault == "no memory":
        monkeypatch.setattr(module, "free_memory", lambda: 1 << 20)
    else:
        monkeypatch.setattr(copies, "copy_of", no_copy)
    told: list[str] = []
    used = files(load())
    used.weights.make_copies(told.append)
    (said,) = told
    why = {"a full disk": "the disk is full", "no memory": "it would take 0.0 GB, and 0.0 GB of memory are free"}[fault]
    assert said == f"m.gguf: no copy of it in bf16, so its weights are used as they are: {why}"
    (model,) = used.models
    assert used.weights.of(model.path).form == "file"
    assert used.weights.path_of_copy(model.path) is None
    assert set(used.formats.weights.values()) == {"file"}


def test_a_copy_that_cannot_be_evaluated_is_not_used(
    load: Load, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[object] = []

    def find(path: Path, hardware: object, shape: Shape, *, copy: object, **_: object) -> Probed:
        asked.append(copy)
        if copy is not None:
            raise ModelError("its logits are not numbers")
        return Probed(used.hardware, shape, "", "")

    monkeypatch.setattr(probe, "find", find)
    monkeypatch.setattr(probe, "remembered", lambda *_: None)
    used, told = files(load()), list[str]()
    used.probe(told.append)
    assert asked[0] is not None
    assert set(asked[1:]) == {None}
    assert told == ["m.gguf: no copy of it in bf16, so its weights are used as they are: its logits are not numbers"]


def test_the_format_is_part_of_the_basis_and_of_the_probes_key(load: Load) -> None:
    """That of `file` is as it was before there were formats."""
    found = {}
    for form in ("file", "bf16"):
        experiment = load(f"runtime.weights={form}")
        bidders = prepare(experiment, probe=True)
        assert bidders.files is not None
        found[form] = basis_of(experiment, bidders, {}), [finding.digest for finding in bidders.files.findings.values()]
    assert found["file"][0] != found["bf16"][0]
    assert found["file"][1] != found["bf16"][1]


def test_check_names_format_size_and_why(load: Load, tmp_path: Path, in_process: Command) -> None:
    load()
    (model,) = json.loads(in_process("check", "e.yaml", "--format", "json").stdout)["models"]
    assert model["weights"] == "bf16"
    assert model["weights_size"] == pytest.approx(2.9e6, rel=0.01)
    shown = in_process("check", "e.yaml", "-S", "runtime.weights=file").stdout
    assert "as in the file, 1.6 MiB: runtime.weights says so" in " ".join(shown.split())


def test_auto_goes_by_the_processor_and_by_memory(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy of 2.9 MB in a machine of 7 MB is too much, also where reference and judge have a part of it."""
    auto = load("runtime.weights=auto")
    monkeypatch.setattr(libraries, "system_info", lambda: "CPU : SSE3 = 1")
    assert form_of(auto)[0] == "file"
    monkeypatch.setattr(libraries, "system_info", lambda: "CPU : AVX2 = 1")
    assert form_of(auto)[0] == "f16"
    monkeypatch.setattr(libraries, "system_info", lambda: AMD)
    assert form_of(auto)[0] == "bf16"
    assert files(auto).slots == 48  # two prompts, 96 rows
    assert files(load("runtime.weights=auto", "runtime.batch=32")).slots == 16
    monkeypatch.setattr(module, "whole_memory", lambda: 7_000_000)
    assert form_of(auto) == ("file", "copies of 0.0 GB would take more than 40% of the memory")
    assert form_of(load("runtime.weights=bf16"))[0] == "bf16"


def form_of(experiment: Experiment, kept: Formats | None = None) -> tuple[str, ...]:
    used = files(experiment, kept)
    return tuple(used.weights.of(used.models[0].path))


def test_workers_have_the_formats_of_the_run_and_say_which_copy_they_use(
    load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever their processor has; one that can have no copy is unfit, by name."""
    monkeypatch.setattr(libraries, "system_info", lambda: AMD)
    driver = load("runtime.weights=auto", "runtime.batch=32")
    bidders = prepare(driver, probe=True)
    assert bidders.files is not None
    assignment = assignment_of(driver, bidders, {}, 1, 0)
    (model,) = bidders.files.models
    assert assignment.formats == Formats("f16", {model.sha256: "bf16"})
    monkeypatch.setattr(libraries, "system_info", lambda: "CPU : AVX2 = 1")
    worker = prepare(assignment.experiment(0), probe=True, kept=assignment.formats)
    build = build_of(worker, driver)
    assert build == build_of(bidders, driver)
    assert build["copy in bf16 (m.gguf)"] == digest_of_copy(bidders.files)[:12]
    monkeypatch.setattr(copies, "copy_of", no_copy)
    plugin = ExperimentPlugin(assignment)
    plugin.setup(SimpleNamespace(name=0))  # type: ignore[arg-type]
    written = plugin.write([], "a task", lambda sign: None)
    assert written.is_unfit
    assert "this run began with its weights in bf16, which cannot be had here: the disk is full" in written.error


def digest_of_copy(used: GgufFiles) -> str:
    copy = used.weights.made(used.models[0].path)
    assert copy is not None
    return copy.sha256


def test_where_a_large_batch_moves_bits_the_usual_one_is_used(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libraries, "system_info", lambda: AMD)
    used = files(load())
    assert used.slots == 48
    finding = Probed(used.hardware, Shape(96, 256), "", "96 rows in a batch")
    used.findings[used.models[0].tuned] = finding
    assert used.slots == 16


def test_an_unknown_format_is_told_with_the_nearest(made: Path) -> None:
    with pytest.raises(Exception, match=r"expected auto, file, bf16 or f16, got 'fp16'; did you mean 'f16'\?"):
        check(made / "e.yaml", overrides=["runtime.weights=fp16"])
