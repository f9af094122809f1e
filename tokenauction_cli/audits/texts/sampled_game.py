"""Best responses on language models: the bids where they end, and regret, welfare and revenue there.

Replies are chosen on the seeds of the audit. What is said of where they end comes from as many fresh seeds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np

from ...engine.rules import Rules
from ...experiment.resolved.sweep import shared_bids
from ...experiment.resolved.text_audit import Utility
from ...mechanism.distributions import Array
from ...mechanism.terms import entry_weights
from ...mechanism.whole_texts.dynamics import Answer, Dynamics, Path, Question, best_responses
from ...mechanism.whole_texts.finding import BY_SEEDS, Equilibrium, welfare_ratio
from ...mechanism.whole_texts.gains import Floor, chosen_by_the_other_half, estimate_gains, split_choice
from ...mechanism.whole_texts.tree import replaced
from .charges import charges_of, has_meaning
from .sampled import Payoff, Sampled, Trial, mean
from .text_audit_rows import at_the_limit, ending, few_seeds, rough, voids

WEIGHTS = tuple(k / 10 for k in range(11))
"""Relative weights among which the best welfare is looked for."""

REFINEMENTS = 1
MOST_ROUNDS = 8
_NEVER = Answer(-np.inf, -np.inf)


class Best(NamedTuple):
    """Welfare and revenue at the best relative weight."""

    weight: float
    welfare: float
    revenue: float


@dataclass(frozen=True, eq=False)
class SampledGame:
    """Agents with one kind of utility under one rule and payment; all others keep their bids."""

    sampled: Sampled
    rule: str
    payment: str
    kind: str
    utilities: Mapping[int, Utility]

    @cached_property
    def payoffs(self) -> dict[int, Payoff]:
        return {i: Payoff(self.sampled, self.payment, i, utility) for i, utility in self.utilities.items()}

    @cached_property
    def truth(self) -> tuple[float, ...]:
        """Everybody who wants something bids its value, (n,)."""
        at = self.sampled.text_audit.at
        return tuple(self.utilities[i].value if i in self.utilities else bid for i, bid in enumerate(at))

    def dynamics(self) -> Dynamics:
        """Asks questions, to be answered by `answers`."""
        grids = {i: self._grid(i) for i in self.utilities}
        return best_responses(self.truth, grids, REFINEMENTS, 0.0, MOST_ROUNDS)

    def _grid(self, agent: int) -> tuple[float, ...]:
        return self.sampled.text_audit.grid(self.utilities[agent].value)

    def trials(self, question: Question) -> dict[float, Trial]:
        """The trial of each candidate; the first is the bid that the agent has."""
        return self._trials(question.bids, question.agent, question.candidates)

    def _trials(
        self, bids: Sequence[float], agent: int, tried: Iterable[float], *, is_fresh: bool = False
    ) -> dict[float, Trial]:
        return {bid: Trial(self.rule, replaced(bids, agent, bid), is_fresh=is_fresh) for bid in tried}

    def answers(self, question: Question) -> list[Answer]:
        """Mean gains over the bid that the agent has, with simultaneous lower bounds."""
        now, *others = self.trials(question).items()
        found = {now[0]: Answer(0.0, 0.0)}
        if others:
            gains = self.payoffs[question.agent].gains(now[1], [trial for _, trial in others])
            for (bid, _), low, gain in zip(others, gains.lower.tolist(), gains.mean.tolist(), strict=True):
                found[bid] = Answer(gain, low)
        return [found.get(bid, _NEVER) for bid in question.candidates]

    def fresh_trials(self, bids: tuple[float, ...]) -> Iterator[Trial]:
        """What regret, welfare and revenue at these bids need."""
        yield from (self._fresh(self.truth), self._fresh(bids), *self._weighted.values())
        for agent in self.utilities:
            yield from self._around(agent, bids)

    def _fresh(self, bids: tuple[float, ...]) -> Trial:
        return Trial(self.rule, bids, is_fresh=True)

    def _around(self, agent: int, bids: tuple[float, ...]) -> list[Trial]:
        """The agent's grid at these bids, without the bid that it has."""
        others = [bid for bid in self._grid(agent) if bid != bids[agent]]
        return list(self._trials(bids, agent, others, is_fresh=True).values())

    @cached_property
    def _weighted(self) -> dict[float, Trial]:
        """The true bids' total, given to the swept agent by relative weights, where that sells a text; else truth."""
        experiment = self.sampled.experiment
        swept = experiment.swept_agent
        bidders = [replace(agent, bid=bid) for agent, bid in zip(experiment.agents, self.truth, strict=True)]
        charged = {i: bidder.bid for i, bidder in enumerate(bidders) if not bidder.reference}
        terms = replace(self.sampled.terms, configured=self.truth)
        is_shared = any(bid for i, bid in charged.items() if i != swept)
        weights = sorted({*WEIGHTS, *entry_weights(terms)}) if is_shared else [1.0]
        total_bid = sum(charged.values())
        trials = {weight: self._fresh(shared_bids(bidders, swept, weight, total_bid)) for weight in weights}
        sold = {weight: trial for weight, trial in trials.items() if terms.is_open(trial.bids)}
        return sold or {1.0: self._fresh(self.truth)}

    def regret(self, bids: tuple[float, ...]) -> tuple[float, float]:
        """The most that any agent still gains on its grid, and its upper bound, for all of them: on fresh seeds.

        The gain is that of what one half of these seeds chooses in the other half.
        """
        now = self._fresh(bids)
        around = {agent: trials for agent in self.utilities if (trials := self._around(agent, bids))}
        if not around:
            return 0.0, 0.0
        differences, floor = self._differences(now, around)
        gains = estimate_gains(differences, self.sampled.clusters, floor=floor)
        split = split_choice(differences, self.sampled.seed_of_text, self.sampled.clusters)
        return max(0.0, split.gain), gains.regret_at_most

    def _differences(self, now: Trial, around: Mapping[int, Sequence[Trial]]) -> tuple[Array, Floor | None]:
        """Of several agents' deviations, to be bounded together, with their floor."""
        payoffs = [(self.payoffs[agent], trials) for agent, trials in around.items()]
        differences: Array = np.concatenate([one.differences(now, trials) for one, trials in payoffs], axis=1)
        floors = [floor for one, trials in payoffs if (floor := one.floor(now, trials)) is not None]
        return differences, Floor.joined(floors) if floors else None

    def _welfare(self, trial: Trial) -> Array:
        """Of each text, (n_texts,)."""
        return np.asarray(np.sum([payoff.worth(trial) for payoff in self.payoffs.values()], axis=0))

    def _revenue(self, trial: Trial) -> Array:
        """Of each text, (n_texts,)."""
        return np.asarray(self.sampled.paid(trial, self.payment).sum(axis=1))

    def best_weight(self) -> Best:
        """The weight of most welfare; what stands there is by the weight that the other half of the seeds chooses."""
        trials = list(self._weighted.values())
        welfare, revenue = (np.stack([of(one) for one in trials], axis=1) for of in (self._welfare, self._revenue))
        chosen = np.arange(len(welfare)), chosen_by_the_other_half(welfare, self.sampled.seed_of_text)
        return Best(list(self._weighted)[welfare.mean(axis=0).argmax()], mean(welfare[chosen]), mean(revenue[chosen]))

    def equilibrium(self, path: Path) -> Equilibrium:
        """Where the dynamics ended."""
        truth, end, best = self._fresh(self.truth), self._fresh(path.bids), self.best_weight()
        welfare_at_end = mean(self._welfare(end))
        regret, highest = self.regret(path.bids)
        return Equilibrium(
            self.rule,
            self.payment,
            self.kind,
            outcome=path.outcome,
            rounds=path.rounds,
            bids=path.bids,
            values=tuple(self.utilities[i].value if i in self.utilities else None for i in range(len(path.bids))),
            regret=regret,
            regret_high=highest,
            welfare_truth=mean(self._welfare(truth)),
            welfare_equilibrium=welfare_at_end,
            welfare_best=best.welfare,
            relative_weight_best=best.weight,
            revenue_truth=mean(self._revenue(truth)),
            revenue_equilibrium=mean(self._revenue(end)),
            revenue_best=best.revenue,
            price_of_anarchy=welfare_ratio(best.welfare, welfare_at_end),
            texts=self.sampled.n_texts,
            method=BY_SEEDS,
            note="; ".join(self._notes(path)),
        )

    def _notes(self, path: Path) -> Iterator[str]:
        experiment = self.sampled.experiment
        yield from ending(path)
        yield from at_the_limit(experiment, {i: utility.value for i, utility in self.utilities.items()}, path.bids)
        yield from few_seeds(experiment)
        yield from rough(experiment)
        yield from voids(experiment)


