"""Counter-based random numbers: a draw depends on what it is for, never on what was drawn before it.

The Philox key is made of (seed of the experiment, query text, cell seed), the counter of (position, purpose, agent).
Cells that differ only in weight or rule therefore share their numbers, queries do not, and no order matters.
"""

from __future__ import annotations

import hashlib
import json
from enum import IntEnum
from functools import lru_cache

import numpy as np


class Purpose(IntEnum):
    """What a random number decides. The values are part of the record: never renumber them."""

    DRAW = 1  # the token
    SWITCH = 2  # stable sampling: where the token switches
    TARGET = 3  # stable sampling: to which token
    PAYMENT = 4  # the fresh u of a realised second price, one per agent
    LOTTERY = 5  # which agent a dictatorial rule takes, and ties


class Randomness:
    """The random numbers of one (experiment seed, query, cell seed)."""

    def __init__(self, experiment_seed: int, query: str, cell_seed: int) -> None:
        material = json.dumps([experiment_seed, query, cell_seed], ensure_ascii=False, separators=(",", ":"))
        digest = hashlib.sha256(material.encode("utf-8", "surrogatepass")).digest()
        self._key = np.frombuffer(digest[:16], dtype="<u8").astype(np.uint64)

    def generator(self, position: int, purpose: Purpose, agent: str = "") -> np.random.Generator:
        """The stream for one decision; `position` counts tokens from 0, `agent` is an agent's id or ''."""
        counter = np.array([0, position, int(purpose), _agent_word(agent)], dtype=np.uint64)
        return np.random.Generator(np.random.Philox(key=self._key, counter=counter))

    def uniform(self, position: int, purpose: Purpose, agent: str = "") -> float:
        """One number in [0, 1)."""
        return float(self.generator(position, purpose, agent).random())


@lru_cache(maxsize=1024)
def _agent_word(agent: str) -> int:
    return int.from_bytes(hashlib.sha256(agent.encode()).digest()[:8], "little") if agent else 0
