"""Language models in GGUF files, evaluated by llama.cpp's low-level API: many sequences, one context, one decode.

One model load and one context per file. A prompt and a text so far is one KV sequence; a fork copies no data (the
unified cache only notes that a cell belongs to one more sequence). One `llama_decode` carries one token of every
sequence, and its logits are read where llama.cpp left them.

Bit-identical logits, alone or in a batch, forked or fresh, need flash attention, a unified cache and, on CPU, micro-
batches below 64 rows and never of exactly one row over a long cache; `_decode` sees to both.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import llama_cpp
import numpy as np

from ..errors import CellError, ModelError, TokauctionError
from . import llama_log
from .base import LiveSequence, Logits, copied
from .vocabulary import GgufVocabulary

CPU_MICRO_BATCH = 32
GPU_MICRO_BATCH = 512
_LONG_CACHE = 512  # cells from which llama.cpp's CPU kernel treats a single row differently
_WHOLE = -1


@dataclass(frozen=True)
class GgufPrompt:
    """A prompt as tokens for one GGUF file."""

    path: Path
    tokens: tuple[int, ...]


@dataclass
class KvSequence:
    """One KV sequence of one context: its number and how many tokens it holds."""

    context: GgufContext
    number: int
    length: int
    prompt: tuple[int, ...]
    first_logits: Logits | None = None


@dataclass(frozen=True)
class Hardware:
    """Where and how llama.cpp computes. `gpu_layers` is -1 for all of them."""

    gpu_layers: int
    n_threads: int

    @property
    def micro_batch(self) -> int:
        return GPU_MICRO_BATCH if self.gpu_layers else CPU_MICRO_BATCH


def choose_hardware(device: str, gpu_layers: int | str, n_threads: int) -> Hardware:
    """Resolve `runtime.device` (auto, cpu, gpu) against what this build of llama.cpp can do."""
    can_offload = bool(llama_cpp.llama_supports_gpu_offload())
    if device == "gpu" and not can_offload:
        raise ModelError(
            "runtime.device is gpu, but this build of llama-cpp-python computes on the CPU only; reinstall it with "
            'CMAKE_ARGS="-DGGML_CUDA=on" (or GGML_METAL, GGML_VULKAN), or set `device: cpu`'
        )
    if device == "cpu" or not can_offload:
        return Hardware(0, n_threads)
    return Hardware(-1 if gpu_layers == "auto" else int(gpu_layers), n_threads)


@contextmanager
def open_vocabulary(path: Path) -> Iterator[GgufVocabulary]:
    """The vocabulary of a GGUF file without its weights: enough to plan a run."""
    model = _load(path, vocab_only=True)
    try:
        yield GgufVocabulary(model)
    finally:
        llama_cpp.llama_model_free(model)


def _load(path: Path, *, vocab_only: bool = False, gpu_layers: int = 0) -> llama_cpp.llama_model_p:
    llama_log.listen()
    llama_cpp.llama_backend_init()
    parameters = llama_cpp.llama_model_default_params()
    parameters.vocab_only = vocab_only
    parameters.n_gpu_layers = 10_000 if gpu_layers < 0 else gpu_layers
    model = llama_cpp.llama_model_load_from_file(str(path).encode(), parameters)
    if not model:
        reason = llama_log.last_reason() or "no reason given"
        raise ModelError(f"{path}: llama.cpp cannot load this model: {reason}")
    return model


class GgufContext:
    """One loaded GGUF file with its one context.

    n_cells: KV cells shared by all sequences; n_sequences: the most that live at once; max_rows: the most rows that
    one `evaluate` may carry.
    """

    def __init__(self, path: Path, hardware: Hardware, *, n_cells: int, n_sequences: int, max_rows: int) -> None:
        self.path = path
        self._model = _load(path, gpu_layers=hardware.gpu_layers)
        self.vocabulary = GgufVocabulary(self._model)
        self.micro_batch = hardware.micro_batch
        self._n_batch = max(max_rows + 1, self.micro_batch)
        self._context = self._new_context(hardware, n_cells, n_sequences + 1)
        self._memory = llama_cpp.llama_get_memory(self._context)
        self.copies_parts = _can_copy_parts(self._model)
        self._scratch = n_sequences  # a sequence of its own for the padding row
        self._free = list(range(n_sequences - 1, -1, -1))
        self._prompts: list[KvSequence] = []
        self._batch = _Batch(self._n_batch)
        self.n_evaluations = 0
        self.n_prompt_tokens = 0

    def _new_context(self, hardware: Hardware, n_cells: int, n_sequences: int) -> llama_cpp.llama_context_p:
        on_gpu = hardware.gpu_layers != 0
        parameters = llama_cpp.llama_context_default_params()
        parameters.n_ctx = n_cells
        parameters.n_batch = self._n_batch
        parameters.n_ubatch = self.micro_batch
        parameters.n_seq_max = n_sequences
        parameters.n_threads = parameters.n_threads_batch = hardware.n_threads
        parameters.flash_attn_type = llama_cpp.LLAMA_FLASH_ATTN_TYPE_ENABLED
        parameters.kv_unified = True
        parameters.offload_kqv = parameters.op_offload = on_gpu
        context = llama_cpp.llama_init_from_model(self._model, parameters)
        if not context:
            raise ModelError(
                f"{self.path}: llama.cpp cannot make a context of {n_cells} tokens and {n_sequences} sequences: "
                f"{llama_log.last_reason() or 'out of memory?'}; lower `max_tokens` or `runtime.batch`"
            )
        self._is_long = llama_cpp.llama_n_ctx(context) >= _LONG_CACHE
        return context

    def close(self) -> None:
        """Free the context and the weights."""
        llama_cpp.llama_free(self._context)
        llama_cpp.llama_model_free(self._model)

    def open(self, tokens: tuple[int, ...]) -> KvSequence:
        """Evaluate a prompt, except the beginning that it shares with a prompt already held."""
        sequence = KvSequence(self, self._take(), 0, tokens)
        self._share_beginning(sequence)
        while sequence.length < len(tokens):
            chunk = tokens[sequence.length : sequence.length + self.micro_batch]
            self.n_prompt_tokens += len(chunk)
            is_last = sequence.length + len(chunk) == len(tokens)
            positions = range(sequence.length, sequence.length + len(chunk))
            logits = self._decode(chunk, positions, [sequence.number] * len(chunk), only_last=True)
            sequence.length += len(chunk)
            if is_last:
                sequence.first_logits = copied(logits[0])
        self._prompts.append(sequence)
        return sequence

    def _share_beginning(self, sequence: KvSequence) -> None:
        if not self.copies_parts:
            return
        shared, source = max(
            ((_common_length(other.prompt, sequence.prompt), other) for other in self._prompts),
            key=lambda pair: pair[0],
            default=(0, sequence),
        )
        shared = min(shared, len(sequence.prompt) - 1)  # the last token is evaluated anew: its logits are needed
        if shared > 0:
            llama_cpp.llama_memory_seq_cp(self._memory, source.number, sequence.number, 0, shared)
            sequence.length = shared

    def fork(self, sequence: KvSequence) -> KvSequence:
        """A second sequence over the same KV cells."""
        number = self._take()
        llama_cpp.llama_memory_seq_cp(self._memory, sequence.number, number, _WHOLE, _WHOLE)
        return KvSequence(self, number, sequence.length, sequence.prompt)

    def free(self, sequence: KvSequence) -> None:
        """Give back the sequence's number, and its KV cells where no other sequence holds them."""
        llama_cpp.llama_memory_seq_rm(self._memory, sequence.number, _WHOLE, _WHOLE)
        self._free.append(sequence.number)
        if sequence in self._prompts:
            self._prompts.remove(sequence)

    def extend(self, sequences: Sequence[KvSequence], tokens: Sequence[int]) -> list[Logits]:
        """Append one token to every sequence in one decode."""
        positions = [sequence.length for sequence in sequences]
        rows = self._decode(tokens, positions, [sequence.number for sequence in sequences])
        for sequence in sequences:
            sequence.length += 1
        self.n_evaluations += len(tokens)
        return rows

    def _take(self) -> int:
        if not self._free:
            raise TokauctionError("more KV sequences are needed than the plan foresaw; please report this")
        return self._free.pop()

    def _decode(
        self, tokens: Sequence[int], positions: Sequence[int], numbers: Sequence[int], *, only_last: bool = False
    ) -> list[Logits]:
        n_rows = len(tokens)
        pad = self._is_long and n_rows % self.micro_batch == 1
        batch = self._batch.fill(tokens, positions, numbers, only_last=only_last)
        if pad:
            self._batch.add_padding(self._scratch)
        status = llama_cpp.llama_decode(self._context, batch)
        if status != 0:
            raise TokauctionError(
                f"{self.path}: llama_decode failed with status {status}: {llama_log.last_reason() or 'no reason given'}"
            )
        if pad:
            llama_cpp.llama_memory_seq_rm(self._memory, self._scratch, _WHOLE, _WHOLE)
        n_outputs = 1 if only_last else n_rows
        logits = llama_cpp.llama_get_logits(self._context)
        return list(np.ctypeslib.as_array(logits, shape=(n_outputs, self.vocabulary.size)))


