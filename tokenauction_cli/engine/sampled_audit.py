"""An audit of whole texts on language models: every deviation writes texts, paired with those of truth by their seeds.

First every bid and report of every agent, the others keeping theirs. Then the games: best responses from truth on,
those of all rules, payments and kinds together, since they share texts; at the end of each its regret, welfare and
revenue, on seeds that nothing was chosen on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np

from ..experiment.experiment import Experiment
from ..experiment.sweep import shared_bids
from ..experiment.text_audit import FEW_SEEDS, HONEST, Utility
from ..mechanism.distributions import Array
from ..mechanism.terms import Terms
from ..mechanism.whole_texts.dynamics import Answer, Dynamics, Path, Question, best_responses
from ..mechanism.whole_texts.finding import BY_SEEDS, Deviation, Equilibrium, price_of_anarchy
from ..mechanism.whole_texts.gains import Floor, Gains, Integers, SplitChoice, estimate_gains, split_choice
from ..mechanism.whole_texts.tree import replaced
from .audit_texts import AuditTexts, Facts
from .judge import Question as Asked
from .plan import Cell
from .reporting import identity
from .rules import Rules, terms_of
from .screened import Choice, Screener, Traced
from .text_audit_rows import TextAuditRows, ending, steps_of, voids
from .worths import Judged

WHOLE = ("mention", "count")
"""Kinds that are whole numbers: what changes rarely, and then by one at least."""

WEIGHTS = tuple(k / 10 for k in range(11))
"""Relative weights among which the best welfare is looked for."""

REFINEMENTS = 1
MOST_ROUNDS = 8


class Trial(NamedTuple):
    """Bids of all agents, and the report of the cells: '' where all are honest."""

    bids: tuple[float, ...]
    report: str = ""


class Sampled:
    """What texts are worth and cost, by rule and trial, as numbers over (query, seed)."""

    def __init__(self, experiment: Experiment, texts: AuditTexts, judged: Judged) -> None:
        self.experiment = experiment
        self.text_audit = experiment.text_audit
        self.terms: Terms = terms_of(experiment)
        self._texts = texts
        self._judged = judged
        self._facts: dict[tuple[str, Trial, bool], list[Facts]] = {}
        self._scores: dict[tuple[str, Asked], float] = {}

    def seeds(self, *, fresh: bool) -> range:
        """Those that bids are chosen on, or as many that nothing is chosen on."""
        n = self.text_audit.seeds
        return range(n, 2 * n) if fresh else range(n)

    @property
    def n_texts(self) -> int:
        return self.text_audit.seeds * len(self.experiment.queries)

    @cached_property
    def clusters(self) -> Integers:
        """The query of each text."""
        return np.repeat(np.arange(len(self.experiment.queries)), self.text_audit.seeds)

    @cached_property
    def seed_of_text(self) -> Integers:
        return np.tile(np.arange(self.text_audit.seeds), len(self.experiment.queries))

    def is_open(self, bids: Sequence[float]) -> bool:
        """Whether some bid counts, so that there is an auction."""
        return bool(self.terms.effective(bids).any())

    def prepare(self, trials: Iterable[tuple[str, Trial]], *, fresh: bool = False) -> None:
        """Have the texts of these (rule, trial) written, all together."""
        keys = [key for rule, trial in dict.fromkeys(trials) if (key := (rule, trial, fresh)) not in self._facts]
        cells = {(query, seed, key): self._cell(query, seed, key) for query, seed, key in self._places(keys, fresh)}
        facts = dict(zip(cells, self._texts.facts(list(cells.values())), strict=True))
        for key in keys:
            self._facts[key] = [facts[query, seed, key] for query, seed, _ in self._places([key], fresh)]
        self._ask(keys)

    def _places(
        self, keys: Sequence[tuple[str, Trial, bool]], fresh: bool
    ) -> Iterator[tuple[str, int, tuple[str, Trial, bool]]]:
        for query in self.experiment.queries:
            for seed in self.seeds(fresh=fresh):
                yield from ((query, seed, key) for key in keys)

    def _cell(self, query: str, seed: int, key: tuple[str, Trial, bool]) -> Cell:
        rule, trial, _ = key
        return Cell(query, rule, 0, None, trial.bids, seed, trial.report)

    def _ask(self, keys: Sequence[tuple[str, Trial, bool]]) -> None:
        """The judges, about texts that they have not seen."""
        for agent, utilities in self.text_audit.utilities.items():
            for utility in utilities:
                if utility.judge is not None:
                    asked = dict.fromkeys(one for key in keys for one in self._asked(agent, key))
                    scores = self._judged(utility.judge, list(asked))
                    self._scores |= {(utility.judge.prompt, one): score for one, score in scores.items()}

    def _asked(self, agent: int, key: tuple[str, Trial, bool]) -> list[Asked]:
        name = self.experiment.agents[agent].name
        places = self._places([key], key[2])
        return [Asked(name, query, facts.text) for (query, _, _), facts in zip(places, self._facts[key], strict=True)]

    def measured(self, rule: str, trial: Trial, agent: int, utility: Utility, *, fresh: bool = False) -> Array:
        """What the kind measures of each text to the agent, (n_texts,)."""
        key = rule, trial, fresh
        if utility.judge is not None:
            return np.array([self._scores[utility.judge.prompt, one] for one in self._asked(agent, key)])
        return np.array([facts.measured[utility.kind][agent] for facts in self._facts[key]])

    def worth(self, rule: str, trial: Trial, agent: int, utility: Utility, *, fresh: bool = False) -> Array:
        """The same times the value, (n_texts,): 0 for a value of 0, whatever is measured."""
        if not utility.value:
            return np.zeros(self.n_texts)
        return utility.value * self.measured(rule, trial, agent, utility, fresh=fresh)

    def paid(self, rule: str, payment: str, trial: Trial, *, fresh: bool = False) -> Array:
        """What every agent pays for each text in expectation, (n_texts, n_agents)."""
        return np.array([facts.paid[payment] for facts in self._facts[rule, trial, fresh]])

    def share_cut(self, rule: str, trial: Trial) -> float:
        """The share of the texts that `max_tokens` cut."""
        return float(np.mean([facts.is_cut for facts in self._facts[rule, trial, False]]))


def sampled_audit(
    experiment: Experiment,
    rules: Rules,
    texts: AuditTexts,
    judged: Judged,
    recorded: Sequence[Traced] = (),
) -> TextAuditRows:
    """Audit the texts of language models; raises UsageError where a text cannot be written.

    `recorded` are traced texts of the run, which propose one more bid to try.
    """
    sampled = Sampled(experiment, texts, judged)
    screener = Screener(experiment, rules, recorded)
    groups = [
        Group(sampled, name, payment.name, agent, utility, screener.choice(name, payment.name, agent, utility))
        for name in rules.aggregation
        for payment in rules.fitting(name, experiment.auction.reserve)
        for agent, utilities in experiment.text_audit.utilities.items()
        for utility in utilities
    ]
    sampled.prepare((group.rule, trial) for group in groups for trial in group.trials.values())
    found = TextAuditRows([row for group in groups for row in group.rows()])
    for game, path in _played(sampled, _games(sampled, rules)):
        found.equilibria.append(game.equilibrium(path))
        found.steps.extend(steps_of(experiment, (game.rule, game.payment, game.kind), path))
    return found


@dataclass(frozen=True, eq=False)
class Group:
    """The deviations of one agent with one utility under one rule and payment."""

    sampled: Sampled
    rule: str
    payment: str
    agent: int
    utility: Utility
    screened: Choice | None

    @cached_property
    def trials(self) -> dict[tuple[str, float], Trial]:
        """By report and bid; truth is among them."""
        sampled, audit = self.sampled, self.sampled.text_audit
        own = [one for one in audit.misreports if one.agent == self.agent]
        reports = {HONEST: ""} | {one.name: identity(sampled.experiment, one) for one in own}
        return {
            (name, bid): Trial(bids, report)
            for name, report in reports.items()
            for bid in self._tried
            if sampled.is_open(bids := replaced(audit.at, self.agent, bid))
        }

    @property
    def _tried(self) -> tuple[float, ...]:
        """The grid, and the bid that recorded texts propose."""
        screened = () if self.screened is None else (self.screened.bid,)
        return tuple(sorted({*self.sampled.text_audit.grid(self.utility.value), *screened}))

    @property
    def truth(self) -> tuple[str, float]:
        return HONEST, self.utility.value

    @cached_property
    def gains(self) -> tuple[Gains, SplitChoice] | None:
        """Of all but truth; None where there is nothing else."""
        others = [key for key in self.trials if key != self.truth]
        if not others:
            return None
        with np.errstate(invalid="ignore"):  # a difference of infinities
            truthful = self._net(self.truth)
            differences = np.stack([self._net(key) - truthful for key in others], axis=1)
        sampled, floor = self.sampled, self._floor(others)
        return (
            estimate_gains(differences, sampled.clusters, floor=floor),
            split_choice(differences, sampled.seed_of_text, sampled.clusters, floor=floor),
        )

    def _net(self, key: tuple[str, float]) -> Array:
        trial = self.trials[key]
        worth = self.sampled.worth(self.rule, trial, self.agent, self.utility)
        return np.asarray(worth - self._paid(key))

    def _paid(self, key: tuple[str, float]) -> Array:
        return np.asarray(self.sampled.paid(self.rule, self.payment, self.trials[key])[:, self.agent])

    def _floor(self, others: Sequence[tuple[str, float]]) -> Floor | None:
        if self.utility.kind not in WHOLE:
            return None
        measured = [self._measured(key) for key in others]
        return Floor.of(self.utility.value, np.stack(measured, axis=1), self._measured(self.truth))

    def _measured(self, key: tuple[str, float]) -> Array:
        return self.sampled.measured(self.rule, self.trials[key], self.agent, self.utility)

    def rows(self) -> Iterator[Deviation]:
        """A row per deviation; the best says what is known of all of them."""
        others = [key for key in self.trials if key != self.truth]
        found = {self.truth: (0.0, 0.0, 0.0)}
        rare: set[tuple[str, float]] = set()
        best = self.truth
        if self.gains is not None:
            gains = self.gains[0]
            found |= dict(
                zip(
                    others,
                    zip(gains.mean.tolist(), gains.lower.tolist(), gains.upper.tolist(), strict=True),
                    strict=True,
                )
            )
            rare = {others[k] for k in gains.rarely_changed}
            best = others[gains.best] if gains.mean[gains.best] > 0 else self.truth
        for key in self.trials:
            words = [self._statement(), *self._cautions()] if key == best else []
            words += ["fewer than 10 texts differ from truth's"] if key in rare else []
            if self.screened is not None and key[1] == self.screened.bid:
                words.append(f"tried because of {self.screened.effective_texts:.0f} effective recorded texts")
            yield self._row(key, found[key], "; ".join(words))

    def _statement(self) -> str:
        """What the bounds say together, in one line."""
        if self.gains is None:
            return "best, of one bid"
        gains, split = self.gains
        says = f"best on this grid: regret at most {gains.regret_at_most:.3g} (95 %)"
        says += f", gains at least {gains.gains_at_least:.3g}" if gains.gains_at_least else ""
        return f"{says}; what one half of the seeds chooses gains {split.gain:.3g} in the other"

    def _cautions(self) -> Iterator[str]:
        sampled = self.sampled
        if sampled.text_audit.seeds < FEW_SEEDS:
            yield f"only {sampled.text_audit.seeds} seeds: {FEW_SEEDS} or more say something"
        if self.gains is not None and self.gains[0].is_rough:
            yield f"over only {self.gains[0].n_queries} queries: rough"
        cut = sampled.share_cut(self.rule, self.trials[self.truth])
        if cut:
            yield f"{cut:.0%} of truth's texts are cut at {sampled.experiment.auction.limit}"
        yield from voids(sampled.experiment)

    def _row(self, key: tuple[str, float], gain: tuple[float, float, float], note: str) -> Deviation:
        return Deviation(
            self.rule,
            self.payment,
            self.sampled.experiment.agents[self.agent].id,
            self.utility.kind,
            *key,
            value=self.utility.value,
            mean_utility=float(self._net(key).mean()),
            mean_payment=float(self._paid(key).mean()),
            gain=gain[0],
            low=gain[1],
            high=gain[2],
            texts=self.sampled.n_texts,
            method=BY_SEEDS,
            note=note,
        )


@dataclass(frozen=True, eq=False)
class SampledGame:
    """Agents with one kind of utility under one rule and payment; all others keep their bids."""

    sampled: Sampled
    rule: str
    payment: str
    kind: str
    utilities: Mapping[int, Utility]
    replies: list[Question] = field(default_factory=list)

    @property
    def truth(self) -> tuple[float, ...]:
        """Everybody who wants something bids its value, (n,)."""
        at = self.sampled.text_audit.at
        return tuple(self.utilities[i].value if i in self.utilities else bid for i, bid in enumerate(at))

    def dynamics(self) -> Dynamics:
        grids = {i: self.sampled.text_audit.grid(one.value) for i, one in self.utilities.items()}
        return best_responses(self.truth, grids, REFINEMENTS, 0.0, MOST_ROUNDS)

    def trials(self, question: Question) -> list[Trial]:
        """What a question needs, without bids that leave no auction."""
        tried = [Trial(replaced(question.bids, question.agent, bid)) for bid in question.candidates]
        return [trial for trial in tried if self.sampled.is_open(trial.bids)]

    def answers(self, question: Question) -> list[Answer]:
        """Mean gains over the bid that the agent has, with simultaneous lower bounds."""
        tried = [Trial(replaced(question.bids, question.agent, bid)) for bid in question.candidates]
        is_open = [self.sampled.is_open(trial.bids) for trial in tried]
        others = [trial for trial, may_be in zip(tried[1:], is_open[1:], strict=True) if may_be]
        found = iter(self._gains(question.agent, tried[0], others, fresh=False)) if others else iter(())
        return [Answer(0.0, 0.0), *(next(found) if may_be else _NEVER for may_be in is_open[1:])]

    def _gains(self, agent: int, now: Trial, others: Sequence[Trial], *, fresh: bool) -> list[Answer]:
        gains = self._estimated(agent, now, others, fresh=fresh)
        return [Answer(*pair) for pair in zip(gains.mean.tolist(), gains.lower.tolist(), strict=True)]

    def _estimated(self, agent: int, now: Trial, others: Sequence[Trial], *, fresh: bool) -> Gains:
        utility = self.utilities[agent]
        with np.errstate(invalid="ignore"):
            before = self._net(agent, now, fresh)
            differences = np.stack([self._net(agent, trial, fresh) - before for trial in others], axis=1)
        floor = None
        if self.kind in WHOLE:
            measured = [self.sampled.measured(self.rule, t, agent, utility, fresh=fresh) for t in (now, *others)]
            floor = Floor.of(utility.value, np.stack(measured[1:], axis=1), measured[0])
        return estimate_gains(differences, self.sampled.clusters, floor=floor)

    def _net(self, agent: int, trial: Trial, fresh: bool) -> Array:
        worth = self.sampled.worth(self.rule, trial, agent, self.utilities[agent], fresh=fresh)
        paid = self.sampled.paid(self.rule, self.payment, trial, fresh=fresh)[:, agent]
        return np.asarray(worth - paid)

    def _around(self, agent: int, bids: tuple[float, ...]) -> list[Trial]:
        """The agent's grid at these bids, without the bid that it has."""
        grid = self.sampled.text_audit.grid(self.utilities[agent].value)
        trials = [Trial(replaced(bids, agent, bid)) for bid in grid if bid != bids[agent]]
        return [trial for trial in trials if self.sampled.is_open(trial.bids)]

    def fresh_trials(self, bids: tuple[float, ...]) -> list[Trial]:
        """What regret, welfare and revenue at these bids need."""
        around = [trial for agent in self.utilities for trial in self._around(agent, bids)]
        return [Trial(self.truth), Trial(bids), *around, *self._weighted.values()]

    @cached_property
    def _weighted(self) -> dict[float, Trial]:
        """The true bids' total, given to the swept agent by relative weights."""
        experiment = self.sampled.experiment
        agents = experiment.agents
        total = sum(bid for bid, agent in zip(self.truth, agents, strict=True) if not agent.reference)
        others = [b for i, b in enumerate(self.truth) if i != experiment.swept_agent and not agents[i].reference]
        weights = WEIGHTS if any(others) else (1.0,)
        bidders = [_Bidder(agent.id, bid, agent.reference) for agent, bid in zip(agents, self.truth, strict=True)]
        return {weight: Trial(shared_bids(bidders, experiment.swept_agent, weight, total)) for weight in weights}

    def _regret(self, bids: tuple[float, ...]) -> tuple[float, float]:
        """The most that any agent still gains on its grid, on fresh seeds, and its upper bound."""
        now, found, highest = Trial(bids), 0.0, 0.0
        for agent in self.utilities:
            others = self._around(agent, bids)
            if others:
                gains = self._estimated(agent, now, others, fresh=True)
                found, highest = max(found, float(gains.mean.max())), max(highest, gains.regret_at_most)
        return found, highest

    def _welfare(self, trial: Trial) -> float:
        worths = [self.sampled.worth(self.rule, trial, i, one, fresh=True) for i, one in self.utilities.items()]
        return float(np.sum(worths, axis=0).mean())

    def _revenue(self, trial: Trial) -> float:
        return float(self.sampled.paid(self.rule, self.payment, trial, fresh=True).sum(axis=1).mean())

    def equilibrium(self, path: Path) -> Equilibrium:
        """Where the dynamics ended."""
        weight = max(self._weighted, key=lambda weight: self._welfare(self._weighted[weight]))
        truth, end, best = Trial(self.truth), Trial(path.bids), self._weighted[weight]
        regret, highest = self._regret(path.bids)
        n_agents = len(self.sampled.experiment.agents)
        return Equilibrium(
            self.rule,
            self.payment,
            self.kind,
            outcome=path.outcome,
            rounds=path.rounds,
            bids=path.bids,
            values=tuple(self.utilities[i].value if i in self.utilities else None for i in range(n_agents)),
            regret=regret,
            regret_high=highest,
            welfare_truth=self._welfare(truth),
            welfare_equilibrium=self._welfare(end),
            welfare_best=self._welfare(best),
            relative_weight_best=weight,
            revenue_truth=self._revenue(truth),
            revenue_equilibrium=self._revenue(end),
            revenue_best=self._revenue(best),
            price_of_anarchy=price_of_anarchy(self._welfare(best), self._welfare(end)),
            texts=self.sampled.n_texts,
            method=BY_SEEDS,
            note="; ".join([*ending(path), *voids(self.sampled.experiment)]),
        )


