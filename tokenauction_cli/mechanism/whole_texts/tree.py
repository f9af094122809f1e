"""All texts as a tree, and exact expectations over it.

A node is a prefix; the root is the empty one, a leaf a finished text. With q of a node's profile,
    P(child by token x) = P(node) q_x
    E[sum over draws of f] = sum over unfinished prefixes of P(prefix) f(prefix)
so nothing is sampled. What depends on the profile alone is worked out once for all prefixes that share it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise
from typing import NamedTuple, Protocol

import numpy as np

from ...system.arrays import Indices
from ..aggregation.rules import AggregationRule
from ..distributions import Array, Distribution, MechanismError, Profile
from ..divergences import kl_to_agents
from ..outcome import Outcome
from ..payments.rules import PaymentRule, mean_payments
from ..terms import Terms

LEAF = -1
MOST_LAWS = 1024  # of one rule: those that the agents' grids share

Loss = Callable[[Profile, Distribution], Array]
"""What a draw costs every agent, (n,), given the true profile and q."""


def tv_losses(truth: Profile, q: Distribution) -> Array:
    """TV(p_i, q) of every agent, (n,)."""
    return np.asarray(0.5 * np.abs(truth.p - q.p).sum(axis=1))


LOSSES: dict[str, Loss] = {"tv": tv_losses, "reverse_kl": kl_to_agents}
"""The kinds of utility that are measured at every draw; u is the negative sum."""


class Level(NamedTuple):
    """The nodes of one length, their parents, the places of these, the tokens between; and the unfinished nodes."""

    nodes: slice
    parents: Indices
    places: Indices
    tokens: Indices
    unfinished: Indices


@dataclass(frozen=True, eq=False)
class Tree:
    """Prefixes level by level, so parents stand before their children; m nodes in all.

    `parents` and `tokens`, (m,), say which token leads from which node to each (-1 at the root). `places`, (m,), index
    what holds there: `profiles` as reported and `truths` as they are; `LEAF` at a finished text. `texts` are the m
    prefixes for people to read. `levels` are where each length begins, and m.
    """

    parents: Indices
    tokens: Indices
    places: Indices
    texts: tuple[str, ...]
    levels: tuple[int, ...]
    profiles: tuple[Profile, ...]
    truths: tuple[Profile, ...]

    @property
    def n_nodes(self) -> int:
        return len(self.parents)

    @cached_property
    def leaves(self) -> Indices:
        return np.flatnonzero(self.places == LEAF)

    @property
    def n_texts(self) -> int:
        return len(self.leaves)

    @cached_property
    def longer(self) -> list[Level]:
        """Every level but the root's."""
        return [self._level(begin, end) for begin, end in pairwise(self.levels[1:])]

    def _level(self, begin: int, end: int) -> Level:
        nodes, parents = slice(begin, end), self.parents[begin:end]
        unfinished = begin + np.flatnonzero(self.places[nodes] != LEAF)
        return Level(nodes, parents, self.places[parents], self.tokens[nodes], unfinished)

    @cached_property
    def children(self) -> list[list[int]]:
        """The children of every node."""
        children: list[list[int]] = [[] for _ in range(self.n_nodes)]
        for node, parent in enumerate(self.parents.tolist()):
            if parent >= 0:
                children[parent].append(node)
        return children


@dataclass(frozen=True, eq=False)
class Worth:
    """What the texts of a tree are worth to one agent: `value` times what is measured.

    `of_texts`, (m,), is measured of finished texts, 0 where nothing is; `loss`, of every draw.
    """

    agent: int
    value: float
    of_texts: Array
    loss: Loss | None = None

    def of_draw(self, truth: Profile, q: Distribution) -> float:
        """The worth of one draw from q; -inf where the loss is infinite."""
        return 0.0 if self.loss is None or not self.value else -self.value * float(self.loss(truth, q)[self.agent])

    def of_text(self, node: int) -> float:
        """The worth of a finished text, beside that of its draws."""
        return self.value * float(self.of_texts[node]) if self.value else 0.0


class Law(Protocol):
    """The law of texts at some bids."""

    def mean(self, worth: Worth) -> float:
        """The expected worth, before payments: -inf where a text or a draw of positive probability is worth -inf."""
        ...

    def payments(self, payment: PaymentRule | None) -> Array:
        """The expected sum of each agent's expected payments, (n,); None for the one that a mechanism has."""
        ...


