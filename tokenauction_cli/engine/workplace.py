"""Where the texts of a plan are written: in this process, or elsewhere (`workers.py`). The run keeps what comes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import replace
from typing import Any, NamedTuple, Protocol

from ..experiment.experiment import Experiment
from ..lm.base import LanguageModel
from ..runs.run_folder import Record
from ..system.errors import TokauctionError
from .loop.token_loop import TokenLoop
from .models.bidder_models import BidderModels
from .plan import Plan
from .rules import Rules
from .running.beginnings import unlike_beginnings
from .running.interrupts import Interrupts
from .running.work_left import WorkLeft

SECONDS_BETWEEN_APPENDS = 0.5

Tell = Callable[[str], None]


class WorkerPace(NamedTuple):
    """How fast a worker writes, and which share of its task is done."""

    worker: str
    n_drawn_per_second: float
    share: float


class Writing(Protocol):
    """The texts of a plan on their way."""

    @property
    def slots(self) -> int:
        """How many texts advance together."""
        ...

    @property
    def n_tokens(self) -> int:
        """Drawn so far."""
        ...

    @property
    def share(self) -> float:
        """The part of the work that is done, about; from 0 to 1."""
        ...

    @property
    def paces(self) -> Sequence[WorkerPace]:
        """Of the workers that write now; none where this process writes itself."""
        ...

    @property
    def facts(self) -> dict[str, Any]:
        """What the manifest keeps of it."""
        ...

    def batches(self, interrupts: Interrupts) -> Iterator[list[Record]]:
        """What to append together; where a batch may change bits, whole waves. Errors come after what is finished."""
        ...


class Workplace(Protocol):
    """Writes the texts of plans."""

    def fitted(self, experiment: Experiment) -> Experiment:
        """The experiment with the threads that one process has there."""
        ...

    def writing(
        self, experiment: Experiment, rules: Rules, bidders: BidderModels, plan: Plan, tell: Tell
    ) -> AbstractContextManager[Writing]:
        """Begin to write the texts of this plan."""
        ...


class Here:
    """This process."""

    def fitted(self, experiment: Experiment) -> Experiment:
        return experiment

    @contextmanager
    def writing(
        self, experiment: Experiment, rules: Rules, bidders: BidderModels, plan: Plan, tell: Tell
    ) -> Iterator[Writing]:
        from .loop.auctioneer import Auctioneer

        with (
            bidders.loaded(plan.slots) as model,
            closing(Auctioneer(experiment, rules, model.vocabulary)) as auctioneer,
        ):
            for note in unlike_beginnings(experiment, bidders.prompt_sets, model):
                tell(note)
            left = WorkLeft(plan, bidders.prompt_sets, experiment.auction.max_draws)
            loop = TokenLoop(model, auctioneer, bidders.prompt_sets, left.heard)
            yield _WritingHere(loop, with_room(plan, model, tell), left)


class _WritingHere:
    paces: Sequence[WorkerPace] = ()

    def __init__(self, loop: TokenLoop, plan: Plan, left: WorkLeft) -> None:
        self._loop = loop
        self._plan = plan
        self._left = left

    @property
    def slots(self) -> int:
        return self._plan.slots

    @property
    def n_tokens(self) -> int:
        return self._loop.n_tokens

    @property
    def share(self) -> float:
        return self._left.share

    @property
    def facts(self) -> dict[str, Any]:
        return {"tokens": self._loop.n_tokens, "evaluations": self._loop.n_evaluations}

    def batches(self, interrupts: Interrupts) -> Iterator[list[Record]]:
        return in_batches(self._loop, self._plan, interrupts)


def with_room(plan: Plan, model: LanguageModel, tell: Tell) -> Plan:
    """The plan with the slots that memory had room for."""
    if model.slots is None or model.slots >= plan.slots:
        return plan
    tell(f"memory has no room for {plan.slots} texts at a time: {model.slots} advance together")
    return replace(plan, slots=model.slots)


def in_batches(loop: TokenLoop, plan: Plan, interrupts: Interrupts) -> Iterator[list[Record]]:
    """What to append together, twice a second: a whole wave where the plan says so, otherwise what is finished.

    Where a step fails or is interrupted, what was finished before.
    """
    for wave in plan.waves:
        waiting: list[Record] = []
        last = time.monotonic()
        try:
            for finished in loop.run(wave, plan.slots, afresh=plan.whole_waves):
                waiting += finished
                interrupts.check()
                if time.monotonic() - last > SECONDS_BETWEEN_APPENDS:
                    ready, waiting = ([], waiting) if plan.whole_waves else (waiting, [])
                    yield ready
                    interrupts.check()
                    last = time.monotonic()
        except (KeyboardInterrupt, MemoryError, TokauctionError):
            yield waiting
            raise
        yield waiting
