"""One more bid to try for each agent: what the recorded texts of the run, reweighted, say of bids between the grid's.

It only chooses what is tried (`mechanism/whole_texts/screening.py`): the texts of that bid are then written like all
others, and no estimate rests on the reweighting.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ...engine.rules import Rules
from ...experiment.experiment import Experiment
from ...experiment.resolved.text_audit import Utility
from ...mechanism.audit.finding import AuditError
from ...mechanism.distributions import Array
from ...mechanism.whole_texts.screening import RecordedText, Setting, screen
from ...runs.run_folder import Record, RunFolder

_STEPS = tuple(2.0 ** (k / 4) for k in range(-16, 9))
"""Of the value: from a sixteenth to four times it."""

_OF_THE_TEXT = ("mention", "count")
_EXPECTED_PRICE = "second_price_expected"


class ScreenedBid(NamedTuple):
    """A bid that is worth trying, and the effective number of recorded texts that say so."""

    bid: float
    effective_texts: float


class Traced(NamedTuple):
    """A recorded text: its record, and log p of every draw, (n_agents, n_draws), with what each agent was to pay."""

    record: Record
    log_p: Array
    expected_prices: Sequence[Sequence[float]]


def traced_texts(experiment: Experiment, folder: RunFolder) -> list[Traced]:
    """The texts of a run that keep log p of their draws."""
    if experiment.auction.trace == "none":
        return []
    records = folder.records()
    return [_traced(records[cell], trace) for cell, _, trace in folder.traces()]


def _traced(record: Record, trace: Mapping[str, Any]) -> Traced:
    log_p = np.array([[-np.inf if one is None else one for one in row] for row in trace["log_p"]])
    return Traced(record, log_p, trace["payments"].get(_EXPECTED_PRICE, ()))


class Screener:
    """Chooses bids from the traced texts of a run, of which there may be none."""

    def __init__(self, experiment: Experiment, rules: Rules, texts: Sequence[Traced]) -> None:
        self._experiment = experiment
        self._text_audit = experiment.text_audit
        self._rules = rules
        self._texts = texts
        self._is_plain = not experiment.auction.reserve and not any(np.isfinite(a.budget) for a in experiment.agents)

    def choice(self, rule: str, payment: str, agent: int, utility: Utility) -> ScreenedBid | None:
        """The bid between those of the grid that promises most; None where nothing can be said."""
        if not self._is_plain or utility.kind not in _OF_THE_TEXT or self._experiment.auction.alphabet != "tokens":
            return None
        texts = [text for text in self._texts if text.record["aggregation"] == rule and self._is_near(text, agent)]
        bids = self._nearest(texts, agent, utility.value)
        if bids is None:
            return None
        setting = Setting(self._rules.aggregation[rule], payment, bids, agent)
        recorded = list(self._recorded([t for t in texts if self._bids(t) == bids], agent, utility, payment))
        try:
            found = screen(recorded, setting, [utility.value * step for step in _STEPS])
        except AuditError:  # it says why this rule or payment cannot be screened
            return None
        bid = found.choose()
        if bid is None or any(np.isclose(bid, tried) for tried in self._text_audit.grid(utility.value)):
            return None
        return ScreenedBid(bid, float(found.effective_texts[found.bids == bid][0]))

    def _bids(self, text: Traced) -> tuple[float, ...]:
        return tuple(text.record[f"bid.{agent.id}"] for agent in self._experiment.agents)

    def _is_near(self, text: Traced, agent: int) -> bool:
        """Whether the others bid as they do in the audit."""
        pairs = enumerate(zip(self._bids(text), self._text_audit.at, strict=True))
        return all(i == agent or np.isclose(bid, kept) for i, (bid, kept) in pairs)

    def _nearest(self, texts: Sequence[Traced], agent: int, value: float) -> tuple[float, ...] | None:
        """The bids of these texts at which the agent bids most like its value."""
        bids = {self._bids(text) for text in texts if self._bids(text)[agent] > 0}
        return min(bids, key=lambda one: abs(np.log(one[agent] / value)), default=None) if value else None

    def _recorded(self, texts: Sequence[Traced], agent: int, utility: Utility, payment: str) -> Iterator[RecordedText]:
        phrases = self._experiment.agents[agent].phrases
        for text in texts:
            if payment == "second_price" and not text.expected_prices:
                continue
            count = phrases.count(text.record["text"])
            worth = utility.value * (min(count, 1) if utility.kind == "mention" else count)
            price = sum(text.expected_prices[agent]) if text.expected_prices else 0.0
            yield RecordedText(text.log_p, worth, price)
