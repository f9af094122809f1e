"""Which agent's model explains the text: the posterior of the mixture whose prior is the weights.

posterior_i proportional to w_i prod_k p_i(x_k | x_<k)
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from .distributions import Array, weights_of


def posterior(weights: ArrayLike, log_likelihoods: ArrayLike) -> Array:
    """Posterior weights, (n,), from prior weights or bids and each agent's sum of log p_i(token), both (n,).

    The prior itself where no agent with a positive weight could have said the text. Raises MechanismError for weights
    that are all 0 or not finite numbers of at least 0.
    """
    prior = weights_of(weights)
    likely: list[float] = np.asarray(log_likelihoods, dtype=np.float64).tolist()
    scores = [math.log(w) + x if w > 0 else -math.inf for w, x in zip(prior.tolist(), likely, strict=True)]
    top = max(scores)
    if not math.isfinite(top):
        return prior
    explained = np.array([math.exp(score - top) for score in scores])
    return np.asarray(explained / explained.sum())
