"""Traces for the page, small: bytes come as words, words stand once in a list, logarithms are whole thousandths, equal
lists of candidates stand once.

The whole is JSON, deflated, in base64; the page inflates it when the inspector is first opened. Where it would be more
than a page should carry, the traces of the last seeds are left out, and the page says so.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from ...analysis.run import Run

if TYPE_CHECKING:
    import pandas as pd

MOST_BYTES = 1_300_000  # of base64 per page: with the charts' library the page stays under 3 MB
MOST_CELLS = 3_000


class PackedTraces(NamedTuple):
    """What is embedded ("" for nothing), of which seeds, and of how many there are."""

    data: str
    seeds: tuple[int, ...]
    n_seeds: int


def packed_traces(run: Run, cells: pd.DataFrame, most_bytes: int = MOST_BYTES) -> PackedTraces:
    """The traces of as many seeds as fit of these cells, those of the page, keyed by their places."""
    seeds, position = list(run.experiment.seeds), {cell: k for k, cell in enumerate(cells["cell"])}
    per_seed = max(1, len(cells) // max(1, len(seeds)))
    kept = seeds[: max(1, MOST_CELLS // per_seed)]
    while kept:
        wanted = set(cells.loc[cells["seed"].isin(kept), "cell"])
        pack = _Pack((position[cell], trace) for cell, trace in run.traces(wanted, words=True))
        if not pack.cells:
            return PackedTraces("", (), len(seeds))
        data = deflated(pack.plain())
        if len(data) <= most_bytes:
            return PackedTraces(data, tuple(kept), len(seeds))
        kept = kept[: min(len(kept) - 1, int(len(kept) * 0.9 * most_bytes / len(data)))]
    return PackedTraces("", (), len(seeds))


def deflated(value: Any) -> str:
    """JSON, deflated (zlib), in base64."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return base64.b64encode(zlib.compress(text.encode("utf-8", "replace"), 9)).decode("ascii")


class _Pack:
    """Collects the traces of cells."""

    def __init__(self, traces: Iterable[tuple[int, Mapping[str, Any]]]) -> None:
        self._words: dict[str, int] = {}
        self._lists: dict[str, int] = {}
        self.cells = {position: self._cell(trace) for position, trace in traces}

    def plain(self) -> dict[str, Any]:
        lists = [json.loads(text) for text in self._lists]
        return {"words": list(self._words), "lists": lists, "cells": self.cells}

    def _cell(self, trace: Mapping[str, Any]) -> dict[str, Any]:
        short: dict[str, Any] = {
            "w": self._numbered(trace["pieces"]),
            "p": [_thousandths(row) for row in trace["log_p"]],
            "q": _thousandths(trace["log_q"]),
            "r": [_thousandths(row) for row in trace["posterior"]],
            "pay": trace["payments"],
        }
        if "switch" in trace:
            short["s"] = _thousandths(trace["switch"])
        if "dictator" in trace:
            short["d"] = trace["dictator"]
        if "contested" in trace:
            short |= {"n": trace["bytes"], "b": [self._contested(byte) for byte in trace["contested"]]}
        if "candidates" in trace:
            short["c"] = [self._candidates(candidates) for candidates in trace["candidates"]]
        return short

    def _candidates(self, candidates: dict[str, Any]) -> int:
        rows = [_thousandths(row) for row in candidates["log_p"]]
        text = json.dumps([self._numbered(candidates["tokens"]), rows, _thousandths(candidates["log_q"])])
        return self._lists.setdefault(text, len(self._lists))

    def _contested(self, byte: dict[str, Any]) -> list[Any]:
        (name,) = self._numbered([byte["name"]])
        return [byte["at"], name, _thousandths(byte["log_p"]), _thousandths([byte["log_q"]])[0]]

    def _numbered(self, words: list[str]) -> list[int]:
        return [self._words.setdefault(word, len(self._words)) for word in words]


def _thousandths(values: list[float | None]) -> list[int | None]:
    return [None if value is None else round(1000 * value) for value in values]
