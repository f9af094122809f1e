"""What a GGUF file says of itself, and whether llama.cpp can read its vocabulary.

llama.cpp may abort on a broken file, or never end, and must not take the run with it. So a child process with limits
first does what a plan does with a file: it opens it without weights and reads its whole vocabulary. That it succeeded
is remembered, as the findings of `probe` are.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from ...model_files.gguf_header import GgufHeader, read_header
from ...system.children import PACKAGE_ROOT, command_of
from ...system.environment import cache_folder, remember, shortened
from ...system.errors import ModelError
from .contradictions import contradiction
from .file_identity import identity

_CHILD_SECONDS = 300  # with a slow disk
_CPU_SECONDS = 60
_EXTRA_BYTES = 4 << 30  # over what llama.cpp takes before it opens a file
_POOLED = (1, 2, 4)  # llama.cpp's poolings over a whole text: mean, CLS, rank
NO_WRITER = (
    "this model does not write from left to right (an embedding or diffusion model?); choose a text-generation GGUF"
)


@dataclass(frozen=True)
class GgufMetadata:
    """The header of a GGUF file, with the few facts that planning needs by name."""

    path: Path
    header: GgufHeader

    @property
    def architecture(self) -> str:
        return self.header.architecture

    @property
    def chat_template(self) -> str | None:
        return self.header.text("tokenizer.chat_template") or None

    @property
    def context_length(self) -> int | None:
        """The longest context that the model was trained for, in tokens."""
        return self.header.number("context_length")

    @property
    def kv_numbers_per_token(self) -> int | None:
        """Keys and values that one token occupies; None where the file does not say enough."""
        number = self.header.number
        layers, heads, width = (number(key) for key in ("block_count", "attention.head_count", "embedding_length"))
        kv_heads = number("attention.head_count_kv") or heads
        if not (layers and heads and width and kv_heads):
            return None
        key = number("attention.key_length") or width // heads
        value = number("attention.value_length") or width // heads
        return layers * kv_heads * (key + value)


def read_metadata(path: Path) -> GgufMetadata:
    """The metadata of a GGUF file; raises ModelError, with a reason, where llama.cpp cannot read its vocabulary."""
    header = read_header(path)
    memory = cache_folder() / "probes" / f"{identity(path)}-vocabulary"
    if not memory.exists():
        _open_in_child(path, header)
        remember(memory)
    return GgufMetadata(path, header)


def _open_in_child(path: Path, header: GgufHeader) -> None:
    child = _child(path)
    try:
        answer = json.loads(child.stdout)
    except ValueError:
        raise unreadable(path, header, how_it_ended(child.returncode, child.stderr)) from None
    if reason := answer["error"] or ("" if _writes(header) else NO_WRITER):
        raise ModelError(f"{path}: {reason}", file=path)


def unreadable(path: Path, header: GgufHeader, how: str) -> ModelError:
    """What to say where llama.cpp crashes on a file."""
    if damage := contradiction(header):
        return ModelError(f"{path}: the header of the file is damaged: {damage}; download it again ({how})")
    return ModelError(
        f"{path}: this build of llama.cpp cannot run it ({shortened(header.architecture, 40)}): {how}; "
        "update llama-cpp-python, or choose another file"
    )


def _child(path: Path) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(
            command_of(__name__, str(path.absolute())),
            cwd=PACKAGE_ROOT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env={**os.environ, "GGML_NO_BACKTRACE": "1"},  # else a debugger is looked for
            timeout=_CHILD_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ModelError(
            f"{path}: llama.cpp did not open this file within {_CHILD_SECONDS} seconds", file=path
        ) from None


def how_it_ended(code: int, complaints: bytes) -> str:
    """The signal that ended a child process, with llama.cpp's reason, or what it said last."""
    lines = complaints.decode("utf-8", "replace").strip().splitlines()
    failed = [line[line.index("GGML_ASSERT") :] for line in lines if "GGML_ASSERT" in line]
    if code == -signal.SIGXCPU:
        return f"it computes for more than {_CPU_SECONDS} seconds"
    if code < 0:
        return f"it crashed ({signal.Signals(-code).name})" + (f": {shortened(failed[-1])}" if failed else "")
    return shortened(lines[-1]) if lines else f"it ended with status {code}"


def _why_not(path: str) -> str:
    """Runs in the child: why llama.cpp cannot read the vocabulary, '' where it can."""
    import llama_cpp

    from . import llama_log
    from .vocabulary import GgufVocabulary

    llama_log.listen()
    llama_cpp.llama_backend_init()
    _limit()
    parameters = llama_cpp.llama_model_default_params()
    parameters.vocab_only = True
    model = llama_cpp.llama_model_load_from_file(path.encode(), parameters)
    if not model:
        return f"llama.cpp cannot load this file: {llama_log.last_reason() or 'no reason given'}"
    vocabulary = GgufVocabulary(model)
    if not vocabulary.exists:
        return "this model has no vocabulary, so it cannot write text; choose a text-generation GGUF"
    vocabulary.read_all()
    if llama_cpp.llama_model_has_encoder(model) or llama_cpp.llama_model_is_diffusion(model):
        return NO_WRITER
    return ""


def _limit() -> None:
    """Bound the memory (Linux) and the time that this process may take from now on."""
    resource.setrlimit(resource.RLIMIT_CPU, (_CPU_SECONDS, resource.getrlimit(resource.RLIMIT_CPU)[1]))
    if sys.platform == "linux":
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        soft, hard = resource.getrlimit(resource.RLIMIT_AS)
        most = pages * resource.getpagesize() + _EXTRA_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (most if soft == resource.RLIM_INFINITY else min(most, soft), hard))


def _writes(header: GgufHeader) -> bool:
    """Whether it says that it continues a text token by token: no embedding model does."""
    is_causal = header.of_architecture("attention.causal") is not False
    return is_causal and header.number("pooling_type") not in _POOLED


def has_state(model: object) -> bool:
    """Whether some layers keep a state that cannot be cut back: of a recurrent or hybrid model."""
    import llama_cpp

    return bool(llama_cpp.llama_model_is_recurrent(model) or llama_cpp.llama_model_is_hybrid(model))


if __name__ == "__main__":
    print(json.dumps({"error": _why_not(sys.argv[1])}), flush=True)
    os._exit(0)  # without llama.cpp's own tidying up
