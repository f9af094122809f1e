"""Agents restricted to a form: each one's distribution at a prefix, cut to the tokens with which a text can go on.

    p_i'(t) = p_i(t) / p_i(A)  for t in A, the tokens that the form allows, and 0 for any other

It is done before aggregation. Restricting q instead would give the linear mixture with the weights w_i p_i(A), and
raise the weight of whoever puts more mass on A.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from ...experiment.experiment import Agent, Experiment
from ...lm.base import Logits, Vocabulary, spelled
from ...lm.forms.constraint import Constraint
from ...lm.forms.form import Form, Mask
from ...mechanism.distributions import Array
from ...system.errors import CellError

NEXT_TO_NOTHING = -1e30
"""The logit of what is not allowed, in float32: its probability is 0, and compiled passes take finite logits alone."""


class Restricted(NamedTuple):
    """Logits of what is left, and log p_i(A) of what was there before, by voice."""

    logits: list[Logits]
    log_allowed: Array


def form_of(experiment: Experiment, vocabulary: Vocabulary) -> Form | None:
    """The form of an experiment's texts; None where it has none."""
    constraint = experiment.auction.constraint
    return None if constraint is None else _form(constraint, vocabulary)


@lru_cache(maxsize=4)
def _form(constraint: Constraint, vocabulary: Vocabulary) -> Form:
    """Made once: of a large vocabulary it takes a second."""
    return Form(constraint, vocabulary)


def restricted(
    form: Form | None, voices: Sequence[Agent], logits: Sequence[Logits], temperatures: Array, prefix: tuple[int, ...]
) -> Restricted:
    """What these voices say after a prefix. Raises CellError where the form or one of them has nothing to say."""
    if form is None:
        return Restricted(list(logits), np.zeros(len(logits)))
    allowed = form.allowed(prefix)
    rows = [np.asarray(row) for row in logits]
    log_allowed = np.array([_log_mass(row, t, allowed) for row, t in zip(rows, temperatures.tolist(), strict=True)])
    for i in np.flatnonzero(np.isneginf(log_allowed)).tolist():
        text = spelled(form.vocabulary, prefix).decode("utf-8", "replace")
        raise CellError(
            f"agent {voices[i].name!r} says none of the {allowed.sum():,} tokens that the form allows after {text!r}, "
            f"but {np.isfinite(rows[i]).sum():,} others",
            agent=voices[i].name,
        )
    return Restricted([_cut(row, allowed) for row in rows], log_allowed)


def _cut(row: Logits, allowed: Mask) -> Logits:
    nothing = NEXT_TO_NOTHING if row.dtype == np.float32 else -np.inf
    return np.where(allowed, row, row.dtype.type(nothing))


def _log_mass(row: Logits, temperature: float, allowed: Mask) -> float:
    """log p(A) of p = softmax(row / temperature)."""
    scores = row / np.float64(temperature)
    return min(0.0, _log_sum(scores[allowed]) - _log_sum(scores))


def _log_sum(scores: Array) -> float:
    top = scores.max()
    return float(top) if np.isneginf(top) else float(top + np.log(np.exp(scores - top).sum()))
