"""Mechanisms at equal values: a row for each rule or mechanism, of texts at the bids of agents that want the same.

`truthful_bids.py` says what they bid. The texts at these bids cost no evaluation:

    candidates             settled at these bids, from the candidates that the run folder has
    one agent writes all   who writes is drawn at these bids; the texts are what each writes where it alone bids
    tokens, segments       texts depend on the ratio of bids alone and payments grow with them in proportion, so they
                           are those of the sweep point with the nearest ratio, with its payments scaled

There is no table where a reserve or a budget breaks that proportion, or where the file has rules of its user's own: to
read a run is to run no code but ours.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cached_property
from itertools import product
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ...engine.candidates.proposals import Proposals
from ...engine.plan import Cell
from ...engine.rules import Rules, terms_of
from ...experiment.experiment import Experiment
from ...experiment.resolved.agent import Agent
from ...experiment.resolved.sweep import SweepPoint, share_of
from ...mechanism.alternatives.mechanisms import CandidateMechanism, WriterMechanism
from ...mechanism.sampling.randomness import DrawKey, Randomness
from ...mechanism.terms import bidding_of
from ...statistics.intervals import Estimate
from ...system.arrays import Array
from ..frames.common_measures import charged_payment, numbers
from ..frames.mechanism_names import keys_of
from ..frames.metrics import cells_frame, summary_frame
from ..frames.pooled import pooled_frame
from ..tables.figure_tables import heading, mention_figures
from ..tables.tables import Table
from .truthful_bids import (
    Values,
    is_truthful,
    own_texts_of,
    values_of,
    values_of_writing,
    worths,
    writes_whole_texts,
)

if TYPE_CHECKING:
    import pandas as pd

    from ..run import Run


WELFARE, REVENUE = "common_welfare", "revenue.charged"
_HEADS = {WELFARE: "welfare", REVENUE: "revenue"}
_NOTES = (
    "Equal values: all rows are of agents with the same values of a finished text. Welfare is the sum of these values, "
    "and revenue is in the same money: both may be compared between rows.",
    "Truthful: whether this bid is best whatever others bid. Where it is not, it is the bid that stands for the value: "
    "docs/explanation/mechanisms.md says how each is made.",
)
_OF_RATIOS = (
    "The token auction and segment auctions have the texts of the nearest weight of the sweep, and its payments in "
    "proportion to bids."
)
_LEFT_OUT = (
    "Left out: {}. The run folder lacks its candidates, or the text of every agent where it alone bids; or no truthful "
    "bid is finite and above 0."
)


class RuleTexts(NamedTuple):
    """Texts of a rule or mechanism for bids (n,), the bids at which they were written, and what each earns."""

    rule: str
    bids: Array
    written_at: Array
    texts: pd.DataFrame
    revenue: Array


def equal_value_tables(run: Run) -> list[Table]:
    """One table; none where the token auction is the only mechanism, or a bid says nothing of another."""
    experiment, values = run.experiment, values_of(run.experiment)
    is_proportional = not experiment.auction.reserve and all(math.isinf(agent.budget) for agent in experiment.agents)
    if not experiment.auction.others or not any(values.each) or not is_proportional or experiment.trust:
        return []
    auctions = _Auctions(run, values)
    found = [written for written in auctions.all() if len(written.texts)]
    if not found:
        return []
    figures = _figures(experiment)
    frame = _summary(experiment, values, found)
    shown = [figure for figure in figures if figure in frame]
    rows = tuple(_row(experiment, values, auctions.rules, written, frame, shown) for written in found)
    notes = (*_NOTES, *_notes_of(experiment, found))
    return [Table(_title(experiment, values), _columns(experiment, shown), rows, 2, "equal-values", notes=notes)]


def nearest_point(points: tuple[SweepPoint, ...], bids: Array) -> SweepPoint | None:
    """The first sweep point at which the shares of all bids are nearest to those of these; None without any bids."""

    def apart(point: SweepPoint) -> float:
        return float(np.abs(np.array(point.bids) / sum(point.bids) - bids / bids.sum()).sum())

    return min((point for point in points if sum(point.bids)), key=apart, default=None) if bids.any() else None


class _Auctions:
    """The texts of every rule and mechanism of a run at the bids of given values."""

    def __init__(self, run: Run, values: Values) -> None:
        self._run, self._experiment, self._values = run, run.experiment, values
        self._written = run.cells[run.cells["end_reason"] != "failed"]
        self.rules = Rules.of(run.experiment)

    def all(self) -> Iterator[RuleTexts]:
        """Of every rule and mechanism whose truthful bids are known, in the order of the file."""
        for rule in self._experiment.auction.rules:
            mechanism = self.rules.mechanisms.get(rule)
            if isinstance(mechanism, CandidateMechanism):
                yield self._settled(rule)
            elif not isinstance(mechanism, WriterMechanism):
                yield from self._of_nearest_point(rule, self._bids(np.array(self._values.each) / self._length(rule)))
            elif self._of_writing is not None:
                bids = self._bids(self._of_writing / mechanism.segments)
                is_whole = writes_whole_texts(mechanism)
                yield from self._drawn(rule, mechanism, bids) if is_whole else self._of_nearest_point(rule, bids)

    def _bids(self, charged: Array) -> Array:
        """With those of reference agents, who bid what they always bid."""
        return np.array([agent.bid if agent.reference else charged[i] for i, agent in enumerate(self._agents)])

    @property
    def _agents(self) -> tuple[Agent, ...]:
        return self._experiment.agents

    @cached_property
    def _own_texts(self) -> list[pd.DataFrame]:
        whole = [
            name
            for name, mechanism in self.rules.mechanisms.items()
            if isinstance(mechanism, WriterMechanism) and writes_whole_texts(mechanism)
        ]
        return own_texts_of(self._experiment, self._written, [*whole, *self._experiment.auction.aggregation])

    @cached_property
    def _of_writing(self) -> Array | None:
        return values_of_writing(self._experiment, self._values, self._own_texts)

    def _length(self, rule: str) -> float:
        """The mean number of draws of a text of a rule, at all bids."""
        return float(self._written.loc[self._written["aggregation"] == rule, "tokens"].mean())

    def _settled(self, rule: str) -> RuleTexts:
        """By the candidates of the run folder."""
        experiment, bids = self._experiment, self._bids(np.array(self._values.each))
        mechanism = experiment.auction.others[rule]
        places = product(experiment.queries, experiment.seeds)
        cells = [Cell(query, mechanism, 0, None, tuple(bids.tolist()), seed) for query, seed in places]
        records = Proposals(experiment, self.rules, self._run.folder, cells).settled()
        done = [record for record in records if record["end_reason"] != "failed"]
        texts = cells_frame(experiment, done) if done else self._written.iloc[:0]
        return RuleTexts(rule, bids, bids, texts, numbers(texts, f"revenue.{rule}"))

    def _drawn(self, rule: str, mechanism: WriterMechanism, bids: Array) -> Iterator[RuleTexts]:
        """By the agents' own texts, one of which is taken for each (query, seed)."""
        import pandas as pd

        if not bids.any():
            return
        by_place = [texts.set_index(["query", "seed"], drop=False) for texts in self._own_texts]
        bidding = bidding_of(terms_of(self._experiment), tuple(bids.tolist()))
        texts, revenue = [], []
        for query, seed in product(self._experiment.queries, self._experiment.seeds):
            if all((query, seed) in own.index for own in by_place):
                key = DrawKey(Randomness(self._experiment.seed, query, seed), 0)
                settled = mechanism.settle(bidding, key)
                texts.append(by_place[settled.choice].loc[[(query, seed)]])
                revenue.append(float(settled.payments[mechanism.payments[0]].sum()))
        if texts:
            yield RuleTexts(rule, bids, bids, pd.concat(texts, ignore_index=True), np.array(revenue))

    def _of_nearest_point(self, rule: str, bids: Array) -> Iterator[RuleTexts]:
        """By texts of the sweep."""
        point = nearest_point(self._experiment.points, bids)
        if point is None:
            return
        here = self._written[(self._written["aggregation"] == rule) & (self._written["point"] == point.index)]
        earned = numbers(here, f"revenue.{charged_payment(self._experiment, self._run.cells, rule)}")
        yield RuleTexts(rule, bids, np.array(point.bids), here, earned * bids.sum() / sum(point.bids))


