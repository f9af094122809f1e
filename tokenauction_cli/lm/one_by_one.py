"""Every token alone in its decode: slower, and the same bits whatever is evaluated beside or before it.

For models and devices whose logits depend on the batch (K-quants, GPUs): `runtime.deterministic: true`. A token's keys
and values are always computed in the same shape, so any beginning may be shared and copied.
"""

from __future__ import annotations

from .base import Logits, copied
from .gguf import GgufContext, Row


class OneByOneContext(GgufContext):
    """A context that never batches."""

    def _fill(self, number: int, tokens: tuple[int, ...]) -> None:
        for position in range(len(self._held[number]), len(tokens)):
            self._decode([Row(number, position, tokens[position], False)])
        self._held[number] = tokens

    def _last_tokens(self, wanted: dict[int, tuple[int, ...]]) -> dict[int, Logits]:
        logits = {}
        for number, tokens in wanted.items():
            (row,) = self._decode([Row(number, len(tokens) - 1, tokens[-1], True)])
            logits[number] = copied(row)
            self._held[number] = tokens
        return logits
