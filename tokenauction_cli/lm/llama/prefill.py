"""A context that only reads: the logits behind a whole text are a function of the file, the machine and that text.

In a batch a row may come out with other bits than alone. So each text is read by itself, in chunks that its length
decides; the chunks that it shares with the text before it are kept, for reading them again would give the same bits.
"""

from __future__ import annotations

from itertools import pairwise

from ..base import Logits, common_length, copied
from .batch import Row
from .gguf import GgufContext


class PrefillContext(GgufContext):
    """A context that reads texts one after the other. Texts in order share most chunks."""

    def evaluate(self, wanted: dict[int, tuple[int, ...]]) -> dict[int, Logits]:
        return {number: self._read(number, tokens) for number, tokens in wanted.items()}

    def _read(self, number: int, tokens: tuple[int, ...]) -> Logits:
        bounds = self._bounds(len(tokens))
        self._cut(number, self._n_kept(self._held[number], tokens))
        begun = len(self._held[number])
        for begin, end in pairwise(bounds):
            if begin >= begun:
                rows = [Row(number, at, tokens[at], at == len(tokens) - 1) for at in range(begin, end)]
                logits = self.decode(rows)
                self._held[number] = tokens[:end]
        return copied(logits[0])

    def _n_kept(self, held: tuple[int, ...], tokens: tuple[int, ...]) -> int:
        """The tokens of the chunks that both texts begin with, without the last of the text to come."""
        shared = common_length(held, tokens[:-1])
        both = set(self._bounds(len(held))).intersection(self._bounds(len(tokens)))
        return max(bound for bound in both if bound <= shared)

    def _bounds(self, n_tokens: int) -> list[int]:
        """Where chunks begin, and the end. None has one token: llama.cpp splits a lone row by the number of threads."""
        bounds = [*range(0, n_tokens, self.chunk), n_tokens]
        if n_tokens > 1 and n_tokens % self.chunk == 1:
            bounds[-2] -= 1
        return bounds