class Auctions(Protocol):
    """What bids make a law of texts of: the token auction under one rule, or another mechanism."""

    @property
    def name(self) -> str: ...
    @property
    def tree(self) -> Tree: ...
    @property
    def terms(self) -> Terms: ...

    def error_of(self, payment: PaymentRule | None) -> float:
        """The largest error of an expected payment, as a part of the bid."""
        ...

    def at(self, bids: Sequence[float]) -> Law:
        """The law of the texts at these bids, (n,). Where none counts there is no text; worth and payments are 0."""
        ...


class TokenLaw:
    """The law of the texts of a tree at some bids: P of every node, `p` (m,), and the outcome where a prefix is met.

    Where no bid counts nothing is drawn: no text is reached, and all means are 0.
    Raises MechanismError where q is undefined at a prefix of positive probability, naming it.
    """

    def __init__(self, tree: Tree, rule: AggregationRule, terms: Terms, bids: tuple[float, ...]) -> None:
        self.tree = tree
        self.outcomes: dict[int, Outcome] = {}
        self.p = np.zeros(tree.n_nodes)
        self.p[0] = 1.0
        self._q = np.zeros((len(tree.profiles), tree.profiles[0].n_tokens))
        self._payments: dict[str, Array] = {}
        if not terms.is_open(bids):
            return
        self._meet(np.zeros(1, np.intp), rule, terms, bids)
        for level in tree.longer:
            self.p[level.nodes] = self.p[level.parents] * self._q[level.places, level.tokens]
            self._meet(level.unfinished, rule, terms, bids)

    def _meet(self, nodes: Indices, rule: AggregationRule, terms: Terms, bids: tuple[float, ...]) -> None:
        """Work out what those of these unfinished prefixes bring that a text may meet."""
        met = nodes[self.p[nodes] > 0].tolist()
        for place, node in dict(zip(self.tree.places[met].tolist(), met, strict=True)).items():
            if place not in self.outcomes:
                outcome = self.outcomes[place] = Outcome(rule, self.tree.profiles[place], bids, terms)
                try:
                    self._q[place] = outcome.q.p
                except MechanismError as error:
                    raise MechanismError(f"after {self.tree.texts[node]!r}: {error}") from error

    @cached_property
    def visits(self) -> Array:
        """The expected number of draws from each profile, (number of profiles,)."""
        met = self.tree.places != LEAF
        visits = np.bincount(self.tree.places[met], self.p[met], minlength=len(self.tree.profiles))
        return np.asarray(visits, dtype=np.float64)

    def payments(self, payment: PaymentRule | None) -> Array:
        assert payment is not None
        if payment.name not in self._payments:
            paid = np.zeros(self.tree.profiles[0].n_agents)
            for place, outcome in self.outcomes.items():
                paid = paid + self.visits[place] * mean_payments(payment, outcome)
            self._payments[payment.name] = paid
        return self._payments[payment.name]

    def mean(self, worth: Worth) -> float:
        of_draws = [
            self.visits[place] * worth.of_draw(self.tree.truths[place], outcome.q)
            for place, outcome in self.outcomes.items()
            if worth.loss is not None
        ]
        reached = self.tree.leaves[self.p[self.tree.leaves] > 0]
        of_texts = self.p[reached] * worth.of_texts[reached] * worth.value if worth.value else np.zeros(0)
        return total([*of_draws, *of_texts.tolist()])


class TokenAuctions:
    """The auctions of all texts of a tree under one rule: their law at any bids, each worked out once."""

    def __init__(self, tree: Tree, rule: AggregationRule, terms: Terms) -> None:
        self.tree = tree
        self.rule = rule
        self.terms = terms
        self._law = lru_cache(maxsize=MOST_LAWS)(lambda bids: TokenLaw(tree, rule, terms, bids))

    @property
    def name(self) -> str:
        return self.rule.name

    def error_of(self, payment: PaymentRule | None) -> float:
        assert payment is not None
        return payment.relative_error(self.rule, self.tree.profiles[0].n_tokens)

    def at(self, bids: Sequence[float]) -> TokenLaw:
        return self._law(tuple(self.terms.effective(bids).tolist()))

    def outcome(self, place: int, bids: Sequence[float]) -> Outcome:
        """The outcome of one profile at these bids, (n,)."""
        return Outcome(self.rule, self.tree.profiles[place], tuple(bids), self.terms)


def total(amounts: Sequence[float]) -> float:
    """The sum; -inf where one is -inf, whatever the others are."""
    return -math.inf if -math.inf in amounts else math.fsum(amounts)


def replaced(bids: Sequence[float], agent: int, bid: float) -> tuple[float, ...]:
    """The bids with one agent's own set."""
    return (*bids[:agent], bid, *bids[agent + 1 :])
