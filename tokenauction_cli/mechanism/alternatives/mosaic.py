"""MOSAIC: the reference's texts, reweighted by what bidders would pay for them. Candidates are free of bids.

    r_ij = b_i s_i(y_j)                       s_i: `log_ratio` l_i - l_0, or `mention`, 1 where i's brand occurs
    p_j proportional to (pi_ref / pi_gen)(y_j) exp(sum_i r_ij / tau)
    W_j = sum_i r_ij + tau (l_0j - l_gen,j + G_j),   G_j Gumbel, the same for all bids;   j* = argmax_j W_j
    payment.mosaic             tau KL(p || p_-i)                          charged; p_-i is p without agent i's rewards
    payment.mosaic_realised    max_j (W_j - r_ij) - (W_j* - r_ij*)        at least 0

p is the one by Soumalias, Curry and Seuken, "Truthful Aggregation of LLMs with an Application to Online Advertising",
arXiv 2405.05905. They charge Rochet payments with an offset that is not known to us; a constant free of the own bid
changes no incentive. All else is (d):

- j* has the distribution p, and since G is shared s_i(y_j*) never falls as b_i rises.
- E max_j (W_j - r_ij) = tau log Z_-i + tau gamma, and E (W_j* - r_ij*) = tau log Z + tau gamma - sum_j p_j r_ij, so the
  realised payment has the mean tau log (Z_-i / Z) + sum_j p_j r_ij = tau KL(p || p_-i), given the candidates.
- It is Clarke's for an objective to which the reference adds a term without a bid. So truth is dominant, on every
  finite set, for a value v s_i(y), **if the candidates do not depend on reports**. A lone bidder pays too, where tau is
  positive: it moves the text away from the reference.
- tau = 0 is Clarke's auction of the best candidate. Of equal ones it takes j as tau -> 0 does, by l_0j - l_gen,j + G_j.
- Without a reference the generator is the reference: all l_0 - l_gen are 0. What the reference cannot say is never
  chosen, whatever the bids.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

import numpy as np

from ..distributions import Array, MechanismError, softmax
from ..sampling.randomness import DrawKey
from ..terms import Bidding, without
from .candidates import Candidates, check_match, effective_sample_size, gumbels, summed
from .mechanisms import CandidateMechanism, Expected, Need, Settled, due

Score = Literal["log_ratio", "mention"]
NEEDS: dict[Score, frozenset[Need]] = {"log_ratio": frozenset({"log_reference"}), "mention": frozenset({"mentions"})}


class Mosaic(CandidateMechanism):
    """One of several finished texts, by bids times scores.

    `tau`, in money per nat, is how much a departure from the reference must be worth. Raises MechanismError for
    settings that have no meaning.

    >>> from tokenauction_cli.mechanism.testing import salon
    >>> candidates = Candidates.each_once(np.log([[0.5, 0.25], [0.2, 0.8]]), np.log([0.5, 0.5]))
    >>> mean = Mosaic(tau=1.0).expected(candidates, salon(bids=(1, 1)).bidding)
    >>> mean.chances.round(4).tolist(), mean.payments.round(4).tolist()
    ([0.3333, 0.6667], [0.0487, 0.231])
    """

    name = "mosaic"
    label = "MOSAIC"

    def __init__(self, tau: float = 2.0, score: Score = "log_ratio") -> None:
        if not (np.isfinite(tau) and tau >= 0):
            raise MechanismError(f"tau must be a finite number of at least 0, got {tau}")
        if score not in get_args(Score):
            raise MechanismError(f"score must be {' or '.join(get_args(Score))}, got {score!r}")
        self.tau = float(tau)
        self.score = score
        self.needs = NEEDS[score]
        self.truthful_for = frozenset({score})

    @property
    def payments(self) -> tuple[str, ...]:
        return (self.name, f"{self.name}_realised")

    def expected(self, candidates: Candidates, bidding: Bidding) -> Expected:
        return _expected(self._tilts(candidates, bidding), bidding)

    def settle(self, candidates: Candidates, bidding: Bidding, draw_key: DrawKey) -> Settled:
        tilts, noise = self._tilts(candidates, bidding), gumbels(draw_key, candidates.n_texts)
        mean, choice = _expected(tilts, bidding), tilts[0].best(noise)
        without_own = (others.worth + self.tau * noise for others in tilts[1:])
        realised = due(bidding, np.array([worth.max() - worth[choice] for worth in without_own]))
        amounts = dict(zip(self.payments, (mean.payments, realised), strict=True))
        welfare = float(summed(bidding.bids, self._scores(candidates))[choice])
        return Settled(choice, amounts, {"welfare": welfare, "ess": effective_sample_size(mean.chances)})

    def _tilts(self, candidates: Candidates, bidding: Bidding) -> list[Tilt]:
        """That of all agents, then for each agent that of all others."""
        check_match(candidates, bidding)
        base, scores = self._base(candidates), self._scores(candidates)
        possible = np.isfinite(base)
        worth = np.where(possible, self.tau * np.where(possible, base, 0.0), -np.inf)
        if not np.isfinite(worth + summed(bidding.bids, scores)).any():
            raise MechanismError(f"{self.name} has nothing to choose: each candidate is impossible for some bidder")
        everybody = [bidding.bids, *(without(bidding.bids, i) for i in range(len(bidding.bids)))]
        return [Tilt(worth + summed(bids, scores), base, self.tau) for bids in everybody]

    def _base(self, candidates: Candidates) -> Array:
        """l_0 - l_gen, (M,)."""
        if candidates.log_reference is None:
            return np.zeros(candidates.n_texts)
        return np.asarray(candidates.log_reference - candidates.log_generator)

    def _scores(self, candidates: Candidates) -> Array:
        """s_i(y_j), (n, M); 0 for what the reference cannot say, which is never chosen."""
        if self.score == "mention":
            if candidates.mentions is None:
                raise MechanismError(f"{self.name} with the score mention needs the mentions of every candidate")
            return np.where(candidates.mentions > 0, 1.0, 0.0)
        reference = candidates.log_reference
        if reference is None:
            raise MechanismError(f"{self.name} with the score log_ratio needs a reference")
        possible = np.isfinite(reference)
        return np.where(possible, candidates.log_p - np.where(possible, reference, 0.0), 0.0)


class Tilt(NamedTuple):
    """The candidates' base weights l_0 - l_gen, tilted by agents' rewards: `worth` = sum_i r_i + tau base, (M,).

    >>> Tilt(np.log([1.0, 3.0]), np.zeros(2), tau=1.0).chances.round(4).tolist()
    [0.25, 0.75]
    """

    worth: Array
    base: Array
    tau: float

    @property
    def chances(self) -> Array:
        """p, (M,)."""
        return (softmax(self.worth, self.tau) if self.tau else softmax(self._among_best(self.base)))["p"]

    @property
    def shortfall(self) -> Array:
        """tau log p, in money, (M,): worth less max at tau = 0, whatever p is of equal ones."""
        below = np.asarray(self.worth - self.worth.max())
        if not self.tau:
            return below
        return np.asarray(below - self.tau * np.log(np.exp(below / self.tau).sum()))

    def best(self, noise: Array) -> int:
        """j*."""
        if self.tau:
            return int(np.argmax(self.worth + self.tau * noise))
        return int(np.argmax(self._among_best(self.base + noise)))

    def _among_best(self, values: Array) -> Array:
        return np.where(self.worth == self.worth.max(), values, -np.inf)


def _expected(tilts: list[Tilt], bidding: Bidding) -> Expected:
    """p, and tau KL(p || p_-i) = sum_j p_j (tau log p_j - tau log p_-i,j)."""
    everybody, *others = tilts
    p = everybody.chances
    held = np.flatnonzero(p)
    own = everybody.shortfall[held]
    moved = [float(p[held] @ (own - rest.shortfall[held])) for rest in others]
    return Expected(p, due(bidding, np.maximum(moved, 0.0)))
