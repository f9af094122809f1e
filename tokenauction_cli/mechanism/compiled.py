"""The passes over the tokens in C: what `distributions.Profile` says in NumPy, several times faster.

A pass is asked for first and waited for when its result is; in between a thread may perform it (`ahead.c`), while the
caller goes on with the text before. `passes.c` and `ahead.c` are compiled when the package is installed
(`build_passes.py`). Where that was not possible, and for logits that are not all finite, profiles are NumPy's.
"""

from __future__ import annotations

import ctypes
from collections import defaultdict
from collections.abc import Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import sources
from .cumulative import BLOCK
from .distributions import LIKELY, Array, LogMixture, Mixture, Profile

LIBRARY = Path(__file__).with_name(sources.LIBRARY)
_SOFTMAX, _MIXTURE, _LOG_POOL, _RISING = range(4)  # as in ahead.c
_N_ARGUMENTS = 16
SMALLEST_WEIGHT = 1e-100
_PENDING: dict[int, _Pass] = {}  # by identity: what may still be written to is not let go
_SPARE_ROWS: dict[int, list[Array]] = defaultdict(list)  # by size, of closed profiles


@lru_cache(maxsize=1)
def library() -> ctypes.CDLL | None:
    """The compiled passes, or None where there are none for this machine or they are of other sources."""
    try:
        passes = ctypes.CDLL(str(LIBRARY))
        passes.passes_sources.restype = ctypes.c_char_p
        if passes.passes_sources().decode() != sources.digest(Path(__file__).parent):
            return None
        passes.ahead_ask.argtypes = (ctypes.c_int, *[ctypes.c_void_p] * (2 + _N_ARGUMENTS))
        passes.ahead_ask.restype = ctypes.c_uint64
        passes.ahead_wait.argtypes = (ctypes.c_uint64, ctypes.c_void_p)
    except (OSError, AttributeError):
        return None
    return passes


def finish() -> None:
    """Return when nothing that was asked for is left to do: before memory goes that passes read."""
    passes = library()
    if passes is not None:
        passes.ahead_finish()
    _PENDING.clear()


def start_thread() -> None:
    """From now on a thread performs what is asked for, until the process ends."""
    passes = library()
    if passes is not None:
        passes.ahead_start()


def profile_of(logits: Sequence[ArrayLike], temperatures: ArrayLike) -> Profile:
    """As `Profile.from_logits`, by compiled passes for n rows of V float32 logits.

    The rows are not copied: the profile is valid as long as they are.
    """
    profile = profile_ahead(logits, temperatures)
    return profile if profile is not None and profile.ready() else Profile.from_logits(logits, temperatures)


def profile_ahead(logits: Sequence[ArrayLike], temperatures: ArrayLike) -> CompiledProfile | None:
    """A profile that is only being worked out: nothing of it may be read before `ready`. None where that cannot be."""
    passes = library()
    rows = [np.asarray(row) for row in logits]
    fit = all(row.dtype == np.float32 and row.flags.c_contiguous and row.shape == (rows[0].size,) for row in rows)
    if passes is None or not rows or not rows[0].size or not fit:
        return None
    return CompiledProfile(passes, rows, _row_of_numbers(temperatures))


class _Pass:
    """A pass that was asked for: it writes into `numbers`, and reads from and writes into `arrays`."""

    def __init__(
        self, passes: ctypes.CDLL, number: int, n_numbers: int, *arrays: NDArray[Any], after: _Pass | None = None
    ) -> None:
        self._passes = passes
        self._after = after  # what it reads from
        self.arrays = arrays
        self._number = number
        self._answered = np.empty(1 + n_numbers)
        self.numbers = self._answered[1:]
        self._at = _address(self._answered)
        self._ticket: int | None = None
        self._answer: int | None = None

    def place(self, k: int) -> int:
        """Where the k-th of the numbers is."""
        return self._at + 8 * (1 + k)

    def ask(self, *arguments: int) -> None:
        """Have it performed with these arguments of its function in `passes.h`."""
        rest = [0] * (_N_ARGUMENTS - len(arguments))
        after = None if self._after is None else self._after._at
        _PENDING[id(self)] = self
        self._ticket = self._passes.ahead_ask(self._number, self._at, after, *arguments, *rest)

    def answer(self) -> int:
        """What the pass returned; waits for it."""
        if self._answer is None:
            self._answer = int(self._passes.ahead_wait(self._ticket, self._at))
            _PENDING.pop(id(self), None)
        return self._answer


