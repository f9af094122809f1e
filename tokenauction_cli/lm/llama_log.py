"""llama.cpp's own prints: kept for error messages and the log, never shown on the terminal.

llama.cpp reports through a callback, and a few of its parts write to the C-level stdout and stderr. Both are caught.
"""

from __future__ import annotations

import ctypes
import logging
import os
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

import llama_cpp

logger = logging.getLogger("tokauction.llama")
logger.addHandler(logging.NullHandler())
_recent_errors: deque[str] = deque(maxlen=20)
_WARN, _ERROR, _CONTINUED = 3, 4, 5  # ggml's levels; the table inside llama-cpp-python numbers them otherwise
_PYTHON_LEVEL = {_WARN: logging.WARNING, _ERROR: logging.ERROR}


def _receive(level: int, text: bytes, _user_data: ctypes.c_void_p) -> None:
    line = text.decode("utf-8", "replace").rstrip()
    if not line or level == _CONTINUED:
        return
    logger.log(_PYTHON_LEVEL.get(level, logging.DEBUG), line)
    if level in _PYTHON_LEVEL:
        _recent_errors.append(line)


_receiver = llama_cpp.llama_log_callback(_receive)  # lives as long as the module: llama.cpp keeps no reference


def listen() -> None:
    """Send llama.cpp's log to Python's logging from now on."""
    llama_cpp.llama_log_set(_receiver, ctypes.c_void_p(0))
    _recent_errors.clear()


def last_reason() -> str:
    """The most telling of llama.cpp's recent complaints, without its function names, or ''."""
    for line in _recent_errors:
        if "error" in line.lower() or "fail" in line.lower():
            return line.split(": ", 1)[-1].removeprefix("error loading model: ")
    return _recent_errors[-1] if _recent_errors else ""


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
