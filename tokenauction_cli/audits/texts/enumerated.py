"""Laws of the texts of table agents: every text is enumerated, so every number is exact.

Beside the grid the best constant bid is searched for and, in the token auction, the best bid for every prefix.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ...engine.candidates.every_text import EveryText, every_candidate, every_text
from ...engine.loop.reporting import NO_MISREPORT, identity
from ...engine.rules import Rules, terms_of
from ...experiment.experiment import Experiment
from ...mechanism.alternatives.mechanisms import Mechanism
from ...mechanism.audit.regret import unattained
from ...mechanism.payments.rules import PaymentRule
from ...mechanism.whole_texts.best_response import BackwardInduction
from ...mechanism.whole_texts.dynamics import Dynamics
from ...mechanism.whole_texts.finding import BEST_IN_WORDS, EXACT
from ...mechanism.whole_texts.game import Game, gained
from ...mechanism.whole_texts.other_mechanisms import OtherMechanism, is_exact
from ...mechanism.whole_texts.tree import Auctions, TokenAuctions, Worth, replaced
from ...system.errors import UsageError
from ...worths.worths import Judged, Valuer
from .laws import AuditedLaw, Best, Bids, Bounds, Means, Players, Searched, Trial, Want

Worths = Mapping[tuple[int, str], Worth]
"""By agent and kind of utility."""


@dataclass(frozen=True, eq=False)
class Told:
    """The auctions of one rule or mechanism under what agents report, and what its texts are worth."""

    auctions: Auctions
    worths: Worths


def enumerated_laws(experiment: Experiment, rules: Rules, judged: Judged) -> Iterator[EnumeratedLaw]:
    """Of the token auction under every rule and payment, and of the mechanisms whose law is exact.

    `judged` asks judges. Raises UsageError for what cannot be enumerated.
    """
    if any(math.isfinite(agent.budget) for agent in experiment.agents):
        raise UsageError(
            f"{experiment.path}: a budget is spent by what each draw is charged, which cannot be enumerated; "
            "leave out `budget` to audit whole texts"
        )
    valuer, terms = Valuer(experiment, judged), terms_of(experiment)
    reports: dict[str, tuple[EveryText, Worths]] = {}
    for misreport in (None, *experiment.text_audit.misreports):
        every = every_text(experiment, rules, misreport)
        report = NO_MISREPORT if misreport is None else identity(experiment, misreport)
        reports[report] = every, valuer.of(every)
    for name, rule in rules.aggregation.items():
        told = {
            report: Told(TokenAuctions(every.tree, rule, terms), worths) for report, (every, worths) in reports.items()
        }
        for payment in rules.fitting(name, experiment.auction.reserve):
            yield EnumeratedLaw(experiment, name, payment.name, told, payment)
    for mechanism in exact_mechanisms(experiment, rules):
        told = {report: _told_by(mechanism, experiment, *one) for report, one in reports.items()}
        yield EnumeratedLaw(experiment, mechanism.name, mechanism.name, told, None)


def exact_mechanisms(experiment: Experiment, rules: Rules) -> list[Mechanism]:
    """The mechanisms beside the token auction whose texts can be enumerated; others are sampled."""
    all_texts = {one.name for one in experiment.auction.mechanisms if one.candidates is None}
    return [one for name, one in rules.mechanisms.items() if is_exact(one, every_text=name in all_texts)]


def _told_by(mechanism: Mechanism, experiment: Experiment, every: EveryText, worths: Worths) -> Told:
    """Under a mechanism that looks at finished texts alone, where TV has no meaning."""
    candidates, log_p = every_candidate(experiment, every), every.log_p[every.tree.leaves].T
    auctions = OtherMechanism(every.tree, mechanism, terms_of(experiment), candidates, log_p)
    return Told(auctions, {key: worth for key, worth in worths.items() if key[1] != "tv"})


@dataclass(frozen=True, eq=False)
class EnumeratedLaw(AuditedLaw):
    """`told` by the identity of a report; `charged` is None for a mechanism, which has one payment."""

    told: Mapping[str, Told]
    charged: PaymentRule | None
    method = EXACT

    @property
    def n_texts(self) -> int:
        return self.told[NO_MISREPORT].auctions.tree.n_texts

    def has_meaning(self, kind: str) -> bool:
        return any(kind == other for _, other in self.told[NO_MISREPORT].worths)

    def _game(self, players: Players, report: str = NO_MISREPORT) -> Game:
        told = self.told[report]
        worths = {want.agent: told.worths[want.agent, want.utility.kind] for want in players}
        return Game(told.auctions, self.charged, worths, self.experiment.text_audit.at)

    def means(self, want: Want, trial: Trial) -> Means:
        told = self.told[trial.report]
        law = told.auctions.at(trial.bids)
        paid = float(law.payments(self.charged)[want.agent])
        worth = law.mean(told.worths[want.agent, want.utility.kind])
        return Means(worth - paid, paid, told.auctions.tree.n_texts)

    def gains(self, want: Want, now: Trial, others: Sequence[Trial]) -> list[Bounds]:
        before = self.means(want, now).utility
        gains = (gained(self.means(want, trial).utility, before) for trial in others)
        return [Bounds(gain, gain, gain) for gain in gains]

    def summary(self, want: Want, now: Trial, others: Sequence[Trial], gains: Sequence[Bounds]) -> Iterator[str]:
        yield BEST_IN_WORDS["tried"]

    def searched(self, want: Want) -> Iterator[Searched]:
        game, agent = self._game([want]), want.agent
        found = game.best_bid(agent, game.truth, self.experiment.text_audit.grid(want.value))
        words = () if found.approached is None else (unattained(found.approached),)
        means = self.means(want, Trial(self.rule, replaced(game.at, agent, found.bid)))
        yield Searched(found.bid, means, words)
        if self.charged is not None and isinstance(game.auctions, TokenAuctions):
            induction = BackwardInduction(game.auctions, self.charged, game.worths[agent], game.truth)
            if induction.has_bids:
                solved = induction.solve()
                means = Means(solved.utility, solved.payment, self.n_texts)
                yield Searched(None, means)

    def dynamics(self, players: Players) -> Dynamics:
        return self._game(players).dynamics(self.grids(players))

    def regret(self, players: Players, bids: Bids) -> tuple[float, float]:
        regret = self._game(players).regret(bids)
        return regret, regret

    def welfare(self, players: Players, bids: Bids) -> float:
        return self._game(players).welfare(bids)

    def revenue(self, bids: Bids) -> float:
        return self._game([]).revenue(bids)

    def best(self, players: Players) -> Best:
        game = self._game(players)
        weight = game.best_weight()
        bids = game.at_weight(weight)
        return Best(weight, game.welfare(bids), game.revenue(bids))
