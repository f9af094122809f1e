"""`tokauction verify`: what the manifest promises holds, and what was changed afterwards is found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import Command
from tiny_gguf import bigram_model, of_byte

from tokenauction_cli.cli.json_keys import VERIFY

TABLES = """
name: babble
agents:
  - {name: A, distribution: {x: 0.5, y: 0.3, <end>: 0.2}}
  - {name: B, distribution: {x: 0.2, y: 0.5, <end>: 0.3}, bid: 2}
auction: {max_tokens: 6, trace: chosen}
sweep: {seeds: 20}
"""
TINY = """
name: tiny
agents: [{name: A, model: models/m.gguf, prompt: a}, {name: B, model: models/m.gguf, prompt: b}]
auction: {max_tokens: 3}
sweep: {seeds: 30}
runtime: {batch: 4}
"""
DEMO = """
name: demo
agents:
  - {name: A, model: smollm2-135m-instruct, prompt: "Fly to"}
  - {name: B, model: smollm2-135m-instruct, chat: {user: "An ad for a hotel"}}
auction: {max_tokens: 4, aggregation: [linear, log_linear], payments: [pay_your_bid, second_price]}
sweep: {relative_weight: [0, 0.5], seeds: 2}
"""


def write_tables(folder: Path) -> None:
    (folder / "e.yaml").write_text(TABLES)


def write_tiny(folder: Path, **metadata: int) -> None:
    (folder / "models").mkdir(exist_ok=True)
    follows = {of_byte(k): {of_byte(j): 5.0 - abs(j - 100) / 10 for j in range(97, 123)} for k in range(97, 123)}
    bigram_model(folder / "models" / "m.gguf", follows, metadata={f"general.{k}": v for k, v in metadata.items()})
    (folder / "e.yaml").write_text(TINY)


def run(in_process: Command) -> None:
    done = in_process("run", "e.yaml", "-q")
    assert done.returncode == 0, done.stderr


def the_run(folder: Path) -> Path:
    (found,) = (folder / "results").iterdir()
    return found


def verified(in_process: Command, folder: Path, *options: str) -> tuple[int, list[str], str]:
    done = in_process("verify", str(the_run(folder)), *options)
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout.splitlines(), done.stderr


def edit_record(folder: Path, old: str, new: str) -> None:
    path = folder / "records-1.jsonl"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_as_json(tmp_path: Path, in_process: Command) -> None:
    """A list of what was looked at, also where a check fails."""
    write_tables(tmp_path)
    run(in_process)
    code, lines, _ = verified(in_process, tmp_path, "--format", "json", "--sample", "1")
    good = json.loads("\n".join(lines))
    assert code == 0
    assert all(set(check) == set(VERIFY) and check["is_good"] is not False for check in good)
    (the_run(tmp_path) / "cells.csv").write_text("")
    code, lines, errors = verified(in_process, tmp_path, "--format", "json", "--sample", "0")
    (failed,) = (check for check in json.loads("\n".join(lines)) if check["is_good"] is False)
    assert (code, failed["run"], failed["what"]) == (1, str(the_run(tmp_path)), "cells.csv")
    assert "1 of " in errors


def test_an_untouched_run(tmp_path: Path, in_process: Command) -> None:
    write_tables(tmp_path)
    run(in_process)
    code, lines, errors = verified(in_process, tmp_path)
    assert (code, errors) == (0, "")
    assert all(line.startswith("ok ") for line in lines)
    assert sum(line.endswith("as it was written") for line in lines) >= 7
    assert sum(": the same bytes" in line for line in lines) == 5
    before = {path.name: path.read_bytes() for path in the_run(tmp_path).iterdir()}
    assert sum(": the same bytes" in line for line in verified(in_process, tmp_path, "--sample", "999")[1]) == 20
    assert not any("bytes" in line for line in verified(in_process, tmp_path, "--sample", "0")[1])
    assert {path.name: path.read_bytes() for path in the_run(tmp_path).iterdir()} == before, "it only looks"


@pytest.mark.model
def test_the_demos_model(tmp_path: Path, in_process: Command, model_path: Path) -> None:
    (tmp_path / "e.yaml").write_text(DEMO)
    run(in_process)
    code, lines, _ = verified(in_process, tmp_path, "--sample", "8")
    assert code == 0
    assert f"ok      {model_path}: the model of the run" in lines
    assert sum(": the same bytes" in line for line in lines) == 8


@pytest.mark.usefixtures("batches_matter")
def test_whole_waves_are_computed_again_where_a_batch_matters(tmp_path: Path, in_process: Command) -> None:
    """The cells of a wave belong together."""
    write_tiny(tmp_path)
    run(in_process)
    code, lines, _ = verified(in_process, tmp_path, "--sample", "1")
    assert code == 0
    assert sum(": the same bytes" in line for line in lines) == 30
    assert any("30 texts are computed again: a batch may change bits here" in line for line in lines)


def test_a_number_that_was_changed(tmp_path: Path, in_process: Command) -> None:
    write_tables(tmp_path)
    run(in_process)
    edit_record(the_run(tmp_path), '"log_prob.a":-', '"log_prob.a":-9')
    code, lines, errors = verified(in_process, tmp_path, "--sample", "20")
    assert code == 1
    assert "FAILED  records-1.jsonl: changed since it was written" in lines
    assert sum(line.startswith("FAILED  text ") and line.endswith(": other bytes") for line in lines) == 1
    assert "2 of " in errors
    assert "checks failed" in errors


def test_running_again_does_not_bless_what_was_changed(tmp_path: Path, in_process: Command) -> None:
    write_tables(tmp_path)
    run(in_process)
    edit_record(the_run(tmp_path), '"bid.b":2.0', '"bid.b":3.0')
    run(in_process)
    code, lines, _ = verified(in_process, tmp_path, "--sample", "0")
    assert code == 1
    assert "FAILED  records-1.jsonl: changed since it was written" in lines
    assert "ok      cells.csv: as it was written" in lines, "the tables are those of the records"


@pytest.mark.parametrize("name", ["cells.csv", "resolved.yaml", "table.md", "summary.csv", "experiment.yaml"])
def test_any_file_that_was_changed_or_lost(tmp_path: Path, in_process: Command, name: str) -> None:
    write_tables(tmp_path)
    run(in_process)
    path = the_run(tmp_path) / name
    path.write_text(path.read_text() + "\n")
    code, lines, _ = verified(in_process, tmp_path, "--sample", "0")
    assert code == 1
    assert f"FAILED  {name}: changed since it was written" in lines
    if name != "resolved.yaml":  # without which it is no run folder
        path.unlink()
        code, lines, _ = verified(in_process, tmp_path, "--sample", "0")
        assert code == 1
        assert [line for line in lines if line.startswith(f"FAILED  {name}: ")]


def test_records_from_elsewhere(tmp_path: Path, in_process: Command) -> None:
    write_tables(tmp_path)
    run(in_process)
    (the_run(tmp_path) / "records-2.jsonl").write_bytes((the_run(tmp_path) / "records-1.jsonl").read_bytes())
    code, lines, _ = verified(in_process, tmp_path, "--sample", "0")
    assert code == 1
    assert "FAILED  records-2.jsonl: not in the manifest; was the run killed?" in lines


def test_a_replaced_model(tmp_path: Path, in_process: Command) -> None:
    write_tiny(tmp_path)
    run(in_process)
    assert verified(in_process, tmp_path)[0] == 0, "a relative path starts at the experiment file"
    write_tiny(tmp_path, file_type=1)
    code, lines, _ = verified(in_process, tmp_path)
    assert code == 1
    assert f"FAILED  {tmp_path / 'models' / 'm.gguf'}: not the model of the run" in lines
    assert not any("bytes" in line for line in lines), "nothing is computed with another model"


def test_a_model_that_was_moved(tmp_path: Path, in_process: Command) -> None:
    """It is told as missing, not as another one; -S says where it is, and then the cells are computed again."""
    write_tiny(tmp_path)
    (tmp_path / "e.yaml").write_text(TINY.replace("models/m.gguf", "small") + "models: {small: models/m.gguf}\n")
    run(in_process)
    old, new = tmp_path / "models" / "m.gguf", tmp_path / "elsewhere.gguf"
    old.rename(new)
    code, lines, _ = verified(in_process, tmp_path)
    assert code == 1
    assert any(line.startswith(f"FAILED  {old}: missing: there is no file {old}; say where it is") for line in lines)
    assert "note    texts: not computed again: their models are not here" in lines
    for name in ("small", "models/m.gguf"):
        code, lines, errors = verified(in_process, tmp_path, "--sample", "2", "-S", f"models.{name}=elsewhere.gguf")
        assert code == 0, (lines, errors)
        assert f"ok      {old}: the model of the run, at {new}" in lines
        assert sum(": the same bytes" in line for line in lines) == 2
    code, _, errors = verified(in_process, tmp_path, "-S", "small=elsewhere.gguf")
    assert code == 2
    assert "expected models.NAME=PATH" in errors


def test_the_same_model_is_found_among_those_of_this_machine(
    tmp_path: Path, in_process: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tokenauction_cli.model_files.models import LocalModel, ModelFile, ModelReference
    from tokenauction_cli.verify import moved_models

    write_tiny(tmp_path)
    run(in_process)
    old, new = tmp_path / "models" / "m.gguf", tmp_path / "cache.gguf"
    old.rename(new)
    cached = LocalModel(ModelReference("x"), (ModelFile(new, new.stat().st_size),), "hub")
    monkeypatch.setattr(moved_models, "list_local", lambda: [cached])
    code, lines, _ = verified(in_process, tmp_path, "--sample", "1")
    assert code == 0
    assert any(f"{new} is, by its sha256, and stands in for it" in line for line in lines)
    assert sum(": the same bytes" in line for line in lines) == 1


def test_a_file_that_is_missing_is_told_in_words(tmp_path: Path, in_process: Command) -> None:
    write_tables(tmp_path)
    run(in_process)
    (the_run(tmp_path) / "records-1.jsonl").unlink()
    code, lines, _ = verified(in_process, tmp_path, "--sample", "0")
    assert code == 1
    assert "FAILED  records-1.jsonl: the run wrote it, and it is missing" in lines


def test_another_environment_is_told(tmp_path: Path, in_process: Command) -> None:
    """It explains a difference, and continuing says so too."""
    write_tables(tmp_path)
    assert in_process("run", "e.yaml", "-q", "-n", "5").returncode == 0
    path = the_run(tmp_path) / "manifest.json"
    found: dict[str, Any] = json.loads(path.read_text())
    path.write_text(json.dumps({**found, "versions": {**found["versions"], "numpy": "1.0"}}))
    code, lines, _ = verified(in_process, tmp_path)
    assert code == 0
    now = found["versions"]["numpy"]
    assert f"note    environment: versions.numpy 1.0 is now {now}" in lines
    done = in_process("run", "e.yaml", "-q")
    assert (
        done.stderr
        == f"since this run began, versions.numpy 1.0 is now {now}: its new texts may differ in the last bits\n"
    )
    sessions = json.loads(path.read_text())["sessions"]
    assert sessions[1]["changed"] == [f"versions.numpy 1.0 is now {now}"]


def test_a_folder_that_is_none(tmp_path: Path, in_process: Command) -> None:
    done = in_process("verify", ".")
    assert (done.returncode, done.stdout) == (2, "")
    assert "this is not a run folder" in done.stderr


def test_the_manifest_has_what_is_needed(tmp_path: Path, in_process: Command) -> None:
    write_tiny(tmp_path)
    run(in_process)
    found = json.loads((the_run(tmp_path) / "manifest.json").read_text())
    assert {"python", "llama-cpp-python", "numpy"} <= found["versions"].keys()
    assert "CPU" in found["llama"]["system_info"]
    assert any("llama" in name for name in found["llama"]["libraries"])
    assert all(len(digest) == 64 for digest in found["llama"]["libraries"].values())
    assert found["models"][0]["files"][0]["sha256"] == found["models"][0]["sha256"]
    for key in ("device", "gpu_layers", "threads", "lanes", "batch_invariant", "prompt_tokens_at_once"):
        assert found[key] is not None
    assert found["host"].keys() == {"system", "machine", "name", "processor"}
    assert found["files"].keys() >= {"records-1.jsonl", "cells.csv", "experiment.yaml", "resolved.yaml"}
