"""LoRA adapters: a model with one computes as the model into whose weights it is merged."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from tiny_gguf import INNER, WIDTH, Pair, attention_model, lora, random_pair, sliding_window_model

from tokenauction_cli.lm.base import Request
from tokenauction_cli.lm.llama.adapters import Adapter, check_adapter
from tokenauction_cli.lm.llama.gguf import GgufContext, GgufModel, GgufPrompt
from tokenauction_cli.lm.llama.hardware import Hardware
from tokenauction_cli.model_files.gguf_header import read_header
from tokenauction_cli.system.errors import ModelError

CPU = Hardware(0, 1)
RANK, ALPHA = 4, 8.0
TEXT = (1, 70, 81, 92, 103)
SHAPES = {
    "blk.0.attn_q.weight": (WIDTH, WIDTH),
    "blk.1.ffn_down.weight": (WIDTH, INNER),
    "output.weight": (260, WIDTH),
}


def pairs(seed: int) -> dict[str, Pair]:
    return {name: random_pair(shape, RANK, seed + k) for k, (name, shape) in enumerate(SHAPES.items())}


def merged(seed: int, scale: float) -> dict[str, NDArray[np.float32]]:
    return {name: scale * ALPHA / RANK * b @ a for name, (a, b) in pairs(seed).items()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base, two adapters, and the models that are the base with them merged."""
    folder = tmp_path_factory.mktemp("adapters")
    attention_model(folder / "base.gguf")
    lora(folder / "one.gguf", pairs(1), ALPHA)
    lora(folder / "two.gguf", pairs(2), ALPHA)
    attention_model(folder / "one-merged.gguf", merged(1, 0.8))
    two = merged(2, -0.5)
    attention_model(folder / "both-merged.gguf", {name: m + two[name] for name, m in merged(1, 0.8).items()})
    return folder


def logits(path: Path, *adapters: Adapter) -> NDArray[np.float32]:
    with closing(GgufContext(path, CPU, n_sequences=1, n_tokens=16, adapters=adapters)) as context:
        return np.array(context.evaluate({0: TEXT})[0])


def test_an_adapter_is_the_merged_model(folder: Path) -> None:
    one = logits(folder / "base.gguf", Adapter(folder / "one.gguf", 0.8))
    assert np.abs(one - logits(folder / "one-merged.gguf")).max() < 1e-5
    assert np.abs(one - logits(folder / "base.gguf")).max() > 0.1


def test_two_adapters_add_up(folder: Path) -> None:
    both = logits(folder / "base.gguf", Adapter(folder / "one.gguf", 0.8), Adapter(folder / "two.gguf", -0.5))
    assert np.abs(both - logits(folder / "both-merged.gguf")).max() < 1e-5


def test_contexts_of_one_file_share_its_weights_and_nothing_else(folder: Path) -> None:
    base, one = folder / "base.gguf", Adapter(folder / "one.gguf", 0.8)
    size = {"n_sequences": 2, "n_tokens": 16}
    with (
        closing(GgufContext(base, CPU, **size)) as plain,  # type: ignore[arg-type]
        closing(GgufContext(base, CPU, **size, adapters=(one,), beside=plain)) as tuned,  # type: ignore[arg-type]
    ):
        model = GgufModel([plain, tuned], {plain.tuned: 1, tuned.tuned: 1})
        prompts = (GgufPrompt(base, TEXT[:2]), GgufPrompt(base, TEXT[:2], (one,)))
        ((of_plain, of_tuned),) = model.evaluate([Request(1, prompts, TEXT[2:])])
        assert np.array(of_plain).tolist() == logits(base).tolist()
        assert np.abs(np.array(of_tuned) - logits(folder / "one-merged.gguf")).max() < 1e-5


WRONG = {
    "this is a model, not an adapter: name it under `model`": attention_model,
    "this adapter is for the architecture gemma2, and base is a llama": lambda path: lora(
        path, pairs(1), ALPHA, general__architecture="gemma2"
    ),
    "this is an adapter of the type 'dora'": lambda path: lora(path, pairs(1), ALPHA, adapter__type="dora"),
    "this is an activated LoRA (aLoRA)": lambda path: lora(
        path, pairs(1), ALPHA, adapter__alora__invocation_tokens=[1, 2]
    ),
    "this adapter has no matrices": lambda path: lora(path, {}, ALPHA),
    "it changes blk.7.attn_q.weight, which base does not have": lambda path: lora(
        path, {"blk.7.attn_q.weight": random_pair((WIDTH, WIDTH), RANK, 1)}, ALPHA
    ),
    "its matrices for blk.0.attn_q.weight are 32 x 4 and 4 x 64, which do not go with the 64 x 64": lambda path: lora(
        path, {"blk.0.attn_q.weight": random_pair((WIDTH, 32), RANK, 1)}, ALPHA
    ),
}


@pytest.mark.parametrize("why", WRONG)
def test_what_does_not_fit_shows_in_the_header(folder: Path, tmp_path: Path, why: str) -> None:
    path = WRONG[why](tmp_path / "adapter.gguf")
    with pytest.raises(ModelError) as error:
        check_adapter(path, read_header(folder / "base.gguf"), "base")
    assert why in str(error.value)


def test_one_that_fits_passes(folder: Path) -> None:
    check_adapter(folder / "one.gguf", read_header(folder / "base.gguf"), "base")


def test_a_matrix_without_its_counterpart(folder: Path, tmp_path: Path) -> None:
    from tiny_gguf import write_gguf

    facts = {"general.type": "adapter", "general.architecture": "llama", "adapter.type": "lora"}
    write_gguf(tmp_path / "half.gguf", facts, {"output.weight.lora_a": np.zeros((4, WIDTH), np.float32)})
    with pytest.raises(ModelError, match=r"output.weight.lora_a has no counterpart"):
        check_adapter(tmp_path / "half.gguf", read_header(folder / "base.gguf"), "base")


def test_another_kind_of_memory(tmp_path: Path) -> None:
    """A sliding window: what is forked and cut back is as it was."""
    base = sliding_window_model(tmp_path / "gemma.gguf")
    path = lora(
        tmp_path / "a.gguf",
        {"blk.0.attn_q.weight": pairs(1)["blk.0.attn_q.weight"]},
        ALPHA,
        general__architecture="gemma2",
    )
    adapters = (Adapter(path, 1.0),)
    with closing(GgufContext(base, CPU, n_sequences=2, n_tokens=40, adapters=adapters)) as context:
        alone = np.array(context.evaluate({0: TEXT})[0])
        context.evaluate({1: (*TEXT, 5)})
        assert np.array(context.evaluate({1: TEXT})[1]).tolist() == alone.tolist()
