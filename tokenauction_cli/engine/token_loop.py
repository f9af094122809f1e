"""The token loop: which texts are alive, and which cells share them.

Every cell of a query starts from the same prompts, its *cast*. Cells whose texts so far are equal and whose casts have
prompts in common form a *group*, a *party* for each cast; the distributions that follow a prompt and a text are
evaluated once for the group. Where cells draw different tokens the group parts.

A *lane* is a stack of groups; each step evaluates the top group of every lane in one batch. A lane finishes what it
began before it goes back, so a waiting group always continues a beginning of its lane's last text, and cutting that
back costs nothing. An idle lane takes the oldest group of the fullest other lane. Every party fills one slot of the
model, so groups of several parties, which are rare, leave room for fewer lanes.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Protocol

from ..errors import CellError
from ..lm.base import LanguageModel, Logits, Request
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

    def auction(self, texts: Iterable[tuple[Sequence[Logits], Sequence[Any]]]) -> Generator[list[int], None, None]:
        """Aggregate, draw, charge and measure after each text; logits by agent; yields the token of every state.

        To be closed before the logits are gone.
        """
        ...


@dataclass(frozen=True, eq=False)
class _Party:
    """Cells of one cast."""

    cast: Cast
    states: list[CellState]


@dataclass(frozen=True)
class _Group:
    """Parties with prompts in common that share a text so far."""

    text: tuple[int, ...]
    parties: Sequence[_Party]


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
        parties: dict[int, _Party] = {}
        for cell in cells:
            cast = self._casts[cell.query]
            parties.setdefault(id(cast), _Party(cast, [])).states.append(self._house.begin(cell))
        lanes: list[_Lane] = [[] for _ in range(n_lanes)]
        lanes[0] = [
            _Group((), family[k : k + n_lanes])
            for family in reversed(_families(list(parties.values())))
            for k in range(0, len(family), n_lanes)
        ]
        while n_busy := _share_work(lanes):
            groups = [lane.pop() for lane in lanes[: _with_room(lanes, n_busy, n_lanes)]]
            for lane, parts in zip(lanes, self._step(groups), strict=False):
                lane.extend(parts)
            states = (state for group in groups for party in group.parties for state in party.states)
            yield [state.record() for state in states if state.end_reason is not None]

    def _step(self, groups: Sequence[_Group]) -> list[list[_Group]]:
        """Evaluate what follows every group's text in one batch; return the groups into which each parts."""
        begun = time.perf_counter()
        answers = self._evaluate(groups)
        evaluated = time.perf_counter()
        drawn = iter(self._draw([party for group in groups for party in group.parties], answers))
        parts = [_parts(group, [next(drawn) for _ in group.parties]) for group in groups]
        self.seconds_evaluating += evaluated - begun
        self.seconds_auctioning += time.perf_counter() - evaluated
        return parts

    def _evaluate(self, groups: Sequence[_Group]) -> list[list[Logits] | CellError]:
        """What follows the prompts of every party; a prompt that several parties of a group have is asked once."""
        requests: list[Request] = []
        sources: list[list[tuple[int, int]]] = []  # for each party's prompts: in which request, at which place
        for group in groups:
            asked: dict[Any, tuple[int, int]] = {}
            for party in group.parties:
                prompts = party.cast.prompts
                left_out = frozenset(k for k, prompt in enumerate(prompts) if prompt in asked)
                sources.append([asked.setdefault(prompt, (len(requests), k)) for k, prompt in enumerate(prompts)])
                requests.append(Request(len(requests), prompts, group.text, left_out))
        self.n_evaluations += sum(len(r.prompts) - len(r.left_out) for r in requests if r.text)
        answers = self._model.evaluate(requests)
        return [_collected(answers, places) for places in sources]

    def _draw(self, parties: Sequence[_Party], answers: Sequence[list[Logits] | CellError]) -> list[list[int]]:
        """The next token of every cell of every party, -1 for those that fail."""
        answered = (
            ([answer[k] for k in party.cast.prompt_of_agent], party.states)
            for party, answer in zip(parties, answers, strict=True)
            if not isinstance(answer, CellError)
        )
        drawn = []
        with closing(self._house.auction(answered)) as tokens:
            for party, answer in zip(parties, answers, strict=True):
                if isinstance(answer, CellError):
                    for state in party.states:
                        state.fail(answer)
                    drawn.append([-1] * len(party.states))
                else:
                    drawn.append(next(tokens))
                    self.n_tokens += len(drawn[-1])
        return drawn


def _collected(
    answers: Sequence[list[Logits] | CellError], places: Sequence[tuple[int, int]]
) -> list[Logits] | CellError:
    """The logits at these places of these requests, or why one of them has none."""
    logits = []
    for request, k in places:
        answer = answers[request]
        if isinstance(answer, CellError):
            return answer
        logits.append(answer[k])
    return logits


def _parts(group: _Group, tokens: Sequence[Sequence[int]]) -> list[_Group]:
    """Cells that drew the same token go on together; the groups with most cells come last."""
    going_on: dict[int, list[_Party]] = defaultdict(list)
    for party, drawn in zip(group.parties, tokens, strict=True):
        states: dict[int, list[CellState]] = defaultdict(list)
        for state, token in zip(party.states, drawn, strict=True):
            if state.end_reason is None:
                states[token].append(state)
        for token, same in states.items():
            going_on[token].append(_Party(party.cast, same))
    parts = [
        _Group((*group.text, token), family) for token, parties in going_on.items() for family in _families(parties)
    ]
    return sorted(parts, key=lambda part: sum(len(party.states) for party in part.parties))


def _families(parties: Sequence[_Party]) -> list[list[_Party]]:
    """Parties joined where prompts are shared, directly or by way of a third."""
    families: list[list[_Party]] = []
    for party in parties if len(parties) > 1 else ():
        prompts = set(party.cast.prompts)
        kin = [family for family in families if any(prompts.intersection(other.cast.prompts) for other in family)]
        families = [family for family in families if family not in kin]
        families.append([*(member for family in kin for member in family), party])
    return families or [list(parties)]


def _with_room(lanes: list[_Lane], n_busy: int, n_slots: int) -> int:
    """How many of the busy lanes the slots have room for; put those that need several slots behind the others."""
    lanes[:n_busy] = sorted(lanes[:n_busy], key=lambda lane: len(lane[-1].parties) > 1)
    needed = accumulate(len(lane[-1].parties) for lane in lanes[:n_busy])
    return max(1, sum(slots <= n_slots for slots in needed))


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
