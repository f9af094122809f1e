"""Which batch size evaluates a GGUF file fastest on this machine: timed once in about two seconds, then remembered.

More rows in a batch share one reading of the weights, until computing takes longer than reading; where that is depends
on the model and the processor. The memory is one JSON file per model, device and threads in the user's cache folder,
rows per second by size; it may be deleted at any time.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

from ...system.environment import cache_folder
from ..llama.file_identity import identity
from ..llama.gguf import GgufContext
from ..llama.hardware import CELL_BLOCK, Hardware

logger = logging.getLogger("tokauction")

SIZES = (16, 32, 64, 96)
SECONDS = 2.0
_SECONDS_FOR_THE_TEXT = 0.5
_MOST_ROUNDS = 5
_AS_GOOD = 0.95  # of the fastest: two timings of one size differ by 2 or 3 percent


def best(rows_per_second: Mapping[int, float]) -> int | None:
    """The smallest size that is as good as the fastest; None where there is nothing to compare."""
    if len(rows_per_second) < 2:
        return None
    enough = _AS_GOOD * max(rows_per_second.values())
    return min(size for size, rate in rows_per_second.items() if rate >= enough)


def remembered(path: Path, hardware: Hardware) -> dict[int, float] | None:
    """What was measured for this very file, device and threads; None where nothing was."""
    try:
        found = json.loads(_memory(path, hardware).read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or not all(_is_ours(size, rate) for size, rate in found.items()):
        return None
    return {int(size): rate for size, rate in found.items()}


def measure(path: Path, hardware: Hardware, sizes: Sequence[int], n_occupied: int) -> dict[int, float]:
    """Time sequences that hold so many tokens, a block of cells at most, and remember; raises TokauctionError."""
    n_tokens = min(n_occupied, CELL_BLOCK)
    context = GgufContext(path, hardware, n_sequences=max(sizes), n_tokens=n_tokens)
    try:
        found = _Stopwatch(context, n_tokens).rows_per_second(sizes)
    finally:
        context.close()
    logger.info("%s: rows per second by batch: %s", path, {size: round(rate) for size, rate in found.items()})
    _remember(path, hardware, found)
    return found


def _remember(path: Path, hardware: Hardware, rows_per_second: Mapping[int, float]) -> None:
    """A folder that cannot be written is no error."""
    try:
        memory = _memory(path, hardware)
        memory.parent.mkdir(parents=True, exist_ok=True)
        memory.write_text(json.dumps(rows_per_second))
    except OSError:
        return


def _memory(path: Path, hardware: Hardware) -> Path:
    return cache_folder() / "batch-sizes" / f"{identity(path, sorted(asdict(hardware).items()))}.json"


def _is_ours(size: str, rate: Any) -> bool:
    return size in map(str, SIZES) and isinstance(rate, float) and 0 < rate < math.inf


class _Stopwatch:
    """Times one new token of several sequences that hold the same text; the time it has begins with its first token."""

    def __init__(self, context: GgufContext, n_tokens: int) -> None:
        self._context = context
        self._n_vocabulary = context.vocabulary.size
        self._text = tuple(k % self._n_vocabulary for k in range(n_tokens))
        self._seconds([0], 1)  # reads the weights from the disk
        self._begun = perf_counter()

    def rows_per_second(self, sizes: Sequence[int]) -> dict[int, float]:
        """Medians of a few rounds over the sizes; a size is left out where one round with it would take too long."""
        n_tokens, per_row = self._write()
        rates: dict[int, list[float]] = {}
        for n_there, size in pairwise((0, *sizes)):
            if per_row * (size - n_there + sum(rates) + size) > self._left:
                break
            per_row = self._seconds(range(n_there, size), n_tokens) / (size - n_there)
            rates[size] = []
        for _ in range(_MOST_ROUNDS):
            begun = perf_counter()
            for size, found in rates.items():
                found.append(size / self._seconds(range(size), n_tokens))
            if perf_counter() - begun > self._left:
                break
        return {size: median(found) for size, found in rates.items()}

    def _write(self) -> tuple[int, float]:
        """How much of the text the first sequence has got while there was time to double it, and seconds per row."""
        n, per_row = 1, self._seconds([0], 1)
        while n < len(self._text) and per_row * n < _SECONDS_FOR_THE_TEXT - (SECONDS - self._left):
            more = min(2 * n, len(self._text))
            per_row = self._seconds([0], more) / (more - n)
            n = more
        return n, per_row

    @property
    def _left(self) -> float:
        return SECONDS - (perf_counter() - self._begun)

    def _seconds(self, numbers: Iterable[int], n_tokens: int) -> float:
        """What the last token takes: a different one in each sequence, as a mixture of experts wants it."""
        beginning = self._text[: n_tokens - 1]
        wanted = {k: (*beginning, k % self._n_vocabulary) for k in numbers}
        begun = perf_counter()
        self._context.evaluate(wanted)
        return perf_counter() - begun
