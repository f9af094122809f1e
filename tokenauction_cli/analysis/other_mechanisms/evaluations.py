"""What texts cost to write: evaluations of models, and the seconds of the run that these take.

    evaluations   distinct (query, prefix) of the texts of a mechanism, or of its candidates, times the distinct prompts

Texts share the prefixes that they have in common, whatever their bids. Candidates serve every bid, and all mechanisms
that share them. A mechanism is counted as if it ran alone: its seconds are its evaluations times the seconds of all
sessions over all evaluations of the run. Where every text is a candidate nothing is written, and
nothing is counted; nor are candidates or seconds of another run, from which texts were taken over.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ...engine.candidates.proposals import KIND, Pool, candidates_of
from ...experiment.experiment import Experiment
from ...runs.run_folder import Record, RunFolder
from ..frames.mechanism_names import named

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
    each = _seconds(manifest) / total if total else math.nan
    per_text = {rule: len(own) / int(n_texts[rule]) if own else math.nan for rule, own in prefixes.items()}
    return {rule: Cost(n * _n_prompts(experiment), n * each) for rule, n in per_text.items()}


def _seconds(manifest: dict[str, Any]) -> float:
    """Of all sessions; NaN where other runs took some of the time."""
    sessions = manifest.get("sessions", ())
    is_known = sessions and not any(session.get("taken_over") for session in sessions)
    return sum(float(session.get("seconds", math.nan)) for session in sessions) if is_known else math.nan


def _prefixes_by_rule(experiment: Experiment, folder: RunFolder, cells: pd.DataFrame) -> dict[str, set[int]]:
    records = folder.records()
    written = [named(records[cell]) for cell in cells["cell"] if cell in records]
    candidates = folder.of(KIND).records() if "candidate" in cells else {}
    found: dict[str, set[int]] = {}
    for rule in dict.fromkeys(cells["aggregation"]):
        own = [record for record in written if record["aggregation"] == rule]
        if any("candidate" in record for record in own):
            own = _candidates(experiment, rule, own, candidates)
        found[str(rule)] = {prefix for record in own for prefix in _prefixes(record["query"], record["token_ids"])}
    return found


def _candidates(
    experiment: Experiment, rule: str, settled: Iterable[Mapping[str, Any]], candidates: Mapping[str, Record]
) -> list[Mapping[str, Any]]:
    """The records of the candidates that these texts were chosen among; none where some are not in the folder."""
    choice = experiment.auction.others[rule]
    places = dict.fromkeys((record["query"], record["seed"]) for record in settled)
    pools = (Pool(query, seed, choice.generator, choice.candidates) for query, seed in places)
    wanted = [cell.id for pool in pools for cell in candidates_of(experiment, pool)]
    return [candidates[cell] for cell in wanted] if all(cell in candidates for cell in wanted) else []


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
