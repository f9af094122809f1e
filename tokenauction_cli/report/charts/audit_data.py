"""What the page shows of an audit: how much another bid or a false report gains, and where a rule itself fails.

It reads `audit.csv` and `audit.txt` as `tokauction audit` left them in the run folder.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...analysis.columns.glossary import AUDIT_TERMS
from ...analysis.run import Run
from ...analysis.tables.tables import grouped
from ...mechanism.audit.prose import ORDER_NAMES
from ...mechanism.registry import label
from ...system.wording import listed
from ..prose import UNIT, number, percent
from .file_tables import Row, as_written_by, file_table, paragraphs, read_rows

_MEANINGS = {term: meaning.replace("`", "") for term, meaning in AUDIT_TERMS.items()}
_OF_THE_RULE = ("defined", "monotone", "consistent", "universally_stable")
_NEEDED = {"rule", "payment", "agent", "check", "order", "prefixes", "violated", "low", "high", "worst", "detail"}

Groups = dict[str, list[Row]]


def audit_payload(run: Run) -> dict[str, Any] | None:
    """The audit of a run folder, or None where there is none."""
    path = run.folder.path / "audit.csv"
    if not path.is_file():
        return None
    with as_written_by("audit", path):
        return _payload(run, path)


def _payload(run: Run, path: Path) -> dict[str, Any]:
    columns, rows = read_rows(path)
    usable = rows if _NEEDED.issubset(columns) else []
    names = {agent.id: agent.name for agent in run.experiment.agents}
    return {
        "prefixes": max((int(row["prefixes"]) for row in usable), default=0),
        "rules": [_rule(rule, of, names) for rule, of in grouped(usable, lambda row: row["rule"]).items()],
        "words": paragraphs(path.with_name("audit.txt")),
        "glossary": [[term, meaning] for term, meaning in _MEANINGS.items() if _is_met(term, usable)],
        "table": _table(columns, rows),
    }


def _rule(rule: str, rows: Sequence[Row], names: Mapping[str, str]) -> dict[str, Any]:
    """One aggregation rule: regret in words, and grids of checks against orders."""

    def by_payment(check: str) -> Groups:
        return grouped([row for row in rows if row["check"].split(":")[0] == check], lambda row: label(row["payment"]))

    gains = "The most that any agent gains, per token, in units of the bids."
    shares = "Share of the prefixes at which it fails, for the agent for whom it fails most often."
    checks = grouped([row for row in rows if row["check"] in _OF_THE_RULE], lambda row: row["check"].replace("_", " "))
    regrets = by_payment("regret")
    kinds = (
        _Kind("regret", "Regret", f"What another bid gains. {gains}", regrets, _most, number, "0"),
        _Kind(
            "misreport",
            "Misreports",
            f"What a false report gains. {gains}",
            by_payment("misreport"),
            _most,
            number,
            "0",
        ),
        _Kind("promises", "Promises of the rule", shares, checks, _share, percent, "never"),
    )
    says = [_in_words(payment, found) for payment, found in regrets.items()]
    return {"name": label(rule), "says": says, "grids": [_grid(kind, names) for kind in kinds if kind.groups]}


def _in_words(payment: str, found: Sequence[Row]) -> str:
    """Regret under one payment: in which orders the value is the best bid, and what another bid gains in the others."""
    by_order = grouped(found, lambda row: ORDER_NAMES.get(row["order"], row["order"]))
    best = [order for order, of in by_order.items() if not _failing(of)]
    gains = [f"{number(_most(of))} in {order}" for order, of in by_order.items() if _failing(of)]
    if not gains:
        return f"{payment}: bidding one’s value is best, in {listed(best)}."
    but = f"; it is best in {listed(best)}" if best else ""
    return f"{payment}: another bid than one’s value gains up to {listed(gains)}{but}."


@dataclass(frozen=True)
class _Kind:
    """A grid before it is filled: findings by row, the number of a cell with its form, and what stands for 0."""

    id: str
    title: str
    about: str
    groups: Groups
    size: Callable[[Sequence[Row]], float]
    form: Callable[[float], str]
    none: str


def _grid(kind: _Kind, names: Mapping[str, str]) -> dict[str, Any]:
    """A row per payment or check, a column per order; a check that knows no order has one cell, under ''."""
    by_order = {name: grouped(found, lambda row: row["order"]) for name, found in kind.groups.items()}
    met = {order for cells in by_order.values() for order in cells}
    largest = 1.0 if kind.form is percent else max(map(kind.size, kind.groups.values()))
    rows = [
        {
            "name": name,
            "about": _MEANINGS.get(name, ""),
            "cells": {order: _cell(kind, found, largest, names) for order, found in cells.items()},
        }
        for name, cells in by_order.items()
    ]
    orders = [
        {"id": order, "name": name, "about": _MEANINGS[name]} for order, name in ORDER_NAMES.items() if order in met
    ]
    return {"id": kind.id, "title": kind.title, "about": kind.about, "orders": orders, "rows": rows}


def _cell(kind: _Kind, found: Sequence[Row], largest: float, names: Mapping[str, str]) -> dict[str, Any]:
    """A number, how long its bar is, and what it says of whom; infinite gains have a full bar."""
    size = kind.size(found)
    share = float(size == largest > 0) if math.isinf(largest) or not largest else size / largest
    worst = max(_failing(found) or found, key=lambda row: float(row["worst"]))
    return {"text": kind.form(size) if size else kind.none, "share": share, "about": _about(worst, names)}


def _about(row: Row, names: Mapping[str, str]) -> str:
    """The largest failure, in one line."""
    if not _failing([row]):
        return f"It holds at all {row['prefixes']} prefixes."
    low, high = (percent(float(row[end])).removesuffix(UNIT) for end in ("low", "high"))
    interval = f" (95 %: {low}–{high}{UNIT})" if low != high else ""
    who = f"{names.get(row['agent'], row['agent'])}: " if row["agent"] else ""
    report = row["check"].partition(": ")[2]
    detail = "; ".join(filter(None, (report, row["detail"])))
    sizes = f"up to {number(float(row['worst']))}" + (f" ({detail})" if detail else "")
    return f"{who}{sizes}, at {percent(float(row['violated']))}{interval} of {row['prefixes']} prefixes."


def _failing(found: Sequence[Row]) -> list[Row]:
    return [row for row in found if float(row["violated"]) > 0]


def _most(found: Sequence[Row]) -> float:
    return max((float(row["worst"]) for row in _failing(found)), default=0.0)


def _share(found: Sequence[Row]) -> float:
    return max((float(row["violated"]) for row in found), default=0.0)


def _is_met(term: str, rows: Sequence[Row]) -> bool:
    """Whether the audit speaks of a term; those that are no check are always of use."""
    checks = {
        part
        for row in rows
        for part in (row["check"].split(":")[0].replace("_", " "), row["check"].rpartition(": ")[2].split(" ")[0])
    }
    optional = {"temperature", "boost", "sybils", "equilibrium", "universally stable"}
    return term not in optional or term in checks


def _table(columns: Sequence[str], rows: Sequence[Row]) -> dict[str, Any]:
    """The whole file, violations first."""
    ordered = sorted(rows, key=lambda row: -float(row.get("violated") or 0))
    about = "What tokauction audit found on the distributions of this run, violations first"
    return file_table("All findings", about, "audit.csv", columns, ordered)
