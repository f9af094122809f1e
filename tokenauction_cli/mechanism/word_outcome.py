"""The outcome of one drawn word, where nothing is known of the others.

It has two symbols, the word and any other. What second price takes of a drawn symbol, (v - o) / (p - v) with v = u q
and (p - o)^+ / q, does not change where p, o and q are multiplied by one number. So probabilities are scaled by that of
the bidder to which the word is likeliest: a long word does not underflow.

Everything that sums over all words is NaN.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np

from .aggregation.rules import AggregationRule
from .distributions import Array, Profile
from .outcome import Outcome
from .terms import Bidding


class WordOutcome(Outcome):
    """The outcome of a linear mixture at one drawn word, given log p_i of it, (n,)."""

    def __init__(self, rule: AggregationRule, bidding: Bidding, log_p: Array) -> None:
        scaled = np.exp(np.minimum(log_p - log_p[bidding.bids > 0].max(), 0.0))  # above 0 without a bid only
        profile = Profile(p=np.stack([scaled, 1 - scaled], axis=1))
        super().__init__(rule, profile, tuple(bidding.bids.tolist()), bidding.terms)

    @cached_property
    def distances(self) -> Array:
        return np.full(self.n_agents, np.nan)
