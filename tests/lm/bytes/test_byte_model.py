"""Token models of different vocabularies behind one alphabet: one answer, whatever was asked before or beside."""

from __future__ import annotations

import random
import tracemalloc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Reader
from hypothesis import given
from hypothesis import strategies as st
from test_covering import A, B
from tiny_gguf import attention_model, bigram_model, of_byte, pieces
from token_laws import EXACT, Array, ModelOfTokens, TokenModel, byte_law, random_model

from tokenauction_cli.engine.loop.auctioneer import Auctioneer
from tokenauction_cli.engine.loop.token_loop import PromptSet, TokenLoop
from tokenauction_cli.engine.plan import cells_of
from tokenauction_cli.engine.rules import Rules
from tokenauction_cli.lm.base import Logits, Request, common_length
from tokenauction_cli.lm.bytes import byte_model
from tokenauction_cli.lm.bytes.byte_model import PLACES, ByteModel, BytePrompt, ByteVocabulary
from tokenauction_cli.lm.bytes.covering import Knobs
from tokenauction_cli.lm.bytes.hypotheses import State
from tokenauction_cli.lm.bytes.lexicon import END, Lexicon
from tokenauction_cli.lm.llama.gguf import GgufContext, GgufModel, GgufPrompt
from tokenauction_cli.lm.llama.hardware import Hardware, kv_format
from tokenauction_cli.lm.table import TableModel, TablePrompt, TableVocabulary
from tokenauction_cli.mechanism.distributions import Profile
from tokenauction_cli.mechanism.outcome import Outcome
from tokenauction_cli.mechanism.registry import find
from tokenauction_cli.mechanism.terms import Terms
from tokenauction_cli.system.errors import CellError

CPU = Hardware(0, 2, kv_format(gpu_layers=0))
SLOTS = 3
COARSE = Knobs(1e-3, 0.05, 0.1)


def text_law(answer: list[Logits] | CellError) -> list[Array]:
    assert not isinstance(answer, CellError), answer
    return [np.exp(log_p) for log_p in answer]


def of_tokens(models: Sequence[TokenModel], knobs: Knobs = EXACT) -> tuple[ByteModel, tuple[BytePrompt, ...]]:
    """A byte model in which every agent has a vocabulary of its own."""
    token_models = [byte_model.TokenModel(ModelOfTokens(), model.lexicon, 1) for model in models]
    prompts = tuple(BytePrompt(k, model, 1.0, f"agent {k}") for k, model in enumerate(models))
    return ByteModel(token_models, knobs, SLOTS), prompts


def after(prompts: tuple[BytePrompt, ...], text: bytes, slot: int = 0) -> Request:
    return Request(slot, prompts, tuple(text))


def test_the_alphabet_is_bytes_and_end() -> None:
    vocabulary = ByteVocabulary()
    assert (vocabulary.size, vocabulary.ends) == (257, {256})
    assert b"".join(map(vocabulary.piece, [*"é".encode(), END])).decode() == "é"
    assert [vocabulary.name(symbol) for symbol in (0x61, 0xC3, END)] == ["a", "\\xc3", "<end>"]


def test_agents_of_two_vocabularies_answer_side_by_side() -> None:
    model, prompts = of_tokens([A, B])
    a, b = text_law(model.evaluate([after(prompts, b"ab")])[0])
    np.testing.assert_allclose(a, byte_law(A, b"ab"), atol=1e-12)
    np.testing.assert_allclose(b, byte_law(B, b"ab"), atol=1e-12)


def test_tables_over_tokens_of_their_own() -> None:
    """Nothing stands between their tokens, and a row holds after every spelling of its text."""
    tables: list[dict[str, dict[str, float]]] = [
        {"": {"a": 0.3, "b": 0.2, "ab": 0.25, "aba": 0.15, "<end>": 0.1}, "*": {"ab": 0.5, "<end>": 0.5}},
        {"*": {"b": 0.5, "ba": 0.5}, "ab": {"a": 0.25, "<end>": 0.75}},
    ]
    vocabulary = TableVocabulary(tables)
    inner = byte_model.TokenModel(TableModel(vocabulary), Lexicon.of(vocabulary), 2)
    prompts = tuple(BytePrompt(0, TablePrompt(f"T{k}", table), 1.0, f"T{k}") for k, table in enumerate(tables))
    model = ByteModel([inner], EXACT, SLOTS)
    first, second = text_law(model.evaluate([after(prompts, b"")])[0])
    assert first[[97, 98, END]] == pytest.approx([0.7, 0.2, 0.1])
    assert second[98] == 1
    # "ab" is a + b (a .3 and then nothing but ab: impossible), ab (.25) or the beginning of aba (.15)
    (first,) = text_law(model.evaluate([after(prompts[:1], b"ab")])[0])
    assert first[[97, END]] == pytest.approx([(0.15 + 0.125) / 0.4, 0.125 / 0.4])


