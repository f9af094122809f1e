"""Random small auctions for hypothesis: instead of a model, a few agents over a handful of tokens or texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import ArrayLike

from tokenauction_cli.mechanism.alternatives.candidates import Candidates
from tokenauction_cli.mechanism.distributions import Profile
from tokenauction_cli.mechanism.outcome import Outcome
from tokenauction_cli.mechanism.registry import find
from tokenauction_cli.mechanism.terms import Bidding, Terms, bidding_of

ALL_RULES = (
    "linear",
    "power_mean_1",
    "log_linear",
    "winner_take_all",
    "random_dictator",
    "power_mean",
    "power_mean_2",
    "power_mean_-1",
)
BLOG = [[0.8, 0.2], [1.0, 0.0], [0.0, 1.0]]


@st.composite
def profiles(draw: st.DrawFn, n: int | None = None, zeros: bool = True) -> Profile:
    """A profile of 1 to 4 agents over 2 to 6 tokens; with `zeros` supports may differ, all share the first token."""
    n = n or draw(st.integers(1, 4))
    n_tokens = draw(st.integers(2, 6))
    mass = st.floats(0.01, 1.0)
    entry = st.one_of(st.just(0.0), mass) if zeros else mass
    rows = [[draw(mass)] + [draw(entry) for _ in range(n_tokens - 1)] for _ in range(n)]
    p = np.array(rows)
    return Profile.of(p / p.sum(axis=1, keepdims=True))


@st.composite
def auctions(
    draw: st.DrawFn, rules: Sequence[str] = ALL_RULES, n: int | None = None, zeros: bool = True, least_bid: float = 0.0
) -> Outcome:
    """An outcome of one of the rules with bids from `least_bid` (0 included) to 10, not all 0."""
    profile = draw(profiles(n=n, zeros=zeros))
    bid = st.floats(0.01, 10.0) if least_bid else st.one_of(st.just(0.0), st.floats(0.01, 10.0))
    bids = draw(st.lists(bid, min_size=profile.n_agents, max_size=profile.n_agents).filter(any))
    return outcome(draw(st.sampled_from(rules)), profile, bids)


def outcome(rule: str, profile: Any, bids: ArrayLike, **terms: Any) -> Outcome:
    """An outcome of a rule given by name; agents are called a, b, c ..."""
    profile = profile if isinstance(profile, Profile) else Profile.of(profile)
    ids = tuple("abcdefghijklmnopqrstuvwxyz"[: profile.n_agents])
    terms.setdefault("configured", (1.0,) * profile.n_agents)
    return Outcome(find("aggregation", rule), profile, bids, Terms(ids, **terms))


@st.composite
def candidate_sets(draw: st.DrawFn, n: int | None = None, most: int = 6) -> Candidates:
    """1 to `most` texts for 1 to 4 agents; every model can say the first, each may be unable to say another."""
    n, m = n or draw(st.integers(1, 4)), draw(st.integers(1, most))
    finite = st.floats(-4, 0)

    def row() -> list[float]:
        return [draw(finite), *(draw(st.one_of(finite, finite, st.just(-np.inf))) for _ in range(m - 1))]

    return Candidates(
        np.array([row() for _ in range(n)]),
        np.array([draw(finite) for _ in range(m)]),
        np.array(row()),
        np.array([[draw(st.integers(0, 2)) for _ in range(m)] for _ in range(n)]),
    )


@st.composite
def bid_vectors(draw: st.DrawFn, n: int) -> tuple[float, ...]:
    """Bids from 0 to 3, not all 0."""
    bid = st.one_of(st.just(0.0), st.floats(0.01, 3.0))
    return tuple(draw(st.lists(bid, min_size=n, max_size=n).filter(any)))


def bidding(bids: Sequence[float], **terms: Any) -> Bidding:
    """The bidding of agents a, b, c ...; bids below a reserve must be 0 already."""
    return bidding_of(Terms(tuple("abcdefghijklmnopqrstuvwxyz"[: len(bids)]), **terms), tuple(map(float, bids)))
