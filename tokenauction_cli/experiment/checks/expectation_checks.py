"""Mistakes in `expect`: figures that no run has, rows that this one will not have, bounds that nothing can keep."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

from ...mechanism import registry
from ...system.wording import did_you_mean, first_few
from ..format.auction import TOKEN_AUCTION, AuctionSection
from ..format.draft import Draft
from ..format.expect import At, ExpectationSection, TextTest
from ..format.values import shown
from ..resolved.expectation import is_same
from ..resolved.sweep import SweepPoint
from ..source.located_yaml import KeyPath
from ..source.source import default_ids

FigureNames = Callable[[Sequence[str], Sequence[str]], Iterable[str]]
"""The figures of a run whose agents have these ids and whose payment rules have these columns."""

TREND = "trend."
ANY_JUDGE = "judge.NAME"


def check_expectations(draft: Draft, figures: FigureNames | None) -> None:
    """Report the mistakes of every expectation; names of figures are looked at where it is known which there are."""
    ask = figures if draft.expect else None
    names = () if ask is None else ask(default_ids(draft.entries), _payment_columns(draft))
    known = None if ask is None else {name for one in names for name in _of_judges(draft, one)}
    for i, expectation in enumerate(draft.expect):
        if expectation is None:
            continue
        _check_shape(draft, ("expect", i), expectation)
        if known is not None and expectation.figure is not None:
            _check_figure(draft, ("expect", i, "figure"), expectation.figure, known)
        if expectation.text is not None:
            _check_text(draft, ("expect", i, "text"), expectation.text)
        if expectation.at is not None:
            _check_at(draft, ("expect", i, "at"), expectation.at, is_trend=(expectation.figure or "").startswith(TREND))


def _of_judges(draft: Draft, figure: str) -> list[str]:
    """The figure, or where it is that of a judge, that of every judge."""
    return [figure.replace(ANY_JUDGE, f"judge.{one}") for one in draft.judges] if ANY_JUDGE in figure else [figure]


def _check_shape(draft: Draft, path: KeyPath, one: ExpectationSection) -> None:
    """A figure goes with bounds, a text with a share."""
    if (one.figure is None) == (one.text is None):
        found = "both" if one.text else "neither"
        draft.source.problem(path, f"expected one of figure and text, got {found}")
    elif one.figure is not None and one.min is None and one.max is None:
        draft.source.problem(path, "expected min, max or both: the bounds of the figure")
    for key in ("min", "max") if one.text is not None else ("share",):
        if getattr(one, key) is not None:
            goes_with = "a share of the texts goes with text" if key == "share" else "bounds go with figure"
            draft.source.problem((*path, key), f"{goes_with} only", at_key=True)
    if one.min is not None and one.max is not None and one.min > one.max:
        draft.source.problem((*path, "max"), f"expected at least {one.min:g}, the min, got {one.max:g}")


def _check_figure(draft: Draft, path: KeyPath, figure: str, known: set[str]) -> None:
    payment_of_ones_own = ("payment.", "revenue.", "payment_per_1000_bytes.", "revenue_per_1000_bytes.")
    if figure in known or (_has_own_payments(draft) and figure.removeprefix(TREND).startswith(payment_of_ones_own)):
        return
    near = did_you_mean(figure, sorted(known))
    listed = "; figures are the columns of numbers of summary.csv and cells.csv, and trend.F for a figure F"
    draft.source.problem(path, f"unknown figure {shown(figure)}{near or listed}")


def _payment_columns(draft: Draft) -> list[str]:
    """The columns of the payment rules and mechanisms that are known by name."""
    names = () if draft.token_auction is None else draft.token_auction.payments
    rules = (registry.find("payment", name) for name in names if registry.is_known("payment", name))
    listed = () if draft.auction is None else draft.auction.mechanisms
    mechanisms = (registry.find("mechanism", name) for name in listed if registry.is_known("mechanism", name))
    return [column for rule in rules for column in rule.columns] + [name for one in mechanisms for name in one.payments]


def _has_own_payments(draft: Draft) -> bool:
    """Whether a rule or mechanism of the user's own may have columns of any name: it is loaded later."""
    auction = draft.auction
    return auction is not None and any(map(registry.is_custom, (*auction.payments, *auction.mechanisms)))


