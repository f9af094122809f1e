"""The console of tables: as wide as the terminal, and 120 columns where there is none and COLUMNS says nothing."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from ..analysis.tables.layout import Breadth, parts, widths
from ..analysis.tables.tables import Table, plain, shown
from ..experiment.experiment import Experiment
from ..system.environment import visible

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions
    from rich.table import Table as RichTable
    from rich.text import Text as RichText

COLOURS = ("bold blue", "bold dark_orange", "bold green", "bold magenta", "bold cyan", "bold red")
WIDTH_WITHOUT_TERMINAL = 120
EDGES, GAP = 2, 3  # characters around a table, and between its columns
LONG, PARAGRAPH = 40, 16  # characters: a long line, how narrow it is set
LONG_NAME, LONG_WORD = 28, 24  # characters from which a word may break, in a column that names rows and in others
MOST_SHOWN = 20_000  # characters of a cell
LONG_HEAD = 30  # characters: what a head asks for; a longer one wraps, so that texts have the room


def console() -> Console:
    """Writes to stdout as it is now."""
    from rich.console import Console

    return Console(width=None if knows_width() else WIDTH_WITHOUT_TERMINAL)


def knows_width() -> bool:
    """Whether there is a terminal, or COLUMNS says how wide lines are."""
    return sys.stdout.isatty() or os.environ.get("COLUMNS", "").isdigit()


def rich_tables(tables: Sequence[Table], experiment: Experiment) -> Iterator[FittingTable]:
    """Tables for the terminal, mentions in the agents' colours."""
    for table in tables:
        yield rich_table(table, lambda text: highlighted(text, experiment))


def rich_table(table: Table, decorate: Callable[[RichText], RichText] = lambda text: text) -> FittingTable:
    """One table for the terminal."""
    return FittingTable(table, decorate)


@dataclass(frozen=True)
class FittingTable:
    """A table that rich prints at any width: columns that do not fit side by side go on below, and no head breaks."""

    table: Table
    decorate: Callable[[RichText], RichText]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RichTable | RichText]:
        from rich.text import Text

        needs = [self._needs(k) for k in range(len(self.table.columns))]
        room = options.max_width - EDGES
        for number, columns in enumerate(parts(needs, self.table.n_heads, room, GAP)):
            chosen = widths([needs[k] for k in columns], room, GAP)
            yield self._part(columns, [max(1, int(width)) for width in chosen], "" if number else self.table.title)
        if self.table.caption:
            yield Text(f"{visible(self.table.caption)}\n")

    def _needs(self, column: int) -> Breadth:
        from rich.cells import cell_len

        head = visible(self.table.columns[column])
        cells = [self._cell(row[column], column) for row in self.table.rows]
        words = [word for cell in cells for word in cell.split()]
        longest_word = LONG_NAME if column < self.table.n_heads else LONG_WORD
        longest = max((cell_len(line) for cell in cells for line in cell.splitlines()), default=0)
        unbroken = [*head.split(), *(cells if self.table.holds_numbers(column) else ())]
        least = max([*map(cell_len, unbroken), *(min(cell_len(word), longest_word) for word in words)], default=0)
        least = max(least, PARAGRAPH) if longest > LONG else least
        return Breadth(least, max(least, longest, min(cell_len(head), LONG_HEAD)))

    def _cell(self, value: Any, column: int) -> str:
        text = plain(value) if column < self.table.n_heads else shown(value)
        return visible(text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]} ...").strip()

    def _part(self, columns: Sequence[int], chosen: Sequence[int], title: str) -> RichTable:
        from rich import box
        from rich.table import Table as RichTable
        from rich.text import Text

        name = Text(visible(title)) if title else None  # as Text: a name may look like markup
        drawn = RichTable(title=name, box=box.SIMPLE_HEAD, show_lines=False, pad_edge=False)
        for k, width in zip(columns, chosen, strict=True):
            side: Literal["left", "right"] = "right" if self.table.holds_numbers(k) else "left"
            drawn.add_column(Text(visible(self.table.columns[k])), justify=side, overflow="fold", width=width)
        for row in self.table.rows:
            drawn.add_row(*(self.decorate(Text(self._cell(row[k], k))) for k in columns))
        return drawn


def highlighted(text: RichText, experiment: Experiment) -> RichText:
    """The same rich text with every agent's mentions in that agent's colour."""
    for k, agent in enumerate(experiment.agents):
        for start, end in agent.phrases.mention_spans(text.plain):
            text.stylize(COLOURS[k % len(COLOURS)], start, end)
    return text
