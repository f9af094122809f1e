"""A pool of threads changes nothing but the time: not the numbers, not the errors, not what may be let go."""

from __future__ import annotations

import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tokenauction_cli.mechanism.distributions import Mixture
from tokenauction_cli.mechanism.native import compiled
from tokenauction_cli.mechanism.native.compiled import CompiledProfile, profile_begun
from tokenauction_cli.mechanism.native.prefetch import USUAL_SWITCH_SECONDS, Kind, Need, Needs, Prefetch

pytestmark = pytest.mark.skipif(
    compiled.library() is None and shutil.which("cc") is None, reason="there is no compiler for the passes"
)

WEIGHTS = [np.array([w, 1 - w]) for w in np.linspace(0.05, 0.95, 20)]
NEEDS = Needs(Need(kind, w.tobytes()) for w in WEIGHTS for kind in (Kind.MIXTURE, Kind.POOL, Kind.PART))


@pytest.fixture
def prefixes() -> list[list[NDArray[np.float32]]]:
    chance = np.random.default_rng(0)
    return [list(chance.normal(0, 3, (2, 20_000)).astype(np.float32)) for _ in range(12)]


@pytest.fixture
def pool() -> Iterator[Prefetch]:
    prefetch = Prefetch(2)
    yield prefetch
    prefetch.close()


def begun(rows: list[NDArray[np.float32]], prefetch: Prefetch) -> CompiledProfile:
    profile = profile_begun(rows, [1.0, 0.5], NEEDS, prefetch)
    assert profile is not None
    return profile


def numbers(profile: CompiledProfile) -> bytes:
    mixtures = [profile.mixture_kls(Mixture(profile, w)) for w in WEIGHTS]
    pools = [profile.log_pool(w).kls for w in WEIGHTS]
    return profile.p.tobytes() + np.array([mixtures, pools]).tobytes()


def threads() -> int:
    return sum(thread.name.startswith("prefetch") for thread in threading.enumerate())


@pytest.mark.parametrize("n_threads", [2, 4])
def test_the_numbers_of_one_thread(prefixes: list[list[NDArray[np.float32]]], n_threads: int) -> None:
    found = []
    for prefetch in (Prefetch(1), Prefetch(n_threads)):
        profiles = [begun(rows, prefetch) for rows in prefixes]
        assert all(profile.ready() for profile in profiles)
        found.append([numbers(profile) for profile in profiles])
        for profile in profiles:
            profile.close()
        prefetch.close()
    assert found[0] == found[1]


def test_one_thread_is_no_pool(prefixes: list[list[NDArray[np.float32]]]) -> None:
    prefetch, before = Prefetch(1), threads()
    profile = begun(prefixes[0], prefetch)
    assert profile.ready()
    assert prefetch.most_prefixes == 0
    assert threads() == before
    profile.close()


def test_python_switches_threads_sooner_while_there_is_a_pool(prefixes: list[list[NDArray[np.float32]]]) -> None:
    """Whatever other pools there were, the usual interval is there again behind it."""
    prefetch, before = Prefetch(2), USUAL_SWITCH_SECONDS
    profile = begun(prefixes[0], prefetch)
    assert sys.getswitchinterval() < before
    profile.close()
    prefetch.close()
    assert sys.getswitchinterval() == before


def test_a_prefix_that_fails_fails_alone(prefixes: list[list[NDArray[np.float32]]], pool: Prefetch) -> None:
    prefixes[1][0][7] = np.nan
    profiles = [begun(rows, pool) for rows in prefixes]
    assert [profile.ready() for profile in profiles] == [k != 1 for k in range(len(prefixes))]
    for profile in profiles:
        profile.close()
    assert begun(prefixes[1], pool).ready() is False
    assert begun(prefixes[2], pool).ready()


def test_closing_waits_for_what_runs_and_cancels_the_rest(prefixes: list[list[NDArray[np.float32]]]) -> None:
    prefetch, before = Prefetch(2), threads()
    profiles = [begun(rows, prefetch) for rows in prefixes]
    prefetch.close()
    assert not any(profile.is_running for profile in profiles)
    assert threads() <= before
    assert all(profile.ready() for profile in profiles)  # those that were cancelled are worked out here
    assert begun(prefixes[0], prefetch).ready()  # another pool is made
    prefetch.close()


def test_an_interruption_waits_for_what_runs(
    prefixes: list[list[NDArray[np.float32]]], pool: Prefetch, monkeypatch: pytest.MonkeyPatch
) -> None:
    profile = begun(prefixes[0], pool)
    executor: Any = pool._pool
    shutdown: Callable[..., None] = executor.shutdown
    calls = []

    def interrupted_once(**options: bool) -> None:
        calls.append(options)
        if len(calls) == 1:
            raise KeyboardInterrupt
        shutdown(**options)

    monkeypatch.setattr(executor, "shutdown", interrupted_once)
    with pytest.raises(KeyboardInterrupt):
        pool.close()
    assert len(calls) == 2
    assert not profile.is_running


def test_without_a_thread_to_be_had_the_caller_works(
    prefixes: list[list[NDArray[np.float32]]], pool: Prefetch, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_thread(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", no_thread)
    assert begun(prefixes[0], pool).ready()
    assert pool.n_threads == 1


def test_rows_are_used_again(prefixes: list[list[NDArray[np.float32]]], pool: Prefetch) -> None:
    for rows in prefixes:
        profile = begun(rows, pool)
        assert profile.ready()
        profile.close()
    assert {size: len(rows) for size, rows in pool._spare.items()} == {20_224: len(WEIGHTS), 2 * 20_224: 1}
