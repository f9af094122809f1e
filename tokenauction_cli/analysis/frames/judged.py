"""What judges say of each text, as columns of cells.csv: judge.NAME."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from ...experiment.experiment import Experiment
from ...runs.run_folder import RunFolder
from ...worths.text_judges import JudgedText, Judgements

if TYPE_CHECKING:
    import pandas as pd

Ask = Callable[[Experiment, RunFolder, Iterable[JudgedText]], Judgements]
"""What the judges of an experiment say of these texts."""


def judged_cells(
    experiment: Experiment, folder: RunFolder, cells: pd.DataFrame, ask: Ask
) -> tuple[pd.DataFrame, Judgements]:
    """The cells with a column for each judge, of texts that did not fail; equal texts of one query are asked once."""
    if not experiment.judges:
        return cells, {}
    failed = cells["end_reason"] == "failed"
    texts = [None if bad else JudgedText(*one) for bad, *one in zip(failed, cells["query"], cells["text"], strict=True)]
    judgements = ask(experiment, folder, list(dict.fromkeys(filter(None, texts))))
    columns = {
        f"judge.{name}": [math.nan if text is None else one.scores.get(text, math.nan) for text in texts]
        for name, one in judgements.items()
    }
    return cells.assign(**columns), judgements
