"""The truncation of one row of logits in C: what `truncation.py` says in NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .compiled import library
from .prefetch import address_of

PART = 256


def compiled_row(
    row: NDArray[Any], temperature: float, top_k: int, top_p: float, min_p: float
) -> NDArray[np.float32] | None:
    """The row, (V,), with -inf for what is left out; None without compiled passes, and for all but float32 logits.

    Also None where there is nothing to choose from.
    """
    passes = library()
    if passes is None or row.dtype != np.float32 or not row.flags.c_contiguous or not row.size:
        return None
    tops, scratch = np.empty(-(-row.size // PART), np.float32), np.empty((3, row.size), np.uint64)
    made = np.empty_like(row)
    given, arrays = (address_of(row), row.size), map(address_of, (tops, scratch[2], scratch, made))
    return made if passes.pass_truncation(*given, temperature, top_k, top_p, min_p, *arrays) else None
