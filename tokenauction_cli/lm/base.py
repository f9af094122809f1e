"""What an auction needs from language models: the logits that follow a prompt and a prefix.

It knows nothing of bids and rules. Two implementations: `gguf` (llama.cpp) and `table` (explicit distributions).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from ..system.errors import CellError

NO_LOGITS: NDArray[Any] = np.empty(0)  # of a prompt that was left out
Logits = NDArray[Any]  # (V,) float32 from llama.cpp, float64 from tables; valid until the next call


class Vocabulary(Protocol):
    """The set of tokens T over which every agent of an experiment speaks.

    >>> from tokenauction_cli.lm.table import TableVocabulary
    >>> vocabulary = TableVocabulary([{"": {"tea": 0.5, "rum": 0.5}}])
    >>> vocabulary.size, vocabulary.piece(0), vocabulary.name(2), vocabulary.ends
    (3, b'rum', '<end>', frozenset({2}))
    """

    size: int
    joiner: bytes
    """What stands in a text between two tokens: nothing, or a space where tokens are words."""

    def __hash__(self) -> int: ...

    @property
    def ends(self) -> frozenset[int]:
        """The tokens any one of which ends a text."""
        ...

    def piece(self, token: int) -> bytes:
        """The bytes that a token adds to the text; empty for control and end tokens."""
        ...

    def name(self, token: int) -> str:
        """A token for people to read, control tokens included."""
        ...


def common_length(a: Sequence[int], b: Sequence[int]) -> int:
    """How many tokens two sequences share at their beginning.

    >>> common_length((1, 2, 3), (1, 2, 4, 5))
    2
    """
    shared, most = 0, min(len(a), len(b))
    if a[:most] == b[:most]:
        return most
    while shared < most:
        middle = (shared + most + 1) // 2
        if a[shared:middle] == b[shared:middle]:
            shared = middle
        else:
            most = middle - 1
    return shared


def spelled(vocabulary: Vocabulary, tokens: Sequence[int]) -> bytes:
    """The bytes of a text.

    >>> from tokenauction_cli.lm.table import TableVocabulary
    >>> spelled(TableVocabulary([{"": {"tea": 0.5, "rum": 0.5}}]), (1, 0))
    b'tea rum'
    """
    return vocabulary.joiner.join(filter(None, map(vocabulary.piece, tokens)))


def copied(logits: Logits) -> Logits:
    """A copy that outlives the next evaluation.

    >>> logits = np.zeros(2)
    >>> copied(logits) is logits
    False
    """
    return np.array(logits)


class Request(NamedTuple):
    """What follows each of these prompts after this text? A prompt is whatever the implementation understands.

    `slot` is only a hint of where the answer is cheapest: a model keeps, per slot, what it evaluated there last.
    Prompts that are left out are not asked about: they keep their places in the slot, and the answer has none for them.

    `text` are the tokens so far.

    >>> Request(slot=0, prompts=("ann", "bob"), text=(), left_out=frozenset({1})).text
    ()
    """

    slot: int
    prompts: tuple[Any, ...]
    text: tuple[int, ...]
    left_out: frozenset[int] = frozenset()


class LanguageModel(Protocol):
    """Answers many requests at once. The answer never depends on slots or on what else is asked.

    Each answer has one array (V,) per prompt, in the prompts' order.

    >>> from tokenauction_cli.lm.table import TableModel, TablePrompt, TableVocabulary
    >>> table = {"": {"tea": 0.75, "rum": 0.25}}
    >>> model = TableModel(TableVocabulary([table]))
    >>> ((logits,),) = model.evaluate([Request(0, (TablePrompt("ann", table),), ())])
    >>> np.exp(logits).tolist()
    [0.25, 0.75, 0.0]
    """

    @property
    def vocabulary(self) -> Vocabulary: ...

    @property
    def slots(self) -> int | None:
        """How many slots there is room for; None: any number."""
        ...

    def evaluate(self, requests: Sequence[Request]) -> list[list[Logits] | CellError]:
        """For each request the logits after each of its prompts, or why there are none. No slot twice."""
        ...

    def unfollowed(self, prompt: Any, text: tuple[int, ...]) -> float:
        """The share of the ways to spell a text that is left out after a prompt; 0 where there is one way."""
        ...

    def forget(self) -> None:
        """Keep nothing of what was evaluated: where a batch changes bits, what is kept would too."""
        ...
