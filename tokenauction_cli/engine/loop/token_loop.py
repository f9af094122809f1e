"""The token loop: which texts are alive, and which cells share them.

Every cell of a query starts from the same prompts, its prompt set. Cells that share a prompt set and a prefix form a
*group*; groups with the same prefix whose prompt sets have prompts in common form a *bundle*: the distributions that
follow a prompt and a prefix are evaluated once for it. Where cells draw different tokens the bundle parts.

A *slot* is a place for one text in the batch, with a stack of bundles; each step evaluates the top bundle of every slot
in one batch. A slot finishes what it began before it goes back, so a waiting bundle always continues a beginning of its
slot's last text, and cutting that back costs nothing. An idle slot takes the oldest bundle of the fullest other slot.
Every group fills one slot of the model, so bundles of several groups, which are rare, leave room for fewer slots.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from heapq import heapify, heappop, heappush
from itertools import accumulate
from typing import Any, Protocol

from ...lm.base import LanguageModel, Logits, Request
from ...runs.run_folder import Record
from ...system.errors import CellError, TokauctionError
from ..plan import Cell


@dataclass(frozen=True)
class Back:
    """Instead of a token: the text goes back to so many of its first tokens."""

    n_tokens: int


@dataclass(frozen=True)
class Failed:
    """Instead of a token: nothing can be drawn; the text's state says why."""


Drawn = int | Back | Failed
"""What becomes of one cell's draw."""


@dataclass(frozen=True)
class PromptSet:
    """Who speaks for a query: its distinct prompts, and for each agent and each scorer the index of its prompt.

    A scorer measures the texts and has no part in the auction. `report` is that of the cells. Queries with equal
    prompts share one prompt set.
    """

    prompts: tuple[Any, ...]
    prompt_of_agent: tuple[int, ...]
    prompt_of_scorer: tuple[int, ...] = ()
    report: str = ""

    @property
    def n_prompt_tokens(self) -> int:
        """Of the distinct prompts together; tables need none."""
        return sum(len(getattr(prompt, "tokens", ())) for prompt in self.prompts)


class CellState(Protocol):
    """One text being written; `end_reason` is None while it is not finished."""

    cell: Cell
    end_reason: str | None

    def fail(self, error: CellError) -> None: ...

    def record(self, unfollowed: Callable[[], Sequence[float]]) -> Record:
        """The finished cell; `unfollowed` asks, by agent, what share of a text's spellings the model has left out."""
        ...


class TokenAuctioneer(Protocol):
    """Runs the auction of one token for every cell of a bundle."""

    def begin(self, cell: Cell) -> CellState: ...

    def auction(self, texts: Iterable[tuple[Sequence[Logits], Sequence[Any]]]) -> Generator[list[Drawn], None, None]:
        """Aggregate, draw, charge and measure after each text; logits by agent, then by scorer; yields what is drawn.

        To be closed before the logits are gone.
        """
        ...


@dataclass(frozen=True, eq=False)
class _Group:
    """Cells that share a prompt set and a prefix."""

    prompt_set: PromptSet
    states: list[CellState]


@dataclass(frozen=True)
class _Bundle:
    """Groups with prompts in common that share a prefix."""

    text: tuple[int, ...]
    groups: Sequence[_Group]


_Slot = list[_Bundle]
Observer = Callable[[int, Sequence[int], Sequence[int], Sequence[tuple[int, int]]], None]


def continued(text: tuple[int, ...], drawn: Drawn) -> tuple[int, ...]:
    """A text after what was drawn: one token longer, gone back, or as it was where that failed."""
    match drawn:
        case Back(n_tokens):
            return text[:n_tokens]
        case Failed():
            return text
        case token:
            return (*text, token)


