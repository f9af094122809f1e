"""Models of tokens small enough to sum over every tokenisation, and the law of the next byte that comes of it."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tokenauction_cli.lm.base import Logits, Request
from tokenauction_cli.lm.bytes.covering import Covering, Knobs, Steps
from tokenauction_cli.lm.bytes.hypotheses import State
from tokenauction_cli.lm.bytes.lexicon import END, Lexicon
from tokenauction_cli.system.errors import CellError

Context = tuple[int, ...]
Array = NDArray[np.float64]
EXACT = Knobs(0, 0, 0)


@dataclass(frozen=True)
class TokenModel:
    """Tokens 0, 1, ... with these bytes, end tokens among them, and the logits after every context."""

    pieces: tuple[bytes, ...]
    ends: frozenset[int]
    logits: Callable[[Context], NDArray[Any]]

    @property
    def lexicon(self) -> Lexicon:
        return Lexicon(self.pieces, self.ends)


def constant(distribution: dict[bytes, float]) -> TokenModel:
    """The same distribution after every context; END is the piece of no bytes."""
    logits = np.log(list(distribution.values()))
    pieces = tuple(distribution)
    return TokenModel(pieces, frozenset({pieces.index(b"")}), lambda context: logits)


def random_model(pieces: Sequence[bytes], ends: frozenset[int], seed: int, spread: float = 2.0) -> TokenModel:
    """Logits that depend on the whole context."""

    @lru_cache(maxsize=1 << 16)
    def logits(context: Context) -> NDArray[Any]:
        chance = random.Random(f"{seed} {context}")
        return np.array([chance.gauss(0, spread) for _ in pieces])

    return TokenModel(tuple(pieces), ends, logits)


def token_law(model: TokenModel, context: Context, temperature: float = 1.0) -> Array:
    """Over tokens; what spells nothing and ends nothing is left out."""
    scores = np.asarray(model.logits(context), np.float64) / temperature
    is_silent = [not piece and token not in model.ends for token, piece in enumerate(model.pieces)]
    p = np.where(is_silent, 0, np.exp(scores - scores.max()))
    return np.asarray(p / p.sum())


def byte_law(model: TokenModel, text: bytes, temperature: float = 1.0) -> Array:
    """Of the next symbol after a text, (257,): the sum over all sequences of tokens."""
    mass = np.zeros(END + 1)

    def add(context: Context, spelled: int, weight: float) -> None:
        rest = text[spelled:]
        for token, p in enumerate(token_law(model, context, temperature)):
            piece = model.pieces[token]
            if token in model.ends:
                mass[END] += weight * p * (not rest)
            elif len(piece) > len(rest) and piece.startswith(rest):
                mass[piece[len(rest)]] += weight * p
            elif piece and rest.startswith(piece) and p:
                add((*context, token), spelled + len(piece), weight * p)

    add((), 0, 1.0)
    return mass / mass.sum()


def driven(steps: Steps, model: TokenModel, order: NDArray[np.intp], evaluated: list[Context] | None = None) -> State:
    """Run the steps of a covering on a model; takes down which contexts were evaluated."""
    answers = None
    try:
        while True:
            wanted = steps.send(answers)  # type: ignore[arg-type]
            answers = [np.asarray(model.logits(want.context))[order][want.lo : want.hi] for want in wanted]
            if evaluated is not None:
                evaluated += [want.context for want in wanted if (want.lo, want.hi) == (0, len(order))]
    except StopIteration as stop:
        return stop.value


def followed(
    model: TokenModel,
    text: bytes,
    knobs: Knobs = EXACT,
    temperature: float = 1.0,
    evaluated: list[Context] | None = None,
) -> State:
    """The state of a covering after a text."""
    covering = Covering(model.lexicon, temperature, knobs)
    state = driven(covering.begin(), model, covering.lexicon.order, evaluated)
    for byte in text:
        state = driven(covering.advance(state, byte), model, covering.lexicon.order, evaluated)
    return state


def law(state: State) -> Array:
    return np.asarray(np.exp(state.log_p))


class ModelOfTokens:
    """Token models behind the protocol of `lm.base`, one per prompt; takes down what was evaluated."""

    slots = None

    def __init__(self) -> None:
        self.evaluated: list[Request] = []

    def evaluate(self, requests: Sequence[Request]) -> list[list[Logits] | CellError]:
        assert len({request.slot for request in requests}) == len(requests)
        self.evaluated += requests
        return [[prompt.logits(request.text) for prompt in request.prompts] for request in requests]

    def forget(self) -> None:
        """Nothing is kept."""
