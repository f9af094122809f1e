"""Text pool: the log-linear auction with the whole text as its one token. The whole file is (d).

    Q_j proportional to prod_i pi_i(y_j)^(b_i / B) / pi_gen(y_j),   log Q_j = sum_i (b_i / B) l_ij - l_gen,j - log Z
    value of agent i       -v KL(Q || pi_i)
    payment.text_pool      S KL(Q || G_-i),   G_-i proportional to prod_{j != i} pi_j^(b_j / S) / pi_gen,   S = B - b_i

It is the control that changes the horizon of the token auction alone. On M candidates pi_i stands for the measure
m_ij = pi_i(y_j) / pi_gen(y_j), whose sum need not be 1: KL(Q || m_i) = sum_j Q_j (log Q_j - log m_ij) differs from that
of the scaled m_i by a constant. Q maximises -sum_i b_i KL(Q || m_i), and the others' loss is Clarke's payment as in
`payments/clarke.py`, so truth is dominant on every finite set. `mosaic` at tau = B, with log_ratio, chooses the same.
"""

from __future__ import annotations

import numpy as np

from ..distributions import Array, Distribution, MechanismError, log_normalize
from ..divergences import kl
from ..sampling.randomness import DrawKey
from ..terms import Bidding, without
from .candidates import Candidates, check_match, effective_sample_size, gumbels, summed
from .mechanisms import CandidateMechanism, Expected, Settled, due


class TextPool(CandidateMechanism):
    """One of several finished texts, by the agents' log pool.

    A bid pays what it costs the others.

    >>> from tokenauction_cli.mechanism.testing import salon
    >>> candidates = Candidates.each_once(np.log([[0.5, 0.5], [0.2, 0.8]]))
    >>> TextPool().expected(candidates, salon(bids=(1, 1)).bidding).chances.round(4).tolist()
    [0.3333, 0.6667]
    """

    name = "text_pool"
    truthful_for = frozenset({"reverse_kl"})

    def expected(self, candidates: Candidates, bidding: Bidding) -> Expected:
        check_match(candidates, bidding)
        q = _pool(candidates, bidding.weights)
        losses = [rivals * kl(q, _pool(candidates, without(bidding.bids, i) / rivals)) if rivals else 0.0
                  for i, rivals in enumerate(bidding.rivals.tolist())]  # fmt: skip
        return Expected(q.p, due(bidding, np.array(losses)))

    def settle(self, candidates: Candidates, bidding: Bidding, draw_key: DrawKey) -> Settled:
        mean = self.expected(candidates, bidding)
        log_q = _pool(candidates, bidding.weights).log_p
        choice = int(np.argmax(log_q + gumbels(draw_key, candidates.n_texts)))
        columns = {"welfare": _welfare(candidates, bidding, mean.chances), "ess": effective_sample_size(mean.chances)}
        return Settled(choice, {self.name: mean.payments}, columns)


def _welfare(candidates: Candidates, bidding: Bidding, q: Array) -> float:
    """-sum_i b_i KL(Q || m_i)."""
    held = np.flatnonzero(q)
    measures = summed(bidding.bids, candidates.log_p[:, held] - candidates.log_generator[held])
    return float(q[held] @ (measures - bidding.bids.sum() * np.log(q[held])))


def _pool(candidates: Candidates, weights: Array) -> Distribution:
    scores = summed(weights, candidates.log_p) - candidates.log_generator
    if not np.isfinite(scores).any():
        raise MechanismError("text_pool has nothing to choose: each candidate is impossible for some bidder")
    return Distribution(log_p=log_normalize(scores))
