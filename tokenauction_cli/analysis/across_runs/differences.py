"""What differs between runs: the settings of their experiments, and with what they were made.

Settings are named by their path in the resolved file (agents by id), what a manifest says by its own keys. A value is
shown as short as it can be told from the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import Any

MOST_SHOWN = 24  # characters of a text
_CONTEXT = 8  # of them before what differs
_SECTIONS = ("agents.", "auction.", "sweep.", "runtime.")
_MADE_WITH = (
    *(
        "tokauction",
        "format",
        "records",
        "device",
        "gpu_layers",
        "threads",
        "kv_cache",
        "extra_buffers",
        "rpc",
        "split",
    ),
    *("batch_invariant", "llama", "passes", "versions"),
)
_OF_THE_HOST = ("machine", "processor")


def settings(plain: Mapping[str, Any]) -> dict[str, Any]:
    """Every setting of a resolved experiment by its path: `auction.max_tokens`, `agents.alpha.bid`; no expectations."""
    agents = {agent["id"]: agent for agent in plain["agents"]}
    return _leaves({key: value for key, value in plain.items() if key != "expect"} | {"agents": agents})


def made_with(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Versions, builds, models and the processor of a run, as far as numbers may depend on them."""
    known = {key: manifest[key] for key in _MADE_WITH if manifest.get(key) is not None}
    host = {key: manifest["host"][key] for key in _OF_THE_HOST if key in manifest.get("host", {})}
    models = {model["reference"]: model["sha256"] for model in manifest.get("models", ())}
    weights = {model["reference"]: model.get("weights", "file") for model in manifest.get("models", ())}
    return _leaves({**known, "host": host, "models": models, "weights": weights})


def differing(trees: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """The keys whose values are not the same everywhere, with each one's values; None where one has none."""
    keys = dict.fromkeys(key for tree in trees for key in tree)
    values = {key: [tree.get(key) for tree in trees] for key in keys}
    return {key: row for key, row in values.items() if any(value != row[0] for value in row)}


def short_name(path: str) -> str:
    """A setting's path without its section: `max_tokens`, `alpha.bid`."""
    return next((path.removeprefix(section) for section in _SECTIONS if path.startswith(section)), path)


def shown(values: Sequence[Any]) -> list[str]:
    """Values in words: of long texts what follows their common beginning."""
    texts = [_in_words(value) for value in values]
    if max(map(len, texts)) <= MOST_SHOWN:
        return texts
    told = [text for text, value in zip(texts, values, strict=True) if value is not None]
    start = max(0, _n_common(told) - _CONTEXT)
    return [_cut(text, 0 if value is None else start) for text, value in zip(texts, values, strict=True)]


def _n_common(texts: Sequence[str]) -> int:
    """How many characters the texts begin with in common."""
    return sum(1 for _ in takewhile(lambda signs: len(set(signs)) == 1, zip(*texts, strict=False)))


def _cut(text: str, start: int) -> str:
    end = start + MOST_SHOWN
    return "..." * (start > 0) + text[start:end] + "..." * (end < len(text))


def _in_words(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping) and value.keys() == {"from", "to", "step"}:
        return f"{value['from']:g} to {value['to']:g} by {value['step']:g}"
    if isinstance(value, list):
        return ", ".join(map(_in_words, value))
    return f"{value:g}" if isinstance(value, float) else " ".join(str(value).split())


def _leaves(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    leaves: dict[str, Any] = {}
    for key, value in tree.items():
        is_tree = isinstance(value, Mapping) and key != "relative_weight"
        leaves |= _leaves(value, f"{prefix}{key}.") if is_tree else {f"{prefix}{key}": value}
    return leaves
