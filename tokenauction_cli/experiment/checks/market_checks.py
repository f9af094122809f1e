"""Mistakes in `market`: agents without a value, policies without what they need, grids that have no bid of 0."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

from ...mechanism import registry
from ...system.wording import did_you_mean, listed
from ..format.auction import CUSTOM_RULE
from ..format.draft import Draft
from ..format.market import EVENLY, DailyBudget, MarketSection, MarketValue
from ..format.values import shown
from ..resolved.market import wanted_of
from ..source.located_yaml import KeyPath
from .queries import VALUE
from .sweep_checks import check_labels

MARKET: KeyPath = ("market",)
TIME = "time"
NO_BIDDER = "it pays nothing and does not bid in a market"


def check_market(draft: Draft) -> None:
    """Report the mistakes of the market; of parts whose own form is wrong nothing is said here."""
    market = draft.market
    if market is None:
        return
    if draft.n_queries < len(draft.queries):
        message = "a market takes one row of each query, and some query here has several; leave out all but one"
        draft.source.problem(("queries",), message, at_key=True)
        return
    known = [
        check_labels(draft, (*MARKET, key), list(getattr(market, key) or ()), NO_BIDDER)
        for key in ("values", "policies", "budgets")
    ]
    if not all(known):
        return
    _check_values(draft, market)
    _check_policies(draft, market)
    _check_grid(draft, market)
    _check_columns(draft, market)
    _check_payments(draft, market)


def _bidders(draft: Draft) -> Iterator[tuple[int, str]]:
    """The agents that are charged: the index and the name."""
    for i, agent in enumerate(draft.agents):
        if agent is not None and not agent.reference:
            yield i, agent.name


def _check_values(draft: Draft, market: MarketSection) -> None:
    valued = {draft.require_agent(label) for label in market.values}
    for i, name in _bidders(draft):
        if i not in valued:
            message = f"{shown(name)} has no value; write what a text is worth to it, as in {{mention: 1}}"
            draft.source.problem((*MARKET, "values"), message, at_key=True)
    for label, value in market.values.items():
        kinds = list(value.model_dump(exclude_none=True))
        if len(kinds) != 1:
            found = f"got {listed(kinds)}" if kinds else "got none"
            message = f"expected one of {', '.join(MarketValue.model_fields)}; {found}"
            draft.source.problem((*MARKET, "values", label), message, at_key=bool(kinds))
        elif kinds == ["log_ratio"] and draft.source.get("reference") is None:
            message = "log_ratio needs the key 'reference' at the top of the file: the model that gives l_0"
            draft.source.problem((*MARKET, "values", label, "log_ratio"), message, at_key=True)


def _check_policies(draft: Draft, market: MarketSection) -> None:
    with_budget = {draft.require_agent(label) for label in market.budgets or ()}
    for label, choice in (market.policies or {}).items():
        ((name, number),) = choice.items()
        path: KeyPath = (*MARKET, "policies", label)
        why = _why_not(draft, name, number, has_budget=draft.require_agent(label) in with_budget)
        if why:
            draft.source.problem(path, why)


def _why_not(draft: Draft, name: str, number: float | None, *, has_budget: bool) -> str:
    """Why a policy cannot be used, '' where it can; of one's own it is not known before it is loaded."""
    if registry.is_custom(name):
        module = name.partition(":")[0]
        if not re.match(CUSTOM_RULE, name):
            return f"expected a policy of your own as package.module:Name, got {shown(name)}"
        remedy = f"it runs only with 'trust: [{module}]' or --trust {module}"
        return "" if module in draft.trust else f"the policy {name!r} is code of your own; {remedy}"
    if not registry.is_known("policy", name):
        known = registry.names("policy")
        return f"unknown policy {shown(name)}{did_you_mean(name, known)}; the policies are {', '.join(known)}"
    policy = registry.find("policy", name)
    if policy.setting and number is None:
        return f"{name} needs a number: {policy.setting}, as in {{{name}: 0.5}}"
    if number is not None and not policy.setting:
        return f"{name} takes no number; write {name}"
    if policy.needs_budget and not has_budget:
        return f"{name} needs a budget; write one in market.budgets"
    return ""


