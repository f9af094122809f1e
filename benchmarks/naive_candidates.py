"""What one would write first of a mechanism that chooses among candidates: again one `Llama` object per agent.

A candidate is written token by token, by log-linear at equal weights. Every agent then reads it in one pass to score
it, and so does the reference, where there is one. Each object reads its prompt once, and keeps what that leaves in it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tokenauction_cli.experiment.experiment import Experiment
from tokenauction_cli.mechanism.distributions import Array, log_normalize

from .naive import TEXTS, models_of

if TYPE_CHECKING:
    from tokenauction_cli.lm.llama.gguf import GgufPrompt
    from tokenauction_cli.lm.llama.hardware import Hardware


def draws_per_second(experiment: Experiment, prompts: Sequence[GgufPrompt], hardware: Hardware) -> float:
    """Tokens of candidates, by a loop that writes and scores a few; `prompts` are the agents', then the reference's."""
    n_tokens = experiment.auction.max_draws
    longest = max(len(prompt.tokens) for prompt in prompts) + n_tokens
    rng = np.random.default_rng(experiment.seed)
    with models_of(prompts, longest, hardware, logits_all=True) as models:
        voices = (*experiment.agents, *([experiment.reference] if experiment.reference else ()))
        readers = [
            _Reader(model, prompt, voice.temperature)
            for model, prompt, voice in zip(models, prompts, voices, strict=True)
        ]
        begun = time.perf_counter()
        for _ in range(TEXTS):
            text = _written(readers[: len(experiment.agents)], n_tokens, rng)
            for reader in readers:
                reader.log_p(text)
        return TEXTS * n_tokens / (time.perf_counter() - begun)


def _written(writers: Sequence[_Reader], n_tokens: int, rng: np.random.Generator) -> list[int]:
    """A text that has as many tokens as it may."""
    text: list[int] = []
    for writer in writers:
        writer.begin()
    while True:
        pool = np.exp(log_normalize(np.mean([writer.log_law() for writer in writers], axis=0)))
        text.append(min(int(np.searchsorted(np.cumsum(pool), rng.random())), len(pool) - 1))
        if len(text) == n_tokens:
            return text
        for writer in writers:
            writer.add(text[-1])


class _Reader:
    """An agent, or the reference: what follows what it read, and how likely a whole text is."""

    def __init__(self, model: Any, prompt: GgufPrompt, temperature: float) -> None:
        self._model, self._prompt, self._temperature = model, prompt.tokens, temperature

    def begin(self) -> None:
        """Read the prompt, where that is not read already."""
        if self._model.n_tokens < len(self._prompt):
            self._model.eval(self._prompt)
        self._model.n_tokens = len(self._prompt)

    def log_law(self) -> Array:
        """Of the next token."""
        return self._log_p(self._model.n_tokens - 1)

    def add(self, token: int) -> None:
        self._model.eval([token])

    def log_p(self, text: Sequence[int]) -> float:
        """Of a whole text, read in one pass."""
        self.begin()
        self._model.eval(text[:-1])
        behind = len(self._prompt) - 1
        return float(sum(self._log_p(behind + k)[token] for k, token in enumerate(text)))

    def _log_p(self, position: int) -> Array:
        logits = np.asarray(self._model.scores[position], dtype=np.float64)
        return np.asarray(log_normalize(logits / self._temperature))
