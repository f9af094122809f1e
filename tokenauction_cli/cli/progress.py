"""How far a run or another long command is: a bar on a terminal, plain lines elsewhere, always on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from ..engine.run import note_on_stderr
from ..engine.workplace import WorkerPace
from ..system.environment import visible
from ..system.steps import Hear, step_in_words, time_left, unheard

if TYPE_CHECKING:
    from ..experiment.experiment import Experiment
    from .bars import TextBar

_SECONDS_BETWEEN_LINES = 5.0
_WORKERS_SHOWN = 8


class Pace(NamedTuple):
    """What was done since the models were loaded: how many `counted`, tokens or bytes; `share` is that of the work.

    `n_rows` are those that models have evaluated, 0 where there are no models.
    """

    seconds: float
    n_drawn: int
    counted: str
    share: float
    n_rows: int = 0

    @property
    def drawn(self) -> str:
        rows = f", {self._rate(self.n_rows)} rows/s" if self.n_rows else ""
        return f"{self.n_drawn:,} {self.counted}, {self._rate(self.n_drawn)}/s{rows}"

    def _rate(self, n: int) -> str:
        return f"{n / max(self.seconds, 1e-9):,.0f}"

    @property
    def left(self) -> str:
        return time_left(self.seconds, self.share)


def in_words(paces: Sequence[WorkerPace]) -> str:
    """How fast each worker is, or from the slowest to the fastest; '' where there are none."""
    rates = sorted(pace.n_drawn_per_second for pace in paces)
    if len(rates) > _WORKERS_SHOWN:
        return f"{len(rates):,} workers: {rates[0]:,.0f}/s to {rates[-1]:,.0f}/s"
    listed = ", ".join(f"{rate:,.0f}/s" for rate in rates)
    return f"{len(rates)} {'worker' if len(rates) == 1 else 'workers'}: {listed}" if rates else ""


class QuietProgress:
    """Counts and says nothing (`-q`), but for notes."""

    def __init__(self, counted: str, has_models: bool = True) -> None:
        self._counted = counted
        self._has_models = has_models
        self._n_rows, self._text = 0, ""
        self._n_cells: int | None = None
        self._n_done = 0
        self._begun: float | None = None
        self._workers: Sequence[WorkerPace] = ()

    @property
    def kept(self) -> str:
        """How many texts are on disk; '' before that is known."""
        return "" if self._n_cells is None else f"{self._n_done:,} of {self._n_cells:,} texts"

    def begin(self, n_cells: int, n_done: int) -> None:
        self._n_cells, self._n_done, self._begun = n_cells, n_done, None

    def step(self, n_cells: int, n_tokens: int, share: float) -> None:
        now = time.monotonic()
        self._n_done += n_cells
        if self._begun is None:
            self._begun = now
        self._show(Pace(now - self._begun, n_tokens, self._counted, share, self._n_rows))

    def growing(self, n_rows: int, text: str) -> None:
        self._n_rows, self._text = n_rows if self._has_models else 0, text

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
        print(f"{n_cells} {'text' if n_cells == 1 else 'texts'}{already}", file=sys.stderr, flush=True)

    def _show(self, pace: Pace) -> None:
        now = time.monotonic()
        is_over = self._n_done == self._n_cells
        if (is_over and not self._is_told) or now - self._last > _SECONDS_BETWEEN_LINES:
            self._last, self._is_told = now, is_over
            left, workers = ("", "") if is_over else (pace.left, in_words(self._workers))
            print(", ".join(filter(None, (self.kept, pace.drawn, workers, left))), file=sys.stderr, flush=True)


class BarProgress(QuietProgress):
    """A bar of the work, with texts, tokens or bytes, rows, and the time left; below, workers' tasks, and one text."""

    def __init__(self, counted: str, has_models: bool = True) -> None:
        super().__init__(counted, has_models)
        self._bar: TextBar | None = None

    def begin(self, n_cells: int, n_done: int) -> None:
        from .bars import TextBar

        super().begin(n_cells, n_done)
        self.end()  # an audit begins several times
        self._bar = TextBar()
        self._task = self._bar.add_task(f"{self.kept}, loading", total=1.0)
        self._bar.start()

    def _show(self, pace: Pace) -> None:
        if self._bar is not None:
            words = ", ".join(filter(None, (self.kept, pace.drawn, pace.left)))
            furthest = max(pace.share, self._bar.tasks[0].completed)  # an estimate may sink, a bar does not
            self._bar.growing = self._text
            self._bar.update(self._task, completed=furthest, description=words)
            self._show_workers(self._bar)

    def _show_workers(self, bar: TextBar) -> None:
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


def progress_for_stderr(quiet: bool, experiment: Experiment) -> QuietProgress:
    """What suits where stderr goes."""
    kind = QuietProgress if quiet else BarProgress if sys.stderr.isatty() else LineProgress
    return kind(experiment.auction.counted, any(agent.model for agent in experiment.agents))


@contextmanager
def steps_on_stderr(quiet: bool = False) -> Iterator[Hear]:
    """Hears how far other work is, and shows it as it does a run."""
    if quiet:
        yield unheard
    elif sys.stderr.isatty():
        from .bars import StepBar

        with StepBar() as bar:
            yield bar.hear
    else:
        yield StepLines().hear


class StepLines:
    """A line now and then; work of a few seconds has none."""

    def __init__(self) -> None:
        self._what = ""
        self._begun = self._last = time.monotonic()

    def hear(self, what: str, done: int, of: int) -> None:
        now = time.monotonic()
        if what != self._what:
            self._what, self._begun = what, now
        if now - self._last > _SECONDS_BETWEEN_LINES:
            self._last = now
            print(step_in_words(what, done, of, now - self._begun), file=sys.stderr, flush=True)
