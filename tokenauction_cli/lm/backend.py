"""Models of other libraries, which installed packages add by entry points in the group `tokauction.models`.

The entry point's name is the model's name in experiment files; its object is a class like `Backend`. Every request is
answered by one call of `complete`, so that what is asked beside it changes no bit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from ..system.errors import CellError
from .base import NO_LOGITS, Logits, Request, Vocabulary

Messages = tuple[tuple[str, str], ...]  # (role, content)


class Backend(Protocol):
    """A model, made without arguments; making it may load weights.

    >>> class Flat:
    ...     vocabulary = None  # see `lm.base.Vocabulary`
    ...
    ...     def complete(self, prompt, text):
    ...         return [0.0, 0.0]
    >>> Flat().complete("Tea?", ())
    [0.0, 0.0]
    """

    @property
    def vocabulary(self) -> Vocabulary: ...

    def complete(self, prompt: str | list[dict[str, str]], text: Sequence[int]) -> Any:
        """The logits (V,) of the token after a prompt and the tokens of a text so far: a function of these two.

        The prompt is an agent's raw text, or its chat messages as dicts of `role` and `content`.
        """
        ...


@dataclass(frozen=True)
class BackendPrompt:
    """What one model reads before it writes: raw text, or messages.

    >>> BackendPrompt("my_model", (("user", "Tea?"),)).prompt
    [{'role': 'user', 'content': 'Tea?'}]
    """

    model: str
    read: str | Messages

    @property
    def prompt(self) -> str | list[dict[str, str]]:
        """As `complete` takes it."""
        if isinstance(self.read, str):
            return self.read
        return [{"role": role, "content": content} for role, content in self.read]

    @property
    def n_tokens(self) -> int:
        """Not known before the model is loaded."""
        return 0


class BackendModel:
    """Answers requests by the models of installed packages, which share one vocabulary.

    What a model raises, or logits of another length than its vocabulary, are the CellError of that request alone.

    >>> from tokenauction_cli.lm.table import TableVocabulary
    >>> class Flat:
    ...     vocabulary = TableVocabulary([{"": {"tea": 1.0}}])
    ...
    ...     def complete(self, prompt, text):
    ...         return [0.0, 0.0]
    >>> model = BackendModel({"flat": Flat()})
    >>> model.evaluate([Request(0, (BackendPrompt("flat", "Tea?"),), ())])[0][0].tolist()
    [0.0, 0.0]
    """

    slots = None

    def __init__(self, backends: Mapping[str, Backend]) -> None:
        self._backends = backends
        self.vocabulary = next(iter(backends.values())).vocabulary

    def evaluate(self, requests: Sequence[Request]) -> list[list[Logits] | CellError]:
        return [self._answer(request) for request in requests]

    def unfollowed(self, prompt: Any, text: tuple[int, ...]) -> float:
        return 0.0

    def forget(self) -> None:
        """Nothing is kept here."""

    def _answer(self, request: Request) -> list[Logits] | CellError:
        try:
            return [
                NO_LOGITS if k in request.left_out else self._logits(prompt, request.text)
                for k, prompt in enumerate(request.prompts)
            ]
        except CellError as error:
            return error

    def _logits(self, prompt: BackendPrompt, text: tuple[int, ...]) -> Logits:
        try:
            logits = np.asarray(self._backends[prompt.model].complete(prompt.prompt, text), dtype=np.float64)
        except Exception as error:  # whatever a package raises fails this text alone
            raise CellError(f"the model {prompt.model} failed: {type(error).__name__}: {error}") from error
        if logits.shape != (self.vocabulary.size,):
            raise CellError(
                f"the model {prompt.model} gave logits of shape {logits.shape}, "
                f"but its vocabulary has {self.vocabulary.size} tokens"
            )
        return logits
