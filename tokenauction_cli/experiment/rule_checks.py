"""Mistakes in the rules of an experiment file: names, premises of payments, budgets."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..mechanism import registry
from ..mechanism.registry import misfit
from .draft import Draft
from .file_format import CUSTOM_RULE, Auction
from .located_yaml import KeyPath
from .prompts import did_you_mean
from .values import shown


def check_rules(draft: Draft) -> None:
    """Every rule is in the registry, or in a module that the file trusts."""
    if draft.auction is None:
        return
    for path, kind, name in _rules(draft.auction):
        known = registry.names(kind)
        written = draft.source.get("auction", path[0])
        if written is None or registry.is_known(kind, name):
            continue
        place: KeyPath = ("auction", *path) if isinstance(written, list) else ("auction", path[0])
        module = name.partition(":")[0]
        if not registry.is_custom(name):
            message = f"unknown {kind} rule {shown(name)}{did_you_mean(name, known)}; there are {', '.join(known)}"
            draft.source.problem(place, message)
        elif not re.match(CUSTOM_RULE, name):
            draft.source.problem(place, f"expected a rule of your own as package.module:Name, got {shown(name)}")
        elif module not in draft.trust:
            draft.source.problem(
                place,
                f"the rule {name!r} is code of your own; it runs only with 'trust: [{module}]' or --trust {module}",
            )


def _rules(auction: Auction) -> Iterator[tuple[KeyPath, registry.Kind, str]]:
    for i, name in enumerate(auction.aggregation):
        yield ("aggregation", i), "aggregation", name
    for i, name in enumerate(auction.payments):
        yield ("payments", i), "payment", name
    if auction.sampling is not None:
        yield ("sampling",), "sampling", auction.sampling


def check_premises(draft: Draft) -> None:
    """Every payment rule fits one of the aggregation rules; rules of the user's own are asked when they are loaded."""
    auction = draft.auction
    if auction is None:
        return
    names = [("sampling", auction.sampling or registry.names("sampling")[0])]
    names += [("aggregation", name) for name in auction.aggregation] + [("payment", name) for name in auction.payments]
    if not all(registry.is_known(kind, name) for kind, name in names):  # type: ignore[arg-type]
        return
    for i, name in enumerate(auction.payments):
        why = misfit(name, auction.aggregation, names[0][1], auction.reserve or 0.0)
        if why:
            draft.source.problem(("auction", "payments", i), why)


def check_budgets(draft: Draft) -> None:
    """No rule twice; budgets need the rule that spends them, which is one of the payments."""
    if draft.auction is None:
        return
    for key, names in (("aggregation", draft.auction.aggregation), ("payments", draft.auction.payments)):
        for i, name in enumerate(names):
            if name in names[:i]:
                draft.source.problem(("auction", key, i), f"the rule {shown(name)} is here twice")
    charge = draft.auction.charge
    if charge is not None and charge not in draft.auction.payments:
        near = did_you_mean(charge, draft.auction.payments)
        listed = ", ".join(draft.auction.payments) or "none is listed"
        message = f"expected one of the payments ({listed}), got {shown(charge)}{near}"
        draft.source.problem(("auction", "charge"), message)
    for i, agent in enumerate(draft.agents):
        if agent is not None and agent.budget is not None:
            why = _no_spending(draft.auction)
            if why:
                draft.source.problem(("agents", i, "budget"), why, at_key=True)


def _no_spending(auction: Auction) -> str:
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
