"""Is there a sampling that is stable for all agents at once? A linear programme over all seeds says yes or no.

A seed is a map from bid vectors (a grid of bids per agent) to tokens. It is stable if along each agent's bids, the
others' fixed, the token changes at most once, from one whose q does not rise there to one whose q does not fall. A
sampling is a distribution over stable maps with the marginal q(b) at every b: feasible or not. Under linear it exists
for two agents (one switch serves both) and, for instance, not for p = (.5, .5, 0), (0, .5, .5), (.5, 0, .5) with bids
1 and 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray

from ..aggregation.rules import AggregationRule
from ..distributions import Array, Profile
from .preferences import TOLERANCE

MOST_MAPS = 2_000_000


def universally_stable(rule: AggregationRule, profile: Profile, bids: Sequence[float]) -> bool:
    """Whether a universally stable sampling exists where every agent bids one of `bids`, ascending and positive.

    Raises ValueError where that takes more than two million maps.
    """
    from scipy.optimize import linprog

    n, levels = profile.n_agents, len(bids)
    q = np.array([rule(profile, [bids[k] for k in at]).p for at in product(range(levels), repeat=n)])
    maps = stable_maps(q, n, levels)
    if not len(maps):
        return False
    rows = [(maps[:, b] == t) for b in range(len(q)) for t in range(profile.n_tokens)]
    found = linprog(np.zeros(len(maps)), A_eq=np.array(rows, dtype=np.float64), b_eq=q.ravel(), method="highs")
    return bool(found.status == 0)


def stable_maps(q: Array, n: int, levels: int) -> NDArray[np.intp]:
    """All maps from bid vectors to tokens with q > 0 that are stable for each of n agents, (maps, levels^n)."""
    choices = [np.flatnonzero(row > 0) for row in q]
    if np.prod([float(len(choice)) for choice in choices]) > MOST_MAPS:
        raise ValueError(f"more than {MOST_MAPS} maps from bids to tokens: take fewer bids, tokens or agents")
    maps = np.array(list(product(*choices)))
    for line in lines(n, levels):
        maps = maps[_stable_along(maps[:, line], q[line])]
    return maps


def lines(n: int, levels: int) -> list[NDArray[np.intp]]:
    """For each agent and each choice of the others' bids, the bid vectors along the agent's bid."""
    at = np.arange(levels**n).reshape((levels,) * n)
    return [line for i in range(n) for line in np.moveaxis(at, i, -1).reshape(-1, levels)]


def _stable_along(tokens: NDArray[np.intp], q: Array) -> NDArray[np.bool_]:
    """Which maps, (maps, levels), change token at most once, from one that does not rise to one that does not fall."""
    changes = tokens[:, 1:] != tokens[:, :-1]
    stable = changes.sum(axis=1) <= 1
    for k in range(changes.shape[1]):
        step = q[k + 1] - q[k]
        fine = (step[tokens[:, k]] <= TOLERANCE) & (step[tokens[:, k + 1]] >= -TOLERANCE)
        stable &= ~changes[:, k] | fine
    return np.asarray(stable)
