"""The law of enumerated texts under mechanisms beside the token auction, exactly.

    candidates, every text once    P(y) = the chance of y given the bids
    one writer of a whole text     P(y) = sum_i x_i pi_i(y), x_i the chance that agent i writes

with the pi_i that agents report. Of the utilities of draws reverse_kl has a meaning here, by the chain rule that of the
whole text: -KL(P || pi_i), with the agent's own pi_i. TV does not add up over draws, and has none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..alternatives.candidates import Candidates
from ..alternatives.mechanisms import CandidateMechanism, Expected, Mechanism, WriterMechanism
from ..distributions import Array
from ..payments.rules import PaymentRule
from ..terms import Terms, bidding_of
from .tree import Tree, Worth, total


def is_exact(mechanism: Mechanism, *, every_text: bool) -> bool:
    """Whether its law is known here; `every_text` where its candidates are all texts."""
    if isinstance(mechanism, CandidateMechanism):
        return every_text
    return isinstance(mechanism, WriterMechanism) and mechanism.unit == "text"


@dataclass(frozen=True, eq=False)
class TextLaw:
    """P of every finished text, (n_texts,), in the order of the tree's leaves, and the mean payments, (n,).

    `log_p`, (n, n_texts), is each agent's own log pi_i.
    """

    tree: Tree
    p: Array
    paid: Array
    log_p: Array

    def payments(self, payment: PaymentRule | None = None) -> Array:
        return self.paid

    def mean(self, worth: Worth) -> float:
        if not worth.value:
            return 0.0
        reached = self.p > 0
        p = self.p[reached]
        if worth.loss is None:
            measured = worth.of_texts[self.tree.leaves[reached]]
        else:
            measured = self.log_p[worth.agent, reached] - np.log(p)
        return total((p * measured * worth.value).tolist())


@dataclass(frozen=True, eq=False)
class OtherMechanism:
    """A mechanism over the texts of a tree. `candidates` has what is known of its leaves, as agents report, `log_p`,
    (n, n_texts), what the agents' own models say."""

    tree: Tree
    mechanism: Mechanism
    terms: Terms
    candidates: Candidates
    log_p: Array

    @property
    def name(self) -> str:
        return self.mechanism.name

    def error_of(self, payment: PaymentRule | None) -> float:
        return 0.0

    def at(self, bids: Sequence[float]) -> TextLaw:
        """The law at these bids, (n,). Raises MechanismError where nothing can be chosen."""
        if not self.terms.is_open(bids):
            return TextLaw(self.tree, np.zeros(self.tree.n_texts), np.zeros(len(bids)), self.log_p)
        expected = self._expected(tuple(bids))
        if isinstance(self.mechanism, CandidateMechanism):
            return TextLaw(self.tree, expected.chances, expected.payments, self.log_p)
        written = expected.chances > 0
        p = expected.chances[written] @ self._laws[written]
        return TextLaw(self.tree, p, expected.payments, self.log_p)

    def _expected(self, bids: tuple[float, ...]) -> Expected:
        bidding = bidding_of(self.terms, bids)
        if isinstance(self.mechanism, CandidateMechanism):
            return self.mechanism.expected(self.candidates, bidding)
        assert isinstance(self.mechanism, WriterMechanism)
        return self.mechanism.expected(bidding)

    @cached_property
    def _laws(self) -> Array:
        """pi_i of every text, (n, n_texts)."""
        return np.exp(self.candidates.log_p)
