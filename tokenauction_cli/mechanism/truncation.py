"""Truncated sampling: an agent's distribution without its less likely tokens, scaled to sum 1 again.

    top_k    the k most likely tokens
    top_p    the fewest most likely tokens that have at least this probability together
    min_p    the tokens with at least this share of the highest probability

After the temperature, in this order, each on what the one before has left; of equally likely tokens the lower ids are
kept. What is left out has the logit -inf, so whatever is made of the logits knows the truncated distribution alone.

Probabilities are compared as whole multiples of 2^-44 of the highest, and what is equal but for rounding is equal. So
`native/truncation.c` keeps the same tokens, whatever the order in which it adds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..system.arrays import Array
from .native.truncating import compiled_row

WHOLE = 2.0**44
NEARLY = 1 - 1e-12
_FACTORIALS = (39916800, 3628800, 362880, 40320, 5040, 720, 120, 24, 6)


class Truncation(NamedTuple):
    """What is left of a distribution. `OFF`, with top_k 0, top_p 1 and min_p 0, leaves everything."""

    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0

    @property
    def in_words(self) -> str:
        """Only what it does: '' for `OFF`.

        >>> Truncation(top_k=40, min_p=0.05).in_words
        'top_k 40, min_p 0.05'
        """
        named = zip(self._fields, self, OFF, strict=True)
        return ", ".join(f"{name} {value:g}" for name, value, nothing in named if value != nothing)


OFF = Truncation()


def truncated(
    logits: Sequence[NDArray[Any]], temperatures: Sequence[float] | Array, truncations: Sequence[Truncation]
) -> Sequence[NDArray[Any]]:
    """Rows of logits, (V,) each, with -inf in the place of what is left out; a row without a truncation as it is.

    So is a row without a finite logit, or with one that is NaN or +inf, which has no distribution. No truncations at
    all mean that there are none.

    >>> row = np.log([0.5, 0.3, 0.15, 0.05])
    >>> [kept] = truncated([row], [0.5], [Truncation(top_p=0.9)])
    >>> np.isfinite(kept).tolist()
    [True, True, False, False]
    """
    if not truncations:
        return logits
    return [
        row if truncation == OFF else _truncated(row, float(temperature), truncation)
        for row, temperature, truncation in zip(logits, temperatures, truncations, strict=True)
    ]


def _truncated(row: NDArray[Any], temperature: float, truncation: Truncation) -> NDArray[Any]:
    there = compiled_row(row, temperature, *truncation)
    return truncated_row(row, temperature, truncation) if there is None else there


def truncated_row(row: NDArray[Any], temperature: float, truncation: Truncation) -> NDArray[Any]:
    """One row of `truncated`, by NumPy."""
    top = float(row.max(initial=-np.inf))
    if not np.isfinite(top):
        return row
    order = np.argsort(-row, kind="stable")
    order = order[: truncation.top_k or None]
    ratios = _exponential(np.maximum((row[order].astype(np.float64) - top) * (1 / temperature), -708.0))
    if truncation.top_p < 1:
        sums = np.cumsum(np.rint(ratios * WHOLE).astype(np.int64))
        enough = math.ceil(float(sums[-1]) * (truncation.top_p * NEARLY))
        order = order[: int(np.searchsorted(sums, enough)) + 1]
    order = order[ratios[: len(order)] >= truncation.min_p * NEARLY]
    kept = np.full_like(row, -np.inf)
    kept[order] = row[order]
    return kept


def _exponential(x: Array) -> Array:
    """e^x, -708 <= x <= 0, by the operations of `native/exponential.h` one by one: NumPy's own has other last bits."""
    k = np.rint(x * 1.4426950408889634)
    r = x - k * 6.93147180369123816490e-01
    r = r - k * 1.90821492927058770002e-10
    s = np.full_like(x, 1.0 / 479001600.0)
    for factorial in _FACTORIALS:
        s = s * r + 1.0 / factorial
    s = s * r + 0.5
    return np.asarray(np.ldexp(r * r * s + r + 1.0, k.astype(np.int64)))
