"""Models whose metadata is fine and whose weights are not: tried in a child process, once, before a run is written."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from conftest import Command
from tiny_gguf import bigram_model

from tokenauction_cli.errors import ModelError
from tokenauction_cli.lm import metadata, tried
from tokenauction_cli.lm.metadata import read_metadata


def facts(**values: Any) -> Callable[[Path], object]:
    return lambda path: bigram_model(path, metadata={key.replace("__", "."): value for key, value in values.items()})


def weights(change: Callable[[bytes], bytes]) -> Callable[[Path], object]:
    """Changes the bytes of the output matrix, which stand at the end of the file."""

    def write(path: Path) -> None:
        data = bigram_model(path).read_bytes()
        path.write_bytes(data[:-100_000] + change(data[-100_000:]))

    return write


UNFIT: Mapping[str, tuple[Callable[[Path], object], str]] = {
    "no layers": (facts(llama__block_count=0), "it crashed (SIGABRT): GGML_ASSERT("),
    "endless layers": (facts(llama__block_count=2**31 - 1), "it crashed (SIGABRT): GGML_ASSERT("),
    "more layers than there are": (facts(llama__block_count=99), "'blk.1.attn_norm.weight' not found"),
    "no heads": (facts(llama__attention__head_count=0), "wrong shape"),
    "endless heads": (facts(llama__attention__head_count=2**31), "invalid n_rot"),
    "a rotation of other width": (facts(llama__rope__dimension_count=7), "invalid n_rot"),
    "an epsilon that is no number": (facts(llama__attention__layer_norm_rms_epsilon=float("nan")), "it crashed"),
    "an epsilon below zero": (facts(llama__attention__layer_norm_rms_epsilon=-1.0), "it crashed (SIGABRT)"),
    "experts that are not there": (facts(llama__expert_count=8), "it crashed (SIGABRT)"),
    "a frequency of zero": (facts(llama__rope__freq_base=0.0), "its logits are not numbers"),
    "no feed-forward": (facts(llama__feed_forward_length=0), "wrong shape"),
    "weights that are no numbers": (weights(lambda data: b"\xff\xff\xff\x7f" * (len(data) // 4)), "are not numbers"),
    "cut tensors": (weights(lambda data: data[:50_000]), "not within the file bounds"),
    "no tensors": (lambda path: bigram_model(path, without=["tensors"]), "token_embd.weight' not found"),
}


@pytest.mark.parametrize("name", UNFIT)
def test_what_cannot_be_evaluated_is_an_error_like_any_other(tmp_path: Path, name: str) -> None:
    write, reason = UNFIT[name]
    path = tmp_path / "m.gguf"
    write(path)
    for _ in range(2):  # it is not remembered as good
        with pytest.raises(ModelError) as caught:
            read_metadata(path, try_weights=True)
        assert str(caught.value).startswith(f"{path}: ")
        assert reason in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_run_of_such_a_file_ends_with_the_reason_and_leaves_nothing(tmp_path: Path, tokauction: Command) -> None:
    facts(llama__block_count=0)(tmp_path / "m.gguf")
    (tmp_path / "e.yaml").write_text("name: e\nagents: [{name: A, model: m.gguf, prompt: a}]\n")
    done = tokauction("run", "e.yaml")
    assert (done.returncode, done.stdout) == (2, "")
    assert "m.gguf: llama.cpp cannot open this file, which seems damaged: it crashed (SIGABRT)" in done.stderr
    assert "Traceback" not in done.stderr
    assert list((tmp_path / "results").iterdir()) == []


def test_a_good_file_is_tried_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = bigram_model(tmp_path / "m.gguf")
    children: list[bool] = []
    child = metadata._child

    def noted(path: Path, try_weights: bool) -> Any:
        children.append(try_weights)
        return child(path, try_weights)

    monkeypatch.setattr(metadata, "_child", noted)
    read_metadata(path)
    assert not tried.is_known(path), "only what was evaluated is remembered"
    for _ in range(2):
        read_metadata(path, try_weights=True)
    assert children == [False, True, False]
    path.touch()
    os.utime(path, ns=(1, 1))
    assert not tried.is_known(path), "another file, for all we know"


def test_a_cache_that_cannot_be_written_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cache").write_text("a file in its place")
    monkeypatch.setenv("TOKAUCTION_CACHE", str(tmp_path / "cache"))
    path = bigram_model(tmp_path / "m.gguf")
    read_metadata(path, try_weights=True)
    assert not tried.is_known(path)


def refusal(path: Path) -> str | None:
    try:
        read_metadata(path, try_weights=True)
    except ModelError as error:
        return str(error)
    return None


@pytest.mark.parametrize("n_files", [15, pytest.param(300, marks=pytest.mark.slow)])
def test_random_damage_never_ends_the_interpreter(tmp_path: Path, n_files: int) -> None:
    """Bytes changed anywhere, files cut anywhere: read, or refused with a reason."""
    whole = bigram_model(tmp_path / "whole.gguf").read_bytes()
    numbers = random.Random(6)
    for k in range(n_files):
        path = tmp_path / f"{k}.gguf"
        data = bytearray(whole[: numbers.choice([len(whole), numbers.randrange(len(whole))])])
        for _ in range(numbers.choice([1, 3, 30])):
            data[numbers.randrange(min(len(data), numbers.choice([200, 12_000, len(data)])))] = numbers.randrange(256)
        path.write_bytes(data)
        reason = refusal(path)
        assert reason is None or reason.startswith(f"{path}: ")
        path.unlink()