def _check_text(draft: Draft, path: KeyPath, test: TextTest) -> None:
    if not test.model_dump(exclude_none=True):
        draft.source.problem(path, f"expected one of {', '.join(TextTest.model_fields)}")
    try:
        re.compile(test.matches or "")
    except re.error as error:
        draft.source.problem((*path, "matches"), f"not a regular expression: {error}")


def _check_at(draft: Draft, path: KeyPath, at: At, is_trend: bool) -> None:
    """Names; which sweep points there are is known later (`check_points`)."""
    for key in ("relative_weight", "point", "bids") if is_trend else ():
        if getattr(at, key) is not None:
            message = "a trend goes over all sweep points: query, mechanism and aggregation select trends"
            draft.source.problem((*path, key), message, at_key=True)
    if at.query is not None:
        _check_one_of(draft, (*path, "query"), at.query, draft.queries or [""], "query")
    if draft.auction is not None:
        _check_mechanism_at(draft, path, at, draft.auction)
    for label in at.bids or ():
        if draft.agent(label) is None:
            near = (
                did_you_mean(label, draft.known_agents())
                or f"; there are {first_few(map(shown, draft.known_agents()))}"
            )
            draft.source.problem((*path, "bids", label), f"unknown agent {shown(label)}{near}", at_key=True)


def _check_mechanism_at(draft: Draft, path: KeyPath, at: At, auction: AuctionSection) -> None:
    if at.mechanism is not None:
        _check_one_of(draft, (*path, "mechanism"), at.mechanism, auction.mechanisms, "mechanism")
    if at.aggregation is None:
        return
    if not auction.auctions_tokens or at.mechanism not in (None, TOKEN_AUCTION):
        message = f"only the texts of {TOKEN_AUCTION} have an aggregation rule"
        draft.source.problem((*path, "aggregation"), message, at_key=True)
    else:
        _check_one_of(draft, (*path, "aggregation"), at.aggregation, auction.aggregation, "aggregation rule")


def check_points(draft: Draft, points: Iterable[SweepPoint]) -> None:
    """Report every `at` that none of the sweep points agrees with."""
    looks = [(("expect", i, "at"), one.at) for i, one in enumerate(draft.expect) if one is not None]
    listed = list(points) if looks else []
    for path, at in looks:
        if at is not None:
            _check_points_at(draft, path, at, listed)


def _check_points_at(draft: Draft, path: KeyPath, at: At, points: Sequence[SweepPoint]) -> None:
    """Key by key, so that the first that leaves no point is named with what there is."""
    wanted: list[tuple[KeyPath, float | None, Callable[[SweepPoint], float | None]]] = [
        (("point",), at.point, lambda point: point.index),
        (("relative_weight",), at.relative_weight, lambda point: point.relative_weight),
        *((("bids", label), bid, _bid_of(draft.require_agent(label))) for label, bid in (at.bids or {}).items()),
    ]
    for key, value, value_of in wanted:
        left = [point for point in points if value is None or is_same(value, value_of(point))]
        if not left:
            there_are = first_few([f"{value_of(point):g}" for point in points if value_of(point) is not None])
            wish = f"{'.'.join(map(str, key))} = {value:g}"
            draft.source.problem((*path, *key), f"no sweep point has {wish}; there are {there_are}")
            return
        points = left


def _bid_of(agent: int) -> Callable[[SweepPoint], float]:
    return lambda point: point.bids[agent]


def _check_one_of(draft: Draft, path: KeyPath, value: str, known: Sequence[str], what: str) -> None:
    if value not in known:
        near = did_you_mean(value, known) or f"; there are {first_few(map(shown, known))}"
        draft.source.problem(path, f"unknown {what} {shown(value)}{near}")
