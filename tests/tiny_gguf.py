"""GGUF files written by hand, small enough to know every logit of: a bigram model in llama's clothes.

Every token has an embedding of its own (one-hot), attention and feed-forward add nothing, and the output matrix holds
log p(next | last): the logits after a text are the row of its last token. The vocabulary is SentencePiece-like: a few
control tokens, one token per byte, and the pieces asked for.

The other models, one of each kind of memory, have random weights: every token of a text shows in its logits.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Tensors = dict[str, NDArray[Any]]
ALIGNMENT = 32
F32, F16, Q8_0, BF16 = 0, 1, 8, 30  # ggml_type, as in ggml.h
BOS, EOS, TURN = "<s>", "</s>", "<|im_end|>"
NORMAL, UNKNOWN, CONTROL, BYTE = 1, 2, 3, 6
WIDTH, INNER, HEAD = 64, 96, 32  # of the models with random weights: two layers of two heads
WINDOW = 16
SURE = 50.0  # a logit beside which zeros have no chance
CHAT_TEMPLATE = (
    "{% for message in messages %}{% if message.role == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
    "<s>{{ message.content }}<|im_end|>{% endfor %}"
)


def pieces(words: Sequence[str] = ()) -> list[str]:
    """The vocabulary: <unk>, <s>, </s>, <|im_end|>, 256 bytes, then the words."""
    return ["<unk>", BOS, EOS, TURN, *(f"<0x{byte:02X}>" for byte in range(256)), *words]


def of_byte(byte: int) -> int:
    """The token of one byte."""
    return 4 + byte


def bigram_model(
    path: Path,
    follows: Mapping[int, Mapping[int, float]] | None = None,
    words: Sequence[str] = (),
    *,
    n_vocabulary: int | None = None,
    metadata: Mapping[str, Any] | None = None,
    without: Sequence[str] = (),
) -> Path:
    """Write a model in which `follows[t][s]` is the logit of s after t, 0 for every pair that is not given."""
    vocabulary = pieces(words)[:n_vocabulary]
    n = len(vocabulary)
    width = -(-n // 32) * 32
    output = np.zeros((n, width), np.float32)
    for last, row in (follows or {}).items():
        for token, logit in row.items():
            output[token, last] = logit / np.sqrt(width)  # the norm makes sqrt(width) of a one-hot vector
    facts = {**_llama_facts(width), **_vocabulary_facts(vocabulary), **(metadata or {})}
    tensors = _llama_tensors(n, width, output)
    kept = {key: value for key, value in facts.items() if not key.startswith(tuple(without))}
    return write_gguf(path, kept, {} if "tensors" in without else tensors)


def _llama_facts(width: int) -> dict[str, Any]:
    return {
        "general.architecture": "llama",
        "general.name": "bigram",
        "general.file_type": 0,
        "llama.context_length": 2048,
        "llama.embedding_length": width,
        "llama.block_count": 1,
        "llama.feed_forward_length": 32,
        "llama.attention.head_count": width // 32,
        "llama.attention.layer_norm_rms_epsilon": 1e-12,
        "llama.rope.dimension_count": 32,
    }


def _vocabulary_facts(vocabulary: Sequence[str]) -> dict[str, Any]:
    kinds = [UNKNOWN, CONTROL, CONTROL, CONTROL, *[BYTE] * 256, *[NORMAL] * len(vocabulary)]
    return {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": list(vocabulary),
        "tokenizer.ggml.scores": [0.0] * len(vocabulary),
        "tokenizer.ggml.token_type": kinds[: len(vocabulary)],
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.unknown_token_id": 0,
        "tokenizer.ggml.add_bos_token": True,
        "tokenizer.ggml.add_space_prefix": False,
        "tokenizer.chat_template": CHAT_TEMPLATE,
    }


def _llama_tensors(n: int, width: int, output: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    square, feed = np.zeros((width, width), np.float32), np.zeros((32, width), np.float32)
    ones = np.ones(width, np.float32)
    return {
        "token_embd.weight": np.eye(n, width, dtype=np.float32),
        "output_norm.weight": ones,
        "output.weight": output,
        "blk.0.attn_norm.weight": ones,
        "blk.0.ffn_norm.weight": ones,
        **{f"blk.0.attn_{name}.weight": square for name in ("q", "k", "v", "output")},
        "blk.0.ffn_gate.weight": feed,
        "blk.0.ffn_up.weight": feed,
        "blk.0.ffn_down.weight": feed.T,
    }


def attention_model(path: Path, added: Mapping[str, NDArray[Any]] | None = None) -> Path:
    """Write a llama, with this added to its matrices."""
    weights, vocabulary = _random(), pieces()
    tensors = {**_embeddings(len(vocabulary), weights), "output.weight": weights(len(vocabulary), WIDTH)}
    for layer in (0, 1):
        tensors |= {**_norms(layer), **_attention(layer, weights), **_feed_forward(layer, weights)}
    for name, more in (added or {}).items():
        tensors[name] = (tensors[name] + more).astype(np.float32)
    return write_gguf(path, {**_facts("llama"), **_vocabulary_facts(vocabulary)}, tensors)


Pair = tuple[NDArray[Any], NDArray[Any]]


def lora(path: Path, pairs: Mapping[str, Pair], alpha: float, **facts: Any) -> Path:
    """Write an adapter: W + alpha / rank B A for each W of that name, with A (rank, inputs) and B (outputs, rank)."""
    known = {"general.type": "adapter", "general.architecture": "llama", "adapter.type": "lora"}
    known |= {"adapter.lora.alpha": alpha, **{key.replace("__", "."): value for key, value in facts.items()}}
    tensors = {f"{name}.lora_{k}": matrix for name, pair in pairs.items() for k, matrix in zip("ab", pair, strict=True)}
    return write_gguf(path, known, tensors)


def random_pair(shape: tuple[int, int], rank: int, seed: int) -> Pair:
    """A and B for a matrix of this shape, (outputs, inputs)."""
    chance = np.random.default_rng(seed)
    a, b = (chance.normal(size=size).astype(np.float32) / 8 for size in ((rank, shape[1]), (shape[0], rank)))
    return a, b


def embedding_model(path: Path) -> Path:
    """Write a EuroBERT that does not say that it is none that writes: llama.cpp computes no logits for it."""
    weights, vocabulary = _random(), pieces()
    tensors = _embeddings(len(vocabulary), weights)
    for layer in (0, 1):
        tensors |= {**_norms(layer), **_attention(layer, weights), **_feed_forward(layer, weights)}
    return write_gguf(path, {**_facts("eurobert"), **_vocabulary_facts(vocabulary)}, tensors)


def mixture_model(path: Path) -> Path:
    """Write a llama with 64 experts, of which two work on each token."""
    weights, vocabulary, n = _random(), pieces(), 64
    tensors = {**_embeddings(len(vocabulary), weights), "output.weight": weights(len(vocabulary), WIDTH)}
    shapes = {"gate_inp": (n, WIDTH), "gate_exps": (n, INNER, WIDTH), "up_exps": (n, INNER, WIDTH)}
    for layer in (0, 1):
        tensors |= {**_norms(layer), **_attention(layer, weights)}
        tensors |= {f"blk.{layer}.ffn_{name}.weight": weights(*shape) for name, shape in shapes.items()}
        tensors[f"blk.{layer}.ffn_down_exps.weight"] = weights(n, WIDTH, INNER)
    facts = {**_facts("llama"), "llama.expert_count": n, "llama.expert_used_count": 2}
    return write_gguf(path, {**facts, **_vocabulary_facts(vocabulary)}, tensors)


def sliding_window_model(path: Path, window: int = WINDOW) -> Path:
    """Write a Gemma 2: its first layer sees a window of so many tokens, its second the whole text."""
    weights, vocabulary = _random(), pieces()
    tensors = _embeddings(len(vocabulary), weights)
    for layer in (0, 1):
        tensors |= {**_norms(layer), **_norms(layer, "post_attention_norm", "post_ffw_norm")}
        tensors |= {**_attention(layer, weights), **_feed_forward(layer, weights)}
    sizes = {"sliding_window": window, "key_length": HEAD, "value_length": HEAD}
    facts = {**_facts("gemma2"), **{f"gemma2.attention.{name}": size for name, size in sizes.items()}}
    return write_gguf(path, {**facts, **_vocabulary_facts(vocabulary)}, tensors)


def hybrid_model(path: Path) -> Path:
    """Write an LFM2: its first layer is a short convolution, whose state cannot be cut back, its second attention."""
    weights, vocabulary, kernel = _random(), pieces(), 3
    tensors = {
        **_embeddings(len(vocabulary), weights, norm="token_embd_norm"),
        **{name: tensor for layer in (0, 1) for name, tensor in _norms(layer).items()},
        **{name: tensor for layer in (0, 1) for name, tensor in _feed_forward(layer, weights).items()},
        "blk.0.shortconv.conv.weight": weights(WIDTH, kernel),
        "blk.0.shortconv.in_proj.weight": weights(3 * WIDTH, WIDTH),
        "blk.0.shortconv.out_proj.weight": weights(WIDTH, WIDTH),
        **_attention(1, weights),
        **_norms(1, "attn_q_norm", "attn_k_norm", width=HEAD),
    }
    sizes = {"attention.head_count_kv": [0, 2], "shortconv.l_cache": kernel, "vocab_size": len(vocabulary)}
    facts = {**_facts("lfm2"), **{f"lfm2.{name}": size for name, size in sizes.items()}}
    return write_gguf(path, {**facts, **_vocabulary_facts(vocabulary)}, tensors)


def large_vocabulary_model(path: Path, n: int = 262_144) -> Path:
    """Write a llama of so many tokens; their embeddings, in float16, are also its output matrix."""
    weights = _random()
    vocabulary = pieces([f"w{k}" for k in range(n - len(pieces()))])
    tensors: Tensors = _embeddings(n, weights)
    tensors["token_embd.weight"] = tensors["token_embd.weight"].astype(np.float16)
    for layer in (0, 1):
        tensors |= {**_norms(layer), **_attention(layer, weights), **_feed_forward(layer, weights)}
    facts = {**_facts("llama"), **_vocabulary_facts(vocabulary), "general.file_type": 1}
    return write_gguf(path, facts, tensors)


def mixed_model(path: Path, floats: str = "attn_v", kind: int = BF16) -> Path:
    """Write a llama of Q8_0 matrices; those with this in their name are floats, as people publish "dynamic" files."""
    weights, vocabulary, width, inner = _random(0.1), pieces(), 256, 512
    tensors = {
        "token_embd.weight": 10 * weights(len(vocabulary), width),
        "output_norm.weight": np.ones(width, np.float32),
        "output.weight": weights(len(vocabulary), width),
    }
    for layer in (0, 1):
        feed = {"gate": (inner, width), "up": (inner, width), "down": (width, inner)}
        square = ("q", "k", "v", "output")
        tensors |= _norms(layer, width=width)
        tensors |= {f"blk.{layer}.attn_{name}.weight": weights(width, width) for name in square}
        tensors |= {f"blk.{layer}.ffn_{name}.weight": weights(*shape) for name, shape in feed.items()}
    sizes = {"embedding_length": width, "feed_forward_length": inner, "attention.head_count": 4}
    facts = {**_facts("llama"), **{f"llama.{name}": size for name, size in sizes.items()}, "general.file_type": 7}
    kinds = {name: kind if floats in name else Q8_0 for name, tensor in tensors.items() if tensor.ndim > 1}
    return write_gguf(path, {**facts, **_vocabulary_facts(vocabulary)}, tensors, kinds)


def latent_model(path: Path, kind: int = BF16) -> Path:
    """Write a DeepSeek 2 of one layer without experts: its values are latent, and multiplied stream by stream."""
    weights, vocabulary = _random(), pieces()
    width, heads, queries, keys, turned, latent, values = 32, 2, 32, 32, 16, 64, 32
    sizes: dict[str, int | float] = {
        "embedding_length": width, "block_count": 1, "feed_forward_length": width, "vocab_size": len(vocabulary),
        "attention.head_count": heads, "attention.head_count_kv": 1,
        "attention.kv_lora_rank": latent, "attention.q_lora_rank": queries, "rope.dimension_count": turned,
        "attention.key_length": latent + turned, "attention.value_length": latent,
        "attention.key_length_mla": keys + turned, "attention.value_length_mla": values,
        "leading_dense_block_count": 1, "expert_count": 0, "expert_used_count": 0,
        "expert_feed_forward_length": width, "expert_shared_count": 0,
        "expert_weights_scale": 1.0, "rope.freq_base": 1e4,
    }  # fmt: skip
    shapes = {
        "attn_q_a": (queries, width), "attn_q_b": (heads * (keys + turned), queries),
        "attn_kv_a_mqa": (latent + turned, width), "attn_k_b": (heads, latent, keys),
        "attn_v_b": (heads, values, latent), "attn_output": (width, heads * values),
        "ffn_gate": (width, width), "ffn_up": (width, width), "ffn_down": (width, width),
    }  # fmt: skip
    tensors = {
        "token_embd.weight": 3 * weights(len(vocabulary), width),
        "output_norm.weight": np.ones(width, np.float32),
        "output.weight": weights(len(vocabulary), width),
        **_norms(0, width=width),
        **_norms(0, "attn_kv_a_norm", width=latent),
        **_norms(0, "attn_q_a_norm", width=queries),
        **{f"blk.0.{name}.weight": weights(*shape) for name, shape in shapes.items()},
    }
    facts = {**_facts("deepseek2"), **{f"deepseek2.{name}": size for name, size in sizes.items()}}
    kinds = {name: kind for name, tensor in tensors.items() if tensor.ndim > 1}
    return write_gguf(path, {**facts, **_vocabulary_facts(vocabulary)}, tensors, kinds)


def recurrent_model(path: Path) -> Path:
    """Write a Mamba of one layer with arbitrary weights: a model whose state cannot be cut back."""
    width, inner, state, rank, kernel = 64, 128, 16, 4, 4
    weights, vocabulary = _random(), pieces()
    facts = {
        "general.architecture": "mamba",
        "general.file_type": 0,
        "mamba.context_length": 2048,
        "mamba.embedding_length": width,
        "mamba.block_count": 1,
        "mamba.feed_forward_length": 0,
        "mamba.attention.head_count": 0,
        "mamba.attention.layer_norm_rms_epsilon": 1e-5,
        "mamba.ssm.conv_kernel": kernel,
        "mamba.ssm.inner_size": inner,
        "mamba.ssm.state_size": state,
        "mamba.ssm.time_step_rank": rank,
    }
    tensors = {
        "token_embd.weight": weights(len(vocabulary), width),
        "output_norm.weight": np.ones(width, np.float32),
        "output.weight": weights(len(vocabulary), width),
        "blk.0.attn_norm.weight": np.ones(width, np.float32),
        "blk.0.ssm_in.weight": weights(2 * inner, width),
        "blk.0.ssm_conv1d.weight": weights(inner, kernel),
        "blk.0.ssm_conv1d.bias": weights(inner),
        "blk.0.ssm_x.weight": weights(rank + 2 * state, inner),
        "blk.0.ssm_dt.weight": weights(inner, rank),
        "blk.0.ssm_dt.bias": weights(inner),
        "blk.0.ssm_a": -np.abs(weights(inner, state)),
        "blk.0.ssm_d": weights(inner),
        "blk.0.ssm_out.weight": weights(width, inner),
    }
    return write_gguf(path, {**facts, **_vocabulary_facts(vocabulary)}, tensors)


def _random(scale: float = 0.3) -> Callable[..., NDArray[np.float32]]:
    """Draws tensors of given shapes."""
    chance = np.random.default_rng(0)
    return lambda *shape: np.float32(scale) * chance.standard_normal(shape, np.float32)


def _facts(architecture: str) -> dict[str, Any]:
    sizes = {
        "context_length": 2048,
        "embedding_length": WIDTH,
        "block_count": 2,
        "feed_forward_length": INNER,
        "attention.head_count": WIDTH // HEAD,
        "attention.layer_norm_rms_epsilon": 1e-5,
    }
    general = {"general.architecture": architecture, "general.file_type": 0}
    return {**general, **{f"{architecture}.{name}": size for name, size in sizes.items()}}


def _embeddings(n: int, weights: Callable[..., NDArray[np.float32]], norm: str = "output_norm") -> Tensors:
    return {"token_embd.weight": weights(n, WIDTH), f"{norm}.weight": np.ones(WIDTH, np.float32)}


def _norms(layer: int, *names: str, width: int = WIDTH) -> Tensors:
    return {f"blk.{layer}.{name}.weight": np.ones(width, np.float32) for name in names or ("attn_norm", "ffn_norm")}


def _attention(layer: int, weights: Callable[..., NDArray[np.float32]]) -> Tensors:
    return {f"blk.{layer}.attn_{name}.weight": weights(WIDTH, WIDTH) for name in ("q", "k", "v", "output")}


def _feed_forward(layer: int, weights: Callable[..., NDArray[np.float32]]) -> Tensors:
    shapes = {"gate": (INNER, WIDTH), "up": (INNER, WIDTH), "down": (WIDTH, INNER)}
    return {f"blk.{layer}.ffn_{name}.weight": weights(*shape) for name, shape in shapes.items()}


def write_gguf(
    path: Path,
    metadata: Mapping[str, Any],
    tensors: Mapping[str, NDArray[Any]],
    kinds: Mapping[str, int] | None = None,
) -> Path:
    """Write a GGUF file, version 3, with tensors of these kinds, or as they are: float32 or float16."""
    head = [b"GGUF", struct.pack("<IQQ", 3, len(tensors), len(metadata))]
    head += [_string(key) + _value(value) for key, value in metadata.items()]
    data, offset = [], 0
    for name, tensor in tensors.items():
        shape = tensor.shape[::-1]
        kind = (kinds or {}).get(name, {np.dtype(np.float32): F32, np.dtype(np.float16): F16}[tensor.dtype])
        head.append(_string(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, offset))
        data.append(_padded(_encoded(tensor, kind)))
        offset += len(data[-1])
    path.write_bytes(_padded(b"".join(head)) + b"".join(data))
    return path


def _encoded(tensor: NDArray[Any], kind: int) -> bytes:
    """The bytes of a tensor; a block of Q8_0 is a scale in float16 and 32 numbers of a byte."""
    if kind == BF16:
        bits = tensor.astype(np.float32).view(np.uint32)
        return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16).tobytes()
    if kind == Q8_0:
        blocks = tensor.astype(np.float32).reshape(-1, 32)
        scales = (np.abs(blocks).max(axis=1, keepdims=True) / 127).astype(np.float16)
        numbers = np.round(blocks / np.maximum(scales, np.float16(1e-7))).clip(-127, 127).astype(np.int8)
        return np.concatenate([scales.view(np.int8), numbers], axis=1).tobytes()
    return np.ascontiguousarray(tensor, {F32: np.float32, F16: np.float16}[kind]).tobytes()


def _string(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def _value(value: Any) -> bytes:
    kind, data = _typed(value)
    return struct.pack("<I", kind) + data


def _typed(value: Any) -> tuple[int, bytes]:
    if isinstance(value, bool):
        return 7, struct.pack("<?", value)
    if isinstance(value, int):
        return 4, struct.pack("<I", value)
    if isinstance(value, float):
        return 6, struct.pack("<f", value)
    if isinstance(value, str):
        return 8, _string(value)
    if not value:
        return 9, struct.pack("<IQ", 8, 0)
    if isinstance(value[0], int):
        return 9, struct.pack(f"<IQ{len(value)}i", 5, len(value), *value)
    items = [_typed(item) for item in value]
    return 9, struct.pack("<IQ", items[0][0], len(items)) + b"".join(data for _, data in items)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % ALIGNMENT)
