"""What a mechanism is: who writes, what is known of finished texts, and how bids choose and are charged.

Each works in two stages. The first, free of bids, writes texts and scores them. The second is here: pure functions of
the scores, the bids and random numbers that all bids share, so that a text serves every bid, weight and payment.

    writers     chosen among                          expected(...), settle(...)
    generator   M candidates of one generator         of (candidates, bidding), (candidates, bidding, draw_key)
    agents      the agents: who writes next           of (bidding,), (bidding, draw_key)
    tokens      tokens: the token auction             its rules are in `aggregation`, `sampling`, `payments`

Whoever bids 0, and a reference agent, pays exactly 0.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar, Literal, NamedTuple

import numpy as np

from ..distributions import Array, MechanismError
from ..sampling.randomness import DrawKey
from ..terms import Bidding, bidding_of
from .candidates import Candidates

Writers = Literal["tokens", "generator", "agents"]
Need = Literal["log_reference", "mentions"]
Unit = Literal["token", "sentence", "text"]


class Expected(NamedTuple):
    """Means over the random numbers: the chance of each candidate or agent, and what every agent pays, (n,).

    >>> Expected(np.array([0.25, 0.75]), np.array([0.0, 1.0])).chances.tolist()
    [0.25, 0.75]
    """

    chances: Array
    payments: Array


class Settled(NamedTuple):
    """`choice` is the index of a candidate, or of the agent that writes.

    `payments` has an array (n,) for each name in `Mechanism.payments`. `columns` is whatever else is worth a record:
    `welfare`, the sum of bids times what the choice is worth by the mechanism's own measure, and of candidates `ess`.

    >>> Settled(1, {"lottery": np.array([0.0, 0.5])}, {"welfare": 2.0}).choice
    1
    """

    choice: int
    payments: Mapping[str, Array]
    columns: Mapping[str, float] = {}


class Mechanism(ABC):
    """The traits of a mechanism. The defaults promise nothing.

    >>> TokenMechanism().takes_reserve, TokenMechanism().writers
    (True, 'tokens')
    """

    name: str
    label: str = ""
    """The name as people say it, where that is not the name with spaces."""
    needs: frozenset[Need] = frozenset()
    """The fields of `Candidates` without which it cannot settle."""
    truthful_for: frozenset[str] = frozenset()
    """What a bid of one's value is best for, whatever others bid: a value times `log_ratio`, `mention` or `reverse_kl`
    of the text, or a fixed value of each text or segment one writes (`writing`).
    """
    takes_reserve: bool = False
    """Whether a reserve has a meaning: bids below it count as 0, and whoever pays at all pays at least that."""

    @property
    @abstractmethod
    def writers(self) -> Writers:
        """Who writes: it says which of the subclasses this is."""

    @property
    def payments(self) -> tuple[str, ...]:
        """The names after `payment.`; the first is the amount that is charged."""
        return (self.name,)

    @property
    def mean_column(self) -> str:
        """The name among `payments` of the mean, over random numbers, of what is charged."""
        charged, *others = self.payments
        return f"{charged}_expected" if f"{charged}_expected" in others else charged

    @property
    def realised_column(self) -> str:
        """The name among `payments` of what is charged by these random numbers."""
        charged, *others = self.payments
        return f"{charged}_realised" if f"{charged}_realised" in others else charged

    def refuses(self, reserve: float = 0.0, has_budget: bool = False) -> str:
        """Why these terms have no meaning here, '' where they have one."""
        if reserve and not self.takes_reserve:
            return f"a reserve has no meaning in {self.name}: it chooses for all bidders together, and sells to none"
        if has_budget:
            return f"a budget has no meaning in {self.name}: it is spent token by token, and no token is charged"
        return ""


class TokenMechanism(Mechanism):
    """Every token is drawn from the aggregate, and charged.

    Its payments are the payment rules that an experiment lists.

    >>> TokenMechanism().refuses(reserve=1.0)
    ''
    """

    name = "token_auction"
    writers: ClassVar[Writers] = "tokens"
    payments: ClassVar[tuple[str, ...]] = ()
    takes_reserve = True

    def refuses(self, reserve: float = 0.0, has_budget: bool = False) -> str:
        return ""


class CandidateMechanism(Mechanism):
    """Bids choose one of M candidates, which do not depend on them.

    >>> from tokenauction_cli.mechanism.testing import salon
    >>> class First(CandidateMechanism):
    ...     name = "first"
    ...
    ...     def expected(self, candidates, bidding):
    ...         return Expected(np.eye(candidates.n_texts)[0], np.zeros(len(bidding.bids)))
    ...
    ...     def settle(self, candidates, bidding, draw_key):
    ...         return Settled(0, {self.name: self.expected(candidates, bidding).payments})
    >>> First().expected(Candidates.each_once(np.log([[0.5, 0.5], [0.2, 0.8]])), salon().bidding).chances.tolist()
    [1.0, 0.0]
    """

    writers: ClassVar[Writers] = "generator"

    @abstractmethod
    def expected(self, candidates: Candidates, bidding: Bidding) -> Expected:
        """The chance of each candidate, (M,), and the mean payments. Raises MechanismError where there is no chance."""

    @abstractmethod
    def settle(self, candidates: Candidates, bidding: Bidding, draw_key: DrawKey) -> Settled:
        """The candidate by the numbers of one (query, seed), which are the same for all bids and settings."""


class WriterMechanism(Mechanism):
    """Bids choose the agent that writes the next segment, up to the end of its `unit`; by default all of the text.

    A text of several segments is settled once for each, with the segment's number as the position of the draw key and
    the bids that `next_bids` leaves. Where these are all 0 nobody is left, and the text ends.

    >>> from tokenauction_cli.mechanism.alternatives.whole_text import Highest
    >>> from tokenauction_cli.mechanism.testing import salon
    >>> Highest().expected_segments(salon(bids=(1, 2)).bidding).payments.tolist()
    [[0.0, 1.0]]
    """

    writers: ClassVar[Writers] = "agents"
    unit: Unit = "text"
    segments: int = 1

    def is_open(self, bidding: Bidding) -> bool:
        """Whether somebody can win a segment; somebody's bid counts."""
        return True

    @abstractmethod
    def expected(self, bidding: Bidding) -> Expected:
        """The chance of each agent, (n,), and the mean payments, of one segment."""

    @abstractmethod
    def settle(self, bidding: Bidding, draw_key: DrawKey) -> Settled:
        """The agent that writes one segment, and what is paid for it."""

    def next_bids(self, bids: Array, winner: int) -> Array:
        """The bids (n,) of the segment after one that `winner` wrote."""
        return bids

    def expected_segments(self, bidding: Bidding) -> Expected:
        """`expected` of every segment of a text, exact over all sequences of winners: (segments, n) each.

        Where nobody is left the chances of a segment sum to less than 1.
        """
        chances, payments = np.zeros((2, self.segments, len(bidding.bids)))
        reached = {tuple(bidding.bids.tolist()): 1.0}
        for segment in range(self.segments):
            following: dict[tuple[float, ...], float] = {}
            for bids, chance in reached.items():
                mean = self.expected(bidding_of(bidding.terms, bids))
                chances[segment] += chance * mean.chances
                payments[segment] += chance * mean.payments
                for winner in np.flatnonzero(mean.chances).tolist():
                    left = tuple(self.next_bids(np.array(bids), winner).tolist())
                    if bidding.terms.is_open(left) and self.is_open(bidding_of(bidding.terms, left)):
                        following[left] = following.get(left, 0.0) + chance * float(mean.chances[winner])
            reached = following
        return Expected(chances, payments)


