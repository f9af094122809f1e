"""Clarke (VCG) payments under KL valuations: each agent pays what its bid costs the others.

    linear      agent i values q at -KL(p_i || q)    zeta_i = S KL(o || q)
    log_linear  agent i values q at -KL(q || p_i)    zeta_i = S KL(q || g), g = o the others' log pool

(d) Both rules maximise sum_j b_j value_j, so the payment is the others' value of o less that of q:
linear: sum_{j != i} b_j [KL(p_j || q) - KL(p_j || o)] = sum_{j != i} b_j E_{p_j}[log o/q] = S E_o[log o/q];
log_linear: sum_{j != i} b_j KL(q || p_j) = S [KL(q || g) - log Z_g] for every q, which at g is -S log Z_g.
Truthful bids are dominant for these values. At S = 0 it is 0. No reserve: q would no longer maximise.
"""

from __future__ import annotations

import numpy as np

from ..aggregation.rules import AggregationRule
from ..distributions import Array
from ..divergences import FORWARD_KL, REVERSE_KL, kl_between
from ..outcome import Outcome
from ..sampling.rules import SamplingRule
from .rules import PaymentRule


class Clarke(PaymentRule):
    """What a bid costs the others, by the rule's own loss.

    The name in a file is `vcg`. Needs a rule that minimises one of the KLs, a lottery, and no reserve.

    In money per token. Source: E. H. Clarke, "Multipart pricing of public goods" (1971); the formulas are (d).

    >>> from tokenauction_cli.mechanism.testing import salon
    >>> Clarke().expected(salon(bids=(1, 2))).round(4).tolist()
    [0.1157, 0.273]
    """

    name = "vcg"
    never_falls = True
    label = "Clarke (VCG)"
    premise = "a random draw, no reserve, and a rule that minimises a sum of KL divergences"
    compares_others = True

    def fits(self, aggregation: AggregationRule, sampling: SamplingRule, reserve: float = 0.0) -> bool:
        return sampling.lottery and reserve == 0 and aggregation.objective in (FORWARD_KL, REVERSE_KL)

    def truthful_for(self, aggregation: AggregationRule) -> frozenset[str]:
        return frozenset({"kl" if aggregation.objective == FORWARD_KL else "reverse_kl"})

    def expected(self, outcome: Outcome) -> Array:
        return outcome.once(self.name, lambda: _payments(outcome))


def _payments(outcome: Outcome) -> Array:
    kls = outcome.rival_kls
    return (
        outcome.per_agent(clarke_payment) if kls is None else np.where(outcome.bidding.due, outcome.rivals * kls, 0.0)
    )


def clarke_payment(outcome: Outcome, i: int) -> float:
    """Agent i's payment: finite, for q has mass wherever o has it, and g wherever q has it.

    In money per token.

    >>> from tokenauction_cli.mechanism.testing import salon
    >>> round(clarke_payment(salon(bids=(1, 2)), 0), 4)
    0.1157
    """
    rivals = float(outcome.rivals[i])
    if rivals == 0:
        return 0.0
    o, q = outcome.others(i), outcome.q
    pair = (q, o) if outcome.rule.objective == REVERSE_KL else (o, q)
    return rivals * kl_between(outcome.profile, *pair)
