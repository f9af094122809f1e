"""The trace of a text: per token what the inspector of the report shows, compact, in the cell's record under `trace`.

    pieces      the text that each token completes: together the text as it was before a stop string was cut off
    log_p       log p_i of the token, one list per agent; log_q that of the aggregate
    posterior   w_i p_i / sum_j w_j p_j of the token, one list per agent: whose model explains it
    switch      stable sampling: the relative weight at which this seed's token changes; null where it never does
    dictator    of a dictatorship: the number of the agent whose distribution the token was drawn from
    payments    per column of `payment.`: one list per agent of what was charged for the token
    candidates  `top_k` only, never over words: the likeliest tokens under each agent and under q, with log_p and log_q

Logarithms and probabilities keep 3 decimals, payments 5 digits; a probability of zero is null. Lists of candidates are
made once per outcome and shared by all cells that draw from it.
"""

from __future__ import annotations

import codecs
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...lm.base import Vocabulary
from ...mechanism.distributions import Array
from ...mechanism.measures import posterior
from ...mechanism.outcome import Outcome
from ...mechanism.sampling.rules import Draw

N_CANDIDATES = 8  # under each agent and under q; fewer with more than four agents
WORTH_SHOWING = 1e-3  # a probability below this reads as zero
_BLOCK = 64


class TextTrace:
    """The trace of one text while it is written."""

    def __init__(self, vocabulary: Vocabulary, detail: str) -> None:
        self._vocabulary = vocabulary
        self._detail = detail
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._pieces: list[str] = []
        self._bids: list[Array] = []
        self._log_p: list[Array] = []
        self._log_q: list[float] = []
        self._switch: list[float] = []
        self._dictators: list[int | None] = []
        self._payments: dict[str, list[Array]] = {}
        self._candidates: list[dict[str, Any]] = []

    def add(
        self, tokens: Sequence[int], bids: Array, draw: Draw, payments: Mapping[str, Array], log_p: Array, log_q: float
    ) -> None:
        """Take down one draw: a token or those of a word, and what the agents and q give to it."""
        self._pieces.append(self._decoder.decode(b"".join(map(self._added, tokens))))
        self._bids.append(bids)
        self._log_p.append(log_p)
        self._log_q.append(log_q)
        self._switch.append(draw.switch)
        self._dictators.append(draw.dictator)
        for column, amounts in payments.items():
            self._payments.setdefault(column, []).append(amounts)

    def add_candidates(self, outcome: Outcome) -> None:
        """Take down what else could have been drawn, where that is kept."""
        if self._detail == "top_k":
            self._candidates.append(outcome.once("candidates", lambda: candidates(outcome, self._vocabulary)))

    def _added(self, token: int) -> bytes:
        """What a token adds to the text: its piece, after the joiner where it is not the first."""
        piece = self._vocabulary.piece(token)
        return self._vocabulary.joiner + piece if piece and self._pieces else piece

    def plain(self, begin: int = 0) -> dict[str, Any]:
        """As plain data for the record, without what is empty throughout; from a draw on: with -1 of the last alone."""
        torn = self._decoder.getstate()[0].decode("utf-8", "replace")  # a character that no token has completed yet
        pieces, bids, log_p = self._pieces[begin:], self._bids[begin:], self._log_p[begin:]
        switch, dictators, others = self._switch[begin:], self._dictators[begin:], self._candidates[begin:]
        trace: dict[str, Any] = {
            "pieces": [*pieces[:-1], pieces[-1] + torn] if pieces else [],
            "log_p": [rounded(row) for row in _by_agent(log_p)],
            "log_q": rounded(np.array(self._log_q[begin:])),
            "posterior": [rounded(row) for row in posterior(np.array(bids), np.array(log_p)).T] if bids else [],
            "payments": {
                column: [significant(row) for row in _by_agent(amounts[begin:])]
                for column, amounts in self._payments.items()
            },
        }
        if any(map(math.isfinite, switch)):
            trace["switch"] = rounded(np.array(switch))
        if any(dictator is not None for dictator in dictators):
            trace["dictator"] = dictators
        return trace | ({"candidates": others} if others else {})


def candidates(outcome: Outcome, vocabulary: Vocabulary) -> dict[str, Any]:
    """The likeliest tokens under each agent and under q, the likeliest under q first."""
    k = max(1, min(N_CANDIDATES, 4 * N_CANDIDATES // outcome.n_agents))
    profile, q = outcome.profile, outcome.q
    per_agent = profile.once(("top", k), lambda: [most_probable(row, k) for row in profile.p])
    union = np.unique(np.concatenate([*per_agent, most_probable(q.p, k)]))
    p, q_p = profile.p[:, union], q.p[union]
    kept = np.flatnonzero(np.maximum(p.max(axis=0), q_p) >= WORTH_SHOWING)
    order = kept[np.argsort(-q_p[kept], kind="stable")]
    tokens = union[order]
    return {
        "tokens": [vocabulary.name(int(token)) for token in tokens],
        "log_p": [rounded(row) for row in _by_agent([profile.log_at(token) for token in tokens.tolist()])],
        "log_q": rounded(np.array([q.log_at(token) for token in tokens.tolist()])),
    }


def most_probable(p: Array, k: int) -> NDArray[np.intp]:
    """The k largest of (V,), largest first, of equal ones the lowest id, without sorting or partitioning all of p.

    At least k entries reach the k-th largest of the maxima of blocks, so only entries above it are sorted.
    """
    n_blocks = len(p) // _BLOCK
    if n_blocks < k:
        return np.argsort(-p, kind="stable")[:k]
    maxima = p[: n_blocks * _BLOCK].reshape(n_blocks, _BLOCK).max(axis=1)
    near = np.flatnonzero(p >= np.partition(maxima, -k)[-k])
    return near[np.argsort(-p[near], kind="stable")][:k]


def rounded(values: Array) -> list[float | None]:
    """Three decimals, none for -0, null for what is not finite."""
    plain: list[float | None] = (np.round(values, 3) + 0.0).tolist()
    for k in np.flatnonzero(~np.isfinite(values)):
        plain[k] = None
    return plain


def significant(values: Array) -> list[float | None]:
    """Five significant digits, null for what is not a number."""
    return [None if math.isnan(value) else float(f"{value:.5g}") if value else 0.0 for value in values.tolist()]


def _by_agent(per_token: Sequence[Array]) -> Array:
    """One row per agent; none for an empty text."""
    return np.array(per_token).T
