"""Prefetch: what outcomes will need of passes over the tokens is known before, and worked out beside the caller.

A `Need` is one pass; `outcome.needs_of` says which ones a rule and bids have. `Prefetch` is a pool of threads for the
calls of compiled code that meet them, one for each prefix; they hold no lock of Python's meanwhile.
"""

from __future__ import annotations

import sys
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...system.arrays import Array

USUAL_SWITCH_SECONDS = sys.getswitchinterval()
SWITCH_SECONDS = 2e-5


class Kind(IntEnum):
    """What is worked out of one row of weights w, (n,); rows are handed to the compiled passes in this order."""

    MIXTURE = 0  # sum_j w_j p_j: its divergences and its mode
    POOL = 1  # prod_j p_j^w_j / Z, with its divergences
    PART = 2  # block sums of the positive part (p_i - sum_j w_j p_j)^+
    # of what the others of every agent i would do alone, by their weights
    DISTANCES = 3  # TV(p_i, o_i) of mixtures
    RIVAL_KLS = 4  # KL(o_i || q) of mixtures
    CONSTANTS = 5  # log Z of pools


class Need(NamedTuple):
    """One row of weights, as the bytes of its float64 numbers; `agent` is the i of a positive part."""

    kind: Kind
    weights: bytes
    agent: int = 0


class Needs:
    """Distinct needs, sorted by kind. `place` tells the row of each among those of its kind."""

    def __init__(self, needs: Iterable[Need]) -> None:
        ordered = sorted(set(needs))
        self.place: dict[Need, int] = {}
        self.counts = [0] * len(Kind)
        for need in ordered:
            self.place[need] = self.counts[need.kind]
            self.counts[need.kind] += 1
        self.weights = np.frombuffer(b"".join(need.weights for need in ordered) or bytes(8))
        self.agents = np.array([need.agent for need in ordered if need.kind is Kind.PART] or [0], dtype=np.uintp)


class RowForC(NamedTuple):
    """Numbers for C to write, and their address."""

    numbers: Array
    address: int


class Prefetch:
    """A pool of threads, `n_threads` with the caller's, made when there is work for it, and the rows that calls write.

    A caller who waits makes calls that nobody has begun. With one thread there is no pool. While there is one, Python's
    threads hand over sooner than usual: a thread that has made a call needs Python for a moment, to begin the next.
    """

    def __init__(self, n_threads: int = 1) -> None:
        self.n_threads = n_threads
        self._pool: ThreadPoolExecutor | None = None
        self._begun: deque[tuple[Future[None], Callable[[], None]]] = deque()
        self._spare: dict[int, list[RowForC]] = defaultdict(list)  # by size

    @property
    def most_prefixes(self) -> int:
        """How many prefixes beside the one in hand keep all threads busy; of more, the rows leave the caches."""
        return self.n_threads + 1 if self.n_threads > 1 else 0

    def begin(self, call: Callable[[], None]) -> Future[None] | None:
        """Have a thread make this call; None where there is none."""
        if self.n_threads == 1:
            return None
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self.n_threads - 1, thread_name_prefix="prefetch")
            sys.setswitchinterval(SWITCH_SECONDS)
        try:
            future = self._pool.submit(call)
        except RuntimeError:  # the machine has no thread to give: what was begun is finished, the rest done without
            self.close()
            self.n_threads = 1
            return None
        while self._begun and self._begun[0][0].done():
            self._begun.popleft()
        self._begun.append((future, call))
        return future

    def help(self) -> bool:
        """Make the first call that no thread has taken up; False where there is none."""
        while self._begun:
            future, call = self._begun.popleft()
            if not future.cancelled() and future.cancel():
                call()
                return True
        return False

    def close(self) -> None:
        """Wait for the calls that run and end the threads; what nobody has begun is cancelled.

        It may be used again. An interruption waits too: memory that the calls read may go next.
        """
        self._begun.clear()
        interruption = None
        while self._pool is not None:
            try:
                self._pool.shutdown(wait=True, cancel_futures=True)
                self._pool = None
                sys.setswitchinterval(USUAL_SWITCH_SECONDS)
            except KeyboardInterrupt as error:
                interruption = error
        if interruption is not None:
            raise interruption

    def row(self, size: int) -> RowForC:
        """A row, used before if possible: the pages of a new one cost as much as what is written into it."""
        spare = self._spare[size]
        if spare:
            return spare.pop()
        numbers = np.empty(size)
        return RowForC(numbers, address_of(numbers))

    def give_back(self, rows: Sequence[RowForC]) -> None:
        """Rows that nobody reads or writes any more."""
        for row in rows:
            self._spare[row.numbers.size].append(row)


def address_of(array: NDArray[Any]) -> int:
    """Where its first number is."""
    address: int = array.__array_interface__["data"][0]
    return address