class TokenLoop:
    """Writes the texts of cells on one language model."""

    def __init__(
        self,
        model: LanguageModel,
        auctioneer: TokenAuctioneer,
        prompt_sets: Mapping[str, PromptSet],
        observe: Observer = lambda position, before, after, back: None,
    ) -> None:
        """`observe` hears of every bundle at which position, from 0, groups of so many cells became which groups.

        Of those that go back it hears to which position, and of how many cells each is.
        """
        self._model = model
        self._observe = observe
        self._auctioneer = auctioneer
        self._prompt_sets = prompt_sets
        self.n_tokens = 0
        self.growing: tuple[int, ...] = ()  # one of the texts that are being written
        self.n_evaluations = 0  # of (prompt, prefix), the prompts alone not counted
        self.seconds_evaluating = 0.0
        self.seconds_auctioning = 0.0

    def run(self, cells: Sequence[Cell], n_slots: int, *, afresh: bool = False) -> Iterator[list[Record]]:
        """After every step the records of the cells that it finished, until all of them are.

        `afresh` uses nothing that was evaluated for other cells, which may change bits where a batch does.
        """
        if afresh:
            self._model.forget()
        groups: dict[int, _Group] = {}
        unsold = []
        for cell in cells:
            prompt_set, state = self._prompt_sets[cell.prompt_set], self._auctioneer.begin(cell)
            if state.end_reason is None:
                groups.setdefault(id(prompt_set), _Group(prompt_set, [])).states.append(state)
            else:
                unsold.append(state.record(partial(self._unfollowed, prompt_set, ())))
        if unsold:
            yield unsold
        if not groups:
            return
        slots: list[_Slot] = [[] for _ in range(n_slots)]
        slots[0] = [
            _Bundle((), joined[k : k + n_slots])
            for joined in reversed(_bundled(list(groups.values())))
            for k in range(0, len(joined), n_slots)
        ]
        while n_busy := _share_work(slots):
            self.growing = slots[0][-1].text
            bundles = [slot.pop() for slot in slots[: _with_room(slots, n_busy, n_slots)]]
            try:
                parts = self._step(bundles)
            except (KeyboardInterrupt, MemoryError, TokauctionError):
                yield self._finished(bundles)  # what the step ended before is kept
                raise
            for slot, bundle, more in zip(slots, bundles, parts, strict=False):
                slot.extend(more)
                ahead = [part for part in more if len(part.text) > len(bundle.text)]
                back = [(len(part.text), n) for part in more if part not in ahead for n in _sizes([part])]
                self._observe(len(bundle.text), _sizes([bundle]), _sizes(ahead), back)
            yield self._finished(bundles)

    def _finished(self, bundles: Sequence[_Bundle]) -> list[Record]:
        """The records of what ended after these texts."""
        return [
            state.record(partial(self._unfollowed, group.prompt_set, bundle.text))
            for bundle in bundles
            for group in bundle.groups
            for state in group.states
            if state.end_reason is not None
        ]

    def _unfollowed(self, prompt_set: PromptSet, text: tuple[int, ...]) -> list[float]:
        shares = [self._model.unfollowed(prompt, text) for prompt in prompt_set.prompts]
        return [shares[k] for k in prompt_set.prompt_of_agent]

    def _step(self, bundles: Sequence[_Bundle]) -> list[list[_Bundle]]:
        """Evaluate what follows every bundle's text in one batch; return the bundles into which each parts."""
        begun = time.perf_counter()
        answers = self._evaluate(bundles)
        evaluated = time.perf_counter()
        drawn = iter(self._draw([group for bundle in bundles for group in bundle.groups], answers))
        parts = [_parts(bundle, [next(drawn) for _ in bundle.groups]) for bundle in bundles]
        self.seconds_evaluating += evaluated - begun
        self.seconds_auctioning += time.perf_counter() - evaluated
        return parts

    def _evaluate(self, bundles: Sequence[_Bundle]) -> list[list[Logits] | CellError]:
        """What follows the prompts of every group; a prompt that several groups of a bundle have is asked once."""
        requests: list[Request] = []
        sources: list[list[tuple[int, int]]] = []  # for each group's prompts: in which request, at which place
        for bundle in bundles:
            asked: dict[Any, tuple[int, int]] = {}
            for group in bundle.groups:
                prompts = group.prompt_set.prompts
                left_out = frozenset(k for k, prompt in enumerate(prompts) if prompt in asked)
                sources.append([asked.setdefault(prompt, (len(requests), k)) for k, prompt in enumerate(prompts)])
                requests.append(Request(len(requests), prompts, bundle.text, left_out))
        self.n_evaluations += sum(len(r.prompts) - len(r.left_out) for r in requests if r.text)
        answers = self._model.evaluate(requests)
        return [_collected(answers, places) for places in sources]

    def _draw(self, groups: Sequence[_Group], answers: Sequence[list[Logits] | CellError]) -> list[list[Drawn]]:
        """What is drawn for every cell of every group."""
        answered = (
            ([answer[k] for k in (*group.prompt_set.prompt_of_agent, *group.prompt_set.prompt_of_scorer)], group.states)
            for group, answer in zip(groups, answers, strict=True)
            if not isinstance(answer, CellError)
        )
        drawn: list[list[Drawn]] = []
        with closing(self._auctioneer.auction(answered)) as tokens:
            for group, answer in zip(groups, answers, strict=True):
                if isinstance(answer, CellError):
                    for state in group.states:
                        state.fail(answer)
                    drawn.append([Failed()] * len(group.states))
                else:
                    drawn.append(next(tokens))
                    self.n_tokens += len(drawn[-1])
        return drawn


