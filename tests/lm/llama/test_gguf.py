"""The engine against llama.cpp itself: the same bits, whatever was evaluated before or beside a text."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import llama_cpp
import numpy as np
import pytest
from conftest import Reader
from numpy.typing import NDArray
from tiny_gguf import BOS, CHAT_TEMPLATE, SURE, bigram_model, of_byte, recurrent_model

from tokenauction_cli.engine.loop.auctioneer import Auctioneer
from tokenauction_cli.engine.loop.token_loop import Record, TokenLoop
from tokenauction_cli.engine.models.prepare import prepare
from tokenauction_cli.engine.plan import Cell, cells_of
from tokenauction_cli.engine.rules import Rules
from tokenauction_cli.engine.run import plan_for
from tokenauction_cli.experiment.experiment import Experiment
from tokenauction_cli.lm.base import Request
from tokenauction_cli.lm.llama import libraries
from tokenauction_cli.lm.llama.gguf import GgufContext, GgufModel, GgufPrompt, cells_per_sequence, open_vocabulary
from tokenauction_cli.lm.llama.hardware import GGML_TYPES, Hardware, choose_hardware, kv_format
from tokenauction_cli.lm.llama.native_output import quiet
from tokenauction_cli.lm.prompts.chat_template import ChatTemplates
from tokenauction_cli.lm.prompts.prompt_tokens import Value, tokens_of_messages, tokens_of_text
from tokenauction_cli.system.errors import ModelError

Tokens = tuple[int, ...]
Evaluate = Callable[[Sequence[int]], NDArray[np.float32]]
N_THREADS = 2
KV_CACHE = kv_format(gpu_layers=0)  # what runs use on this processor
CPU = Hardware(0, N_THREADS, KV_CACHE)


def texts_of(experiment: Experiment) -> list[Record]:
    """The records of an experiment, in memory, in the order of the plan."""
    bidders = prepare(experiment)
    with bidders.loaded(bidders.slots) as model:
        loop = TokenLoop(model, Auctioneer(experiment, Rules.of(experiment), model.vocabulary), bidders.prompt_sets)
        found = {r["cell"]: r for records in loop.run(cells_of(experiment), bidders.slots) for r in records}
    return [found[cell.id] for cell in cells_of(experiment)]


# The tiny model: every logit is known


@pytest.fixture
def bigram(tmp_path: Path) -> Path:
    """After "a" follows an emoji of four bytes, then the end."""
    smile = [of_byte(byte) for byte in "a😀".encode()]
    chain = [*smile, 2]
    return bigram_model(tmp_path / "bigram.gguf", {t: {s: SURE} for t, s in pairwise(chain)})


def test_logits_are_those_of_the_file(tmp_path: Path) -> None:
    a, b, c = map(of_byte, b"abc")
    path = bigram_model(tmp_path / "m.gguf", {a: {b: 3.0, c: -1.5}, b: {c: 7.0}})
    context = GgufContext(path, CPU, n_sequences=3, n_tokens=16)
    try:
        logits = context.evaluate({2: (1, a), 0: (1, c, b)})
        assert (logits[2].dtype, logits[2].shape) == (np.float32, (260,))
        expected = np.zeros(260)
        expected[[b, c]] = 3.0, -1.5
        np.testing.assert_allclose(logits[2], expected, atol=1e-4)
        assert logits[0].argmax() == c
    finally:
        context.close()


def test_a_character_may_span_tokens(read: Reader, bigram: Path) -> None:
    (record,) = texts_of(read(f"name: t\nagents: [{{name: A, model: {bigram.name}, prompt: a}}]\n"))
    assert (record["text"], record["tokens"], record["end_reason"]) == ("😀", 5, "end")


@pytest.mark.parametrize(("n_tokens", "text"), [(3, "\ufffd"), (4, "😀")])
def test_a_torn_character_is_replaced(read: Reader, bigram: Path, n_tokens: int, text: str) -> None:
    experiment = read(
        f"name: t\nagents: [{{name: A, model: {bigram.name}, prompt: a}}]\n", f"auction.max_tokens={n_tokens}"
    )
    assert texts_of(experiment)[0]["text"] == text


def test_a_stop_string_may_span_the_bytes_of_a_character(read: Reader, bigram: Path) -> None:
    (record,) = texts_of(
        read(f'name: t\nagents: [{{name: A, model: {bigram.name}, prompt: a}}]\nauction: {{stop: ["😀"]}}\n')
    )
    assert (record["text"], record["tokens"], record["end_reason"]) == ("", 4, "stop")


def test_an_end_token_adds_nothing_to_the_text(tmp_path: Path) -> None:
    """Even where the file calls its end token a normal one."""
    path = bigram_model(tmp_path / "m.gguf", metadata={"tokenizer.ggml.eos_token_id": of_byte(ord("z"))})
    with open_vocabulary(path) as vocabulary:
        assert of_byte(ord("z")) in vocabulary.ends
        assert vocabulary.piece(of_byte(ord("z"))) == b""
        assert vocabulary.piece(of_byte(ord("y"))) == b"y"


def test_two_files_with_one_vocabulary(read: Reader, tmp_path: Path) -> None:
    """One says b after anything, the other c: linear mixes the files."""
    a, b, c = map(of_byte, b"abc")
    for name, said in (("b.gguf", b), ("c.gguf", c)):
        bigram_model(tmp_path / name, {token: {said: SURE} for token in (a, b, c)})
    records = texts_of(
        read(
            "name: t\nagents: [{name: B, model: b.gguf, prompt: a}, {name: C, model: c.gguf, prompt: a}]\n"
            "auction: {max_tokens: 40}\nsweep: {agent: B, relative_weight: [0, 0.5, 1]}\n"
        )
    )
    assert [record["text"] for record in records[::2]] == ["c" * 40, "b" * 40]
    assert 5 < records[1]["text"].count("b") < 35
    assert set(records[1]["text"]) == {"b", "c"}
    assert records[1]["tv.b"] == pytest.approx(0.5)


def test_two_files_with_different_vocabularies(read: Reader, tmp_path: Path) -> None:
    bigram_model(tmp_path / "one.gguf", words=["cat"])
    bigram_model(tmp_path / "two.gguf", words=["dog"])
    experiment = read(
        "name: t\nagents: [{name: A, model: one.gguf, prompt: a}, {name: B, model: two.gguf, prompt: a}]\n"
    )
    with pytest.raises(ModelError, match=r"experiment\.yaml:2:66: .*one\.gguf.*two\.gguf.*different vocabularies"):
        prepare(experiment)


def test_a_link_to_a_file_is_that_file(read: Reader, bigram: Path, tmp_path: Path) -> None:
    (tmp_path / "link.gguf").symlink_to(bigram)
    agents = "[{name: A, model: bigram.gguf, prompt: a}, {name: B, model: link.gguf, prompt: a}]"
    bidders = prepare(read(f"name: t\nagents: {agents}\n"))
    assert bidders.files is not None
    assert len(bidders.files.models) == 1
    assert [len(prompt_set.prompts) for prompt_set in bidders.prompt_sets.values()] == [
        1
    ]  # equal prompts are one prompt


def test_a_prompt_longer_than_the_context(read: Reader, tmp_path: Path) -> None:
    bigram_model(tmp_path / "m.gguf", metadata={"llama.context_length": 16})
    text = "name: t\nagents: [{name: A, model: m.gguf, prompt: %s}]\nauction: {max_tokens: 8}\n"
    prepare(read(text % "abcdefg"))  # with <s> 8 tokens, and 8 to come
    with pytest.raises(ModelError, match=r"agent 'A': its prompt has 9 tokens .* more than the 16 tokens of context"):
        prepare(read(text % "abcdefgh"))


def test_a_vocabulary_without_weights_is_refused_when_it_is_loaded(tmp_path: Path) -> None:
    path = bigram_model(tmp_path / "m.gguf", without=["tensors"])
    with pytest.raises(ModelError, match=r"m\.gguf: llama\.cpp cannot load this model: .*not found"):
        GgufContext(path, CPU, n_sequences=1, n_tokens=8)


def test_device_gpu_without_one() -> None:
    if libraries.gpus():
        pytest.skip("this llama.cpp has a GPU")
    assert choose_hardware("auto", "auto", 3).gpu_layers == 0
    with pytest.raises(ModelError, match="CMAKE_ARGS"):
        choose_hardware("gpu", "auto", 3)


@pytest.mark.parametrize(("n_tokens", "n_cells"), [(1, 256), (256, 256), (257, 512)])
def test_cells_per_sequence(n_tokens: int, n_cells: int) -> None:
    assert cells_per_sequence(n_tokens) == n_cells


def test_what_is_not_needed_is_not_evaluated(bigram: Path) -> None:
    """A beginning that another sequence holds is copied; one token a step is evaluated, and one beside a lone one."""
    context = GgufContext(bigram, CPU, n_sequences=4, n_tokens=64)
    try:
        prompt = (1, *map(of_byte, b"abcdefghij"))
        context.evaluate({0: prompt})
        assert context.n_decoded == 12
        context.evaluate({k: (*prompt, 10 + k) for k in range(4)})
        assert context.n_decoded == 12 + 4
        context.evaluate({3: (*prompt, 13, 20), 2: (*prompt, 13, 21)})
        assert context.n_decoded == 12 + 4 + 2
        context.evaluate({2: prompt[:5]})
        assert context.n_decoded == 12 + 4 + 2 + 2
    finally:
        context.close()


def test_forgetting_evaluates_everything_again(bigram: Path) -> None:
    context = GgufContext(bigram, CPU, n_sequences=2, n_tokens=64)
    try:
        tokens = (1, *map(of_byte, b"abcdef"))
        before = context.evaluate({0: tokens, 1: tokens[:3]})[0].copy()
        n_before = context.n_decoded
        context.forget()
        assert same_bits(context.evaluate({0: tokens})[0], before)
        assert context.n_decoded == n_before + len(tokens) + 1
    finally:
        context.close()


@pytest.mark.parametrize("n_tokens", [100, 600])
def test_a_memory_that_cannot_be_cut_back(tmp_path: Path, n_tokens: int) -> None:
    """A recurrent model forgets everything or nothing; its logits are right, though not to the last bit."""
    path = recurrent_model(tmp_path / "mamba.gguf")
    several = GgufContext(path, CPU, n_sequences=4, n_tokens=n_tokens)
    one = GgufContext(path, CPU, n_sequences=1, n_tokens=n_tokens)
    try:
        prompt = tuple(4 + token % 256 for token in some_tokens(41))
        texts = [prompt, (*prompt, 50), (*prompt, 50, 51), (*prompt[:34], 52), prompt[:7], (*prompt, 50, 53)]
        chance = random.Random(0)
        for _ in range(8):
            wanted = {number: chance.choice(texts) for number in chance.sample(range(4), chance.choice([1, 2, 4]))}
            for number, logits in several.evaluate(wanted).items():
                one.forget()
                np.testing.assert_allclose(logits, one.evaluate({0: wanted[number]})[0], atol=1e-4)
    finally:
        several.close()
        one.close()


def test_records_of_a_recurrent_model_depend_on_batches(read: Reader, tmp_path: Path) -> None:
    recurrent_model(tmp_path / "m.gguf")
    experiment = read("name: t\nagents: [{name: A, model: m.gguf, prompt: abc}]\nauction: {max_tokens: 3}\n")
    assert not prepare(experiment, probe=True).is_batch_invariant
    assert texts_of(experiment)[0]["tokens"] <= 3
    bigram_model(tmp_path / "m.gguf")
    assert not prepare(experiment).is_batch_invariant, "nobody has measured"
    assert prepare(experiment, probe=True).is_batch_invariant


def test_slots_of_a_file_with_two_prompts(tmp_path: Path) -> None:
    a, b, c, d = map(of_byte, b"abcd")
    path = bigram_model(tmp_path / "m.gguf", {a: {c: SURE}, b: {d: SURE}, c: {a: SURE}, d: {b: SURE}})
    context = GgufContext(path, CPU, n_sequences=6, n_tokens=16)
    model = GgufModel([context], {context.tuned: 2})
    prompts = (GgufPrompt(path, (1, a)), GgufPrompt(path, (1, b)))
    try:
        answers = model.evaluate([Request(2, prompts, ()), Request(0, prompts[::-1], ()), Request(1, prompts, (c, d))])
        likeliest = [[int(logits.argmax()) for logits in answer] for answer in answers if isinstance(answer, list)]
        assert likeliest == [[c, d], [d, c], [b, b]]
    finally:
        context.close()


# Prompts to tokens


def as_bytes(text: str) -> Tokens:
    return tuple(of_byte(byte) for byte in text.encode())


@pytest.fixture
def templates() -> Iterator[ChatTemplates]:
    with ChatTemplates() as templates:
        yield templates


@pytest.mark.parametrize("query", ["</s>", "<s>", "<|im_end|>", "<unk>", "\ue0fa0\ue0fb", "\ue0fa7\ue0fb</s>"])
def test_control_tokens_in_a_query_are_text(bigram: Path, templates: ChatTemplates, query: str) -> None:
    with open_vocabulary(bigram) as vocabulary:
        raw = tokens_of_text(vocabulary, [Value(query), "<|im_end|>"])
        assert raw == (1, *as_bytes(query), 3)
        chat = tokens_of_messages(vocabulary, CHAT_TEMPLATE, [{"role": "user", "content": query}], "m", templates)
        assert chat == (1, *as_bytes(query), 3)


@pytest.mark.parametrize(
    ("prompt", "query", "said"),
    [
        ("Q{{ query|lower }}", "<|IM_END|>", "Q<|im_end|>"),
        ("{{ query|replace(' ', '_') }}", "<|im end|>", "<|im_end|>"),
        ("{{ a }}{{ query }}", "end|>", "<|im_end|>"),
        ("<{{ query }}", "|im_end|>", "<|im_end|>"),
        ("{{ query[::-1] }}", ">|dne_mi|<", "<|im_end|>"),
        ("{% for c in query %}{{ c }}{% endfor %}", "</s>", "</s>"),
        ("{% set x = '<' ~ query %}{{ x }}", "/s>", "</s>"),
        ("{{ '<' + query }}", "/s>", "</s>"),
        ("{{ agent }}", "", "<unk>"),
    ],
)
def test_what_a_value_becomes_is_text(read: Reader, bigram: Path, prompt: str, query: str, said: str) -> None:
    """Whatever filters, joins or the words around it make of it; the prompt's own control tokens stay."""
    queries = [{"query": query, "a": "<|im_"}]
    agent = {"name": "<unk>", "id": "a", "model": bigram.name, "prompt": prompt + "<|im_end|>"}
    (prompt_set,) = prepare(read(json.dumps({"name": "t", "queries": queries, "agents": [agent]}))).prompt_sets.values()
    assert prompt_set.prompts[0].tokens == (1, *as_bytes(said), 3)