def games_of(sampled: Sampled, rules: Rules) -> Iterator[SampledGame]:
    """One per rule or mechanism, payment and kind, but where everybody's value and bid is 0."""
    audit = sampled.text_audit
    kinds = dict.fromkeys(utility.kind for several in audit.utilities.values() for utility in several)
    for name, payment in charges_of(sampled.experiment, rules):
        for kind in (one for one in kinds if has_meaning(rules, name, one)):
            players = {i: one for i, several in audit.utilities.items() for one in several if one.kind == kind}
            game = SampledGame(sampled, name, payment, kind, players)
            if any(game.truth):
                yield game


def played(sampled: Sampled, games: Iterable[SampledGame]) -> list[tuple[SampledGame, Path]]:
    """All games at once: what they ask at the same time shares texts. At the end the fresh texts are there too."""
    going = {game: game.dynamics() for game in games}
    heard: dict[SampledGame, Question | Path] = {game: _next(dynamics) for game, dynamics in going.items()}
    while asking := {game: question for game, question in heard.items() if isinstance(question, Question)}:
        sampled.prepare(trial for game, question in asking.items() for trial in game.trials(question).values())
        heard |= {game: _next(going[game], game.answers(question)) for game, question in asking.items()}
    ended = [(game, path) for game, path in heard.items() if isinstance(path, Path)]
    sampled.prepare(trial for game, path in ended for trial in game.fresh_trials(path.bids))
    return ended


def _next(dynamics: Dynamics, answers: Sequence[Answer] | None = None) -> Question | Path:
    """What the dynamics ask next, at first without answers, or where they ended."""
    try:
        return next(dynamics) if answers is None else dynamics.send(answers)
    except StopIteration as end:
        path: Path = end.value
        return path
