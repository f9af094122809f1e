"""One live auction: token by token, with bids that may move between two tokens. It does not know how it is shown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ..experiment.experiment import Experiment
from ..experiment.resolved.mechanism_choice import TokenAuction
from ..experiment.resolved.sweep import shared_bids
from ..lm.base import Request
from ..system.errors import CellError, UsageError
from .loop.token_loop import continued
from .models.prepare import prepare
from .plan import Cell
from .rules import Rules
from .writing import Loaded, writing


@dataclass(frozen=True)
class Token:
    """What was drawn: its text, whose model explains it, and what each agent paid for it, by payment rule."""

    piece: str
    posterior: tuple[float, ...]
    paid: Mapping[str, tuple[float, ...]]


class Play:
    """A text that is being auctioned."""

    def __init__(self, stage: Stage, cell: Cell) -> None:
        self.cell = cell
        self.experiment = stage.experiment
        self.weight = cell.relative_weight or 0.0
        self.tokens: list[Token] = []
        self._stage = stage
        self._state = stage.auctioneer.begin(cell)
        self._text: tuple[int, ...] = ()

    @property
    def bids(self) -> tuple[float, ...]:
        """What the agents bid for the next token."""
        return self._state.bids

    @property
    def end_reason(self) -> str | None:
        return self._state.end_reason

    def step(self) -> Token:
        """Auction one token, byte or word; raises CellError where that cannot be done."""
        n_before = self._state.n_tokens
        while self._state.n_tokens == n_before and self.end_reason is None:
            self._draw()
        if self._state.error is not None:
            raise CellError(self._state.error, cell=self.cell.id)
        assert self._state.trace is not None
        self.tokens.append(_last_token(self._state.trace.plain(-1)))
        return self.tokens[-1]

    def _draw(self) -> None:
        """Draw what follows the text: of a word the next byte."""
        prompt_set = self._stage.prompt_set
        answer = self._stage.model.evaluate([Request(0, prompt_set.prompts, self._text)])[0]
        if isinstance(answer, CellError):
            raise answer
        logits = [answer[k] for k in prompt_set.prompt_of_agent]
        ((drawn,),) = self._stage.auctioneer.auction([(logits, [self._state])])
        self._text = continued(self._text, drawn)

    def move(self, by: float) -> None:
        """Give the swept agent another share of the bids, for the tokens to come."""
        self.weight = moved(self.weight, by)
        self._state.bid(bids_at(self.experiment, self.weight))

    def paid(self, payment: str) -> list[float] | None:
        """What each agent has paid by this rule; None where it is not defined under the aggregation rule."""
        if payment not in self._stage.payments_of(self.cell.mechanism.name):
            return None
        return [sum(token.paid[payment][i] for token in self.tokens) for i in range(len(self.bids))]

    @property
    def log_probs(self) -> list[float]:
        """How likely the text so far is to each agent."""
        return [float(one) for one in self._state.log_likelihoods]


class Stage:
    """The loaded models and one query, on which one text after the other is played."""

    def __init__(self, loaded: Loaded, query: str) -> None:
        self.experiment = loaded.auctioneer.experiment
        self.query = query
        self.model = loaded.model
        self.prompt_set = loaded.bidders.prompt_sets[query]
        self.auctioneer = loaded.auctioneer

    def play(self, aggregation: str, weight: float, seed: int) -> Play:
        """An auction that is ready for its first token."""
        bids = bids_at(self.experiment, weight)
        return Play(self, Cell(self.query, TokenAuction(aggregation), 0, weight, bids, seed))

    def payments_of(self, aggregation: str) -> list[str]:
        """The payment rules that are defined under an aggregation rule."""
        return [payment.name for payment in self.auctioneer.rules.fitting(aggregation, self.experiment.auction.reserve)]


def moved(weight: float, by: float) -> float:
    """Another relative weight, from 0 to 1."""
    return round(min(1.0, max(0.0, weight + by)), 6)


def bids_at(experiment: Experiment, weight: float) -> tuple[float, ...]:
    """The bids at a relative weight; raises UsageError where no other agent could have the rest."""
    agents, swept = experiment.agents, experiment.swept_agent
    if not any(agent.bid > 0 for i, agent in enumerate(agents) if i != swept and not agent.reference):
        raise UsageError("there is no other agent with a bid: the weight cannot move")
    return shared_bids(agents, swept, weight, experiment.total_bid)


@contextmanager
def staged(experiment: Experiment, query: str) -> Iterator[Stage]:
    """The models, ready to play; `experiment` must be traced (`auction.trace: chosen`)."""
    bidders = prepare(experiment, probe=True)
    with writing(experiment, Rules.of(experiment), bidders, slots=1) as loaded:
        yield Stage(loaded, query)


def _last_token(trace: dict[str, Any]) -> Token:
    posterior = tuple(row[-1] or 0.0 for row in trace["posterior"])
    paid = {column: tuple(row[-1] for row in rows) for column, rows in trace["payments"].items()}
    return Token(trace["pieces"][-1], posterior, paid)
