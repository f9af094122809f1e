"""What rounding alone tells apart: sums that are equal on paper and differ in their last digits."""

from __future__ import annotations

import numpy as np

from ..system.arrays import Array

ROUNDING = 1e-9
"""Of the larger figure; a difference below it is none."""


def apart(first: Array, second: Array) -> Array:
    """first - second of pairs, (n,) or (n, F) of F figures; 0 in all pairs of a figure that rounding alone moves.

    >>> apart(np.array([0.1 + 0.2, 1.0]), np.array([0.3, 1.0])).tolist()
    [0.0, 0.0]
    >>> apart(np.array([0.5, 1.0]), np.array([0.25, 1.0])).tolist()
    [0.25, 0.0]
    """
    differences = first - second
    largest = np.nan_to_num(np.abs(differences)).max(axis=0, initial=0.0)
    size = np.nan_to_num(np.maximum(np.abs(first), np.abs(second)), posinf=0.0).max(axis=0, initial=0.0)
    return np.where((largest <= ROUNDING * size) & ~np.isnan(differences), 0.0, differences)
