"""The files of an audit of whole texts, by hand: one rule exact, one by seeds, equilibria and a cycle.

The numbers are made up, with the shapes that such audits have: second price nearly truthful, one's own bid not at all.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from math import log
from pathlib import Path
from typing import Any

from tokenauction_cli.experiment.resolved.text_audit import GRID

VALUE = 2.0
AGENTS = ("alpha", "beta")
PAYMENTS = ("second_price", "vcg", "pay_your_bid")
METHODS = {"linear": "exact", "log_linear": "seeds"}
MISREPORT = "temperature 0.5"
AUDIT = (
    *("aggregation", "payment", "agent", "utility", "report", "bid", "value", "mean_utility", "mean_payment"),
    *("gain", "gain.low", "gain.high", "texts", "method", "best", "note"),
)

WORDS = """\
Under linear aggregation and second price no bid gains Alpha Airlines more than 0.04 over bidding its value.

Under log-linear aggregation 200 seeds tell that regret is at most 0.2 (95 %) on this grid.
"""


def write_text_audit(folder: Path, utilities: tuple[str, ...] = ("mention",)) -> None:
    """All four files."""
    _write(folder / "text_audit.csv", [row for utility in utilities for row in audit_rows(utility)])
    _write(folder / "text_equilibrium.csv", [row for utility in utilities for row in equilibrium_rows(utility)])
    _write(folder / "text_dynamics.csv", [row for utility in utilities for row in dynamics_rows(utility)])
    (folder / "text_audit.txt").write_text(WORDS, "utf-8")


def audit_rows(utility: str) -> Iterator[dict[str, Any]]:
    for rule, method in METHODS.items():
        for payment in PAYMENTS:
            for agent in AGENTS:
                yield from _group({"aggregation": rule, "payment": payment, "agent": agent, "utility": utility}, method)


def _group(where: dict[str, str], method: str) -> list[dict[str, Any]]:
    """All deviations of one agent under one rule and payment."""
    tried = [(report, bid * VALUE) for report in ("honest", MISREPORT) for bid in GRID]
    rows = [_row(where, method, report, bid) for report, bid in tried]
    max(rows, key=lambda row: row["gain"]).update(best="tried", note="best of 17 deviations")
    if method == "exact":
        best = max((_row(where, method, "honest", k * VALUE / 100) for k in range(400)), key=lambda row: row["gain"])
        rows.append(best | {"best": "constant", "note": "best constant bid"})
        dynamic = {name: best[name] + 0.02 for name in ("mean_utility", "gain", "gain.low", "gain.high")}
        rows.append(best | dynamic | {"bid": "", "best": "every_prefix", "note": "best bid for every prefix"})
    return rows


def _row(where: dict[str, str], method: str, report: str, bid: float) -> dict[str, Any]:
    utility, payment = _outcome(where, report, bid)
    gain = utility - _outcome(where, "honest", VALUE)[0]
    is_sure = method == "exact" or (report, bid) == ("honest", VALUE)
    spread = 0.0 if is_sure else 0.03 + 0.02 * abs(bid - VALUE)
    return {
        **where,
        "report": report,
        "bid": bid,
        "value": VALUE,
        "mean_utility": utility,
        "mean_payment": payment,
        "gain": gain,
        "gain.low": gain - spread,
        "gain.high": gain + spread,
        "texts": 3280 if method == "exact" else 200,
        "method": method,
        "best": "",
        "note": "",
    }


def _outcome(where: dict[str, str], report: str, bid: float) -> tuple[float, float]:
    """Utility and payment: a share of the mentions that rises with the bid, and the price of such a share."""
    rival = 1.5 if where["agent"] == "alpha" else 2.5
    share = bid / (bid + rival)
    price = rival * log(1 + bid / rival) - rival * share
    payment = {"second_price": price, "vcg": 1.2 * price, "pay_your_bid": 0.6 * bid * share}[where["payment"]]
    if report == MISREPORT:
        share, payment = 1.08 * share, 1.15 * payment
    return 0.9 * VALUE * share - payment, payment


def equilibrium_rows(utility: str) -> Iterator[dict[str, Any]]:
    for rule, method in METHODS.items():
        for payment in PAYMENTS:
            *_, (_, alpha, beta) = _path(rule, payment)
            is_cycle = _is_cycle(rule, payment)
            ends = {"bid.alpha": alpha, "value.alpha": VALUE, "bid.beta": beta, "value.beta": VALUE}
            yield {
                "aggregation": rule,
                "payment": payment,
                "utility": utility,
                "outcome": "cycle" if is_cycle else "equilibrium",
                "rounds": 4 if is_cycle else 2,
                **ends,
                "regret": 0.001,
                "regret.high": 0.001 if method == "exact" else 0.09,
                "welfare.truth": 1.6,
                "welfare.equilibrium": 1.5,
                "welfare.best": 1.8,
                "relative_weight.best": 0.75,
                "revenue.truth": 0.4,
                "revenue.equilibrium": 0.3,
                "revenue.best": 0.5,
                "price_of_anarchy": 1.2,
                "texts": 3280 if method == "exact" else 200,
                "method": method,
                "note": "",
            }


def dynamics_rows(utility: str) -> Iterator[dict[str, Any]]:
    for rule in METHODS:
        for payment in PAYMENTS:
            where = {"aggregation": rule, "payment": payment, "utility": utility}
            before = None
            for step, (agent, alpha, beta) in enumerate(_path(rule, payment)):
                moved = "true" if before not in (None, (alpha, beta)) else "false"
                before = (alpha, beta)
                bids = {"bid.alpha": alpha, "bid.beta": beta}
                yield {**where, "step": step, "agent": agent, **bids, "gain": 0.05, "gain.low": 0.01, "moved": moved}


def _is_cycle(rule: str, payment: str) -> bool:
    return (rule, payment) == ("log_linear", "pay_your_bid")


def _path(rule: str, payment: str) -> list[tuple[str, float, float]]:
    """Who replied, and both bids after it."""
    if _is_cycle(rule, payment):
        around = [("alpha", 0.8, 2), ("beta", 0.8, 0.5), ("alpha", 1.6, 0.5), ("beta", 1.6, 1.2)]
        return [("", 2, 2), *around, ("alpha", 0.8, 1.2), ("beta", 0.8, 0.5), ("alpha", 1.6, 0.5)]
    low = {"second_price": 1.9, "vcg": 2.2, "pay_your_bid": 0.7}[payment]
    return [("", 2, 2), ("alpha", low, 2), ("beta", low, low - 0.2), ("alpha", low - 0.1, low - 0.2),
            ("beta", low - 0.1, low - 0.2)]  # fmt: skip


def _write(path: Path, rows: list[dict[str, Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
