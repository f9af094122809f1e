"""How fast the auction is without a model: recorded logits, auctioned again by 1, 2, 4, ... threads.

Every prefix is auctioned for all cells of a sweep of one seed, with the payments, measures and traces of the
experiment. Logits come from a model where one is there, else they are made: peaked like a language model's, seeded.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import islice
from typing import NamedTuple

import numpy as np

from tokenauction_cli.engine.loop.auctioneer import Auctioneer
from tokenauction_cli.engine.loop.text_state import TextState
from tokenauction_cli.engine.loop.token_loop import Drawn
from tokenauction_cli.engine.models.prepare import prepare
from tokenauction_cli.engine.plan import cells_of
from tokenauction_cli.engine.rules import Rules
from tokenauction_cli.engine.run import plan_for
from tokenauction_cli.engine.writing import writing
from tokenauction_cli.experiment.experiment import Experiment
from tokenauction_cli.experiment.resolved.sweep import shared_bids
from tokenauction_cli.lm.base import Logits, Vocabulary, copied
from tokenauction_cli.system.errors import ModelError, UsageError

RULES = ("linear", "log_linear")
MOST_PREFIXES = 128
MOST_BYTES = 128 << 20  # of logits, so that large vocabularies have fewer prefixes
PREFIXES_A_STEP = 16  # as in a run: a step's logits are there at once, and gone before the next one's
REPEATS = 5
SPREAD = 2.0  # of logits: of SmolLM2-135M's on the ads of `tokens.yaml` it is 2 to 3
N_PEAKS, PEAK = 20, 12.0  # the likely tokens of a prefix, and how far the first of them stands out


class Shape(NamedTuple):
    """How many tokens and agents."""

    n_tokens: int
    n_agents: int


SHAPES = (Shape(49_152, 2), Shape(49_152, 8), Shape(262_144, 2), Shape(262_144, 8))


@dataclass(frozen=True)
class Replayed:
    """Prefixes per second by number of threads, medians, and each over that of the first number, one thread."""

    logits: str
    n_tokens: int
    n_agents: int
    aggregation: str
    prefixes: int
    per_second: dict[int, float]
    times_one_thread: dict[int, float]


class AnyVocabulary:
    """Tokens that need no model: all are written x, none ends a text."""

    ends: frozenset[int] = frozenset()
    joiner = b""

    def __init__(self, size: int) -> None:
        self.size = size

    def piece(self, token: int) -> bytes:
        return b"x"

    def name(self, token: int) -> str:
        return str(token)


class Recorder(Auctioneer):
    """An auctioneer that keeps the logits of the prefixes it is given."""

    def __init__(self, experiment: Experiment, rules: Rules, vocabulary: Vocabulary) -> None:
        super().__init__(experiment, rules, vocabulary)
        self.recorded: list[list[Logits]] = []

    def auction(
        self, texts: Iterable[tuple[Sequence[Logits], Sequence[TextState]]]
    ) -> Generator[list[Drawn], None, None]:
        return super().auction(map(self._noted, texts))

    def _noted(
        self, text: tuple[Sequence[Logits], Sequence[TextState]]
    ) -> tuple[Sequence[Logits], Sequence[TextState]]:
        self.recorded.append([copied(row) for row in text[0]])
        return text


def recorded(experiment: Experiment, most: int = MOST_PREFIXES) -> list[list[Logits]]:
    """The logits after the first prefixes that a run of this experiment reaches, (n, V) each."""
    bidders = prepare(experiment, probe=True)
    if bidders.files is None:
        raise UsageError(f"{experiment.path}: the benchmark needs agents with language models, not tables")
    plan = plan_for(experiment, bidders)
    with writing(experiment, Rules.of(experiment), bidders, plan.slots, make_auctioneer=Recorder) as loaded:
        assert isinstance(loaded.auctioneer, Recorder)
        for _ in loaded.texts(plan).steps():
            if len(loaded.auctioneer.recorded) >= most:
                break
        return loaded.auctioneer.recorded[:most]


def made(shape: Shape, most: int = MOST_PREFIXES) -> list[list[Logits]]:
    """Logits like a model's: normal ones, and some tokens that stand out, mostly the same ones for all agents."""
    chance = np.random.default_rng(0)
    prefixes = []
    for _ in range(max(1, min(most, MOST_BYTES // (4 * shape.n_tokens * shape.n_agents)))):
        rows = chance.normal(0, SPREAD, (shape.n_agents, shape.n_tokens)).astype(np.float32)
        likely = chance.integers(0, shape.n_tokens, N_PEAKS)
        rows[:, likely] += np.linspace(PEAK, PEAK / 2, N_PEAKS, dtype=np.float32)
        prefixes.append(list(rows))
    return prefixes


def with_agents(experiment: Experiment, n_agents: int) -> Experiment:
    """The experiment with so many agents: its own first, then copies of the last."""
    agents = list(experiment.agents[:n_agents])
    for k in range(len(agents), n_agents):
        agents.append(replace(agents[-1], name=f"Agent {k}", id=f"agent_{k}"))
    swept, total = experiment.swept_agent, experiment.total_bid
    points = [
        point._replace(bids=shared_bids(agents, swept, point.relative_weight or 0.0, total))
        for point in experiment.points
    ]
    return replace(experiment, agents=tuple(agents), points=tuple(points))


def replayed(
    experiment: Experiment, threads: Sequence[int], shapes: Sequence[Shape] = SHAPES, repeats: int = REPEATS
) -> Iterator[Replayed]:
    """The prefixes of a run of the experiment, then made ones of other shapes, each under both rules."""
    try:
        logits = recorded(experiment)
    except ModelError:  # it is not on this machine
        logits = []
    if logits:
        yield from replay(experiment, logits, threads, "recorded", repeats)
    for shape in shapes:
        if not logits or shape != Shape(len(logits[0][0]), len(logits[0])):
            yield from replay(experiment, made(shape), threads, "made", repeats)


def replay(
    experiment: Experiment,
    logits: Sequence[Sequence[Logits]],
    threads: Sequence[int],
    source: str,
    repeats: int = REPEATS,
) -> Iterator[Replayed]:
    """Auction these prefixes by each number of threads, in turns, under each of the rules."""
    bidders = with_agents(experiment, len(logits[0]))
    for rule in RULES:
        seconds: dict[int, list[float]] = {n: [] for n in threads}
        for repeat in range(1 + repeats):
            for n in threads:
                taken = _seconds(_set_up(bidders, n), logits, rule)
                if repeat:  # the first fills caches
                    seconds[n].append(taken)
        per_second = {n: len(logits) / statistics.median(taken) for n, taken in seconds.items()}
        times = {n: speed / per_second[threads[0]] for n, speed in per_second.items()}
        yield Replayed(source, len(logits[0][0]), len(logits[0]), rule, len(logits), per_second, times)


def _set_up(experiment: Experiment, n_threads: int) -> Experiment:
    """With both rules and so many threads."""
    auction, runtime = experiment.auction, experiment.runtime
    return replace(
        experiment,
        auction=replace(auction, aggregation=RULES),
        runtime=runtime.model_copy(update={"threads": n_threads}),
    )


def _seconds(experiment: Experiment, logits: Sequence[Sequence[Logits]], rule: str) -> float:
    """To auction all prefixes, a step at a time, each for all cells of the sweep under one rule."""
    auctioneer = Auctioneer(experiment, Rules.of(experiment), AnyVocabulary(len(logits[0][0])))
    first = experiment.queries[0], rule, experiment.seeds[0]
    cells = [cell for cell in cells_of(experiment) if (cell.query, cell.mechanism.name, cell.seed) == first]
    texts = [[auctioneer.begin(cell) for cell in cells] for _ in range(PREFIXES_A_STEP)]
    steps = iter(logits)
    begun = time.perf_counter()
    with closing(auctioneer):
        while step := list(islice(steps, PREFIXES_A_STEP)):
            for _ in auctioneer.auction(zip(step, texts, strict=False)):
                pass
        return time.perf_counter() - begun
