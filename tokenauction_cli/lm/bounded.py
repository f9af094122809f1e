"""A bound on time and memory for code that came with a model file: its chat template, which Jinja2's sandbox runs.

The sandbox keeps a template from files and modules, but not from running or growing for ever.
"""

from __future__ import annotations

import resource
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

MAX_CHARACTERS = 1_000_000
SECONDS = 5.0
EXTRA_BYTES = 256 << 20
_ONE_AT_A_TIME = threading.Lock()  # the limit is the process's: who comes second would keep the first one's


class TooLongError(Exception):
    """The time is over."""

    def __init__(self) -> None:
        super().__init__(f"it takes more than {SECONDS:.0f} seconds")


@contextmanager
def bounded() -> Iterator[None]:
    """Raise TooLongError or MemoryError inside; outside the main thread, and without Linux, only what is possible."""
    with _ONE_AT_A_TIME, _bounded_memory(), _bounded_time():
        yield


@contextmanager
def _bounded_time() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGALRM, _stop)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def _bounded_memory() -> Iterator[None]:
    if sys.platform != "linux":
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    wanted = pages * resource.getpagesize() + EXTRA_BYTES
    limits = [limit for limit in (wanted, soft) if limit != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_AS, (min(limits), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _stop(_number: int, _frame: FrameType | None) -> None:
    raise TooLongError
