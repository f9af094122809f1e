"""Which texts an experiment asks for, in which order, and how many of them live at once.

A *cell* is one text: (query, aggregation rule, bids, seed). A *wave* is a list of cells that are written together,
fixed by the plan. Cells of one query and seed stand together because they are likeliest to share prefixes. Where a
batch may change the bits of a record, a wave is also the unit that reaches the disk and is repeated by a resumed run.
A *slot* is a text that advances: one row per prompt in every batch.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from ..experiment.experiment import Experiment
from ..experiment.resolved.mechanism_choice import CellMechanism, TokenAuction

CELLS_PER_WAVE = 4096
CELLS_PER_WHOLE_WAVE = 128
_canonical = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode  # one for all: making it takes as long


@dataclass(frozen=True)
class Cell:
    """One text to be written. `bids` are in the agents' order; `point` numbers the sweep points from 0.

    `report` is '' where every agent reports its own model, else the identity of the one that does not.
    """

    query: str
    mechanism: CellMechanism
    point: int
    relative_weight: float | None
    bids: tuple[float, ...]
    seed: int
    report: str = ""

    @cached_property
    def id(self) -> str:
        """First 12 hex digits of the SHA-256 of the canonical JSON [query, rule, bids, seed].

        The name of another mechanism stands in the place of an aggregation rule; its identity and that of a report
        stand behind these.
        """
        identity: list[Any] = [self.query, self.mechanism.name, [float(bid) for bid in self.bids], self.seed]
        identity += [one for one in (self.report, self.mechanism.identity) if one]
        return hashlib.sha256(_canonical(identity).encode("utf-8", "surrogatepass")).hexdigest()[:12]

    @property
    def rule(self) -> dict[str, str]:
        """What a record says of it: the aggregation rule, or the mechanism."""
        name = self.mechanism.name
        is_auction = isinstance(self.mechanism, TokenAuction)
        return {"aggregation": name} if is_auction else {"mechanism": name, "aggregation": ""}

    def identity(self, ids: Iterable[str]) -> dict[str, Any]:
        """What makes it this cell, as columns of its record; `mechanism` is None in the token auction."""
        bids = {f"bid.{agent}": bid for agent, bid in zip(ids, self.bids, strict=True)}
        return {"query": self.query, "mechanism": None, **self.rule, "seed": self.seed, **bids}

    @property
    def head(self) -> dict[str, Any]:
        """How its record begins."""
        where = {"cell": self.id, "query": self.query, **self.rule, "point": self.point}
        return where | {"relative_weight": self.relative_weight, "seed": self.seed}

    def offers(self, ids: Iterable[str]) -> dict[str, float]:
        """The bid and the weight of every agent, as columns of its record."""
        columns: dict[str, float] = {}
        total = sum(self.bids)
        for agent, bid in zip(ids, self.bids, strict=True):
            columns |= {f"bid.{agent}": bid, f"weight.{agent}": bid / total if total else 0.0}
        return columns

    @property
    def prompt_set(self) -> str:
        """The name of its prompt set among those of the bidder models."""
        return prompt_set_name(self.query, self.report)


def prompt_set_name(query: str, report: str) -> str:
    """The query itself where every agent is honest."""
    return f"{query}\0{report}" if report else query


@dataclass(frozen=True)
class Plan:
    """All cells in order, cut into waves."""

    waves: tuple[tuple[Cell, ...], ...]
    slots: int
    whole_waves: bool

    @property
    def cells(self) -> Iterator[Cell]:
        return (cell for wave in self.waves for cell in wave)

    @cached_property
    def n_cells(self) -> int:
        return sum(len(wave) for wave in self.waves)

    def only(self, wanted: Container[str]) -> Plan:
        """These cells, by id, or every wave that has one of them where a batch may change a record."""
        if self.whole_waves:
            left = [wave for wave in self.waves if any(cell.id in wanted for cell in wave)]
        else:
            left = [tuple(cell for cell in wave if cell.id in wanted) for wave in self.waves]
        return replace(self, waves=tuple(filter(None, left)))


def cells_of(experiment: Experiment) -> list[Cell]:
    """Every cell once: query by query, seed by seed, then rules and sweep points. Of equal points the first counts."""
    cells: dict[str, Cell] = {}
    for query in experiment.queries:
        for seed in (seed for seed in experiment.seeds if _is_meant(experiment, query, seed)):
            for mechanism in experiment.auction.by_name.values():
                for point in experiment.points_of(query):
                    cell = Cell(query, mechanism, point.index, point.relative_weight, point.bids, seed)
                    cells.setdefault(cell.id, cell)
    return list(cells.values())


def _is_meant(experiment: Experiment, query: str, seed: int) -> bool:
    """Whether this block is part of the experiment's shard, if it has one."""
    return experiment.shard is None or experiment.shard.has(query, seed)


def n_cells(experiment: Experiment) -> int:
    """How many cells there are, without making them."""
    queries, n_rules = set(experiment.queries), len(experiment.auction.rules)
    of_blocks = (_n_seeds(experiment, query) * _n_points(experiment, query) for query in queries)
    return n_rules * sum(of_blocks)


def _n_seeds(experiment: Experiment, query: str) -> int:
    if experiment.shard is None:
        return len(experiment.seeds)
    return sum(experiment.shard.has(query, seed) for seed in experiment.seeds)


def _n_points(experiment: Experiment, query: str) -> int:
    return len({point.bids for point in experiment.points_of(query)})


def make_plan(experiment: Experiment, slots: int, *, is_batch_invariant: bool) -> Plan:
    """The plan of all cells of an experiment."""
    return plan_of(cells_of(experiment), slots, is_batch_invariant=is_batch_invariant)


def plan_of(cells: Sequence[Cell], slots: int, *, is_batch_invariant: bool) -> Plan:
    """Cut the cells into waves, and let at most `slots` texts advance together.

    Large waves share more and keep batches full. Where a batch may change a record a wave is the unit of repetition,
    and small.
    """
    most = CELLS_PER_WAVE if is_batch_invariant else CELLS_PER_WHOLE_WAVE
    waves = tuple(_waves(cells, most))
    return Plan(waves, min(slots, max(map(len, waves), default=1)), whole_waves=not is_batch_invariant)


def _waves(cells: Sequence[Cell], most: int) -> Iterator[tuple[Cell, ...]]:
    """Whole (query, seed) blocks while they fit, parts of a block where one is larger than a wave."""
    wave: list[Cell] = []
    for block in blocks_of(cells):
        if wave and len(wave) + len(block) > most:
            yield tuple(wave)
            wave = []
        wave += block
        while len(wave) > most:
            yield tuple(wave[:most])
            wave = wave[most:]
    if wave:
        yield tuple(wave)


def blocks_of(cells: Iterable[Cell]) -> Iterator[list[Cell]]:
    """The cells of one query and seed that stand together."""
    block: list[Cell] = []
    for cell in cells:
        if block and (cell.query, cell.seed) != (block[0].query, block[0].seed):
            yield block
            block = []
        block.append(cell)
    if block:
        yield block
