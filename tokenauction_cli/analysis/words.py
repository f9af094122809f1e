"""The bytes of a trace as words: a segment of the text up to and including whitespace (bytes 09 to 0D, 20), or END.

    log_p, log_q, payments   add up over the bytes of a word
    posterior                b_i p_i(word) / sum_j b_j p_j(word), by the bids at the word's first byte
    byte                     which byte of the word is contested most, from 0: of that one are `switch`, `dictator` and
                             `candidates`
    bytes                    how many draws make the word, END included

A word goes as far as its characters do, so bytes that are no UTF-8, and a character that the end of the text tore, stay
where they were decoded.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..experiment.experiment import Experiment
from ..mechanism.measures import posterior

WHITESPACE = ("\t", "\n", "\v", "\f", "\r", " ")
Array = NDArray[np.float64]
Trace = Mapping[str, Any]


def bids_of(experiment: Experiment, cell: Mapping[str, Any], position: int) -> Array:
    """What the agents bid at a position of a text, which is a row of cells.csv: under a reserve, and what budgets leave."""
    bids = []
    for agent in experiment.agents:
        bid, spent_at = float(cell[f"bid.{agent.id}"]), cell.get(f"spent_at.{agent.id}")
        is_spent = spent_at is not None and position >= spent_at  # not where it is NaN
        is_kept_out = bid < experiment.auction.reserve and not agent.reference
        bids.append(0.0 if is_spent or is_kept_out else bid)
    return np.array(bids)


def in_words(experiment: Experiment, cell: Mapping[str, Any], trace: Trace) -> Trace:
    """The trace of a text of bytes with an entry per word; of any other alphabet the trace as it is."""
    if experiment.auction.alphabet != "bytes":
        return trace
    words = list(_words(trace["pieces"]))
    log_p = np.array([[_log(value) for value in row] for row in trace["log_p"]])
    summed = [log_p[:, word].sum(axis=1) for word in words]
    bids = (bids_of(experiment, cell, word.start) for word in words)
    explained = [posterior(of_agents, own) for of_agents, own in zip(bids, summed, strict=True)]
    contested = [word.start + most_contested(log_p[:, word]) for word in words]
    return {
        "pieces": ["".join(trace["pieces"][word]) for word in words],
        "log_p": _by_agent(summed),
        "log_q": [_plain(sum(map(_log, trace["log_q"][word]))) for word in words],
        "posterior": _by_agent(explained),
        "payments": {
            name: [[math.fsum(row[word]) for word in words] for row in rows] for name, rows in trace["payments"].items()
        },
        "byte": [at - word.start for at, word in zip(contested, words, strict=True)],
        "bytes": [word.stop - word.start for word in words],
        **{name: [trace[name][at] for at in contested] for name in ("switch", "dictator", "candidates") if name in trace},
    }


def _words(pieces: Sequence[str]) -> Iterator[slice]:
    """Where each word begins and ends."""
    start = 0
    for k, piece in enumerate(pieces):
        if piece.endswith(WHITESPACE) or k == len(pieces) - 1:
            yield slice(start, k + 1)
            start = k + 1


def most_contested(log_p: Array) -> int:
    """Where the agents' probabilities of what was drawn lie farthest apart, of (agents, n); of equals the first."""
    p = np.exp(log_p)
    return int(np.argmax(p.max(axis=0) - p.min(axis=0)))


def _log(value: float | None) -> float:
    """A trace has null for the logarithm of 0."""
    return -math.inf if value is None else value


def _plain(value: float) -> float | None:
    return round(value, 3) + 0.0 if math.isfinite(value) else None


def _by_agent(per_word: Sequence[Array]) -> list[list[float | None]]:
    return [[_plain(value) for value in row] for row in np.array(per_word).T.tolist()]
