"""A judge: a model is asked about each finished text, u = p(Yes) / (p(Yes) + p(No)).

p(Yes) is the probability, right behind the question, of the tokens with which "Yes" and " Yes" begin, and p(No) that of
those of "No" and " No". A token with which both answers begin tells nothing: it counts for neither.

A score depends on the model's file and the question alone, not on what else is asked (`lm/llama/prefill.py`). So it is
worked out once: `judged-<k>.jsonl` in the run's folder keeps it.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..engine.models.gguf_files import GgufFiles
from ..engine.models.model_in_use import ModelInUse, model_in_use
from ..engine.models.model_prompts import prompt_text
from ..experiment.experiment import Experiment
from ..experiment.resolved.agent import adapters_of
from ..experiment.templates.prompts import render_question
from ..runs.manifest import Formats
from ..runs.run_folder import RunFolder
from ..system.errors import ModelError

if TYPE_CHECKING:
    from ..experiment.format.judges import TextJudge
    from ..lm.base import Logits
    from ..lm.llama.gguf import GgufContext, GgufPrompt
    from ..lm.llama.vocabulary import GgufVocabulary

logger = logging.getLogger("tokauction")

FILES = "judged"
SAME = 1e-9  # scores that differ by less tell no text from another
BATCH = 8  # scores that are written together: what an interruption may lose
_SHOWN = 60  # characters of a question in a message


class JudgeQuestion(NamedTuple):
    """What a judge's prompt is filled in with: the name of an agent, a query, a finished text."""

    agent: str
    query: str
    text: str


class Answers(NamedTuple):
    """The tokens with which each answer begins."""

    yes: tuple[int, ...]
    no: tuple[int, ...]

    @classmethod
    def of(cls, vocabulary: GgufVocabulary) -> Answers | None:
        """None where the vocabulary does not tell the answers apart."""
        yes, no = (_beginnings(vocabulary, answer) for answer in ("Yes", "No"))
        if yes <= no or no <= yes:
            return None
        return cls(tuple(sorted(yes - no)), tuple(sorted(no - yes)))

    def share_of_yes(self, logits: Logits) -> float | None:
        """p(Yes) / (p(Yes) + p(No)) of logits (V,), None where both are 0. The softmax's sum cancels out."""
        most = logits[[*self.yes, *self.no]].max()
        if most == -np.inf:
            return None
        yes, no = (np.exp(logits[list(tokens)] - np.float64(most)).sum() for tokens in self)
        return float(yes / (yes + no))


def _beginnings(vocabulary: GgufVocabulary, answer: str) -> set[int]:
    return {token for text in (answer, f" {answer}") for token in vocabulary.tokenize(text, control=False)[:1]}


def judged(
    experiment: Experiment,
    judge: TextJudge,
    questions: Iterable[JudgeQuestion],
    folder: RunFolder,
    tell: Callable[[str], None] = logger.info,
) -> dict[JudgeQuestion, float]:
    """The score of each question, in [0, 1]. What the folder, which the caller has locked, does not have is worked out.

    Raises ModelError where the judge cannot answer a question.
    """
    model = model_of(experiment, judge)
    answers, prompts = _read(experiment, judge, model, questions)
    digests = {question: _digest(prompt) for question, prompt in prompts.items()}
    if not prompts:
        return {}
    said = list(_lines(folder))
    files = _files(experiment, model, list(prompts.values()), _began_with(experiment, said, model))
    scores = _known(said, _identity(model, files.weights.of(model.path).form))
    if not scores.keys() >= set(digests.values()):
        files.probe(tell)  # which may turn to other weights
        scores = _known(said, _identity(model, files.weights.of(model.path).form))
        new = {digest: prompts[question] for question, digest in digests.items() if digest not in scores}
        scores |= _worked_out(files, model, answers, new, folder, tell)
    return {question: scores[digest] for question, digest in digests.items()}


class Asked:
    """Asks judges for an audit, and knows which of them tell no text from another."""

    def __init__(self, experiment: Experiment, folder: RunFolder, tell: Callable[[str], None]) -> None:
        self._experiment, self._folder, self._tell = experiment, folder, tell
        self._scores: dict[tuple[str, str], dict[JudgeQuestion, float]] = {}

    def __call__(self, judge: TextJudge, questions: Iterable[JudgeQuestion]) -> Mapping[JudgeQuestion, float]:
        found = judged(self._experiment, judge, questions, self._folder, self._tell)
        self._scores.setdefault((judge.model, judge.prompt), {}).update(found)
        return found

    def doubts(self) -> Iterator[str]:
        """A sentence for each judge whose scores of several texts are the same."""
        for (model, _), scores in self._scores.items():
            least, most = min(scores.values(), default=0.0), max(scores.values(), default=0.0)
            if len(scores) > 1 and most - least < SAME:
                yield (
                    f"the judge {model} gives all {len(scores)} texts the score {most:.6g}: is this meant? Ask "
                    "for something in which texts differ, or choose another model"
                )


def model_of(experiment: Experiment, judge: TextJudge) -> ModelInUse:
    """The judge's model, without its weights. Raises ModelError where there is none."""
    return model_in_use(experiment, judge.model, adapters_of(judge.adapter))


