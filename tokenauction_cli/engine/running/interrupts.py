"""Ctrl-C and SIGTERM while a run writes.

Either raises KeyboardInterrupt at once, or at the next `check` while what is finished is on its way to the disk. Python
swallows an exception that is raised while llama.cpp calls back; `check` raises it again.
"""

from __future__ import annotations

import os
import shlex
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_CALLBACKS = os.path.join("lm", "llama", "llama_log.py")
_A_MOMENT = 0.02  # seconds


class Interrupts:
    """Handles both signals between `with` and its end; outside the main thread it does nothing."""

    def __init__(self) -> None:
        self._is_pending = False
        self._n_held = 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._receive) for number in _SIGNALS}
        return self

    def __exit__(self, *_error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Whatever arrives waits for the next `check`; may be nested."""
        self._n_held += 1
        try:
            yield
        finally:
            self._n_held -= 1

    def check(self) -> None:
        """Raise what is still waiting."""
        if self._is_pending:
            self._is_pending = False
            raise KeyboardInterrupt

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self._is_pending = True
        if not self._n_held:
            interrupt(number, frame)


def interrupt(number: int, frame: FrameType | None) -> None:
    """Raise KeyboardInterrupt; while llama.cpp calls back, where Python would swallow it, a moment later."""
    while frame is not None:
        if frame.f_code.co_filename.endswith(_CALLBACKS):
            threading.Timer(_A_MOMENT, os.kill, (os.getpid(), number)).start()
            return
        frame = frame.f_back
    raise KeyboardInterrupt


def how_to_continue(kept: str = "") -> str:
    """What to tell who interrupted this command; `kept` says how much is on disk, where that is known."""
    from ...system.environment import visible

    words = [word for word in sys.argv[1:] if word != "--fresh"]
    what = f"Kept {kept}" if kept else "What is finished is kept"
    return f"Interrupted. {what}; continue with: {visible(shlex.join(['tokauction', *words]))}"
