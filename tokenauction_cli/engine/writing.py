"""Models with their weights and the auctioneer over them: the one place where texts begin to be written.

Runs, audits, workers, checks and live auctions ask it for the texts of plans. Where records are kept it does not know.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

from ..experiment.experiment import Experiment
from ..lm.base import LanguageModel, Vocabulary, spelled
from ..lm.bytes.byte_model import ByteModel
from ..runs.run_folder import Record
from ..system.errors import TokauctionError
from .loop.auctioneer import Auctioneer
from .loop.token_loop import TokenLoop
from .models.bidder_models import BidderModels, unobserved
from .models.gguf_files import Observer
from .plan import Cell, Plan
from .rules import Rules
from .running.interrupts import Interrupts
from .running.work_left import WorkLeft

SECONDS_BETWEEN_APPENDS = 0.5


@dataclass(frozen=True, eq=False)
class Loaded:
    """What writes any texts of an experiment, for as long as its models are loaded."""

    bidders: BidderModels
    model: LanguageModel
    auctioneer: Auctioneer

    def texts(self, plan: Plan) -> Texts:
        """Those of a plan, as many at a time as memory has room for."""
        return Texts(self, replace(plan, slots=min(plan.slots, self.model.slots or plan.slots)))


@contextmanager
def writing(
    experiment: Experiment,
    rules: Rules,
    bidders: BidderModels,
    slots: int,
    *,
    make_auctioneer: Callable[[Experiment, Rules, Vocabulary], Auctioneer] = Auctioneer,
    observe: Observer = unobserved,
) -> Iterator[Loaded]:
    """The models loaded, for so many texts at a time or fewer; `observe` hears of llama.cpp's calls."""
    with (
        bidders.loaded(slots, observe) as model,
        closing(make_auctioneer(experiment, rules, model.vocabulary)) as auctioneer,
    ):
        yield Loaded(bidders, model, auctioneer)


class Texts:
    """The texts of a plan on their way in this process: a `Writing`."""

    paces: tuple[()] = ()

    def __init__(self, loaded: Loaded, plan: Plan) -> None:
        prompt_sets, auction = loaded.bidders.prompt_sets, loaded.auctioneer.experiment.auction
        self.plan, self.slots, self._model = plan, plan.slots, loaded.model
        self.left = WorkLeft(plan, prompt_sets, auction.max_draws)
        self.loop = TokenLoop(loaded.model, loaded.auctioneer, prompt_sets, self.left.heard)

    @property
    def n_tokens(self) -> int:
        return self.loop.n_tokens

    @property
    def n_rows(self) -> int:
        return self._model.n_evaluations if isinstance(self._model, ByteModel) else self.loop.n_evaluations

    @property
    def growing(self) -> str:
        return spelled(self._model.vocabulary, self.loop.growing).decode("utf-8", "replace")

    @property
    def share(self) -> float:
        return self.left.share

    @property
    def facts(self) -> dict[str, Any]:
        return {"tokens": self.loop.n_tokens, "evaluations": self.loop.n_evaluations}

    def steps(self) -> Iterator[list[Record]]:
        """After every step of the loop what it finished."""
        return chain.from_iterable(map(self._steps_of, self.plan.waves))

    def batches(self, interrupts: Interrupts) -> Iterator[list[Record]]:
        """What to append together, twice a second: a whole wave where the plan says so, otherwise what is finished.

        Where a step fails or is interrupted, what was finished before.
        """
        for wave in self.plan.waves:
            waiting: list[Record] = []
            last = time.monotonic()
            try:
                for finished in self._steps_of(wave):
                    waiting += finished
                    interrupts.check()
                    if time.monotonic() - last > SECONDS_BETWEEN_APPENDS:
                        ready, waiting = ([], waiting) if self.plan.whole_waves else (waiting, [])
                        yield ready
                        interrupts.check()
                        last = time.monotonic()
            except (KeyboardInterrupt, MemoryError, TokauctionError):
                yield waiting
                raise
            yield waiting

    def _steps_of(self, wave: Sequence[Cell]) -> Iterator[list[Record]]:
        return self.loop.run(wave, self.plan.slots, afresh=self.plan.whole_waves)
