"""Does a sampling rule draw from q? A chi-square test over many seeds, for tests and for a user's own rule."""

from __future__ import annotations

import numpy as np

from ..distributions import Array
from ..outcome import Outcome
from .randomness import DrawKey, Randomness
from .rules import SamplingRule

LEAST_EXPECTED = 5.0


def marginal_p_value(sampling: SamplingRule, outcome: Outcome, n_draws: int, query: str = "") -> float:
    """The chance of counts as far from n_draws q as those of the seeds 0 .. n_draws - 1, if they come from q.

    0 at once where a token of probability zero was drawn. Tokens with fewer than 5 expected draws share a class.
    """
    counts = token_counts(sampling, outcome, n_draws, query)
    if counts[outcome.q.p == 0].any():
        return 0.0
    return chi_square_p_value(counts, n_draws * outcome.q.p)


def token_counts(sampling: SamplingRule, outcome: Outcome, n_draws: int, query: str = "") -> Array:
    """How often each token was drawn, (V,)."""
    moments = (DrawKey(Randomness(0, query, seed), 0) for seed in range(n_draws))
    tokens = [sampling.draw(outcome, draw_key).token for draw_key in moments]
    return np.bincount(tokens, minlength=outcome.profile.n_tokens).astype(np.float64)


def chi_square_p_value(counts: Array, expected: Array) -> float:
    """Pearson's chi-square test, rare classes pooled; 1 where a single class is left."""
    from scipy.stats import chi2

    order = np.argsort(expected)
    counts, expected = counts[order], expected[order]
    n_rare = int(np.searchsorted(expected, LEAST_EXPECTED))
    pools = max(1, int(expected[:n_rare].sum() / LEAST_EXPECTED))
    pool = np.minimum(np.cumsum(expected[:n_rare]) / LEAST_EXPECTED, pools - 1).astype(int)
    classes = np.concatenate([pool, pools + np.arange(len(expected) - n_rare)])
    seen, wanted = np.bincount(classes, counts), np.bincount(classes, expected)
    seen, wanted = seen[wanted > 0], wanted[wanted > 0]
    if len(wanted) < 2:
        return 1.0
    return float(chi2.sf(((seen - wanted) ** 2 / wanted).sum(), len(wanted) - 1))
