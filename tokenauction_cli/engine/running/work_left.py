"""How much of a run is done, from its first texts on. Tokens would mislead: cells that share a prefix share its cost.

Work is counted in evaluations of a group (cells with one prefix), a prompt as so many as it has tokens. What is left is
estimated from what groups did so far:

    h(t)    the share of the cells that ended with the token at position t; before any text has been there, texts may
            end anywhere up to max_tokens
    g(k)    the groups into which a group of k cells parts at a token, by the power of two next to k
    V(t, k) = 1 + (1 - h(t)) g(k) V(t + 1, k / g(k))

V is the number of evaluations that a group of k cells at position t still needs, on a straight line between powers of
two.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from time import perf_counter

import numpy as np

from ..loop.token_loop import PromptSet
from ..plan import Plan

_PARTING = 2.0**0.25  # g before anything is known, which counts as one group
_AS_LONG = 100  # times as long as an estimate took, it holds: texts of 100 000 tokens take their time


class WorkLeft:
    """Hears every step of the token loop; `share` says how much of the work is done."""

    def __init__(self, plan: Plan, prompt_sets: Mapping[str, PromptSet], most_tokens: int) -> None:
        groups = list(_first_groups(plan, prompt_sets))
        largest = max((n_cells for _, n_cells in groups), default=1)
        n_kinds = _kind(largest) + 2
        self._waiting = np.zeros((most_tokens, n_kinds))
        self._drawn, self._ended = np.zeros(most_tokens), np.zeros(most_tokens)
        self._groups, self._parts = np.ones(n_kinds), np.full(n_kinds, _PARTING)
        self._cost_of_prompt = float(np.mean([cost for cost, _ in groups])) if groups else 1.0
        self._done = 0.0
        self._share, self._until = 0.0, 0.0
        for _, n_cells in groups:
            self._waiting[0, _kind(n_cells)] += 1

    def heard(
        self,
        position: int,
        before: Sequence[int],
        after: Sequence[int],
        back: Sequence[tuple[int, int]] = (),
    ) -> None:
        """Groups of so many cells got the token at this position (from 0), and went on as groups of so many.

        Others went `back`, each to its position. How often that will be is not in the estimate.
        """
        n_cells, n_left = sum(before), sum(after) + sum(n for _, n in back)
        self._done += len(before) * (self._cost_of_prompt if position == 0 else 1.0)
        self._drawn[position] += n_cells
        self._ended[position] += n_cells - n_left
        for k in before:
            self._waiting[position, _kind(k)] -= 1
            if n_left:
                self._groups[_kind(k)] += 1
                self._parts[_kind(k)] += (len(after) + len(back)) / len(before)
        for at, k in (*((position + 1, n) for n in after), *back):
            self._waiting[at, _kind(k)] += 1

    @property
    def share(self) -> float:
        """The part of the work that is done, about; from 0 to 1."""
        if not self._waiting.any():
            return 1.0  # at once: the estimate that holds may be one from the beginning
        begun = perf_counter()
        if begun >= self._until:
            self._share = self._done / (self._done + self.left())
            self._until = begun + _AS_LONG * (perf_counter() - begun)
        return self._share

    def left(self) -> float:
        """The evaluations of groups that are still needed, about."""
        needed = np.zeros(self._waiting.shape[1])
        parting = self._parting()
        left = 0.0
        for going_on, waiting in zip(self._going_on()[::-1], self._waiting[::-1], strict=True):
            needed = 1 + going_on * (parting @ needed)
            left += float(waiting @ needed)
        return left + (self._cost_of_prompt - 1) * float(self._waiting[0].sum())

    def _going_on(self) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        """1 - h, by position."""
        n = len(self._drawn)
        to_the_end = np.arange(n, 0, -1.0)
        anywhere = 1 - 1 / to_the_end
        known = 1 - self._ended / np.maximum(self._drawn, 1)
        going_on = np.where(self._drawn > 0, known, anywhere)
        going_on[-1] = 0.0
        return going_on

    def _parting(self) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
        """The matrix that takes V(t + 1, .) to g(.) V(t + 1, . / g(.))."""
        kinds = np.arange(len(self._groups))
        parts = np.clip(self._parts / self._groups, 1.0, 2.0**kinds)
        smaller = kinds - np.log2(parts)
        below = np.floor(smaller).astype(int)
        above = 2.0 ** (smaller - below) - 1  # how far k / g(k) lies from one power of two to the next
        matrix = np.zeros((len(kinds), len(kinds)))
        matrix[kinds, below] = parts * (1 - above)
        matrix[kinds, np.minimum(below + 1, kinds[-1])] += parts * above
        return matrix


def _kind(n_cells: int) -> int:
    """The power of two next to a number of cells."""
    return round(math.log2(n_cells))


def _first_groups(plan: Plan, prompt_sets: Mapping[str, PromptSet]) -> Iterator[tuple[float, int]]:
    """The cost of the prompts and the number of cells of every group with which a wave begins."""
    for wave in plan.waves:
        n_cells: dict[int, int] = {}
        costs: dict[int, float] = {}
        for cell in wave:
            prompt_set = prompt_sets[cell.prompt_set]
            n_cells[id(prompt_set)] = n_cells.get(id(prompt_set), 0) + 1
            costs[id(prompt_set)] = max(1.0, prompt_set.n_prompt_tokens / len(prompt_set.prompts))
        yield from ((costs[key], n) for key, n in n_cells.items())