def test_an_agent_that_cannot_spell_a_byte_fails_by_name() -> None:
    model, prompts = of_tokens([A, B])
    failed, other = model.evaluate([after(prompts, b"abx"), after(prompts, b"ab", 1)])
    assert str(failed) == "agent 'agent 0' cannot spell byte 78 after 'ab'"
    assert not isinstance(other, CellError)


def test_logits_that_are_no_numbers_fail_by_name() -> None:
    broken = TokenModel((b"a", b""), frozenset({1}), lambda context: np.array([np.nan, 0.0]))
    model, prompts = of_tokens([broken])
    (failed,) = model.evaluate([after(prompts, b"")])
    assert str(failed) == "agent 'agent 0' gave no distribution: a logit is NaN or +inf, or all are -inf"
    with pytest.raises(CellError, match="agent 0"):
        model.unfollowed(prompts[0], ())


def test_a_table_without_a_row_fails_alone() -> None:
    tables: list[dict[str, dict[str, float]]] = [{"": {"a": 0.5, "b": 0.5}, "a": {"a": 1.0}}]
    vocabulary = TableVocabulary(tables)
    inner = byte_model.TokenModel(TableModel(vocabulary), Lexicon.of(vocabulary), 1)
    prompts = (BytePrompt(0, TablePrompt("T", tables[0]), 1.0, "T"),)
    model = ByteModel([inner], EXACT, SLOTS)
    failed, other = model.evaluate([after(prompts, b"b"), after(prompts, b"a", 1)])
    assert "agent 'T' has no distribution for the prefix 'b'" in str(failed)
    assert text_law(other)[0][97] == 1


def test_left_out_prompts_keep_their_places() -> None:
    model, prompts = of_tokens([A, B])
    request = Request(0, prompts, tuple(b"a"), frozenset({0}))
    nothing, b = text_law(model.evaluate([request])[0])
    assert nothing.size == 0
    np.testing.assert_allclose(b, byte_law(B, b"a"), atol=1e-12)


def test_temperatures_act_on_tokens_and_share_their_evaluations() -> None:
    inner = ModelOfTokens()
    model = ByteModel([byte_model.TokenModel(inner, A.lexicon, 2)], EXACT, SLOTS)
    prompts = tuple(BytePrompt(0, A, temperature, "A") for temperature in (0.5, 2.0))
    laws = text_law(model.evaluate([after(prompts, b"aba")])[0])
    for found, temperature in zip(laws, (0.5, 2.0), strict=True):
        np.testing.assert_allclose(found, byte_law(A, b"aba", temperature), atol=1e-12)
    texts = [request.text for request in inner.evaluated]
    assert len(texts) == len(set(texts)) == model.n_evaluations


def test_one_row_per_context_however_many_ask() -> None:
    model, prompts = of_tokens([A])
    model.evaluate([after(prompts, b"ab", slot) for slot in range(SLOTS)])
    assert model.n_evaluations == len({(), (0,), (0, 1), (2,)})


def random_texts(chance: random.Random, model: ByteModel, prompts: tuple[BytePrompt, ...], n: int) -> list[bytes]:
    """Texts written by all agents together, and their beginnings."""
    texts = []
    for _ in range(n):
        text = b""
        for _ in range(12):
            texts.append(text)
            laws = text_law(model.evaluate([after(prompts, text)])[0])
            symbol = chance.choices(range(257), np.mean(laws, axis=0))[0]
            if symbol == END:
                break
            text += bytes([symbol])
    return texts


