"""Agents whose distributions are written down in the experiment file: no model, the same road.

T is the union of all agents' tokens, sorted, and the end token `<end>`. The text so far is its tokens joined by one
space, "" at the start; "*" holds for every text that has no distribution of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import CellError
from .base import LiveSequence, Logits

END = "<end>"
ANY_TEXT = "*"

Distributions = Mapping[str, Mapping[str, float]]


class TableVocabulary:
    """The union of the tokens that any agent may say, and the end token."""

    def __init__(self, agents: Sequence[Distributions]) -> None:
        spoken = {token for table in agents for row in table.values() for token in row}
        self.tokens = [*sorted(spoken - {END}), END]
        self.index = {token: k for k, token in enumerate(self.tokens)}
        self.size = len(self.tokens)
        self.ends = frozenset({self.index[END]})

    def piece(self, token: int) -> bytes:
        return b"" if token in self.ends else self.tokens[token].encode()

    def name(self, token: int) -> str:
        return self.tokens[token]


@dataclass
class TableSequence:
    """An agent's table and the tokens so far."""

    agent: str
    table: Distributions
    said: tuple[str, ...]
    first_logits: Logits | None = None


@dataclass(frozen=True)
class TablePrompt:
    """A table agent needs no prompt: its name (for messages) and its distributions."""

    agent: str
    table: Distributions

    def __hash__(self) -> int:
        return hash(self.agent)


class TableModel:
    """Looks distributions up; the logits are the logarithms of the probabilities, -inf for tokens not listed."""

    def __init__(self, vocabulary: TableVocabulary) -> None:
        self.vocabulary = vocabulary

    def open(self, prompt: TablePrompt) -> TableSequence:
        sequence = TableSequence(prompt.agent, prompt.table, ())
        row = self._row(sequence)
        if isinstance(row, CellError):
            raise row
        sequence.first_logits = row
        return sequence

    def fork(self, sequence: LiveSequence) -> TableSequence:
        assert isinstance(sequence, TableSequence)
        return TableSequence(sequence.agent, sequence.table, sequence.said)

    def close(self, sequence: LiveSequence) -> None:
        pass

    def evaluate(self, sequences: Sequence[LiveSequence], tokens: Sequence[int]) -> list[Logits | CellError]:
        rows: list[Logits | CellError] = []
        for sequence, token in zip(sequences, tokens, strict=True):
            assert isinstance(sequence, TableSequence)
            sequence.said = (*sequence.said, self.vocabulary.tokens[token])
            rows.append(self._row(sequence))
        return rows

    def _row(self, sequence: TableSequence) -> Logits | CellError:
        text = " ".join(sequence.said)
        row = sequence.table.get(text, sequence.table.get(ANY_TEXT))
        if row is None:
            return CellError(
                f"agent {sequence.agent!r} has no distribution for the text so far {text!r}; "
                f'add one under `distributions`, or "{ANY_TEXT}" for every other text'
            )
        p = np.zeros(self.vocabulary.size)
        for token, probability in row.items():
            p[self.vocabulary.index[token]] = probability
        with np.errstate(divide="ignore"):
            return np.log(p / p.sum())
