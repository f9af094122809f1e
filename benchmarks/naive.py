"""What one would write first: one high-level `Llama` object per agent, one text at a time, nothing shared.

Over tokens each agent evaluates the token that was drawn. Over bytes each has a beam of at most BEAM tokenisations,
which a byte renews: those that can go on do, those whose token ends there are evaluated, and the heaviest stay. The
auction is linear with the inverse CDF, without payments.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tokenauction_cli.experiment.experiment import Experiment
from tokenauction_cli.lm.base import common_length
from tokenauction_cli.lm.bytes.lexicon import END, Branching, Lexicon
from tokenauction_cli.mechanism.distributions import Array

if TYPE_CHECKING:
    from tokenauction_cli.lm.llama.gguf import GgufPrompt
    from tokenauction_cli.lm.llama.hardware import Hardware

TEXTS = 3
BEAM = 4


def draws_per_second(experiment: Experiment, prompts: Sequence[GgufPrompt], hardware: Hardware) -> float:
    """Of a loop over a few texts, given the agents' prompts; loading is not counted."""
    auction = experiment.auction
    longest = max(len(prompt.tokens) for prompt in prompts) + auction.max_draws
    weights = np.array(experiment.points[len(experiment.points) // 2].bids)
    rng = np.random.default_rng(experiment.seed)
    with models_of(prompts, longest, hardware) as models:
        kind = _Tokens if auction.alphabet == "tokens" else _Bytes
        writers = [
            kind(model, prompt, agent.temperature)
            for model, prompt, agent in zip(models, prompts, experiment.agents, strict=True)
        ]
        begun = time.perf_counter()
        n_draws = sum(_text(writers, weights / weights.sum(), rng, auction.max_draws) for _ in range(TEXTS))
        return n_draws / (time.perf_counter() - begun)


def _text(writers: Sequence[_Tokens | _Bytes], weights: Array, rng: np.random.Generator, most: int) -> int:
    """Write one text; the number of its draws. Over tokens it has as many as it may."""
    for writer in writers:
        writer.begin()
    for n in range(1, most + 1):
        q = sum(w * writer.law() for w, writer in zip(weights, writers, strict=True))
        symbol = min(int(np.searchsorted(np.cumsum(q), rng.random())), len(q) - 1)
        if n == most or (symbol == END and isinstance(writers[0], _Bytes)):
            break
        for writer in writers:
            writer.add(symbol)
    return n


class _Tokens:
    """An agent that speaks tokens."""

    def __init__(self, model: Any, prompt: GgufPrompt, temperature: float) -> None:
        self._model, self._prompt, self._temperature = model, prompt, temperature

    def begin(self) -> None:
        self._model.reset()
        self._model.eval(self._prompt.tokens)

    def law(self) -> Array:
        return _softmax(_last_logits(self._model), self._temperature)

    def add(self, token: int) -> None:
        self._model.eval([token])


class _Beam(NamedTuple):
    """Tokens that spell the text but for the common bytes, `depth` of them, of a range of tokens."""

    weight: float
    context: tuple[int, ...]
    p: Array  # after the context, in the lexicon's order
    split: Branching
    depth: int


class _Bytes:
    """An agent that speaks bytes."""

    def __init__(self, model: Any, prompt: GgufPrompt, temperature: float) -> None:
        from tokenauction_cli.lm.llama.gguf import open_vocabulary

        self._model, self._prompt, self._temperature = model, tuple(prompt.tokens), temperature
        with open_vocabulary(prompt.path) as vocabulary:
            self._lexicon = Lexicon.of(vocabulary)
        self._held: tuple[int, ...] = ()
        self._text = b""
        self._beams: list[_Beam] = []

    def begin(self) -> None:
        self._text = b""
        self._beams = [self._opened(1.0, ())]

    def law(self) -> Array:
        """Of the next symbol, (257,)."""
        law = np.zeros(END + 1)
        for beam in self._beams:
            sums = _sums(beam)[beam.split.n_here :]
            law[beam.split.symbols] += beam.weight * sums / sums.sum()
        return np.asarray(law / law.sum())

    def add(self, byte: int) -> None:
        self._text += bytes([byte])
        found: list[_Beam | tuple[float, tuple[int, ...]]] = []
        for beam in self._beams:
            found += self._parted(beam, byte)
        found.sort(key=lambda one: -one[0])
        total = sum(one[0] for one in found[:BEAM])
        if not total:  # nothing goes on with what the others wrote: as the tokenizer has it, then
            found, total = [(1.0, tuple(self._model.tokenize(self._text, add_bos=False)))], 1.0
        self._beams = [
            one._replace(weight=one.weight / total) if isinstance(one, _Beam) else self._opened(one[0] / total, one[1])
            for one in found[:BEAM]
        ]

    def _parted(self, beam: _Beam, byte: int) -> Iterator[_Beam | tuple[float, tuple[int, ...]]]:
        """What becomes of a tokenisation: it goes on, and tokens that end here await their evaluation."""
        child = beam.split.child(byte)
        sums = _sums(beam)[beam.split.n_here :]
        if child is None or not sums[child.number]:
            return
        weight = beam.weight * sums[child.number] / sums.sum()
        depth = beam.depth + 1
        on = _Beam(weight, beam.context, beam.p, self._lexicon.split(child.lo, child.hi, depth), depth)
        shares = _sums(on) / sums[child.number]
        ends = self._lexicon.order[child.lo : child.lo + on.split.n_here].tolist()
        yield from ((weight * share, (*beam.context, token)) for token, share in zip(ends, shares, strict=False))
        if len(on.split.symbols):
            yield on._replace(weight=weight * shares[on.split.n_here :].sum())

    def _opened(self, weight: float, context: tuple[int, ...]) -> _Beam:
        """Evaluate a context: what the model holds of it is kept."""
        tokens = self._prompt + context
        kept = min(common_length(self._held, tokens), len(tokens) - 1)
        self._model.n_tokens = kept
        self._model.eval(tokens[kept:])
        self._held = tokens
        p = _softmax(_last_logits(self._model), self._temperature)[self._lexicon.order]
        return _Beam(weight, context, p, self._lexicon.root, 0)


def _sums(beam: _Beam) -> Array:
    """The probabilities of the tokens that end, then of those that go on with each symbol."""
    return np.asarray(np.add.reduceat(beam.p[beam.split.lo : beam.split.hi], beam.split.segments))


def _last_logits(model: Any) -> Any:
    """After `eval`, without the copies that `Llama.eval_logits` makes of every position."""
    import llama_cpp

    return np.ctypeslib.as_array(llama_cpp.llama_get_logits_ith(model.ctx, -1), shape=(model.n_vocab(),))


def _softmax(logits: Any, temperature: float) -> Array:
    x = np.asarray(logits, dtype=np.float64) / temperature
    p = np.exp(x - np.max(x))
    return np.asarray(p / p.sum())


@contextmanager
def models_of(
    prompts: Sequence[GgufPrompt], n_tokens: int, hardware: Hardware, *, logits_all: bool = False
) -> Iterator[list[Any]]:
    """A `Llama` object for each prompt; `logits_all` keeps what follows every token, not the last alone."""
    from llama_cpp import Llama

    settings = {"n_threads": hardware.n_threads, "n_threads_batch": hardware.n_threads, "verbose": False}
    with nullcontext() if hardware.uses_extra_buffers else _weights_in_their_own_order():
        models = [
            Llama(
                str(prompt.path),
                n_ctx=n_tokens + 1,
                n_gpu_layers=hardware.gpu_layers,
                logits_all=logits_all,
                **settings,
            )
            for prompt in prompts
        ]
    try:
        yield models
    finally:
        for model in models:
            model.close()


@contextmanager
def _weights_in_their_own_order() -> Iterator[None]:
    """For a llama.cpp that crashes otherwise: `Llama` has no option for it."""
    from llama_cpp import llama_cpp

    usual = llama_cpp.llama_model_default_params

    def parameters() -> Any:
        changed = usual()
        changed.use_extra_bufts = False
        return changed

    llama_cpp.llama_model_default_params = parameters
    try:
        yield
    finally:
        llama_cpp.llama_model_default_params = usual
