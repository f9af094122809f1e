"""How far a run is: a bar on a terminal, plain lines elsewhere, always on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from ..engine.run import note_on_stderr
from ..engine.workplace import WorkerPace
from ..system.environment import visible

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress

_SECONDS_BETWEEN_LINES = 5.0
_WORKERS_SHOWN = 8


class Pace(NamedTuple):
    """What was done since the models were loaded: how many `counted`, tokens or bytes; `share` is that of the work."""

    seconds: float
    n_drawn: int
    counted: str
    share: float

    @property
    def drawn(self) -> str:
        return f"{self.n_drawn:,} {self.counted}, {self.n_drawn / max(self.seconds, 1e-9):,.0f}/s"

    @property
    def left(self) -> str:
        """The time left, about; '' before anything is done."""
        if self.share <= 0:
            return ""
        seconds = round(self.seconds * (1 - self.share) / self.share)
        return f"about {timedelta(seconds=seconds)} left"


def in_words(paces: Sequence[WorkerPace]) -> str:
    """How fast each worker is, or from the slowest to the fastest; '' where there are none."""
    rates = sorted(pace.n_drawn_per_second for pace in paces)
    if len(rates) > _WORKERS_SHOWN:
        return f"{len(rates):,} workers: {rates[0]:,.0f}/s to {rates[-1]:,.0f}/s"
    listed = ", ".join(f"{rate:,.0f}/s" for rate in rates)
    return f"{len(rates)} {'worker' if len(rates) == 1 else 'workers'}: {listed}" if rates else ""


class QuietProgress:
    """Counts and says nothing (`-q`), but for notes."""

    def __init__(self, counted: str) -> None:
        self._counted = counted
        self._n_cells: int | None = None
        self._n_done = 0
        self._begun: float | None = None
        self._workers: Sequence[WorkerPace] = ()

    @property
    def kept(self) -> str:
        """How many cells are on disk; '' before that is known."""
        return "" if self._n_cells is None else f"{self._n_done:,} of {self._n_cells:,} cells"

    def begin(self, n_cells: int, n_done: int) -> None:
        self._n_cells, self._n_done, self._begun = n_cells, n_done, None

    def step(self, n_cells: int, n_tokens: int, share: float) -> None:
        now = time.monotonic()
        self._n_done += n_cells
        if self._begun is None:
            self._begun = now
        self._show(Pace(now - self._begun, n_tokens, self._counted, share))

    def workers(self, paces: Sequence[WorkerPace]) -> None:
        self._workers = paces

    def note(self, text: str) -> None:
        note_on_stderr(text)

    def end(self) -> None:
        """Leave the terminal as it was."""

    def _show(self, pace: Pace) -> None:
        """-q"""


class LineProgress(QuietProgress):
    """A line now and then, for logs and pipes."""

    def begin(self, n_cells: int, n_done: int) -> None:
        super().begin(n_cells, n_done)
        self._last, self._is_told = time.monotonic(), False
        already = f", {n_done} already on disk" if n_done else ""
        print(f"{n_cells} cells{already}", file=sys.stderr, flush=True)

    def _show(self, pace: Pace) -> None:
        now = time.monotonic()
        is_over = self._n_done == self._n_cells
        if (is_over and not self._is_told) or now - self._last > _SECONDS_BETWEEN_LINES:
            self._last, self._is_told = now, is_over
            left, workers = ("", "") if is_over else (pace.left, in_words(self._workers))
            print(", ".join(filter(None, (self.kept, pace.drawn, workers, left))), file=sys.stderr, flush=True)


class BarProgress(QuietProgress):
    """A bar of the work, with cells, tokens or bytes, and the time left; below, one of every worker's task."""

    def __init__(self, counted: str) -> None:
        super().__init__(counted)
        self._bar: RichProgress | None = None

    def begin(self, n_cells: int, n_done: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        super().begin(n_cells, n_done)
        self.end()  # an audit begins several times
        self._bar = Progress(
            BarColumn(bar_width=None),
            TextColumn("{task.description}"),
            console=Console(file=sys.stderr),
            transient=True,
        )
        self._task = self._bar.add_task(f"{self.kept}, loading", total=1.0)
        self._bar.start()

    def _show(self, pace: Pace) -> None:
        if self._bar is not None:
            words = ", ".join(filter(None, (self.kept, pace.drawn, pace.left)))
            furthest = max(pace.share, self._bar.tasks[0].completed)  # an estimate may sink, a bar does not
            self._bar.update(self._task, completed=furthest, description=words)
            self._show_workers(self._bar)

    def _show_workers(self, bar: RichProgress) -> None:
        """A row each, or one for many."""
        for row in bar.task_ids:
            if row != self._task:
                bar.remove_task(row)
        if len(self._workers) > _WORKERS_SHOWN:
            bar.add_task(in_words(self._workers), total=None)
            return
        for pace in sorted(self._workers):
            rate = f"{pace.n_drawn_per_second:,.0f}/s"
            bar.update(bar.add_task(f"{pace.worker}, {rate}", total=1.0), completed=pace.share)

    def end(self) -> None:
        if self._bar is not None:
            self._bar.stop()

    def note(self, text: str) -> None:
        if self._bar is None:
            note_on_stderr(text)
        else:
            self._bar.console.print(visible(text), markup=False, highlight=False)


def progress_for_stderr(quiet: bool, counted: str) -> QuietProgress:
    """What suits where stderr goes; `counted` are tokens or bytes."""
    if quiet:
        return QuietProgress(counted)
    return BarProgress(counted) if sys.stderr.isatty() else LineProgress(counted)
