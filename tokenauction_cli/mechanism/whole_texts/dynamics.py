"""Best-response dynamics over bids for whole texts: from truth on, one agent after the other replies with its best bid.

How payoffs are found is not known here: `best_responses` is a generator that asks a question and is sent an answer per
candidate, so that enumerated and sampled texts go the same way. `played` drives several of them at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

from .tree import replaced

MOST_ROUNDS = 50
EQUILIBRIUM, CYCLE, UNFINISHED = "equilibrium", "cycle", "unfinished"
SUPREMUM = "supremum"
"""Some agent has no best bid: its utility tends to a supremum that no bid attains."""
SAME = 1e-9


class Question(NamedTuple):
    """What does each of these bids bring the agent beyond the bid it has? The first candidate is that bid."""

    bids: tuple[float, ...]
    agent: int
    candidates: tuple[float, ...]


class Answer(NamedTuple):
    """The mean gain of a candidate over the agent's bid, and its lower bound; -inf for a bid that cannot be."""

    gain: float
    low: float


@dataclass(frozen=True)
class Reply:
    """An agent's reply: the bids after it, and its gain. The first of a path is truth, which is nobody's."""

    agent: int | None
    bids: tuple[float, ...]
    gain: float = 0.0
    low: float = 0.0
    moved: bool = False


@dataclass(frozen=True)
class Path:
    """Where the dynamics went. `cycle` are the bids that return, empty where none do; `approached` the jumps next to
    which agents without a best bid, by their number, would bid: the nearer the better."""

    replies: tuple[Reply, ...]
    outcome: str
    rounds: int
    cycle: tuple[tuple[float, ...], ...] = ()
    approached: Mapping[int, float | None] = field(default_factory=dict)

    @property
    def bids(self) -> tuple[float, ...]:
        """Where it ended."""
        return self.replies[-1].bids

    def then(self, reply: Reply, longer: Path) -> Path:
        """This path, a reply at its end, and the path that begins with what it left."""
        replies = (*self.replies, reply, *longer.replies[1:])
        return Path(replies, longer.outcome, self.rounds + longer.rounds, longer.cycle)


Dynamics = Generator[Question, Sequence[Answer] | None, Path]
AnyGame = TypeVar("AnyGame", bound=Hashable)


def played(
    dynamics: Mapping[AnyGame, Dynamics],
    answered: Callable[[Mapping[AnyGame, Question]], Mapping[AnyGame, Sequence[Answer]]],
) -> dict[AnyGame, Path]:
    """Where the dynamics of several games lead. What they ask at the same time is answered together."""
    paths = {}
    heard: Mapping[AnyGame, Sequence[Answer] | None] = dict.fromkeys(dynamics)
    while heard:
        asked = {}
        for game, answers in heard.items():
            try:
                asked[game] = dynamics[game].send(answers)
            except StopIteration as end:
                paths[game] = end.value
        heard = answered(asked) if asked else {}
    return {game: paths[game] for game in dynamics}


def best_responses(
    truth: tuple[float, ...],
    grids: Mapping[int, Sequence[float]],
    refinements: int,
    least_gain: float = 0.0,
    most_rounds: int = MOST_ROUNDS,
) -> Dynamics:
    """The path from `truth`, (n,), where the agents of `grids` reply in turn and all others keep their bids.

    A reply is the best of the agent's grid and of the midpoints between it and its neighbours, so many times over. It
    moves where its lower bound is above `least_gain`. The path ends in an equilibrium when nobody moves in a whole
    round, in a cycle when bids return, or unfinished.
    """
    replies, ends = [Reply(None, truth)], [truth]
    for n_rounds in range(1, most_rounds + 1):
        moved = False
        for agent, grid in grids.items():
            reply = yield from _reply(replies[-1].bids, agent, grid, refinements, least_gain)
            replies.append(reply)
            moved = moved or reply.moved
        if not moved:
            return Path(tuple(replies), EQUILIBRIUM, n_rounds)
        for k, earlier in enumerate(ends):
            if _same(earlier, replies[-1].bids):
                return Path(tuple(replies), CYCLE, n_rounds, tuple(ends[k:]))
        ends.append(replies[-1].bids)
    return Path(tuple(replies), UNFINISHED, most_rounds)


def _reply(
    bids: tuple[float, ...], agent: int, grid: Sequence[float], refinements: int, least_gain: float
) -> Generator[Question, Sequence[Answer] | None, Reply]:
    """One agent's reply to the bids of the others."""
    now = best = bids[agent]
    tried = {now: Answer(0.0, 0.0)}
    candidates = [bid for bid in grid if bid != now]
    for _ in range(refinements + 1):
        if candidates:
            answers = (yield Question(bids, agent, (now, *candidates))) or ()
            tried |= dict(zip(candidates, answers[1:], strict=True))
        best = max(tried, key=lambda bid: (tried[bid].gain, bid == now))
        candidates = [bid for bid in _midpoints(sorted(tried), best) if bid not in tried]
    answer = tried[best]
    if answer.low > least_gain:
        return Reply(agent, replaced(bids, agent, best), *answer, moved=True)
    return Reply(agent, bids, *answer)


def _midpoints(bids: Sequence[float], best: float) -> Iterator[float]:
    """Half the way from the best of ascending bids to each of its neighbours."""
    k = bids.index(best)
    yield from ((best + near) / 2 for near in (*bids[max(k - 1, 0) : k], *bids[k + 1 : k + 2]))


def _same(a: Sequence[float], b: Sequence[float]) -> bool:
    return all(math.isclose(x, y, rel_tol=SAME) for x, y in zip(a, b, strict=True))
