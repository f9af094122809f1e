"""What wrote a text: an aggregation rule of the token auction, or another mechanism.

In frames the column `aggregation` names either, so that both are grouped and compared alike. What is written, and shown
to programs, has `mechanism` beside it, and an `aggregation` that is empty for other mechanisms; where an experiment
runs the token auction alone there is no `mechanism`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ...experiment.experiment import Experiment
from ...experiment.resolved.mechanism_choice import TOKEN_AUCTION

if TYPE_CHECKING:
    import pandas as pd

AGGREGATION, MECHANISM = "aggregation", "mechanism"


def payments_of(experiment: Experiment) -> list[str]:
    """The columns, after `payment.`, that people ask for first: the payment rules, and what each mechanism charges."""
    return [*experiment.auction.payments, *experiment.auction.others]


def named(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """A record with one name for what wrote its text."""
    if MECHANISM not in record:
        return record
    return {name: value for name, value in record.items() if name != MECHANISM} | {AGGREGATION: record[MECHANISM]}


def keys_of(experiment: Experiment, rule: str) -> tuple[tuple[str, str], ...]:
    """A name of frames as columns for programs, and what they hold."""
    mechanisms = experiment.auction.others
    if not mechanisms:
        return ((AGGREGATION, rule),)
    is_other = rule in mechanisms
    return (MECHANISM, rule if is_other else TOKEN_AUCTION), (AGGREGATION, "" if is_other else rule)


def for_programs(experiment: Experiment, frame: pd.DataFrame) -> pd.DataFrame:
    """A frame of an experiment with its names as columns for programs."""
    mechanisms = experiment.auction.others
    if not mechanisms or AGGREGATION not in frame:
        return frame
    names = frame[AGGREGATION]
    is_other = names.isin(list(mechanisms))
    split = frame.assign(**{AGGREGATION: names.mask(is_other, "")})
    split.insert(int(split.columns.get_loc(AGGREGATION)), MECHANISM, names.where(is_other, TOKEN_AUCTION))  # type: ignore[arg-type]
    return split
