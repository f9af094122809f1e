"""The statistics of a run beyond its summary: trends along the sweep, rules compared in pairs, queries pooled."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..experiment.experiment import Experiment
from .comparison import comparisons_frame
from .pooled import pooled_frame
from .trend import trends_frame

if TYPE_CHECKING:
    import pandas as pd


def statistics_frames(experiment: Experiment, cells: pd.DataFrame, summary: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The frames to write, by file name; one without a row is left out."""
    frames = {
        "trends.csv": trends_frame(summary),
        "comparisons.csv": comparisons_frame(experiment, cells),
        "pooled.csv": pooled_frame(summary),
    }
    return {name: frame for name, frame in frames.items() if len(frame)}
