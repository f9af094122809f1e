"""Silence below Python: what libraries print on the C-level stdout and stderr does not reach the terminal.

llama.cpp reports through a callback (`llama_log`), but a few of its parts write to the descriptors themselves.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet(show: bool = False) -> Iterator[None]:
    """Point the C-level stdout and stderr at nothing, and Python's own at the terminal as before."""
    if show:
        yield
        return
    sys.stdout.flush()
    sys.stderr.flush()
    saved_descriptors = os.dup(1), os.dup(2)
    saved_streams = sys.stdout, sys.stderr
    try:
        for number, descriptor in enumerate(saved_descriptors, start=1):
            stream = saved_streams[number - 1]
            if _writes_to(stream, number):
                copy = os.fdopen(os.dup(descriptor), "w", encoding="utf-8", errors="backslashreplace", buffering=1)
                setattr(sys, "stdout" if number == 1 else "stderr", copy)
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, 1)
        os.dup2(nothing, 2)
        os.close(nothing)
        yield
    finally:
        for stream, saved in zip((sys.stdout, sys.stderr), saved_streams, strict=True):
            if stream is not saved:
                stream.close()
        sys.stdout, sys.stderr = saved_streams
        os.dup2(saved_descriptors[0], 1)
        os.dup2(saved_descriptors[1], 2)
        os.close(saved_descriptors[0])
        os.close(saved_descriptors[1])


def _writes_to(stream: object, descriptor: int) -> bool:
    try:
        return bool(stream.fileno() == descriptor)  # type: ignore[attr-defined]
    except (AttributeError, OSError, ValueError):
        return False
