"""The format of weights and the rows of a batch: tables, by what llama.cpp says of the processor."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_gguf import BF16, attention_model, hybrid_model, latent_model, mixed_model

from tokenauction_cli.lm.llama import libraries, weights
from tokenauction_cli.lm.llama.hardware import Hardware
from tokenauction_cli.lm.llama.weights import COPIED, PROCESSORS, best_rows, chosen, most_common_type
from tokenauction_cli.model_files.gguf_header import GgufHeader, Tensor, read_header

Q4_0, Q4_1, Q6_K, Q8_0, IQ4_NL = 2, 3, 14, 8, 20  # ggml_type
CPU = Hardware(0, 2)
AMD = "CPU : AVX2 = 1 | AVX512 = 1 | AVX512_BF16 = 1"
AVX2 = "CPU : AVX2 = 1 | F16C = 1 | FMA = 1"
OTHERS = [
    f"{AMD} | AMX_INT8 = 1",
    "CPU : AVX2 = 1 | AVX512 = 1",
    f"{AVX2} | AVX_VNNI = 1",
    "CPU : NEON = 1 | ARM_FMA = 1",
    "CPU : SSE3 = 1",
]


@pytest.fixture(autouse=True)
def table(monkeypatch: pytest.MonkeyPatch) -> None:
    """As it is shipped."""
    monkeypatch.setattr(weights, "PROCESSORS", PROCESSORS)


@pytest.fixture
def amd(monkeypatch: pytest.MonkeyPatch) -> None:
    """llama.cpp's system info of the processor for which BF16 copies were measured."""
    monkeypatch.setattr(libraries, "system_info", lambda: AMD)


def header(*kinds: int, name: str = "blk.0.ffn_up.weight") -> GgufHeader:
    """A matrix of 256 x 256 of each type."""
    return GgufHeader({}, {}, tuple(Tensor(name, (256, 256), kind) for kind in kinds))


def form(file: GgufHeader, asked: str = "auto", hardware: Hardware = CPU, *, alone: bool = False) -> str:
    return chosen(asked, file, hardware, alone=alone).form


@pytest.mark.usefixtures("amd")
def test_bf16_where_it_was_measured_to_be_faster() -> None:
    assert [form(header(kind)) for kind in (Q4_1, Q6_K, Q8_0)] == ["bf16"] * 3
    assert [form(header(kind)) for kind in (Q4_0, 0, 1, BF16)] == ["file"] * 4
    assert chosen("auto", header(Q4_1), CPU, alone=False).why == "faster than Q4_1 on processors with AVX512_BF16"


def test_f16_with_avx2_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libraries, "system_info", lambda: AVX2)
    assert [form(header(kind)) for kind in (Q4_1, Q6_K, Q8_0)] == ["f16"] * 3
    assert [form(header(kind)) for kind in (Q4_0, IQ4_NL)] == ["file"] * 2
    assert [best_rows(one, CPU) for one in ("f16", "bf16", "file")] == [64, 32, 32]


@pytest.mark.parametrize("system_info", OTHERS)
def test_the_file_where_nothing_was(monkeypatch: pytest.MonkeyPatch, system_info: str) -> None:
    monkeypatch.setattr(libraries, "system_info", lambda: system_info)
    assert form(header(Q4_1)) == "file"
    assert [best_rows(one, CPU) for one in COPIED] == [32, 32]


@pytest.mark.usefixtures("amd")
def test_the_type_of_most_bytes_counts() -> None:
    """256 x 256 numbers are 36 864 bytes of Q4_0, 40 960 of Q4_1, 53 760 of Q6_K, 69 632 of Q8_0."""
    assert most_common_type(header(Q4_0, Q6_K)) == "Q6_K"
    assert most_common_type(header(Q4_0, Q4_0, Q6_K)) == "Q4_0"
    assert form(header(Q4_0, Q4_0, Q8_0)) == "file"
    assert form(header(Q4_0, Q8_0)) == "bf16"


@pytest.mark.usefixtures("amd")
def test_the_file_on_gpus_and_for_tokens_alone() -> None:
    assert form(header(Q4_1), hardware=Hardware(-1, 2)) == "file"
    assert form(header(Q4_1), hardware=Hardware(0, 2, rpc=("here:1",))) == "file"
    assert form(header(Q4_1), alone=True) == "file"


@pytest.mark.usefixtures("amd")
def test_the_file_where_a_copy_would_lose_its_bits(tmp_path: Path) -> None:
    """Latent values and recurrent states want rows in pairs beside float matrices."""
    latent = read_header(latent_model(tmp_path / "latent.gguf"))
    hybrid = read_header(hybrid_model(tmp_path / "hybrid.gguf"))
    for file, what in ((latent, "attn_v_b"), (hybrid, "shortconv")):
        wide = tuple(one for one in file.tensors if one.sizes[0] % 32 == 0)
        quantised = tuple(one._replace(kind=Q8_0) for one in wide if what not in one.name)
        special = tuple(one for one in file.tensors if what in one.name)
        assert form(GgufHeader({}, {}, quantised)) == "bf16"
        assert form(GgufHeader({}, {}, (*quantised, *special))) == "file"


@pytest.mark.parametrize("system_info", [AMD, AVX2, *OTHERS])
def test_who_names_a_format_gets_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, system_info: str) -> None:
    monkeypatch.setattr(libraries, "system_info", lambda: system_info)
    mixed = read_header(mixed_model(tmp_path / "m.gguf"))
    assert [form(mixed, asked) for asked in ("file", "bf16", "f16")] == ["file", "bf16", "f16"]
    assert form(read_header(attention_model(tmp_path / "f32.gguf")), "f16") == "f16"
    already = chosen("bf16", header(BF16, BF16, Q8_0), CPU, alone=False)
    assert already == ("file", "it is in bf16 already")


@pytest.mark.usefixtures("amd")
def test_rows_of_a_batch() -> None:
    assert best_rows("bf16", CPU) == 96
    assert [best_rows(one, CPU) for one in ("file", "f16")] == [32, 32]
    assert best_rows("file", Hardware(-1, 2)) == 128


def test_every_line_of_the_tables_says_what_was_measured() -> None:
    for line in PROCESSORS:
        assert line.form in COPIED
        assert all("rows/s in batches of" in measured for measured in line.measured)
