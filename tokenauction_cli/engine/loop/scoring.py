"""What scorers say of a text that they have no part in: the reference, and whom a misreporting agent really is."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from ...lm.base import Logits
from ...mechanism.distributions import Array, Profile
from ...mechanism.divergences import kl, total_variation
from ...mechanism.measures import Measures
from ...mechanism.native.compiled import profile_of
from ...mechanism.outcome import Outcome


class Scores:
    """The scorers' distributions after one prefix; `truth` is the agent that the last of them is, None for nobody.

    To be asked before the logits are gone.
    """

    def __init__(self, logits: Sequence[Logits], temperatures: Array, truth: int | None) -> None:
        self._logits = logits
        self._temperatures = temperatures
        self.truth = truth

    @cached_property
    def _profile(self) -> Profile:
        return profile_of(self._logits, self._temperatures)

    def log_at(self, token: int) -> Array:
        """log p of one token, by scorer."""
        return self._profile.log_at(token)

    def distances(self, outcome: Outcome) -> Array:
        """TV(p, q) and KL(q || p) of the agent that misreports, p its own distribution, (2,)."""
        return outcome.once("distances of truth", lambda: self._distances(outcome))

    def _distances(self, outcome: Outcome) -> Array:
        own = self._profile.agent(len(self._logits) - 1)
        return np.array([total_variation(own.p, outcome.q.p), kl(outcome.q, own)])


class ScoredText:
    """The sums over one text, and the columns that they make.

        log_ratio.A        l_A - l_0, with l the sum of log p over the text; needs a reference
        quality            l_0 per draw
        tv_sum.A           the sum of TV(p_A, q), where it is asked for
        reverse_kl_sum.A   the sum of KL(q || p_A)

    p_A is agent A's own distribution, whatever it reports.
    """

    def __init__(self, truth: int | None, *, has_reference: bool, with_tv: bool) -> None:
        self._truth = truth
        self._has_reference = has_reference
        self._with_tv = with_tv
        self._log_likelihoods = np.zeros(has_reference + (truth is not None))
        self._distances = np.zeros(2)

    def add(self, scores: Scores, outcome: Outcome, token: int) -> None:
        """Take down one draw."""
        self._log_likelihoods += scores.log_at(token)
        if self._truth is not None:
            self._distances += scores.distances(outcome)

    def columns(self, log_likelihoods: Array, measures: Measures) -> dict[str, Array]:
        """By agent, given the sums over the text of the agents as they report themselves."""
        sums = {"log_ratio": log_likelihoods, "tv_sum": measures.tv, "reverse_kl_sum": measures.reverse_kl}
        if self._truth is not None:
            own = self._log_likelihoods[-1], *self._distances
            sums = {name: _with(sums[name], self._truth, value) for name, value in zip(sums, own, strict=True)}
        if self._has_reference:
            with np.errstate(invalid="ignore"):  # what neither could have said
                sums["log_ratio"] = sums["log_ratio"] - self._log_likelihoods[0]
        is_left_out = {"log_ratio": not self._has_reference, "tv_sum": not self._with_tv, "reverse_kl_sum": False}
        return {name: amounts for name, amounts in sums.items() if not is_left_out[name]}

    def quality(self, n_draws: int) -> float | None:
        """l_0 per draw; None without a reference."""
        return float(self._log_likelihoods[0]) / n_draws if self._has_reference else None


def _with(amounts: Array, agent: int, own: float) -> Array:
    """The amounts, (n,), with another one for one agent."""
    changed = amounts.copy()
    changed[agent] = own
    return changed
