"""Inverse of a cumulative distribution over many tokens, in two steps: the block, then the token in it.

A pass of cumulative sums over V tokens costs ten times a pass of block sums. Sums over blocks of 256 tokens are shared
by all draws; a draw adds up one block. The token returned always has a positive probability, whatever the rounding.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..system.arrays import Array

BLOCK = 256


def block_sums(p: Array) -> Array:
    """Sums over blocks of tokens along the last axis, (..., V) to (..., ceil(V / 256))."""
    return np.asarray(np.add.reduceat(p, np.arange(0, p.shape[-1], BLOCK), axis=-1))


def quantile(p: Array | Callable[[slice], Array], blocks: Array, u: float) -> int:
    """The first token at which the sum of all before it, and itself, exceeds u times the whole, 0 <= u < 1.

    `p` is (V,), or gives the slice that is asked for; `blocks` are its block sums. Raises ValueError for a sum of 0.
    """
    ends = blocks.cumsum()
    if not ends[-1] > 0:
        raise ValueError("there is nothing to draw from: all probabilities are 0")
    block = _first_above(ends, u * ends[-1], blocks)
    begun = ends[block - 1] if block else 0.0
    tokens = slice(block * BLOCK, (block + 1) * BLOCK)
    inside = np.asarray(p(tokens) if callable(p) else p[tokens])
    return block * BLOCK + _first_above(begun + inside.cumsum(), u * ends[-1], inside)


def _first_above(sums: Array, target: float, steps: Array) -> int:
    """The first index with sums > target; where rounding leaves none, the last that adds anything."""
    index = int(sums.searchsorted(target, side="right"))
    return index if index < len(sums) else int(np.flatnonzero(steps)[-1])
