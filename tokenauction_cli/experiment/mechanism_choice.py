"""A mechanism that an experiment runs, with its settings."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

TOKEN_AUCTION = "token_auction"


@dataclass(frozen=True)
class MechanismChoice:
    """A mechanism by name, and what `registry.find` makes it with.

    `candidates` are written by the aggregation rule `generator` at equal weights; None: every text once. Both are 0 and
    '' for mechanisms without candidates.
    """

    name: str
    settings: Mapping[str, Any]
    candidates: int | None
    generator: str

    @property
    def identity(self) -> str:
        """What tells it from the same mechanism with other settings, as canonical JSON."""
        parts = [self.name, self.settings, self.candidates, self.generator]
        return json.dumps(parts, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
