"""One live auction: token by token, with bids that may move between two tokens. It does not know how it is shown."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

from ..experiment.experiment import Experiment
from ..experiment.sweep import shared_bids
from ..lm.base import LanguageModel, Request
from ..system.errors import CellError, UsageError
from .auctioneer import Auctioneer
from .bidder_models import prepare
from .plan import Cell
from .rules import Rules
from .token_loop import PromptSet


@dataclass(frozen=True)
class Token:
    """What was drawn: its text, whose model explains it, and what each agent paid for it."""

    piece: str
    posterior: tuple[float, ...]
    paid: tuple[float, ...]


class Play:
    """A text that is being auctioned."""

    def __init__(self, experiment: Experiment, model: LanguageModel, prompt_set: PromptSet, cell: Cell) -> None:
        self.experiment = experiment
        self.weight = cell.relative_weight or 0.0
        self.tokens: list[Token] = []
        self._model = model
        self._prompt_set = prompt_set
        self._auctioneer = Auctioneer(experiment, Rules.of(experiment), model.vocabulary)
        self._state = self._auctioneer.begin(cell)
        self._text: tuple[int, ...] = ()

    def close(self) -> None:
        """End the threads of the auction."""
        self._auctioneer.close()

    @property
    def bids(self) -> tuple[float, ...]:
        """What the agents bid for the next token."""
        return self._state.bids

    @property
    def end_reason(self) -> str | None:
        return self._state.end_reason

    def step(self) -> Token:
        """TokenLoop one token; raises CellError where that cannot be done."""
        answer = self._model.evaluate([Request(0, self._prompt_set.prompts, self._text)])[0]
        if isinstance(answer, CellError):
            raise answer
        logits = [answer[k] for k in self._prompt_set.prompt_of_agent]
        (tokens,) = self._auctioneer.auction([(logits, [self._state])])
        self._text = (*self._text, *tokens)
        record = self._state.record()
        if "error" in record:
            raise CellError(record["error"])
        self.tokens.append(_last_token(record["trace"], self.experiment.auction.payments))
        return self.tokens[-1]

    def move(self, by: float) -> None:
        """Give the swept agent another share of the bids, for the tokens to come."""
        weight = round(min(1.0, max(0.0, self.weight + by)), 6)
        self.weight = weight
        self._state.bid(bids_at(self.experiment, weight))

    def figures(self) -> dict[str, list[float]]:
        """Of each agent so far: what it paid and how likely the text is to it."""
        if not self.tokens:
            return {"paid": [0.0] * len(self.bids), "log_prob": [0.0] * len(self.bids)}
        record = self._state.record()
        paid = [sum(token.paid[i] for token in self.tokens) for i in range(len(self.bids))]
        return {"paid": paid, "log_prob": [record[f"log_prob.{agent.id}"] for agent in self.experiment.agents]}


def bids_at(experiment: Experiment, weight: float) -> tuple[float, ...]:
    """The bids at a relative weight; raises UsageError where no other agent could have the rest."""
    agents, swept = experiment.agents, experiment.swept_agent
    if not any(agent.bid > 0 for i, agent in enumerate(agents) if i != swept and not agent.reference):
        raise UsageError("there is no other agent with a bid: the weight cannot move")
    return shared_bids(agents, swept, weight, experiment.total_bid)


@contextmanager
def playing(experiment: Experiment, query: str, aggregation: str, weight: float, seed: int) -> Iterator[Play]:
    """An auction that is ready for its first token; `experiment` must be traced (`auction.trace: chosen`)."""
    bidders = prepare(experiment, probe=True)
    cell = Cell(query, aggregation, 0, weight, bids_at(experiment, weight), seed)
    with bidders.loaded(1) as model, closing(Play(experiment, model, bidders.prompt_sets[query], cell)) as play:
        yield play


def _last_token(trace: dict[str, Any], payments: tuple[str, ...]) -> Token:
    """`paid` by the first payment rule that fits the aggregation rule."""
    column = next((name for name in payments if name in trace["payments"]), None)
    posterior = tuple(row[-1] or 0.0 for row in trace["posterior"])
    paid = tuple(row[-1] for row in trace["payments"][column]) if column else (0.0,) * len(posterior)
    return Token(trace["pieces"][-1], posterior, paid)
