"""Products of weights and rows as llama.cpp computes them, before anything rounds them: kernels that differ show there.

Behind a product, numbers are rounded to 16 or 8 bits, which hides most of what a kernel adds up in another order: of
thousands of logits none may differ, while one text of a hundred does. In the products themselves a few rows decide.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import llama_cpp
import numpy as np

from ..llama import libraries

_F32 = 0
_MOST_HEADS = 4  # a matrix for each head: what the first few show, all show
_SIZES = 4


class _Tensor(ctypes.Structure):
    """`struct ggml_tensor`, as of llama.cpp's ggml.h."""


_Tensor._fields_ = [
    ("type", ctypes.c_int),
    ("buffer", ctypes.c_void_p),
    ("sizes", ctypes.c_int64 * _SIZES),
    ("strides", ctypes.c_size_t * _SIZES),
    ("op", ctypes.c_int),
    ("op_params", ctypes.c_int32 * 16),
    ("flags", ctypes.c_int32),
    ("sources", ctypes.POINTER(_Tensor) * 10),
    ("view_source", ctypes.c_void_p),
    ("view_offset", ctypes.c_size_t),
    ("data", ctypes.c_void_p),
    ("name", ctypes.c_char * 64),
    ("extra", ctypes.c_void_p),
    ("padding", ctypes.c_char * 8),
]
_SIZE_OF_OBJECT = 32  # what ggml keeps of every tensor beside it


class Products:
    """Learns the rows of every product, then says which weights gave a row that is none of them."""

    def __init__(self) -> None:
        self.hear = llama_cpp.ggml_backend_sched_eval_callback(self._hear)
        self._ggml = libraries.ggml()
        self._is_listening = False
        self._is_learning = False
        self._known: dict[str, set[int]] = {}
        self._moved: list[str] = []

    @staticmethod
    def can_be_heard() -> bool:
        """Whether this llama.cpp has tensors as they are written down here."""
        return bool(libraries.ggml().ggml_tensor_overhead() == ctypes.sizeof(_Tensor) + _SIZE_OF_OBJECT)

    @contextmanager
    def learned(self) -> Iterator[None]:
        """Every row that is computed in this context is one of those that are right."""
        self._is_learning = True
        with self.compared():
            yield
        self._is_learning = False

    @contextmanager
    def compared(self) -> Iterator[list[str]]:
        """The names of the weights whose products have other rows, as they come until the context ends."""
        self._moved = []
        self._is_listening = True
        try:
            yield self._moved
        finally:
            self._is_listening = False

    def _hear(self, address: int, is_question: bool, _user_data: Any) -> bool:
        """llama.cpp asks of every node whether it is wanted, and shows those that are."""
        if not self._is_listening:
            return False
        tensor = _Tensor.from_address(address)
        if not is_question:
            self._look_at(tensor)
            return True
        is_product = self._ggml.ggml_op_desc(address) in (b"MUL_MAT", b"MUL_MAT_ID")
        return bool(is_product and tensor.type == _F32 and tensor.sources[0].contents.name.endswith(b".weight"))

    def _look_at(self, tensor: _Tensor) -> None:
        weights = tensor.sources[0].contents.name.decode("utf-8", "replace")
        found = {hash(row.tobytes()) for row in self._rows(tensor)}
        if self._is_learning:
            self._known.setdefault(weights, set()).update(found)
        elif weights not in self._moved and not found <= self._known.get(weights, set()):
            self._moved.append(weights)

    def _rows(self, tensor: _Tensor) -> Any:
        """(n, size of a row) float32."""
        numbers = np.empty(tuple(tensor.sizes)[::-1], np.float32)
        self._ggml.ggml_backend_tensor_get(ctypes.byref(tensor), numbers.ctypes.data, 0, numbers.nbytes)
        if self._ggml.ggml_op_desc(ctypes.byref(tensor)) == b"MUL_MAT":
            numbers = numbers[:, :_MOST_HEADS]
        return numbers.reshape(-1, tensor.sizes[0])
