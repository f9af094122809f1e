"""What a worker is given at a time: whole (query, seed) blocks, as many as take it some seconds.

A block is never cut, for its cells share most. Where a batch may change bits a task is a whole wave of the plan, which
is a function of the experiment alone. Otherwise the sizes follow what tasks took so far, and shrink towards the end, so
that no worker is left with a long task alone. Who works on which task is not decided here.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from .plan import CELLS_PER_WAVE, Cell, Plan, blocks_of

TARGET_SECONDS = 5.0
LEAST_SECONDS = 0.5  # below, handing tasks out costs more than it evens out
FIRST_CELLS = 64  # where nobody has timed the models
_TASKS_LEFT_PER_WORKER = 3  # a task is at most this part of a worker's share of what is left


class Task(NamedTuple):
    """Blocks that are written together."""

    blocks: tuple[tuple[Cell, ...], ...]

    @property
    def cells(self) -> list[Cell]:
        return [cell for block in self.blocks for cell in block]

    @property
    def in_words(self) -> str:
        """Which blocks they are, for who looks for the one that cannot be written."""
        named = [f"query {block[0].query!r:.60}, seed {block[0].seed}" for block in self.blocks]
        return "; ".join(named[:3]) + (f" and {len(named) - 3} more" if len(named) > 3 else "")


class Tasks:
    """Cuts a plan into tasks as they are asked for."""

    def __init__(self, plan: Plan, seconds_per_cell: float | None = None) -> None:
        """`seconds_per_cell` is what a worker needs for a cell, as far as that is known beforehand."""
        self._whole_waves = plan.whole_waves
        self._blocks = deque(map(tuple, plan.waves if plan.whole_waves else blocks_of(plan.cells)))
        self._n_cells = plan.n_cells
        self._again: deque[Task] = deque()
        self._cells_per_second = 1 / seconds_per_cell if seconds_per_cell else FIRST_CELLS / TARGET_SECONDS

    def next(self, n_workers: int) -> Task | None:
        """The next task; None where there is none."""
        if self._again:
            return self._again.popleft()
        if not self._blocks:
            return None
        blocks, most = [self._blocks.popleft()], 0.0 if self._whole_waves else self._size(n_workers)
        n_cells = len(blocks[0])
        while self._blocks and n_cells + len(self._blocks[0]) <= most:
            n_cells += len(self._blocks[0])
            blocks.append(self._blocks.popleft())
        self._n_cells -= n_cells
        return Task(tuple(blocks))

    def _size(self, n_workers: int) -> float:
        """How many cells a task may have, if they are not of one block."""
        share = self._n_cells / (_TASKS_LEFT_PER_WORKER * max(1, n_workers))
        seconds = min(TARGET_SECONDS, max(LEAST_SECONDS, share / self._cells_per_second))
        return min(seconds * self._cells_per_second, CELLS_PER_WAVE)

    def took(self, n_cells: int, seconds: float) -> None:
        """A worker needed so long; what came last counts for half."""
        if n_cells and seconds > 0:
            self._cells_per_second = (self._cells_per_second + n_cells / seconds) / 2

    def again(self, task: Task) -> None:
        """Give a task out once more."""
        self._again.append(task)

    def part(self, task: Task) -> bool:
        """Give out the blocks of a task that failed one by one, to find the one that fails; False where it is one."""
        self._again.extend(Task((block,)) for block in task.blocks if len(task.blocks) > 1)
        return len(task.blocks) > 1
