"""Every text that table agents may write, as a tree: the same ends and the same decoded texts as in a run.

Tables do not look at the query, so one enumeration holds for all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ...experiment.experiment import Experiment
from ...experiment.resolved.text_audit import AgentMisreport
from ...lm.base import Logits, Request
from ...lm.table import TableModel, TablePrompt, TableVocabulary
from ...mechanism.alternatives.candidates import Candidates
from ...mechanism.distributions import Array, Profile, log_normalize
from ...mechanism.truncation import truncated
from ...mechanism.whole_texts.tree import LEAF, Tree
from ...system.errors import CellError, UsageError
from ..loop.forms import form_of, restricted
from ..loop.text_state import TextSetting
from ..rules import Rules

MOST_PREFIXES = 20_000


@dataclass(frozen=True, eq=False)
class EveryText:
    """A tree of m nodes. `log_p`, (m, n), is what each agent's own table gives to a prefix, `log_reported` what the one
    that it reports does, `log_reference`, (m,), what the reference does; None without one. `prefixes` are the tokens of
    every node, `end_reasons` why a text ends there.
    """

    tree: Tree
    log_p: Array
    log_reported: Array
    log_reference: Array | None
    prefixes: Sequence[tuple[int, ...]]
    end_reasons: Sequence[str | None]


class _After(NamedTuple):
    """What may follow a prefix: log p of every token, as reported and as they are, (n, V), and by the reference."""

    reported: Array
    true: Array
    reference: Array | None

    @property
    def key(self) -> bytes:
        return self.reported.tobytes() + self.true.tobytes()


def every_text(experiment: Experiment, rules: Rules, misreport: AgentMisreport | None = None) -> EveryText:
    """All texts to which an agent's report gives a positive probability.

    Raises UsageError where they have more than `MOST_PREFIXES` prefixes, and where a table says nothing of one.
    """
    tables = _Tables(experiment, misreport)
    setting = TextSetting(experiment, rules, tables.vocabulary)
    return _Enumeration(setting, tables).run()


def every_candidate(experiment: Experiment, every: EveryText) -> Candidates:
    """Every finished text once, scored by what agents report."""
    leaves = every.tree.leaves
    texts = [every.tree.texts[leaf] for leaf in leaves.tolist()]
    mentions = [[float(agent.phrases.count(text)) for text in texts] for agent in experiment.agents]
    reference = None if every.log_reference is None else every.log_reference[leaves]
    return Candidates.each_once(every.log_reported[leaves].T, reference, mentions)


class _Tables:
    """The tables of the agents, of one that misreports, and of the reference, over the union of their tokens."""

    def __init__(self, experiment: Experiment, misreport: AgentMisreport | None) -> None:
        speakers = [
            *experiment.agents,
            *([misreport.reported] if misreport else []),
            *([experiment.reference] if experiment.reference else []),
        ]
        for agent in speakers:
            if agent.distributions is None or experiment.auction.alphabet != "tokens":
                raise UsageError(f"{experiment.path}: texts are enumerated for agents with tables of tokens alone")
        self.path = experiment.path
        self.vocabulary = TableVocabulary(
            [agent.distributions or {} for agent in speakers], experiment.auction.separator
        )
        self._form = form_of(experiment, self.vocabulary)
        self._model = TableModel(self.vocabulary)
        self._speakers = speakers
        self._prompts = tuple(TablePrompt(agent.name, agent.distributions or {}) for agent in speakers)
        self._temperatures = [agent.temperature for agent in speakers]
        self._truncations = experiment.truncations_of(speakers)
        self._has_reference = experiment.reference is not None
        n = len(experiment.agents)
        self._true = list(range(n))
        self._reported = [n if misreport and i == misreport.agent else i for i in self._true]

    def after(self, text: tuple[int, ...]) -> _After:
        """What may follow a prefix."""
        [answer] = self._model.evaluate([Request(0, self._prompts, text)])
        try:
            if isinstance(answer, CellError):
                raise answer
            log_p = self._scaled(self._left(answer, text))
        except CellError as error:
            raise UsageError(f"{self.path}: {error}") from error
        return _After(log_p[self._reported], log_p[self._true], log_p[-1] if self._has_reference else None)

    def _left(self, answer: Sequence[Logits], text: tuple[int, ...]) -> list[Logits]:
        """What truncation leaves, and of that, but not of the reference's, what the form allows."""
        n, kept = len(answer) - self._has_reference, truncated(answer, self._temperatures, self._truncations)
        found = restricted(self._form, self._speakers[:n], kept[:n], np.array(self._temperatures[:n]), text)
        return [*found.logits, *kept[n:]]

    def _scaled(self, logits: Sequence[Logits]) -> Array:
        return log_normalize(np.array(logits) / np.array(self._temperatures)[:, None])


