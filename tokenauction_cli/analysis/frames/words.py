"""The bytes of a trace as words: a segment of the text up to and including whitespace (bytes 09 to 0D, 20), or END.

    log_p, log_q, payments   add up over the bytes of a word
    posterior                b_i p_i(word) / sum_j b_j p_j(word), by the bids at the word's first byte
    bytes                    how many draws make the word, END included
    contested                its most contested byte: the draw `at`, from 0, its `name`, `log_p` and `log_q`. Of that
                             one are `switch`, `dictator` and `candidates`

Most contested is the byte that one agent would say and the others would not. A candidate that completes a character
is named by it; any other byte that is no character by itself keeps its number, as in \\xc3.
"""

from __future__ import annotations

import codecs
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ...engine.loop.text_state import bids_before
from ...engine.loop.words import WHITE_SPACE
from ...experiment.experiment import Experiment
from ...lm.bytes.byte_model import ByteVocabulary
from ...lm.bytes.lexicon import END
from ...mechanism.measures import posterior
from ...system.arrays import Array

_VOCABULARY = ByteVocabulary()
_NUMBER = re.compile(r"\\x[0-9a-f]{2}")
Trace = Mapping[str, Any]


def in_words(experiment: Experiment, cell: Mapping[str, Any], drawn: Sequence[int], trace: Trace) -> Trace:
    """The trace of the bytes `drawn`, with an entry per word; `cell` is the text's row of cells.csv."""
    words = list(_words(drawn))
    log_p = np.array([[_log(value) for value in row] for row in trace["log_p"]])
    summed = [log_p[:, word].sum(axis=1) for word in words]
    bids = (bids_before(experiment, cell, word.start) for word in words)
    explained = [posterior(of_agents, own) for of_agents, own in zip(bids, summed, strict=True)]
    contested = [word.start + most_contested(log_p[:, word]) for word in words]
    worded: dict[str, Any] = {
        "pieces": ["".join(trace["pieces"][word]) for word in words],
        "log_p": _by_agent(summed),
        "log_q": [_plain(sum(map(_log, trace["log_q"][word]))) for word in words],
        "posterior": _by_agent(explained),
        "payments": {
            name: [[math.fsum(row[word]) for word in words] for row in rows] for name, rows in trace["payments"].items()
        },
        "bytes": [word.stop - word.start for word in words],
        "contested": [
            _contested(drawn[word.start : at + 1], trace, at) for word, at in zip(words, contested, strict=True)
        ],
    }
    worded |= {name: [trace[name][at] for at in contested] for name in ("switch", "dictator") if name in trace}
    if "candidates" in trace:
        worded["candidates"] = [_named(trace["candidates"][at], _torn(drawn[:at])) for at in contested]
    return worded


def _words(drawn: Sequence[int]) -> Iterator[slice]:
    """Where each word begins and ends."""
    start = 0
    for k, byte in enumerate(drawn):
        if byte in WHITE_SPACE or byte == END or k == len(drawn) - 1:
            yield slice(start, k + 1)
            start = k + 1


def _contested(so_far: Sequence[int], trace: Trace, at: int) -> dict[str, Any]:
    """The last byte of a word so far, which was drawn at this position of the text."""
    name = _character(_VOCABULARY.name(so_far[-1]), _torn(so_far[:-1]))
    log_p = [row[at] for row in trace["log_p"]]
    return {"at": len(so_far) - 1, "name": name, "log_p": log_p, "log_q": trace["log_q"][at]}


def _torn(drawn: Sequence[int]) -> bytes:
    """The bytes at the end that begin a character."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    decoder.decode(bytes(byte for byte in drawn if byte != END))
    return decoder.getstate()[0]


def _named(candidates: Mapping[str, Any], torn: bytes) -> dict[str, Any]:
    return {**candidates, "tokens": [_character(name, torn) for name in candidates["tokens"]]}


def _character(name: str, torn: bytes) -> str:
    """The character that a byte completes, else its own name."""
    if not _NUMBER.fullmatch(name):
        return name
    try:
        return (torn + bytes([int(name[2:], 16)])).decode()
    except UnicodeDecodeError:
        return name


def most_contested(log_p: Array) -> int:
    """Of (agents, n), where one agent has most of all agents' probability of what was drawn; of equals the first."""
    p = np.exp(log_p)
    total = p.sum(axis=0)
    return int(np.argmax(p.max(axis=0) / np.where(total > 0, total, 1.0)))


def _log(value: float | None) -> float:
    """A trace has null for the logarithm of 0."""
    return -math.inf if value is None else value


def _plain(value: float) -> float | None:
    return round(value, 3) + 0.0 if math.isfinite(value) else None


def _by_agent(per_word: Sequence[Array]) -> list[list[float | None]]:
    return [[_plain(value) for value in row] for row in np.array(per_word).T.tolist()]
