"""Where the texts of a plan are written: in this process, or elsewhere (`workers.py`). The run keeps what comes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, NamedTuple, Protocol

from ..experiment.experiment import Experiment
from ..runs.run_folder import Record
from .models.bidder_models import BidderModels
from .plan import Plan
from .rules import Rules
from .running.beginnings import unlike_beginnings
from .running.interrupts import Interrupts

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
    def n_rows(self) -> int:
        """Rows that the models have evaluated so far: one for each prompt and prefix."""
        ...

    @property
    def growing(self) -> str:
        """One of the texts as far as it is written; '' where other processes write."""
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
        from .writing import writing

        with writing(experiment, rules, bidders, plan.slots) as loaded:
            for note in unlike_beginnings(experiment, bidders.prompt_sets, loaded.model):
                tell(note)
            texts = loaded.texts(plan)
            if texts.slots < plan.slots:
                tell(f"memory has no room for {plan.slots} texts at a time: {texts.slots} advance together")
            yield texts