class CompiledProfile(Profile):
    """p_i = softmax(logits_i / temperature_i) for float32 logits, with everything about one text in one pass.

    What it has asked for writes into its arrays: `close` it before it is let go.
    """

    def __init__(self, passes: ctypes.CDLL, logits: Sequence[NDArray[np.float32]], temperatures: Array) -> None:
        n, n_tokens = len(logits), len(logits[0])
        n_blocks = -(-n_tokens // BLOCK)
        self._passes = passes
        self._size = (n, n_tokens)
        self._logits = logits  # keeps them alive
        self._temperatures = temperatures
        self._addresses = np.array(list(map(_address, logits)), dtype=np.uintp)
        self._borrowed: list[Array] = []
        padded = self._row(n * n_blocks * BLOCK).reshape(n, -1)
        super().__init__(p=padded[:, :n_tokens])
        self.blocks = np.empty((n, n_blocks))
        n_likely = n * round(1 / LIKELY)
        arrays: list[NDArray[Any]] = [padded, self.blocks, temperatures, self._addresses, *logits]
        self._softmax = softmax = _Pass(passes, _SOFTMAX, n * (2 + n) + 1 + n_likely, *arrays)
        self._shift = softmax.numbers[: 2 * n].reshape(n, 2)
        self.cross = softmax.numbers[2 * n : n * (2 + n)].reshape(n, n)
        self._found = softmax.numbers[n * (2 + n) :]
        self._p, self._shift_at, self._cross_at = _address(padded), softmax.place(0), softmax.place(2 * n)
        self._likely_at = softmax.place(n * (2 + n))
        self._inputs = _address(self._addresses), _address(temperatures)
        self._asked: dict[tuple[int, bytes], _Pass] = {}
        made = self._p, self._shift_at, self._cross_at, _address(self.blocks), self._likely_at
        softmax.ask(*self._inputs, n, n_tokens, *made)

    def ready(self) -> bool:
        """Whether it can be read, now that it is worked out; False for logits that are not all finite."""
        return self._softmax.answer() == 0

    def close(self) -> None:
        """Wait for everything that was asked for, and forget it. Nothing that was made of it may be read any more."""
        for asked in (self._softmax, *self._asked.values()):
            asked.answer()
        self._asked.clear()
        self._kept.clear()
        while self._borrowed:
            row = self._borrowed.pop()
            _SPARE_ROWS[row.size].append(row)

    def _row(self, size: int) -> Array:
        """A row, used before if possible: the pages of a new one cost as much as what is written into it."""
        spare = _SPARE_ROWS[size]
        row = spare.pop() if spare else np.empty(size)
        self._borrowed.append(row)
        return row

    @cached_property
    def likely(self) -> NDArray[np.intp]:
        return self._found[1 : 1 + int(self._found[0])].astype(np.intp)

    @cached_property
    def log_p(self) -> Array:
        below = np.stack(self._logits).astype(np.float64) - self._shift[:, :1]
        return np.asarray(below / self._temperatures[:, None] - self._shift[:, 1:])

    def _log_at(self, token: int) -> Array:
        facts = zip(self._logits, self._temperatures.tolist(), self._shift.tolist(), strict=True)
        return np.array([(row.item(token) - origin) / t - log_sum for row, t, (origin, log_sum) in facts])

    def _pass(self, number: int, n_numbers: int, *arrays: Array) -> _Pass:
        return _Pass(self._passes, number, n_numbers, *arrays, after=self._softmax)

    def foresee_mixture(self, weights: Array) -> None:
        self._mixture(weights)

    def foresee_log_pool(self, weights: Array) -> None:
        self._log_pool(weights)

    def foresee_rising(self, i: int, shares: Array) -> None:
        self._rising(i, shares)

    def mixture_kls(self, q: Mixture) -> tuple[Array, Array]:
        n = self.n_agents
        asked = self._mixture(q.weights)
        has_zeros = asked.answer()
        # where every agent has some weight q is next to 0 only where every p_i is
        if has_zeros and q.weights.min() < SMALLEST_WEIGHT:
            return super().mixture_kls(q)
        return asked.numbers[:n], asked.numbers[n : 2 * n]

    def mixture_mode(self, q: Mixture) -> int:
        asked = self._mixture(q.weights)
        asked.answer()
        return int(asked.numbers[-1])

    def _mixture(self, weights: Array) -> _Pass:
        weights = _row_of_numbers(weights)
        key = _MIXTURE, weights.tobytes()
        if key not in self._asked:
            asked = self._asked[key] = self._pass(_MIXTURE, 2 * self._size[0] + 1, weights)
            made = (asked.place(k * self._size[0]) for k in range(3))
            asked.ask(self._p, self._cross_at, _address(weights), *self._size, *made)
        return self._asked[key]

    def log_pool(self, weights: Array) -> LogMixture:
        n = self.n_agents
        asked = self._log_pool(weights)
        is_tiny = asked.answer()
        if is_tiny:
            return super().log_pool(weights)
        (q, blocks, clocks), numbers = asked.arrays[1:], asked.numbers
        pool = LogMixture(self, weights, q[: self.n_tokens], float(numbers[0]))
        pool.blocks, pool.known_clocks = blocks, clocks[: len(blocks) + len(self.likely)]
        pool.distances, pool.kls = numbers[1 : 1 + n], (numbers[1 + n : 1 + 2 * n], numbers[1 + 2 * n :])
        return pool

    def _log_pool(self, weights: Array) -> _Pass:
        weights = _row_of_numbers(weights)
        key = _LOG_POOL, weights.tobytes()
        if key not in self._asked:
            n, n_blocks = self._size[0], self.blocks.shape[1]
            q, blocks = self._row(n_blocks * BLOCK), np.empty(n_blocks)
            clocks = np.empty(n_blocks + len(self._found) - 1)
            asked = self._asked[key] = self._pass(_LOG_POOL, 1 + 3 * n, weights, q, blocks, clocks)
            given = *self._inputs, self._shift_at, self._p, self._cross_at, self._likely_at, _address(weights)
            made = *self._size, _address(q), asked.place(0), _address(blocks), _address(clocks)
            asked.ask(*given, *made, *(asked.place(1 + k * n) for k in range(3)))
        return self._asked[key]

    def rising(self, i: int, shares: Array) -> Array:
        asked = self._rising(i, shares)
        asked.answer()
        return asked.numbers

    def _rising(self, i: int, shares: Array) -> _Pass:
        shares = _row_of_numbers(shares)
        key = _RISING, b"%d " % i + shares.tobytes()
        if key not in self._asked:
            asked = self._asked[key] = self._pass(_RISING, self.blocks.shape[1], shares)
            asked.ask(self._p, _address(shares), i, *self._size, asked.place(0))
        return self._asked[key]


def _row_of_numbers(numbers: ArrayLike) -> Array:
    """As C reads them, whatever a user's own rule gives."""
    return np.ascontiguousarray(numbers, dtype=np.float64)


def _address(array: NDArray[Any]) -> int:
    return array.ctypes.data
