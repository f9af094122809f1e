"""How far a run is: a bar on a terminal, plain lines elsewhere, always on stderr."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from ..engine.run import SilentProgress, note_on_stderr
from ..system.environment import visible

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress

_SECONDS_BETWEEN_LINES = 5.0


class LineProgress:
    """A line now and then, for logs and pipes."""

    def begin(self, n_cells: int, n_done: int) -> None:
        self._n_cells, self._n_done = n_cells, n_done
        self._begun = self._last = time.monotonic()
        already = f", {n_done} already on disk" if n_done else ""
        print(f"{n_cells} cells{already}", file=sys.stderr, flush=True)

    def step(self, n_cells: int, n_tokens: int) -> None:
        """So many more cells are on disk, and so many tokens drawn altogether."""
        self._n_done += n_cells
        now = time.monotonic()
        is_last = bool(n_cells) and self._n_done == self._n_cells
        if is_last or now - self._last > _SECONDS_BETWEEN_LINES:
            self._last = now
            speed = n_tokens / max(now - self._begun, 1e-9)
            print(f"{self._n_done}/{self._n_cells} cells, {speed:.0f} tokens/s", file=sys.stderr, flush=True)

    def end(self) -> None: ...

    def note(self, text: str) -> None:
        note_on_stderr(text)


class BarProgress:
    """A bar with cells, tokens per second and the time left."""

    def __init__(self) -> None:
        self._bar: RichProgress | None = None

    def begin(self, n_cells: int, n_done: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self._begun = time.monotonic()
        self._bar = Progress(
            TextColumn("writing"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("cells"),
            TextColumn("{task.fields[speed]:.0f} tokens/s"),
            TimeRemainingColumn(),
            console=Console(file=sys.stderr),
            transient=True,
        )
        self._task = self._bar.add_task("", total=n_cells, completed=n_done, speed=0.0)
        self._bar.start()

    def step(self, n_cells: int, n_tokens: int) -> None:
        if self._bar is not None:
            self._bar.update(self._task, advance=n_cells, speed=n_tokens / max(time.monotonic() - self._begun, 1e-9))

    def end(self) -> None:
        if self._bar is not None:
            self._bar.stop()

    def note(self, text: str) -> None:
        if self._bar is None:
            note_on_stderr(text)
        else:
            self._bar.console.print(visible(text), markup=False, highlight=False)


AnyProgress = SilentProgress | LineProgress | BarProgress


def progress_for_stderr(quiet: bool) -> AnyProgress:
    """What suits where stderr goes."""
    if quiet:
        return SilentProgress()
    return BarProgress() if sys.stderr.isatty() else LineProgress()