def _summary(experiment: Experiment, values: Values, found: list[RuleTexts]) -> pd.DataFrame:
    """A row for each rule or mechanism and query, as in summary.csv; before them those of several queries, pooled."""
    import pandas as pd

    summary = summary_frame(experiment, pd.concat([_cells(experiment, values, one) for one in found]).reset_index())
    pooled = pooled_frame(summary, experiment.auction.max_draws)
    return pd.concat([pooled, summary]) if len(pooled) else summary


def _cells(experiment: Experiment, values: Values, written: RuleTexts) -> pd.DataFrame:
    """The texts with what they are worth and earn, as cells of one sweep point."""
    ids = [agent.id for agent in experiment.agents]
    kept = ["query", "text", "end_reason", "tokens", *(f"mentions.{agent}" for agent in ids)]
    kept += ["quality"] if "quality" in written.texts else []
    cells = written.texts[kept].assign(aggregation=written.rule, point=0, relative_weight=math.nan)
    cells[WELFARE], cells[REVENUE] = worths(experiment, values, written.texts).sum(axis=1), written.revenue
    return cells.assign(**{f"bid.{agent}": bid for agent, bid in zip(ids, written.bids.tolist(), strict=True)})


def _figures(experiment: Experiment) -> list[str]:
    return [*mention_figures(experiment), WELFARE, REVENUE, "quality", "tokens"]