def _read(
    experiment: Experiment, judge: TextJudge, model: ModelInUse, questions: Iterable[JudgeQuestion]
) -> tuple[Answers, dict[JudgeQuestion, GgufPrompt]]:
    """The tokens of the answers, and of every question. Raises ModelError where the model cannot be asked."""
    from ..lm.llama.gguf import open_vocabulary

    with open_vocabulary(model.path) as vocabulary:
        answers = Answers.of(vocabulary)
        if answers is None:
            raise ModelError(
                f"{model.local.reference} cannot be a judge: its vocabulary does not tell the first token of Yes from "
                "that of No; choose another model"
            )
        columns = experiment.columns_of
        return answers, {one: _prompt(judge, model, vocabulary, one, columns(one.query)) for one in questions}


def _prompt(
    judge: TextJudge, model: ModelInUse, vocabulary: GgufVocabulary, question: JudgeQuestion, columns: Mapping[str, str]
) -> GgufPrompt:
    """The tokens of a question; its query, what goes with that and its text may not name control tokens."""
    from ..lm.llama.gguf import GgufPrompt
    from ..lm.prompts.prompt_tokens import tokens_of_text

    pieces = render_question(judge.prompt, *question, columns)
    tokens = tokens_of_text(vocabulary, pieces)
    if not tokens:
        raise ModelError("the judge's prompt has no tokens; a model needs at least one to continue")
    limit = model.metadata.context_length
    if limit is not None and len(tokens) > limit:
        beginning = _beginning("".join(pieces))
        raise ModelError(
            f"the judge's question {beginning} has {len(tokens)} tokens, more than the {limit} tokens of context of "
            f"{model.local.reference}: shorten the prompt or the texts, or choose another model"
        )
    return GgufPrompt(model.path, tokens, model.tuned.adapters)


def _digest(prompt: GgufPrompt) -> str:
    """The SHA-256 of what the model reads: two templates may make one text, of which one names a control token."""
    return hashlib.sha256(np.array(prompt.tokens, "<i4").tobytes()).hexdigest()


def _lines(folder: RunFolder) -> Iterator[Mapping[str, Any]]:
    """What the folder knows of questions."""
    kept = folder.of(FILES)
    return (line for path in kept.record_files() for line, _ in kept.lines_of(path, "question"))


def _known(said: Sequence[Mapping[str, Any]], identity: str) -> dict[str, float]:
    """The scores of this model among the lines of a folder, by the digest of the question."""
    ours = (line for line in said if line.get("model") == identity)
    return {line["question"]: line["score"] for line in ours if isinstance(line.get("score"), float)}


def _began_with(experiment: Experiment, said: Sequence[Mapping[str, Any]], model: ModelInUse) -> Formats | None:
    """The formats in which the judge has answered in a folder with these lines; None before it has."""
    known = {line.get("model") for line in said}
    forms = (form for form in ("file", "bf16", "f16") if _identity(model, form) in known)
    form = next(forms, None)
    return None if form is None else Formats(experiment.runtime.kv_cache, {model.sha256: form})


def _identity(model: ModelInUse, form: str) -> str:
    """The SHA-256 of the model's file, of every part, of adapters; and the format of its weights, if another."""
    return " ".join([*model.digests, *([] if form == "file" else [form])])


def _worked_out(
    files: GgufFiles,
    model: ModelInUse,
    answers: Answers,
    prompts: Mapping[str, GgufPrompt],
    folder: RunFolder,
    tell: Callable[[str], None],
) -> dict[str, float]:
    """The scores of questions by their digests, written to the folder a few at a time."""
    from ..lm.llama.prefill import PrefillContext

    identity = _identity(model, files.weights.of(model.path).form)
    tell(f"questions for the judge {model.local.reference}: {len(prompts)}")
    in_order = sorted(prompts, key=lambda digest: prompts[digest].tokens)  # those that begin alike in a row
    scores: dict[str, float] = {}
    with files.loaded(1, kind=PrefillContext) as ([context], _), folder.of(FILES).appending() as appender:
        for begin in range(0, len(in_order), BATCH):
            few = in_order[begin : begin + BATCH]
            scores |= {digest: _score(answers, context, prompts[digest]) for digest in few}
            appender.append({"model": identity, "question": key, "score": scores[key]} for key in few)
    return scores


def _files(experiment: Experiment, model: ModelInUse, prompts: Sequence[GgufPrompt], kept: Formats | None) -> GgufFiles:
    return GgufFiles(_without_writing(experiment), {(model.name, ()): model}, [[prompt] for prompt in prompts], kept)


def _without_writing(experiment: Experiment) -> Experiment:
    """The experiment for a model that reads one text at a time and writes nothing: `runtime` is about the agents'."""
    runtime = experiment.runtime.model_copy(update={"batch": 1, "context": "auto", "deterministic": False})
    return replace(experiment, runtime=runtime, auction=replace(experiment.auction, max_draws=0))


def _score(answers: Answers, context: GgufContext, prompt: GgufPrompt) -> float:
    share = answers.share_of_yes(context.evaluate({0: prompt.tokens})[0])
    if share is None:
        raise ModelError(
            f"{prompt.path}: the judge gives neither Yes nor No any probability after "
            f"{_beginning(prompt_text(prompt))}: end the prompt where the answer follows, or choose another model"
        )
    return share


def _beginning(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "...")