def test_no_merge_of_plain_text_makes_a_control_token(tmp_path: Path) -> None:
    """SentencePiece looks up what two pieces make together, control tokens too."""
    with open_vocabulary(bigram_model(tmp_path / "m.gguf", words=["</", "</s"])) as vocabulary:
        assert 2 not in tokens_of_text(vocabulary, [Value("</s>")])


@pytest.mark.parametrize(
    ("template", "content"),
    [
        ("{{ messages[0].content|lower }}", "<|IM_END|>"),
        ("<{{ messages[0].content }}", "|im_end|>"),
        ("{{ messages[0].content.replace('__', '_') }}", "<|im__end|>"),
    ],
)
def test_no_chat_template_makes_control_tokens_of_words(
    bigram: Path, templates: ChatTemplates, template: str, content: str
) -> None:
    with (
        open_vocabulary(bigram) as vocabulary,
        pytest.raises(ModelError, match=r"it makes the control token <\|im_end\|> of"),
    ):
        tokens_of_messages(vocabulary, template, [{"role": "user", "content": content}], "m", templates)


@pytest.mark.parametrize("prompt", ["ab", f"{BOS}ab"])
def test_the_first_token_comes_once(bigram: Path, prompt: str) -> None:
    with open_vocabulary(bigram) as vocabulary:
        assert tokens_of_text(vocabulary, [prompt]) == (1, *as_bytes("ab"))


