"""What must hold of a finished run, as `expect` in its file says; `analysis/expectations.py` looks whether it does."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ...system.errors import Problem
from ..format.expect import At, ExpectationSection, TextTest

TOLERANCE = 1e-6


def is_same(wanted: float, found: float | None) -> bool:
    """Whether a weight or a bid is the one that was written, with as many digits as people write."""
    return found is not None and math.isclose(wanted, found, rel_tol=TOLERANCE, abs_tol=TOLERANCE)


@dataclass(frozen=True)
class Expectation:
    """A figure that lies from `low` to `high` in every row, or a test that at least `share` of the texts pass.

    One of `figure` and `text` is None; `at` has agents by id. `place` is where it stands in its file.
    """

    figure: str | None
    text: TextTest | None
    at: At
    low: float
    high: float
    share: float
    place: Problem

    @classmethod
    def of(cls, section: ExpectationSection, place: Problem) -> Expectation:
        """From a section whose names are resolved."""
        return cls(
            figure=section.figure,
            text=section.text,
            at=section.at or At(),
            low=-math.inf if section.min is None else section.min,
            high=math.inf if section.max is None else section.max,
            share=1.0 if section.share is None else section.share,
            place=place,
        )
