"""What a policy is: it is asked for a bid in every round, and told afterwards what the bid brought.

A policy plays many rows at once. A *row* is one bidder in one replication of one market; rows do not know of each
other. All arrays have a number per row, (rows,), or one per row and bid of its grid, (rows, K).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple, Protocol

import numpy as np

from ...system.arrays import Array, Indices


@dataclass(frozen=True)
class Rows:
    """What is known before the first round.

    `grid` (rows, K) are the bids that can be made, ascending. Over all that can happen, utilities lie in [`least`,
    `least` + `spread`], and values are at most `highest_value`. `budget` is for all rounds, infinite without one.

    >>> rows = Rows(np.array([[0.0, 1.0, 3.0]] * 2), np.ones(2), np.zeros(2), np.ones(2), np.full(2, np.inf), 10)
    >>> rows.places(np.array([2.0, 5.0]), np.array([0.25, 0.75])).tolist(), rows.outside.tolist()
    ([2, 2], [0, 1])
    """

    grid: Array
    highest_value: Array
    least: Array
    spread: Array
    budget: Array
    rounds: int
    outside: Indices = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "outside", np.zeros(len(self.grid), dtype=np.intp))

    @property
    def n_bids(self) -> int:
        return int(self.grid.shape[1])

    @cached_property
    def _every(self) -> Indices:
        return np.arange(len(self.grid))

    def places(self, bids: Array, uniform: Array) -> Indices:
        """The place in the grid of each of these bids, (rows,).

        A bid m between two bids g < m < g' of the grid is g' with probability (m - g) / (g' - g), so that the mean is
        right. One outside of the grid is the end of the grid, and is counted in `outside`.
        """
        self.outside[:] += (bids < self.grid[:, 0]) | (bids > self.grid[:, -1])
        low = np.minimum((self.grid[:, 1:] <= bids[:, None]).sum(axis=1), self.n_bids - 2)
        below, above = self.grid[self._every, low], self.grid[self._every, low + 1]
        return np.asarray(low + (uniform * (above - below) < bids - below))


class Turn(NamedTuple):
    """One round: its number, from 1, what a unit of worth is to each row for this query, and two random numbers."""

    number: int
    values: Array
    uniform: Array
    uniform_of_place: Array


class Seen(Protocol):
    """What a round brought, worked out when it is asked for.

    The other bidders' bids, the query and the seed are those of the round.
    """

    @property
    def paid(self) -> Array:
        """(rows,)"""

    @property
    def utility(self) -> Array:
        """(rows,)"""

    @property
    def utilities(self) -> Array:
        """What every bid of the grid would have brought, (rows, K)."""


class Policy(ABC):
    """`choose` alone makes a policy.

    >>> class Lowest(Policy):
    ...     name = "lowest"
    ...
    ...     def choose(self, asked):
    ...         return np.zeros(len(asked.values), dtype=int)
    >>> Lowest().choose(Turn(1, np.ones(2), np.zeros(2), np.zeros(2))).tolist()
    [0, 0]
    """

    name: str
    label: str = ""
    about: str = ""
    """One line on what it bids."""
    setting: str = ""
    """What its number is, as in "a bid"; '' where it takes none. It is what the class is made with."""
    needs_budget: bool = False

    def begin(self, rows: Rows) -> None:
        """Forget everything: a market begins."""
        self.rows = rows

    @abstractmethod
    def choose(self, asked: Turn) -> Indices:
        """The place in its grid of every row's bid, (rows,); `self.rows.places` makes them of bids in money."""

    def learn(self, seen: Seen) -> None:  # noqa: B027 - who learns nothing need not say so
        """Hear what the round brought. By default nothing is learned."""
