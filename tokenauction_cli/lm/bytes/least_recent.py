"""A cache of at most so many bytes, from which what was asked for longest ago goes first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class LeastRecent(Generic[K, V]):
    """Keeps what `size_of` counts, of a key and its value, as at most `most_bytes`."""

    def __init__(self, most_bytes: int, size_of: Callable[[K, V], int]) -> None:
        self.most_bytes = most_bytes
        self.n_bytes = 0
        self._size_of = size_of
        self._kept: OrderedDict[K, V] = OrderedDict()

    def get(self, key: K) -> V | None:
        value = self._kept.get(key)
        if value is not None:
            self._kept.move_to_end(key)
        return value

    def put(self, key: K, value: V) -> None:
        if key in self._kept:
            self.n_bytes -= self._size_of(key, self._kept.pop(key))
        self._kept[key] = value
        self.n_bytes += self._size_of(key, value)
        while self.n_bytes > self.most_bytes:
            self.n_bytes -= self._size_of(*self._kept.popitem(last=False))

    def clear(self) -> None:
        self._kept.clear()
        self.n_bytes = 0
