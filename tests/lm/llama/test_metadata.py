"""What a plan reads of a file that nobody has tried: it opens, or one sentence says why not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from conftest import Command
from tiny_gguf import bigram_model

from tokenauction_cli.lm.llama import metadata
from tokenauction_cli.lm.llama.contradictions import contradiction
from tokenauction_cli.lm.llama.metadata import how_it_ended, read_metadata
from tokenauction_cli.model_files.gguf_header import read_header
from tokenauction_cli.system.errors import ModelError

NO_TOKENS: dict[str, Any] = {f"tokenizer.ggml.{name}": [] for name in ("tokens", "merges")}
LONG = "x" * 20_000


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKAUCTION_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        (NO_TOKENS, "this model has no vocabulary"),
        ({f"many.{k}": 1 for k in range(20_000)}, "keys, of which a model has 4096 at most"),
        ({"general.architecture": LONG}, "unknown model architecture: 'xxx"),
        ({"tokenizer.ggml.model": LONG}, "unknown tokenizer: 'xxx"),
    ],
    ids=["no tokens", "many keys", "a long architecture", "a long tokenizer"],
)
def test_a_strange_file_is_one_sentence(
    tmp_path: Path, in_process: Command, facts: dict[str, Any], reason: str
) -> None:
    without = ["tokenizer.ggml.scores", "tokenizer.ggml.token_type"] if facts is NO_TOKENS else []
    bigram_model(tmp_path / "m.gguf", metadata=facts, without=without)
    (tmp_path / "e.yaml").write_text("name: e\nagents: [{name: A, model: m.gguf, prompt: ab}]\n")
    done = in_process("check", "e.yaml")
    assert (done.returncode, done.stdout) == (2, "")
    assert reason in done.stderr
    assert done.stderr.count("\n") == 1
    assert len(done.stderr) < 1000


def test_a_file_is_opened_in_a_child_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = bigram_model(tmp_path / "m.gguf")
    assert read_metadata(path).context_length == 2048
    monkeypatch.setattr(metadata, "_child", None)
    assert read_metadata(path).architecture == "llama"
    bigram_model(path, words=["another file"])
    with pytest.raises(TypeError):
        read_metadata(path)


def test_what_was_refused_is_refused_again(tmp_path: Path) -> None:
    path = bigram_model(tmp_path / "m.gguf", metadata={"llama.attention.causal": False})
    for _ in range(2):
        with pytest.raises(ModelError, match="does not write from left to right"):
            read_metadata(path)


@pytest.mark.parametrize(
    ("code", "said", "words"),
    [
        (-6, b"a.cpp:1: GGML_ASSERT(n > 0) failed\nmore", "it crashed (SIGABRT): GGML_ASSERT(n > 0) failed"),
        (-24, b"", "it computes for more than 60 seconds"),
        (1, b"Traceback\nMemoryError", "MemoryError"),
        (3, b"", "it ended with status 3"),
    ],
)
def test_how_a_child_ended(code: int, said: bytes, words: str) -> None:
    assert how_it_ended(code, said) == words


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, ""),
        ({"llama.block_count": 0}, "llama.block_count is 0"),
        ({"llama.block_count": 7}, "it says that it has 7 layers, and has the tensors of 1"),
        ({"llama.embedding_length": 64}, "it says that embeddings have 64 numbers, and has those of 288"),
        ({"llama.expert_count": 8}, "it says that it has 8 experts, and has none"),
        ({"llama.attention.layer_norm_rms_epsilon": -1.0}, "llama.attention.layer_norm_rms_epsilon is -1.0"),
        ({"tokenizer.ggml.scores": [0.0]}, "it has 260 tokens, and 1 entries of tokenizer.ggml.scores"),
    ],
)
def test_where_a_header_contradicts_itself(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    assert contradiction(read_header(bigram_model(tmp_path / "m.gguf", metadata=change))) == words
