"""Sign flips: a test of whether a mean is 0 that assumes nothing but that each number is as likely as its negative."""

from __future__ import annotations

from functools import lru_cache
from itertools import product

import numpy as np
from numpy.typing import NDArray

from ..system.arrays import Array
from .samples import of_each_size

FLIPS = 2000
_SIGNS_AT_ONCE = 200_000
_SAMPLES_AT_ONCE = 128
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
    return float(_p_values(differences[None])[0])


def sign_flips(samples: Array) -> Array:
    """The same of every row of (K, n), its NaN left out, (K,); NaN where a row has fewer than two numbers.

    >>> sign_flips(np.array([[1.0, 2.0, 0.5, 1.5], [1.0, -1.0, np.nan, np.nan]])).tolist()
    [0.125, 1.0]
    """
    found = np.full(len(samples), np.nan)
    for which, (differences,) in of_each_size(samples, _SAMPLES_AT_ONCE):
        if differences.shape[1] > 1:
            found[which] = _p_values(differences)
    return found


def _p_values(differences: Array) -> Array:
    """Of (K, n)."""
    n = differences.shape[1]
    signs = _signs(n)
    sizes = np.abs(differences)
    observed = np.abs(differences.sum(axis=1)) - _ROUNDING * sizes.sum(axis=1)
    as_far, at_once = np.zeros(len(differences)), max(1, _SIGNS_AT_ONCE // max(1, n))
    for k in range(0, len(signs), at_once):
        sums = np.abs(differences @ signs[k : k + at_once].T.astype(float))
        as_far += (sums >= observed[:, None]).sum(axis=1)
    exact = n <= _MOST_FOR_ALL_SIGNS
    return as_far / len(signs) if exact else (as_far + 1) / (len(signs) + 1)


@lru_cache(maxsize=8)
def _signs(n: int) -> NDArray[np.int8]:
    if n <= _MOST_FOR_ALL_SIGNS:
        return np.array(list(product((1, -1), repeat=n)), dtype=np.int8)
    random = np.random.default_rng(n)
    parts = [random.choice(np.array([-1, 1], dtype=np.int8), size=(100, n)) for _ in range(FLIPS // 100)]
    return np.concatenate(parts)