def test_a_vocabulary_may_ask_for_no_first_token(tmp_path: Path) -> None:
    path = bigram_model(tmp_path / "m.gguf", metadata={"tokenizer.ggml.add_bos_token": False})
    with open_vocabulary(path) as vocabulary:
        assert tokens_of_text(vocabulary, ["ab"]) == as_bytes("ab")


def test_a_template_that_refuses_a_system_message(read: Reader, bigram: Path) -> None:
    agent = f"{{name: A, model: {bigram.name}, chat: {{system: be nice, user: hello}}}}"
    with pytest.raises(ModelError, match=r"the chat template of bigram\.gguf refuses these messages: no system role"):
        prepare(read(f"name: t\nagents: [{agent}]\n"))
    without = agent.replace("system: be nice, ", "")
    (prompt_set,) = prepare(read(f"name: t\nagents: [{without}]\n")).prompt_sets.values()
    assert prompt_set.prompts[0].tokens == (1, *as_bytes("hello"), 3)


def test_messages_go_through_the_template_in_order(read: Reader, bigram: Path) -> None:
    messages = "[{role: user, content: a}, {role: assistant, content: b}, {role: user, content: '{{ query }}'}]"
    text = f"name: t\nqueries: ['c</s>']\nagents: [{{name: A, model: {bigram.name}, messages: {messages}}}]\n"
    (prompt_set,) = prepare(read(text)).prompt_sets.values()
    assert prompt_set.prompts[0].tokens == (1, *as_bytes("a"), 3, 1, *as_bytes("b"), 3, 1, *as_bytes("c</s>"), 3)


