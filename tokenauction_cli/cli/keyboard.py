"""Single keys from a terminal, without waiting for them."""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager

SPACE, LEFT, RIGHT, QUIT = " ", "left", "right", "q"
_NAMES = {b" ": SPACE, b"q": QUIT, b"Q": QUIT, b"\x1b[D": LEFT, b"\x1bOD": LEFT, b"\x1b[C": RIGHT, b"\x1bOC": RIGHT}


class Keyboard:
    """Keys that were pressed; none where stdin is no terminal."""

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor

    def pressed(self, seconds: float) -> str | None:
        """The next key within this time, or None."""
        if self._descriptor is None:
            select.select([], [], [], seconds)
            return None
        ready, _, _ = select.select([self._descriptor], [], [], seconds)
        return _NAMES.get(os.read(self._descriptor, 8)) if ready else None


@contextmanager
def keyboard() -> Iterator[Keyboard]:
    """Read keys as they are pressed; the terminal is as before afterwards."""
    if not sys.stdin.isatty():
        yield Keyboard(None)
        return
    import termios
    import tty

    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    try:
        tty.setcbreak(descriptor)
        yield Keyboard(descriptor)
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
