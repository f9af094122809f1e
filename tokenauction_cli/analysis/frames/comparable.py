"""Which figures of two aggregation rules, or other mechanisms, may stand beside each other.

Welfare, and its share of the optimum, are measured by the objective that the rule itself maximises: linear's in
forward KL, log-linear's in reverse KL, and each mechanism's in a measure of its own; `common_welfare` is in one.
Numbers in two measures are neither subtracted nor drawn on one axis. Payments
are what is charged, in units of the bids, and are compared whatever they were worked out from.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...mechanism import registry
from ...mechanism.welfare import objective_of
from ..columns.columns import BY_OBJECTIVE


def are_comparable(figure: str, *rules: str) -> bool:
    """Whether a figure of summary.csv is in one measure under all of these aggregation rules."""
    return len(groups_of(figure, rules)) < 2


def groups_of(figure: str, rules: Sequence[str]) -> list[list[str]]:
    """The rules, in their order, in groups under which the figure is in one measure."""
    if figure.split(".")[0] not in BY_OBJECTIVE:
        return [list(rules)]
    groups: dict[Any, list[str]] = {}
    for rule in rules:
        groups.setdefault(_measure(rule), []).append(rule)
    return list(groups.values())


def _measure(rule: str) -> Any:
    """The objective of a rule; of one's own its name, for no table is worth running code to look at it.

    Every other mechanism has an objective of its own.
    """
    if registry.is_custom(rule) or rule in registry.names("mechanism"):
        return rule
    return objective_of(registry.find("aggregation", rule))
