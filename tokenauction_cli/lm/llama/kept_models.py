"""The weights of model files that several runs of one process share, where somebody keeps them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import llama_cpp


class KeptModels:
    """Loaded models by what they were loaded with; one that nobody uses is freed when another one is loaded."""

    def __init__(self) -> None:
        self._models: dict[Hashable, Any] = {}
        self._users: Counter[Hashable] = Counter()

    def taken(self, key: Hashable, load: Callable[[], Any]) -> Any:
        """The model, loaded where it is not there; to be given back."""
        if key not in self._models:
            self.free_unused()
            self._models[key] = load()
        self._users[key] += 1
        return self._models[key]

    def give_back(self, key: Hashable) -> None:
        self._users[key] -= 1

    def free_unused(self) -> None:
        for key in [key for key in self._models if not self._users[key]]:
            llama_cpp.llama_model_free(self._models.pop(key))


_kept: ContextVar[KeptModels | None] = ContextVar("kept_models", default=None)


@contextmanager
def keeping_models() -> Iterator[KeptModels]:
    """Within it a model that was loaded stays there for whoever loads the same next."""
    kept = KeptModels()
    token = _kept.set(kept)
    try:
        yield kept
    finally:
        _kept.reset(token)
        kept.free_unused()


def kept_models() -> KeptModels | None:
    """Those of whoever keeps some now."""
    return _kept.get()