def _sizes(bundles: Sequence[_Bundle]) -> list[int]:
    """The number of cells of every group."""
    return [len(group.states) for bundle in bundles for group in bundle.groups]


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


def _parts(bundle: _Bundle, draws: Sequence[Sequence[Drawn]]) -> list[_Bundle]:
    """Cells that drew the same token go on together, and those that go back; the bundles with most cells come last."""
    going_on: dict[Drawn, list[_Group]] = defaultdict(list)
    for group, of_group in zip(bundle.groups, draws, strict=True):
        states: dict[Drawn, list[CellState]] = defaultdict(list)
        for state, drawn in zip(group.states, of_group, strict=True):
            if state.end_reason is None:
                states[drawn].append(state)
        for drawn, same in states.items():
            going_on[drawn].append(_Group(group.prompt_set, same))
    parts = [
        _Bundle(continued(bundle.text, drawn), joined)
        for drawn, groups in going_on.items()
        for joined in _bundled(groups)
    ]
    return sorted(parts, key=lambda part: sum(len(group.states) for group in part.groups))


def _bundled(groups: Sequence[_Group]) -> list[list[_Group]]:
    """Groups joined where prompts are shared, directly or by way of a third."""
    bundles: list[list[_Group]] = []
    for group in groups if len(groups) > 1 else ():
        prompts = set(group.prompt_set.prompts)
        near = [bundle for bundle in bundles if any(prompts & set(other.prompt_set.prompts) for other in bundle)]
        bundles = [bundle for bundle in bundles if bundle not in near]
        bundles.append([*(member for bundle in near for member in bundle), group])
    return bundles or [list(groups)]


def _with_room(slots: list[_Slot], n_busy: int, n_slots: int) -> int:
    """How many of the busy slots the model has room for; put those that need several of its slots behind the others."""
    slots[:n_busy] = sorted(slots[:n_busy], key=lambda slot: len(slot[-1].groups) > 1)
    needed = accumulate(len(slot[-1].groups) for slot in slots[:n_busy])
    return max(1, sum(filled <= n_slots for filled in needed))


def _share_work(slots: list[_Slot]) -> int:
    """Give idle slots work, and put the busy ones first; returns how many are busy.

    A batch is fastest over sequences that stand next to each other, so the last busy slot moves into a gap.
    """
    fullest = [(-len(slot), k) for k, slot in enumerate(slots) if len(slot) > 1]
    heapify(fullest)
    last = len(slots) - 1
    for k, slot in enumerate(slots):
        if slot:
            continue
        if fullest:
            n_less, giver = heappop(fullest)
            slot.append(slots[giver].pop(0))
            if n_less < -2:
                heappush(fullest, (n_less + 1, giver))
            continue
        while last > k and not slots[last]:
            last -= 1
        if last <= k:
            return k
        slots[k], slots[last] = slots[last], slots[k]
    return len(slots)
