"""Every error that a user can meet, drawn once.

TokauctionError               exit 1  the run cannot go on
|-- UsageError                exit 2  a bad option, an empty selection
|   |-- ExperimentError       exit 2  a bad file: a list of problems, each with file:line:column
|   |-- PromptError           exit 2  a template that makes no prompt of a query
|   |-- ModelError            exit 2  a model that is missing, broken or unfit for the auction
|   |   |-- OutOfMemoryError  exit 2  a model without room for so many texts at a time
|   |   `-- NoCopyError       exit 2  a model of which no copy in another format can be made or computed
|   |-- UnknownRuleError      exit 2  no rule of this kind has this name, or it cannot be loaded
|   |-- AuditError            exit 2  an audit that cannot be made; a ValueError too
|   `-- NothingInShardError   exit 0  a part of an experiment without a text: nothing is wrong
|-- StoreError                exit 1  the run folder cannot be read or written
|-- OutputError               exit 1  stdout takes no more
|-- WorkerError               exit 1  a worker failed at something that no other error foresees
`-- CellError                 exit 3  one cell cannot be computed; the others go on
    |-- SpellingError         exit 3  no token of a model goes on with a byte
    `-- MechanismError        exit 3  these bids and distributions have no outcome; a ValueError too
        `-- DisjointError     exit 3  no token that all who bid may say

What a worker's own process raises of these comes back as text: an unfit worker as UsageError, what it could not write
as CellError, all else as WorkerError.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple


class TokauctionError(Exception):
    """What happened, where, and what to do next, in words for a terminal.

    `cell` is the id of a cell, `agent` an agent's name, `file` a path; '' where the error is of none, or of many.

    >>> error = CellError("the agents agree on no token", cell="0123456789ab")
    >>> str(error), error.cell, error.exit_code
    ('the agents agree on no token', '0123456789ab', 3)
    """

    exit_code = 1

    def __init__(self, message: object = "", *, cell: str = "", agent: str = "", file: str | Path = "") -> None:
        super().__init__(message)
        self.cell = cell
        self.agent = agent
        self.file = str(file)


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
        super().__init__(self.problems, file=self.problems[0].file if self.problems else "")

    def __str__(self) -> str:
        return "\n".join(map(str, self.problems))


class TemplateMistake(NamedTuple):
    """What is wrong with a template, and in which of its lines, counted from 1."""

    line: int
    message: str


class PromptError(UsageError):
    """A prompt cannot be made for a query."""

    def __init__(self, mistake: TemplateMistake) -> None:
        self.mistake = mistake
        super().__init__(mistake)

    def __str__(self) -> str:
        return f"line {self.mistake.line} of the prompt: {self.mistake.message}"


class ModelError(UsageError):
    """A model that is missing, broken or unfit for the auction."""


class OutOfMemoryError(ModelError):
    """There is no room for the KV cells of so many sequences."""


class NoCopyError(ModelError):
    """Of a model's weights there can be no copy in another format here; the message says why."""


class UnknownRuleError(UsageError):
    """No rule of this kind has this name, or it cannot be loaded; the message says what was looked for."""


class AuditError(UsageError, ValueError):
    """The audit itself cannot be made; the message says why."""


class NothingInShardError(UsageError):
    """Of more parts than there are blocks some have no text: who asked for all of them asked for nothing wrong."""

    exit_code = 0


class StoreError(TokauctionError):
    """The run folder cannot be read or written."""


class OutputError(TokauctionError):
    """The result cannot be printed."""


class WorkerError(TokauctionError):
    """A worker failed at something that no other error foresees."""


class CellError(TokauctionError):
    """One cell cannot be computed: its record carries this message instead of a text."""

    exit_code = 3


class SpellingError(CellError):
    """No token of a model goes on with a byte."""


class MechanismError(CellError, ValueError):
    """The mechanism is undefined for these bids and distributions; the message says why."""


class DisjointError(MechanismError):
    """No token has a positive probability for every agent with a positive bid."""
