"""One of n parts of an experiment's texts, for job arrays: whole (query, seed) blocks, chosen by hash.

A block's shard depends on its query, its seed and n alone, so more queries or seeds leave the others where they are.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import NamedTuple

from ...system.errors import UsageError

_WRITTEN = re.compile(r"([0-9]{1,9})/([0-9]{1,9})")


class Shard(NamedTuple):
    """Shard `number` of `n`, counted from 1."""

    number: int
    n: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """From its written form, such as 3/8. Raises UsageError."""
        written = _WRITTEN.fullmatch(text)
        shard = cls(*map(int, written.groups())) if written else None
        if shard is None or not 1 <= shard.number <= shard.n:
            raise UsageError(f"--shard {text!r:.100}: expected K/N with K from 1 to N, such as 3/8")
        return shard

    def __str__(self) -> str:
        return f"{self.number}/{self.n}"

    @property
    def suffix(self) -> str:
        """What its run folder's name ends with."""
        return f".shard-{self.number}-of-{self.n}"

    def has(self, query: str, seed: int) -> bool:
        """Whether the block is this shard's: SHA-256 of the canonical JSON [query, seed], modulo n, plus 1."""
        block = json.dumps([query, seed], ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
        return int.from_bytes(hashlib.sha256(block).digest(), "big") % self.n + 1 == self.number
