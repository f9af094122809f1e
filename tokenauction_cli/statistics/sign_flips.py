"""Sign flips: a test of whether a mean is 0 that assumes nothing but that each number is as likely as its negative."""

from __future__ import annotations

from functools import lru_cache
from itertools import product

import numpy as np
from numpy.typing import NDArray

from ..system.arrays import Array

FLIPS = 2000
_SIGNS_AT_ONCE = 200_000
_MOST_FOR_ALL_SIGNS = 10
_ROUNDING = 1e-12  # of the sum of all sizes


def sign_flip(differences: Array) -> float:
    """Two-sided p-value of the mean difference being 0: exact for up to 10 differences, from 2000 flips for more.

    The share of sign vectors s with |sum s_k d_k| >= |sum d_k|, of `differences` (n,).
    Source: R. A. Fisher, The Design of Experiments (1935), section 21.

    >>> sign_flip(np.array([1.0, 2.0, 0.5, 1.5]))
    0.125
    >>> sign_flip(np.array([1.0, -1.0]))
    1.0
    """
    signs = _signs(len(differences))
    at_once = max(1, _SIGNS_AT_ONCE // max(1, len(differences)))
    parts = (signs[k : k + at_once].astype(float) for k in range(0, len(signs), at_once))
    sums = np.abs(np.concatenate([np.einsum("rn,n->r", part, differences) for part in parts]))
    observed = abs(float(differences.sum())) - _ROUNDING * float(np.abs(differences).sum())
    as_far = int((sums >= observed).sum())
    exact = len(differences) <= _MOST_FOR_ALL_SIGNS
    return as_far / len(signs) if exact else (as_far + 1) / (len(signs) + 1)


@lru_cache(maxsize=8)
def _signs(n: int) -> NDArray[np.int8]:
    if n <= _MOST_FOR_ALL_SIGNS:
        return np.array(list(product((1, -1), repeat=n)), dtype=np.int8)
    random = np.random.default_rng(n)
    parts = [random.choice(np.array([-1, 1], dtype=np.int8), size=(100, n)) for _ in range(FLIPS // 100)]
    return np.concatenate(parts)
