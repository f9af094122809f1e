"""Where the header of a GGUF file contradicts itself: asked where llama.cpp crashed, to tell damaged files."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

from ...model_files.gguf_header import GgufHeader

_LAYER = re.compile(r"blk\.(\d+)\.")
_TOKENS = "tokenizer.ggml.tokens"


def contradiction(header: GgufHeader) -> str:
    """The first one, '' where there is none: then the file is as it should be, for all that its header says."""
    return next(filter(None, (find(header) for find in _KINDS)), "")


def _layers(header: GgufHeader) -> str:
    said = header.number("block_count")
    layers = {int(match[1]) for tensor in header.tensors if (match := _LAYER.match(tensor.name))}
    if said is None or said < 1:
        return f"{header.architecture}.block_count is {'missing' if said is None else said}"
    if said > len(layers):
        return f"it says that it has {said} layers, and has the tensors of {len(layers)}"
    return ""


def _width(header: GgufHeader) -> str:
    said = header.number("embedding_length")
    found = next((tensor.sizes[0] for tensor in header.tensors if tensor.name == "token_embd.weight"), said)
    return "" if said == found else f"it says that embeddings have {said} numbers, and has those of {found}"


def _experts(header: GgufHeader) -> str:
    said = header.number("expert_count")
    if not said or any("_exps" in tensor.name for tensor in header.tensors):
        return ""
    return f"it says that it has {said} experts, and has none"


def _numbers(header: GgufHeader) -> str:
    for key, value in header.values.items():
        if isinstance(value, float) and (not math.isfinite(value) or (value < 0 and key.endswith("epsilon"))):
            return f"{key} is {value}"
    return ""


def _vocabulary(header: GgufHeader) -> str:
    n_tokens = _length(header, _TOKENS)
    if n_tokens == 0:
        return "its list of tokens is empty"
    for key in ("tokenizer.ggml.scores", "tokenizer.ggml.token_type"):
        n = _length(header, key)
        if None not in (n, n_tokens) and n != n_tokens:
            return f"it has {n_tokens} tokens, and {n} entries of {key}"
    return ""


def _length(header: GgufHeader, key: str) -> int | None:
    value = header.values.get(key)
    return len(value) if isinstance(value, tuple) else header.lengths.get(key)


_KINDS: tuple[Callable[[GgufHeader], str], ...] = (_layers, _width, _experts, _numbers, _vocabulary)
