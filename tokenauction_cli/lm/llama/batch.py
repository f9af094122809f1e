"""What one `llama_decode` carries: rows, in the arrays that llama.cpp reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import llama_cpp
import numpy as np


@dataclass(frozen=True, slots=True)
class Row:
    """One token of one sequence in a batch."""

    sequence: int
    position: int
    token: int
    is_output: bool


class Batch:
    """A `llama_batch` over NumPy arrays that live as long as the context."""

    def __init__(self, capacity: int) -> None:
        self._tokens = np.zeros(capacity, np.int32)
        self._positions = np.zeros(capacity, np.int32)
        self._counts = np.ones(capacity, np.int32)
        self._sequences = np.zeros(capacity, np.int32)
        self._outputs = np.zeros(capacity, np.int8)
        first = self._sequences.ctypes.data
        self._pointers = (first + self._sequences.itemsize * np.arange(capacity)).astype(np.uintp)
        kind = dict(llama_cpp.llama_batch._fields_)
        self._struct = llama_cpp.llama_batch(
            n_tokens=0,
            token=self._tokens.ctypes.data_as(kind["token"]),
            pos=self._positions.ctypes.data_as(kind["pos"]),
            n_seq_id=self._counts.ctypes.data_as(kind["n_seq_id"]),
            seq_id=self._pointers.ctypes.data_as(kind["seq_id"]),
            logits=self._outputs.ctypes.data_as(kind["logits"]),
        )

    def of(self, rows: Sequence[Row]) -> Any:
        """The struct with these rows, at most as many as its capacity; the next call writes over it."""
        n = len(rows)
        self._tokens[:n] = [row.token for row in rows]
        self._positions[:n] = [row.position for row in rows]
        self._sequences[:n] = [row.sequence for row in rows]
        self._outputs[:n] = [row.is_output for row in rows]
        self._struct.n_tokens = n
        return self._struct
