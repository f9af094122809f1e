"""The texts of an audit: written by the same engine as a run's, and kept in `text_audit-<k>.jsonl` beside it.

Their records hold what a text costs in expectation at each of its prefixes, and what it is worth by each measure. They
are no part of the run: a text of a run has one way to be charged, and agents that are honest.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import NamedTuple

from ...engine.candidates.proposals import Proposals, texts_of
from ...engine.loop.auctioneer import Auctioneer
from ...engine.loop.reporting import Reporting, honest, misreported
from ...engine.loop.text_state import FAILED
from ...engine.models.prepare import prepare
from ...engine.plan import Cell
from ...engine.rules import Rules
from ...engine.run import Progress, plan_of_cells, write
from ...engine.running.interrupts import Interrupts
from ...engine.writing import Loaded, writing
from ...experiment.experiment import Experiment
from ...runs import manifest
from ...runs.durable import Appender
from ...runs.run_folder import PROPOSALS, Record, RunFolder
from ...system.errors import UsageError

KIND = "text_audit"
_BY_MODEL = {"log_ratio": ("log_ratio", 1), "tv": ("tv_sum", -1), "reverse_kl": ("reverse_kl_sum", -1)}
"""By which column the agent's own model measures a kind of utility, and its sign."""


class Facts(NamedTuple):
    """What an audit keeps of one text: by payment rule what each agent pays, by kind what each text measures to it."""

    text: str
    is_cut: bool
    paid: Mapping[str, tuple[float, ...]]
    measured: Mapping[str, tuple[float, ...]]


class AuditTexts:
    """Writes the texts that are asked for and are not on disk."""

    def __init__(
        self, folder: RunFolder, appender: Appender, candidates: Appender, loaded: Loaded, progress: Progress
    ) -> None:
        """`folder` is that of the run. What is new goes to the `appender`, candidates to those of the run."""
        self.n_evaluations = 0
        self._experiment = loaded.auctioneer.experiment
        self._rules = loaded.auctioneer.rules
        self._folder = folder
        self._appender = appender
        self._candidates = candidates
        self._loaded = loaded
        self._progress = progress
        self._facts = {cell: self._of(record) for cell, record in folder.of(KIND).records().items()}

    def facts(self, cells: Sequence[Cell]) -> list[Facts]:
        """What each of these texts is, in this order; what is missing is written first."""
        distinct = list({cell.id: cell for cell in cells}.values())
        if any(cell.id not in self._facts for cell in distinct):
            self._write(distinct)
        return [self._facts[cell.id] for cell in cells]

    def _write(self, cells: Sequence[Cell]) -> None:
        left = [cell for cell in cells if cell.id not in self._facts]
        plan = plan_of_cells(texts_of(self._experiment, self._rules, cells), self._loaded.bidders)
        proposals = Proposals(self._experiment, self._rules, self._folder, left)
        texts = self._loaded.texts(proposals.left(plan))
        self._progress.begin(len(cells), len(cells) - len(left))
        with Interrupts() as interrupts:
            write(texts, proposals, self._candidates, self._keep, self._progress, interrupts)
        self.n_evaluations += texts.loop.n_evaluations

    def _keep(self, records: Sequence[Record]) -> None:
        """Write down those that did not fail. Raises UsageError for one that did: a mean without it says nothing."""
        new = [record for record in records if record["end_reason"] != FAILED]
        self._appender.append(new)
        self._facts |= {record["cell"]: self._of(record) for record in new}
        for record in records:
            if record["end_reason"] == FAILED:
                raise UsageError(f"{self._experiment.path}: a text of the audit cannot be written: {record['error']}")

    def _of(self, record: Record) -> Facts:
        ids = [agent.id for agent in self._experiment.agents]
        counts = [float(agent.phrases.count(record["text"])) for agent in self._experiment.agents]
        measured = {"count": tuple(counts), "mention": tuple(min(count, 1.0) for count in counts)}
        for kind, (column, sign) in _BY_MODEL.items():
            if f"{column}.{ids[0]}" in record:
                measured[kind] = tuple(sign * _number(record[f"{column}.{agent}"]) for agent in ids)
        rule, reserve = record["aggregation"] or record["mechanism"], self._experiment.auction.reserve
        columns = self._rules.mean_payments(rule, reserve)
        paid = {name: tuple(record[f"payment.{column}.{agent}"] for agent in ids) for name, column in columns.items()}
        if undefined := [name for name, amounts in paid.items() if None in amounts]:
            raise UsageError(
                f"{self._experiment.path}: {undefined[0]} under {rule} is not defined where one agent bids alone and "
                "the others share no token; audit without it, or at other bids"
            )
        return Facts(record["text"], record["end_reason"] == "length", paid, measured)


def _number(value: float | None) -> float:
    """A difference of infinities, which a record leaves empty, is worth as little as can be."""
    return float("-inf") if value is None else float(value)


def reportings_of(experiment: Experiment) -> list[Reporting]:
    """That every agent is honest, then every misreport."""
    return [honest(experiment), *(misreported(experiment, one) for one in experiment.text_audit.misreports)]


@contextmanager
def audit_texts(experiment: Experiment, rules: Rules, folder: RunFolder, progress: Progress) -> Iterator[AuditTexts]:
    """The models loaded, ready to write. The folder, which the caller has locked, is that of the experiment's run."""
    known = manifest.readable(folder)
    manifest.check_continued(folder, known)
    experiment = replace(experiment, auction=replace(experiment.auction, trace="none"))
    reportings = reportings_of(experiment)
    bidders = prepare(experiment, reportings, probe=True, kept=manifest.formats_of(known), tell=progress.note)
    in_the_mean = partial(Auctioneer, reportings=reportings, in_the_mean=True)
    with (
        writing(experiment, rules, bidders, bidders.slots, make_auctioneer=in_the_mean) as loaded,
        folder.of(KIND).appending() as appender,
        folder.of(PROPOSALS).appending() as candidates,
    ):
        yield AuditTexts(folder, appender, candidates, loaded, progress)
