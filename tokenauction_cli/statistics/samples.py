"""Samples as rows of one table, (K, n), NaN where a sample has no number: what is worked out of very many at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from ..system.arrays import Array, Indices


def samples(groups: Indices, columns: Iterable[Array]) -> Iterator[Array]:
    """The numbers of each column, (N,), a row per group of 0 .. G - 1, (G, n), with NaN behind those of small groups.

    >>> [rows.tolist() for rows in samples(np.array([1, 0, 1]), [np.array([1.0, 2.0, 3.0])])]
    [[[2.0, nan], [1.0, 3.0]]]
    """
    order, counts = np.argsort(groups, kind="stable"), np.bincount(groups)
    places = groups[order], np.arange(len(groups)) - np.repeat(np.cumsum(counts) - counts, counts)
    for column in columns:
        rows = np.full((len(counts), counts.max()), np.nan)
        rows[places] = column[order]
        yield rows


def of_each_size(rows: Array, most: int, *beside: Array) -> Iterator[tuple[Indices, list[Array]]]:
    """At most so many rows with n numbers each, for every n > 0: which they are, and the numbers, without NaN, (K, n).

    What is `beside`, of the same shape, comes too, where the rows themselves have numbers.

    >>> [(which.tolist(), found[0].tolist()) for which, found in of_each_size(np.array([[1.0, np.nan], [2.0, 3.0]]), 9)]
    [([0], [[1.0]]), ([1], [[2.0, 3.0]])]
    """
    present = ~np.isnan(rows)
    counts = present.sum(axis=1)
    for n in sorted({*counts.tolist()} - {0}):
        alike = np.flatnonzero(counts == n)
        for k in range(0, len(alike), most):
            which = alike[k : k + most]
            yield which, [side[which][present[which]].reshape(len(which), n) for side in (rows, *beside)]
