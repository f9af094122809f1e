"""The passes over the tokens in C: what `distributions.Profile` says in NumPy, several times faster.

Everything that is known to be needed about one prefix is worked out by one call, which any thread may make
(`prefetch.py`); what turns out to be needed beyond that, by further calls. `passes.c` is compiled when the package is
installed (`build_passes.py`). Where that was not possible, and for logits that are NaN or +inf, profiles are NumPy's.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..cumulative import BLOCK
from ..distributions import LIKELY, AgentDistribution, Aggregate, Array, LogMixture, Mixture, Profile
from . import sources
from .prefetch import Kind, Need, Needs, Prefetch, address_of

LIBRARY = Path(__file__).with_name(sources.LIBRARY)
SMALLEST_WEIGHT = 1e-100
MOST_LIKELY = round(1 / LIKELY)  # tokens of one agent
NOTHING = Needs(())
_ROW, _KNOBS = (ctypes.c_void_p, ctypes.c_size_t), (ctypes.c_double, ctypes.c_size_t, ctypes.c_double, ctypes.c_double)
TRUNCATION: tuple[Any, ...] = (*_ROW, *_KNOBS, *[ctypes.c_void_p] * 4)
FEW_AGENTS = 2  # whose cross entropies are all worked out
OF_RIVALS = (Kind.DISTANCES, Kind.RIVAL_KLS, Kind.CONSTANTS)


class _ProfileStruct(ctypes.Structure):
    """`struct profile` of passes.h."""

    _fields_ = (
        *((name, ctypes.c_size_t) for name in ("n", "n_tokens")),
        *((name, ctypes.c_void_p) for name in ("logits", "temperatures", "p")),
        *((name, ctypes.c_void_p) for name in ("shift", "cross", "blocks", "likely", "scratch")),
    )


class _AskedStruct(ctypes.Structure):
    """`struct asked` of passes.h."""

    _fields_ = (
        *((name, ctypes.c_size_t) for name in ("n_mixtures", "n_pools", "n_parts")),
        *((name, ctypes.c_size_t) for name in ("n_distances", "n_rival_kls", "n_constants")),
        *((name, ctypes.c_void_p) for name in ("weights", "agents", "q")),
        *((name, ctypes.c_void_p) for name in ("mixtures", "pools", "pool_blocks", "pool_clocks")),
        *((name, ctypes.c_void_p) for name in ("parts", "distances", "rival_kls", "constants")),
    )


@lru_cache(maxsize=1)
def library() -> ctypes.CDLL | None:
    """The compiled passes, or None where there are none for this machine or they are of other sources."""
    try:
        passes = ctypes.CDLL(str(LIBRARY))
        passes.passes_sources.restype = ctypes.c_char_p
        if passes.passes_sources().decode() != sources.digest(Path(__file__).parent):
            return None
        passes.pass_prefix.argtypes = passes.pass_asked.argtypes = (ctypes.c_void_p, ctypes.c_void_p)
        passes.pass_truncation.argtypes = TRUNCATION
        passes.pass_softmax.argtypes = (ctypes.c_void_p,)
        passes.pass_asked.restype = passes.pass_excess.restype = None
        passes.pass_log_at.restype = passes.pass_uniforms.restype = None
        address, number = ctypes.c_void_p, ctypes.c_size_t
        passes.pass_excess.argtypes = (address, address, number, address)
        passes.pass_log_at.argtypes = (address, number, address)
        passes.pass_uniforms.argtypes = (address, ctypes.c_uint64, ctypes.c_uint64, address, number, address)
    except (OSError, AttributeError):
        return None
    return passes


def profile_of(logits: Sequence[ArrayLike], temperatures: ArrayLike) -> Profile:
    """As `Profile.from_logits`, by compiled passes for n rows of V float32 logits.

    The rows are not copied: the profile is valid as long as they are.
    """
    profile = profile_begun(logits, temperatures, NOTHING, Prefetch())
    return profile if profile is not None and profile.ready() else Profile.from_logits(logits, temperatures)


def profile_begun(
    logits: Sequence[ArrayLike], temperatures: ArrayLike, needs: Needs, prefetch: Prefetch
) -> CompiledProfile | None:
    """A profile that is only being worked out: nothing of it may be read before `ready`. None where that cannot be."""
    passes = library()
    rows = [np.asarray(row) for row in logits]
    fit = all(row.dtype == np.float32 and row.flags.c_contiguous and row.shape == (rows[0].size,) for row in rows)
    if passes is None or not rows or not rows[0].size or not fit:
        return None
    return CompiledProfile(passes, rows, _row_of_numbers(temperatures), needs, prefetch)


class _Answers:
    """What is worked out for some needs: arrays for C to write, with a row for each need of a kind."""

    def __init__(self, needs: Needs, n: int, n_blocks: int, prefetch: Prefetch) -> None:
        n_mixtures, n_pools, n_parts, *of_rivals = needs.counts
        self.needs = needs
        self.mixtures = np.empty((n_mixtures, 2 * n + 3))
        self.pools = np.empty((n_pools, 3 * n + 2))
        self.pool_blocks = np.empty((n_pools, n_blocks))
        self.pool_clocks = np.empty((n_pools, n_blocks + n * MOST_LIKELY))
        self.parts = np.empty((n_parts, n_blocks))
        self.of_rivals = dict(zip(OF_RIVALS, (np.empty((n_rows, n)) for n_rows in of_rivals), strict=True))
        self.q = [prefetch.row(n_blocks * BLOCK) for _ in range(n_pools)]
        self._q_at = np.array([row.address for row in self.q], dtype=np.uintp)
        made = self.mixtures, self.pools, self.pool_blocks, self.pool_clocks, self.parts
        arrays = needs.weights, needs.agents, self._q_at, *made, *self.of_rivals.values()
        self.struct = _AskedStruct(*needs.counts, *map(address_of, arrays))


class CompiledProfile(Profile):
    """p_i = softmax(logits_i / temperature_i) for float32 logits, with all that is needed about one prefix in one call.

    The call writes into its arrays: `close` it before it is let go.
    """

    def __init__(
        self,
        passes: ctypes.CDLL,
        logits: Sequence[NDArray[np.float32]],
        temperatures: Array,
        needs: Needs,
        prefetch: Prefetch,
    ) -> None:
        n, n_tokens = len(logits), len(logits[0])
        n_blocks = -(-n_tokens // BLOCK)
        self._passes = passes
        self._prefetch = prefetch
        self._n_blocks = n_blocks
        self._logits, self._temperatures = logits, temperatures  # keeps them alive
        self._own = prefetch.row(n * (n_blocks | 1) * BLOCK)
        super().__init__(p=self._own.numbers.reshape(n, -1)[:, :n_tokens])
        self._shift, cross, self.blocks = np.empty((n, 2)), np.empty((n, n)), np.empty((n, n_blocks))
        if n <= FEW_AGENTS:
            self.cross = cross
        self._found = np.empty(1 + n * MOST_LIKELY)
        self._scratch = np.empty((2 * n, BLOCK))
        self._logits_at = np.array(list(map(address_of, logits)), dtype=np.uintp)
        given = address_of(self._logits_at), address_of(temperatures), self._own.address
        self._made = self._shift, cross, self.blocks, self._found, self._scratch
        self._struct = _ProfileStruct(n, n_tokens, *given, *map(address_of, self._made))
        self._answers = _Answers(needs, n, n_blocks, prefetch)
        self._later: dict[Need, _Answers] = {}
        self._answer: int | None = None
        self._call = prefetch.begin(self._work_out)

    def _work_out(self) -> None:
        """A method, so that what a thread reads and writes is not let go before."""
        self._answer = self._passes.pass_prefix(*self._arguments(self._answers))

    def ready(self) -> bool:
        """Whether it can be read, now that it is worked out; False for logits that are NaN or +inf, or all -inf."""
        while self._call is not None and not self._call.done() and self._prefetch.help():
            pass  # with what comes later, or with this
        if self._call is not None and not self._call.cancelled():
            self._call.result()
        if self._answer is None:
            self._work_out()
        return self._answer == 0

    def close(self) -> None:
        """Wait for a call that runs, and let go what it writes. Nothing that was made of it may be read any more."""
        if self._call is not None and not self._call.cancel():
            self._call.exception()
        self._kept.clear()
        self._prefetch.give_back([self._own, *(row for answers in self._all_answers() for row in answers.q)])

    @property
    def is_running(self) -> bool:
        """Whether a thread may be reading its logits, now or later."""
        return self._call is not None and not self._call.done()

    @property
    def n_bytes(self) -> int:
        """Of the rows that it holds."""
        return self._own.numbers.nbytes + sum(row.numbers.nbytes for row in self._answers.q)

    def _all_answers(self) -> Iterator[_Answers]:
        yield self._answers
        yield from self._later.values()

    def _arguments(self, answers: _Answers) -> tuple[int, int]:
        return ctypes.addressof(self._struct), ctypes.addressof(answers.struct)

    def _answers_to(self, need: Need) -> tuple[_Answers, int]:
        """Where its answer is, worked out now where nobody knew before, and in which row."""
        place = self._answers.needs.place.get(need)
        if place is not None:
            return self._answers, place
        if need not in self._later:
            answers = _Answers(Needs((need,)), self.n_agents, self._n_blocks, self._prefetch)
            self._passes.pass_asked(*self._arguments(answers))
            self._later[need] = answers
        return self._later[need], 0

    @cached_property
    def likely(self) -> NDArray[np.intp]:
        return self._found[1 : 1 + int(self._found[0])].astype(np.intp)

    @cached_property
    def log_p(self) -> Array:
        below = np.stack(self._logits).astype(np.float64) - self._shift[:, :1]
        return np.asarray(below / self._temperatures[:, None] - self._shift[:, 1:])

    def _log_at(self, token: int) -> Array:
        logs = np.empty(self.n_agents)
        self._passes.pass_log_at(ctypes.addressof(self._struct), token, address_of(logs))
        return logs

    def adds_up(self, q: Aggregate) -> bool:
        has_cross = isinstance(q, AgentDistribution) and self.n_agents <= FEW_AGENTS
        return self.overlaps or has_cross or bool(q.weights.min() >= SMALLEST_WEIGHT)

    def mixture_kls(self, q: Mixture) -> tuple[Array, Array]:
        n = self.n_agents
        answers, k = self._answers_to(Need(Kind.MIXTURE, _bytes_of(q.weights)))
        facts = answers.mixtures[k]
        # where every agent has some weight q is next to 0 only where every p_i is
        if facts[2 * n + 1] and q.weights.min() < SMALLEST_WEIGHT:
            return super().mixture_kls(q)
        return facts[:n], facts[n : 2 * n]

    def mixture_mode(self, q: Mixture) -> int:
        answers, k = self._answers_to(Need(Kind.MIXTURE, _bytes_of(q.weights)))
        return int(answers.mixtures[k, 2 * self.n_agents])

    @cached_property
    def overlaps(self) -> bool:
        if self.n_agents <= FEW_AGENTS:
            return bool(np.isfinite(self.cross).all())
        return all(np.isfinite(row.min()) for row in self._logits)  # equal truncations are asked for one by one

    def agent_kls(self, i: int) -> tuple[Array, Array]:
        if self.n_agents <= FEW_AGENTS:
            return super().agent_kls(i)
        return self.mixture_kls(Mixture(self, self.agent(i).weights))

    def log_pool(self, weights: Array) -> LogMixture:
        key = _bytes_of(weights)
        answers, k = self.pool_answers(key)
        log_z, is_tiny = answers.pools[k, -2:].tolist()
        return super().log_pool(weights) if is_tiny else _Pool(self, weights, key, log_z)

    def pool_answers(self, weights: bytes) -> tuple[_Answers, int]:
        """Where what is known of a pool is, and in which row."""
        return self._answers_to(Need(Kind.POOL, weights))

    def rising(self, i: int, shares: Array) -> Array:
        answers, k = self._answers_to(Need(Kind.PART, _bytes_of(shares), i))
        return np.asarray(answers.parts[k])

    def rival_distances(self, weights: Array) -> Array | None:
        return self.of_rivals(Kind.DISTANCES, weights)

    def of_rivals(self, kind: int, weights: Array) -> Array | None:
        if self.n_agents <= FEW_AGENTS:
            return None
        answers, k = self._answers_to(Need(Kind(kind), _bytes_of(weights)))
        return np.asarray(answers.of_rivals[Kind(kind)][k])

    def excess(self, a: Array, b: Array) -> Array:
        sums = np.empty(self._n_blocks)
        a, b = _row_of_numbers(a), _row_of_numbers(b)
        self._passes.pass_excess(address_of(a), address_of(b), self.n_tokens, address_of(sums))
        return sums


class _Pool(LogMixture):
    """A pool of which log Z is known; whatever else is asked for, C may have said already."""

    _profile: CompiledProfile

    def __init__(self, profile: CompiledProfile, weights: Array, key: bytes, log_z: float) -> None:
        self._profile = profile
        self.weights = weights
        self.log_z = log_z
        self._key = key

    @cached_property
    def _answers(self) -> tuple[_Answers, int]:
        return self._profile.pool_answers(self._key)

    @cached_property
    def p(self) -> Array:
        answers, k = self._answers
        return answers.q[k].numbers[: self._profile.n_tokens]

    @cached_property
    def blocks(self) -> Array:
        answers, k = self._answers
        return np.asarray(answers.pool_blocks[k])

    def clocks(self, likely: NDArray[np.intp]) -> Array:
        answers, k = self._answers
        return answers.pool_clocks[k, : len(self.blocks) + len(likely)]

    @cached_property
    def distances(self) -> Array:
        answers, k = self._answers
        return answers.pools[k, : self._profile.n_agents]

    @cached_property
    def kls(self) -> tuple[Array, Array]:
        answers, k = self._answers
        n = self._profile.n_agents
        return answers.pools[k, n : 2 * n], answers.pools[k, 2 * n : 3 * n]


def _row_of_numbers(numbers: ArrayLike) -> Array:
    """As C reads them, whatever a user's own rule gives."""
    return np.ascontiguousarray(numbers, dtype=np.float64)


def _bytes_of(weights: Array) -> bytes:
    return _row_of_numbers(weights).tobytes()
