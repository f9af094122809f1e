"""The console of tables: as wide as the terminal, and 120 columns where there is none and COLUMNS says nothing."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

from ..analysis.tables import Table, holds_numbers
from ..experiment.experiment import Experiment
from ..system.environment import visible

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table as RichTable
    from rich.text import Text as RichText

COLOURS = ("bold blue", "bold dark_orange", "bold green", "bold magenta", "bold cyan", "bold red")
WIDTH_WITHOUT_TERMINAL = 120


def console() -> Console:
    """Writes to stdout as it is now."""
    from rich.console import Console

    knows_width = sys.stdout.isatty() or os.environ.get("COLUMNS", "").isdigit()
    return Console(width=None if knows_width else WIDTH_WITHOUT_TERMINAL)


def rich_tables(tables: Sequence[Table], experiment: Experiment) -> Iterator[RichTable]:
    """Tables for the terminal, mentions in the agents' colours."""
    for table in tables:
        yield rich_table(table, lambda text: highlighted(text, experiment))


def rich_table(table: Table, decorate: Callable[[RichText], RichText] = lambda text: text) -> RichTable:
    """One table for the terminal."""
    from rich import box
    from rich.table import Table as RichTable
    from rich.text import Text

    title = Text(visible(table.title)) if table.title else None  # as Text: a name may look like markup
    drawn = RichTable(title=title, box=box.SIMPLE_HEAD, show_lines=False, pad_edge=False)
    for k, column in enumerate(table.columns):
        justify: Literal["left", "right"] = "right" if holds_numbers(table, k) else "left"
        drawn.add_column(Text(visible(column)), justify=justify, overflow="fold")
    for row in table.rows:
        drawn.add_row(*(decorate(Text(visible(_short(value)))) for value in row))
    return drawn


def _short(value: Any) -> str:
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.4g}"
    return str(value).strip()


def highlighted(text: RichText, experiment: Experiment) -> RichText:
    """The same rich text with every agent's mentions in that agent's colour."""
    from ..analysis.mentions import mention_pattern

    for k, agent in enumerate(experiment.agents):
        text.highlight_regex(mention_pattern(agent.mentions), COLOURS[k % len(COLOURS)])
    return text
