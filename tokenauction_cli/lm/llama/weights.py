"""In which format a file's weights are computed with, and how many rows a batch then has: a table, no timing.

So a file gives one result on one kind of machine. A format other than the file's own is that of a copy (`copies.py`),
whose matrices are floats: llama.cpp multiplies them faster than most quantised ones, and does not round activations to
8 bits beside them, so that a copy is nearer to what the file says.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import NamedTuple

from ...model_files.gguf_header import GgufHeader
from . import libraries
from .hardware import Hardware
from .lone_rows import FLOATS, parts_streams

FILE = "file"
AUTO = "auto"
COPIED = {"bf16": "BF16", "f16": "F16"}  # the formats of copies, and their types as ggml names them
USUAL_ROWS = 32
GPU_ROWS = 128
MOST_OF_MEMORY = 0.4  # of the machine's, for all copies of an experiment together
_INTEGERS = range(24, 28)  # ggml_type, as in ggml.h: of 8 to 64 bits
_WITH_STATE = re.compile(r"blk\.\d+\.(ssm_|shortconv\.|time_mix_|channel_mix_)")


class Processor(NamedTuple):
    """A kind of processor, by what llama.cpp's system info has and lacks, and what is fastest there.

    Of what is no copy a batch has `USUAL_ROWS`, on a GPU `GPU_ROWS`.
    """

    has: str
    lacks: tuple[str, ...]
    form: str
    fast: tuple[str, ...]  # types of files that gain nothing from a copy in this format
    rows: int  # in a batch of copies
    measured: tuple[str, str]  # that the format rests on, and the rows


PROCESSORS = (
    Processor(
        has="AVX512_BF16",
        lacks=("AMX_INT8",),
        form="bf16",
        fast=("Q4_0",),
        rows=96,
        measured=(
            "AMD EPYC, 2 cores, rows/s in batches of 32: SmolLM2-135M Q4_1 390, Q8_0 675, Q4_K_M 700, Q4_0 1065, BF16 "
            "935; Qwen2.5-0.5B Q4_K_M 218, BF16 395; Gemma-3-270M Q4_K_M 361, BF16 626",
            "the same, rows/s in batches of 32, 64, 96, 128: SmolLM2-135M BF16 1050, 1260, 1411, 1345, and 408 to 440 "
            "in Q4_1; Qwen2.5-0.5B BF16 385, 462, 508, 470",
        ),
    ),
    Processor(
        has="AVX2",
        lacks=("AVX512", "AVX_VNNI", "AMX_INT8"),
        form="f16",
        fast=("Q4_0", "IQ4_NL"),
        rows=64,
        measured=(
            "AMD EPYC, 2 cores of a busy host, SmolLM2-135M, rows/s in batches of 32, in two runs: Q4_1 124, 127; Q8_0 "
            "170, 198; Q4_0 260, 250; IQ4_NL 250, 320; F16 217, 182; in one: Q4_K_M 172, Q6_K 163, BF16 200",
            "the same, F16, rows/s in batches of 32, 64, 96, in two runs: 217, 248, 228; 182, 228, 314",
        ),
    ),
)


class Weights(NamedTuple):
    """A format: `file` as the file has it, otherwise that of a copy; and why."""

    form: str
    why: str

    @property
    def is_copy(self) -> bool:
        return self.form != FILE


def chosen(asked: str, header: GgufHeader, hardware: Hardware, *, alone: bool) -> Weights:
    """What `runtime.weights` means for a file on this machine; `alone`: where tokens are evaluated one by one."""
    kind = most_common_type(header)
    if asked == FILE:
        return Weights(FILE, "runtime.weights says so")
    if asked != AUTO:
        if kind == COPIED[asked]:
            return Weights(FILE, f"it is in {asked} already")
        return Weights(asked, "runtime.weights says so")
    if reason := _why_not(header, hardware, alone=alone):
        return Weights(FILE, reason)
    processor = _processor()
    if processor is None:
        return Weights(FILE, "no copy is known to be faster on this kind of processor")
    if kind in processor.fast:
        return Weights(FILE, f"{kind} is as fast on processors with {processor.has}")
    return Weights(processor.form, f"faster than {kind} on processors with {processor.has}")


def _why_not(header: GgufHeader, hardware: Hardware, *, alone: bool) -> str:
    """Why no processor gains from a copy of such a file, computed like that; '' where one may."""
    if hardware.gpu_layers or hardware.rpc:
        return "a GPU or a server computes it"
    if alone:
        return "tokens alone are slower in other formats"
    if most_common_type(header) in ("F32", "F16", "BF16"):
        return "it holds floats already"
    if parts_streams(header) or any(_WITH_STATE.match(tensor.name) for tensor in header.tensors):
        return "float matrices of its architecture would have to be evaluated in pairs, or change bits in a batch"
    return ""


def _processor() -> Processor | None:
    """The kind that this one is of."""
    has = libraries.computes_with
    return next((kind for kind in PROCESSORS if has(kind.has) and not any(map(has, kind.lacks))), None)


def best_rows(form: str, hardware: Hardware) -> int:
    """How many rows of a file in this format a batch has."""
    if hardware.gpu_layers:
        return GPU_ROWS
    processor = _processor()
    return processor.rows if processor is not None and processor.form == form else USUAL_ROWS


def most_common_type(header: GgufHeader) -> str:
    """The type of most bytes of a file's weights, as in "Q4_1"."""
    n_bytes = Counter[int]()
    for tensor in header.tensors:
        n_bytes[tensor.kind] += tensor.n_rows * libraries.bytes_of_row(tensor.kind, tensor.n_per_row)
    return libraries.type_name(max(n_bytes, key=lambda kind: n_bytes[kind])) if n_bytes else "F32"


def size_of_copy(header: GgufHeader) -> int:
    """Bytes of a copy, about: two for every number."""
    return sum(2 * tensor.n_rows * tensor.n_per_row for tensor in header.tensors)


def left_quantised(header: GgufHeader) -> str:
    """The name of a matrix in a quantised type, '' where all are floats."""
    kinds = (tensor for tensor in header.tensors if sum(size > 1 for size in tensor.sizes) > 1)
    return next((tensor.name for tensor in kinds if tensor.kind not in (*FLOATS, *_INTEGERS)), "")