def _notes_of(experiment: Experiment, found: list[RuleTexts]) -> Iterator[str]:
    """What is to be known of these rows, and of those that are not there."""
    if any(written.written_at is not written.bids for written in found):
        yield _OF_RATIOS
    if missing := [rule for rule in experiment.auction.rules if rule not in {written.rule for written in found}]:
        yield _LEFT_OUT.format(", ".join(missing))


def _title(experiment: Experiment, values: Values) -> str:
    worth = " : ".join(f"{value:g}" for value in values.each)
    several = f", over {len(experiment.queries)} queries" if len(experiment.queries) > 1 else ""
    return f"Mechanisms at the values {worth} {values.unit}{several}"


def _columns(experiment: Experiment, figures: list[str]) -> tuple[str, ...]:
    bids = (f"bid {agent.name}" for agent in experiment.agents)
    swept = experiment.agents[experiment.swept_agent].name
    figures = [_HEADS.get(figure, heading(figure, experiment)) for figure in figures]
    return ("mechanism", "aggregation", "truthful", "texts", *bids, f"weight of {swept}", "weight of texts", *figures)


def _row(
    experiment: Experiment, values: Values, rules: Rules, written: RuleTexts, frame: pd.DataFrame, figures: list[str]
) -> tuple[object, ...]:
    names = (value for _, value in keys_of(experiment, written.rule))
    truthful = "yes" if is_truthful(rules.mechanisms.get(written.rule), values) else "no"
    row = frame[frame["aggregation"] == written.rule].iloc[0]
    estimates = (Estimate(*(float(row[c]) for c in (f, f"{f}.low", f"{f}.high"))) for f in figures)
    weights = (_weight(experiment, bids) for bids in (written.bids, written.written_at))
    return (*names, truthful, len(written.texts), *written.bids.tolist(), *weights, *estimates)


def _weight(experiment: Experiment, bids: Array) -> float:
    share = share_of(experiment.agents, experiment.swept_agent, bids.tolist())
    return math.nan if share is None else share
