"""The laws of the mechanism as functions: what the author of a rule calls in a test.

    assert_aggregation   q is a distribution, made by the ratios of the bids alone, and keeps what the traits claim
    assert_payment       amounts are defined, and nothing is charged for nothing
    assert_truthful      no other bid gains where the payment says that it is truthful
    marginal_p_value     whether a sampler draws from q, by a chi-square test over many seeds
    salon, draw_key_of   an outcome and the random numbers of a token, to try rules on

The first three raise AssertionError, naming the law. Call them on random profiles, with hypothesis for instance.

    >>> assert_aggregation(Linear(), Profile.of([[0.8, 0.2], [0.3, 0.7]]), bids=(1, 2))
"""

from __future__ import annotations

from collections.abc import Sequence
from string import ascii_lowercase

import numpy as np

from .aggregation.rules import AggregationRule, Linear
from .audit.audit import tolerance
from .audit.bidder import Bidder
from .audit.monotone import monotone
from .audit.preferences import TOLERANCE
from .distributions import Array, Profile
from .outcome import Outcome
from .payments.rules import PaymentRule
from .sampling.randomness import DrawKey, Randomness
from .sampling.rules import Draw, SamplingRule
from .terms import Terms

SMALL = 1e-12  # what rounding makes of a probability


def assert_aggregation(rule: AggregationRule, profile: Profile, bids: Sequence[float]) -> None:
    """Every law of an aggregation rule at one profile of n agents and their bids (n,), which are not all 0.

    q sums to 1 and offers no token that no bidder offers. Doubling all bids changes nothing. The order of the agents
    does not matter. An agent that bids 0 might as well be absent. A lone bidder gets its own distribution. Then what
    the traits claim: `is_linear_mixture`, `odds`, `monotone_in`.

    >>> assert_aggregation(Linear(), Profile.of([[0.8, 0.2], [0.3, 0.7]]), bids=(1, 2))
    """
    b = np.array(bids, dtype=float)
    q = rule(profile, b).p
    _hold(bool((q >= 0).all() and abs(q.sum() - 1) <= SMALL), f"q must be a distribution, and sums to {q.sum():.15g}")
    offered = (profile.p[b > 0] > 0).any(axis=0)
    _hold(not q[~offered].any(), "a token that no bidder offers stays impossible")
    _same(rule(profile, 2 * b).p, q, "only the ratios of the bids count")
    _same(rule(Profile.of(profile.p[::-1]), b[::-1]).p, q, "the order of the agents does not matter")
    if not b.all():
        _same(rule(Profile.of(profile.p[b > 0]), b[b > 0]).p, q, "a bid of 0 removes the agent")
    for i, alone in enumerate(np.eye(len(b))):
        _same(rule(profile, alone).p, profile.p[i], "a lone bidder gets its own distribution")
    _assert_traits(rule, profile, b)


def _assert_traits(rule: AggregationRule, profile: Profile, bids: Array) -> None:
    terms = Terms(tuple(ascii_lowercase[: len(bids)]))
    outcome = Outcome(rule, profile, bids, terms)
    if rule.is_linear_mixture:
        for i, weight in enumerate(outcome.weights):
            line = (1 - weight) * outcome.others(i).p + weight * profile.p[i]
            _same(outcome.q.p, line, "is_linear_mixture: q = (1 - w_i) o_i + w_i p_i")
    if outcome.odds is not None:
        _same(np.array(outcome.odds.sum()), np.array(1.0), "odds sum to 1")
        _same(outcome.q.p, outcome.odds @ profile.p, "odds: q is the mixture of the agents by their odds")
    for order in sorted(rule.monotone_in):
        for i in np.flatnonzero(bids).tolist():
            found = monotone(Bidder(rule, profile, terms, tuple(bids.tolist()), i), order)
            _hold(found.size <= TOLERANCE, f"monotone_in {order}: agent {i} loses {found.size:.3g} {found.detail}")


def assert_payment(payment: PaymentRule, outcome: Outcome, draw: Draw, draw_key: DrawKey) -> None:
    """At one draw of an outcome that the payment fits: columns are there, amounts (n,) finite and not negative.

    An agent that bids 0, or is not charged, pays nothing.

    >>> from tokenauction_cli.mechanism.payments.clarke import Clarke
    >>> assert_payment(Clarke(), salon(), Draw(0, "inverse_cdf"), draw_key_of(seed=0))
    """
    amounts = payment.charge(outcome, draw, draw_key)
    _hold(tuple(amounts) == payment.columns, f"columns are {payment.columns}, charged are {tuple(amounts)}")
    for name, paid in {**amounts, "expected": payment.expected(outcome)}.items():
        _hold(np.shape(paid) == (outcome.n_agents,), f"{name}: one amount per agent")
        _hold(bool(np.isfinite(paid).all() and (paid >= 0).all()), f"{name}: amounts are finite and not negative")
        _hold(not paid[~outcome.bidding.due].any(), f"{name}: who bids 0, or is not charged, pays nothing")


