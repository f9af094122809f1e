"""What an audit of whole texts looks at: rules and mechanisms with their payments, and what has a meaning there.

TV and reverse KL are sums over the draws of an auction of tokens: where one agent writes alone, or bids choose a
finished text, they are none. Candidates are written before anybody reports, so no misreport is tried there.
"""

from __future__ import annotations

from collections.abc import Iterator

from ...engine.rules import Rules
from ...experiment.experiment import Experiment
from ...mechanism.alternatives.mechanisms import CandidateMechanism

OF_DRAWS = ("tv", "reverse_kl")
"""Kinds of utility that are measured at every draw."""


def charges_of(experiment: Experiment, rules: Rules) -> Iterator[tuple[str, str]]:
    """The names of rules and mechanisms, each with those of its payments."""
    for name in rules.names:
        yield from ((name, payment) for payment in rules.mean_payments(name, experiment.auction.reserve))


def has_meaning(rules: Rules, name: str, kind: str) -> bool:
    """Whether a kind of utility is defined under a rule or mechanism."""
    return name in rules.aggregation or kind not in OF_DRAWS


def may_misreport(rules: Rules, name: str) -> bool:
    """Whether what an agent reports changes what is written."""
    return not isinstance(rules.mechanisms.get(name), CandidateMechanism)
