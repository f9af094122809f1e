"""An audit of whole texts where agents are tables: every text is enumerated, so every number is exact.

For every aggregation rule, payment that fits it, agent and utility: what each bid and report brings, the best constant
bid, and the best bid for every prefix. For every kind of utility: where best responses lead, and the welfare there.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain

from ...engine.candidates.every_text import EveryText, every_candidate, every_text
from ...engine.rules import Rules, terms_of
from ...experiment.experiment import Experiment
from ...experiment.resolved.text_audit import HONEST, TextAudit
from ...mechanism.aggregation.rules import AggregationRule
from ...mechanism.alternatives.mechanisms import Mechanism
from ...mechanism.audit.regret import unattained
from ...mechanism.distributions import MechanismError
from ...mechanism.payments.rules import PaymentRule
from ...mechanism.terms import Terms
from ...mechanism.whole_texts.best_response import BackwardInduction
from ...mechanism.whole_texts.dynamics import Path
from ...mechanism.whole_texts.finding import EXACT, Deviation, Equilibrium, price_of_anarchy
from ...mechanism.whole_texts.game import Game, gained
from ...mechanism.whole_texts.other_mechanisms import OtherMechanism, is_exact
from ...mechanism.whole_texts.tree import Auctions, TokenAuctions, Worth, replaced
from ...system.errors import UsageError
from ...worths.worths import Judged, Valuer
from .text_audit_rows import TextAuditRows, at_the_limit, ending, steps_of, suprema, voids

BEST = "best"


def exact_audit(experiment: Experiment, rules: Rules, judged: Judged) -> TextAuditRows:
    """Audit the texts of table agents; `judged` asks judges.

    Raises UsageError for what cannot be enumerated, and where a rule is undefined for bids that are tried.
    """
    if any(math.isfinite(agent.budget) for agent in experiment.agents):
        raise UsageError(
            f"{experiment.path}: a budget is spent by what each draw is charged, which cannot be enumerated; "
            "leave out `budget` to audit whole texts"
        )
    reports = list(_reports(experiment, rules, Valuer(experiment, judged)))
    found = TextAuditRows()
    for audited in chain(_of_tokens(experiment, rules, reports), _of_others(experiment, rules, reports)):
        try:
            _add(found, audited)
        except MechanismError as error:
            name = audited.names[0]
            raise UsageError(f"{experiment.path}: the audit of whole texts under {name} stops: {error}") from error
    return found


def _of_tokens(experiment: Experiment, rules: Rules, reports: Sequence[_Report]) -> Iterator[_Audited]:
    """The token auction under every rule and payment."""
    for name, rule in rules.aggregation.items():
        told = {report.key: _Told.of(report, rule, terms_of(experiment)) for report in reports}
        yield from (_Audited(experiment, told, one) for one in rules.fitting(name, experiment.auction.reserve))


def _of_others(experiment: Experiment, rules: Rules, reports: Sequence[_Report]) -> Iterator[_Audited]:
    """The mechanisms whose law is exact."""
    for mechanism in exact_mechanisms(experiment, rules):
        yield _Audited(experiment, {one.key: _Told.by(one, mechanism, experiment) for one in reports}, None)


def exact_mechanisms(experiment: Experiment, rules: Rules) -> list[Mechanism]:
    """The mechanisms beside the token auction whose texts can be enumerated; others are sampled."""
    all_texts = {one.name for one in experiment.auction.mechanisms if one.candidates is None}
    return [one for name, one in rules.mechanisms.items() if is_exact(one, every_text=name in all_texts)]


Key = tuple[str, int | None]
_TRUE: Key = (HONEST, None)


@dataclass(frozen=True, eq=False)
class _Report:
    """What agents say, all honestly or one something else: (name, that agent); every text then, and its worths."""

    key: Key
    every: EveryText
    worths: Mapping[tuple[int, str], Worth]


def _reports(experiment: Experiment, rules: Rules, valuer: Valuer) -> Iterator[_Report]:
    """The honest one first."""
    for misreport in (None, *experiment.text_audit.misreports):
        every = every_text(experiment, rules, misreport)
        key = _TRUE if misreport is None else (misreport.name, misreport.agent)
        yield _Report(key, every, valuer.of(every))


@dataclass(frozen=True, eq=False)
class _Told:
    """The auctions of one rule or mechanism under a report."""

    auctions: Auctions
    worths: Mapping[tuple[int, str], Worth]

    @classmethod
    def of(cls, report: _Report, rule: AggregationRule, terms: Terms) -> _Told:
        return cls(TokenAuctions(report.every.tree, rule, terms), report.worths)

    @classmethod
    def by(cls, report: _Report, mechanism: Mechanism, experiment: Experiment) -> _Told:
        """Under another mechanism, which looks at finished texts alone."""
        every, candidates = report.every, every_candidate(experiment, report.every)
        made = OtherMechanism(every.tree, mechanism, terms_of(experiment), candidates, every.log_p[every.tree.leaves].T)
        return cls(made, {key: worth for key, worth in report.worths.items() if key[1] != "tv"})


@dataclass(frozen=True, eq=False)
class _Audited:
    """One rule and payment, with what is said."""

    experiment: Experiment
    told: Mapping[Key, _Told]
    payment: PaymentRule | None

    @property
    def honest(self) -> _Told:
        return self.told[_TRUE]

    @property
    def names(self) -> tuple[str, str]:
        """Those of the rules, as rows have them."""
        name = self.honest.auctions.name
        return name, name if self.payment is None else self.payment.name

    @property
    def n_texts(self) -> int:
        return self.honest.auctions.tree.n_texts

    def game(self, key: Key, agents: Mapping[int, str]) -> Game:
        """The game of these agents, each with a kind of utility."""
        told = self.told[key]
        return Game(told.auctions, self.payment, {i: told.worths[i, kind] for i, kind in agents.items()}, self.at)

    @property
    def text_audit(self) -> TextAudit:
        return self.experiment.text_audit

    @property
    def at(self) -> tuple[float, ...]:
        return self.text_audit.at

    def note(self, *words: str) -> str:
        return "; ".join((*words, *voids(self.experiment)))


def _add(found: TextAuditRows, audited: _Audited) -> None:
    """The rows of one rule and payment."""
    worths = audited.honest.worths
    for agent, kind in worths:
        found.deviations.extend(_Group(audited, agent, kind).rows())
    for kind in dict.fromkeys(kind for _, kind in worths):
        game = audited.game(_TRUE, {agent: kind for agent, its in worths if its == kind})
        if not any(game.truth):
            continue
        path = game.play({agent: audited.text_audit.grid(worth.value) for agent, worth in game.worths.items()})
        found.equilibria.append(_equilibrium(audited, game, kind, path))
        found.steps.extend(steps_of(audited.experiment, (*audited.names, kind), path))


@dataclass(frozen=True, eq=False)
class _Group:
    """The deviations of one agent with one utility."""

    audited: _Audited
    agent: int
    kind: str

    def rows(self) -> Iterator[Deviation]:
        """The grid under every report, the best constant bid, the best bid for every prefix."""
        grid = self.audited.text_audit.grid(self.value)
        rows = [row for key in self.audited.told if key[1] in (None, self.agent) for row in self._tried(key, grid)]
        best = max(rows, key=lambda row: (row.gain, row.report == HONEST and row.bid == self.value))
        yield from (replace(row, note=self.audited.note(BEST)) if row is best else row for row in rows)
        found = self.honest.best_bid(self.agent, self.honest.truth, grid)
        words = () if found.approached is None else (unattained(found.approached),)
        yield self._constant(self.honest, HONEST, found.bid, "best constant bid", *words)
        auctions, payment, worth = self.honest.auctions, self.audited.payment, self.honest.worths[self.agent]
        if payment is not None and isinstance(auctions, TokenAuctions):
            induction = BackwardInduction(auctions, payment, worth, self.honest.truth)
            if induction.has_bids:
                solved = induction.solve()
                yield self._row(self.honest, HONEST, None, solved.utility, solved.payment, "best bid for every prefix")

    @cached_property
    def honest(self) -> Game:
        return self.audited.game(_TRUE, {self.agent: self.kind})

    @property
    def name(self) -> str:
        return self.audited.experiment.agents[self.agent].id

    @property
    def value(self) -> float:
        return self.honest.worths[self.agent].value

    @cached_property
    def truthful(self) -> float:
        """The utility of truth."""
        return self.honest.utility(self.agent, self.honest.truth)

    def _tried(self, key: Key, grid: tuple[float, ...]) -> Iterator[Deviation]:
        """A row for every bid of the grid."""
        game = self.audited.game(key, {self.agent: self.kind})
        yield from (self._constant(game, key[0], bid) for bid in grid)

    def _constant(self, game: Game, report: str, bid: float, *words: str) -> Deviation:
        bids = replaced(game.at, self.agent, bid)
        paid = float(game.auctions.at(bids).payments(game.payment)[self.agent])
        return self._row(game, report, bid, game.utility(self.agent, bids), paid, *words)

    def _row(
        self, game: Game, report: str, bid: float | None, utility: float, payment: float, *words: str
    ) -> Deviation:
        gain = gained(utility, self.truthful)
        return Deviation(
            *self.audited.names,
            agent=self.name,
            utility=self.kind,
            report=report,
            bid=bid,
            value=self.value,
            mean_utility=utility,
            mean_payment=payment,
            gain=gain,
            low=gain,
            high=gain,
            texts=game.auctions.tree.n_texts,
            method=EXACT,
            note=self.audited.note(*words),
        )


def _equilibrium(audited: _Audited, game: Game, kind: str, path: Path) -> Equilibrium:
    """Where the dynamics ended, and welfare and revenue at truth, there, and at the best relative weight."""
    regret, weight = game.regret(path.bids), game.best_weight()
    best = game.at_weight(weight)
    values = {agent: worth.value for agent, worth in game.worths.items()}
    return Equilibrium(
        *audited.names,
        utility=kind,
        outcome=path.outcome,
        rounds=path.rounds,
        bids=path.bids,
        values=tuple(values.get(i) for i in range(len(game.at))),
        regret=regret,
        regret_high=regret,
        welfare_truth=game.welfare(game.truth),
        welfare_equilibrium=game.welfare(path.bids),
        welfare_best=game.welfare(best),
        relative_weight_best=weight,
        revenue_truth=game.revenue(game.truth),
        revenue_equilibrium=game.revenue(path.bids),
        revenue_best=game.revenue(best),
        price_of_anarchy=price_of_anarchy(game.welfare(best), game.welfare(path.bids)),
        texts=audited.n_texts,
        method=EXACT,
        note=audited.note(
            *ending(path), *suprema(audited.experiment, path), *at_the_limit(audited.experiment, values, path.bids)
        ),
    )
