"""The judges of a file, which score every finished text: asked after the last one, and kept beside the records.

`judges-<k>.jsonl` has a line for each score, named by a digest of the judge's model and prompt, the query and the text:
whoever reads a run needs no model. `judged-<k>.jsonl` has the same scores by what the model read (`judges.py`).

Of a few texts each judge is asked a second time, with Yes and No in each other's places in its prompt. Where that moves
its score more than another text does, the judge does not tell the texts apart.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import yaml

from ..experiment.experiment import Experiment
from ..experiment.format.judges import TextJudge
from ..experiment.resolved.agent import adapters_of
from ..runs.run_folder import RunFolder
from ..runs.run_folders import RESOLVED
from .judges import SAME, JudgeQuestion, judged, model_of

FILES = "judges"
MOST_SWAPPED = 20
_ANSWERS = re.compile(r"\{\{.*?\}\}|\{%.*?%\}|\b(?:yes|no)\b", re.DOTALL | re.IGNORECASE)
_OTHER = {"yes": "no", "no": "yes", "Yes": "No", "No": "Yes", "YES": "NO", "NO": "YES"}


class JudgedText(NamedTuple):
    """What a judge reads: a query and a finished text."""

    query: str
    text: str


@dataclass
class Judgement:
    """What one judge said: p(Yes) / (p(Yes) + p(No)) by text, and of some texts with Yes and No in exchanged places."""

    scores: dict[JudgedText, float] = field(default_factory=dict)
    swapped: dict[JudgedText, float] = field(default_factory=dict)

    def doubt(self, name: str) -> str:
        """A sentence about a judge that does not tell texts apart, '' where it does or there are too few to know."""
        scores = np.array(list(self.scores.values()))
        if len(scores) < 2:
            return ""
        changes = [abs(self.scores[text] - score) for text, score in self.swapped.items() if text in self.scores]
        spread, change = float(scores.std()), float(np.mean(changes)) if changes else 0.0
        if spread > max(change, SAME):
            return ""
        why = f"they change by {change:.3g} in the mean where Yes and No change places in its prompt"
        return (
            f"The judge {name} does not tell texts apart: its scores of {len(scores)} texts have a standard deviation "
            f"of {spread:.3g}" + (f", and {why}" if changes else "") + ". Ask for something in which texts differ, or "
            "choose another model."
        )


Judgements = dict[str, Judgement]
"""By the name of the judge."""


def check_judges(experiment: Experiment) -> None:
    """Raises ModelError where a judge's model is not there, before any text is written."""
    for judge in experiment.judges.values():
        model_of(experiment, judge)


def kept_judgements(experiment: Experiment, folder: RunFolder, texts: Iterable[JudgedText]) -> Judgements:
    """What the judges of an experiment have said of these texts, as the folder of its run knows."""
    if not experiment.judges:
        return {}
    known, texts = _known(folder), list(texts)
    return {name: _judgement(experiment, judge, known, texts) for name, judge in experiment.judges.items()}


def ask_judges(
    experiment: Experiment, folder: RunFolder, texts: Iterable[JudgedText], tell: Callable[[str], None]
) -> Judgements:
    """The same; what the folder, which the caller has locked, does not know is asked for and kept."""
    texts = list(texts)
    for name, judge in experiment.judges.items():
        known = _known(folder)
        few = texts[:: -(-len(texts) // MOST_SWAPPED) or 1] if swapped_prompt(judge.prompt) != judge.prompt else []
        for one, wanted in ((judge, texts), (_swapped(judge), few)):
            names = {text: _digest(experiment, one, text) for text in wanted}
            if known.keys() >= set(names.values()):
                continue
            asked = {text: JudgeQuestion("", *text) for text in wanted}
            scores = judged(experiment, one, asked.values(), folder, tell)
            with folder.of(FILES).appending() as appender:
                new = [(digest, scores[asked[text]]) for text, digest in names.items() if digest not in known]
                appender.append({"asked": digest, "judge": name, "score": score} for digest, score in new)
    if experiment.judges:
        _keep_names(experiment, folder)
    return kept_judgements(experiment, folder, texts)


def swapped_prompt(prompt: str) -> str:
    """The prompt with Yes and No in each other's places, those inside braces left as they are.

    >>> swapped_prompt("{{ text }} Good? Yes or No:")
    '{{ text }} Good? No or Yes:'
    """
    return _ANSWERS.sub(lambda found: _OTHER.get(found.group(), found.group()), prompt)


def _swapped(judge: TextJudge) -> TextJudge:
    return judge.model_copy(update={"prompt": swapped_prompt(judge.prompt)})


def _judgement(
    experiment: Experiment, judge: TextJudge, known: Mapping[str, float], texts: Sequence[JudgedText]
) -> Judgement:
    """What is known of one judge and these texts."""

    def of(asked: TextJudge) -> dict[JudgedText, float]:
        named = ((text, _digest(experiment, asked, text)) for text in texts)
        return {text: known[digest] for text, digest in named if digest in known}

    other = _swapped(judge)
    return Judgement(of(judge), of(other) if other != judge else {})


def _digest(experiment: Experiment, judge: TextJudge, text: JudgedText) -> str:
    adapters = [str(one) for one in adapters_of(judge.adapter)]
    asked = [judge.model, *adapters, judge.prompt, *text, dict(experiment.columns_of(text.query))]
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode("ascii")).hexdigest()[:24]


def _known(folder: RunFolder) -> dict[str, float]:
    return {line["asked"]: line["score"] for line in _lines(folder.of(FILES))}


def _lines(kept: RunFolder) -> Iterator[Mapping[str, Any]]:
    return (line for path in kept.record_files() for line, _ in kept.lines_of(path, "asked"))


def _keep_names(experiment: Experiment, folder: RunFolder) -> None:
    """Judges that came to a run that had begun stand in its resolved file from now on."""
    plain = yaml.safe_load(folder.read(RESOLVED))
    judges = plain.get("judges", {}) | experiment.plain["judges"]
    if plain.get("judges") != judges:
        folder.write(RESOLVED, yaml.safe_dump(plain | {"judges": judges}, sort_keys=False, allow_unicode=True))