@pytest.mark.parametrize("knobs", [COARSE, Knobs(0.02, 0.2, 0.1)])
def test_answers_are_the_same_bits_in_any_order_and_after_evictions(
    knobs: Knobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(1)
    models = [random_model([b"", *words], frozenset({0}), k) for k, words in enumerate(WORDS)]
    model, prompts = of_tokens(models, knobs)
    texts = random_texts(chance, model, prompts, 12)
    expected = {text: (*asked(model, prompts, text), *dropped(model, prompts, text)) for text in texts}
    for most_bytes in (1 << 20, 2000, 0):
        monkeypatch.setattr(byte_model, "MOST_LOGITS_BYTES", most_bytes)
        monkeypatch.setattr(byte_model, "MOST_STATES_BYTES", most_bytes and 20_000)
        again, prompts = of_tokens(models, knobs)
        chance.shuffle(texts)
        for batch in (texts[k : k + SLOTS] for k in range(0, len(texts), SLOTS)):
            answers = again.evaluate([after(prompts, text, slot) for slot, text in enumerate(batch)])
            for text, answer in zip(batch, answers, strict=True):
                assert (*map(bytes, answer), *dropped(again, prompts, text)) == expected[text]
        assert again._logits.n_bytes <= most_bytes
    model.forget()
    for text in texts:
        assert (*asked(model, prompts, text), *dropped(model, prompts, text)) == expected[text]


WORDS = [
    [b"a", b"b", b"ab", b"ba", b"bab", b"aab", b"a"],
    [b"a", b"b", b"bb", b"abab", b"aa", b"ba"],
]


def asked(model: ByteModel, prompts: tuple[BytePrompt, ...], text: bytes) -> list[bytes]:
    (answer,) = model.evaluate([after(prompts, text)])
    assert not isinstance(answer, CellError)
    return [bytes(log_p) for log_p in answer]


def dropped(model: ByteModel, prompts: tuple[BytePrompt, ...], text: bytes) -> list[float]:
    return [model.unfollowed(prompt, text) for prompt in prompts]


@given(st.lists(st.integers(0, 1), max_size=9), st.lists(st.integers(0, 1), max_size=9))
def test_common_length_is_where_two_sequences_part(a: list[int], b: list[int]) -> None:
    n = common_length(tuple(a), tuple(b))
    assert a[:n] == b[:n]
    assert n == min(len(a), len(b)) or a[n] != b[n]


def test_a_long_text_grows_no_cache_beyond_its_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """What names the entries, contexts and texts as long as the text, counts too."""
    monkeypatch.setattr(byte_model, "MOST_LOGITS_BYTES", 100_000)
    monkeypatch.setattr(byte_model, "MOST_STATES_BYTES", 100_000)
    model, prompts = of_tokens([A, B], COARSE)
    tracemalloc.start()
    try:
        for n in range(500):
            model.evaluate([after(prompts, (b"aab" * 200)[:n])])
            for inner in model._token_models:
                inner.model.evaluated.clear()  # type: ignore[attr-defined]
        assert tracemalloc.get_traced_memory()[1] < 1_500_000
    finally:
        tracemalloc.stop()


def test_the_same_model_for_both_agents_at_any_weight_has_its_own_law() -> None:
    model, (prompt,) = of_tokens([A])
    for text in (b"", b"a", b"ab", b"aba"):
        log_p = np.array([*text_law(model.evaluate([after((prompt,), text)])[0]) * 2])
        for w in (0.0, 0.3, 1.0):
            np.testing.assert_allclose(w * log_p[0] + (1 - w) * log_p[1], byte_law(A, text), atol=1e-12)


# GGUF files through llama.cpp


@contextmanager
def gguf(path: Path, prompts: Sequence[tuple[int, ...]], knobs: Knobs) -> Iterator[tuple[ByteModel, Any, GgufContext]]:
    """A byte model of one file, its prompts, and a context of the same file to compare with."""
    most = len(prompts)
    context = GgufContext(path, CPU, n_sequences=SLOTS * most * PLACES, n_tokens=60)
    reference = GgufContext(path, CPU, n_sequences=2, n_tokens=60)
    try:
        inner = GgufModel([context], {context.tuned: 1}, SLOTS * most * PLACES)
        asked = tuple(BytePrompt(0, GgufPrompt(path, tokens), 1.0, "A") for tokens in prompts)
        yield (
            ByteModel([byte_model.TokenModel(inner, Lexicon.of(context.vocabulary), most)], knobs, SLOTS),
            asked,
            reference,
        )
    finally:
        context.close()
        reference.close()


def tokens_of(context: GgufContext, prompt: tuple[int, ...]) -> TokenModel:
    """The same file as a model whose tokenisations can be summed over."""
    known: dict[tuple[int, ...], Any] = {}

    def logits(tokens: tuple[int, ...]) -> Any:
        if tokens not in known:
            known[tokens] = context.evaluate({0: prompt + tokens})[0].copy()
        return known[tokens]

    vocabulary = context.vocabulary
    return TokenModel(tuple(map(vocabulary.piece, range(vocabulary.size))), vocabulary.ends, logits)


OVERLAPPING = ["a", "ab", "aba", "b", "ba", "▁a", "▁ab"]


@pytest.fixture
def overlapping(tmp_path: Path) -> Path:
    """Words that overlap, beside byte tokens that spell the same."""
    n = len(pieces(OVERLAPPING))
    chance = np.random.default_rng(0)
    spoken = [*map(of_byte, b"ab \xf0\xff"), *range(260, n), 2, 3, 0]
    follows = {last: {token: chance.normal(4, 2) for token in spoken} for last in range(n)}
    return bigram_model(tmp_path / "overlapping.gguf", follows, OVERLAPPING)


@pytest.mark.parametrize("text", [b"", b"ab", b"aba", b" ab", b"\xff\xf0a"])
def test_overlapping_words_through_llama_cpp(overlapping: Path, text: bytes) -> None:
    prompts = [(1, of_byte(letter)) for letter in b"ab"]
    with gguf(overlapping, prompts, EXACT) as (model, asked, reference):
        laws = text_law(model.evaluate([after(asked, text)])[0])
        for prompt, found in zip(prompts, laws, strict=True):
            np.testing.assert_allclose(found, byte_law(tokens_of(reference, prompt), text), rtol=0, atol=1e-12)
        assert 0 < model.unfollowed(asked[0], tuple(text)) < 1  # <unk> alone, which spells nothing


def test_a_context_that_depends_on_all_its_tokens_keeps_its_bits(tmp_path: Path) -> None:
    path = attention_model(tmp_path / "attention.gguf")
    prompts = [(1, of_byte(letter)) for letter in b"ab"]
    with gguf(path, prompts, COARSE) as (model, asked, _):
        texts = ["ab", "a", "aé", "aéa", "b", "aéb😀", "aéb😀!"]
        expected = {}
        for text in texts:
            model.forget()
            expected[text] = asked_bits(model, asked, text)
        random.Random(0).shuffle(texts)
        for text in texts * 2:
            assert asked_bits(model, asked, text) == expected[text]


def asked_bits(model: ByteModel, prompts: tuple[BytePrompt, ...], text: str) -> list[bytes]:
    return asked(model, prompts, text.encode())


@pytest.mark.model
@pytest.mark.parametrize("text", [b" Haw", "é!".encode(), b"\n I"])
def test_all_tokenisations_of_short_texts_by_a_real_model(model_path: Path, text: bytes) -> None:
    """Every one evaluated and summed by hand, against the covering with both knobs at 0."""
    with gguf(model_path, [tuple(range(300, 320))], EXACT) as (model, prompts, reference):
        tokens = tokens_of(reference, prompts[0].prompt.tokens)
        for n in range(len(text) + 1):
            (found,) = text_law(model.evaluate([after(prompts, text[:n])])[0])
            np.testing.assert_allclose(found, quick_byte_law(tokens, text[:n]), rtol=0, atol=1e-9)
            default = ByteModel(model._token_models, COARSE, SLOTS)
            (near,) = text_law(default.evaluate([after(prompts, text[:n])])[0])
            assert abs(near - found).sum() / 2 <= 0.05


@pytest.mark.model
def test_a_real_model_keeps_its_bits_after_evictions_on_texts_that_it_would_not_write(
    model_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts = [tuple(range(300, 310)), tuple(range(300, 305)) + tuple(range(900, 904))]
    with gguf(model_path, prompts, COARSE) as (model, asked_prompts, _):
        whole = " in Hawqzii! 😀 Héllo".encode()
        texts = [whole[:n] for n in range(len(whole) + 1)]
        expected = {text: asked(model, asked_prompts, text) for text in texts}
        assert any(state_of(model, asked_prompts[0], text).pending for text in texts)
        monkeypatch.setattr(byte_model, "MOST_LOGITS_BYTES", 1 << 20)
        monkeypatch.setattr(byte_model, "MOST_STATES_BYTES", 30_000)
        scarce = ByteModel(model._token_models, COARSE, SLOTS)
        random.Random(1).shuffle(texts)
        for text in texts[:8]:
            assert asked(scarce, asked_prompts, text) == expected[text]


def state_of(model: ByteModel, prompt: BytePrompt, text: bytes) -> State:
    state = model._states.get((prompt, text))
    assert state is not None
    return state


def quick_byte_law(model: TokenModel, text: bytes) -> Array:
    """As `byte_law`, for many tokens: those that go beyond the text are summed by their byte there."""
    mass = np.zeros(257)
    spoken = np.array([bool(piece) or token in model.ends for token, piece in enumerate(model.pieces)])

    def add(context: tuple[int, ...], rest: bytes, weight: float) -> None:
        scores = np.where(spoken, model.logits(context).astype(np.float64), -np.inf)
        p = np.exp(scores - scores.max())
        p *= weight / p.sum()
        for token, piece in enumerate(model.pieces):
            if len(piece) > len(rest) and piece.startswith(rest):
                mass[piece[len(rest)]] += p[token]
            elif piece and rest.startswith(piece):
                add((*context, token), rest[len(piece) :], p[token])
        if not rest:
            mass[END] += p[list(model.ends)].sum()

    add((), text, 1.0)
    return np.asarray(mass / mass.sum())


# The engine over bytes


AUCTION = """
name: bytes
agents:
  - {name: A, bid: 1, distribution: {a: 1}}
  - {name: B, bid: 3, distribution: {b: 1}}
auction: {aggregation: [linear], payments: [second_price], max_tokens: 4}
sweep: {agent: A, relative_weight: [0.25], seeds: 400}
"""


def mixed_law(text: bytes, weight: float) -> Array:
    return weight * byte_law(A, text) + (1 - weight) * byte_law(B, text)


def test_an_auction_between_two_vocabularies(read: Reader) -> None:
    """Each byte is drawn by the bids from the two laws, and paid for by the switch of its own draw."""
    experiment = read(AUCTION)
    model, prompts = of_tokens([A, B])
    auctioneer = Auctioneer(experiment, Rules.of(experiment), model.vocabulary)
    loop = TokenLoop(model, auctioneer, dict.fromkeys(experiment.queries, PromptSet(prompts, (0, 1))))
    records = [record for records in loop.run(cells_of(experiment), SLOTS) for record in records]
    auctioneer.close()
    assert len(records) == 400
    expected = {symbol: 400 * mixed_law(b"", 0.25)[symbol] for symbol in (ord("a"), ord("b"), END)}
    drawn = [record["token_ids"][0] for record in records]
    assert sum((drawn.count(s) - e) ** 2 / e for s, e in expected.items()) < 16  # 2 degrees of freedom: p = 3e-4
    for record in records:
        *spelled, last = record["token_ids"]
        assert record["text"].encode() == bytes(spelled if last == END else [*spelled, last])
        steps = [(bytes(record["token_ids"][:k]), symbol) for k, symbol in enumerate(record["token_ids"])]
        log_prob = sum(np.log(mixed_law(text, 0.25)[symbol]) for text, symbol in steps)
        assert record["log_prob"] == pytest.approx(log_prob, abs=1e-10)
        paid = sum(second_price(text) for text, _ in steps)
        assert record["payment.second_price_expected.a"] == pytest.approx(paid, abs=1e-10)


def second_price(text: bytes) -> float:
    """What A expects to pay for the byte after a text at bids of 1 and 3."""
    with np.errstate(divide="ignore"):
        profile = Profile.from_logits(np.log([byte_law(A, text), byte_law(B, text)]), [1, 1])
    outcome = Outcome(find("aggregation", "linear"), profile, (1.0, 3.0), Terms(("a", "b"), (1.0, 3.0)))
    return float(find("payment", "second_price").expected(outcome)[0])
