"""The token loop: which texts are alive, and which cells share them.

Every cell of a query starts from the same prompts. Cells whose prompts and texts so far are equal form a *group*, and
the distributions that follow a text are evaluated once for its group. Where cells draw different tokens the group
parts.

A *lane* is a stack of groups; each step evaluates the top group of every lane in one batch. A lane finishes what it
began before it goes back, so a waiting group always continues a beginning of its lane's last text, and cutting that
back costs nothing. An idle lane takes the oldest group of the fullest other lane.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from .errors import CellError
from .lm.base import LanguageModel, Logits, Request
from .plan import Cell

Record = dict[str, Any]


@dataclass(frozen=True)
class Cast:
    """Who speaks for a query: its distinct prompts, and for each agent the index of its prompt.

    Queries with equal prompts share one cast.
    """

    prompts: tuple[Any, ...]
    prompt_of_agent: tuple[int, ...]


class CellState(Protocol):
    """One text being written; `end_reason` is None while it is not finished."""

    cell: Cell
    end_reason: str | None

    def fail(self, error: CellError) -> None: ...
    def record(self) -> Record: ...


class House(Protocol):
    """Runs the auction of one token for every cell of a group."""

    def begin(self, cell: Cell) -> CellState: ...

    def auction(self, texts: Iterable[tuple[Sequence[Logits], Sequence[Any]]]) -> Iterator[list[int]]:
        """Aggregate, draw, charge and measure after each text; logits by agent; yields the token of every state."""
        ...


@dataclass(frozen=True)
class _Group:
    """Cells that share their prompts and a text so far."""

    cast: Cast
    text: tuple[int, ...]
    states: list[CellState]


_Lane = list[_Group]


class Auction:
    """Writes the texts of cells on one language model."""

    def __init__(self, model: LanguageModel, house: House, casts: Mapping[str, Cast]) -> None:
        self._model = model
        self._house = house
        self._casts = casts
        self.n_tokens = 0
        self.n_evaluations = 0  # of (prompt, text so far), the prompts alone not counted
        self.seconds_evaluating = 0.0
        self.seconds_auctioning = 0.0

    def run(self, cells: Sequence[Cell], n_lanes: int, *, afresh: bool = False) -> Iterator[list[Record]]:
        """After every step the records of the cells that it finished, until all of them are.

        `afresh` uses nothing that was evaluated for other cells, which may change bits where a batch does.
        """
        if afresh:
            self._model.forget()
        beginnings: dict[int, _Group] = {}
        for cell in cells:
            cast = self._casts[cell.query]
            beginnings.setdefault(id(cast), _Group(cast, (), [])).states.append(self._house.begin(cell))
        lanes: list[_Lane] = [[] for _ in range(n_lanes)]
        lanes[0] = list(reversed(beginnings.values()))
        while n_busy := _share_work(lanes):
            groups = [lane.pop() for lane in lanes[:n_busy]]
            for lane, parts in zip(lanes, self._step(groups), strict=False):
                lane.extend(parts)
            yield [state.record() for group in groups for state in group.states if state.end_reason is not None]

    def _step(self, groups: Sequence[_Group]) -> list[list[_Group]]:
        """Evaluate what follows every group's text in one batch; return the groups into which each parts."""
        requests = [Request(slot, g.cast.prompts, g.text) for slot, g in enumerate(groups)]
        self.n_evaluations += sum(len(request.prompts) for request in requests if request.text)
        begun = time.perf_counter()
        answers = self._model.evaluate(requests)
        evaluated = time.perf_counter()
        tokens = self._house.auction(
            ([answer[k] for k in group.cast.prompt_of_agent], group.states)
            for group, answer in zip(groups, answers, strict=True)
            if not isinstance(answer, CellError)
        )
        parts = [
            self._failed(group, answer) if isinstance(answer, CellError) else self._part(group, next(tokens))
            for group, answer in zip(groups, answers, strict=True)
        ]
        self.seconds_evaluating += evaluated - begun
        self.seconds_auctioning += time.perf_counter() - evaluated
        return parts

    def _failed(self, group: _Group, error: CellError) -> list[_Group]:
        for state in group.states:
            state.fail(error)
        return []

    def _part(self, group: _Group, tokens: Sequence[int]) -> list[_Group]:
        """Cells that drew the same token go on together, those that are most last."""
        self.n_tokens += len(tokens)
        going_on: dict[int, list[CellState]] = defaultdict(list)
        for state, token in zip(group.states, tokens, strict=True):
            if state.end_reason is None:
                going_on[token].append(state)
        fewest_first = sorted(going_on.items(), key=lambda part: len(part[1]))
        return [_Group(group.cast, (*group.text, token), states) for token, states in fewest_first]


def _share_work(lanes: list[_Lane]) -> int:
    """Give idle lanes work, and put the busy ones first; returns how many are busy.

    A batch is fastest over sequences that stand next to each other, so the last busy lane moves into a gap.
    """
    for k, lane in enumerate(lanes):
        if lane:
            continue
        fullest = max(lanes, key=len)
        if len(fullest) > 1:
            lane.append(fullest.pop(0))
        else:
            last = next((j for j in range(len(lanes) - 1, k, -1) if lanes[j]), None)
            if last is not None:
                lanes[k], lanes[last] = lanes[last], lanes[k]
    return sum(bool(lane) for lane in lanes)
