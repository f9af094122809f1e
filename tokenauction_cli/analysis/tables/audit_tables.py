"""What an audit found, as `audit.csv`, as tables and as paragraphs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ...audits.prefixes.audit import Audited
from ...audits.prefixes.prefixes import Looked
from ...lm.base import Vocabulary, spelled
from ...mechanism.audit.finding import Finding
from ...mechanism.audit.prose import in_words
from ...mechanism.audit.verdict import verdict
from ...system.wording import counted
from .tables import Table, grouped

if TYPE_CHECKING:
    import pandas as pd


def findings_frame(audited: Audited) -> pd.DataFrame:
    """`audit.csv`: a row per finding."""
    import pandas as pd

    return pd.DataFrame(_rows(audited.looked, audited.findings, audited.vocabulary)).astype({"rounds": "Int64"})


def paragraphs(audited: Audited) -> list[str]:
    """`audit.txt`: what was found, a paragraph per rule."""
    return [" ".join([in_words(findings), *left_out(audited)]) for findings in _by_rule(audited.findings).values()]


def verdict_of(audited: Audited) -> list[str]:
    """The same in a few lines, where it looked first."""
    looked = audited.looked
    where = "all that differ" if looked.exact else "a sample"
    n = counted(len(looked.profiles), "prefix")
    return [
        f"Audited at {n} ({where}). Gains are the largest found, per token.",
        *verdict(audited.findings),
        *left_out(audited),
    ]


def left_out(audited: Audited) -> Iterator[str]:
    """What an audit of tables could not look at."""
    prefixes = audited.looked.left_out
    if prefixes:
        first = _text(prefixes[0].tokens, audited.vocabulary)
        n = counted(len(prefixes), "prefix")
        yield f"Left out: {n} after which some agent has no distribution, the first {first!r}."


def audit_tables(audited: Audited) -> list[Table]:
    """A table per rule."""
    return [_table(rule, findings, audited.looked) for rule, findings in _by_rule(audited.findings).items()]


def _rows(looked: Looked, findings: list[Finding], vocabulary: Vocabulary) -> list[dict[str, Any]]:
    """audit.csv: the findings, with the worst prefix and token as text."""
    rows = []
    for finding in findings:
        row = asdict(finding)
        worst = None if finding.prefix is None else looked.prefixes[finding.prefix]
        row["prefix"] = None if worst is None else _text(worst.tokens, vocabulary)
        row["query"] = None if worst is None else worst.query
        row["token"] = None if finding.token is None else vocabulary.name(finding.token)
        rows.append(row)
    return rows


def _text(tokens: tuple[int, ...], vocabulary: Vocabulary) -> str:
    return spelled(vocabulary, tokens).decode("utf-8", "replace")


def _by_rule(findings: list[Finding]) -> dict[str, list[Finding]]:
    return grouped(findings, lambda finding: finding.rule)


def _table(rule: str, findings: list[Finding], looked: Looked) -> Table:
    """A row per check and payment, a column per order: at how many texts it fails for the agent it fails most for."""
    orders = [order for order in dict.fromkeys(finding.order for finding in findings) if order]
    columns = orders or ["any order"]
    rows: dict[tuple[str, str], dict[str, list[Finding]]] = {}
    for finding in findings:
        if finding.check != "equilibrium":
            rows.setdefault((finding.check, finding.payment), {}).setdefault(finding.order, []).append(finding)
    cells = tuple(
        (_spaced(check), payment, *_cells(by_order, columns, looked.exact))
        for (check, payment), by_order in rows.items()
    )
    where = "every distinct one of" if looked.exact else "a sample of"
    title = f"{rule}: share of {where} {len(looked.profiles)} prefixes where it fails (worst failure)"
    return Table(title, ("check", "payment", *columns), cells, n_heads=2)


def _spaced(check: str) -> str:
    """A name that a narrow column can break between words."""
    return check.replace("_", " ")


def _cells(by_order: dict[str, list[Finding]], orders: list[str], exact: bool) -> list[str]:
    """One cell per order; what has no order stands in the first."""
    if "" in by_order:
        return [_cell(by_order[""], exact), *[""] * (len(orders) - 1)]
    return [_cell(by_order.get(order, []), exact) for order in orders]


def _cell(findings: list[Finding], exact: bool) -> str:
    """For the agent for whom it fails most often; in brackets the largest failure of any agent."""
    if not findings:
        return ""
    most = max(findings, key=lambda finding: finding.violated)
    interval = "" if exact else f" [{most.low:.0%}, {most.high:.0%}]"
    if most.holds:
        return f"never{interval}"
    return f"{most.violated:.0%}{interval} ({max(finding.worst for finding in findings):.2g})"
