"""Runs of mechanisms on tables, for tests: what ends up on disk."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from tokenauction_cli.engine.plan import Cell, cells_of
from tokenauction_cli.engine.run import SilentProgress, compute, get_ready
from tokenauction_cli.experiment.experiment import Experiment
from tokenauction_cli.runs import manifest
from tokenauction_cli.runs.run_folder import PROPOSALS, Record, RunFolder
from tokenauction_cli.runs.run_folders import folder_of

ALL_SIX = "[token_auction, mosaic, segment, lottery, highest, text_pool]"
BABBLE = """
name: babble
agents:
  - {name: A, distribution: {x: 0.5, y: 0.3, ".": 0.1, <end>: 0.1}}
  - {name: B, bid: 3, distribution: {x: 0.1, y: 0.5, z: 0.2, ".": 0.1, <end>: 0.1}}
reference: {distribution: {x: 0.2, y: 0.3, z: 0.3, ".": 0.1, <end>: 0.1}}
auction:
  mechanism: [token_auction, mosaic, segment, lottery, highest, text_pool]
  sampling: gumbel
  mosaic: {candidates: 6}
  text_pool: {candidates: 6}
  segment: {segments: 2}
  max_tokens: 6
sweep: {agent: A, relative_weight: [0, 0.5, 1], total_bid: 2, seeds: 4}
"""


class Ran(NamedTuple):
    """A run without its tables, which take longer than its texts."""

    folder: RunFolder
    manifest: manifest.Manifest
    cells: list[Cell]


def run(experiment: Experiment, results: Path, n: int | None = None, *, reuse: bool = True) -> Ran:
    """Write the first n cells that are not on disk."""
    folder, quiet = folder_of(experiment, results), SilentProgress()
    with folder.locked():
        cells = cells_of(experiment)
        ready = get_ready(folder, manifest.readable(folder), experiment, quiet)
        return Ran(folder, compute(ready, cells, folder.cells(), quiet, n, reuse=reuse), cells)


def records(ran: Ran, mechanism: str | None = None) -> list[Record]:
    """Those of one mechanism, or all, in the order of the plan."""
    found = ran.folder.records()
    ordered = [found[cell.id] for cell in ran.cells if cell.id in found]
    assert len(ordered) == len(found)
    return [one for one in ordered if mechanism in (None, one.get("mechanism", "token_auction"))]


def candidates(ran: Ran) -> list[Record]:
    return list(ran.folder.of(PROPOSALS).records().values())


def lines(folder: Path, kind: str = "records") -> set[bytes]:
    """The whole lines of a kind of records, none of them twice."""
    found = [line for path in folder.glob(f"{kind}-*.jsonl") for line in path.read_bytes().splitlines(keepends=True)]
    whole = [line for line in found if line.endswith(b"\n")]
    assert len(whole) == len(set(whole)), "no record twice"
    return set(whole)


def evaluations(ran: Ran) -> int:
    return sum(int(session["evaluations"]) for session in ran.manifest["sessions"])


def n_prefixes(texts: Iterable[Record]) -> int:
    """Distinct prefixes after which something was drawn, the empty ones not counted."""
    return len({
        (one["query"], *one["token_ids"][:k]) for one in texts for k in range(1, len(one["token_ids"]))
    })  # fmt: skip


def plain(record: Record, *left_out: str) -> Any:
    """A record to compare, without these keys."""
    return json.loads(json.dumps({key: value for key, value in record.items() if key.split(".")[0] not in left_out}))
