"""What an auction needs from language models: logits over one vocabulary for prompts that grow token by token.

This room knows nothing of bids and rules. Two implementations: `gguf` (llama.cpp) and `table` (explicit distributions).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import CellError

Logits = NDArray[Any]  # (V,) float32 from llama.cpp, float64 from tables; valid until the next call


class Vocabulary(Protocol):
    """The set of tokens T over which every agent of an experiment speaks."""

    size: int
    ends: frozenset[int]

    def piece(self, token: int) -> bytes:
        """The bytes that a token adds to the text; empty for control and end tokens."""
        ...

    def name(self, token: int) -> str:
        """A token for people to read, control tokens included."""
        ...


class LiveSequence(Protocol):
    """A prompt and the text so far, held by a model so that one more token costs one evaluation."""

    first_logits: Logits | None  # after the prompt alone; kept for sequences that `open` returned


class LanguageModel(Protocol):
    """Evaluates many sequences at once; a prompt is whatever `open` of the implementation understands."""

    vocabulary: Vocabulary

    def open(self, prompt: Any) -> LiveSequence:
        """Evaluate a prompt once and keep it."""
        ...

    def fork(self, sequence: LiveSequence) -> LiveSequence:
        """A second sequence with the same content; costs no evaluation."""
        ...

    def close(self, sequence: LiveSequence) -> None:
        """Free what the sequence holds."""
        ...

    def evaluate(self, sequences: Sequence[LiveSequence], tokens: Sequence[int]) -> list[Logits | CellError]:
        """Append token k to sequence k, all in one batch, and return the logits that follow each."""
        ...


def copied(logits: Logits) -> Logits:
    """A copy that outlives the next evaluation."""
    return np.array(logits)
