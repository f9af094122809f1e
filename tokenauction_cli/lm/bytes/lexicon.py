"""The tokens of a vocabulary in the order of their bytes: those that begin with the same bytes are a range.

    order = [tokens that spell something, by their bytes | end tokens | silent tokens]

Silent tokens add nothing to a text and do not end it: control and unknown tokens. Tokens of equal bytes stand next to
each other. A range and a depth, where all tokens of the range share their first `depth` bytes, is a node of the tree of
all tokens; `split` gives what follows there.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from ...system.arrays import Indices
from ...system.errors import ModelError
from ..base import Vocabulary

END = 256  # the symbol behind the 256 bytes: the text is over
MOST_SPLITS = 1 << 14  # kept per lexicon: some 10 MiB, 70 MiB at the very worst


class Child(NamedTuple):
    """The tokens that go on with a byte, [lo, hi); `number` counts the symbols of the split."""

    number: int
    lo: int
    hi: int


class Branching(NamedTuple):
    """What the tokens [lo, hi) do behind their common bytes: end, or go on with one of several symbols.

    `segments` has where each of the `n_here` tokens that end begins, then where the tokens of each symbol do, counted
    from `lo`. The last segment ends at `hi`.
    """

    lo: int
    hi: int
    n_here: int
    symbols: Indices
    segments: Indices

    def child(self, byte: int) -> Child | None:
        """The tokens that go on with this byte, if there are any."""
        number = int(self.symbols.searchsorted(byte))
        if number == len(self.symbols) or self.symbols[number] != byte:
            return None
        k = self.n_here + number
        end = self.segments[k + 1] if k + 1 < len(self.segments) else self.hi - self.lo
        return Child(number, self.lo + int(self.segments[k]), self.lo + int(end))


class Lexicon:
    """A vocabulary sorted by bytes."""

    def __init__(self, pieces: Sequence[bytes], ends: frozenset[int]) -> None:
        """Of tokens 0, 1, ... with these pieces; the pieces of end tokens do not count."""
        spelling = [token for token, piece in enumerate(pieces) if piece and token not in ends]
        if not spelling:
            raise ModelError("this vocabulary has no token that spells anything")
        spelling.sort(key=pieces.__getitem__)
        silent = [token for token, piece in enumerate(pieces) if not piece and token not in ends]
        self.order: Indices = np.array([*spelling, *sorted(ends), *silent], np.intp)
        self.size = len(self.order)
        self.n_spelling = len(spelling)
        self.n_speaking = len(spelling) + len(ends)  # the others are silent
        data = b"".join(pieces[token] for token in spelling)
        self._bytes = np.frombuffer(data, np.uint8)
        self._lengths = np.fromiter((len(pieces[token]) for token in spelling), np.intp, len(spelling))
        self._offsets = np.cumsum(self._lengths) - self._lengths
        self.split = lru_cache(maxsize=MOST_SPLITS)(self._split)
        self.root = self._root()
        first = self.root.segments
        self.first_segments: Indices = np.append(first, self.n_speaking) if silent else first
        """Of everything where a token begins: those of the root, then the silent tokens."""

    @classmethod
    def of(cls, vocabulary: Vocabulary) -> Lexicon:
        """Of everything that a model may say."""
        return cls([vocabulary.piece(token) for token in range(vocabulary.size)], vocabulary.ends)

    def _split(self, lo: int, hi: int, depth: int) -> Branching:
        """What follows the first `depth` bytes, which the tokens [lo, hi) share."""
        n_here = int(np.count_nonzero(self._lengths[lo:hi] == depth))  # they come first
        following = self._bytes[self._offsets[lo + n_here : hi] + depth]
        changes = np.flatnonzero(following[1:] != following[:-1]) + 1
        starts = np.concatenate([np.zeros(min(1, len(following)), np.intp), changes])
        segments = np.concatenate([np.arange(n_here, dtype=np.intp), starts + n_here])
        return Branching(lo, hi, n_here, following[starts].astype(np.intp), segments)

    def _root(self) -> Branching:
        """What a text may go on with where a token begins: a byte, or END."""
        tokens = self._split(0, self.n_spelling, 0)
        if self.n_speaking == self.n_spelling:
            return tokens
        symbols, segments = np.append(tokens.symbols, END), np.append(tokens.segments, self.n_spelling)
        return Branching(0, self.n_speaking, 0, symbols, segments)
