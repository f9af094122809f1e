"""What an agent with distribution p likes better: four orders on distributions.

    robust      r over r' iff every r_t lies between p_t and r'_t
    tv          r over r' iff TV(r, p) <= TV(r', p)
    kl          r over r' iff KL(p || r) <= KL(p || r')
    reverse_kl  r over r' iff KL(r || p) <= KL(r' || p)

The robust order (Duetting et al.) assumes only that each coordinate is liked better nearer its own, on the same side:
|r_t - p_t| <= |r'_t - p_t| and (r_t - p_t)(r'_t - p_t) >= 0, which says that r_t lies between. Most pairs are
incomparable. The other three are complete, and it implies each of them (d): a token with r'_t <= r_t <= p_t changes
KL(p || .) by -p log(r/r') <= r' - r and KL(. || p) by the integral of log(x/p) + 1 over [r', r] <= r - r'; one with
p_t <= r_t <= r'_t the same way; and the differences r - r' sum to 0.

A difference within the tolerance is none: it is absolute for probabilities and TV, and for a KL relative above 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations

import numpy as np

from ..aggregation.rules import ORDERS
from ..distributions import Array, Distribution, MechanismError
from ..divergences import kl, total_variation

TOLERANCE = 1e-9


def loss(order: str, p: Distribution, r: Distribution) -> float:
    """How far r is from p, in a complete order; may be inf. Raises MechanismError for the robust and unknown orders."""
    match order:
        case "tv":
            return total_variation(r.p, p.p)
        case "kl":
            return kl(p, r)
        case "reverse_kl":
            return kl(r, p)
    raise MechanismError(f"no loss in the order {order!r}: it is one of {', '.join(ORDERS[1:])}")


def outside(p: Array, r: Array, other: Array) -> Array:
    """How far each r_t lies outside the interval between p_t and other_t, (V,); all 0 iff r is robustly over other."""
    return np.maximum(np.maximum(np.minimum(p, other) - r, r - np.maximum(p, other)), 0.0)


def excess(order: str, p: Distribution, r: Distribution, other: Distribution) -> float:
    """By how much r fails to be weakly preferred to other: 0 if it is. Raises MechanismError for an unknown order."""
    if order == "robust":
        return float(outside(p.p, r.p, other.p).max())
    return increase(loss(order, p, r), loss(order, p, other))


def increase(after: float, before: float) -> float:
    """How much a loss rose, relative to losses above 1; infinite losses are equal."""
    if after <= before:
        return 0.0
    return math.inf if math.isinf(after) else (after - before) / max(1.0, before)


def advantages(
    order: str, p: Distribution, options: Sequence[Distribution], tolerance: float = TOLERANCE
) -> dict[tuple[int, int], float | None]:
    """By how much option k is preferred to option j < k: negative where j is, 0 within the tolerance, None: neither."""
    if order == "robust":

        def worse(j: int, k: int) -> float:
            return float(outside(p.p, options[k].p, options[j].p).max())
    else:
        losses = [loss(order, p, option) for option in options]

        def worse(j: int, k: int) -> float:
            return increase(losses[k], losses[j])

    pairs = combinations(range(len(options)), 2)
    return {(j, k): _gain(worse(j, k), worse(k, j), tolerance) for j, k in pairs}


def _gain(worse: float, better: float, tolerance: float) -> float | None:
    """From the excess of the one over the other and the reverse."""
    if worse > tolerance and better > tolerance:
        return None
    return better if better > tolerance else (-worse if worse > tolerance else 0.0)
