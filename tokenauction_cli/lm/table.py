"""Agents whose distributions are written down in the experiment file: no model, the same road.

T is the union of all agents' tokens, sorted, and the end token `<end>`. A text is its tokens joined by a
separator, by default one space: so texts are written, and so `distributions` name prefixes, "" the start; "*" holds for
every text that has no distribution of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..system.errors import CellError
from .base import NO_LOGITS, Logits, Request

END = "<end>"
ANY_TEXT = "*"

Distributions = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True, eq=False)
class TablePrompt:
    """A table agent needs no prompt: its name (for messages) and its distributions. Equal only to itself."""

    agent: str
    table: Distributions
    n_tokens = 0


class TableVocabulary:
    """The union of the tokens that any agent may say, and the end token."""

    def __init__(self, tables: Sequence[Distributions], separator: str = " ") -> None:
        spoken = {token for table in tables for row in table.values() for token in row}
        self.separator = separator
        self.joiner = separator.encode()
        self.tokens = [*sorted(spoken - {END}), END]
        self.index = {token: k for k, token in enumerate(self.tokens)}
        self.size = len(self.tokens)
        self.ends = frozenset({self.index[END]})

    def piece(self, token: int) -> bytes:
        return b"" if token in self.ends else self.tokens[token].encode()

    def name(self, token: int) -> str:
        return self.tokens[token]

    def prefix(self, tokens: Sequence[int]) -> str:
        """By what name tables know this text so far."""
        return self.separator.join(self.tokens[token] for token in tokens)


class TableModel:
    """Looks distributions up; the logits are the logarithms of the probabilities, -inf for tokens not listed.

    A distribution has one row of logits, wherever it holds, which nobody can write to.
    """

    slots = None

    def __init__(self, vocabulary: TableVocabulary) -> None:
        self.vocabulary = vocabulary
        self._rows: dict[int, tuple[Mapping[str, float], Logits]] = {}  # by the distribution itself

    def evaluate(self, requests: Sequence[Request]) -> list[list[Logits] | CellError]:
        return [self._answer(request) for request in requests]

    def unfollowed(self, prompt: Any, text: tuple[int, ...]) -> float:
        return 0.0

    def forget(self) -> None:
        """Nothing is kept anyway."""

    def _answer(self, request: Request) -> list[Logits] | CellError:
        text = self.vocabulary.prefix(request.text)
        try:
            return [
                NO_LOGITS if k in request.left_out else self._row(prompt, text)
                for k, prompt in enumerate(request.prompts)
            ]
        except CellError as error:
            return error

    def _row(self, prompt: TablePrompt, text: str) -> Logits:
        row = prompt.table.get(text, prompt.table.get(ANY_TEXT))
        if row is None:
            raise CellError(
                f"agent {prompt.agent!r} has no distribution for the prefix {text!r}; "
                f'add one under `distributions`, or "{ANY_TEXT}" for every other text',
                agent=prompt.agent,
            )
        if id(row) not in self._rows:
            self._rows[id(row)] = row, self._logits(row)
        return self._rows[id(row)][1]

    def _logits(self, row: Mapping[str, float]) -> Logits:
        p = np.zeros(self.vocabulary.size)
        for token, probability in row.items():
            p[self.vocabulary.index[token]] = probability
        with np.errstate(divide="ignore"):
            logits = np.asarray(np.log(p / p.sum()))
        logits.flags.writeable = False
        return logits
