"""LoRA adapters: W' = W + scale (alpha / rank) B A for some matrices W of a model, as llama.cpp applies them.

An adapter is a GGUF file of its own, with a pair of matrices A (rank x inputs) and B (outputs x rank) for each W. It is
applied per context: rows of two adapters are never in one batch, and the model's weights are loaded once.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from ...model_files.gguf_header import GgufHeader, Tensor, read_header
from ...system.errors import ModelError

_A, _B = ".lora_a", ".lora_b"
_EMBEDDINGS = "token_embd.weight"  # looked up by rows: its pair stands the other way round


class Adapter(NamedTuple):
    """The file of an adapter, and by how much it counts."""

    path: Path
    scale: float


class Tuned(NamedTuple):
    """A model's file with the adapters that are applied to it; each such combination has a context of its own."""

    path: Path
    adapters: tuple[Adapter, ...] = ()


def is_adapter(header: GgufHeader) -> bool:
    """Whether a file is an adapter and no model."""
    return header.text("general.type", "model") == "adapter"


def check_adapter(path: Path, base: GgufHeader, model: str) -> None:
    """Raise ModelError unless the file is a LoRA for the model with this header, as far as headers say."""
    header = read_header(path)
    if why := _misfit(header, base, model):
        raise ModelError(f"{path}: {why}", file=path)


def _misfit(header: GgufHeader, base: GgufHeader, model: str) -> str:
    """Why it is not applied; '' where it can be."""
    kind = header.text("adapter.type", "unknown")
    if not is_adapter(header):
        return "this is a model, not an adapter: name it under `model`"
    if kind != "lora":
        return f"this is an adapter of the type {kind!r}, and llama.cpp applies those of the type 'lora'"
    if "adapter.alora.invocation_tokens" in (*header.values, *header.lengths):
        return "this is an activated LoRA (aLoRA), which counts from some tokens of a text on: that is not supported"
    if header.architecture != base.architecture:
        return f"this adapter is for the architecture {header.architecture}, and {model} is a {base.architecture}"
    pairs = {tensor.name: tensor for tensor in header.tensors}
    matrices = {tensor.name: tensor for tensor in base.tensors}
    if not pairs:
        return "this adapter has no matrices"
    return next(filter(None, (_wrong_tensor(name, pairs, matrices, model) for name in sorted(pairs))), "")


def _wrong_tensor(name: str, pairs: Mapping[str, Tensor], matrices: Mapping[str, Tensor], model: str) -> str:
    of = name.removesuffix(_A).removesuffix(_B)
    a, b, matrix = pairs.get(of + _A), pairs.get(of + _B), matrices.get(of)
    if a is None or b is None:
        return f"{name} has no counterpart: a LoRA has a pair {of}{_A} and {of}{_B}"
    if matrix is None:
        return f"it changes {of}, which {model} does not have: it is an adapter of another model"
    inputs, outputs = matrix.n_per_row, matrix.n_rows
    if of == _EMBEDDINGS:
        fits = (b.n_rows, a.n_rows) == (inputs, outputs) and a.n_per_row == b.n_per_row
    else:
        fits = (a.n_per_row, b.n_rows) == (inputs, outputs) and a.n_rows == b.n_per_row
    if fits:
        return ""
    return (
        f"its matrices for {of} are {a.n_per_row} x {a.n_rows} and {b.n_per_row} x {b.n_rows}, which do not go with "
        f"the {inputs} x {outputs} of {model}: it is an adapter of another model"
    )


def apply(model: object, context: object, adapters: Sequence[Adapter]) -> None:
    """Have a context compute with adapters from now on; they are freed with the model."""
    import llama_cpp

    from . import llama_log

    loaded = [_loaded(model, adapter) for adapter in adapters]
    array = (llama_cpp.llama_adapter_lora_p_ctypes * len(loaded))(*loaded)
    scales = (ctypes.c_float * len(loaded))(*(adapter.scale for adapter in adapters))
    if loaded and llama_cpp.llama_set_adapters_lora(context, array, len(loaded), scales):
        names = ", ".join(str(adapter.path) for adapter in adapters)
        raise ModelError(f"llama.cpp cannot apply {names}: {llama_log.last_reason() or 'no reason given'}")


def _loaded(model: object, adapter: Adapter) -> object:
    import llama_cpp

    from . import llama_log

    loaded = llama_cpp.llama_adapter_lora_init(model, str(adapter.path).encode())
    if not loaded:
        reason = llama_log.last_reason() or "no reason given"
        raise ModelError(f"{adapter.path}: llama.cpp cannot load this adapter: {reason}", file=adapter.path)
    return loaded