def _check_grid(draft: Draft, market: MarketSection) -> None:
    """Every bidder has a grid of several bids, and whoever has a budget can bid 0."""
    if draft.sweep is None:
        return
    grid = draft.sweep.grid
    if grid is None:
        example = ", ".join(f"{shown(name)}: [0, 0.5, 1, 2]" for _, name in list(_bidders(draft))[:3])
        message = f"a market needs sweep.grid, the bids that each agent can make; write sweep: {{grid: {{{example}}}}}"
        draft.source.problem(MARKET, message, at_key=True)
        return
    bids = {index: set(some) for label, some in grid.items() if (index := draft.agent(label)) is not None}
    budgets = {draft.require_agent(label): label for label in market.budgets or ()}
    for i, name in _bidders(draft):
        if len(bids.get(i, ())) < 2:
            n = "no bid" if i not in bids else "one bid"
            message = f"{shown(name)} has {n} in the grid; a market needs several, as in [0, 0.5, 1, 2]"
            draft.source.problem(("sweep", "grid"), message, at_key=True)
        elif i in budgets and 0 not in bids[i]:
            message = f"whoever has a budget bids 0 when it is spent: add 0 to sweep.grid of {shown(name)}"
            draft.source.problem((*MARKET, "budgets", budgets[i]), message, at_key=True)


def _check_columns(draft: Draft, market: MarketSection) -> None:
    """Columns of the queries that the market names are there, and hold what is needed."""
    if market.draw != EVENLY:
        _check_column(draft, (*MARKET, "draw"), market.draw, _positive, "a number above 0")
    for label, value in market.values.items():
        if len(value.model_dump(exclude_none=True)) == 1 and isinstance(wanted_of(value).value, str):
            path = (*MARKET, "values", label, wanted_of(value).kind)
            _check_column(draft, path, str(wanted_of(value).value), _number, "a number of at least 0")
    daily = [label for label, budget in (market.budgets or {}).items() if isinstance(budget, DailyBudget)]
    for label in daily[:1]:
        _check_column(draft, (*MARKET, "budgets", label), TIME, _date, "a time (ISO 8601), such as 2026-05-01T09:30")


def _number(cell: Any) -> bool:
    return not math.isnan(number := float(cell)) and 0 <= number < math.inf


def _positive(cell: Any) -> bool:
    return 0 < float(cell) < math.inf


def _date(cell: Any) -> bool:
    return date_of(cell) != ""


def date_of(cell: str) -> str:
    """The date of a time in ISO 8601, as 2026-05-01. Raises ValueError for what is none."""
    return datetime.fromisoformat(cell.replace("Z", "+00:00")).date().isoformat()


def _check_column(draft: Draft, path: KeyPath, column: str, fits: Callable[[Any], bool], expected: str) -> None:
    name = _as_written(draft, column)
    for i, row in enumerate(draft.query_rows or [{}]):
        if name(row) is None:
            known = list(dict.fromkeys(key for one in draft.query_rows for key in one))
            near = did_you_mean(column, known) or (f"; the columns are {listed(known)}" if known else "")
            draft.source.problem(path, f"query {i + 1} has no column {shown(column)}{near}")
            return
        try:
            is_right = fits(row[name(row)])
        except (AttributeError, TypeError, ValueError):
            is_right = False
        if not is_right:
            message = f"expected {expected}, got {shown(row[name(row)])}: market needs the column {shown(column)}"
            draft.source.problem(("queries", i, name(row)), message)
            return


def _as_written(draft: Draft, column: str) -> Callable[[dict[str, Any]], Any]:
    """What a row calls a column: name and id of an agent mean the same values."""
    index = draft.agent(column.removeprefix(VALUE)) if column.startswith(VALUE) else None

    def name(row: dict[str, Any]) -> str | None:
        alike = (key for key in row if index is not None and key.startswith(VALUE))
        meant = next((key for key in alike if draft.agent(key.removeprefix(VALUE)) == index), column)
        return meant if meant in row else None

    return name


def _check_payments(draft: Draft, market: MarketSection) -> None:
    if draft.auction is None:
        return
    there = draft.auction.payments if draft.auction.auctions_tokens else ()
    for i, payment in enumerate(market.payments or ()):
        if payment not in there:
            near = did_you_mean(payment, there)
            message = f"auction.payments has no {shown(payment)}{near}; it has {listed(list(there)) or 'none'}"
            draft.source.problem((*MARKET, "payments", i), message)