def test_a_model_without_a_template(read: Reader, tmp_path: Path) -> None:
    bigram_model(tmp_path / "m.gguf", without=["tokenizer.chat_template"])
    with pytest.raises(ModelError, match=r"m\.gguf has no chat template: use `prompt:`"):
        prepare(read("name: t\nagents: [{name: A, model: m.gguf, chat: {user: hello}}]\n"))


@pytest.mark.parametrize("template", ["{{ messages[9].content }}", "{% if %}", "{{ 1 / 0 }}", "{{ strftime_now() }}"])
def test_a_broken_template_is_an_error_of_the_model(bigram: Path, templates: ChatTemplates, template: str) -> None:
    with open_vocabulary(bigram) as vocabulary, pytest.raises(ModelError, match="the chat template of m"):
        tokens_of_messages(vocabulary, template, [{"role": "user", "content": "x"}], "m", templates)


# The real model: bit for bit


@pytest.fixture(scope="session")
def llama(model_path: Path) -> Iterator[llama_cpp.Llama]:
    """llama-cpp-python's own high-level object."""
    with quiet():
        llama = llama_cpp.Llama(
            str(model_path),
            n_ctx=1024,
            n_batch=32,
            n_ubatch=32,
            n_threads=N_THREADS,
            n_threads_batch=N_THREADS,
            flash_attn=True,
            type_k=GGML_TYPES[KV_CACHE],
            type_v=GGML_TYPES[KV_CACHE],
            verbose=True,
        )
    yield llama
    llama.close()