def assert_truthful(payment: PaymentRule, outcome: Outcome, agent: int, bid: float) -> None:
    """Where the agent bids its value, another bid gains it nothing, in every order of `payment.truthful_for`.

    >>> from tokenauction_cli.mechanism.payments.clarke import Clarke
    >>> assert_truthful(Clarke(), salon(bids=(1, 2)), agent=0, bid=1.5)
    """
    here = Bidder(outcome.rule, outcome.profile, outcome.terms, tuple(outcome.bids.tolist()), agent)
    value = float(outcome.bids[agent])
    for order in sorted(payment.truthful_for(outcome.rule)):
        truth, other = (here.utility(payment, order, value, each) for each in (value, bid))
        allowed = tolerance(here, payment, max(value, bid))
        _hold(other <= truth + allowed, f"truthful_for {order}: bidding {bid:.6g} gains {other - truth:.3g}")


def salon(rule: AggregationRule | None = None, bids: Sequence[float] = (1, 2), reserve: float = 0.0) -> Outcome:
    """Two agents over three tokens to try things on: Ann prefers tea, Bob rum, and milk is neither's first choice.

    `rule` is linear by default; `bids` (2,) and `reserve` are in money per token.

    >>> salon(bids=(1, 2)).q.p.round(4).tolist()
    [0.4, 0.1667, 0.4333]
    """
    profile = Profile.of([[0.6, 0.3, 0.1], [0.3, 0.1, 0.6]])
    return Outcome(rule or Linear(), profile, bids, Terms(("ann", "bob"), reserve=reserve))


def draw_key_of(seed: int, query: str = "") -> DrawKey:
    """The random numbers of the first token of a text, by the seed of its cell.

    >>> draw_key_of(seed=3).position
    0
    """
    return DrawKey(Randomness(0, query, seed), 0)


def _hold(is_kept: bool, law: str) -> None:
    if not is_kept:
        raise AssertionError(law)


def _same(found: Array, wanted: Array, law: str) -> None:
    off = float(np.abs(found - wanted).max())
    _hold(off <= SMALL, f"{law}: off by {off:.3g}")


LEAST_EXPECTED = 5.0


def marginal_p_value(sampling: SamplingRule, outcome: Outcome, n_draws: int, query: str = "") -> float:
    """The chance of counts as far from n_draws q as those of the seeds 0 .. n_draws - 1, if they come from q.

    0 at once where a token of probability zero was drawn. Tokens with fewer than 5 expected draws share a class.

    >>> from tokenauction_cli.mechanism.sampling.rules import InverseCdf
    >>> marginal_p_value(InverseCdf(), salon(), n_draws=200) > 1e-4
    True
    """
    counts = token_counts(sampling, outcome, n_draws, query)
    if counts[outcome.q.p == 0].any():
        return 0.0
    return chi_square_p_value(counts, n_draws * outcome.q.p)


def token_counts(sampling: SamplingRule, outcome: Outcome, n_draws: int, query: str = "") -> Array:
    """How often each token was drawn, (V,).

    >>> from tokenauction_cli.mechanism.sampling.rules import Greedy
    >>> token_counts(Greedy(), salon(bids=(1, 2)), n_draws=5).tolist()
    [0.0, 0.0, 5.0]
    """
    tokens = [sampling.draw(outcome, draw_key_of(seed, query)).token for seed in range(n_draws)]
    return np.bincount(tokens, minlength=outcome.profile.n_tokens).astype(np.float64)


def chi_square_p_value(counts: Array, expected: Array) -> float:
    """Pearson's chi-square test, rare classes pooled; 1 where a single class is left.

    Of counts (k,) and expected counts (k,). Source: K. Pearson, Philosophical Magazine 50 (1900) 157.

    >>> round(chi_square_p_value(np.array([40.0, 60.0]), np.array([50.0, 50.0])), 4)
    0.0455
    """
    from scipy.special import chdtrc

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
    return float(chdtrc(len(wanted) - 1, ((seen - wanted) ** 2 / wanted).sum()))
