"""The deviations of one agent with one utility: every bid of its grid under every report, and what each gains."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from ...engine.loop.reporting import NO_MISREPORT, identity
from ...experiment.resolved.text_audit import HONEST
from ...mechanism.whole_texts.finding import BEST_IN_WORDS, BY_SEEDS, BestKind, Deviation
from ...mechanism.whole_texts.game import gained
from ...mechanism.whole_texts.tree import replaced
from .laws import AuditedLaw, Bounds, Means, Trial, Want
from .text_audit_rows import few_seeds, voids


class Key(NamedTuple):
    """A deviation, or truth: the name of a report, and a bid."""

    report: str
    bid: float


@dataclass(frozen=True, eq=False)
class Deviations:
    """All others keep their bids and are honest."""

    law: AuditedLaw
    want: Want

    @cached_property
    def trials(self) -> dict[Key, Trial]:
        """Every bid under every report."""
        experiment, agent = self.law.experiment, self.want.agent
        audit = experiment.text_audit
        own = [one for one in audit.misreports if one.agent == agent and self.law.with_misreports]
        reports = {HONEST: NO_MISREPORT} | {one.name: identity(experiment, one) for one in own}
        bids = sorted({*audit.grid(self.want.value), *self.law.proposed(self.want)})
        return {
            Key(name, bid): Trial(self.law.rule, replaced(audit.at, agent, bid), report)
            for name, report in reports.items()
            for bid in bids
        }

    def rows(self) -> Iterator[Deviation]:
        """A row per deviation, of which the best says what is known of all; then the bids that are searched for."""
        law, want, truth = self.law, self.want, Key(HONEST, self.want.value)
        others = {key: trial for key, trial in self.trials.items() if key != truth}
        now, tried = self.trials[truth], list(others.values())
        gains = law.gains(want, now, tried) if tried else []
        bounds = {truth: Bounds(0.0, 0.0, 0.0)} | dict(zip(others, gains, strict=True))
        best = max(bounds, key=lambda key: (bounds[key].gain, key == truth))  # truth where nothing gains
        for key, trial in self.trials.items():
            words = law.summary(want, now, tried, gains) if key == best else ()
            doubts = law.doubts(want, now, trial) if key != truth else ()
            kind: BestKind = "tried" if key == best else ""
            yield self._row(*key, law.means(want, trial), bounds[key], kind, *words, *doubts)
        before = law.means(want, now).utility
        for bid, means, said in law.searched(want):
            gain = gained(means.utility, before)
            kind = "every_prefix" if bid is None else "constant"
            yield self._row(HONEST, bid, means, Bounds(gain, gain, gain), kind, BEST_IN_WORDS[kind], *said)

    def _row(
        self, report: str, bid: float | None, means: Means, bounds: Bounds, best: BestKind, *words: str
    ) -> Deviation:
        experiment, (agent, utility), method = self.law.experiment, self.want, self.law.method
        cautions = *(few_seeds(experiment) if method == BY_SEEDS else ()), *voids(experiment)
        return Deviation(
            self.law.rule,
            self.law.payment,
            experiment.agents[agent].id,
            utility.kind,
            report,
            bid,
            utility.value,
            means.utility,
            means.payment,
            *bounds,
            means.n_texts,
            method,
            best,
            "; ".join((*words, *cautions)),
        )