@pytest.fixture(scope="session")
def fresh(llama: llama_cpp.Llama) -> Evaluate:
    """The logits after a text that llama.cpp evaluates alone and from its beginning."""
    known: dict[Tokens, NDArray[np.float32]] = {}

    def evaluate(tokens: Sequence[int]) -> NDArray[np.float32]:
        key = tuple(tokens)
        if key not in known:
            llama.reset()
            llama.eval(list(tokens))
            logits = llama_cpp.llama_get_logits_ith(llama.ctx, -1)
            known[key] = np.ctypeslib.as_array(logits, shape=(llama.n_vocab(),)).copy()
        return known[key]

    return evaluate


@pytest.fixture(scope="session")
def context(model_path: Path) -> Iterator[GgufContext]:
    """Eight sequences of 256 cells."""
    context = GgufContext(model_path, CPU, n_sequences=8, n_tokens=200)
    yield context
    context.close()


def some_tokens(n: int, seed: int = 0) -> Tokens:
    return tuple(random.Random(seed).choices(range(1000, 40_000), k=n))


def same_bits(found: NDArray[Any], expected: NDArray[Any]) -> bool:
    return found.dtype == expected.dtype == np.float32 and found.tobytes() == expected.tobytes()


@pytest.mark.model
@pytest.mark.parametrize("n", [1, 2, 31, 32, 33, 34, 35, 63, 64, 65, 66, 97])
def test_chunks_do_not_show(context: GgufContext, fresh: Evaluate, n: int) -> None:
    tokens = some_tokens(n, seed=n)
    assert same_bits(context.evaluate({3: tokens})[3], fresh(tokens))


@pytest.mark.model
def test_forked_extended_and_cut_back(context: GgufContext, fresh: Evaluate) -> None:
    prompt = some_tokens(40)
    children = {k: (*prompt, 5000 + k) for k in range(8)}
    assert same_bits(context.evaluate({0: prompt})[0], fresh(prompt))
    for number, logits in context.evaluate(children).items():
        assert same_bits(logits, fresh(children[number])), f"forked {number}"
    longer = {k: (*children[k], 6000, 6001 + k) for k in (1, 6)}
    for number, logits in context.evaluate(longer).items():
        assert same_bits(logits, fresh(longer[number])), f"extended {number}"
    back = {6: (*children[6], 7000), 1: (*prompt, 7001), 4: prompt}
    for number, logits in context.evaluate(back).items():
        assert same_bits(logits, fresh(back[number])), f"cut back {number}"


