"""The header of a GGUF file: what it says, and every way in which it may be broken."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_gguf import BF16, F32, Q8_0, bigram_model, mixed_model, write_gguf

from tokenauction_cli.model_files.gguf_header import MOST_ITEMS, MOST_KEYS, Tensor, read_header
from tokenauction_cli.system.errors import ModelError

START = b"GGUF" + struct.pack("<I", 3)
LONGEST_MESSAGE = 1000


def test_what_a_header_says(tmp_path: Path) -> None:
    facts = {"llama.epsilon": 0.5, "llama.causal": False, "llama.heads": [0, 2], "general.license": "é"}
    header = read_header(bigram_model(tmp_path / "m.gguf", words=["hotel"], metadata=facts))
    assert header.architecture == "llama"
    assert (header.number("block_count"), header.number("epsilon"), header.number("none")) == (1, None, None)
    assert [header.of_architecture(key) for key in ("epsilon", "causal", "heads")] == [0.5, False, (0, 2)]
    assert header.text("general.license") == "é"
    assert header.lengths == {"tokenizer.ggml.tokens": 261}
    assert Tensor("token_embd.weight", (288, 261), F32) in header.tensors


def test_types_are_those_of_tensors(tmp_path: Path) -> None:
    kinds = {tensor.name: tensor.kind for tensor in read_header(mixed_model(tmp_path / "m.gguf", "attn_v")).tensors}
    assert (kinds["blk.0.attn_v.weight"], kinds["blk.0.attn_q.weight"]) == (BF16, Q8_0)
    assert kinds["blk.0.attn_norm.weight"] == F32


def test_the_tensors_of_all_parts(tmp_path: Path) -> None:
    for number in (1, 2):
        path = tmp_path / f"m-0000{number}-of-00002.gguf"
        mixed_model(path, "attn_v") if number == 1 else bigram_model(path)
    both = read_header(tmp_path / "m-00001-of-00002.gguf")
    assert both.number("embedding_length") == 256
    assert len(both.tensors) == 21 + 12


def counts(n_tensors: int, n_keys: int, rest: bytes = b"") -> bytes:
    return START + struct.pack("<QQ", n_tensors, n_keys) + rest


def key(kind: int, value: bytes, name: bytes = b"k") -> bytes:
    return struct.pack("<Q", len(name)) + name + struct.pack("<I", kind) + value


def array(kind: int, n: int) -> bytes:
    return key(9, struct.pack("<IQ", kind, n))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (counts(1, 0), "1 tensors, for which the file is too short"),
        (counts(2**40, 0), "1099511627776 tensors, of which a model has 65536 at most"),
        (counts(0, MOST_KEYS + 1), f"keys, of which a model has {MOST_KEYS} at most"),
        (counts(0, 2, key(4, b"1234") * 2), "the key 'k' stands twice"),
        (counts(0, 1, key(77, b"1234")), "no value has the type 77"),
        (counts(0, 1, array(9, 1) + b"1234"), "no value has the type 9"),
        (counts(0, 1, array(4, 1 << 21)), "2097152 items of arrays, for which the file is too short"),
        (counts(0, 1, array(4, MOST_ITEMS + 1)), "items of arrays, of which a model has"),
        (counts(0, 1, key(8, struct.pack("<Q", 2**63))), "a text of 9223372036854775808 bytes"),
        (counts(0, 1, key(8, struct.pack("<Q", 9) + b"12345678")), "the file ends within it"),
        (counts(1, 0, struct.pack("<Q", 1) + b"t" + struct.pack("<I", 5) + bytes(40)), "the tensor 't' has 5 sizes"),
        (counts(0, 2, key(4, b"1234", b"n" * 5000) * 2), "stands twice"),
    ],
)
def test_a_broken_header_is_one_sentence(tmp_path: Path, data: bytes, reason: str) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(data)
    with pytest.raises(ModelError) as caught:
        read_header(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: the header of the file is damaged: ")
    assert reason in message
    assert len(message) < LONGEST_MESSAGE


NUMBERS = st.sampled_from([0, 1, 2, 8, 9, 255, 2**31, 2**32 - 1, 2**63, 2**64 - 1])
CHANGES = st.lists(
    st.one_of(
        st.tuples(st.integers(0, 400), st.binary(min_size=1, max_size=9)),
        st.tuples(st.integers(0, 400), NUMBERS.map(lambda number: struct.pack("<Q", number))),
        st.tuples(st.integers(0, 400), NUMBERS.map(lambda number: struct.pack("<I", number & 0xFFFFFFFF))),
    ),
    max_size=4,
)


@pytest.mark.parametrize("n_examples", [300, pytest.param(100_000, marks=pytest.mark.slow)])
def test_any_header_is_read_or_refused(tmp_path: Path, n_examples: int) -> None:
    """Bytes and numbers changed anywhere, cut anywhere: a header, or one sentence."""
    facts = {"general.architecture": "llama", "a.list": [1, 2, 3], "a.text": "abc", "some": ["x", "yy"]}
    names = {"token_embd.weight": F32, "blk.0.attn_v.weight": BF16}
    path = write_gguf(tmp_path / "m.gguf", facts, dict.fromkeys(names, np.zeros((2, 32), np.float32)), names)
    whole = path.read_bytes()

    @settings(max_examples=n_examples)
    @given(CHANGES, st.integers(0, len(whole)))
    def check(changes: list[tuple[int, bytes]], end: int) -> None:
        data = bytearray(whole)
        for at, new in changes:
            data[at : at + len(new)] = new
        path.write_bytes(data[: len(data) - end if changes else end])
        message = refusal(path)
        assert message is None or (message.startswith(f"{path}: ") and len(message) < LONGEST_MESSAGE)

    check()


def refusal(path: Path) -> str | None:
    try:
        read_header(path)
    except ModelError as error:
        return str(error)
    return None
