"""What a GGUF file says of itself, read through llama.cpp without loading weights.

The file is opened in a child process first: llama.cpp may abort on a broken file, and must not take the run with it.
Numbers come from the metadata strings; llama.cpp's hyper-parameter getters abort on a model without weights.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from ..system.errors import ModelError

_CHILD_SECONDS = 300
_POOLED = {"1", "2", "4"}  # llama.cpp's poolings over a whole text: mean, CLS, rank
_NO_WRITER = (
    "this model does not write from left to right (an embedding or diffusion model?); choose a text-generation GGUF"
)


@dataclass(frozen=True)
class GgufMetadata:
    """The metadata strings of a GGUF file, with the few that planning needs by name."""

    path: Path
    strings: dict[str, str]

    @property
    def architecture(self) -> str:
        return self.strings.get("general.architecture", "unknown")

    @property
    def name(self) -> str:
        return self.strings.get("general.name", self.path.stem)

    @property
    def chat_template(self) -> str | None:
        return self.strings.get("tokenizer.chat_template")

    @property
    def context_length(self) -> int | None:
        """The longest context that the model was trained for, in tokens."""
        return self._number("context_length")

    @property
    def kv_numbers_per_token(self) -> int | None:
        """Keys and values that one token occupies; None where the file does not say enough."""
        layers, heads = self._number("block_count"), self._number("attention.head_count")
        width = self._number("embedding_length")
        kv_heads = self._number("attention.head_count_kv") or heads
        if not (layers and heads and width and kv_heads):
            return None
        key = self._number("attention.key_length") or width // heads
        value = self._number("attention.value_length") or width // heads
        return layers * kv_heads * (key + value)

    def _number(self, key: str) -> int | None:
        try:
            return int(self.strings[f"{self.architecture}.{key}"])
        except (KeyError, ValueError):
            return None


def read_metadata(path: Path) -> GgufMetadata:
    """The metadata of a GGUF file; raises ModelError with llama.cpp's reason where it cannot be opened."""
    child = _child(path)
    try:
        answer = json.loads(child.stdout)
    except ValueError:
        reason = how_it_ended(child.returncode, child.stderr)
        raise ModelError(f"{path}: llama.cpp cannot open this file, which seems damaged: {reason}") from None
    if "error" in answer:
        raise ModelError(f"{path}: {answer['error']}")
    return GgufMetadata(path, answer["strings"])


def _child(path: Path) -> subprocess.CompletedProcess[bytes]:
    package_root = Path(__file__).parents[2]  # `-m` looks in the working directory, where a user's json.py may lie
    try:
        return subprocess.run(
            [sys.executable, "-m", __name__, str(path.absolute())],
            cwd=package_root,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env={**os.environ, "GGML_NO_BACKTRACE": "1"},  # else a debugger is looked for
            timeout=_CHILD_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ModelError(f"{path}: llama.cpp did not open this file within {_CHILD_SECONDS} seconds") from None


def how_it_ended(code: int, complaints: bytes) -> str:
    """The signal that ended a child process, with llama.cpp's reason, or what it said last."""
    lines = complaints.decode("utf-8", "replace").strip().splitlines()
    failed = [line[line.index("GGML_ASSERT") :] for line in lines if "GGML_ASSERT" in line]
    if code < 0:
        return f"it crashed ({signal.Signals(-code).name})" + (f": {failed[-1]}" if failed else "")
    return lines[-1] if lines else f"it ended with status {code}"


def _describe(path: str) -> dict[str, object]:
    """Runs in the child: the metadata strings, or an error."""
    import llama_cpp

    from . import llama_log
    from .vocabulary import GgufVocabulary

    llama_log.listen()
    llama_cpp.llama_backend_init()
    parameters = llama_cpp.llama_model_default_params()
    parameters.vocab_only = True
    model = llama_cpp.llama_model_load_from_file(path.encode(), parameters)
    if not model:
        return {"error": f"llama.cpp cannot load this file: {llama_log.last_reason() or 'no reason given'}"}
    if not GgufVocabulary(model).exists:
        return {"error": "this model has no vocabulary, so it cannot write text; choose a text-generation GGUF"}
    strings = _strings(model)
    if not _writes(model, strings):
        return {"error": _NO_WRITER}
    return {"strings": strings}


def _writes(model: object, strings: dict[str, str]) -> bool:
    """Whether it continues a text token by token: no encoder, diffusion or embedding model does."""
    import llama_cpp

    architecture = strings.get("general.architecture")
    return not (
        llama_cpp.llama_model_has_encoder(model)
        or llama_cpp.llama_model_is_diffusion(model)
        or strings.get(f"{architecture}.attention.causal") == "false"
        or strings.get(f"{architecture}.pooling_type") in _POOLED
    )


def has_state(model: object) -> bool:
    """Whether some layers keep a state that cannot be cut back: of a recurrent or hybrid model."""
    import llama_cpp

    return bool(llama_cpp.llama_model_is_recurrent(model) or llama_cpp.llama_model_is_hybrid(model))


def value_of(model: object, key: str) -> str:
    """A string of the file's metadata, '' where there is none."""
    import llama_cpp

    return _sized(lambda buffer, room: llama_cpp.llama_model_meta_val_str(model, key.encode(), buffer, room))


def _strings(model: object) -> dict[str, str]:
    import llama_cpp

    found = {}
    for index in range(llama_cpp.llama_model_meta_count(model)):
        key = _sized(lambda buffer, room, i=index: llama_cpp.llama_model_meta_key_by_index(model, i, buffer, room))
        value = _sized(
            lambda buffer, room, i=index: llama_cpp.llama_model_meta_val_str_by_index(model, i, buffer, room)
        )
        if not key.startswith("tokenizer.ggml.") or len(value) < 100:
            found[key] = value
    return found


def _sized(read: object) -> str:
    room = 256
    while True:
        buffer = ctypes.create_string_buffer(room)
        n_bytes = read(buffer, room)  # type: ignore[operator]
        if n_bytes < room:
            return buffer.value.decode("utf-8", "replace")
        room = n_bytes + 1


if __name__ == "__main__":
    print(json.dumps(_describe(sys.argv[1])), flush=True)
    os._exit(0)  # without llama.cpp's own tidying up
