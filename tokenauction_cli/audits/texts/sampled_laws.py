"""Laws whose texts are sampled by seeds: every deviation writes texts, paired with those of truth.

Replies are chosen on the seeds of the audit. What is said of where they end comes from as many fresh seeds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ...engine.rules import Rules
from ...experiment.resolved.sweep import shared_bids
from ...mechanism.alternatives.mechanisms import CandidateMechanism
from ...mechanism.distributions import Array
from ...mechanism.terms import entry_weights
from ...mechanism.whole_texts.dynamics import Dynamics, best_responses
from ...mechanism.whole_texts.finding import BY_SEEDS
from ...mechanism.whole_texts.gains import (
    FEW_FLIPS,
    Floor,
    chosen_by_the_other_half,
    estimate_gains,
    split_choice,
)
from ...mechanism.whole_texts.tree import replaced
from .laws import AuditedLaw, Best, Bids, Bounds, Means, Players, Trial, Want
from .sampled import Sampled, mean
from .screened import ScreenedBid, Screener
from .text_audit_rows import rough

WHOLE = ("mention", "count")
"""Kinds that are whole numbers: what changes rarely, and then by one at least."""

OF_DRAWS = ("tv", "reverse_kl")
"""Kinds that are sums over the draws of an auction of tokens: elsewhere they have no meaning."""

WEIGHTS = tuple(k / 10 for k in range(11))
"""Relative weights among which the best welfare is looked for."""

REFINEMENTS = 1
MOST_ROUNDS = 8


def sampled_laws(sampled: Sampled, rules: Rules, screener: Screener) -> Iterator[SampledLaw]:
    """One per rule or mechanism and payment of it."""
    for name in rules.names:
        for payment in rules.mean_payments(name, sampled.experiment.auction.reserve):
            yield SampledLaw(sampled.experiment, name, payment, sampled, rules, screener)


@dataclass(frozen=True, eq=False)
class SampledLaw(AuditedLaw):
    sampled: Sampled
    rules: Rules
    screener: Screener
    method = BY_SEEDS

    @property
    def n_texts(self) -> int:
        return self.sampled.n_texts

    @property
    def with_misreports(self) -> bool:
        """Candidates are written before anybody reports."""
        return not isinstance(self.rules.mechanisms.get(self.rule), CandidateMechanism)

    def has_meaning(self, kind: str) -> bool:
        return self.rule in self.rules.aggregation or kind not in OF_DRAWS

    def worth(self, want: Want, trial: Trial) -> Array:
        """Value times what the kind measures, (n_texts,): 0 for a value of 0, whatever is measured."""
        return want.value * self.sampled.measured(trial, *want) if want.value else np.zeros(self.n_texts)

    def paid(self, want: Want, trial: Trial) -> Array:
        """(n_texts,)"""
        return np.asarray(self.sampled.paid(trial, self.payment)[:, want.agent])

    def net(self, want: Want, trial: Trial) -> Array:
        """The worth less what is paid, (n_texts,)."""
        return np.asarray(self.worth(want, trial) - self.paid(want, trial))

    def means(self, want: Want, trial: Trial) -> Means:
        return Means(mean(self.net(want, trial)), mean(self.paid(want, trial)), self.n_texts)

    def _differences(self, want: Want, now: Trial, others: Sequence[Trial]) -> tuple[Array, Floor | None]:
        """What each of the others brings beyond `now`, (n_texts, d), NaN where both are the same infinity; and of kinds
        that are whole numbers in how many texts they differ."""
        before = self.net(want, now)
        with np.errstate(invalid="ignore"):
            differences = np.stack([self.net(want, trial) - before for trial in others], axis=1)
        if want.utility.kind not in WHOLE:
            return differences, None
        measured = np.stack([self.sampled.measured(trial, *want) for trial in others], axis=1)
        return differences, Floor.of(want.value, measured, self.sampled.measured(now, *want))

    def gains(self, want: Want, now: Trial, others: Sequence[Trial]) -> list[Bounds]:
        differences, floor = self._differences(want, now, others)
        found = estimate_gains(differences, self.sampled.clusters, floor=floor)
        return list(map(Bounds, found.mean.tolist(), found.lower.tolist(), found.upper.tolist()))

    def summary(self, want: Want, now: Trial, others: Sequence[Trial], gains: Sequence[Bounds]) -> Iterator[str]:
        if others:
            differences, floor = self._differences(want, now, others)
            split = split_choice(differences, self.sampled.seed_of_text, self.sampled.clusters, floor=floor)
            yield f"best on this grid: regret at most {max(0.0, *(one.high for one in gains)):.3g} (95 %)" + (
                f", gains at least {at_least:.3g}" if (at_least := max(one.low for one in gains)) > 0 else ""
            )
            yield f"what one half of the seeds chooses gains {split.gain:.3g} in the other"
        else:
            yield "best, of one bid"
        if cut := self.sampled.share_cut(now):
            yield f"{cut:.0%} of truth's texts are cut at {self.experiment.auction.limit}"
        yield from rough(self.experiment)

    def _screened(self, want: Want) -> ScreenedBid | None:
        """What recorded texts of the token auction propose."""
        if self.rule not in self.rules.aggregation:
            return None
        return self.screener.choice(self.rule, self.payment, *want)

    def proposed(self, want: Want) -> Iterator[float]:
        if screened := self._screened(want):
            yield screened.bid

    def doubts(self, want: Want, now: Trial, other: Trial) -> Iterator[str]:
        kind = want.utility.kind
        measured, before = (self.sampled.measured(trial, *want) for trial in (other, now))
        if kind in WHOLE and np.count_nonzero(measured != before) < FEW_FLIPS:  # bounds rest on the floor
            yield f"the {kind} differs from truth's in fewer than {FEW_FLIPS} texts"
        elif kind not in WHOLE and self.sampled.n_other_texts(other, now) < FEW_FLIPS:
            yield f"fewer than {FEW_FLIPS} texts differ from truth's: its interval may be too narrow"
        is_proposed = other.bids[want.agent] not in self.experiment.text_audit.grid(want.value)
        if is_proposed and (screened := self._screened(want)):
            yield f"tried because of {screened.effective_texts:.0f} effective recorded texts"

    def dynamics(self, players: Players) -> Dynamics:
        return best_responses(self.truth(players), self.grids(players), REFINEMENTS, 0.0, MOST_ROUNDS)

    def fresh_trials(self, players: Players, bids: Bids) -> Iterator[Trial]:
        yield from (self._fresh(self.truth(players)), self._fresh(bids), *self.weighted(players).values())
        yield from (trial for want in players for trial in self._around(want, bids))

    def _fresh(self, bids: Bids) -> Trial:
        return Trial(self.rule, bids, is_fresh=True)

    def _around(self, want: Want, bids: Bids) -> list[Trial]:
        """The agent's grid at these bids, without the bid that it has."""
        grid = self.experiment.text_audit.grid(want.value)
        return [self._fresh(replaced(bids, want.agent, bid)) for bid in grid if bid != bids[want.agent]]

    def weighted(self, players: Players) -> dict[float, Trial]:
        """The true bids' total, given to the swept agent by relative weights, where that sells a text; else truth."""
        agents, swept, truth = self.experiment.agents, self.experiment.swept_agent, self.truth(players)
        bidders = [replace(agent, bid=bid) for agent, bid in zip(agents, truth, strict=True)]
        charged = {i: bidder.bid for i, bidder in enumerate(bidders) if not bidder.reference}
        terms = replace(self.sampled.terms, configured=truth)
        is_shared = any(bid for i, bid in charged.items() if i != swept)
        weights = sorted({*WEIGHTS, *entry_weights(terms)}) if is_shared else [1.0]
        bids = {one: shared_bids(bidders, swept, one, sum(charged.values())) for one in weights}
        return {one: self._fresh(bids[one]) for one in weights if terms.is_open(bids[one])} or {1.0: self._fresh(truth)}

    def regret(self, players: Players, bids: Bids) -> tuple[float, float]:
        """On the grids and fresh seeds: what one half of the seeds chooses gains in the other; all bounded together."""
        around = [(want, trials) for want in players if (trials := self._around(want, bids))]
        if not around:
            return 0.0, 0.0
        apart, floors = zip(
            *(self._differences(want, self._fresh(bids), trials) for want, trials in around), strict=True
        )
        differences, floor = np.concatenate(apart, axis=1), Floor.joined(floors) if all(floors) else None
        gains = estimate_gains(differences, self.sampled.clusters, floor=floor)
        split = split_choice(differences, self.sampled.seed_of_text, self.sampled.clusters)
        return max(0.0, split.gain), gains.regret_at_most

    def _welfare(self, players: Players, trial: Trial) -> Array:
        """Of each text, (n_texts,)."""
        return np.asarray(np.sum([self.worth(want, trial) for want in players], axis=0))

    def _revenue(self, trial: Trial) -> Array:
        """Of each text, (n_texts,)."""
        return np.asarray(self.sampled.paid(trial, self.payment).sum(axis=1))

    def welfare(self, players: Players, bids: Bids) -> float:
        return mean(self._welfare(players, self._fresh(bids)))

    def revenue(self, bids: Bids) -> float:
        return mean(self._revenue(self._fresh(bids)))

    def best(self, players: Players) -> Best:
        """Welfare and revenue are by the weight that the other half of the seeds chooses."""
        weights, trials = zip(*self.weighted(players).items(), strict=True)
        welfare = np.stack([self._welfare(players, trial) for trial in trials], axis=1)
        revenue = np.stack([self._revenue(trial) for trial in trials], axis=1)
        chosen = np.arange(len(welfare)), chosen_by_the_other_half(welfare, self.sampled.seed_of_text)
        return Best(weights[welfare.mean(axis=0).argmax()], mean(welfare[chosen]), mean(revenue[chosen]))