@pytest.mark.model
def test_prompts_that_share_a_beginning(context: GgufContext, fresh: Evaluate) -> None:
    beginning = some_tokens(33, seed=1)
    prompts = {k: beginning[: 20 + k] + some_tokens(5 + k, seed=50 + k) for k in range(8)}
    for number, logits in context.evaluate(prompts).items():
        assert same_bits(logits, fresh(prompts[number])), number


@pytest.mark.model
def test_copies_that_cross(context: GgufContext, fresh: Evaluate) -> None:
    """Every sequence wants what its neighbour holds: none may be overwritten before it is copied."""
    texts = [some_tokens(12 + k, seed=60 + k) for k in range(8)]
    context.evaluate(dict(enumerate(texts)))
    rotated = {k: (*texts[(k + 1) % 8], 9000) for k in range(8)}
    for number, logits in context.evaluate(rotated).items():
        assert same_bits(logits, fresh(rotated[number])), number


@pytest.mark.model
@pytest.mark.parametrize("seed", range(3))
def test_any_history(context: GgufContext, fresh: Evaluate, seed: int) -> None:
    """Texts of a small tree in random slots, alone and among many, in any order."""
    chance = random.Random(seed)
    roots = [some_tokens(30, seed=70), some_tokens(30, seed=70)[:17] + some_tokens(20, seed=71)]
    texts = [root + tail for root in roots for tail in [(), (100,), (100, 200), (100, 201), (100, 200, 300), (101,)]]
    for _ in range(12):
        numbers = chance.sample(range(8), chance.choice([1, 1, 2, 3, 5, 8]))
        wanted = {number: chance.choice(texts) for number in numbers}
        for number, logits in context.evaluate(wanted).items():
            assert same_bits(logits, fresh(wanted[number])), (number, wanted)


@pytest.mark.model
def test_a_lone_row_over_many_cells(model_path: Path, fresh: Evaluate) -> None:
    """From 512 cells on llama.cpp evaluates a lone row differently: a text must not show whether it was alone."""
    context = GgufContext(model_path, CPU, n_sequences=4, n_tokens=600)
    try:
        tokens = some_tokens(546, seed=2)  # 17 chunks of 32, one token, and the last
        alone = context.evaluate({0: tokens})[0].copy()
        assert same_bits(alone, fresh(tokens))
        assert same_bits(context.evaluate({0: tokens})[0], alone), "again"
        everyone = context.evaluate(dict.fromkeys(range(4), tokens))
        assert all(same_bits(logits, alone) for logits in everyone.values()), "among others"
        apart = context.evaluate({1: tokens, 3: tokens})
        assert all(same_bits(logits, alone) for logits in apart.values()), "apart from others"
        step_by_step = context.evaluate({2: tokens[:544]})
        for n in (545, 546):
            step_by_step = context.evaluate({2: tokens[:n]})
        assert same_bits(step_by_step[2], alone), "token by token"
    finally:
        context.close()


# The real model: texts

PROMPT = "Query: vacations in Hawaii\nAd:"
OTHER = "Topic: cooking rice\nTip:"


def two_agents(model: Path, first: str, second: str, weights: Sequence[float], **changes: Any) -> str:
    """The text of an experiment of agents A and B on one file (JSON is YAML), greedy unless told otherwise."""
    return json.dumps(
        {
            "name": "t",
            "agents": [
                {"name": "A", "model": str(model), "prompt": first},
                {"name": "B", "model": str(changes.pop("other_model", model)), "prompt": second},
            ],
            "sweep": {"agent": "A", "relative_weight": weights, "seeds": changes.pop("seeds", 1)},
            "auction": {"sampling": "greedy", "max_tokens": 24, **changes},
            "runtime": {"threads": N_THREADS},
        }
    )


def greedy(llama: llama_cpp.Llama, tokens: Sequence[int], n: int = 24) -> str:
    """What llama-cpp-python itself writes after these tokens."""
    llama.reset()
    completion: Any = llama.create_completion(list(tokens), max_tokens=n, temperature=0)
    return str(completion["choices"][0]["text"])


def prompt_tokens(model: Path, prompt: str) -> Tokens:
    with open_vocabulary(model) as vocabulary:
        return tokens_of_text(vocabulary, [prompt])


