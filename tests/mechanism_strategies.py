"""Random small auctions for hypothesis: instead of a model, a few agents over a handful of tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import ArrayLike

from tokenauction_cli.mechanism.distributions import Profile
from tokenauction_cli.mechanism.outcome import Outcome
from tokenauction_cli.mechanism.registry import find
from tokenauction_cli.mechanism.terms import Terms

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
