"""The token loop of one wave: which prefixes are alive, and which cells share them.

Every cell of a query starts from the same prompts. Cells whose texts so far are equal form a *group*, and a group is
evaluated once: one sequence per distinct prompt, one row each in the batch. Where cells of a group draw different
tokens the group parts, and all but one part fork the sequences.

A *lane* is a stack of groups. Each step takes the top group of every lane; an idle lane takes the bottom group of the
fullest other lane. So at most `lanes` texts hold KV cells beyond what they share, whatever the size of the wave:
waiting groups hang on prefixes of running ones (the busy-leaves property of depth-first work stealing).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from .errors import CellError
from .lm.base import LanguageModel, LiveSequence, Logits
from .plan import Cell, Plan

Record = dict[str, Any]


@dataclass(frozen=True)
class Cast:
    """Who speaks for a query: its distinct prompts, and for each agent the index of its prompt."""

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

    def auction(self, logits: Sequence[Logits], states: Sequence[CellState]) -> list[int]:
        """Aggregate, draw, charge and measure at one prefix; logits by agent; returns the token of every state."""
        ...


@dataclass
class _Held:
    """The sequences of one prefix, and how many groups still have to continue them."""

    sequences: list[LiveSequence]
    n_waiting: int = 0


@dataclass
class _Group:
    """Cells that share a text so far and have drawn the same next token, which is not evaluated yet.

    The group that starts a query has no token and holds nothing yet.
    """

    query: str
    states: list[CellState]
    held: _Held | None = None
    token: int = -1


@dataclass
class _Lane:
    waiting: list[_Group] = field(default_factory=list)


class Auction:
    """Runs the waves of a plan on one language model."""

    def __init__(self, model: LanguageModel, house: House, casts: Mapping[str, Cast]) -> None:
        self._model = model
        self._house = house
        self._casts = casts
        self._opened: dict[str, _Held] = {}  # queries whose prompts are evaluated and still needed
        self._kept: set[str] = set()  # queries that the next wave needs again
        self.n_evaluations = 0
        self.n_tokens = 0

    def run(self, plan: Plan, after_step: Callable[[], None] = lambda: None) -> Iterator[list[Record]]:
        """The records of every wave, wave by wave, in the order of the plan's cells."""
        for number, wave in enumerate(plan.waves):
            coming = plan.waves[number + 1] if number + 1 < len(plan.waves) else ()
            self._kept = {cell.query for cell in wave} & {cell.query for cell in coming}
            states = [self._house.begin(cell) for cell in wave]
            self._run_wave(states, plan.lanes, after_step)
            yield [state.record() for state in states]

    def _run_wave(self, states: Sequence[CellState], n_lanes: int, after_step: Callable[[], None]) -> None:
        by_query: dict[str, list[CellState]] = defaultdict(list)
        for state in states:
            by_query[state.cell.query].append(state)
        lanes = [_Lane() for _ in range(n_lanes)]
        lanes[0].waiting = [_Group(query, members) for query, members in reversed(by_query.items())]
        while any(lane.waiting for lane in lanes):
            _share_work(lanes)
            busy = [(lane, lane.waiting.pop()) for lane in lanes if lane.waiting]
            for lane, parts in zip([lane for lane, _ in busy], self._step([g for _, g in busy]), strict=True):
                lane.waiting += parts
            after_step()

    def _step(self, groups: Sequence[_Group]) -> list[list[_Group]]:
        """Evaluate what each group waits for in one batch; return the groups into which each parts."""
        started = [self._start(group) for group in groups]
        flat = [
            (sequence, group.token)
            for group, held in zip(groups, started, strict=True)
            if held is not None and group.token >= 0
            for sequence in held.sequences
        ]
        rows = iter(self._model.evaluate([s for s, _ in flat], [t for _, t in flat]) if flat else [])
        self.n_evaluations += len(flat)
        parts = []
        for group, held in zip(groups, started, strict=True):
            if held is None:
                parts.append([])
                continue
            answers = [s.first_logits if group.token < 0 else next(rows) for s in held.sequences]
            parts.append(self._part(group, held, answers))
        return parts

    def _start(self, group: _Group) -> _Held | None:
        """The group's own sequences: opened, taken over from the prefix it continues, or forked from it."""
        if group.held is None:
            return self._open(group)
        group.held.n_waiting -= 1
        if group.held.n_waiting == 0:
            return group.held
        return _Held([self._model.fork(sequence) for sequence in group.held.sequences])

    def _open(self, group: _Group) -> _Held | None:
        held = self._opened.get(group.query)
        if held is not None:
            return held
        held = _Held([])
        try:
            for prompt in self._casts[group.query].prompts:
                held.sequences.append(self._model.open(prompt))
        except CellError as error:
            self._release(held)
            for state in group.states:
                state.fail(error)
            return None
        self._opened[group.query] = held
        return held

    def _part(self, group: _Group, held: _Held, answers: Sequence[Logits | CellError | None]) -> list[_Group]:
        """Auction the next token of every cell of the group; cells that drew the same token go on together."""
        going_on: dict[int, list[CellState]] = defaultdict(list)
        failure = next((answer for answer in answers if isinstance(answer, CellError)), None)
        if failure is not None:
            for state in group.states:
                state.fail(failure)
        else:
            logits = [answers[k] for k in self._casts[group.query].prompt_of_agent]
            tokens = self._house.auction(logits, group.states)  # type: ignore[arg-type]
            self.n_tokens += len(tokens)
            for state, token in zip(group.states, tokens, strict=True):
                if state.end_reason is None:
                    going_on[token].append(state)
        self._hold(group, held, len(going_on))
        fewest_first = sorted(going_on.items(), key=lambda part: len(part[1]))
        return [_Group(group.query, states, held, token) for token, states in fewest_first]

    def _hold(self, group: _Group, held: _Held, n_parts: int) -> None:
        """Keep the sequences for the parts that continue them, and a query's own for the next wave."""
        held.n_waiting = n_parts
        if group.held is None:
            if group.query in self._kept:
                held.n_waiting += 1
            else:
                del self._opened[group.query]
        if not held.n_waiting:
            self._release(held)

    def _release(self, held: _Held) -> None:
        for sequence in held.sequences:
            self._model.close(sequence)


def _share_work(lanes: Sequence[_Lane]) -> None:
    """Every idle lane takes the oldest waiting group of the lane that has most of them."""
    for lane in lanes:
        if not lane.waiting:
            fullest = max(lanes, key=lambda other: len(other.waiting))
            if len(fullest.waiting) > 1:
                lane.waiting.append(fullest.waiting.pop(0))
