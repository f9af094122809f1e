"""Trains a LoRA adapter of rank 4 per file of ads, on a CPU in minutes, and writes it as GGUF beside the file.

    pip install 'tokenauction-cli[demo,adapters]'
    python experiments/adapters/train.py            writes alpha.gguf and beta.gguf here
    tokauction run experiments/adapters/hawaii-adapters.yaml

A line of a file is a query, a bar and an ad. The weights are those of the demo's GGUF file, read as float32, so no
other model is downloaded; the adapter changes the matrices of queries and values of every layer. Only the tokens of
ads count in the loss, and the line break that ends one. It is seeded: the same versions give the same adapters.
"""

from __future__ import annotations

import argparse
import time
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import gguf
import jax
import jax.numpy as jnp
import numpy as np

from tokenauction_cli.lm.llama.gguf import open_vocabulary
from tokenauction_cli.model_files.models import locate, parse_reference

HERE = Path(__file__).parent
MODEL = "smollm2-135m-instruct"
PROMPT = "Query: {query}\nAd:"
CHANGED = ("attn_q", "attn_v")
RANK, ALPHA = 4, 8.0
BATCH, RATE, DECAYS = 8, 4e-3, (0.9, 0.99)
NORMS = ("attn_norm", "ffn_norm")
MATRICES = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")

Weights = dict[str, Any]
Lora = dict[str, tuple[Any, Any]]  # by matrix: A, (layers, rank, inputs), and B, (layers, outputs, rank)


class Shape(NamedTuple):
    """Of a llama: hashable, so that a compiled step may depend on it."""

    layers: int
    heads: int
    kv_heads: int
    epsilon: float
    rope_base: float


def read_model(path: Path) -> tuple[Shape, Weights]:
    """The weights of a llama in float32; those of the layers are stacked."""
    reader = gguf.GGUFReader(path)
    tensors = {one.name: gguf.quants.dequantize(one.data, one.tensor_type) for one in reader.tensors}

    def fact(key: str) -> Any:
        return reader.fields[f"llama.{key}"].contents()

    shape = Shape(
        fact("block_count"),
        fact("attention.head_count"),
        fact("attention.head_count_kv"),
        fact("attention.layer_norm_rms_epsilon"),
        fact("rope.freq_base"),
    )
    weights = {
        name: jnp.stack([tensors[f"blk.{layer}.{name}.weight"] for layer in range(shape.layers)])
        for name in (*NORMS, *MATRICES)
    }
    embeddings = jnp.asarray(tensors["token_embd.weight"])
    output = jnp.asarray(tensors["output.weight"]) if "output.weight" in tensors else embeddings
    return shape, {"layers": weights, "embeddings": embeddings, "output": output, "norm": tensors["output_norm.weight"]}


def normed(x: Any, weight: Any, epsilon: float) -> Any:
    return x * jax.lax.rsqrt(jnp.mean(x * x, axis=-1, keepdims=True) + epsilon) * weight


def turned(x: Any, base: float) -> Any:
    """Rotary positions of neighbouring pairs, as in llama's GGUF files; x is (batch, tokens, heads, width)."""
    width = x.shape[-1]
    angles = jnp.arange(x.shape[1])[:, None] * base ** (-jnp.arange(0, width, 2) / width)
    cos, sin = jnp.cos(angles)[None, :, None, :], jnp.sin(angles)[None, :, None, :]
    even, odd = x[..., ::2], x[..., 1::2]
    return jnp.stack([even * cos - odd * sin, even * sin + odd * cos], axis=-1).reshape(x.shape)


