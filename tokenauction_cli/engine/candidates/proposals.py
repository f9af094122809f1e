"""Candidates: what mechanisms choose among, written free of bids, and the cells that they settle.

The candidates of a (query, seed) are texts of a token auction in which every agent that is charged bids 1, by the
mechanism's generator; all agents are evaluated along them, so they are scored as they are written. What is known of
them free of bids is kept in `proposals-<k>.jsonl`: whatever weight, tau or payment chooses among them costs no
evaluation. Mechanisms with the same generator share them. Where every text is a candidate (tables), none is written.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, groupby
from typing import NamedTuple

from ...experiment.experiment import Experiment
from ...experiment.resolved.mechanism_choice import Candidate, MechanismChoice
from ...mechanism.alternatives.mechanisms import CandidateMechanism
from ...runs.durable import Appender
from ...runs.run_folder import PROPOSALS, Record, RunFolder
from ..loop.text_state import FAILED
from ..plan import Cell, Plan
from ..rules import Rules
from ..running.agreement import agrees
from .settlement import OF_THE_TEXT, Settlement

KIND = PROPOSALS
_OF_THE_CELL = ("cell", "query", "mechanism", "aggregation", "point", "relative_weight", "seed", "bid")
_KEPT = (*_OF_THE_CELL, *OF_THE_TEXT, "error")


class Pool(NamedTuple):
    """Which candidates of a (query, seed): by which rule and how many; None: every text."""

    query: str
    seed: int
    generator: str
    candidates: int | None


def is_settled(cell: Cell, rules: Rules) -> bool:
    """Whether a cell is a choice among candidates, not a text of its own."""
    return isinstance(rules.other(cell.mechanism), CandidateMechanism)


def pool_of(cell: Cell) -> Pool:
    """The candidates that a cell chooses among."""
    choice = cell.mechanism
    assert isinstance(choice, MechanismChoice)
    return Pool(cell.query, cell.seed, choice.generator if choice.candidates else "", choice.candidates)


def candidates_of(experiment: Experiment, pool: Pool) -> list[Cell]:
    """The candidates as cells: every agent that is charged bids 1, reference agents what they always bid."""
    bids = tuple(agent.bid if agent.reference else 1.0 for agent in experiment.agents)
    return [
        Cell(pool.query, Candidate(pool.generator), 0, None, bids, candidate_seed(pool.seed, k))
        for k in range(pool.candidates or 0)
    ]


def pools_of(rules: Rules, cells: Iterable[Cell]) -> list[Pool]:
    """The pools that these cells choose among, each once."""
    return list(dict.fromkeys(pool_of(cell) for cell in cells if is_settled(cell, rules)))


def texts_of(experiment: Experiment, rules: Rules, cells: Sequence[Cell]) -> list[Cell]:
    """The texts that these cells need written, (query, seed) by (query, seed): their own, then candidates."""
    texts: dict[str, Cell] = {}
    for _, block in groupby(cells, key=lambda cell: (cell.query, cell.seed)):
        several = list(block)
        own = [cell for cell in several if not is_settled(cell, rules)]
        pools = pools_of(rules, several)
        candidates = (cell for pool in pools for cell in candidates_of(experiment, pool))
        texts |= {cell.id: cell for cell in chain(own, candidates)}
    return list(texts.values())


def kept(record: Record) -> Record:
    """Of the record of a candidate what is known free of bids, whoever writes it: a run or an audit."""
    return {name: value for name, value in record.items() if name.split(".")[0] in _KEPT}


class Proposals:
    """The candidates that some cells choose among: which are still to be written, and which cells can be settled."""

    def __init__(self, experiment: Experiment, rules: Rules, folder: RunFolder, cells: Sequence[Cell]) -> None:
        """`cells` are those that are wanted, also such as have texts of their own; of others there is no record."""
        self._settlement = Settlement(experiment, rules)
        self._wanted = {cell.id for cell in cells}
        self._waiting: dict[Pool, list[Cell]] = {}
        for cell in (cell for cell in cells if is_settled(cell, rules)):
            self._waiting.setdefault(pool_of(cell), []).append(cell)
        candidates = {pool: candidates_of(experiment, pool) for pool in self._waiting}
        self._candidates = {pool: [cell.id for cell in of_pool] for pool, of_pool in candidates.items()}
        cells_by_id = {cell.id: cell for cell in chain.from_iterable(candidates.values())}
        self._ids = cells_by_id.keys()
        self._written: dict[str, Record] = {}
        if self._ids:
            kept_ones = folder.of(KIND).expecting(_problem_with(experiment, cells_by_id))
            self._add(kept_ones.records().values())

    @property
    def missing(self) -> set[str]:
        """The candidates that are still to be written."""
        return self._ids - self._written.keys()

    def left(self, plan: Plan) -> Plan:
        """What of a plan of their texts is still to be written."""
        return plan.only(self._wanted | self.missing)

    def taken(self, records: Sequence[Record], appender: Appender) -> list[Record]:
        """Keep those of these records that are candidates; those of wanted cells, and of such as are settled now."""
        missing = self.missing
        if proposed := [kept(record) for record in records if record["cell"] in missing]:
            appender.append(proposed)
            self._add(proposed)
        return [*(record for record in records if record["cell"] in self._wanted), *self.settled()]

    def settled(self) -> Iterator[Record]:
        """The records of the cells whose candidates are all there; each is told once."""
        complete = [pool for pool in self._waiting if all(cell in self._written for cell in self._candidates[pool])]
        for pool in complete:
            candidates = [self._written[cell] for cell in self._candidates[pool]]
            yield from self._settlement.records(self._waiting.pop(pool), candidates)

    def _add(self, records: Iterable[Record]) -> None:
        self._written |= {record["cell"]: record for record in records if record["cell"] in self._ids}


def _problem_with(experiment: Experiment, cells: Mapping[str, Cell]) -> Callable[[Record], str | None]:
    """What is wrong with the record of one of these candidates, in words; None also for any other one."""
    ids = [agent.id for agent in experiment.agents]
    needed = ["log_prob", *(f"log_prob.{agent}" for agent in ids), *(["quality"] if experiment.reference else [])]

    def problem(record: Record) -> str | None:
        cell = cells.get(record["cell"])
        if cell is None:
            return None
        if not agrees(record, cell, ids):
            return "query, mechanism, seed or bids are not those of this candidate"
        missing = [column for column in needed if record.get(column) is None]
        return f"{missing[0]} is missing" if missing and record["end_reason"] != FAILED else None

    return problem


def candidate_seed(seed: int, k: int) -> int:
    """The seed of the k-th candidate of a seed: no small number, so that it is no other text's."""
    return int.from_bytes(hashlib.sha256(f"candidate {seed} {k}".encode("ascii")).digest()[:8], "little") >> 1
