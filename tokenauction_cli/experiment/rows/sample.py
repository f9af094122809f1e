"""A sample of rows, drawn in one pass, in the order of the file.

Every row draws a number; the rows with the least numbers are kept. With a column `by`, n rows are shared among its
values in proportion to their rows: n c / N each, rounded down, and one more for those with the largest remainders.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from heapq import heappush, heappushpop
from itertools import islice
from random import Random
from typing import Any, NamedTuple

MAX_ROWS = 1_000_000  # that are kept: as many as there may be cells
MAX_PARTS = 10_000  # values of the column `by`


class LogRow(NamedTuple):
    """A row as an experiment file would have it, and its line, in Parquet its number."""

    line: int
    cells: dict[str, Any]


class SampleError(ValueError):
    """Why these rows have no such sample."""


def sampled(rows: Iterable[LogRow], n: int | None, seed: int, by: str | None) -> list[LogRow]:
    """n of the rows, or all where n is None; only what is kept stays in memory. Raises SampleError.

    >>> rows = [LogRow(k, {"query": str(k), "kind": "few" if k < 10 else "many"}) for k in range(100)]
    >>> [row.cells["kind"] for row in sampled(rows, 10, seed=1, by="kind")].count("few")
    1
    """
    if n is None:
        found = list(islice(rows, MAX_ROWS + 1))
        if len(found) > MAX_ROWS:
            raise SampleError(f"there are more than {MAX_ROWS:,} rows; draw some of them, as in sample: 1000")
        return found
    least: dict[str, list[tuple[float, int, LogRow]]] = {}  # by part, a heap whose first is the row to go next
    counts: Counter[str] = Counter()
    draw = Random(seed).random
    for row in rows:
        part = "" if by is None else str(row.cells[by])
        counts[part] += 1
        if len(counts) > MAX_PARTS:
            raise SampleError(
                f"the column {by!r} has more than {MAX_PARTS:,} values; name one of few, as in by: segment"
            )
        heap, entry = least.setdefault(part, []), (-draw(), row.line, row)
        if len(heap) < n:
            heappush(heap, entry)
        else:
            heappushpop(heap, entry)
    if n > counts.total():
        raise SampleError(f"expected at least {n:,} rows, as many as the sample has, got {counts.total():,}")
    shares = shared(n, counts)
    kept = (row for part, heap in least.items() for _, _, row in sorted(heap, reverse=True)[: shares[part]])
    return sorted(kept, key=lambda row: row.line)


def shared(n: int, counts: Counter[str]) -> dict[str, int]:
    """n in proportion to the counts, by largest remainder; of equal remainders the first counts.

    >>> shared(10, Counter({"a": 50, "b": 30, "c": 14}))
    {'a': 5, 'b': 3, 'c': 2}
    """
    total = counts.total()
    shares = {part: n * count // total for part, count in counts.items()}
    by_remainder = sorted(counts, key=lambda part: -(n * counts[part] % total))
    for part in by_remainder[: n - sum(shares.values())]:
        shares[part] += 1
    return shares
