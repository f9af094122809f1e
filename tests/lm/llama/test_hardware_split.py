"""How several GPUs share a model: what reaches llama.cpp, and what is refused before it."""

from __future__ import annotations

from dataclasses import asdict
from json import dumps, loads
from pathlib import Path
from typing import Any

import llama_cpp
import pytest
from conftest import Command, Reader
from tiny_gguf import attention_model

from tokenauction_cli.lm.llama import gguf, libraries
from tokenauction_cli.lm.llama.hardware import Hardware, Split, choose_hardware, part_of_gpus
from tokenauction_cli.system.errors import ModelError

TEXT = """
name: split
agents: [{name: A, model: m.gguf, prompt: abc}]
"""


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libraries, "gpus", lambda: ["CUDA0", "CUDA1"])


def test_what_llama_cpp_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Any] = []
    load = llama_cpp.llama_model_load_from_file

    def listening(path: bytes, parameters: Any) -> Any:
        shares = [parameters.tensor_split[k] for k in range(3)] if parameters.tensor_split else None
        told.append((parameters.split_mode, parameters.main_gpu, shares))
        return load(path, llama_cpp.llama_model_default_params())

    monkeypatch.setattr(llama_cpp, "llama_model_load_from_file", listening)
    model = attention_model(tmp_path / "m.gguf")
    for split in (Split(), Split("row", (3.0, 1.0), 1), Split("none")):
        gguf.GgufContext(model, Hardware(-1, 1, split=split), n_sequences=1, n_tokens=8).close()
    assert told == [(1, 0, None), (2, 1, [3.0, 1.0, 0.0]), (0, 0, None)]


@pytest.mark.parametrize(
    ("n_processes", "n_gpus", "parts"),
    [
        (2, 0, [Split()] * 2),
        (3, 1, [Split()] * 3),
        (2, 2, [Split("none", (), 0), Split("none", (), 1)]),
        (4, 2, [Split("none", (), gpu) for gpu in (0, 0, 1, 1)]),
        (3, 4, [Split("none", (), 0), Split("none", (), 1), Split("layer", (0.0, 0.0, 1.0, 1.0), 2)]),
        (1, 2, [Split()]),
    ],
)
def test_processes_divide_the_gpus_of_a_machine(n_processes: int, n_gpus: int, parts: list[Split]) -> None:
    assert [part_of_gpus(place, n_processes, n_gpus) for place in range(n_processes)] == parts


@pytest.mark.usefixtures("two_gpus")
def test_a_worker_takes_its_part_unless_the_file_says_which_gpus(read: Reader) -> None:
    pytest.importorskip("distributed")
    from tokenauction_cli.workers.worker import with_part_of_gpus

    runtime = read(TEXT).runtime
    parts = [with_part_of_gpus(runtime, worker, 2) for worker in range(2)]
    assert [(part.split_mode, part.main_gpu) for part in parts] == [("none", 0), ("none", 1)]
    said = runtime.model_copy(update={"tensor_split": (1.0, 3.0)})
    assert with_part_of_gpus(said, 1, 2) == said


@pytest.mark.usefixtures("two_gpus")
def test_chosen_and_told_to_a_child_process() -> None:
    hardware = choose_hardware("auto", "auto", 1, "f16", split=Split("row", (1.0, 2.0), 1))
    assert hardware.split == Split("row", (1.0, 2.0), 1)
    assert Hardware.of(loads(dumps(asdict(hardware)))) == hardware
    assert [tried.split for tried in hardware.fallbacks() if not tried.gpu_layers] == [Split()] * 2


@pytest.mark.usefixtures("two_gpus")
@pytest.mark.parametrize(
    ("split", "complaint"),
    [
        (Split(shares=(1.0, 1.0, 1.0)), "each of 3 GPUs, but there are 2 in use (CUDA0, CUDA1)"),
        (Split(shares=(0.0, 0.0)), "every share is 0"),
        (Split(main_gpu=2), "runtime.main_gpu is 2, counted from 0, but of GPUs there are 2 in use"),
    ],
)
def test_what_the_gpus_cannot_do(split: Split, complaint: str) -> None:
    with pytest.raises(ModelError) as error:
        choose_hardware("gpu", "auto", 1, "f16", split=split)
    assert complaint in str(error.value)


@pytest.mark.parametrize(
    ("setting", "complaint"),
    [
        ("tensor_split=[1, 1]", "runtime.tensor_split has a share for each of 2 GPUs, but there are none in use"),
        ("tensor_split=[-1]", "expected a number of at least 0, got -1"),
        ("tensor_split=3", "expected a list, got 3"),
        ("split_mode=columns", "expected none, layer or row, got 'columns'"),
        ("main_gpu=one", "expected a whole number of at least 0, got 'one'"),
        ("main_gpu=1", "runtime.main_gpu is 1, counted from 0, but of GPUs there are none in use"),
    ],
)
def test_bad_settings(tmp_path: Path, in_process: Command, setting: str, complaint: str) -> None:
    attention_model(tmp_path / "m.gguf")
    (tmp_path / "e.yaml").write_text(TEXT)
    done = in_process("check", "e.yaml", "-S", "runtime.device=cpu", "-S", f"runtime.{setting}")
    assert (done.returncode, done.stdout) == (2, "")
    assert complaint in done.stderr
