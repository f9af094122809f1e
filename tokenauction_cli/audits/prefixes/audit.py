"""An audit of a run: the prefixes that it met, what every rule does there, and what holds.

It looks at the distributions again with the run's models; the checks are `mechanism/audit`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from ...engine.models.bidder_models import GgufBidders
from ...engine.models.prepare import prepare
from ...engine.rules import Rules, terms_of
from ...experiment.experiment import Experiment
from ...lm.base import Vocabulary
from ...mechanism.aggregation.rules import ORDERS, AggregationRule
from ...mechanism.audit.audit import Audit
from ...mechanism.audit.finding import Failure, Finding, count
from ...mechanism.audit.universal_stability import universally_stable
from ...mechanism.distributions import MechanismError
from ...runs.manifest import Formats
from ...runs.run_folder import Record
from ...system.errors import UsageError
from ...system.steps import Hear, unheard
from ...text.mentions import Phrases
from .prefixes import Looked, look


@dataclass(frozen=True, eq=False)
class Audited:
    """What an audit found, where it looked, and the words of its tokens."""

    looked: Looked
    findings: list[Finding]
    vocabulary: Vocabulary


def audit(
    experiment: Experiment,
    records: Mapping[str, Record],
    kept: Formats | None,
    n_prefixes: int,
    orders: Sequence[str],
    tell: Callable[[str], None],
    hear: Hear = unheard,
) -> Audited:
    """Every finding about the rules of an experiment, on at most so many prefixes of its records (tables: all)."""
    rules = Rules.of(experiment)
    bidders = prepare(experiment, probe=True, kept=kept)
    with bidders.loaded(1) as model:
        has_brands = isinstance(bidders, GgufBidders)  # tables have no tokenizer, and a single byte is nobody's brand
        looked = look(experiment, rules, bidders, model, records, n_prefixes, hear)
        if not looked.profiles:
            raise UsageError(f"{experiment.path}: no text of the run has a prefix to audit{_why_not(looked)}")
        made = Audit(
            rules=list(rules.aggregation.values()),
            payments=list(rules.payments.values()),
            sampling=rules.sampling,
            terms=terms_of(experiment),
            bids=tuple(agent.bid for agent in experiment.agents),
            orders=tuple(orders or ORDERS),
            brand_tokens=_brand_tokens(experiment, model.vocabulary) if has_brands else {},
            exact=looked.exact,
        )
        tell(f"auditing {', '.join(rule.name for rule in made.rules)}; prefixes: {len(looked.profiles)}")
        findings = made.run(looked.profiles, hear)
        if looked.exact and len(experiment.agents) <= 3 and model.vocabulary.size <= 4:
            findings += [_universally_stable(rule, looked) for rule in made.rules]
        return Audited(looked, findings, model.vocabulary)


def _why_not(looked: Looked) -> str:
    return f": some agent has no distribution for {len(looked.left_out)} of them" if looked.left_out else ""


def _universally_stable(rule: AggregationRule, looked: Looked) -> Finding:
    """Where no sampling is stable for all agents at once, at bids of 1 and 2."""
    failures = []
    for profile in looked.profiles:
        with suppress(MechanismError):  # undefined there, which is a finding of its own
            failures.append(Failure(0.0 if universally_stable(rule, profile, [1, 2]) else 1.0))
    return count((rule.name, "", "", "universally_stable", ""), failures, 0.0, looked.exact)


def _brand_tokens(experiment: Experiment, vocabulary: Any) -> dict[str, tuple[int, ...]]:
    """The tokens of each agent's own phrases, with and without a space before them."""
    return {
        agent.id: tuple(
            sorted(
                {
                    token
                    for phrase in agent.mentions
                    for lead in ("", " ")
                    for token in _mentioning(vocabulary, agent.phrases, lead + phrase)
                }
            )
        )
        for agent in experiment.agents
    }


def _mentioning(vocabulary: Any, phrases: Phrases, text: str) -> Iterator[int]:
    """The tokens of a text that write some of a mention: a token that is the space before it is nobody's brand."""
    tokens = vocabulary.tokenize(text, control=False)
    pieces = list(map(vocabulary.piece, tokens))
    written = b"".join(pieces).decode("utf-8", "replace")
    spans = [tuple(len(written[:at].encode()) for at in span) for span in phrases.mention_spans(written)]
    for token, piece, end in zip(tokens, pieces, accumulate(map(len, pieces)), strict=True):
        if any(end - len(piece) < last and first < end for first, last in spans):
            yield token