@pytest.mark.model
@pytest.mark.parametrize("rule", ["linear", "log_linear"])
def test_all_weight_on_one_agent_is_its_model_alone(
    read: Reader, model_path: Path, llama: llama_cpp.Llama, rule: str
) -> None:
    texts = [r["text"] for r in texts_of(read(two_agents(model_path, PROMPT, OTHER, [1, 0], aggregation=rule)))]
    assert texts == [greedy(llama, prompt_tokens(model_path, prompt)) for prompt in (PROMPT, OTHER)]
    assert all(len(text) > 20 for text in texts)


@pytest.mark.model
def test_one_prompt_for_both_gives_one_text_at_any_weight(
    read: Reader, model_path: Path, llama: llama_cpp.Llama
) -> None:
    rules = ["linear", "log_linear"]
    records = texts_of(read(two_agents(model_path, PROMPT, PROMPT, [0, 0.3, 0.5, 1], aggregation=rules)))
    assert {record["text"] for record in records} == {greedy(llama, prompt_tokens(model_path, PROMPT))}


@pytest.mark.model
def test_the_batch_does_not_show(read: Reader, model_path: Path) -> None:
    """One text at a time, or more than 64 rows: the same records."""
    settings = {"aggregation": ["linear", "log_linear"], "max_tokens": 4, "sampling": "stable", "seeds": 18}
    text = two_agents(model_path, PROMPT, OTHER, [0.3, 0.6], **settings)
    alone, many = (texts_of(read(text, f"runtime.batch={batch}")) for batch in (2, 144))
    assert alone == many
    assert len({record["text"] for record in alone}) > 32  # two rows each


@pytest.mark.model
def test_a_requantised_copy_speaks_over_the_same_tokens(
    read: Reader, model_path: Path, llama: llama_cpp.Llama, tmp_path: Path
) -> None:
    copy = requantised(model_path, tmp_path / "q8.gguf")
    records = texts_of(read(two_agents(model_path, PROMPT, OTHER, [1, 0.5, 0], other_model=copy)))
    assert records[0]["text"] == greedy(llama, prompt_tokens(model_path, PROMPT))
    assert len({record["text"] for record in records}) == 3


def requantised(path: Path, copy: Path, kind: int = llama_cpp.LLAMA_FTYPE_MOSTLY_Q8_0) -> Path:
    parameters = llama_cpp.llama_model_quantize_default_params()
    parameters.ftype = kind
    parameters.allow_requantize = True
    parameters.nthread = N_THREADS
    with quiet():
        status = llama_cpp.llama_model_quantize(str(path).encode(), str(copy).encode(), parameters)
    assert status == 0
    return copy


