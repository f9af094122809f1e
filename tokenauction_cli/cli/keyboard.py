"""Keys as they are pressed, without Enter; none where stdin is no terminal."""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager

LEFT, RIGHT = "left", "right"
_ARROWS = {b"\x1b[D": LEFT, b"\x1bOD": LEFT, b"\x1b[C": RIGHT, b"\x1bOC": RIGHT}


class Keyboard:
    """The keys of a terminal, `descriptor`."""

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor

    @property
    def can_come(self) -> bool:
        """Whether there is a terminal to press them on."""
        return self._descriptor is not None

    def pressed(self, seconds: float) -> str | None:
        """The next key within this time, or None: a letter in lower case, `left` or `right`; "q" where stdin ends."""
        if self._descriptor is None:
            select.select([], [], [], seconds)
            return None
        ready, _, _ = select.select([self._descriptor], [], [], seconds)
        if not ready:
            return None
        key = os.read(self._descriptor, 1)
        if key == b"\x1b" and select.select([self._descriptor], [], [], 0)[0]:
            key += os.read(self._descriptor, 2)
        return _ARROWS.get(key) or key.decode("latin-1").lower() or "q"


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
