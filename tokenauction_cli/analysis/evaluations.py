"""What texts cost to write: evaluations of models, and the seconds of the run that these take.

    evaluations   distinct (query, prefix) of the texts of a mechanism, or of its candidates, times the distinct prompts

Texts share the prefixes that they have in common, whatever their bids. Candidates serve every bid, and all mechanisms
that share them. A mechanism is counted as if it ran alone: its seconds are its evaluations times the seconds of all
sessions over all evaluations of the run. Where every text is a candidate nothing is written, and nothing is counted.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ..engine.proposals import KIND, Pool, candidates_of
from ..experiment.experiment import Experiment
from ..runs.run_folder import Record, RunFolder
from .mechanism_names import named, others

if TYPE_CHECKING:
    import pandas as pd


class Cost(NamedTuple):
    """Of a text of a mechanism, in the mean over all its texts; NaN where that is not known."""

    evaluations: float
    seconds: float


def costs(experiment: Experiment, folder: RunFolder, cells: pd.DataFrame, manifest: dict[str, Any]) -> dict[str, Cost]:
    """By the name of the rule or mechanism."""
    prefixes = _prefixes_by_rule(experiment, folder, cells)
    n_texts = cells["aggregation"].value_counts()
    total = len(set().union(*prefixes.values()))
    seconds = sum(session.get("seconds", 0.0) for session in manifest.get("sessions", ()))
    found = {}
    for rule, own in prefixes.items():
        per_text = len(own) / int(n_texts[rule]) if own else math.nan
        found[rule] = Cost(per_text * _n_prompts(experiment), per_text * seconds / total if total else math.nan)
    return found


def _prefixes_by_rule(experiment: Experiment, folder: RunFolder, cells: pd.DataFrame) -> dict[str, set[int]]:
    records = folder.records()
    written = [named(records[cell]) for cell in cells["cell"] if cell in records]
    candidates = folder.of(KIND).records() if "candidate" in cells else {}
    found: dict[str, set[int]] = {}
    for rule in dict.fromkeys(cells["aggregation"]):
        own = [record for record in written if record["aggregation"] == rule]
        if any("candidate" in record for record in own):
            own = list(_candidates(experiment, rule, own, candidates))
        found[str(rule)] = {prefix for record in own for prefix in _prefixes(record["query"], record["token_ids"])}
    return found


def _candidates(
    experiment: Experiment, rule: str, settled: Iterable[Record], candidates: dict[str, Record]
) -> Iterator[Record]:
    """The records of the candidates that these texts were chosen among."""
    choice = others(experiment)[rule]
    for query, seed in dict.fromkeys((record["query"], record["seed"]) for record in settled):
        for cell in candidates_of(experiment, Pool(query, seed, choice.generator, choice.candidates)):
            if cell.id in candidates:
                yield candidates[cell.id]


def _prefixes(query: str, tokens: Sequence[int]) -> Iterator[int]:
    """A number for each prefix after which something was drawn."""
    prefix = hash(query)
    for token in tokens:
        yield prefix
        prefix = hash((prefix, token))


def _n_prompts(experiment: Experiment) -> int:
    """The reference's too. A table is asked like a model."""
    voices = [*experiment.agents, *([experiment.reference] if experiment.reference else [])]
    tables = sum(voice.model is None for voice in voices)
    return tables + len({(voice.model, voice.prompt, voice.messages) for voice in voices if voice.model is not None})
