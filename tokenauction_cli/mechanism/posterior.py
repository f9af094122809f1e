"""Which agent's model explains the text: the posterior of the mixture whose prior is the weights.

posterior_i proportional to w_i prod_k p_i(x_k | x_<k)
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from .distributions import Array, log_normalize, log_of, weights_of


def posterior(weights: ArrayLike, log_likelihoods: ArrayLike) -> Array:
    """Posterior weights, (n,), from prior weights or bids and each agent's sum of log p_i(token), both (n,).

    The prior itself where no agent with a positive weight could have said the text. Raises MechanismError for weights
    that are all 0 or not finite numbers of at least 0.
    """
    prior = weights_of(weights)
    scores = np.where(prior > 0, log_of(prior) + np.asarray(log_likelihoods, dtype=np.float64), -np.inf)
    return np.exp(log_normalize(scores)) if np.isfinite(scores.max()) else prior
