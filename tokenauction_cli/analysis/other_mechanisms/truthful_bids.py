"""What agents of given values bid truthfully, in the money of each mechanism. Derived here (d), no paper's.

    w_i(y) = v_i u_i(y)       what a finished text is worth to agent i; u_i is l_i - l_0, without a reference l_i, or
                              1 where its brand occurs
    candidates                v_i for each unit of the score
    one agent writes          t_i / segments,  t_i = max(0, E w_i(own text) - mean over j != i of E w_i(text of j))
    token auction             v_i / T for each token, T the mean number of tokens of a text

t_i is what writing the text is worth beyond having another write it. The means are over the agents' own texts: the text
of every (query, seed) that an agent writes where it alone bids, which is the same for all mechanisms. No bid per token
is truthful for a value of whole texts; that of the token auction sums to v_i over a text of T tokens.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ...experiment.experiment import Experiment
from ...mechanism.alternatives.mechanisms import CandidateMechanism, Mechanism, WriterMechanism
from ...mechanism.terms import without
from ...system.arrays import Array

if TYPE_CHECKING:
    import pandas as pd


_MEASURES = ("log_ratio", "mention")  # those of `audit.texts.value` that are taken, the first that has a value


class Values(NamedTuple):
    """v_i of every agent, (n,), 0 of those that are not charged, per unit of `measure`."""

    measure: str
    each: tuple[float, ...]

    @property
    def unit(self) -> str:
        return {"mention": "per text that mentions it", "log_ratio": "per nat of l_i - l_0"}.get(
            self.measure, "per nat of l_i"
        )


def values_of(experiment: Experiment) -> Values:
    """Those of the file's audit of whole texts, else the agents' own bids as values per nat."""
    for measure in _MEASURES if experiment.audits_texts else ():
        each = tuple(_audited(experiment, i, measure) for i in range(len(experiment.agents)))
        if any(each):
            return Values(measure, each)
    own = tuple(0.0 if agent.reference else agent.bid for agent in experiment.agents)
    return Values("log_prob" if experiment.reference is None else "log_ratio", own)


def _audited(experiment: Experiment, agent: int, measure: str) -> float:
    if experiment.agents[agent].reference:
        return 0.0
    utilities = experiment.text_audit.utilities.get(agent, ())
    return next((utility.value for utility in utilities if utility.kind == measure), 0.0)


def worths(experiment: Experiment, values: Values, texts: pd.DataFrame) -> Array:
    """w_i(y) of every text, (texts, n). A value of 0 makes nothing of minus infinity."""
    columns = [
        (texts[f"mentions.{agent.id}"] > 0 if values.measure == "mention" else texts[f"{values.measure}.{agent.id}"])
        for agent in experiment.agents
    ]
    measured = np.array([column.to_numpy(dtype=float, na_value=np.nan) for column in columns]).T
    v = np.array(values.each)
    return np.asarray(v * np.where(v > 0, measured, 0.0))


def own_texts_of(experiment: Experiment, written: pd.DataFrame, rules: list[str]) -> list[pd.DataFrame]:
    """Every agent's own texts, one per (query, seed): of texts by these rules, those for which it alone bids."""
    bids = written[[f"bid.{agent.id}" for agent in experiment.agents]].to_numpy(dtype=float)
    is_own = written["aggregation"].isin(rules).to_numpy()
    return [
        written[is_own & (bids[:, i] > 0) & ~np.delete(bids, i, axis=1).any(axis=1)].drop_duplicates(["query", "seed"])
        for i in range(len(experiment.agents))
    ]


def values_of_writing(experiment: Experiment, values: Values, own_texts: list[pd.DataFrame]) -> Array | None:
    """t_i, (n,); None where some agent never writes alone, so that its text is not known, or where one is infinite."""
    if len(own_texts) < 2 or not all(map(len, own_texts)):
        return None
    worth = np.array([worths(experiment, values, texts).mean(axis=0) for texts in own_texts])  # of writer j to agent i
    others = [without(worth[:, i], i).sum() / (len(own_texts) - 1) for i in range(len(own_texts))]
    of_writing = np.diag(worth) - np.array(others)
    return np.asarray(np.maximum(0.0, of_writing)) if np.isfinite(of_writing).all() else None


def is_truthful(mechanism: Mechanism | None, values: Values) -> bool:
    """Whether such a bid is best whatever others bid. With three agents it matters who else writes."""
    if isinstance(mechanism, CandidateMechanism):
        return values.measure in mechanism.truthful_for
    is_whole = isinstance(mechanism, WriterMechanism) and writes_whole_texts(mechanism)
    return is_whole and mechanism is not None and "writing" in mechanism.truthful_for and len(values.each) == 2


def writes_whole_texts(mechanism: WriterMechanism) -> bool:
    return mechanism.unit == "text" and mechanism.segments == 1
