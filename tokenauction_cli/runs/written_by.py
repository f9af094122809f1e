"""Which worker wrote which blocks, as a manifest keeps it: seeds are ranges, such as "0-29,40"."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from itertools import groupby, zip_longest
from typing import Any

from .manifest import Manifest
from .run_folder import Record

_RANGE = re.compile(r"\b([0-9]{1,18})(?:-([0-9]{1,18}))?\b")


@dataclass
class _Did:
    """What one worker wrote: blocks are queries and seeds."""

    cells: int = 0
    seconds: float = 0.0
    blocks: set[tuple[str, int]] = field(default_factory=set)

    @property
    def plain(self) -> dict[str, Any]:
        by_query: dict[str, list[int]] = {}
        for query, seed in sorted(self.blocks):
            by_query.setdefault(query, []).append(seed)
        ranges = {query: ",".join(_ranges(seeds)) for query, seeds in by_query.items()}
        return {"cells": self.cells, "seconds": round(self.seconds, 3), "blocks": ranges}


class WrittenBy:
    """Adds up what workers write; candidates, which have seeds of their own, are counted among the cells alone."""

    def __init__(self, seeds: Set[int]) -> None:
        self._seeds = seeds
        self._by_worker: defaultdict[str, _Did] = defaultdict(_Did)

    def add(self, worker: str, records: Sequence[Record], seconds: float) -> None:
        did = self._by_worker[worker]
        did.cells += len(records)
        did.seconds += seconds
        did.blocks |= {(record["query"], record["seed"]) for record in records if record["seed"] in self._seeds}

    @property
    def plain(self) -> dict[str, dict[str, Any]]:
        """By worker, as part of a session in a manifest."""
        return {worker: did.plain for worker, did in sorted(self._by_worker.items())}


def _ranges(seeds: Sequence[int]) -> Iterator[str]:
    """As in 0-29 and 40, of seeds in their order."""
    for _, run in groupby(enumerate(seeds), lambda one: one[1] - one[0]):
        first, *more = (seed for _, seed in run)
        yield f"{first}-{more[-1]}" if more else str(first)


def worker_of_blocks(known: Manifest, seeds: Set[int]) -> dict[tuple[str, int], str]:
    """By (query, seed) of these seeds, of a manifest; nothing of blocks that no worker wrote.

    What is not as it is written here is passed over: a run folder may come from a stranger.
    """
    found: dict[tuple[str, int], str] = {}
    for session in known.get("sessions", []):
        workers = session.get("workers")
        for worker, did in workers.items() if isinstance(workers, Mapping) else ():
            blocks = did.get("blocks") if isinstance(did, Mapping) else None
            for query, ranges in blocks.items() if isinstance(blocks, Mapping) else ():
                found |= dict.fromkeys(((query, seed) for seed in _seeds(str(ranges), seeds)), str(worker))
    return found


def _seeds(ranges: str, among: Set[int]) -> Iterator[int]:
    for first, last in _RANGE.findall(ranges):
        within = range(int(first), int(last or first) + 1)
        yield from (
            filter(within.__contains__, among) if len(within) > len(among) else filter(among.__contains__, within)
        )


def in_turns(cells: Iterable[tuple[Any, str]]) -> list[Any]:
    """One of each worker, then another one of each; `cells` come with the worker that wrote them, '' for none."""
    by_worker: dict[str, list[Any]] = {}
    for cell, worker in cells:
        by_worker.setdefault(worker, []).append(cell)
    return [cell for turn in zip_longest(*by_worker.values()) for cell in turn if cell is not None]
