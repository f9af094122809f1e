"""What `sweep` may say: the bids and seeds to try."""

from __future__ import annotations

import math
from typing import Annotated, Any

from pydantic import ConfigDict, Discriminator, Field, Strict, Tag

from .values import Bids, FilledText, Number, Positive, Section, Share, Whole, says


class Steps(Section):
    """Evenly spaced weights, both ends included."""

    model_config = ConfigDict(populate_by_name=True)

    start: Share = Field(alias="from", description="The first weight.")
    to: Share = Field(description="The last weight.")
    step: Positive = Field(description="The distance between two weights.")

    @property
    def n_points(self) -> int | None:
        """How many weights there are, without making them; None for more than any experiment can hold."""
        return round(self.n_steps) + 1 if self.n_steps < 1e9 else None

    @property
    def n_steps(self) -> float:
        """From the first weight to the last: a whole number, but for rounding, where the step fits."""
        return (self.to - self.start) / self.step

    @property
    def fits(self) -> bool:
        """Whether steps from the first weight meet the last."""
        return math.isclose(self.n_steps, round(self.n_steps), rel_tol=1e-9, abs_tol=1e-9)


def _list_or_mapping(value: Any) -> str | None:
    if isinstance(value, (list, tuple)):
        return "list"
    return "steps" if isinstance(value, (dict, Steps)) else None


def _list_or_number(value: Any) -> str:
    return "list" if isinstance(value, (list, tuple)) else "number"


Weights = Annotated[
    Annotated[tuple[Share, ...], Field(min_length=1), Tag("list")] | Annotated[Steps, Tag("steps")],
    Discriminator(
        _list_or_mapping,
        custom_error_type="expected",
        custom_error_message="expected a list of numbers from 0 to 1, or {from: 0, to: 1, step: 0.1}",
    ),
]
Seeds = Annotated[
    Annotated[
        Annotated[int, Strict(), Field(ge=1, lt=2**63), says("a number of seeds of at least 1, or a list of seeds")],
        Tag("number"),
    ]
    | Annotated[tuple[Whole, ...], Field(min_length=1), Tag("list")],
    Discriminator(_list_or_number),
]
Grid = Annotated[dict[FilledText, Annotated[tuple[Number, ...], Field(min_length=1)]], Field(min_length=1)]


class Sweep(Section):
    """The bids to try, by one of relative_weight, bids and grid; without it the agents' own bids."""

    agent: FilledText | None = Field(
        default=None,
        description="Name or id of the agent whose relative weight moves. Default: the first that is no reference.",
    )
    relative_weight: Weights | None = Field(
        default=None,
        description="Shares of the bids that the agent gets; the others share the rest in proportion to their bids. "
        "A list, or {from, to, step} with both ends.",
    )
    total_bid: Positive | None = Field(
        default=None,
        description="What the bids of a relative_weight sweep sum to. Default: the sum of the agents' bids.",
    )
    bids: Annotated[tuple[Bids, ...], Field(min_length=1)] | None = Field(
        default=None,
        description="Points of the sweep, each a mapping of agents (name or id) to bids; the others keep their own.",
    )
    grid: Grid | None = Field(
        default=None,
        description="A list of bids per agent (name or id): every combination, the last agent's changing first.",
    )
    seeds: Seeds = Field(default=1, description="How many seeds (0, 1, ...) per point, or a list of seeds.")
