"""Which agent's model explains the text: the posterior of the mixture whose prior is the weights.

posterior_i proportional to w_i prod_k p_i(x_k | x_<k)
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from .distributions import Array, log_of, weights_of


def posterior(weights: ArrayLike, log_likelihoods: ArrayLike) -> Array:
    """Posterior weights, (..., n), from prior weights or bids and each agent's sum of log p_i(token), both (..., n).

    The prior itself where no agent with a positive weight could have said the text. Raises MechanismError for weights
    that are all 0 or not finite numbers of at least 0.
    """
    rows = np.atleast_2d(np.asarray(weights, dtype=np.float64))
    prior = np.array([weights_of(row) for row in rows]).reshape(np.shape(weights))
    scores = np.where(prior > 0, log_of(prior) + np.asarray(log_likelihoods, dtype=np.float64), -np.inf)
    top = scores.max(axis=-1, keepdims=True)
    explains = np.isfinite(top)
    explained = np.exp(scores - np.where(explains, top, 0.0))
    return np.where(explains, explained / np.where(explains, explained.sum(axis=-1, keepdims=True), 1.0), prior)
