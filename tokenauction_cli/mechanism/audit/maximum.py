"""The best point of a payoff: one search for the best bids of every audit, per token and for whole texts.

A payoff is what a point brings less what it costs. It is looked at on a grid and on both sides of every jump, then
searched between the neighbours of every local maximum. A search may miss a narrow hump, so the value that it finds is
a lower bound of the supremum. There is an upper bound where neither part falls (d): between b1 < b2 the payoff is at
most brings(b2) - costs(b1). The interval with the largest bound is divided while patience lasts.

Where the payoff jumps, as where one bid passes another, the supremum may be approached and never attained. Next to a
jump stands for the limit there.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

NEXT_TO = 1e-9  # of the jump, or of the scale where that is 0
NEARBY = 1e-6
SEARCH_STEPS = 40
MOST_HUMPS = 6
PATIENCE = 64
SAME = 1e-12  # of the scale
FLOOR = -1e100  # in the place of -inf: a search by parabolas takes no infinite numbers


class Payoff(NamedTuple):
    """What a point brings and what it costs; `brings` is -inf where the point cannot be chosen."""

    brings: float
    costs: float = 0.0

    @property
    def value(self) -> float:
        return self.brings - self.costs if self.brings > -math.inf else -math.inf


class Maximum(NamedTuple):
    """The best point found and its value, at most so much below the supremum as `at_most` says: inf if unknown.

    `approached` is the jump next to which the payoff tends to its supremum without reaching it, inf where it does so
    without end; None where the point is a maximum.
    """

    at: float
    value: float
    at_most: float = math.inf
    approached: float | None = None


def maximum(
    payoff: Callable[[float], Payoff],
    grid: Sequence[float],
    jumps: Iterable[float] = (),
    *,
    scale: float = 1.0,
    most: float | None = None,
    patience: int = PATIENCE,
) -> Maximum:
    """The best point of the grid or near it. Needs scipy.

    `scale` is a typical point, from which 0 and rounding are told. `most` is given where neither part of the payoff
    ever falls: the most that any point brings.
    """
    search = _Search(payoff, grid, tuple(jumps), scale)
    search.climb()
    at_most = math.inf if most is None else search.bound(most, patience)
    return Maximum(search.best, search.value(search.best), at_most, search.approached)


class _Search:
    def __init__(
        self, payoff: Callable[[float], Payoff], grid: Sequence[float], jumps: tuple[float, ...], scale: float
    ) -> None:
        self._payoff = payoff
        self._known: dict[float, Payoff] = {}
        self._top = (-math.inf, -math.inf)
        self._same = SAME * scale
        self._reach = {jump: NEXT_TO * (jump or scale) for jump in jumps}
        beside = {jump + side * reach for jump, reach in self._reach.items() for side in (-1, 0, 1)}
        self._points = sorted({*grid, *(point for point in beside if point >= 0)})

    def at(self, point: float) -> Payoff:
        if point not in self._known:
            found = self._known[point] = self._payoff(point)
            self._top = max(self._top, (found.value, -point))
        return self._known[point]

    def value(self, point: float) -> float:
        return self.at(point).value

    @property
    def best(self) -> float:
        """The smallest of the best, and a jump rather than what is next to it."""
        best = -self._top[1]
        jump = self._next_to(best)
        is_attained = jump is not None and jump in self._known and self.value(jump) >= self.value(best) - self._same
        return jump if jump is not None and is_attained else best

    @property
    def approached(self) -> float | None:
        """Next to which point the best is better the nearer, if that is so."""
        best = self.best
        if best == max(self._known) and self.value(best) > self.value(best / 4) + self._same:
            return math.inf
        jump = self._next_to(best)
        if jump is None:
            return None
        away = jump + (NEARBY / NEXT_TO) * math.copysign(self._reach[jump], best - jump)
        return jump if self.value(best) > self.value(away) + self._same else None

    def climb(self) -> None:
        """Search between the neighbours of the highest local maxima."""
        values = [-math.inf, *map(self.value, self._points), -math.inf]
        humps = []
        for k, value in enumerate(values[1:-1]):
            before, after = values[k], values[k + 2]
            if value >= max(before, after) and value > min(before, after) + self._same:
                humps.append((value, k))
        for _, k in sorted(humps, reverse=True)[:MOST_HUMPS]:
            self._climb_between(self._points[max(k - 1, 0)], self._points[min(k + 1, len(self._points) - 1)])

    def _climb_between(self, low: float, high: float) -> None:
        from scipy.optimize import minimize_scalar

        if high - low <= 4 * NEXT_TO * high:
            return
        minimize_scalar(
            lambda point: -min(max(self.value(float(point)), FLOOR), -FLOOR),
            bounds=(low, high),
            method="bounded",
            options={"xatol": 1e-7 * high, "maxiter": SEARCH_STEPS},
        )

    def bound(self, most: float, patience: int) -> float:
        """An upper bound of the payoff, by dividing intervals; a better point that turns up is climbed to."""
        before = self.value(self.best)
        points = sorted(self._known)
        heap = [one for low, high in pairwise([*points, math.inf]) if (one := self._interval(low, high, most))]
        heapq.heapify(heap)
        while heap and -heap[0][0] > self.value(self.best) + self._same and patience:
            _, low, high = heapq.heappop(heap)
            patience -= 1
            middle = _between(low, high)
            self.at(middle)
            for one in (self._interval(low, middle, most), self._interval(middle, high, most)):
                if one:
                    heapq.heappush(heap, one)
        if self.value(self.best) > before:
            near = sorted(self._known)
            k = near.index(self.best)
            self._climb_between(near[max(k - 1, 0)], near[min(k + 1, len(near) - 1)])
        return max([self.value(self.best), *(-bound for bound, *_ in heap[:1])])

    def _interval(self, low: float, high: float, most: float) -> tuple[float, float, float] | None:
        """(-bound, low, high); None between a jump and what is next to it, where ends say all."""
        if (low in self._reach and self._next_to(high) == low) or (high in self._reach and self._next_to(low) == high):
            return None
        brings = most if math.isinf(high) else self.at(high).brings
        return -(brings - self.at(low).costs), low, high

    def _next_to(self, point: float) -> float | None:
        """The jump beside which a point stands, nearer than anything else that is told apart."""
        for jump, reach in self._reach.items():
            if 0 < abs(point - jump) <= 1.001 * reach:
                return jump
        return None


def _between(low: float, high: float) -> float:
    if math.isinf(high):
        return 16 * low
    return math.sqrt(low * high) if low > 0 and high > 4 * low else (low + high) / 2
