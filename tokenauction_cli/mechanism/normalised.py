"""Scores and bids, checked and scaled to sum 1: the softmax of scores, the relative weights of bids."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike

from ..system.arrays import Array
from ..system.errors import MechanismError


def log_normalize(scores: ArrayLike) -> Array:
    """log softmax along the last axis: x - log sum exp x, shape kept, -inf allowed.

    Stable for scores of +-1e4 and 262 144 tokens. Raises MechanismError where no score is finite or one is NaN or +inf.

    >>> np.exp(log_normalize(np.log([1.0, 3.0]))).round(4).tolist()
    [0.25, 0.75]
    """
    return softmax(scores)["log_p"]


def softmax(scores: ArrayLike, temperature: ArrayLike = 1.0) -> dict[str, Array]:
    """`p` and `log_p` of softmax(scores / temperature) along the last axis, from one exponential.

    A common offset of the scores costs no digits. As `log_normalize` otherwise.

    >>> softmax(np.log([1.0, 3.0]))["p"].round(4).tolist()
    [0.25, 0.75]
    """
    x = np.asarray(scores, dtype=np.float64)
    top = x.max(axis=-1, keepdims=True)
    if not np.isfinite(top).all():
        raise MechanismError("a distribution needs at least one finite score and no NaN or +inf")
    x = np.asarray((x - top) / temperature)
    p = np.exp(x)
    total = p.sum(axis=-1, keepdims=True)
    p /= total
    x -= np.log(total)
    return {"p": p, "log_p": x}


def log_of(p: Array) -> Array:
    """log p, with log 0 = -inf and no warning.

    >>> log_of(np.array([1.0, 0.0])).tolist()
    [0.0, -inf]
    """
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(p))


def checked_bids(bids: ArrayLike) -> Array:
    """Bids as float64, (n,), not to be written to. Raises MechanismError for negative, infinite or NaN bids.

    >>> checked_bids((1, 2)).tolist()
    [1.0, 2.0]
    >>> checked_bids((-1, 2))
    Traceback (most recent call last):
        ...
    tokenauction_cli.system.errors.MechanismError: bids must be finite numbers of at least 0, got [-1.0, 2.0]
    """
    return _checked(_key(bids))


def weights_of(bids: ArrayLike) -> Array:
    """Relative weights b_i / B, (n,), not to be written to.

    Raises MechanismError for bad bids, for B = 0 and for a B that overflows.

    >>> weights_of((1, 3)).tolist()
    [0.25, 0.75]
    """
    return _weights(_key(bids))


def _key(bids: ArrayLike) -> tuple[float, ...]:
    return bids if isinstance(bids, tuple) else tuple(np.asarray(bids, dtype=np.float64).tolist())


@lru_cache(maxsize=4096)  # a sweep asks for the same few bids at every token
def _checked(bids: tuple[float, ...]) -> Array:
    b = np.array(bids, dtype=np.float64)
    if not np.isfinite(b).all() or (b < 0).any():
        raise MechanismError(f"bids must be finite numbers of at least 0, got {b.tolist()}")
    b.flags.writeable = False
    return b


@lru_cache(maxsize=4096)
def _weights(bids: tuple[float, ...]) -> Array:
    b = _checked(bids)
    with np.errstate(over="ignore"):
        total = b.sum()
    if total <= 0:
        raise MechanismError("all bids are zero: the aggregate distribution is undefined")
    if not np.isfinite(total):
        raise MechanismError(f"the sum of the bids must be a finite number, got {b.tolist()}")
    weights = np.asarray(b / total)
    weights.flags.writeable = False
    return weights
