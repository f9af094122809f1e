"""Mistakes in the rules of an experiment file: names, premises of payments, budgets."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ...mechanism import registry
from ...mechanism.alternatives.mechanisms import Mechanism
from ...mechanism.registry import misfit
from ...system.wording import did_you_mean
from ..format.auction import CUSTOM_RULE, AuctionSection
from ..format.draft import Draft
from ..format.values import shown
from ..source.located_yaml import KeyPath

_OTHER_NAMES = {
    "first_price": "pay_your_bid",
    "pay_as_bid": "pay_your_bid",
    "generalised_second_price": "second_price",
    "clarke": "vcg",
    "myerson": "myerson_tv",
}


def check_rules(draft: Draft) -> None:
    """Every rule and mechanism is in the registry, or in a module that the file trusts."""
    if draft.auction is None:
        return
    for path, kind, name in _rules(draft.auction):
        module, noun = name.partition(":")[0], registry.words(kind).split()[-1]
        if registry.is_known(kind, name):
            continue
        if not registry.is_custom(name):
            draft.source.problem(("auction", *path), _unknown(kind, name))
        elif not re.match(CUSTOM_RULE, name):
            message = f"expected a {noun} of your own as package.module:Name, got {shown(name)}"
            draft.source.problem(("auction", *path), message)
        elif module not in draft.trust:
            remedy = f"it runs only with 'trust: [{module}]' or --trust {module}"
            draft.source.problem(("auction", *path), f"the {noun} {name!r} is code of your own; {remedy}")


def _unknown(kind: registry.Kind, name: str) -> str:
    if added := registry.addition(kind, name):
        return f"{registry.why_unknown(kind, name)} (it is of {added.origin})"
    known = ", ".join(registry.names(kind))
    owner = _mechanism_with(name)
    if kind == "payment" and owner is not None:
        what = "is a mechanism" if name == owner.name else f"is a payment of the mechanism {owner.name}"
        charged = f", which charges payment.{owner.payments[0]} by itself" if owner.payments else ""
        return f"{name} {what}{charged}; auction.payments are those of the token auction: {known}"
    if kind == "aggregation" and owner is not None and name == owner.name:
        return f"{name} is a mechanism: list it in auction.mechanism; aggregation rules are {known}"
    if name in _OTHER_NAMES and kind == "payment":
        return f"{name} is called {_OTHER_NAMES[name]} here; payments are {known}"
    near = did_you_mean(name, registry.names(kind))
    return f"unknown {registry.words(kind)} {shown(name)}{near}; there are {known}"


def _mechanism_with(name: str) -> Mechanism | None:
    """The mechanism with this name or this payment."""
    mechanisms: Iterator[Mechanism] = (registry.find("mechanism", one) for one in registry.names("mechanism"))
    return next((one for one in mechanisms if name in (one.name, *one.payments)), None)


def _rules(auction: AuctionSection) -> Iterator[tuple[KeyPath, registry.Kind, str]]:
    for i, name in enumerate(auction.mechanisms):
        yield ("mechanism", i), "mechanism", name
    for i, name in enumerate(auction.aggregation):
        yield ("aggregation", i), "aggregation", name
    for i, name in enumerate(auction.payments):
        yield ("payments", i), "payment", name
    if auction.sampling is not None:
        yield ("sampling",), "sampling", auction.sampling
    for key, section in (("mosaic", auction.mosaic), ("text_pool", auction.text_pool)):
        if section is not None:
            yield (key, "generator"), "aggregation", section.generator


def check_premises(draft: Draft) -> None:
    """Every payment rule fits one of the aggregation rules; rules of the user's own are asked when they are loaded."""
    auction = draft.token_auction
    if auction is None:
        return
    names = [("sampling", auction.sampling or registry.names("sampling")[0])]
    names += [("aggregation", name) for name in auction.aggregation] + [("payment", name) for name in auction.payments]
    if not all(registry.is_known(kind, name) for kind, name in names):  # type: ignore[arg-type]
        return
    for i, name in enumerate(auction.payments):
        why = misfit(name, auction.aggregation, names[0][1], auction.reserve or 0.0)
        if why:
            draft.source.problem(("auction", "payments", i), why + _fitting(auction, names[0][1]))


def _fitting(auction: AuctionSection, sampling: str) -> str:
    """Which payments fit, for who chose one that does not."""
    reserve = auction.reserve or 0.0
    fitting = [name for name in registry.names("payment") if not misfit(name, auction.aggregation, sampling, reserve)]
    return f"; defined are {', '.join(fitting)}" if fitting else ""


def check_budgets(draft: Draft) -> None:
    """No rule twice; budgets need the rule that spends them, which is one of the payments."""
    auction = draft.token_auction
    if auction is None:
        return
    for key, names in (("aggregation", auction.aggregation), ("payments", auction.payments)):
        for i, name in enumerate(names):
            if name in names[:i]:
                draft.source.problem(("auction", key, i), f"the rule {shown(name)} is here twice")
    charge = auction.charge
    if charge is not None and charge not in auction.payments:
        near = did_you_mean(charge, auction.payments)
        listed = ", ".join(auction.payments) or "none is listed"
        message = f"expected one of the payments ({listed}), got {shown(charge)}{near}"
        draft.source.problem(("auction", "charge"), message)
    for i, agent in enumerate(draft.agents):
        if agent is not None and agent.budget is not None:
            why = _no_spending(auction)
            if why:
                draft.source.problem(("agents", i, "budget"), why, at_key=True)


def _no_spending(auction: AuctionSection) -> str:
    """Why a budget would not be spent under some aggregation rule, '' where it is spent under all."""
    if auction.charge is None:
        return "a budget needs 'auction.charge': the payment rule that spends it"
    sampling = auction.sampling or registry.names("sampling")[0]
    known = [name for name in auction.aggregation if registry.is_known("aggregation", name)]
    if not registry.is_known("payment", auction.charge) or not registry.is_known("sampling", sampling):
        return ""
    unfit = [name for name in known if misfit(auction.charge, (name,), sampling, auction.reserve or 0.0)]
    rules = " and ".join(unfit)
    return f"nothing spends this budget under {rules}, where {auction.charge} is not defined" if unfit else ""
