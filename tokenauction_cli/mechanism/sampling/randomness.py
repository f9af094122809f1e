"""Counter-based random numbers: a draw depends on what it is for, never on what was drawn before it.

The Philox key is made of (seed of the experiment, query text, cell seed), the counter of (position, purpose, agent).
Cells that differ only in weight or rule therefore share their numbers, queries do not, and no order matters.
"""

from __future__ import annotations

import hashlib
import json
from enum import IntEnum
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...system.arrays import Array
from ..native.compiled import library
from ..native.prefetch import address_of


class Purpose(IntEnum):
    """What a random number decides. The values are part of the record: never renumber them.

    >>> Purpose.DRAW.value
    1
    """

    DRAW = 1  # the token
    SWITCH = 2  # stable sampling: where the token switches
    TARGET = 3  # stable sampling: to which token
    PAYMENT = 4  # the fresh u of a realised second price, one per agent
    LOTTERY = 5  # which agent a dictatorial rule takes, and ties
    SECOND = 6  # coupled sampling: whether its second proposal is taken
    RACE = 7  # coupled sampling: the clocks of what neither proposal yields
    ACCEPT = 8  # stable sampling of words: whether a proposed word is taken
    CANDIDATE = 9  # which of the candidates is chosen, one number each
    SEGMENT = 10  # who wins a segment, one number per agent


class Randomness:
    """The random numbers of one (experiment seed, query, cell seed). `key` tells two such triples apart.

    The numbers of the position last asked for are kept: cells of one seed do well to share the object.

    Source: Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3" (2011), for Philox.

    >>> one, other = Randomness(0, "tea or rum?", 7), Randomness(0, "tea or rum?", 7)
    >>> one.uniform(3, Purpose.DRAW) == other.uniform(3, Purpose.DRAW)
    True
    """

    def __init__(self, experiment_seed: int, query: str, cell_seed: int) -> None:
        material = json.dumps([experiment_seed, query, cell_seed], ensure_ascii=False, separators=(",", ":"))
        self.key = hashlib.sha256(material.encode("utf-8", "surrogatepass")).digest()[:16]
        self._philox = np.random.Philox(key=np.frombuffer(self.key, dtype="<u8").astype(np.uint64))
        self._state: Any = self._philox.state
        self._generator = np.random.Generator(self._philox)
        self._position = 0
        self._kept: dict[tuple[int, str], float] = {}
        self._noise_of: tuple[int, int, int] | None = None
        self._noise: Array = np.empty(0)

    def uniform(self, position: int, purpose: Purpose, agent: str = "") -> float:
        """One number in [0, 1); `position` counts tokens from 0, `agent` is an agent's id or ''."""
        if position != self._position:
            self._position, self._kept = position, {}
        key = int(purpose), agent
        if key not in self._kept:
            self._kept[key] = float(self._stream(position, purpose, agent).random())
        return self._kept[key]

    def uniforms(self, position: int, purpose: Purpose, agents: tuple[str, ...]) -> Array:
        """One number in [0, 1) of each of these agents, (n,)."""
        passes = library()
        if passes is None:
            return np.array([self.uniform(position, purpose, agent) for agent in agents])
        words, uniforms = _words_of(agents), np.empty(len(agents))
        passes.pass_uniforms(self.key, position, int(purpose), address_of(words), len(words), address_of(uniforms))
        return uniforms

    def exponentials(self, position: int, purpose: Purpose, n: int) -> Array:
        """n standard exponential numbers, (n,), each positive; not to be written to."""
        wanted = position, int(purpose), n
        if self._noise_of != wanted:
            noise = self._stream(position, purpose, "").standard_exponential(n)
            self._noise_of, self._noise = wanted, np.maximum(noise, np.finfo(np.float64).tiny)
        return self._noise

    def _stream(self, position: int, purpose: Purpose, agent: str) -> np.random.Generator:
        """The one generator, put where the stream for this decision begins: four times faster than a new one."""
        self._state["state"]["counter"] = np.array([0, position, int(purpose), _agent_word(agent)], dtype=np.uint64)
        self._philox.state = self._state
        return self._generator


class DrawKey(NamedTuple):
    """One token of one text to be drawn: whose random numbers, and the token's position in the text, from 0.

    >>> draw_key = DrawKey(Randomness(0, "tea or rum?", 7), position=0)
    >>> 0 <= draw_key.uniform(Purpose.DRAW) < 1, draw_key.exponentials(Purpose.RACE, 4).shape
    (True, (4,))
    """

    randomness: Randomness
    position: int

    def uniform(self, purpose: Purpose, agent: str = "") -> float:
        return self.randomness.uniform(self.position, purpose, agent)

    def uniforms(self, purpose: Purpose, agents: tuple[str, ...]) -> Array:
        return self.randomness.uniforms(self.position, purpose, agents)

    def exponentials(self, purpose: Purpose, n: int) -> Array:
        return self.randomness.exponentials(self.position, purpose, n)

    @property
    def key(self) -> tuple[bytes, int]:
        """What tells these random numbers from those of another token."""
        return self.randomness.key, self.position


@lru_cache(maxsize=1024)
def _agent_word(agent: str) -> int:
    return int.from_bytes(hashlib.sha256(agent.encode()).digest()[:8], "little") if agent else 0


@lru_cache(maxsize=64)
def _words_of(agents: tuple[str, ...]) -> NDArray[np.uint64]:
    return np.array(list(map(_agent_word, agents)), dtype=np.uint64)
