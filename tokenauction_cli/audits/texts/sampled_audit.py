"""An audit of whole texts on language models: every deviation writes texts, paired with those of truth by their seeds.

First every bid and report of every agent, the others keeping theirs. Then the games: best responses from truth on,
those of all rules, payments and kinds together, since they share texts (`sampled_game.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from ...engine.loop.reporting import NO_MISREPORT, identity
from ...engine.rules import Rules
from ...experiment.experiment import Experiment
from ...experiment.resolved.text_audit import HONEST
from ...mechanism.whole_texts.finding import BY_SEEDS, Deviation
from ...mechanism.whole_texts.gains import FEW_FLIPS, Gains, SplitChoice, split_choice
from ...mechanism.whole_texts.tree import replaced
from ...worths.worths import Judged
from .audit_texts import AuditTexts
from .charges import charges_of, has_meaning, may_misreport
from .sampled import WHOLE, Payoff, Sampled, Trial, mean
from .sampled_game import games_of, played
from .screened import Choice, Screener, Traced
from .text_audit_rows import TextAuditRows, few_seeds, rough, steps_of, voids


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
    groups = list(_groups(sampled, rules, Screener(experiment, rules, recorded)))
    sampled.prepare(trial for group in groups for trial in group.trials.values())
    found = TextAuditRows([row for group in groups for row in group.rows()])
    for game, path in played(sampled, games_of(sampled, rules)):
        found.equilibria.append(game.equilibrium(path))
        found.steps.extend(steps_of(experiment, (game.rule, game.payment, game.kind), path))
    return found


def _groups(sampled: Sampled, rules: Rules, screener: Screener) -> Iterator[Group]:
    """One per rule or mechanism, payment, agent and kind of utility."""
    for name, payment in charges_of(sampled.experiment, rules):
        for agent, utilities in sampled.text_audit.utilities.items():
            for utility in utilities:
                if has_meaning(rules, name, utility.kind):
                    choice = screener.choice(name, payment, agent, utility) if name in rules.aggregation else None
                    yield Group(name, Payoff(sampled, payment, agent, utility), choice, may_misreport(rules, name))


class Key(NamedTuple):
    """A deviation, or truth: the name of a report, and a bid."""

    report: str
    bid: float


class Bounds(NamedTuple):
    """A gain over truth with its interval."""

    gain: float
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class Group:
    """The deviations of one agent with one utility under one rule and payment."""

    rule: str
    payoff: Payoff
    screened: Choice | None
    with_misreports: bool

    @property
    def sampled(self) -> Sampled:
        return self.payoff.sampled

    @property
    def truth(self) -> Key:
        return Key(HONEST, self.payoff.utility.value)

    @cached_property
    def trials(self) -> dict[Key, Trial]:
        """Every bid under every report."""
        sampled, audit = self.sampled, self.sampled.text_audit
        own = [one for one in audit.misreports if one.agent == self.payoff.agent and self.with_misreports]
        reports = {HONEST: NO_MISREPORT} | {one.name: identity(sampled.experiment, one) for one in own}
        return {
            Key(name, bid): Trial(self.rule, replaced(audit.at, self.payoff.agent, bid), report)
            for name, report in reports.items()
            for bid in self._tried
        }

    @property
    def _tried(self) -> tuple[float, ...]:
        """The grid, and the bid that recorded texts propose."""
        screened = () if self.screened is None else (self.screened.bid,)
        return tuple(sorted({*self.sampled.text_audit.grid(self.payoff.utility.value), *screened}))

    @cached_property
    def _others(self) -> list[Key]:
        return [key for key in self.trials if key != self.truth]

    @cached_property
    def _gains(self) -> Gains | None:
        """Of all but truth; None where there is nothing else."""
        if not self._others:
            return None
        return self.payoff.gains(self.trials[self.truth], [self.trials[key] for key in self._others])

    @cached_property
    def _split(self) -> SplitChoice:
        truth, others = self.trials[self.truth], [self.trials[key] for key in self._others]
        differences, floor = self.payoff.differences(truth, others), self.payoff.floor(truth, others)
        return split_choice(differences, self.sampled.seed_of_text, self.sampled.clusters, floor=floor)

    @cached_property
    def _bounds(self) -> dict[Key, Bounds]:
        found = {self.truth: Bounds(0.0, 0.0, 0.0)}
        if self._gains is not None:
            columns = (self._gains.mean.tolist(), self._gains.lower.tolist(), self._gains.upper.tolist())
            found |= dict(zip(self._others, map(Bounds, *columns), strict=True))
        return found

    @cached_property
    def _best(self) -> Key:
        """With the largest gain; truth where nothing gains."""
        return max(self._bounds, key=lambda key: (self._bounds[key].gain, key == self.truth))

    @cached_property
    def _rare(self) -> set[Key]:
        truth = self.trials[self.truth]
        return {key for key in self._others if self.payoff.n_changed(truth, self.trials[key]) < FEW_FLIPS}

    def rows(self) -> Iterator[Deviation]:
        """A row per deviation; the best says what is known of all of them."""
        for key in self.trials:
            yield self._row(key, self._bounds[key], "; ".join(self._notes(key)))

    def _notes(self, key: Key) -> Iterator[str]:
        experiment = self.sampled.experiment
        if key == self._best:
            yield self._statement()
            yield from self._cut()
            yield from rough(experiment)
        if key in self._rare:
            yield self._few_changes
        if self.screened is not None and key.bid == self.screened.bid:
            yield f"tried because of {self.screened.effective_texts:.0f} effective recorded texts"
        yield from few_seeds(experiment)
        yield from voids(experiment)

    @property
    def _few_changes(self) -> str:
        """What to say of bounds that rest on the floor, or that should have one."""
        kind = self.payoff.utility.kind
        if kind in WHOLE:
            return f"the {kind} differs from truth's in fewer than {FEW_FLIPS} texts"
        return f"fewer than {FEW_FLIPS} texts differ from truth's: its interval may be too narrow"

    def _statement(self) -> str:
        """What the bounds say together, in one line."""
        if self._gains is None:
            return "best, of one bid"
        says = f"best on this grid: regret at most {self._gains.regret_at_most:.3g} (95 %)"
        at_least = self._gains.gains_at_least
        says += f", gains at least {at_least:.3g}" if at_least else ""
        return f"{says}; what one half of the seeds chooses gains {self._split.gain:.3g} in the other"

    def _cut(self) -> Iterator[str]:
        cut = self.sampled.share_cut(self.trials[self.truth])
        if cut:
            yield f"{cut:.0%} of truth's texts are cut at {self.sampled.experiment.auction.limit}"

    def _row(self, key: Key, bounds: Bounds, note: str) -> Deviation:
        trial, payoff = self.trials[key], self.payoff
        return Deviation(
            self.rule,
            payoff.payment,
            self.sampled.experiment.agents[payoff.agent].id,
            payoff.utility.kind,
            *key,
            value=payoff.utility.value,
            mean_utility=mean(payoff.net(trial)),
            mean_payment=mean(payoff.paid(trial)),
            gain=bounds.gain,
            low=bounds.low,
            high=bounds.high,
            texts=self.sampled.n_texts,
            method=BY_SEEDS,
            note=note,
        )