class _Enumeration:
    """The tree while it grows, level by level."""

    def __init__(self, setting: TextSetting, tables: _Tables) -> None:
        self._setting = setting
        self._tables = tables
        n = len(setting.experiment.agents)
        self._parents = [-1]
        self._tokens = [-1]
        self._places: list[int] = []
        self._log_p: list[Array] = [np.zeros(n)]
        self._log_reported: list[Array] = [np.zeros(n)]
        self._log_reference = [0.0]
        self._known: dict[bytes, int] = {}
        self._afters: list[_After] = []
        self._texts: list[str] = []

    def run(self) -> EveryText:
        """Every prefix in its turn: those of a level stand before those of the next."""
        prefixes: list[tuple[int, ...]] = [()]
        end_reasons: list[str | None] = []
        levels = [0]
        while len(self._places) < len(prefixes):
            node = len(self._places)
            prefix = prefixes[node]
            if len(prefix) == len(levels):
                levels.append(node)
            end_reason = self._setting.cut(prefix) if prefix else None
            if end_reason is None:
                prefixes += [(*prefix, token) for token in self._grow(node, prefix)]
                self._check(len(prefixes))
            else:
                self._places.append(LEAF)
            end_reasons.append(end_reason)
            self._texts.append(self._setting.text(prefix, end_reason))
        return EveryText(self._tree((*levels, len(prefixes))), *self._likelihoods(), prefixes, end_reasons)

    def _grow(self, node: int, prefix: tuple[int, ...]) -> list[int]:
        """Add the children of a node; the tokens that lead to them."""
        after = self._tables.after(prefix)
        place = self._known.setdefault(after.key, len(self._afters))
        if place == len(self._afters):
            self._afters.append(after)
        self._places.append(place)
        tokens: list[int] = np.flatnonzero(np.isfinite(after.reported).any(axis=0)).tolist()
        for token in tokens:
            self._parents.append(node)
            self._tokens.append(token)
            self._log_p.append(self._log_p[node] + after.true[:, token])
            self._log_reported.append(self._log_reported[node] + after.reported[:, token])
            if after.reference is not None:
                self._log_reference.append(self._log_reference[node] + float(after.reference[token]))
        return tokens

    def _check(self, n_prefixes: int) -> None:
        if n_prefixes > MOST_PREFIXES:
            raise UsageError(
                f"{self._tables.path}: at most {MOST_PREFIXES:,} prefixes are enumerated, and the texts of this "
                "experiment have more; give `auction` a smaller max_tokens, or the tables fewer tokens"
            )

    def _tree(self, levels: tuple[int, ...]) -> Tree:
        return Tree(
            np.array(self._parents),
            np.array(self._tokens),
            np.array(self._places),
            tuple(self._texts),
            levels,
            tuple(Profile(log_p=after.reported) for after in self._afters),
            tuple(Profile(log_p=after.true) for after in self._afters),
        )

    def _likelihoods(self) -> tuple[Array, Array, Array | None]:
        has_reference = len(self._log_reference) == len(self._log_p)
        reference = np.array(self._log_reference) if has_reference else None
        return np.array(self._log_p), np.array(self._log_reported), reference