class _Batch:
    """A `llama_batch` over NumPy arrays that live as long as the context."""

    def __init__(self, capacity: int) -> None:
        self._tokens = np.zeros(capacity, np.int32)
        self._positions = np.zeros(capacity, np.int32)
        self._counts = np.ones(capacity, np.int32)
        self._numbers = np.zeros(capacity, np.int32)
        self._outputs = np.zeros(capacity, np.int8)
        first = self._numbers.ctypes.data
        self._pointers = (first + 4 * np.arange(capacity)).astype(np.uintp)
        fields = dict(llama_cpp.llama_batch._fields_)
        self._struct = llama_cpp.llama_batch(
            n_tokens=0,
            token=self._tokens.ctypes.data_as(fields["token"]),
            pos=self._positions.ctypes.data_as(fields["pos"]),
            n_seq_id=self._counts.ctypes.data_as(fields["n_seq_id"]),
            seq_id=self._pointers.ctypes.data_as(fields["seq_id"]),
            logits=self._outputs.ctypes.data_as(fields["logits"]),
        )

    def fill(
        self, tokens: Sequence[int], positions: Sequence[int], numbers: Sequence[int], *, only_last: bool
    ) -> ctypes.Structure:
        n = len(tokens)
        self._tokens[:n] = tokens
        self._positions[:n] = positions
        self._numbers[:n] = numbers
        self._outputs[:n] = not only_last
        self._outputs[n - 1] = True
        self._struct.n_tokens = n
        return self._struct

    def add_padding(self, scratch: int) -> None:
        """One more row without output, so that no micro-batch has exactly one row."""
        n = self._struct.n_tokens
        self._tokens[n], self._positions[n] = self._tokens[n - 1], 0
        self._numbers[n], self._outputs[n] = scratch, False
        self._struct.n_tokens = n + 1