_NEVER = Answer(-np.inf, -np.inf)


class _Bidder(NamedTuple):
    id: str
    bid: float
    reference: bool


def _games(sampled: Sampled, rules: Rules) -> Iterator[SampledGame]:
    """One per rule, payment and kind."""
    audit = sampled.text_audit
    kinds = dict.fromkeys(utility.kind for several in audit.utilities.values() for utility in several)
    for name in rules.aggregation:
        for payment in rules.fitting(name, sampled.experiment.auction.reserve):
            for kind in kinds:
                players = {i: one for i, several in audit.utilities.items() for one in several if one.kind == kind}
                yield SampledGame(sampled, name, payment.name, kind, players)


def _played(sampled: Sampled, games: Iterable[SampledGame]) -> list[tuple[SampledGame, Path]]:
    """All games at once: what they ask at the same time shares texts."""
    going = [(game, game.dynamics()) for game in games]
    asking = {game: (dynamics, next(dynamics)) for game, dynamics in going}
    ended: dict[SampledGame, Path] = {}
    while asking:
        sampled.prepare((game.rule, trial) for game, (_, question) in asking.items() for trial in game.trials(question))
        for game, (dynamics, question) in list(asking.items()):
            try:
                asking[game] = dynamics, dynamics.send(game.answers(question))
            except StopIteration as end:
                ended[game] = end.value
                del asking[game]
    sampled.prepare(((g.rule, trial) for g, path in ended.items() for trial in g.fresh_trials(path.bids)), fresh=True)
    return [(game, ended[game]) for game, _ in going]
