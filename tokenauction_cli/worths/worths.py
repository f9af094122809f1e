"""What every text of table agents is worth to those who want something of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from ..engine.candidates.every_text import EveryText
from ..experiment.experiment import Experiment
from ..experiment.format.audit import Judge
from ..experiment.resolved.text_audit import Utility
from ..mechanism.distributions import Array
from ..mechanism.whole_texts.tree import LOSSES, Worth
from .judges import JudgeQuestion

Judged = Callable[[Judge, Iterable[JudgeQuestion]], Mapping[JudgeQuestion, float]]
"""The scores of many questions at once."""


class Valuer:
    """Makes the worths of an audit's agents. `judged` asks judges, where there are."""

    def __init__(self, experiment: Experiment, judged: Judged) -> None:
        self._experiment = experiment
        self._judged = judged

    def of(self, every: EveryText) -> dict[tuple[int, str], Worth]:
        """By agent and kind of utility; reference agents have none."""
        return {
            (agent, utility.kind): self._worth(every, agent, utility)
            for agent, utilities in self._experiment.text_audit.utilities.items()
            if not self._experiment.agents[agent].reference
            for utility in utilities
        }

    def _worth(self, every: EveryText, agent: int, utility: Utility) -> Worth:
        measured = np.zeros(every.tree.n_nodes)
        if utility.kind not in LOSSES:
            measured[every.tree.leaves] = self._of_texts(every, agent, utility)
        return Worth(agent, utility.value, measured, LOSSES.get(utility.kind))

    def _of_texts(self, every: EveryText, agent: int, utility: Utility) -> Array:
        """What the kind measures of each finished text, in the order of the tree's leaves."""
        leaves = every.tree.leaves
        texts = [every.tree.texts[leaf] for leaf in leaves.tolist()]
        if utility.kind == "log_ratio":
            return np.asarray(log_ratios(every, agent)[leaves])
        if utility.kind == "judge":
            return self._scores(agent, utility, texts)
        counts = np.array(list(map(self._experiment.agents[agent].phrases.count, texts)), dtype=np.float64)
        return counts if utility.kind == "count" else np.minimum(counts, 1.0)

    def _scores(self, agent: int, utility: Utility, texts: Sequence[str]) -> Array:
        """A judge's scores in the mean over queries: tables write the same texts for all of them."""
        assert utility.judge is not None
        name, queries = self._experiment.agents[agent].name, self._experiment.queries
        asked = [JudgeQuestion(name, query, text) for query in queries for text in texts]
        scores = self._judged(utility.judge, list(dict.fromkeys(asked)))
        by_query: Array = np.array([scores[question] for question in asked]).reshape(len(queries), len(texts))
        return np.asarray(by_query.mean(axis=0))


def log_ratios(every: EveryText, agent: int) -> Array:
    """l_i - l_0 of every prefix, (m,): -inf where the agent rules it out, whatever the reference says of it."""
    assert every.log_reference is not None
    own = every.log_p[:, agent]
    ratios = np.full(len(own), -np.inf)
    np.subtract(own, every.log_reference, out=ratios, where=own > -np.inf)
    return ratios