def check_settled(settled: Settled, mechanism: Mechanism, n_choices: int, n_agents: int) -> None:
    """Raises MechanismError for a choice that is not there, and for payments that are missing or not finite.

    >>> check_settled(Settled(0, {}), TokenMechanism(), n_choices=2, n_agents=2)
    >>> check_settled(Settled(2, {}), TokenMechanism(), n_choices=2, n_agents=2)
    Traceback (most recent call last):
        ...
    tokenauction_cli.system.errors.MechanismError: token_auction chose 2; choices are numbered from 0 to 1
    """
    if not 0 <= settled.choice < n_choices:
        raise MechanismError(f"{mechanism.name} chose {settled.choice}; choices are numbered from 0 to {n_choices - 1}")
    for name in mechanism.payments:
        amounts = np.asarray(settled.payments.get(name, ()))
        if amounts.shape != (n_agents,) or not np.isfinite(amounts).all():
            message = f"{mechanism.name} settled without a payment {name!r} of {n_agents} finite numbers, one per agent"
            raise MechanismError(message)


def due(bidding: Bidding, amounts: Array) -> Array:
    """The amounts, (n,), with 0 for whoever bids nothing or is a reference agent.

    >>> from tokenauction_cli.mechanism.testing import salon
    >>> due(salon(bids=(0, 2)).bidding, np.array([1.0, 1.0])).tolist()
    [0.0, 1.0]
    """
    return np.where(bidding.due, amounts, 0.0)


def paid_by(bidding: Bidding, i: int, price: float) -> Array:
    """What everybody pays where agent i alone does, (n,): at least the reserve.

    `price` is in money per text or segment.

    >>> from tokenauction_cli.mechanism.testing import salon
    >>> paid_by(salon(bids=(1, 2), reserve=0.5).bidding, 1, 0.25).tolist()
    [0.0, 0.5]
    """
    return due(bidding, np.eye(len(bidding.bids))[i] * max(price, bidding.terms.reserve))
