"""Attention, sliding windows, recurrent and hybrid models, large vocabularies: one engine, one answer.

Where `is_batch_invariant` claims it, and one by one everywhere, the logits of a text are the same bits whatever was
evaluated before or beside it; elsewhere they are near.
"""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import llama_cpp
import numpy as np
import pytest
from conftest import Command, Reader
from numpy.typing import NDArray
from tiny_gguf import (
    F16,
    WINDOW,
    attention_model,
    bigram_model,
    hybrid_model,
    large_vocabulary_model,
    latent_model,
    mixed_model,
    mixture_model,
    recurrent_model,
    sliding_window_model,
)

from tokenauction_cli.api import run_experiment
from tokenauction_cli.engine.models.prepare import prepare
from tokenauction_cli.engine.run import SilentProgress
from tokenauction_cli.lm.base import Request
from tokenauction_cli.lm.llama.gguf import GgufContext, GgufModel, GgufPrompt, OneByOneContext
from tokenauction_cli.lm.llama.hardware import choose_hardware
from tokenauction_cli.lm.llama.native_output import quiet

Tokens = tuple[int, ...]
Logits = NDArray[np.float32]
KINDS = {
    "attention": attention_model,
    "some matrices of floats": lambda path: mixed_model(path, "ffn_down"),
    "latent attention": lambda path: latent_model(path, F16),
    "mixture of experts": mixture_model,
    "sliding window": sliding_window_model,
    "large vocabulary": large_vocabulary_model,
    "recurrent": recurrent_model,
    "hybrid": hybrid_model,
}
SPECIAL_MEMORY = ("sliding window", "recurrent", "hybrid")
CANNOT_BE_CUT = ("recurrent", "hybrid")
MANY_CELLS = 600  # from 512 on llama.cpp treats lone rows differently
PAIRS = {
    **{kind: (kind, GgufContext, 100) for kind in KINDS},
    **{f"{kind}, many cells": (kind, GgufContext, MANY_CELLS) for kind in ("attention", *SPECIAL_MEMORY)},
    **{f"{kind}, one by one": (kind, OneByOneContext, 100) for kind in SPECIAL_MEMORY},
}
CPU = choose_hardware("cpu", "auto", 2)
N_SEQUENCES = 21
NEAR = 0.01  # keys and values are float16: a last bit may become one of these
Model = Callable[[str], Path]


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """The file of a kind of model, written once."""
    folder = tmp_path_factory.mktemp("kinds")

    def model(kind: str) -> Path:
        path = folder / f"{kind}.gguf"
        return path if path.exists() else KINDS[kind](path)

    return model


class Pair:
    """A context with a history, and one that begins afresh for every text."""

    def __init__(self, path: Path, kind: type[GgufContext], n_tokens: int, is_exact: bool) -> None:
        self.used = kind(path, CPU, n_sequences=N_SEQUENCES, n_tokens=n_tokens)
        self._fresh = kind(path, CPU, n_sequences=1, n_tokens=n_tokens)
        self._known: dict[Tokens, Logits] = {}
        self._is_exact = is_exact

    def fresh(self, tokens: Tokens) -> Logits:
        if tokens not in self._known:
            self._fresh.forget()
            self._known[tokens] = self._fresh.evaluate({0: tokens})[0].copy()
        return self._known[tokens]

    def check(self, wanted: dict[int, Tokens]) -> None:
        """Evaluate after all that came before, and compare."""
        for number, logits in self.used.evaluate(wanted).items():
            self.compare(logits, self.fresh(wanted[number]))

    def compare(self, found: Logits, expected: Logits) -> None:
        np.testing.assert_allclose(found, expected, atol=0 if self._is_exact else NEAR, rtol=0)
        assert not self._is_exact or found.tobytes() == expected.tobytes()

    def close(self) -> None:
        self.used.close()
        self._fresh.close()


@pytest.fixture(scope="module", params=PAIRS)
def kept_pair(request: pytest.FixtureRequest, model: Model) -> Iterator[Pair]:
    kind, context_type, n_tokens = PAIRS[request.param]
    is_exact = context_type is OneByOneContext or kind not in CANNOT_BE_CUT
    pair = Pair(model(kind), context_type, n_tokens, is_exact)
    yield pair
    pair.close()


