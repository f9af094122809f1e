"""llama.cpp's log: kept for error messages and the log file, never shown on the terminal; and its last word.

Where llama.cpp gives up (a server of layers is gone, an assertion fails), it ends the process: its reason is told.
"""

from __future__ import annotations

import ctypes
import logging
import os
import sys
from collections import deque

import llama_cpp

from ...system.environment import shortened
from . import libraries

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


def _give_up(reason: bytes) -> None:
    """End the process as an error, with what llama.cpp says of it. Nothing else can be done: it would abort."""
    text = reason.decode("utf-8", "replace").strip()
    logger.error("llama.cpp gave up: %s", text)
    print(f"llama.cpp gave up: {text}", file=sys.stderr)
    print("What is finished is kept; the same command continues.", file=sys.stderr, flush=True)
    os._exit(1)


_receiver = llama_cpp.llama_log_callback(_receive)  # lives as long as the module: llama.cpp keeps no reference


_last_word = ctypes.CFUNCTYPE(None, ctypes.c_char_p)(_give_up)


def tell_last_word() -> None:
    """From now on llama.cpp ends this process with a message and status 1, where it would abort."""
    libraries.on_abort(_last_word)


def listen() -> None:
    """Send llama.cpp's log to Python's logging from now on."""
    llama_cpp.llama_log_set(_receiver, ctypes.c_void_p(0))
    _recent_errors.clear()


def last_reason() -> str:
    """The most telling of llama.cpp's recent complaints, without its function names, or ''."""
    for line in _recent_errors:
        if "error" in line.lower() or "fail" in line.lower():
            return shortened(line.split(": ", 1)[-1].removeprefix("error loading model: "))
    return shortened(_recent_errors[-1]) if _recent_errors else ""
