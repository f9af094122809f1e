"""A token auction as one would write it with transformers: all texts in one batch, no payments, no measures.

    pip install torch transformers gguf accelerate             # in an environment of its own: nothing here needs them
    python benchmarks/peer_transformers.py MODEL.gguf --dtype bfloat16 --texts 44 --texts 88 --texts 176

Two agents have a prompt of 55 tokens each. A text has 64 tokens; its weight is one of 11, and it is drawn under linear
or log-linear, as in the scenario "11 weights, 2 rules, 20 seeds" of `python -m benchmarks`, whose tokens/s compare.
Every text is evaluated under both agents at every token, because nothing tells the loop that texts are still equal.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM

N_PROMPT, N_TOKENS, N_WEIGHTS = 55, 64, 11


def load(path: Path, dtype: str) -> Any:
    """The weights of a GGUF file, as transformers reads them."""
    model = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=getattr(torch, dtype))
    return model.eval()


def tokens_per_second(model: Any, n_texts: int) -> float:
    """Of one batch of texts, prompts included; loading is not counted."""
    weights = (torch.arange(n_texts) % N_WEIGHTS / (N_WEIGHTS - 1)).unsqueeze(1)
    is_linear = (torch.arange(n_texts) % 2 == 0).unsqueeze(1)
    prompts = torch.arange(2 * N_PROMPT).reshape(2, N_PROMPT) + 100
    begun = time.perf_counter()
    with torch.inference_mode():
        found = model(prompts, use_cache=True, logits_to_keep=1)
        cache = found.past_key_values
        cache.batch_repeat_interleave(n_texts)  # agent 1 of every text, then agent 2
        logits = found.logits[:, -1].repeat_interleave(n_texts, dim=0)
        for _ in range(N_TOKENS):
            log_p, log_o = logits.float().log_softmax(-1).chunk(2)
            linear = weights * log_p.exp() + (1 - weights) * log_o.exp()
            log_linear = (weights * log_p + (1 - weights) * log_o).softmax(-1)
            tokens = torch.multinomial(torch.where(is_linear, linear, log_linear), 1)
            found = model(tokens.repeat(2, 1), past_key_values=cache, use_cache=True, logits_to_keep=1)
            logits = found.logits[:, -1]
    return n_texts * N_TOKENS / (time.perf_counter() - begun)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--dtype", default="bfloat16", help="a type of torch: bfloat16, float32")
    parser.add_argument("--texts", type=int, action="append", help="texts in a batch; several times")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    model = load(asked.model, asked.dtype)
    for n_texts in asked.texts or (88,):
        print(f"{n_texts} texts, {asked.dtype}: {tokens_per_second(model, n_texts):.0f} tokens/s", flush=True)


if __name__ == "__main__":
    main()
