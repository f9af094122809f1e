"""Dictatorships: one agent is drawn for each token, and the token from its distribution alone.

    rule             the dictator                                         q, in expectation over the dictator
    winner_take_all  the highest bidder; equal ones are equally likely    the mean p_i of the highest bidders
    random_dictator  agent i with probability w_i = b_i / B               sum_i w_i p_i, as linear

The dictator is drawn with the seed's number for `Purpose.LOTTERY`, so cells of one seed share it.
"""

from __future__ import annotations

from abc import abstractmethod

import numpy as np
from numpy.typing import ArrayLike

from ..distributions import Array, Distribution, Mixture, Profile, checked_bids, weights_of
from .rules import ORDERS, AggregationRule, lone_bidder


class Dictatorship(AggregationRule):
    """A rule given by the probability of each agent being the dictator.

    Where an agent leaves, the odds of the others keep their ratios: stable sampling rests on it.

    >>> WinnerTakeAll().is_dictatorship
    True
    """

    monotone_in = frozenset(ORDERS)

    @abstractmethod
    def odds(self, bids: ArrayLike) -> Array:
        """The probability of each agent being the dictator, (n,). Raises MechanismError for bids without a weight."""

    def __call__(self, profile: Profile, bids: ArrayLike) -> Distribution:
        odds = self.odds(bids)
        alone = lone_bidder(odds)
        return profile.agent(alone) if alone is not None else Mixture(profile, odds)


class WinnerTakeAll(Dictatorship):
    """The highest bidder alone: q = p_i.

    Robustly monotone: q jumps from o to p_i, through their mean at an equal bid.

    Equal highest bids share q in equal parts. Raises MechanismError where all bids are 0.

    >>> WinnerTakeAll()(Profile.of([[0.6, 0.4], [0.2, 0.8]]), (1, 2)).p.tolist()
    [0.2, 0.8]
    >>> WinnerTakeAll().odds((2, 2)).tolist()
    [0.5, 0.5]
    """

    name = "winner_take_all"
    highest_bid_wins = True

    def odds(self, bids: ArrayLike) -> Array:
        weights_of(bids)
        b = checked_bids(bids)
        return weights_of(np.where(b == b.max(), 1.0, 0.0))


class RandomDictator(Dictatorship):
    """One agent alone for each token, drawn by bid.

    Its q is linear's, hence robustly monotone; its payments are its own.

    Agent i is the dictator with probability b_i / B.

    >>> RandomDictator().odds((1, 3)).tolist()
    [0.25, 0.75]
    """

    name = "random_dictator"
    is_linear_mixture = True

    def odds(self, bids: ArrayLike) -> Array:
        return weights_of(bids)
