"""Bars on a terminal, by rich: of a run with the text that grows, and of any other work."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable

from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, TextColumn
from rich.text import Text

from ..system.environment import visible
from ..system.steps import step_in_words


class TextBar(Progress):
    """A bar for each task, and below one text, of which the end is shown."""

    def __init__(self) -> None:
        self.growing = ""
        words = TextColumn("{task.description}", markup=False)
        super().__init__(
            BarColumn(bar_width=None),
            words,
            console=Console(stderr=True),
            transient=True,
            redirect_stdout=sys.stdout.isatty(),
        )

    def get_renderables(self) -> Iterable[RenderableType]:
        yield self.make_tasks_table(self.tasks)
        text = visible(" ".join(self.growing.split()))
        if text:
            room = self.console.width - 1
            yield Text(text if len(text) <= room else f"…{text[1 - room :]}", style="dim", no_wrap=True)


class StepBar(TextBar):
    """A bar for the work that is done now; what is done leaves none."""

    def hear(self, what: str, done: int, of: int) -> None:
        if not self.task_ids or self.tasks[0].fields["what"] != what:
            for row in self.task_ids:
                self.remove_task(row)
            self.add_task("", total=of, what=what, begun=time.monotonic())
        now = self.tasks[0]
        words = step_in_words(what, done, of, time.monotonic() - now.fields["begun"])
        self.update(now.id, completed=done, total=of, description=words)
