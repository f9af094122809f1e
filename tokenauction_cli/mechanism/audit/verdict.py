"""What an audit found in four lines: where a higher bid loses, another bid gains or does not, a false report gains."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from ...system.wording import listed
from .finding import Finding
from .prose import ORDER_NAMES, all_hold, in_order, of_check, orders_of, size

_Findings = Sequence[Finding]


def verdict(findings: _Findings) -> list[str]:
    """A line for each question, with the rules of which it is so; one of none is left out."""
    questions: dict[str, Callable[[_Findings], str]] = {
        "Undefined": _undefined,
        "A higher bid never loses": lambda of_rule: "" if _losing(of_rule) else " ",
        "A higher bid can lose": _losing,
        "No other bid gains over one's value": _best,
        "Another bid gains": _worse,
        "A false report gains": _lies,
    }
    return [line for question, answer in questions.items() for line in _answered(question, answer, findings)]


def _answered(question: str, answer: Callable[[_Findings], str], findings: _Findings) -> Iterator[str]:
    rules = dict.fromkeys(finding.rule for finding in findings)
    said = {rule: answer([one for one in findings if one.rule == rule]) for rule in rules}
    under = [f"under {rule} {words}".strip() for rule, words in said.items() if words]
    if under:
        yield f"{question}: {'; '.join(under)}."


def _undefined(findings: _Findings) -> str:
    share = of_check(findings, "defined")[0].violated
    return f"at {share:.0%} of the prefixes" if share else ""


def _losing(findings: _Findings) -> str:
    along = of_check(findings, "monotone")
    fails = [order for order in orders_of(along) if not all_hold(in_order(along, order))]
    most = max((finding.violated for finding in along), default=0.0)
    return f"in {listed(ORDER_NAMES[order] for order in fails)} (at up to {most:.0%} of the prefixes)" if fails else ""


def _best(findings: _Findings) -> str:
    best = [f"{payment} ({', '.join(orders)})" for payment, orders in _held(findings) if orders]
    return f"with {listed(best)}" if best else ""


def _worse(findings: _Findings) -> str:
    regrets = of_check(findings, "regret")
    return _most(regrets, [payment for payment, orders in _held(findings) if not orders])


def _held(findings: _Findings) -> Iterator[tuple[str, list[str]]]:
    """The payments, and the orders in which no other bid gains."""
    regrets = of_check(findings, "regret")
    for payment in dict.fromkeys(finding.payment for finding in regrets):
        mine = [finding for finding in regrets if finding.payment == payment]
        yield payment, [ORDER_NAMES[order] for order in orders_of(mine) if all_hold(in_order(mine, order))]


def _lies(findings: _Findings) -> str:
    told = [finding for finding in findings if finding.check.startswith("misreport: ") and not finding.holds]
    return _most(told, list(dict.fromkeys(finding.payment for finding in told)))


def _most(findings: _Findings, payments: Sequence[str]) -> str:
    """The payments, each with the largest gain."""
    most = {one: max(size(finding) for finding in findings if finding.payment == one) for one in payments}
    return f"with {listed(f'{payment} {gain:.2g}' for payment, gain in most.items())}" if most else ""
