"""Models of different vocabularies over one alphabet: 256 bytes and END.

A text is byte values; the answer to a prompt is log p of the next symbol, (257,) float64, by a covering of the text
with tokens of the prompt's own model, at the agent's temperature: whoever aggregates uses temperature 1.

Requests advance in rounds. A round evaluates, in one batch per token model, what the coverings of all requests lack;
most bytes need one round or none. Every (slot, prompt) has a few places, slots of its token model, and each evaluation
takes the one that holds most of its context, the first in doubt. The heaviest go first; where there are more than
places, the others wait a round. All first places come before all second ones, and so on, because llama.cpp's batches
are fastest over neighbours.

Two caches, of logits and of states, make this fast and change nothing: what is not there is worked out again, to the
same bits where the token models keep theirs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ...system.errors import CellError, SpellingError
from ..base import NO_LOGITS, LanguageModel, Logits, Request, common_length
from .covering import N_SYMBOLS, Covering, Knobs, Scores, Steps, Wanted
from .hypotheses import Context, State, silenced
from .least_recent import LeastRecent
from .lexicon import END, Lexicon

PLACES = 4  # of a (slot, prompt): with two, coverings that follow much evaluate as much again to get back to a context
MOST_LOGITS_BYTES = 256 << 20
MOST_STATES_BYTES = 64 << 20


class ByteVocabulary:
    """256 bytes, and END."""

    size = N_SYMBOLS
    joiner = b""
    ends = frozenset({END})

    def piece(self, token: int) -> bytes:
        return b"" if token == END else bytes([token])

    def name(self, token: int) -> str:
        return "<end>" if token == END else self.piece(token).decode("utf-8", "backslashreplace")


class TokenModel(NamedTuple):
    """A model of tokens that speaks for at most `most_prompts` prompts of a request, and its vocabulary by bytes.

    It needs PLACES slots for each of those prompts and each slot of the byte model.
    """

    model: LanguageModel
    lexicon: Lexicon
    most_prompts: int


@dataclass(frozen=True)
class BytePrompt:
    """A prompt of one of the token models, by its number; the agent is named in messages only."""

    token_model: int
    prompt: Any
    temperature: float
    agent: str = field(compare=False)

    @property
    def n_tokens(self) -> int:
        return int(self.prompt.n_tokens)


class _Prompt(NamedTuple):
    """What is worked out once for a prompt; `number` stands for (token model, its prompt) without the temperature."""

    asked: BytePrompt
    covering: Covering
    number: int


class _Evaluation(NamedTuple):
    """The logits after a context of a prompt."""

    prompt: int
    context: Context


class _Task:
    """A text being followed for one prompt, until there is a state or an error."""

    def __init__(self, prompt: _Prompt, places: tuple[int, ...], steps: Steps) -> None:
        self.prompt = prompt
        self.places = places
        self.wanted: list[Wanted] = []
        self.scores: list[Scores | None] = []  # of what is wanted
        self.state: State | None = None
        self.error: CellError | None = None
        self._steps = steps

    @property
    def is_over(self) -> bool:
        return self.state is not None or self.error is not None

    @property
    def lacking(self) -> list[Context]:
        """What is to be evaluated, the heaviest first."""
        return [want.context for want, scores in zip(self.wanted, self.scores, strict=True) if scores is None]

    def advance(self) -> None:
        """Go on with the scores of what was wanted."""
        try:
            self.wanted = self._steps.send([scores for scores in self.scores if scores is not None] or None)  # type: ignore[arg-type]
        except StopIteration as stop:
            self.state = stop.value
        except CellError as error:
            self.error = CellError(f"agent {self.prompt.asked.agent!r} {error}", agent=self.prompt.asked.agent)


class ByteModel:
    """Token models behind the one protocol of `lm.base`, over bytes."""

    def __init__(
        self, token_models: Sequence[TokenModel], knobs: Knobs, slots: int, *, may_be_silent: bool = False
    ) -> None:
        """Where a prompt's model cannot spell a text, that is an error, or every symbol has log p = -inf after it."""
        self.vocabulary = ByteVocabulary()
        self.slots = slots
        self.n_evaluations = 0  # of contexts
        self.n_rounds = 0
        self._token_models = token_models
        self._knobs = knobs
        self._may_be_silent = may_be_silent
        self._prompts: dict[BytePrompt, _Prompt] = {}
        self._numbers: dict[tuple[int, Any], int] = {}
        self._held: dict[tuple[int, int], _Evaluation] = {}  # by token model and place
        self._logits: LeastRecent[tuple[int, Wanted], Scores] = LeastRecent(MOST_LOGITS_BYTES, _size_of_scores)
        self._states: LeastRecent[tuple[BytePrompt, bytes], State] = LeastRecent(MOST_STATES_BYTES, _size_of_state)

    def following(self, knobs: Knobs) -> ByteModel:
        """The same token models, followed as closely as these knobs say, with caches of their own."""
        return ByteModel(self._token_models, knobs, self.slots)

    @property
    def knobs(self) -> Knobs:
        return self._knobs

    def evaluate(self, requests: Sequence[Request]) -> list[list[Logits] | CellError]:
        """For each request log p of the next symbol after each of its prompts, to be read only."""
        tasks = [self._tasks(request) for request in requests]
        self._run([task for row in tasks for task in row if task is not None])
        return [_answer(row) for row in tasks]

    def unfollowed(self, prompt: BytePrompt, text: tuple[int, ...]) -> float:
        """The sum, over the bytes of a text, of the shares of its tokenisations that were not followed."""
        (task,) = self._tasks(Request(0, (prompt,), text))
        assert task is not None
        self._run([task])
        if task.error is not None:
            raise task.error
        assert task.state is not None
        return task.state.dropped

    def forget(self) -> None:
        self._logits.clear()
        self._states.clear()
        self._held.clear()
        for token_model in self._token_models:
            token_model.model.forget()

    def _tasks(self, request: Request) -> list[_Task | None]:
        """One per prompt, None for those left out."""
        used = [0] * len(self._token_models)
        tasks: list[_Task | None] = []
        text = bytes(request.text)
        for k, asked in enumerate(request.prompts):
            place = request.slot, used[asked.token_model]
            used[asked.token_model] += 1
            if k in request.left_out:
                tasks.append(None)
                continue
            prompt = self._known(asked)
            tasks.append(_Task(prompt, self._places(asked.token_model, *place), self._followed(prompt, text)))
        return tasks

    def _places(self, token_model: int, slot: int, k: int) -> tuple[int, ...]:
        most = self._token_models[token_model].most_prompts
        return tuple((rank * self.slots + slot) * most + k for rank in range(PLACES))

    def _known(self, asked: BytePrompt) -> _Prompt:
        if asked not in self._prompts:
            number = self._numbers.setdefault((asked.token_model, asked.prompt), len(self._numbers))
            covering = Covering(self._token_models[asked.token_model].lexicon, asked.temperature, self._knobs)
            self._prompts[asked] = _Prompt(asked, covering, number)
        return self._prompts[asked]

    def _followed(self, prompt: _Prompt, text: bytes) -> Steps:
        """The state after a text, from the longest beginning of it that is kept."""
        n = len(text)
        while (state := self._states.get((prompt.asked, text[:n]))) is None and n:
            n -= 1
        if state is None:
            state = yield from prompt.covering.begin()
            self._states.put((prompt.asked, b""), state)
        for byte in text[n:]:
            state = yield from self._advanced(prompt, state, byte)
            self._states.put((prompt.asked, state.text), state)
        return state

    def _advanced(self, prompt: _Prompt, state: State, byte: int) -> Steps:
        """The state after one more byte."""
        if state.is_silent:
            return silenced(state, byte)
        try:
            return (yield from prompt.covering.advance(state, byte))
        except SpellingError:
            if not self._may_be_silent:
                raise
            return silenced(state, byte)

    def _run(self, tasks: Sequence[_Task]) -> None:
        """Advance all tasks until they are over, in rounds of evaluations."""
        while tasks:
            for task in tasks:
                self._advance(task)
            tasks = [task for task in tasks if not task.is_over]
            if tasks:
                self._evaluate_a_round(tasks)

    def _advance(self, task: _Task) -> None:
        """Go on until the task is over or lacks what is not kept."""
        while not task.is_over and not task.lacking:
            task.advance()
            task.scores = [self._kept(task.prompt, want) for want in task.wanted]

    def _kept(self, prompt: _Prompt, want: Wanted) -> Scores | None:
        """The scores if they are there, or part of those that are."""
        scores = self._logits.get((prompt.number, want))
        if scores is None:
            whole = self._logits.get((prompt.number, Wanted(want.context, 0, prompt.covering.lexicon.size)))
            scores = None if whole is None else self._keep(prompt, want, whole)
        return scores

    def _keep(self, prompt: _Prompt, want: Wanted, whole: Scores) -> Scores:
        """The wanted part of a context's scores, a copy where it is not all."""
        scores = whole if (want.lo, want.hi) == (0, len(whole)) else whole[want.lo : want.hi].copy()
        self._logits.put((prompt.number, want), scores)
        return scores

    def _evaluate_a_round(self, tasks: Sequence[_Task]) -> None:
        """Evaluate what the tasks lack, as far as their places reach, in one batch per token model."""
        self.n_rounds += 1
        wanted: dict[int, dict[_Evaluation, Request]] = {}
        for task in tasks:
            self._place(task, wanted.setdefault(task.prompt.asked.token_model, {}))
        found: dict[_Evaluation, Scores | CellError] = {}
        for token_model, requests in wanted.items():
            found |= self._evaluated(token_model, requests)
        for task in tasks:
            self._deliver(task, found)

    def _place(self, task: _Task, requests: dict[_Evaluation, Request]) -> None:
        """Ask for what a task lacks, each context in the place that holds most of it."""
        asked = task.prompt.asked
        free = list(task.places)
        for evaluation in (_Evaluation(task.prompt.number, context) for context in task.lacking):
            if evaluation in requests:
                continue
            if not free:
                break
            place = max(free, key=lambda place: self._shared(asked.token_model, place, evaluation))
            free.remove(place)
            requests[evaluation] = Request(place, (asked.prompt,), evaluation.context)

    def _shared(self, token_model: int, place: int, evaluation: _Evaluation) -> int:
        """How many tokens a place holds of what is to be evaluated, -1 where it holds another prompt."""
        held = self._held.get((token_model, place))
        if held is None or held.prompt != evaluation.prompt:
            return -1
        return common_length(held.context, evaluation.context)

    def _evaluated(
        self, token_model: int, requests: dict[_Evaluation, Request]
    ) -> dict[_Evaluation, Scores | CellError]:
        """What a token model answers, in the lexicon's order."""
        model, lexicon, _ = self._token_models[token_model]
        self.n_evaluations += len(requests)
        for evaluation, request in requests.items():
            self._held[token_model, request.slot] = evaluation
        answers = zip(requests, model.evaluate(list(requests.values())), strict=True)
        return {e: answer if isinstance(answer, CellError) else answer[0][lexicon.order] for e, answer in answers}

    def _deliver(self, task: _Task, found: dict[_Evaluation, Scores | CellError]) -> None:
        """Give a task what was found of what it lacks."""
        for k, want in enumerate(task.wanted):
            answer = found.get(_Evaluation(task.prompt.number, want.context))
            if isinstance(answer, CellError):
                task.error = answer
            elif answer is not None and task.scores[k] is None:
                task.scores[k] = self._keep(task.prompt, want, answer)


def _answer(row: Sequence[_Task | None]) -> list[Logits] | CellError:
    """The distributions of a request, or the first reason why there are none."""
    logits = []
    for task in row:
        if task is not None and task.error is not None:
            return task.error
        logits.append(NO_LOGITS if task is None or task.state is None else task.state.log_p)
    return logits


def _size_of_scores(key: tuple[int, Wanted], scores: Scores) -> int:
    return scores.nbytes + 8 * len(key[1].context) + 300


def _size_of_state(key: tuple[BytePrompt, bytes], state: State) -> int:
    return state.n_bytes + 300
