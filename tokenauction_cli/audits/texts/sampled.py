"""The texts that an audit of language models asks for: what each is worth to an agent, and what the agent pays for it.

A trial's texts are on all queries and seeds. Those of two trials are paired by query and seed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property

import numpy as np

from ...engine.plan import Cell
from ...engine.rules import terms_of
from ...experiment.experiment import Experiment
from ...experiment.resolved.text_audit import Utility
from ...mechanism.distributions import Array
from ...mechanism.terms import Terms
from ...mechanism.whole_texts.tree import total
from ...system.arrays import Integers
from ...worths.judges import JudgeQuestion
from ...worths.worths import Judged
from .audit_texts import AuditTexts, Facts
from .laws import Trial


class Sampled:
    """Trials, as arrays over their texts: query by query, seed by seed."""

    def __init__(self, experiment: Experiment, texts: AuditTexts, judged: Judged) -> None:
        self.experiment = experiment
        self.text_audit = experiment.text_audit
        self.terms: Terms = terms_of(experiment)
        self.queries = tuple(dict.fromkeys(experiment.queries))
        self._mechanisms = experiment.auction.by_name
        self._texts = texts
        self._judged = judged
        self._facts: dict[Trial, list[Facts]] = {}
        self._scores: dict[tuple[str, str, JudgeQuestion], float] = {}

    @property
    def n_texts(self) -> int:
        """Of a trial."""
        return self.text_audit.seeds * len(self.queries)

    @cached_property
    def clusters(self) -> Integers:
        """The query of each text, (n_texts,)."""
        return np.repeat(np.arange(len(self.queries)), self.text_audit.seeds)

    @cached_property
    def seed_of_text(self) -> Integers:
        """(n_texts,)"""
        return np.tile(np.arange(self.text_audit.seeds), len(self.queries))

    def prepare(self, trials: Iterable[Trial]) -> None:
        """Have the texts of these trials written, all together, and judged."""
        new = [trial for trial in dict.fromkeys(trials) if trial not in self._facts]
        cells = [(trial, cell) for trial in new for cell in self._cells(trial)]
        cells.sort(key=lambda one: (self._place_of_query[one[1].query], one[1].seed))  # these are likeliest to share
        for trial in new:
            self._facts[trial] = []
        for (trial, _), facts in zip(cells, self._texts.facts([cell for _, cell in cells]), strict=True):
            self._facts[trial].append(facts)
        self._ask(new)

    @cached_property
    def _place_of_query(self) -> dict[str, int]:
        return {query: place for place, query in enumerate(self.queries)}

    def _cells(self, trial: Trial) -> Iterator[Cell]:
        n = self.text_audit.seeds
        for query in self.queries:
            for seed in range(n, 2 * n) if trial.is_fresh else range(n):
                yield Cell(query, self._mechanisms[trial.rule], 0, None, trial.bids, seed, trial.report)

    def _ask(self, trials: Sequence[Trial]) -> None:
        """The judges, about texts that they have not seen; none about what is not sold."""
        for agent, utilities in self.text_audit.utilities.items():
            for judge in (utility.judge for utility in utilities if utility.judge is not None):
                sold = (trial for trial in trials if self.terms.is_open(trial.bids))
                questions = dict.fromkeys(one for trial in sold for one in self._questions(agent, trial))
                scores = self._judged(judge, list(questions)) if questions else {}
                self._scores |= {(judge.model, judge.prompt, one): score for one, score in scores.items()}

    def _questions(self, agent: int, trial: Trial) -> list[JudgeQuestion]:
        name = self.experiment.agents[agent].name
        pairs = zip(self._cells(trial), self._facts[trial], strict=True)
        return [JudgeQuestion(name, cell.query, facts.text) for cell, facts in pairs]

    def measured(self, trial: Trial, agent: int, utility: Utility) -> Array:
        """What the kind measures of each text to the agent, (n_texts,): 0 where nothing is sold."""
        if not self.terms.is_open(trial.bids):
            return np.zeros(self.n_texts)
        if utility.judge is not None:
            model, prompt = utility.judge.model, utility.judge.prompt
            return np.array([self._scores[model, prompt, one] for one in self._questions(agent, trial)])
        return np.array([facts.measured[utility.kind][agent] for facts in self._facts[trial]])

    def paid(self, trial: Trial, payment: str) -> Array:
        """What every agent pays for each text in expectation, (n_texts, n_agents)."""
        return np.array([facts.paid[payment] for facts in self._facts[trial]])

    def n_other_texts(self, one: Trial, other: Trial) -> int:
        """How many texts of the one differ from those of the other."""
        pairs = zip(self._facts[one], self._facts[other], strict=True)
        return sum(facts.text != others.text for facts, others in pairs)

    def share_cut(self, trial: Trial) -> float:
        """The share of the texts that `max_tokens` cut."""
        return float(np.mean([facts.is_cut for facts in self._facts[trial]]))


def mean(amounts: Array) -> float:
    """Over texts, (n_texts,); -inf where one is -inf, whatever the others are."""
    return total(amounts.tolist()) / len(amounts)