@pytest.fixture
def pair(kept_pair: Pair) -> Pair:
    """Holding nothing yet."""
    kept_pair.used.forget()
    return kept_pair


def words(n: int, seed: int = 0) -> Tokens:
    return (1, *random.Random(seed).choices(range(4, 260), k=n - 1))


START = words(2 * WINDOW + 9)  # longer than the window, and than a chunk of a prompt
ONE, OTHER = words(11, seed=1), words(7, seed=2)


# One text, one answer


def test_forked(pair: Pair) -> None:
    """Slot 0 wrote a text; others write its beginning and something else."""
    pair.check({0: START + ONE})
    pair.check({1: START + OTHER})
    pair.check({0: START + ONE + OTHER, 7: START + OTHER + ONE, 2: START + ONE})
    pair.check({k: (*START, *ONE, *OTHER, 10 + k) for k in range(N_SEQUENCES)})


def test_cut_back(pair: Pair) -> None:
    pair.check({0: START + ONE})
    pair.check({0: START + OTHER})
    pair.check({0: START})
    pair.check({0: START[: WINDOW - 1]})
    pair.check({0: START + OTHER + ONE})


@pytest.mark.parametrize("n_beside", [1, 20])
def test_in_company(pair: Pair, n_beside: int) -> None:
    """Beside others: next to each other, and where gaps part the batch."""
    beside = {k: words(2 + 2 * k, seed=k) for k in range(1, n_beside + 1)}
    pair.check({0: START + ONE, **beside})
    pair.check({0: (*START, *ONE, 40), **{k: (*text, 40) for k, text in beside.items() if k % 3}})


@pytest.mark.parametrize("n", [1, 2, 3, WINDOW - 1, WINDOW, WINDOW + 1, 33, 34, 35, 2 * WINDOW + 40])
def test_written_token_by_token(pair: Pair, n: int) -> None:
    text = words(n, seed=n)
    pair.check({0: text})
    pair.used.forget()
    for end in range(max(1, n - 3), n + 1):
        pair.check({3: text[:end]})


@pytest.mark.parametrize("seed", range(2))
def test_any_history(pair: Pair, seed: int) -> None:
    """Texts of a small tree in random slots, alone and among many."""
    chance = random.Random(seed)
    roots = [(1,), (1, 5), START, START[:17] + ONE, START + OTHER]
    texts = [root + tail for root in roots for tail in [(), (100,), (100, 200), (100, 201), (100, 200, 30), ONE]]
    for _ in range(15):
        numbers = chance.sample(range(N_SEQUENCES), chance.choice([1, 1, 2, 3, N_SEQUENCES]))
        pair.check({number: chance.choice(texts) for number in numbers})


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_claimed(read: Reader, model: Model, kind: str) -> None:
    """The tests above ask for equal bits where records are said not to depend on the batch."""
    text = two_agents(model(kind))
    assert prepare(read(text), probe=True).is_batch_invariant is (kind not in CANNOT_BE_CUT)
    assert prepare(read(text, "runtime.deterministic=true"), probe=True).is_batch_invariant


@pytest.mark.parametrize("name", ["F16", "BF16", "Q8_0", "Q4_0", "Q4_1"])
@pytest.mark.parametrize("kind", ["attention", "mixture of experts"])
def test_formats(model: Model, tmp_path: Path, kind: str, name: str) -> None:
    """A lone row takes no kernel of its own through float matrices, nor where a quantised mixture chooses experts."""
    path = converted(model(kind), tmp_path / "m.gguf", getattr(llama_cpp, f"LLAMA_FTYPE_MOSTLY_{name}"))
    pair = Pair(path, GgufContext, 100, is_exact=True)
    try:
        for seed in range(0, 3 * N_SEQUENCES, N_SEQUENCES):
            texts = {k: words(9, seed=seed + k) for k in range(N_SEQUENCES)}
            pair.check(texts)
            for number, text in texts.items():
                pair.check({number: text})
    finally:
        pair.close()


