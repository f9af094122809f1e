"""What installed packages add to tokauction, by the entry points of their distributions.

A package that names `median = "salon.pooling:Median"` in the group `tokauction.aggregation` adds an aggregation rule
that experiment files call `median`. Installed code counts as trusted. A name that tokauction has itself stays its own.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, NamedTuple

MODELS = "tokauction.models"  # the group of models; those of rules are in mechanism/registry.py


class Addition(NamedTuple):
    """One entry point: its name in experiment files, the package that brings it, and what it points to."""

    name: str
    package: str
    version: str
    entry_point: EntryPoint

    @property
    def origin(self) -> str:
        """As in "salon 0.3"."""
        return f"{self.package} {self.version}"

    def load(self) -> Any:
        """Import the object; raises what its module raises."""
        return self.entry_point.load()


def additions(group: str) -> Mapping[str, Addition]:
    """By name, what installed packages add to one of the groups `tokauction.aggregation`, `.models` and so on."""
    return _found(group, tuple(sys.path))


@cache
def _found(group: str, _path: tuple[str, ...]) -> Mapping[str, Addition]:
    found: dict[str, Addition] = {}
    for point in entry_points(group=group):
        package = point.dist
        if package is not None:
            found.setdefault(point.name, Addition(point.name, package.name, package.version, point))
    return found
