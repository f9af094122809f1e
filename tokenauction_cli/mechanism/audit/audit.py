"""The audit: every check, for each rule, payment, agent and order, over a list of profiles met along texts or given.

    defined                the rule has a q at the prefix at all
    monotone               per rule and order
    payment_monotone       per rule, payment and order
    consistent             per rule and order
    non_negative           per rule and payment
    individually_rational, regret, misreport: ...      per rule, payment and complete order
    equilibrium            per rule, payment that is not truthful and complete order: where best responses settle

`monotone.py`, `regret.py`, `misreport.py` and `equilibrium.py` say what each is. Checks with
payments pool the tokens that are rare to every agent (`bidder.pooled`). A payment is audited with the rules whose
premise it meets. Reference agents take part and are not audited. The value of an agent per unit of its loss is its bid.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ...system.steps import Hear, unheard
from ..aggregation.rules import ORDERS, AggregationRule
from ..distributions import MechanismError, Profile
from ..outcome import Outcome
from ..payments.rules import PaymentRule
from ..sampling.rules import SamplingRule
from ..terms import Terms
from . import misreport
from .bidder import Bidder, pooled
from .equilibrium import ReachedBids, equilibrium
from .finding import AuditError, Failure, Finding, count
from .monotone import consistent, monotone, payment_monotone
from .preferences import TOLERANCE
from .regret import bid_grid, individually_rational, non_negative, regret


@dataclass(frozen=True)
class Audit:
    """What is audited. `bids` (n,) are the values too; `brand_tokens` maps an agent's id to the tokens it may boost.

    `exact` says that the profiles are all there are, as of table agents, rather than a sample of prefixes. Raises
    AuditError for an unknown order.
    """

    rules: Sequence[AggregationRule]
    payments: Sequence[PaymentRule]
    sampling: SamplingRule
    terms: Terms
    bids: tuple[float, ...]
    orders: tuple[str, ...] = ORDERS
    brand_tokens: Mapping[str, Sequence[int]] = field(default_factory=dict)
    exact: bool = False
    _equilibria: dict[tuple[str, str, str], ReachedBids] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        unknown = [order for order in self.orders if order not in ORDERS]
        if unknown:
            raise AuditError(f"unknown order {unknown[0]!r}; the orders are {', '.join(ORDERS)}")

    @property
    def complete_orders(self) -> tuple[str, ...]:
        return tuple(order for order in self.orders if order != "robust")

    def run(self, profiles: Sequence[Profile], hear: Hear = unheard) -> list[Finding]:
        """All findings, in the order rule, agent, payment. Raises AuditError without a profile."""
        if not profiles:
            raise AuditError("an audit needs at least one prefix")
        self._equilibria.clear()
        found: list[Finding] = []
        looked: set[tuple[str, str, str]] = set()
        for finding in (one for rule in self.rules for one in self._of_rule(rule, profiles)):
            found.append(finding)
            looked.add((finding.rule, finding.agent, finding.payment))
            hear("checks", len(looked), self._n_looks)
        return found

    @property
    def _n_looks(self) -> int:
        """How many of a rule, an agent, and a payment or none there are, and each rule by itself."""
        fitting = [
            sum(one.fits(rule, self.sampling, self.terms.reserve) for one in self.payments) for rule in self.rules
        ]
        return sum(1 + len(self._charged) * (1 + n) for n in fitting)

    @property
    def _charged(self) -> list[int]:
        return [i for i, pays in enumerate(self.terms.charged) if pays and self.bids[i] > 0]

    def _of_rule(self, rule: AggregationRule, profiles: Sequence[Profile]) -> Iterator[Finding]:
        usable = [profile for profile in profiles if self._defined(rule, profile)]
        undefined = [Failure(0.0 if profile in usable else 1.0) for profile in profiles]
        yield count((rule.name, "", "", "defined", ""), undefined, 0.0, self.exact)
        for i in self._charged if usable else []:
            yield from self._of_agent(rule, [self._bidder(rule, profile, i) for profile in usable])
            brand = self.brand_tokens.get(self.terms.ids[i], ())
            few = [pooled(profile, keep=brand) for profile in usable]
            bidders = [self._bidder(rule, one.profile, i) for one in few]
            brands = [one.places(brand) for one in few]
            for payment in self.payments:
                if payment.fits(rule, self.sampling, self.terms.reserve):
                    yield from self._of_payment(payment, bidders, brands)

    def _defined(self, rule: AggregationRule, profile: Profile) -> bool:
        try:
            return Outcome(rule, profile, self.bids, self.terms).q is not None
        except MechanismError:
            return False

    def _bidder(self, rule: AggregationRule, profile: Profile, i: int) -> Bidder:
        return Bidder(rule, profile, self.terms, tuple(self.bids), i)

    def _of_agent(self, rule: AggregationRule, bidders: Sequence[Bidder]) -> Iterator[Finding]:
        agent = self.terms.ids[bidders[0].agent]
        for order in self.orders:
            along = [monotone(bidder, order) for bidder in bidders]
            yield count((rule.name, "", agent, "monotone", order), along, TOLERANCE, self.exact)
            ranked = [consistent(bidder, order) for bidder in bidders]
            yield count((rule.name, "", agent, "consistent", order), ranked, TOLERANCE, self.exact)

    def _of_payment(
        self, payment: PaymentRule, bidders: Sequence[Bidder], brands: Sequence[tuple[int, ...]]
    ) -> Iterator[Finding]:
        bidder = bidders[0]
        value, names = self.bids[bidder.agent], (bidder.rule.name, payment.name, self.terms.ids[bidder.agent])
        bounds = [tolerance(bidder, payment, value) for bidder in bidders]
        given = [non_negative(bidder, payment, bid_grid(bidder, value)) for bidder in bidders]
        yield count((*names, "non_negative", ""), given, bounds, self.exact)
        for order in self.orders:
            along = [payment_monotone(bidder, payment, order) for bidder in bidders]
            yield count((*names, "payment_monotone", order), along, bounds, self.exact)
        for order in self.complete_orders:
            rational = [individually_rational(bidder, payment, order, value) for bidder in bidders]
            yield count((*names, "individually_rational", order), rational, bounds, self.exact)
            best = [regret(bidder, payment, order, value) for bidder in bidders]
            found = count((*names, "regret", order), best, bounds, self.exact)
            yield replace(found, value=value, bid=value if found.bid is None else found.bid)
            yield from self._of_misreports(payment, bidders, brands, order, bounds)
            if not payment.truthful_for(bidder.rule):
                yield self._settled(payment, bidders, order)

    def _of_misreports(
        self,
        payment: PaymentRule,
        bidders: Sequence[Bidder],
        brands: Sequence[tuple[int, ...]],
        order: str,
        bounds: Sequence[float],
    ) -> Iterator[Finding]:
        agent = self.terms.ids[bidders[0].agent]
        value, names = self.bids[bidders[0].agent], (bidders[0].rule.name, payment.name, agent)
        gains: dict[str, list[Failure]] = {}
        for bidder, brand in zip(bidders, brands, strict=True):
            for report in misreport.misreports(bidder, value, brand):
                gains.setdefault(report.name, []).append(misreport.gain(bidder, report, payment, order, value))
        for name, failures in gains.items():
            yield count((*names, f"misreport: {name}", order), failures, bounds, self.exact)

    def _settled(self, payment: PaymentRule, bidders: Sequence[Bidder], order: str) -> Finding:
        """Not a count: `worst` is how far the equilibrium bid lies from the value, `violated` 1 where none is found."""
        i, value = bidders[0].agent, self.bids[bidders[0].agent]
        key = bidders[0].rule.name, payment.name, order
        if key not in self._equilibria:  # one for all agents
            self._equilibria[key] = equilibrium(bidders, payment, order, self.bids)
        found = self._equilibria[key]
        failed = 0.0 if found.settled else 1.0
        return Finding(
            bidders[0].rule.name,
            payment.name,
            self.terms.ids[i],
            "equilibrium",
            order,
            len(bidders),
            failed,
            failed,
            failed,
            abs(found.bids[i] - value),
            detail=found.why,
            bid=found.bids[i],
            value=value,
            rounds=found.rounds,
        )


def tolerance(bidder: Bidder, payment: PaymentRule, value: float) -> float:
    """What rounding, or a payment's own error at bids of a few times the value, may make of nothing."""
    scale = max(1.0, value, bidder.rivals)
    return scale * max(TOLERANCE, 8 * payment.relative_error(bidder.rule, bidder.profile.n_tokens))
