"""Every error that a user can meet, drawn once.

TokauctionError          exit 1  the run cannot go on
|-- UsageError           exit 2  a bad option, an empty selection
|   |-- ExperimentError  exit 2  a bad file: a list of problems, each with file:line:column
|   |-- ModelError       exit 2  a model that is missing, broken or unfit for the auction
|   |-- UnknownRuleError  exit 2  no rule of this kind has this name, or it cannot be loaded
|   `-- NothingInShardError  exit 0  a part of an experiment without a text: nothing is wrong
|-- StoreError           exit 1  the run folder cannot be read or written
|-- OutputError          exit 1  stdout takes no more
`-- CellError            exit 3  one cell cannot be computed; the others go on
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class TokauctionError(Exception):
    """What happened, where, and what to do next, in words for a terminal."""

    exit_code = 1


class UsageError(TokauctionError):
    """The command or its input asks for something that cannot be done."""

    exit_code = 2


@dataclass(frozen=True, order=True)
class Problem:
    """One mistake in an experiment file; line and column count from 1, 0 where there is no place."""

    file: str
    line: int
    column: int
    message: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        return f"{place}: {self.message}"


class ExperimentError(UsageError):
    """Every mistake found in one experiment file."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = sorted(set(problems))
        super().__init__("\n".join(str(problem) for problem in self.problems))


class ModelError(UsageError):
    """A model that is missing, broken or unfit for the auction."""


class UnknownRuleError(UsageError):
    """No rule of this kind has this name, or it cannot be loaded; the message says what was looked for."""


class NothingInShardError(UsageError):
    """Of more parts than there are blocks some have no text: who asked for all of them asked for nothing wrong."""

    exit_code = 0


class StoreError(TokauctionError):
    """The run folder cannot be read or written."""


class OutputError(TokauctionError):
    """The result cannot be printed."""


class CellError(TokauctionError):
    """One cell cannot be computed: its record carries this message instead of a text."""

    exit_code = 3


class SpellingError(CellError):
    """No token of a model goes on with a byte."""
