"""Silence below Python: what libraries print on the C-level stdout and stderr does not reach the terminal.

llama.cpp reports through a callback (`llama_log`), but a few of its parts write to the descriptors themselves.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from ...system.streams import note_stream, result_stream


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
            if number == 1 and _writes_to(stream, number):
                sys.stdout = result_stream(os.dup(descriptor), stream.encoding)
            elif _writes_to(stream, number):
                sys.stderr = note_stream(os.dup(descriptor), stream.encoding)
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, 1)
        os.dup2(nothing, 2)
        os.close(nothing)
        yield
    finally:
        used = sys.stdout, sys.stderr
        sys.stdout, sys.stderr = saved_streams
        for number, descriptor in enumerate(saved_descriptors, start=1):
            os.dup2(descriptor, number)
            os.close(descriptor)
        for stream, saved in zip(used, saved_streams, strict=True):
            if stream is not saved:
                stream.close()


def _writes_to(stream: object, descriptor: int) -> bool:
    try:
        return bool(stream.fileno() == descriptor)  # type: ignore[attr-defined]
    except (AttributeError, OSError, ValueError):
        return False
