"""Coupled sampling: how `stable` draws for rules without a stable sampling, by the numbers that it uses for linear.

With i the swept agent, p = p_i, o = q with b_i = 0, e = (q - o)^+ of the sum R = TV(q, o), and m = (p - o)^+ of the sum
D = TV(p, o), the token is (d)

    1. t0 ~ o, with probability min(1, q / o):          this makes min(o, q), and leaves R
    2. else t1 ~ m / D, with min(1, (e / R) / (m / D)): this makes R min(m / D, e / R)
    3. else drawn from (e / R - m / D)^+ by a race:     this makes R (e / R - m / D)^+

which add up to min(o, q) + e = q. t0, t1 and the number that decides step 1 are those of stable sampling under linear.
With two agents both rules therefore draw the same token where q = o (relative weight 0) and where q = p (1: there
e = m, so t1 is taken), and mostly between.

Along the weight w log-linear has log(q / o) = w log(p / o) - log Z(w). log Z is convex, so this rises from 0, then
falls: t0 is left at most once. The token drawn instead may change again.
"""

from __future__ import annotations

import numpy as np

from ..cumulative import block_sums, quantile
from ..distributions import Array, Distribution, MechanismError
from ..outcome import Outcome
from .randomness import DrawKey, Purpose
from .rules import Draw, race

NAME = "coupled"


def coupled(outcome: Outcome, draw_key: DrawKey) -> Draw:
    """A token from q, for each seed mostly the one that `stable` draws under linear.

    Source: the derivation above.

    >>> from tokenauction_cli.mechanism.aggregation.rules import LogLinear
    >>> from tokenauction_cli.mechanism.testing import draw_key_of, salon
    >>> coupled(salon(LogLinear()), draw_key_of(seed=0)).token
    0
    """
    try:
        outcome.others(outcome.terms.swept)
    except MechanismError:  # the others agree on no token: q is defined for the swept agent alone
        return Draw(outcome.q.quantile(draw_key.uniform(Purpose.TARGET, outcome.swept_id)), NAME)
    return Draw(_token(outcome, draw_key), NAME)


def _token(outcome: Outcome, draw_key: DrawKey) -> int:
    i, q = outcome.terms.swept, outcome.q
    p, others = outcome.profile.agent(i), outcome.others(i)
    first = outcome.profile.once(
        ("t0", outcome.rule.name, outcome.bidding.share_keys[i], draw_key.key),
        lambda: others_token(outcome, i, draw_key),
    )
    if draw_key.uniform(Purpose.SWITCH, outcome.swept_id) >= 1 - q.at(first) / others.at(first):
        return first
    moved, distance = (
        outcome.once("moved", lambda: float(outcome.profile.excess(q.p, others.p).sum())),
        outcome.distance(i),
    )
    if not moved:  # q is o but for rounding
        return first
    if distance:
        second = rising_token(outcome, i, draw_key)
        proposed = (p.at(second) - others.at(second)) / distance
        if (
            draw_key.uniform(Purpose.SECOND, outcome.swept_id) * proposed
            < max(q.p[second] - others.p[second], 0.0) / moved
        ):
            return second
    left = outcome.once("left", lambda: _left(outcome, i))
    return race(left, outcome.profile.likely, draw_key, Purpose.RACE)


def others_token(outcome: Outcome, i: int, draw_key: DrawKey) -> int:
    """t0 ~ o_i.

    An index of a token; it is the same under every rule with the same o_i.

    >>> from tokenauction_cli.mechanism.testing import draw_key_of, salon
    >>> others_token(salon(), 0, draw_key_of(seed=0))
    0
    """
    return outcome.others(i).quantile(draw_key.uniform(Purpose.DRAW))


def rising_token(outcome: Outcome, i: int, draw_key: DrawKey) -> int:
    """t1 ~ (p_i - o_i)^+ / D_i, with D_i > 0.

    >>> from tokenauction_cli.mechanism.testing import draw_key_of, salon
    >>> rising_token(salon(), 0, draw_key_of(seed=0))
    1
    """
    own, others = outcome.profile.agent(i), outcome.others(i)
    return quantile(
        lambda tokens: np.maximum(own.part(tokens) - others.part(tokens), 0.0),
        outcome.rising(i),
        draw_key.uniform(Purpose.TARGET, outcome.swept_id),
    )


def _left(outcome: Outcome, i: int) -> Distribution:
    """(e / R - m / D)^+, scaled to the sum 1; e / R where nothing but rounding is left."""
    others = outcome.others(i).p
    moved = _scaled(np.maximum(outcome.q.p - others, 0.0))
    proposed = np.maximum(outcome.profile.p[i] - others, 0.0)
    left = np.maximum(moved.p - proposed / (outcome.distance(i) or 1.0), 0.0)
    return _scaled(left) if left.any() else moved


def _scaled(mass: Array) -> Distribution:
    return Distribution(p=mass / (block_sums(mass).sum() or 1.0))
