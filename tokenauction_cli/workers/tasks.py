"""What a worker is given at a time: the blocks of a query, or of several short ones; a block is (query, seed).

Cells of a block share most, blocks of a query share some, and queries share nothing. So a block is never cut, and a
query is cut only where it takes a worker too long, or where fewer queries are left than workers: then into equal parts.
Where a batch may change bits a task is a whole wave of the plan, which is a function of the experiment alone. Who works
on which task is not decided here.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Container, Iterator, Sequence
from itertools import groupby, pairwise
from typing import NamedTuple

from ..engine.plan import CELLS_PER_WAVE, Cell, Plan, blocks_of

TARGET_SECONDS = 5.0  # short queries are joined until a task takes so long
MOST_SECONDS = 120.0  # a longer task is cut: what a dead worker had is written again
LEAST_SECONDS = 0.5  # below, handing tasks out costs more than it evens out
FIRST_CELLS = 64  # in TARGET_SECONDS, where nobody has timed the models

_Blocks = Sequence[tuple[Cell, ...]]


class Task(NamedTuple):
    """Blocks that are written together."""

    blocks: tuple[tuple[Cell, ...], ...]

    @property
    def cells(self) -> list[Cell]:
        return [cell for block in self.blocks for cell in block]

    @property
    def n_cells(self) -> int:
        return _n_cells(self.blocks)

    def without(self, done: Container[str]) -> Task:
        """What is left when these cells, by id, are written."""
        left = (tuple(cell for cell in block if cell.id not in done) for block in self.blocks)
        return Task(tuple(filter(None, left)))

    @property
    def in_words(self) -> str:
        """Which blocks they are, for who looks for the one that cannot be written."""
        named = [f"query {block[0].query!r:.60}, seed {block[0].seed}" for block in self.blocks]
        return "; ".join(named[:3]) + (f" and {len(named) - 3} more" if len(named) > 3 else "")


class Tasks:
    """Cuts a plan into tasks as they are asked for."""

    def __init__(self, plan: Plan, seconds_per_cell: float | None = None) -> None:
        """`seconds_per_cell` is what a worker needs for a cell, as far as that is known beforehand."""
        self._uncut = deque[_Blocks]([wave] for wave in plan.waves) if plan.whole_waves else deque(_queries(plan))
        self._whole_waves = plan.whole_waves
        self._n_cells = plan.n_cells
        self._long: _Blocks = []  # what is left of the query that is being cut
        self._ready: deque[Task] = deque()
        self._cells_per_second = 1 / seconds_per_cell if seconds_per_cell else FIRST_CELLS / TARGET_SECONDS

    def next(self, n_workers: int) -> Task | None:
        """The next task; None where there is none."""
        if not self._ready and (self._long or self._uncut):
            tasks = self._cut(self._blocks(n_workers), n_workers)
            self._n_cells -= sum(task.n_cells for task in tasks)
            self._ready.extend(tasks)
        return self._ready.popleft() if self._ready else None

    def _blocks(self, n_workers: int) -> _Blocks:
        """What is left of a long query, or the next one, or several short ones together."""
        if self._long:
            return self._long
        blocks = [*self._uncut.popleft()]
        room = min(self._share(n_workers), self._cells_in(TARGET_SECONDS), CELLS_PER_WAVE) - _n_cells(blocks)
        while not self._whole_waves and self._uncut and (n_more := _n_cells(self._uncut[0])) <= room:
            blocks += self._uncut.popleft()
            room -= n_more
        return blocks

    def _cut(self, blocks: _Blocks, n_workers: int) -> list[Task]:
        """These blocks as one task or in equal parts; of more than a part for every worker only the next one.

        Such parts shrink towards the end, so that no worker is left with a long one alone.
        """
        longest = min(self._cells_in(MOST_SECONDS), CELLS_PER_WAVE)
        least, share = self._cells_in(LEAST_SECONDS), self._share(n_workers)
        n_cells = _n_cells(blocks)
        n_parts = 1 if self._whole_waves else min(math.ceil(n_cells / min(longest, max(share, least))), len(blocks))
        if self._long or n_parts > n_workers:
            n_parts = max(n_parts, min(math.ceil(n_cells / max(share / 2, least)), len(blocks)))
            n_first = len(blocks) // n_parts
            self._long = blocks[n_first:]
            return [Task(tuple(blocks[:n_first]))]
        ends = [len(blocks) * k // n_parts for k in range(n_parts + 1)]
        return [Task(tuple(blocks[a:b])) for a, b in pairwise(ends)]

    def _share(self, n_workers: int) -> float:
        """How many of the cells that are left are a worker's."""
        return self._n_cells / max(1, n_workers)

    def _cells_in(self, seconds: float) -> float:
        return seconds * self._cells_per_second

    def took(self, n_cells: int, seconds: float) -> None:
        """A worker needed so long; what came last counts for half."""
        if n_cells and seconds > 0:
            self._cells_per_second = (self._cells_per_second + n_cells / seconds) / 2

    def again(self, task: Task) -> None:
        """Give a task out once more."""
        self._ready.appendleft(task)

    def part(self, task: Task) -> bool:
        """Give out the blocks of a task that failed one by one, to find the one that fails; False where it is one."""
        self._ready.extendleft(Task((block,)) for block in reversed(task.blocks) if len(task.blocks) > 1)
        return len(task.blocks) > 1


def _queries(plan: Plan) -> Iterator[_Blocks]:
    """The blocks of every query."""
    for _, blocks in groupby(blocks_of(plan.cells), lambda block: block[0].query):
        yield [tuple(block) for block in blocks]


def _n_cells(blocks: _Blocks) -> int:
    return sum(map(len, blocks))
