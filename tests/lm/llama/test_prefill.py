"""What a text's logits are in a context that only reads: the same bits in any company, near those of a run."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_gguf import attention_model, hybrid_model, mixture_model, recurrent_model, sliding_window_model

from tokenauction_cli.lm.llama.gguf import GgufContext
from tokenauction_cli.lm.llama.hardware import Hardware, choose_hardware
from tokenauction_cli.lm.llama.native_output import quiet
from tokenauction_cli.lm.llama.prefill import PrefillContext

CPU = choose_hardware("cpu", "auto", 2)
CHUNK = CPU.chunk
KINDS = [attention_model, mixture_model, sliding_window_model, recurrent_model, hybrid_model]
LENGTHS = [1, 2, CHUNK - 1, CHUNK, CHUNK + 1, CHUNK + 2, 2 * CHUNK, 2 * CHUNK + 1, 3 * CHUNK + 5, 18 * CHUNK + 1, 600]
NEAR = 0.02  # keys and values are float16


def texts() -> list[tuple[int, ...]]:
    """Of each length one that begins as the others do, and one that turns another way in its last third."""
    chance = random.Random(3)
    longest = [1, *(chance.randrange(4, 260) for _ in range(max(LENGTHS)))]
    found = [tuple(longest[:n]) for n in LENGTHS]
    turned = [(*text[: 2 * len(text) // 3], *(260 - token for token in text[2 * len(text) // 3 :])) for text in found]
    return list(dict.fromkeys([*found, *turned]))


def bits(
    path: Path, wanted: list[tuple[int, ...]], n_tokens: int = max(LENGTHS), hardware: Hardware = CPU
) -> dict[tuple[int, ...], bytes]:
    """What one context says of these texts, read in this order."""
    with quiet(), closing(PrefillContext(path, hardware, n_sequences=1, n_tokens=n_tokens)) as context:
        return {text: context.evaluate({0: text})[0].tobytes() for text in wanted}


@pytest.mark.parametrize("write", KINDS)
def test_bits_are_those_of_the_text_alone(tmp_path: Path, write: Callable[[Path], Path]) -> None:
    path = write(tmp_path / "m.gguf")
    wanted = texts()
    alone = {text: bits(path, [text], len(text))[text] for text in wanted}
    assert len(set(alone.values())) == len(wanted), "the model sees every text"
    orders: list[list[tuple[int, ...]]] = [sorted(wanted), sorted(wanted, reverse=True)]
    orders += [random.Random(seed).sample(wanted, len(wanted)) for seed in range(3)]
    for order in orders:
        assert bits(path, order) == alone


def test_bits_do_not_depend_on_threads(tmp_path: Path) -> None:
    """They would in a chunk of one token over 512 cells or more."""
    path = attention_model(tmp_path / "m.gguf")
    assert bits(path, texts(), hardware=replace(CPU, n_threads=1)) == bits(path, texts())


@pytest.mark.parametrize("write", KINDS)
def test_logits_are_near_those_of_a_run(tmp_path: Path, write: Callable[[Path], Path]) -> None:
    path = write(tmp_path / "m.gguf")
    sizes: dict[str, Any] = {"n_sequences": 1, "n_tokens": max(LENGTHS)}
    with (
        quiet(),
        closing(PrefillContext(path, CPU, **sizes)) as reader,
        closing(GgufContext(path, CPU, **sizes)) as run,
    ):
        for text in sorted(texts()):
            read = reader.evaluate({0: text})[0]
            np.testing.assert_allclose(read, run.evaluate({0: text})[0], atol=NEAR)


def test_what_texts_share_is_read_once(tmp_path: Path) -> None:
    path = attention_model(tmp_path / "m.gguf")
    beginning = tuple(range(10, 10 + 2 * CHUNK))
    with quiet(), closing(PrefillContext(path, CPU, n_sequences=1, n_tokens=100)) as context:
        context.evaluate({0: (*beginning, 5, 6, 7)})
        assert context.n_decoded == 2 * CHUNK + 3
        context.evaluate({0: (*beginning, 8, 9)})
        assert context.n_decoded == 2 * CHUNK + 3 + 2
