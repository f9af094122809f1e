"""Where the time of a whole run goes: every step timed where it is spent, and only while this is asked for.

    decode        evaluating texts so far
    softmax       logits to probabilities
    aggregation   q of every rule and weight, with its divergences
    draws, payments, measures
    records       making, writing and reading back
    tables        every file that a run writes beside its records

The time of a step within another counts for the inner one alone. Threads work on softmax and aggregation while others
are at something else: so the parts may be more than the whole.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property, wraps
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

from tokenauction_cli import api
from tokenauction_cli.analysis.run import Collected
from tokenauction_cli.analysis.tables.tables import Table
from tokenauction_cli.engine.loop import text_state
from tokenauction_cli.engine.loop.text_state import TextState
from tokenauction_cli.engine.loop.token_loop import TokenLoop
from tokenauction_cli.engine.rules import Rules
from tokenauction_cli.engine.run import SilentProgress
from tokenauction_cli.experiment.experiment import Experiment
from tokenauction_cli.mechanism.distributions import Profile
from tokenauction_cli.mechanism.native.compiled import CompiledProfile
from tokenauction_cli.mechanism.outcome import Outcome
from tokenauction_cli.runs.durable import Appender

STEPS = ("decode", "softmax", "aggregation", "draws", "payments", "measures", "records", "tables")
WHERE: tuple[tuple[str, Any, str], ...] = (
    ("decode", TokenLoop, "_evaluate"),
    ("softmax", Profile, "from_logits"),
    ("aggregation", Outcome, "q"),
    ("payments", TextState, "_charge"),
    ("measures", text_state, "measure"),
    ("records", TextState, "record"),
    ("records", Appender, "append"),
    ("records", Collected, "add"),
    ("tables", Collected, "run"),
    ("tables", api, "_with_tables"),
)


class Clock:
    """Seconds and calls by step."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.calls: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._of_thread = threading.local()

    @contextmanager
    def running(self, step: str) -> Iterator[None]:
        """For as long as a step lasts, but for the steps within it."""
        within: list[float] = self._of_thread.__dict__.setdefault("within", [])
        within.append(0.0)
        begun = time.perf_counter()
        try:
            yield
        finally:
            taken = time.perf_counter() - begun
            own = taken - within.pop()
            if within:
                within[-1] += taken
            with self._lock:
                self.seconds[step] += own
                self.calls[step] += 1


def profiled(experiment: Experiment) -> Table:
    """Run an experiment from its first text to its tables, in a folder that is gone afterwards."""
    clock = Clock()
    sampling = type(Rules.of(experiment).sampling)
    with TemporaryDirectory() as folder, ExitStack() as stack:
        for step, owner, name in (*WHERE, ("draws", sampling, "draw")):
            stack.enter_context(_timed(clock, step, owner, name))
        stack.enter_context(patch.object(CompiledProfile, "_work_out", _in_two(clock)))
        begun = time.perf_counter()
        run = api.run_experiment(experiment, Path(folder), SilentProgress())
        seconds = time.perf_counter() - begun
    spent = {step: clock.seconds[step] for step in STEPS}
    spent |= {"all else": max(0.0, seconds - sum(spent.values())), "the whole run": seconds}
    rows = tuple(_row(step, one, seconds, clock.calls[step]) for step, one in spent.items())
    title = f"{experiment.name}: {len(run.cells):,} texts, {int(run.cells['tokens'].sum()):,} draws"
    return Table(title, ("step", "seconds", "share", "times", "microseconds each"), rows)


def _row(step: str, seconds: float, whole: float, n: int) -> tuple[str, ...]:
    return (
        step,
        f"{seconds:.2f}",
        f"{seconds / whole:.1%}",
        f"{n:,}" if n else "",
        f"{1e6 * seconds / n:.0f}" if n else "",
    )


def _in_two(clock: Clock) -> Callable[[CompiledProfile], None]:
    """What one call does for a prefix, in two, so that each can be timed."""

    def work_out(self: CompiledProfile) -> None:
        of, asked = self._arguments(self._answers)
        with clock.running("softmax"):
            answer = self._passes.pass_softmax(of)
        with clock.running("aggregation"):
            if not answer:
                self._passes.pass_asked(of, asked)
        self._answer = answer

    return work_out


def _timed(clock: Clock, step: str, owner: Any, name: str) -> Any:
    """A method, function or property, timed until this is left."""
    found = vars(owner)[name]
    inner = found.func if isinstance(found, cached_property) else getattr(found, "__func__", found)

    @wraps(inner)
    def timed(*given: Any, **named: Any) -> Any:
        with clock.running(step):
            return inner(*given, **named)

    wrapped: Any = timed
    if isinstance(found, classmethod):
        wrapped = classmethod(timed)
    elif isinstance(found, cached_property):
        wrapped = cached_property(timed)
        wrapped.__set_name__(owner, name)
    return patch.object(owner, name, wrapped)
