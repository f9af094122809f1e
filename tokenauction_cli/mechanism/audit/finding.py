"""What an audit finds: one row per (rule, payment, agent, check, order), counted over prefixes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from ...statistics.intervals import wilson
from ...system.errors import AuditError as AuditError


@dataclass(frozen=True)
class Finding:
    """`violated` is the share of prefixes at which the property fails, `low` and `high` its 95 % interval.

    Where the prefixes are all there are, as of table agents, the share is exact and the interval a point. `worst` is
    the largest failure (0 if none), at `prefix` (its index) and, where it is one token's, at `token`. `payment` and
    `order` are '' where none is meant. Of a regret `bid` is the best bid at the worst prefix (the value, if none is
    better) and `at_most` no less than any failure, None where that is unknown; of an equilibrium `bid` is the bid after
    so many `rounds` of best responses. Both have the agent's `value`.
    """

    rule: str
    payment: str
    agent: str
    check: str
    order: str
    prefixes: int
    violated: float
    low: float
    high: float
    worst: float
    prefix: int | None = None
    token: int | None = None
    detail: str = ""
    bid: float | None = None
    value: float | None = None
    rounds: int | None = None
    at_most: float | None = None

    @property
    def holds(self) -> bool:
        return self.violated == 0


@dataclass(frozen=True)
class Failure:
    """How far a property fails at one prefix: `size` is 0 where it holds; NaN counts as an infinite failure."""

    size: float
    token: int | None = None
    detail: str = ""
    bid: float | None = None
    at_most: float | None = None


def count(
    key: tuple[str, str, str, str, str], failures: Iterable[Failure], tolerances: float | Sequence[float], exact: bool
) -> Finding:
    """A row from what happened at each prefix, given (rule, payment, agent, check, order)."""
    found = list(failures)
    bounds = [tolerances] * len(found) if isinstance(tolerances, float) else list(tolerances)
    found = [replace(failure, size=math.inf) if math.isnan(failure.size) else failure for failure in found]
    bad = sum(failure.size > bound for failure, bound in zip(found, bounds, strict=True))
    share = bad / len(found) if found else 0.0
    low, high = (share, share) if exact else wilson(bad, len(found))
    worst = max(range(len(found)), key=lambda k: found[k].size, default=None)
    if worst is None or found[worst].size == 0:
        detail = found[0].detail if found else ""
        return Finding(*key, len(found), share, low, high, 0.0, detail=detail, at_most=_at_most(found))
    failure = found[worst]
    where = (worst, failure.token, failure.detail, failure.bid)
    return Finding(*key, len(found), share, low, high, failure.size, *where, at_most=_at_most(found))


def _at_most(failures: Sequence[Failure]) -> float | None:
    bounds = [failure.at_most for failure in failures if failure.at_most is not None]
    return max(bounds) if bounds and len(bounds) == len(failures) else None