class GgufModel:
    """The GGUF files of one experiment behind the one protocol of `lm.base`."""

    def __init__(self, contexts: Sequence[GgufContext]) -> None:
        self._contexts = {context.path: context for context in contexts}
        self.vocabulary = contexts[0].vocabulary

    def open(self, prompt: GgufPrompt) -> KvSequence:
        return self._contexts[prompt.path].open(prompt.tokens)

    def fork(self, sequence: LiveSequence) -> KvSequence:
        assert isinstance(sequence, KvSequence)
        return sequence.context.fork(sequence)

    def close(self, sequence: LiveSequence) -> None:
        assert isinstance(sequence, KvSequence)
        sequence.context.free(sequence)

    def evaluate(self, sequences: Sequence[LiveSequence], tokens: Sequence[int]) -> list[Logits | CellError]:
        rows: list[Logits | CellError | None] = [None] * len(sequences)
        for context in self._contexts.values():
            mine = [k for k, s in enumerate(sequences) if isinstance(s, KvSequence) and s.context is context]
            if not mine:
                continue
            held = [s for s in (sequences[k] for k in mine) if isinstance(s, KvSequence)]
            for k, row in zip(mine, context.extend(held, [tokens[k] for k in mine]), strict=True):
                rows[k] = row
        return [row for row in rows if row is not None]

    def shutdown(self) -> None:
        """Free every context; sequences must not be used afterwards."""
        for context in self._contexts.values():
            context.close()


def _can_copy_parts(model: llama_cpp.llama_model_p) -> bool:
    """Recurrent, hybrid and sliding-window memories can be copied whole only."""
    return not (
        llama_cpp.llama_model_is_recurrent(model)
        or llama_cpp.llama_model_is_hybrid(model)
        or llama_cpp.llama_model_n_swa(model) > 0
    )


def _common_length(a: Sequence[int], b: Sequence[int]) -> int:
    for k, (x, y) in enumerate(zip(a, b, strict=False)):
        if x != y:
            return k
    return min(len(a), len(b))