def logits_of(shape: Shape, weights: Weights, lora: Lora, tokens: Any) -> Any:
    """(batch, tokens, V), with the adapter applied."""
    n_batch, n = tokens.shape
    mask = jnp.tril(jnp.ones((n, n), bool))

    def times(x: Any, layer: Weights, changes: Lora, name: str) -> Any:
        y = x @ layer[name].T
        if name not in changes:
            return y
        a, b = changes[name]
        return y + ALPHA / RANK * (x @ a.T) @ b.T

    def block(x: Any, of_layer: tuple[Weights, Lora]) -> tuple[Any, None]:
        layer, changes = of_layer
        h = normed(x, layer["attn_norm"], shape.epsilon)
        q, k, v = (times(h, layer, changes, name) for name in ("attn_q", "attn_k", "attn_v"))
        q = turned(q.reshape(n_batch, n, shape.heads, -1), shape.rope_base)
        k = turned(k.reshape(n_batch, n, shape.kv_heads, -1), shape.rope_base)
        v = v.reshape(n_batch, n, shape.kv_heads, -1)
        k, v = (jnp.repeat(one, shape.heads // shape.kv_heads, axis=2) for one in (k, v))
        scores = jnp.einsum("bqhd,bkhd->bhqk", q, k) / jnp.sqrt(q.shape[-1])
        shares = jax.nn.softmax(jnp.where(mask, scores, -jnp.inf), axis=-1)
        x = x + times(jnp.einsum("bhqk,bkhd->bqhd", shares, v).reshape(n_batch, n, -1), layer, changes, "attn_output")
        h = normed(x, layer["ffn_norm"], shape.epsilon)
        gate = jax.nn.silu(times(h, layer, changes, "ffn_gate")) * times(h, layer, changes, "ffn_up")
        return x + times(gate, layer, changes, "ffn_down"), None

    x, _ = jax.lax.scan(jax.checkpoint(block), weights["embeddings"][tokens], (weights["layers"], lora))
    return normed(x, weights["norm"], shape.epsilon) @ weights["output"].T


def loss_of(lora: Lora, shape: Shape, weights: Weights, tokens: Any, counts: Any) -> Any:
    """Mean cross-entropy of the tokens that count."""
    log_p = jax.nn.log_softmax(logits_of(shape, weights, lora, tokens[:, :-1]))
    said = jnp.take_along_axis(log_p, tokens[:, 1:, None], axis=-1)[..., 0]
    return -(said * counts[:, 1:]).sum() / counts[:, 1:].sum()


@partial(jax.jit, static_argnums=1)
def step(lora: Lora, shape: Shape, weights: Weights, tokens: Any, counts: Any, moments: Any, k: Any) -> Any:
    """One step of Adam."""
    loss, slopes = jax.value_and_grad(loss_of)(lora, shape, weights, tokens, counts)
    first = jax.tree.map(lambda m, g: DECAYS[0] * m + (1 - DECAYS[0]) * g, moments[0], slopes)
    second = jax.tree.map(lambda m, g: DECAYS[1] * m + (1 - DECAYS[1]) * g * g, moments[1], slopes)
    ahead = [1 / (1 - decay**k) for decay in DECAYS]
    lora = jax.tree.map(lambda x, m, s: x - RATE * m * ahead[0] / (jnp.sqrt(s * ahead[1]) + 1e-8), lora, first, second)
    return loss, lora, (first, second)


def begun(weights: Weights) -> Lora:
    """A is random and B is 0: an adapter that changes nothing yet."""
    chance = np.random.default_rng(0)
    layers = weights["layers"]
    return {
        name: (
            jnp.asarray(
                chance.normal(size=(layers[name].shape[0], RANK, layers[name].shape[2])) / RANK**2, jnp.float32
            ),
            jnp.zeros((layers[name].shape[0], layers[name].shape[1], RANK)),
        )
        for name in CHANGED
    }


def read_ads(path: Path, model: Path) -> tuple[Any, Any]:
    """Tokens of prompt and ad, padded, and 1 where a token counts; both (ads, tokens)."""
    rows = []
    with open_vocabulary(model) as vocabulary:
        for line in filter(None, path.read_text("utf-8").splitlines()):
            query, ad = line.split(" | ")
            prompt, said = (
                vocabulary.tokenize(text, control=False) for text in (PROMPT.format(query=query), f" {ad}\n")
            )
            rows.append((prompt + said, [0] * len(prompt) + [1] * len(said)))
    longest = max(len(tokens) for tokens, _ in rows)
    padded = [[*row, *[0] * (longest - len(row))] for pair in rows for row in pair]
    return jnp.array(padded[::2]), jnp.array(padded[1::2], jnp.float32)


def train(shape: Shape, weights: Weights, tokens: Any, counts: Any, epochs: int) -> Lora:
    lora = begun(weights)
    zeros = jax.tree.map(jnp.zeros_like, lora)
    moments, k = (zeros, zeros), 0
    for epoch in range(epochs):
        losses = []
        order = np.random.default_rng(epoch).permutation(len(tokens))
        for few in np.array_split(order, max(1, len(tokens) // BATCH)):
            k += 1
            loss, lora, moments = step(lora, shape, weights, tokens[few], counts[few], moments, k)
            losses.append(float(loss))
        print(f"epoch {epoch + 1}: {np.mean(losses):.3f} nats per token", flush=True)
    return lora


def write(path: Path, lora: Lora) -> None:
    """As llama.cpp reads it: a pair of matrices for each that is changed."""
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", ALPHA)
    for name, pair in lora.items():
        for kind, stacked in zip("ab", pair, strict=True):
            for layer, matrix in enumerate(np.asarray(stacked, np.float32)):
                writer.add_tensor(f"blk.{layer}.{name}.weight.lora_{kind}", np.ascontiguousarray(matrix))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ads", nargs="*", type=Path, default=[HERE / "alpha.txt", HERE / "beta.txt"])
    parser.add_argument("--epochs", type=int, default=12)
    asked = parser.parse_args()
    model = locate(parse_reference(MODEL, HERE)).path
    shape, weights = read_model(model)
    for path in asked.ads:
        begin = time.monotonic()
        write(path.with_suffix(".gguf"), train(shape, weights, *read_ads(path, model), asked.epochs))
        print(f"{path.with_suffix('.gguf')}: {time.monotonic() - begin:.0f} s", flush=True)


if __name__ == "__main__":
    main()
