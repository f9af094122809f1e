"""Which files need rows in pairs: a row of a float matrix that is alone in its product takes another kernel on CPUs.

Alone it is a dot product, in company a part of a matrix product, which adds up in another order: other bits. So a row
that would be alone gets another one beside it. The header says which matrices are floats; the file's type
(`general.file_type`) does not, since people publish quantised files with some matrices as they were.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from ...model_files.gguf_header import GgufHeader, Tensor

_F32, _F16, _F64, _BF16 = 0, 1, 28, 30  # ggml_type, as in ggml.h
FLOATS = (_F32, _F16, _F64, _BF16)
_HALVES = (_F16, _BF16)
_NOT_MULTIPLIED = re.compile(r"(position_embd|token_types|per_layer_token_embd)\.weight|.*conv(1d(_\w)?)?\.weight")
_EMBEDDINGS, _OUTPUT = "token_embd.weight", "output.weight"


def has_floats(header: GgufHeader) -> bool:
    """Whether rows meet matrices of floats: somewhere, or where a mixture of experts chooses."""
    names = {tensor.name for tensor in header.tensors}
    looked_up = {_EMBEDDINGS} if _OUTPUT in names else set()
    return bool(header.number("expert_count")) or any(
        tensor.kind in FLOATS and tensor.name not in looked_up for tensor in _multiplied(header.tensors)
    )


def parts_streams(header: GgufHeader) -> bool:
    """Whether rows meet such a matrix stream by stream: attention whose values are latent is multiplied after it."""
    return any(tensor.name.endswith("attn_v_b.weight") and tensor.kind in _HALVES for tensor in header.tensors)


def _multiplied(tensors: Iterable[Tensor]) -> Iterable[Tensor]:
    """The matrices of weights; vectors, embeddings that are looked up and convolutions are none."""
    for tensor in tensors:
        n_sizes = sum(size > 1 for size in tensor.sizes)
        if n_sizes > 1 and tensor.name.endswith(".weight") and not _NOT_MULTIPLIED.fullmatch(tensor.name):
            yield tensor
