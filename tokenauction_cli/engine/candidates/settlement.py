"""Settling cells: bids choose one of the candidates of a (query, seed), and each such cell gets its record.

The record is made of what the chosen candidate's says free of bids, and of what bids make of the choice.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from ...experiment.experiment import Experiment
from ...mechanism.alternatives.candidates import Candidates
from ...mechanism.alternatives.mechanisms import CandidateMechanism, Settled, check_settled
from ...mechanism.distributions import Array, MechanismError
from ...mechanism.measures import posterior
from ...mechanism.sampling.randomness import DrawKey, Randomness
from ...mechanism.terms import bidding_of
from ...runs.run_folder import Record
from ..loop.text_state import FAILED, UNSOLD
from ..plan import Cell
from ..rules import Rules, terms_of
from .every_text import EveryText, every_candidate, every_text

_BY_AGENT = ("log_prob", "log_ratio", "unfollowed")
OF_THE_TEXT = ("sampling", "text", "tokens", "bytes", "end_reason", "quality", "token_ids", *_BY_AGENT)
"""What is known of a text free of bids: columns, those of agents without the id."""


class Proposed(NamedTuple):
    """The candidates of a pool: their records, and what is known of them free of bids."""

    records: Sequence[Record]
    candidates: Candidates


class Settlement:
    """Settles the cells of an experiment."""

    def __init__(self, experiment: Experiment, rules: Rules) -> None:
        self._experiment = experiment
        self._rules = rules
        self._terms = terms_of(experiment)
        self._every: Proposed | None = None

    def records(self, cells: Sequence[Cell], candidates: Sequence[Record]) -> Iterator[Record]:
        """Those of the cells of one (query, seed), given the records of its candidates; without any, of every text."""
        failed = next((record for record in candidates if record["end_reason"] == FAILED), None)
        if failed is not None:
            why = f"one of its candidates cannot be written: {failed['error']}"
            yield from (self._failed(cell, why) for cell in cells)
            return
        proposed = self._proposed(candidates) if candidates else self._every_text()
        draw_key = DrawKey(Randomness(self._experiment.seed, cells[0].query, cells[0].seed), 0)
        yield from (self._record(cell, proposed, draw_key) for cell in cells)

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
        agents = self._experiment.agents
        return np.array([[float(agent.phrases.count(record["text"])) for record in records] for agent in agents])

    def _record(self, cell: Cell, proposed: Proposed, draw_key: DrawKey) -> Record:
        mechanism = self._rules.other(cell.mechanism)
        assert isinstance(mechanism, CandidateMechanism)
        if not self._terms.is_open(cell.bids):
            return self._unsold(cell, mechanism)
        try:
            bidding = bidding_of(self._terms, cell.bids)
            settled = mechanism.settle(proposed.candidates, bidding, draw_key)
            check_settled(settled, mechanism, len(proposed.records), len(cell.bids))
        except MechanismError as error:
            return self._failed(cell, str(error))
        chosen = proposed.records[settled.choice]
        return self._head(cell) | _of_text(chosen) | self._of_bids(cell, chosen, settled)

    def _head(self, cell: Cell) -> Record:
        """What a record says of its cell."""
        return cell.head | cell.offers(agent.id for agent in self._experiment.agents)

    def _failed(self, cell: Cell, why: str) -> Record:
        empty = {"sampling": "", "text": "", "tokens": 0, "end_reason": FAILED, "error": why, "token_ids": []}
        return self._head(cell) | empty

    def _unsold(self, cell: Cell, mechanism: CandidateMechanism) -> Record:
        """Nobody's bid counts: no candidate is chosen, and nothing is paid."""
        ids = [agent.id for agent in self._experiment.agents]
        empty: Record = {"sampling": "", "text": "", "tokens": 0, "end_reason": UNSOLD, "token_ids": [], "welfare": 0.0}
        for column in mechanism.payments:
            empty |= {f"payment.{column}.{agent}": 0.0 for agent in ids} | {f"revenue.{column}": 0.0}
        return self._head(cell) | empty | {f"log_prob.{agent}": 0.0 for agent in ids}

    def _of_bids(self, cell: Cell, chosen: Record, settled: Settled) -> Record:
        """What bids make of the choice."""
        ids = [agent.id for agent in self._experiment.agents]
        record: Record = {"candidate": settled.choice, **settled.columns}
        for column, amounts in settled.payments.items():
            record |= {f"payment.{column}.{agent}": float(one) for agent, one in zip(ids, amounts, strict=True)}
            record[f"revenue.{column}"] = float(amounts.sum())
        explained = posterior(cell.bids, np.array([chosen[f"log_prob.{agent}"] for agent in ids]))
        return record | {f"posterior.{agent}": float(one) for agent, one in zip(ids, explained, strict=True)}


def _of_text(chosen: Record) -> Record:
    """What the chosen candidate brings with it, but its law under the generator."""
    names = (name for name in chosen if name.split(".")[0] in OF_THE_TEXT and name != "log_prob")
    return {name: chosen[name] for name in names}


def _enumerated(experiment: Experiment, every: EveryText, leaf: int) -> Record:
    """A text of tables as a candidate's record."""
    tokens = every.prefixes[leaf]
    record: Record = {"sampling": "", "text": every.tree.texts[leaf], "tokens": len(tokens)}
    record["end_reason"] = every.end_reasons[leaf]
    likelihoods = {agent.id: float(every.log_p[leaf, i]) for i, agent in enumerate(experiment.agents)}
    record |= {f"log_prob.{agent}": value for agent, value in likelihoods.items()}
    if every.log_reference is not None:
        reference = float(every.log_reference[leaf])
        record |= {f"log_ratio.{agent}": _ratio(value, reference) for agent, value in likelihoods.items()}
        record["quality"] = reference / len(tokens)
    return record | {"token_ids": list(tokens)}


def _ratio(own: float, reference: float) -> float:
    """l_i - l_0; NaN where neither could have said the text."""
    return math.nan if own == reference == -math.inf else own - reference


def check_listed(experiment: Experiment, rules: Rules) -> None:
    """Raises UsageError where every text is to be a candidate, and they cannot be listed."""
    if any(choice.candidates is None for choice in experiment.auction.mechanisms):
        every_text(experiment, rules)
