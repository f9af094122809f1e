"""One paragraph in plain words of what an audit found to hold and not to hold."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from ...system.wording import counted, listed
from .finding import Finding
from .preferences import TOLERANCE

ORDER_NAMES = {"robust": "robust order", "tv": "TV", "kl": "forward KL", "reverse_kl": "reverse KL"}
_IN_ORDER = ORDER_NAMES | {"robust": "the robust order"}


def in_words(findings: Sequence[Finding]) -> str:
    """The paragraph: for each rule its monotonicity, then what bids, abstention and false reports gain."""
    if not findings:
        return "Nothing was audited."
    n = max(finding.prefixes for finding in findings)
    sentences = [f"Over {counted(n, 'prefix')}:"]
    for rule in dict.fromkeys(finding.rule for finding in findings):
        sentences += _about(rule, [finding for finding in findings if finding.rule == rule])
    return " ".join(sentences)


def _about(rule: str, findings: Sequence[Finding]) -> Iterable[str]:
    undefined = of_check(findings, "defined")[0].violated
    if undefined:
        yield f"{rule} is undefined at {undefined:.0%} of them."
    if undefined < 1:
        yield from _monotonicity(rule, findings)
        yield from _stability(rule, findings)
        yield from _bidding(rule, findings)
        yield from _equilibria(rule, findings)
        yield from _false_reports(rule, findings)


def _monotonicity(rule: str, findings: Sequence[Finding]) -> Iterable[str]:
    along = of_check(findings, "monotone")
    holds = [order for order in orders_of(along) if all_hold(in_order(along, order))]
    if holds:
        yield f"{rule} is monotone in {listed(_IN_ORDER[order] for order in holds)} for every agent."
    for order in orders_of(along):
        if order not in holds:
            worst = max(in_order(along, order), key=size)
            yield (
                f"{rule} is not monotone in {_IN_ORDER[order]}: it fails for agent {worst.agent} at "
                f"{worst.violated:.0%} of the prefixes, by up to {worst.worst:.3g} ({worst.detail})."
            )


def _stability(rule: str, findings: Sequence[Finding]) -> Iterable[str]:
    for finding in of_check(findings, "universally_stable"):
        if finding.holds:
            yield f"A sampling of {rule} that is stable for all agents at once exists (bids of 1 and 2)."
        else:
            yield f"No sampling of {rule} is stable for all agents at once at {finding.violated:.0%} of the prefixes."


def _bidding(rule: str, findings: Sequence[Finding]) -> Iterable[str]:
    regrets = of_check(findings, "regret")
    best = _by_payment(regrets, lambda found: all_hold(found) and _is_proved(found))
    if best:
        yield f"Under {rule}, bidding one's value is best with {best}."
    unbeaten = _by_payment(regrets, lambda found: all_hold(found) and not _is_proved(found), show=True)
    if unbeaten:
        yield f"Under {rule}, no bid was found that gains over one's value with {unbeaten}."
    worse = _by_payment(regrets, lambda found: not all_hold(found), show=True)
    if worse:
        yield f"Another bid gains with {worse} per token."
    abstain = _by_payment(of_check(findings, "individually_rational"), lambda found: not all_hold(found))
    if abstain:
        yield f"Not bidding at all can beat bidding one's value with {abstain}."
    odd = _by_payment(of_check(findings, "payment_monotone"), lambda found: not all_hold(found))
    if odd:
        yield f"Agents do not always pay more exactly for what they like more with {odd}."


def _equilibria(rule: str, findings: Sequence[Finding]) -> Iterable[str]:
    settled = [finding for finding in of_check(findings, "equilibrium") if finding.order == "tv"]
    for payment in dict.fromkeys(finding.payment for finding in settled):
        mine = [finding for finding in settled if finding.payment == payment]
        bids = listed(f"{finding.agent} bids {finding.bid:.4g} for a value of {finding.value:.4g}" for finding in mine)
        end = "settle" if all(finding.holds for finding in mine) else "have not settled"
        why = f" ({mine[0].detail})" if mine[0].detail else ""
        yield f"Best responses in TV under {rule} with {payment} {end} after {mine[0].rounds} rounds: {bids}{why}."


def _false_reports(rule: str, findings: Sequence[Finding]) -> Iterable[str]:
    told = [finding for finding in findings if finding.check.startswith("misreport: ") and not finding.holds]
    if told:
        most, payments = max(told, key=size), list(dict.fromkeys(finding.payment for finding in told))
        yield (
            f"A false report can pay under {rule} with {listed(payments)}, most with {most.payment}: "
            f"{most.check.removeprefix('misreport: ')} gains agent {most.agent} up to {most.worst:.3g} per token in "
            f"{_IN_ORDER[most.order]}."
        )


def _by_payment(findings: Sequence[Finding], wanted: Callable[[Sequence[Finding]], bool], show: bool = False) -> str:
    """'second_price (TV) and vcg (forward KL)': the payments, and the orders of which `wanted` is true.

    With `show` also the worst size, and its bound where there is one.
    """
    words = []
    for payment in dict.fromkeys(finding.payment for finding in findings):
        mine = [finding for finding in findings if finding.payment == payment]
        orders = [order for order in orders_of(mine) if wanted(in_order(mine, order))]
        if orders:
            named = listed(_IN_ORDER[order] for order in orders)
            shown = [finding for order in orders for finding in in_order(mine, order)] if show else []
            words.append(f"{payment} ({'; '.join([named, *_sizes(shown)])})")
    return listed(words)


def _sizes(findings: Sequence[Finding]) -> Iterable[str]:
    """The largest failure that was found, and the largest that there can be."""
    if findings:
        bounds = [finding.at_most for finding in findings if finding.at_most is not None]
        found = f"up to {max(map(size, findings)):.3g} found"
        yield f"{found}, at most {max(bounds):.3g}" if len(bounds) == len(findings) else found


def _is_proved(findings: Sequence[Finding]) -> bool:
    """Whether nothing is left between what was found and what there can be."""
    return all(one.at_most is not None and one.at_most <= one.worst + TOLERANCE for one in findings)


def of_check(findings: Sequence[Finding], check: str) -> list[Finding]:
    return [finding for finding in findings if finding.check == check]


def in_order(findings: Sequence[Finding], order: str) -> list[Finding]:
    return [finding for finding in findings if finding.order == order]


def orders_of(findings: Sequence[Finding]) -> list[str]:
    return list(dict.fromkeys(finding.order for finding in findings))


def all_hold(findings: Sequence[Finding]) -> bool:
    return all(finding.holds for finding in findings)


def size(finding: Finding) -> float:
    return finding.worst
