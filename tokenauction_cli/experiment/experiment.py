"""An experiment, read from a YAML file and checked: agents, an auction, a sweep of bids.

Knows what a file may say and where it is wrong (file:line:column); knows no model and writes no file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from ..errors import ExperimentError, Problem
from .file_format import Agent, Auction, Runtime, Sweep
from .reader import read_experiment
from .sweep import SweepPoint, seeds_of, sweep_points

NO_EFFECT_ON_RECORDS = ("name", "runtime", "trust")


class Experiment(BaseModel):
    """A checked experiment: every default is filled in, every name is resolved."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    seed: int
    queries: tuple[str, ...]
    models: dict[str, str]
    agents: tuple[Agent, ...]
    auction: Auction
    sweep: Sweep
    runtime: Runtime
    blends: bool
    trust: tuple[str, ...]
    path: Path
    source: bytes

    @cached_property
    def swept_agent(self) -> int:
        """The index of the agent whose relative weight is reported: `sweep.agent`."""
        return next(i for i, agent in enumerate(self.agents) if agent.id == self.sweep.agent)

    def points(self) -> tuple[SweepPoint, ...]:
        """The bids to try, in the order of the file."""
        return self._points

    @cached_property
    def _points(self) -> tuple[SweepPoint, ...]:
        return tuple(sweep_points(self.agents, self.sweep, self.swept_agent))

    def seeds(self) -> tuple[int, ...]:
        """The cell seeds of every point."""
        return seeds_of(self.sweep)

    def resolved(self) -> dict[str, Any]:
        """The file with defaults and overrides filled in, as plain data: again a valid experiment file."""
        return {
            "name": self.name,
            "seed": self.seed,
            "queries": list(self.queries),
            "agents": [_plain(agent) for agent in self.agents],
            "auction": _plain(self.auction),
            "sweep": _plain(self.sweep),
            "runtime": _plain(self.runtime),
            "blends": self.blends,
            "trust": list(self.trust),
        }

    def semantic_hash(self) -> str:
        """8 hex digits that change exactly when a record could: the name, runtime and trust are left out."""
        semantic = {key: value for key, value in self.resolved().items() if key not in NO_EFFECT_ON_RECORDS}
        canonical = json.dumps(semantic, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode("ascii")).hexdigest()[:8]


def load_experiment(path: Path, overrides: Sequence[str] = (), trust: Sequence[str] = ()) -> Experiment:
    """Read an experiment file; `overrides` are `key.path=value` strings as given to -S, `trust` the modules of --trust.

    Raises ExperimentError with every mistake of the file and the overrides at once.
    """
    file = str(path)
    try:
        source = path.read_bytes()
    except (OSError, ValueError) as error:
        reason = "there is no such file" if isinstance(error, FileNotFoundError) else getattr(error, "strerror", error)
        raise ExperimentError([Problem(file, 0, 0, f"the experiment file cannot be read: {reason}")]) from None
    return Experiment(**read_experiment(source, file, overrides, trust), path=path, source=source)


def _plain(section: BaseModel) -> dict[str, Any]:
    plain: dict[str, Any] = section.model_dump(mode="json", by_alias=True, exclude_none=True)
    return plain