@pytest.mark.model
def test_a_whole_wave_depends_on_nothing_before_it(
    read: Reader, model_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Q4_K_M computes rows differently in other batches: a resumed run must not show what came before it."""
    monkeypatch.setattr("tokenauction_cli.engine.plan.CELLS_PER_WHOLE_WAVE", 4)
    requantised(model_path, tmp_path / "q4.gguf", llama_cpp.LLAMA_FTYPE_MOSTLY_Q4_K_M)
    experiment = read(
        "name: t\nqueries: [vacations in Hawaii, vacations, a week in Rome with two small children, skiing]\n"
        "agents: [{name: A, model: q4.gguf, prompt: 'A short ad by Alpha Airlines. Query: {{ query }}. Ad:'},"
        " {name: B, model: q4.gguf, prompt: 'A short ad by Beta Resort. Query: {{ query }}. Ad:'}]\n"
        f"auction: {{max_tokens: 4}}\nsweep: {{seeds: 4}}\nruntime: {{threads: {N_THREADS}}}\n"
    )
    bidders = prepare(experiment)
    plan = plan_for(experiment, bidders)
    assert plan.whole_waves
    assert len(plan.waves) == 4

    def records(waves: Sequence[Sequence[Cell]]) -> list[Record]:
        with bidders.loaded(plan.slots) as model:
            loop = TokenLoop(model, Auctioneer(experiment, Rules.of(experiment), model.vocabulary), bidders.prompt_sets)
            runs = [loop.run(wave, plan.slots, afresh=plan.whole_waves) for wave in waves]
            return [record for run in runs for found in run for record in found]

    resumed = [records(plan.waves[k:])[:4] for k in range(4)]
    assert records(plan.waves) == [record for wave in resumed for record in wave]


@pytest.mark.model
def test_the_demo_models_own_template(model_path: Path) -> None:
    """SmolLM2 speaks ChatML; names of its control tokens in a message stay text."""
    from tokenauction_cli.lm.llama.metadata import read_metadata

    template = read_metadata(model_path).chat_template
    messages = [{"role": "system", "content": "Sell."}, {"role": "user", "content": "Hi<|im_end|>\n"}]
    with open_vocabulary(model_path) as vocabulary:
        with ChatTemplates() as templates:
            tokens = tokens_of_messages(vocabulary, template, messages, "m", templates)
        rendered = b"".join(vocabulary.piece(token, control=True) for token in tokens).decode()
        start, end = (vocabulary.tokenize(name, control=True)[0] for name in ("<|im_start|>", "<|im_end|>"))
    assert rendered.startswith("<|im_start|>system\nSell.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_end|>\n")
    assert rendered.endswith("<|im_start|>assistant\n")
    assert (tokens.count(start), tokens.count(end)) == (3, 2)


def test_llama_says_nothing_on_the_terminal(bigram: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with quiet():
        context = GgufContext(bigram, CPU, n_sequences=1, n_tokens=8)
        print("ours", file=sys.stderr)
        context.close()
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", "ours\n")


@pytest.mark.model
def test_one_by_one_a_quantised_model_keeps_its_bits_in_any_company(
    read: Reader, model_path: Path, tmp_path: Path
) -> None:
    """`runtime.deterministic`: a text of a Q4_K_M model is the same alone and among others."""
    requantised(model_path, tmp_path / "q4.gguf", llama_cpp.LLAMA_FTYPE_MOSTLY_Q4_K_M)
    text = (
        "name: t\nagents: [{name: A, model: q4.gguf, prompt: 'A short ad by Alpha Airlines. Ad:'},"
        " {name: B, model: q4.gguf, prompt: 'A short ad by Beta Resort. Ad:'}]\n"
        "auction: {max_tokens: 4}\nsweep: {relative_weight: [0.2, 0.5, 0.8], seeds: %d}\n"
        f"runtime: {{deterministic: true, threads: {N_THREADS}}}\n"
    )

    def records(n_seeds: int) -> dict[str, Record]:
        experiment = read(text % n_seeds)
        bidders = prepare(experiment)
        plan = plan_for(experiment, bidders)
        assert not plan.whole_waves
        with bidders.loaded(plan.slots) as model:
            loop = TokenLoop(model, Auctioneer(experiment, Rules.of(experiment), model.vocabulary), bidders.prompt_sets)
            return {r["cell"]: r for wave in plan.waves for found in loop.run(wave, plan.slots) for r in found}

    alone, together = records(1), records(6)
    assert len(together) == 18
    assert {cell: together[cell] for cell in alone} == alone


@pytest.mark.model
def test_an_agent_that_says_the_same_to_every_query_is_evaluated_once(read: Reader) -> None:
    """Alone it would write one text for all queries; beside another agent every text keeps its bits."""
    text = (
        "name: t\nqueries: [Hawaii, Alaska, Iceland]\nmodels: {m: smollm2-135m-instruct}\n"
        "agents: [{name: A, model: m, prompt: 'A short ad by Alpha Airlines. Ad:'},"
        " {name: B, model: m, prompt: 'Beta Resort welcomes you to {{ query }}. Ad:'}]\n"
        "auction: {max_tokens: 8, sampling: greedy}\nsweep: {relative_weight: [0.5, 1], seeds: 1}\n"
    )
    together, alone = read(text), [read(text, f"queries=[{query}]") for query in ("Hawaii", "Alaska", "Iceland")]
    bidders = prepare(together)
    with bidders.loaded(bidders.slots) as model:
        loop = TokenLoop(model, Auctioneer(together, Rules.of(together), model.vocabulary), bidders.prompt_sets)
        found = [r for done in loop.run(cells_of(together), bidders.slots) for r in done]
    assert {r["cell"]: r for r in found} == {r["cell"]: r for one in alone for r in texts_of(one)}
    pairs = {
        (agent and record["query"], tuple(record["token_ids"][:k]))
        for record in found
        for agent in (False, True)
        for k in range(1, record["tokens"])
    }
    assert loop.n_evaluations == len(pairs) < 2 * sum(record["tokens"] - 1 for record in found)
