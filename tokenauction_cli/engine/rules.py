"""The rules of an experiment: found by name, a user's own in the module that is trusted, and which fit together."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

from ..experiment.checks.mechanism_checks import Premises, misfits
from ..experiment.experiment import Auction, Experiment
from ..experiment.resolved.mechanism_choice import Candidate, CellMechanism, MechanismChoice, TokenAuction
from ..experiment.resolved.sweep import terms_of_agents
from ..mechanism import registry
from ..mechanism.aggregation.rules import AggregationRule, Linear
from ..mechanism.alternatives.mechanisms import Mechanism
from ..mechanism.payments.rules import PaymentRule
from ..mechanism.registry import misfit
from ..mechanism.sampling.rules import SamplingRule
from ..mechanism.terms import Terms
from ..system.errors import UnknownRuleError, UsageError
from ..system.installed import Addition

_OF_ONE_AGENT = Linear()


class LeftOut(NamedTuple):
    """A payment rule that is not computed for these aggregation rules, and what it would need."""

    payment: str
    aggregation: tuple[str, ...]
    premise: str

    @property
    def in_words(self) -> str:
        why = f" (it needs {self.premise})" if self.premise else ""
        return f"{self.payment} for {', '.join(self.aggregation)}{why}"


@dataclass(frozen=True)
class Rules:
    """The rules of one experiment, found by name, and which payments fit which aggregation."""

    aggregation: Mapping[str, AggregationRule]
    payments: Mapping[str, PaymentRule]
    sampling: SamplingRule
    mechanisms: Mapping[str, Mechanism]  # but the token auction
    generators: Mapping[str, AggregationRule]  # of candidates

    @classmethod
    def of(cls, experiment: Experiment) -> Rules:
        """Raises UsageError for a rule of the user's own that cannot be loaded, and for a payment that fits no rule."""
        with own_modules(experiment):
            rules = cls._found(experiment.auction)
            for reason in filter(None, chain(_misfits(experiment.auction), _misfits_of_mechanisms(experiment, rules))):
                raise UsageError(f"{experiment.path}: {reason}")
        return rules

    @classmethod
    def _found(cls, auction: Auction) -> Rules:
        others = auction.others.values()
        return cls(
            {name: registry.find("aggregation", name) for name in auction.aggregation},
            {name: registry.find("payment", name) for name in auction.payments},
            registry.find("sampling", auction.sampling),
            {choice.name: registry.find("mechanism", choice.name, choice.settings) for choice in others},
            {one.generator: registry.find("aggregation", one.generator) for one in others if one.generator},
        )

    @property
    def names(self) -> tuple[str, ...]:
        """Of all that writes texts."""
        return (*self.aggregation, *self.mechanisms)

    def drawing(self, writes: CellMechanism) -> AggregationRule:
        """The aggregation rule by which tokens are drawn; one agent alone is left as it is by any."""
        match writes:
            case TokenAuction(name):
                return self.aggregation[name]
            case Candidate(name):
                return self.generators[name]
            case _:
                return _OF_ONE_AGENT

    def other(self, writes: CellMechanism) -> Mechanism | None:
        """What chooses among candidates, or who writes; None where tokens are auctioned."""
        return self.mechanisms[writes.name] if isinstance(writes, MechanismChoice) else None

    def fitting(self, aggregation: str, reserve: float) -> tuple[PaymentRule, ...]:
        """The payment rules whose premise this aggregation rule meets; the others' columns stay empty."""
        rule = self.aggregation[aggregation]
        return tuple(payment for payment in self.payments.values() if payment.fits(rule, self.sampling, reserve))

    def mean_payments(self, rule: str, reserve: float) -> dict[str, str]:
        """By payment rule, of a mechanism by its own name: the column of what a text costs in expectation."""
        if rule not in self.mechanisms:
            return {payment.name: payment.columns[0] for payment in self.fitting(rule, reserve)}
        return {rule: self.mechanisms[rule].mean_column}

    def left_out(self, reserve: float) -> tuple[LeftOut, ...]:
        """The payment rules that do not fit every aggregation rule."""
        found = []
        for name, payment in self.payments.items():
            unfit = tuple(a for a, rule in self.aggregation.items() if not payment.fits(rule, self.sampling, reserve))
            if unfit:
                found.append(LeftOut(name, unfit, payment.premise))
        return tuple(found)


@contextmanager
def own_modules(experiment: Experiment) -> Iterator[None]:
    """Here the modules that an experiment trusts can be imported; raises UsageError for a rule that is not there."""
    own = str(experiment.modules)
    if experiment.trust:  # else a file beside the experiment could pose as any module
        sys.path.insert(0, own)
    try:
        yield
    except UnknownRuleError as error:
        raise UsageError(f"{experiment.path}: {error}") from error
    finally:
        if experiment.trust:
            sys.path.remove(own)


def _misfits(auction: Auction) -> Iterator[str]:
    """Why payments do not fit, and why rules do not over words; '' for each that does."""
    if auction.alphabet == "words":
        yield from (registry.misfit_over_words("aggregation", name) for name in auction.aggregation)
        yield from (registry.misfit_over_words("payment", name) for name in auction.payments)
    yield from (misfit(name, auction.aggregation, auction.sampling, auction.reserve) for name in auction.payments)


def _misfits_of_mechanisms(experiment: Experiment, rules: Rules) -> Iterator[str]:
    """The same of mechanisms, which for those of the user's own is known only now."""
    auction = experiment.auction
    premises = Premises(
        alphabet=auction.alphabet,
        sampling=auction.sampling,
        reserve=auction.reserve,
        has_budget=any(math.isfinite(agent.budget) for agent in experiment.agents),
        has_reference=experiment.reference is not None,
    )
    choices = {choice.name: choice for choice in auction.mechanisms}
    for name, mechanism in rules.mechanisms.items():
        yield from (why for _, why in misfits(mechanism, choices[name], premises))


def added_rules(auction: Auction) -> dict[str, Addition]:
    """The rules and mechanisms of an experiment that installed packages add, by kind and name."""
    others = auction.others.values()
    named: tuple[tuple[registry.Kind, Iterable[str]], ...] = (
        ("aggregation", (*auction.aggregation, *(one.generator for one in others))),
        ("payment", auction.payments),
        ("sampling", (auction.sampling,)),
        ("mechanism", (choice.name for choice in others)),
    )
    found = {f"{registry.words(kind)} {name}": registry.addition(kind, name) for kind, names in named for name in names}
    return {what: added for what, added in found.items() if added is not None}


def terms_of(experiment: Experiment) -> Terms:
    """Who bids, who is swept and who is charged."""
    return terms_of_agents(experiment.agents, experiment.swept_agent, experiment.auction.reserve)