def converted(path: Path, copy: Path, file_type: int) -> Path:
    parameters = llama_cpp.llama_model_quantize_default_params()
    parameters.ftype = file_type
    with quiet():
        assert llama_cpp.llama_model_quantize(str(path).encode(), str(copy).encode(), parameters) == 0
    return copy


@pytest.mark.parametrize(("n", "is_seen"), [(WINDOW, False), (WINDOW + 1, True), (3 * WINDOW, True)])
def test_the_window_is_at_work(model: Model, tmp_path: Path, n: int, is_seen: bool) -> None:
    """The same weights with a window over everything say something else as soon as a text is longer than the window."""
    wide = sliding_window_model(tmp_path / "wide.gguf", window=2048)
    found = []
    for path in (model("sliding window"), wide):
        context = GgufContext(path, CPU, n_sequences=1, n_tokens=100)
        found.append(context.evaluate({0: words(n)})[0].copy())
        context.close()
    assert bool(np.abs(found[0] - found[1]).max() > NEAR) is is_seen


# What is evaluated


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n_tokens", [100, 600])
def test_a_whole_sequence_is_copied(model: Model, kind: str, n_tokens: int) -> None:
    """Every memory can be copied as a whole, so a fork evaluates one token per text, or two where rows go in pairs."""
    context = GgufContext(model(kind), CPU, n_sequences=4, n_tokens=n_tokens)
    try:
        context.evaluate({0: START, 1: (1,)})
        before = context.n_decoded
        context.evaluate({k: (*START, 10 + k) for k in range(4)})
        assert context.n_decoded == before + (8 if kind == "latent attention" else 4)
    finally:
        context.close()


@pytest.mark.parametrize("kind", CANNOT_BE_CUT)
@pytest.mark.parametrize("n_tokens", [100, 600])
def test_a_lone_text_goes_on_where_it_is(model: Model, kind: str, n_tokens: int) -> None:
    """A state is not thrown away for the sake of company; what cannot be cut is evaluated from its beginning."""
    context = GgufContext(model(kind), CPU, n_sequences=2, n_tokens=n_tokens)
    try:
        context.evaluate({0: START})
        for n in range(4):
            before = context.n_decoded
            context.evaluate({0: (*START, *ONE[: n + 1])})
            assert context.n_decoded == before + 1
        context.evaluate({0: (*START, 9)})
        assert context.n_decoded == before + 1 + len(START) + 1
    finally:
        context.close()


# Different prompts, same continuation


@pytest.mark.parametrize("continuation", [(), (50,), ONE], ids=["none", "one token", "many tokens"])
def test_two_prompts_and_one_text(pair: Pair, continuation: Tokens) -> None:
    """In one batch, in other slots, in the other order, one after the other: each prompt has logits of its own."""
    path = pair.used.path
    lm = GgufModel([pair.used], {pair.used.tuned: 2})
    prompts = [GgufPrompt(path, START), GgufPrompt(path, words(len(START), seed=9))]
    expected = [pair.fresh(prompt.tokens + continuation) for prompt in prompts]
    assert np.abs(expected[0] - expected[1]).max() > 10 * NEAR
    for numbers, slots in [((0, 1), (0,)), ((1, 0), (0, 3)), ((0,), (3,)), ((1,), (3,)), ((0,), (4,)), ((1,), (0,))]:
        asked = tuple(prompts[k] for k in numbers)
        for answer in lm.evaluate([Request(slot, asked, continuation) for slot in slots]):
            assert isinstance(answer, list)
            for k, logits in zip(numbers, answer, strict=True):
                pair.compare(logits, expected[k])


# Whole experiments

PROMPTS = ("An ad for a trip to the islands, by Alpha Airlines:", "An ad for a stay on the islands, by Beta Resort:")


def two_agents(path: Path, **runtime: Any) -> str:
    """An experiment of two agents on one file (JSON is YAML)."""
    return json.dumps(
        {
            "name": "t",
            "agents": [
                {"name": name, "model": str(path), "prompt": prompt} for name, prompt in zip("AB", PROMPTS, strict=True)
            ],
            "auction": {
                "aggregation": ["linear", "log_linear"],
                "payments": ["second_price", "vcg"],
                "max_tokens": 5,
            },
            "sweep": {"agent": "A", "relative_weight": [0.2, 0.7], "seeds": 2},
            "runtime": {"threads": 2, **runtime},
        }
    )


