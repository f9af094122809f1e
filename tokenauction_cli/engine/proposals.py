"""Candidates: what mechanisms choose among, written free of bids, and the cells that they settle.

The candidates of a (query, seed) are texts of a token auction in which every agent bids the same, by the mechanism's
generator; all agents are evaluated along them, so they are scored as they are written. `proposals-<k>.jsonl` keeps
them: whatever weight, tau or payment chooses among them costs no evaluation. Mechanisms with the same generator share
them. Where every text is a candidate (tables), they are enumerated.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence, Set
from itertools import chain, groupby
from typing import NamedTuple

import numpy as np

from ..experiment.experiment import Experiment
from ..experiment.mentions import find_mentions, mention_pattern
from ..mechanism.alternatives.candidates import Candidates
from ..mechanism.alternatives.mechanisms import CandidateMechanism, Settled
from ..mechanism.distributions import Array, MechanismError
from ..mechanism.measures import posterior
from ..mechanism.sampling.randomness import DrawKey, Randomness
from ..mechanism.terms import bidding_of
from ..runs.run_folder import Appender, Record, RunFolder
from .every_text import EveryText, every_candidate, every_text
from .plan import Cell, Plan
from .rules import Rules, terms_of
from .text_state import FAILED

KIND = "proposals"
_OF_THE_TEXT = ("text", "tokens", "bytes", "end_reason")
_OF_THE_TEXT_BY_AGENT = ("log_prob", "log_ratio", "unfollowed")


class Pool(NamedTuple):
    """Which candidates of a (query, seed): by which rule and how many; None: every text."""

    query: str
    seed: int
    generator: str
    candidates: int | None


def is_settled(cell: Cell, rules: Rules) -> bool:
    """Whether a cell is a choice among candidates, not a text of its own."""
    return bool(cell.mechanism) and isinstance(rules.mechanisms[cell.aggregation], CandidateMechanism)


def pool_of(experiment: Experiment, cell: Cell) -> Pool:
    """The candidates that a cell chooses among."""
    choice = next(one for one in experiment.auction.mechanisms if one.name == cell.aggregation)
    return Pool(cell.query, cell.seed, choice.generator if choice.candidates else "", choice.candidates)


def candidates_of(experiment: Experiment, pool: Pool) -> list[Cell]:
    """The candidates as cells: every agent that is charged bids 1, reference agents what they always bid."""
    bids = tuple(agent.bid if agent.reference else 1.0 for agent in experiment.agents)
    return [
        Cell(pool.query, pool.generator, 0, None, bids, candidate_seed(pool.seed, k), mechanism=KIND)
        for k in range(pool.candidates or 0)
    ]


def texts_of(experiment: Experiment, rules: Rules, cells: Sequence[Cell]) -> list[Cell]:
    """The texts that these cells need written, (query, seed) by (query, seed): their own, then candidates."""
    texts: dict[str, Cell] = {}
    for _, block in groupby(cells, key=lambda cell: (cell.query, cell.seed)):
        several = list(block)
        own = [cell for cell in several if not is_settled(cell, rules)]
        pools = dict.fromkeys(pool_of(experiment, cell) for cell in several if is_settled(cell, rules))
        candidates = (cell for pool in pools for cell in candidates_of(experiment, pool))
        texts |= {cell.id: cell for cell in chain(own, candidates)}
    return list(texts.values())


class Proposed(NamedTuple):
    """The candidates of a pool: their records, and what is known of them free of bids."""

    records: Sequence[Record]
    candidates: Candidates


class Proposals:
    """The candidates of some cells: which are still to be written, and which cells can be settled."""

    def __init__(self, experiment: Experiment, rules: Rules, folder: RunFolder, cells: Sequence[Cell]) -> None:
        """`cells` are those that are wanted; of others nothing is written or settled."""
        self._experiment = experiment
        self._rules = rules
        self._terms = terms_of(experiment)
        self._patterns = [mention_pattern(agent.mentions) for agent in experiment.agents]
        self._waiting: dict[Pool, list[Cell]] = {}
        for cell in cells:
            self._waiting.setdefault(pool_of(experiment, cell), []).append(cell)
        self._cells = {pool: candidates_of(experiment, pool) for pool in self._waiting}
        self._pool_of = {cell.id: pool for pool, several in self._cells.items() for cell in several}
        self._written: dict[Pool, dict[str, Record]] = {pool: {} for pool in self._cells}
        self._every: Proposed | None = None
        for record in folder.of(KIND).records().values() if self._waiting else ():
            self._add(record)

    def idle(self, plan: Plan, waiting: Set[str]) -> dict[str, None]:
        """The texts of a plan that need not be written: none is a cell that waits, or a candidate that is missing."""
        missing = {
            cell.id for pool, cells in self._cells.items() for cell in cells if cell.id not in self._written[pool]
        }
        return {cell.id: None for cell in plan.cells if cell.id not in waiting and cell.id not in missing}

    def taken(self, records: Sequence[Record], appender: Appender) -> list[Record]:
        """Keep those of these records that are candidates; the others, and those of the cells that are settled now."""
        proposed = [record for record in records if record["cell"] in self._pool_of]
        if proposed:
            appender.append(proposed)
        for record in proposed:
            self._add(record)
        return [*(record for record in records if record["cell"] not in self._pool_of), *self.settled()]

    def settled(self) -> list[Record]:
        """The records of the cells whose candidates are all there; each is settled once."""
        ready = [pool for pool, cells in self._cells.items() if len(self._written[pool]) == len(cells)]
        return [record for pool in ready for record in self._settle(pool)]

    def _add(self, record: Record) -> None:
        pool = self._pool_of.get(record["cell"])
        if pool in self._written:
            self._written[pool][record["cell"]] = record

    def _settle(self, pool: Pool) -> Iterator[Record]:
        """The records of all cells of a pool, which is then done with."""
        cells, written = self._waiting.pop(pool), self._written.pop(pool)
        records = [written[cell.id] for cell in self._cells.pop(pool)]
        failed = next((record for record in records if record["end_reason"] == FAILED), None)
        if failed is not None:
            why = f"one of its candidates cannot be written: {failed['error']}"
            yield from (self._failed(cell, why) for cell in cells)
            return
        proposed = self._proposed(records) if pool.candidates else self._every_text()
        randomness = Randomness(self._experiment.seed, pool.query, pool.seed)
        for cell in cells:
            yield self._record(cell, proposed, DrawKey(randomness, 0))

    def _proposed(self, records: Sequence[Record]) -> Proposed:
        """What is known of candidates that were written.

        The generator's law is taken M times, so that pi_i / (M pi_gen) sums to 1 over candidates in the mean, as pi_i
        does over all texts. Such a constant changes no choice and no payment.
        """
        log_p = [[record[f"log_prob.{agent.id}"] for record in records] for agent in self._experiment.agents]
        generator = np.array([record["log_prob"] for record in records]) + np.log(len(records))
        reference = None
        if self._experiment.reference is not None:
            reference = np.array([record["quality"] * record["tokens"] for record in records])
        return Proposed(records, Candidates(np.array(log_p), generator, reference, self._mentions(records)))

    def _every_text(self) -> Proposed:
        """Every text that some table may say, once."""
        if self._every is None:
            every = every_text(self._experiment, self._rules)
            records = [_enumerated(self._experiment, every, leaf) for leaf in every.tree.leaves.tolist()]
            self._every = Proposed(records, every_candidate(self._experiment, every))
        return self._every

    def _mentions(self, records: Sequence[Record]) -> Array:
        return np.array([[float(find_mentions(p, record["text"]).count) for record in records] for p in self._patterns])

    def _record(self, cell: Cell, proposed: Proposed, draw_key: DrawKey) -> Record:
        mechanism = self._rules.mechanisms[cell.aggregation]
        assert isinstance(mechanism, CandidateMechanism)
        try:
            bidding = bidding_of(self._terms, tuple(self._terms.effective(cell.bids).tolist()))
            settled = mechanism.settle(proposed.candidates, bidding, draw_key)
        except MechanismError as error:
            return self._failed(cell, str(error))
        chosen = proposed.records[settled.choice]
        return self._head(cell) | self._of_text(chosen) | self._of_bids(cell, chosen, settled)

    def _head(self, cell: Cell) -> Record:
        """What a record says of its cell."""
        total = sum(cell.bids)
        head: Record = {"cell": cell.id, "query": cell.query, **cell.rule, "point": cell.point}
        head |= {"relative_weight": cell.relative_weight, "seed": cell.seed}
        for agent, bid in zip(self._experiment.agents, cell.bids, strict=True):
            head |= {f"bid.{agent.id}": bid, f"weight.{agent.id}": bid / total if total else 0.0}
        return head

    def _failed(self, cell: Cell, why: str) -> Record:
        empty = {"sampling": "", "text": "", "tokens": 0, "end_reason": FAILED, "error": why, "token_ids": []}
        return self._head(cell) | empty

    def _of_text(self, chosen: Record) -> Record:
        """What the candidate that is chosen brings with it; how the generator's q lay is no matter of bids."""
        names = [name for name in chosen if name in _OF_THE_TEXT or name.split(".")[0] in _OF_THE_TEXT_BY_AGENT]
        told = {name: chosen[name] for name in names if name != "log_prob"}
        quality = {"quality": chosen["quality"]} if self._experiment.reference is not None else {}
        return {"sampling": chosen.get("sampling", "")} | told | quality | {"token_ids": chosen["token_ids"]}

    def _of_bids(self, cell: Cell, chosen: Record, settled: Settled) -> Record:
        """What bids make of the choice."""
        ids = [agent.id for agent in self._experiment.agents]
        record: Record = {"candidate": settled.choice, **settled.columns}
        for column, amounts in settled.payments.items():
            record |= {f"payment.{column}.{agent}": float(one) for agent, one in zip(ids, amounts, strict=True)}
            record[f"revenue.{column}"] = float(amounts.sum())
        explained = posterior(cell.bids, np.array([chosen[f"log_prob.{agent}"] for agent in ids]))
        return record | {f"posterior.{agent}": float(one) for agent, one in zip(ids, explained, strict=True)}


def _enumerated(experiment: Experiment, every: EveryText, leaf: int) -> Record:
    """A text of tables as a candidate's record."""
    tokens = every.prefixes[leaf]
    record: Record = {"text": every.tree.texts[leaf], "tokens": len(tokens), "end_reason": every.end_reasons[leaf]}
    likelihoods = {agent.id: float(every.log_p[leaf, i]) for i, agent in enumerate(experiment.agents)}
    record |= {f"log_prob.{agent}": value for agent, value in likelihoods.items()}
    if every.log_reference is not None:
        reference = float(every.log_reference[leaf])
        ratios = {
            agent: math.nan if value == reference == -math.inf else value - reference
            for agent, value in likelihoods.items()
        }
        record |= {f"log_ratio.{agent}": ratio for agent, ratio in ratios.items()} | {
            "quality": reference / len(tokens)
        }
    return record | {"token_ids": list(tokens)}


def candidate_seed(seed: int, k: int) -> int:
    """The seed of the k-th candidate of a seed: no small number, so that it is no other text's."""
    return int.from_bytes(hashlib.sha256(f"candidate {seed} {k}".encode("ascii")).digest()[:8], "little") >> 1