def records(folder: Path) -> dict[str, dict[str, Any]]:
    lines = [line for path in folder.glob("records-*.jsonl") for line in path.read_text("utf-8").splitlines()]
    return {record["cell"]: record for record in map(json.loads, lines)}


@pytest.mark.parametrize("kind", KINDS)
def test_an_experiment(read: Reader, model: Model, tmp_path: Path, kind: str) -> None:
    """It evaluates every prefix once per prompt, and the batch does not show where it is said not to."""
    runtime = {"deterministic": True} if kind in CANNOT_BE_CUT else {}
    folders = [
        run_experiment(read(two_agents(model(kind), **runtime, **batch)), tmp_path / name, SilentProgress()).folder
        for name, batch in (("usual", {}), ("pairs", {"batch": 2}))
    ]
    usual, pairs = (records(folder.path) for folder in folders)
    assert len(usual) == 8
    assert usual == pairs
    beginnings = {tuple(r["token_ids"][:k]) for r in usual.values() for k in range(1, r["tokens"])}
    for folder in folders:
        manifest = folder.read_manifest()
        assert manifest["status"] == "finished"
        assert [session["evaluations"] for session in manifest["sessions"]] == [len(PROMPTS) * len(beginnings)]


@pytest.mark.parametrize("kind", ["some matrices of floats", "latent attention"])
def test_a_file_for_each_agent(read: Reader, model: Model, tmp_path: Path, kind: str) -> None:
    """With a batch of two, every row is alone in its file."""
    copy = shutil.copy(model(kind), tmp_path / "copy.gguf")
    found = []
    for batch in (2, 16):
        text = json.loads(two_agents(model(kind), batch=batch))
        text["agents"][1]["model"] = str(copy)
        text["sweep"]["seeds"], text["auction"]["max_tokens"] = 11, 8
        found.append(
            records(run_experiment(read(json.dumps(text)), tmp_path / str(batch), SilentProgress()).folder.path)
        )
    assert len(found[0]) == 44
    assert found[0] == found[1]


@pytest.mark.parametrize("kind", CANNOT_BE_CUT)
def test_an_experiment_in_whole_waves(read: Reader, model: Model, tmp_path: Path, kind: str) -> None:
    """Not one by one: the same again, bit for bit, and what one by one writes but for the last bits."""
    found = []
    for name, runtime in (("one", {}), ("two", {}), ("deterministic", {"deterministic": True})):
        experiment = read(two_agents(model(kind), **runtime))
        found.append(records(run_experiment(experiment, tmp_path / name, SilentProgress()).folder.path))
    assert found[0] == found[1]
    for cell, record in found[2].items():
        assert record["text"] == found[0][cell]["text"]
        assert record["tv.a"] == pytest.approx(found[0][cell]["tv.a"], abs=NEAR)


# What does not write

NO_WRITERS: dict[str, dict[str, Any]] = {
    "bert": {"bert.attention.causal": False},
    "gemma-embedding": {"gemma-embedding.pooling_type": 1},
    "t5": {},
    "t5encoder": {},
    "dream": {},
}


@pytest.mark.parametrize("command", ["check", "run"])
@pytest.mark.parametrize("architecture", NO_WRITERS)
def test_what_does_not_write(tmp_path: Path, in_process: Command, architecture: str, command: str) -> None:
    """Embedding, encoder and diffusion models are refused in one line, before anything is written or evaluated."""
    metadata = {"general.architecture": architecture, **NO_WRITERS[architecture]}
    bigram_model(tmp_path / "m.gguf", metadata=metadata)
    (tmp_path / "e.yaml").write_text("name: e\nagents: [{name: A, model: m.gguf, prompt: ab}]\n")
    done = in_process(command, "e.yaml")
    assert (done.returncode, done.stdout) == (2, "")
    assert "m.gguf: this model does not write from left to right" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.glob("results/*"))
