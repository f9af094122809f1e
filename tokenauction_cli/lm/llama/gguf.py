"""Language models in GGUF files, evaluated by llama.cpp's low-level API: many sequences, one context, one decode.

One model load per file, and one context per file and adapters. Every (slot, prompt) has a KV sequence with a stream of
cells of its own. A sequence keeps what was evaluated last; a request reuses the beginning that it shares with it, or
copies a longer one from another sequence, and evaluates the rest: normally one token. One `llama_decode` carries the
last token of every request.

Why streams (`kv_unified` off): in a unified cache the cells of a sequence end up in any order once freed cells are used
again, attention adds them up in that order, and the logits move. In a stream, cell k holds token k, so the logits of a
text are the same bits whatever was evaluated before or beside it. Three shapes take other kernels on CPU and are never
emitted: 64 tokens or more of one sequence, one row alone over 512 cells or more, and one row alone through matrices of
floats (`lone_rows.py`). A lone row gets a second one: the token before it is repeated.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import llama_cpp
import numpy as np

from ...model_files.gguf_header import read_header
from ...system.errors import CellError, ModelError, OutOfMemoryError, TokauctionError
from ..base import NO_LOGITS, Logits, Request, common_length, copied
from . import libraries, llama_log
from .adapters import Adapter, Tuned, apply
from .batch import Batch, Row
from .hardware import CELL_BLOCK, GGML_TYPES, Hardware
from .kept_models import kept_models
from .lone_rows import has_floats, parts_streams
from .metadata import has_state
from .vocabulary import GgufVocabulary

_LONG = 512  # cells from which llama.cpp splits the attention of a lone row
_TO_THE_END = -1
_NO_WEIGHTS = Hardware(0, 1)
_SPLIT_MODES = {"none": 0, "layer": 1, "row": 2}  # llama_split_mode, as in llama.h


class KvCall(NamedTuple):
    """A call that moves or computes KV cells: the name of a context's method, `copy`, `remove` or `decode`."""

    method: str
    arguments: tuple[Any, ...]


@dataclass(frozen=True)
class GgufPrompt:
    """A prompt as tokens for one GGUF file, with or without adapters."""

    path: Path
    tokens: tuple[int, ...]
    adapters: tuple[Adapter, ...] = ()

    @property
    def tuned(self) -> Tuned:
        """What it is for."""
        return Tuned(self.path, self.adapters)

    @property
    def n_tokens(self) -> int:
        return len(self.tokens)


def cells_per_sequence(n_tokens: int) -> int:
    """The KV cells that llama.cpp gives to a sequence of at most so many tokens."""
    return -(-n_tokens // CELL_BLOCK) * CELL_BLOCK


@contextmanager
def open_vocabulary(path: Path) -> Iterator[GgufVocabulary]:
    """The vocabulary of a GGUF file without its weights: enough to plan a run."""
    model = _load(path, vocab_only=True)
    try:
        yield GgufVocabulary(model)
    finally:
        llama_cpp.llama_model_free(model)


def _load(path: Path, hardware: Hardware = _NO_WEIGHTS, *, vocab_only: bool = False) -> llama_cpp.llama_model_p:
    llama_log.listen()
    llama_cpp.llama_backend_init()
    libraries.connect(hardware.rpc)
    parameters = llama_cpp.llama_model_default_params()
    parameters.vocab_only = vocab_only
    parameters.n_gpu_layers = hardware.gpu_layers
    parameters.use_extra_bufts = hardware.uses_extra_buffers
    parameters.split_mode = _SPLIT_MODES[hardware.split.mode]
    parameters.main_gpu = hardware.split.main_gpu
    shares = _shares(hardware)  # llama.cpp reads them while it loads
    parameters.tensor_split = shares
    model = llama_cpp.llama_model_load_from_file(str(path).encode(), parameters)
    if not model:
        reason = llama_log.last_reason() or "no reason given"
        raise ModelError(f"{path}: llama.cpp cannot load this model: {reason}", file=path)
    return model


def _shares(hardware: Hardware) -> ctypes.Array[ctypes.c_float] | None:
    """As many numbers as llama.cpp reads, 0 for a device that is not named; None: it goes by free memory."""
    shares = hardware.split.shares
    return (ctypes.c_float * llama_cpp.llama_max_devices())(*shares) if shares else None


class GgufContext:
    """One loaded GGUF file, or one with adapters: a context of `n_sequences` sequences of at most `n_tokens` tokens."""

    def __init__(
        self,
        path: Path,
        hardware: Hardware,
        *,
        n_sequences: int,
        n_tokens: int,
        copy: Path | None = None,
        adapters: tuple[Adapter, ...] = (),
        beside: GgufContext | None = None,
        observe: Callable[[KvCall], object] = lambda step: None,
        hear: Any = None,
    ) -> None:
        """`copy` is loaded instead of the file, where there is one: the same weights in another format.

        `beside` is a context of the same file, whose weights it shares, and which is closed after it.

        `observe` is told every call that moves or computes KV cells, before it is made.

        `hear` is a `ggml_backend_sched_eval_callback`: llama.cpp calls it for every node that it computes.
        """
        self.path = path
        self.tuned = Tuned(path, adapters)
        self._hear = hear
        self._observe = observe
        self.chunk = hardware.chunk
        self._n_cells = cells_per_sequence(n_tokens)
        self._owns_weights = beside is None
        self._kept, self._key = kept_models(), (copy or path, hardware)
        self._model: llama_cpp.llama_model_p = self._taken() if beside is None else beside._model
        self.vocabulary: GgufVocabulary = GgufVocabulary(self._model) if beside is None else beside.vocabulary
        try:
            self._context = self._new_context(hardware, n_sequences)
            apply(self._model, self._context, adapters)
        except ModelError:
            self._free_weights()
            raise
        self._memory = llama_cpp.llama_get_memory(self._context)
        self.n_sequences = n_sequences
        self.trained_length: int = llama_cpp.llama_model_n_ctx_train(self._model)
        self.has_state = has_state(self._model)
        header = read_header(copy or path)
        self.has_floats = has_floats(header) or bool(adapters)
        can_pair = not hardware.gpu_layers and not self.has_state
        self._pairs_every_row = can_pair and parts_streams(header)
        self._pairs_lone_rows = can_pair and (self.has_floats or self._n_cells >= _LONG)
        self._batch = Batch(2 * n_sequences + self.chunk)
        self._held: list[tuple[int, ...]] = [()] * n_sequences
        self.n_decoded = 0

    def _new_context(self, hardware: Hardware, n_sequences: int) -> llama_cpp.llama_context_p:
        on_gpu = hardware.gpu_layers != 0
        parameters = llama_cpp.llama_context_default_params()
        parameters.n_ctx = self._n_cells * n_sequences
        parameters.n_seq_max = n_sequences
        parameters.n_batch = parameters.n_ubatch = max(2 * n_sequences, self.chunk)
        parameters.n_threads = parameters.n_threads_batch = hardware.n_threads
        parameters.flash_attn_type = llama_cpp.LLAMA_FLASH_ATTN_TYPE_ENABLED
        parameters.type_k = parameters.type_v = GGML_TYPES[hardware.kv_cache]
        parameters.kv_unified = False
        parameters.swa_full = True  # a sliding window that forgets could not be cut back
        parameters.offload_kqv = parameters.op_offload = on_gpu
        if self._hear is not None:
            parameters.cb_eval = self._hear
        context = llama_cpp.llama_init_from_model(self._model, parameters)
        if not context:
            reason = llama_log.last_reason() or "out of memory?"
            kind = OutOfMemoryError if "alloc" in reason or "memory" in reason else ModelError
            raise kind(
                f"{self.path}: llama.cpp cannot make a context of {n_sequences} sequences of {self._n_cells} tokens: "
                f"{reason}; lower `runtime.batch`, or `auction.max_tokens` or `max_bytes`",
                file=self.path,
            )
        return context

    def close(self) -> None:
        """Free the context, and the weights where they are its own."""
        llama_cpp.llama_free(self._context)
        self._free_weights()

    def _taken(self) -> llama_cpp.llama_model_p:
        """The weights, where runs share them those that are there already."""
        return _load(*self._key) if self._kept is None else self._kept.taken(self._key, lambda: _load(*self._key))

    def _free_weights(self) -> None:
        if self._owns_weights and self._kept is None:
            llama_cpp.llama_model_free(self._model)
        elif self._owns_weights and self._kept is not None:
            self._kept.give_back(self._key)

    def evaluate(self, wanted: dict[int, tuple[int, ...]]) -> dict[int, Logits]:
        """The logits after each sequence's wanted tokens, (V,) float32 in llama.cpp's own memory."""
        self._reuse(wanted)
        for number, tokens in wanted.items():
            self._fill(number, tokens[:-1])
        return self._last_tokens(wanted)

    def forget(self) -> None:
        """Empty every sequence, so that what comes is evaluated as if nothing had come before."""
        for number in range(len(self._held)):
            self._cut(number, 0)

    def _reuse(self, wanted: dict[int, tuple[int, ...]]) -> None:
        """Cut every sequence back to what it shares with what is wanted, or with a copy of one that shares more."""
        sources: dict[int, int] = {}
        for number, tokens in wanted.items():
            source = self._best_source(number, tokens[:-1], taken=sources)
            if source != number:
                sources[number] = source
        before = list(self._held)
        for number, source in sources.items():
            self.copy(source, number)
            self._held[number] = before[source]
        for number, tokens in wanted.items():
            self._cut(number, common_length(self._held[number], tokens[:-1]))

    def _best_source(self, number: int, beginning: tuple[int, ...], taken: dict[int, int]) -> int:
        """The sequence that holds most of this beginning: itself if it can, and none that is overwritten by a copy."""
        if self._held[number][: len(beginning)] == beginning or number in taken.values():
            return number
        best, longest = number, common_length(self._held[number], beginning)
        for other, held in enumerate(self._held):
            if other not in taken and held[: longest + 1] == beginning[: longest + 1]:
                shared = common_length(held, beginning)
                if shared > longest:
                    best, longest = other, shared
        return best

    def _cut(self, number: int, n_tokens: int) -> None:
        """Forget all but the first tokens of a sequence; a memory that cannot forget a part forgets everything."""
        if len(self._held[number]) > n_tokens:
            if not self.remove(number, n_tokens):
                self.remove(number, 0)
                n_tokens = 0
            self._held[number] = self._held[number][:n_tokens]

    def _fill(self, number: int, tokens: tuple[int, ...]) -> None:
        """Evaluate what a sequence lacks of these tokens, in chunks of at least two."""
        while (begun := len(self._held[number])) < len(tokens):
            size = self.size_of_chunk(len(tokens) - begun)
            if size == 1 and begun:
                self._cut(number, begun - 1)
                continue
            chunk = tokens[begun : begun + size]
            rows = [Row(number, begun + k, token, False) for k, token in enumerate(chunk)]
            if size == 1 and self._pairs_lone_rows:
                rows.append(Row(number, 1, chunk[0], False))
            self.decode(rows)
            if len(rows) > size:
                self.remove(number, 1)
            self._held[number] = tokens[: begun + size]

    def size_of_chunk(self, n_missing: int) -> int:
        """How many tokens to evaluate together where so many are missing: one is not left over."""
        size = min(n_missing, self.chunk)
        return size - 1 if n_missing - size == 1 else size

    def _last_tokens(self, wanted: dict[int, tuple[int, ...]]) -> dict[int, Logits]:
        """Evaluate the last token of every sequence in one decode."""
        rows = []
        for number in sorted(wanted):
            tokens = wanted[number]
            is_alone = number - 1 not in wanted and number + 1 not in wanted
            is_paired = self._pairs_every_row or (is_alone and self._pairs_lone_rows)
            rows += self._in_a_pair(number, tokens) if is_paired else [_last_row(number, tokens)]
        logits = self.decode(rows)
        for number, tokens in wanted.items():
            self._held[number] = tokens
            if len(tokens) == 1:
                self.remove(number, 1)  # its second row
        outputs = [row for row in rows if row.is_output]
        return {
            row.sequence: found
            for row, found in zip(outputs, logits, strict=True)
            if row.position == len(wanted[row.sequence]) - 1
        }

    def _in_a_pair(self, number: int, tokens: tuple[int, ...]) -> list[Row]:
        """The last token beside the one before it, or beside one after it, which is forgotten."""
        last = _last_row(number, tokens)
        if len(tokens) == 1:
            return [last, Row(number, 1, tokens[0], self.has_floats)]
        self._cut(number, len(tokens) - 2)
        self._fill(number, tokens[:-2])
        return [Row(number, len(tokens) - 2, tokens[-2], self.has_floats), last]

    def perform(self, step: KvCall) -> None:
        """Make a call again that an observer was told of."""
        calls: dict[str, Callable[..., object]] = {"copy": self.copy, "remove": self.remove, "decode": self.decode}
        calls[step.method](*step.arguments)

    def copy(self, source: int, number: int) -> None:
        """Give one sequence the cells of another."""
        self._observe(KvCall("copy", (source, number)))
        llama_cpp.llama_memory_seq_cp(self._memory, source, number, _TO_THE_END, _TO_THE_END)

    def remove(self, number: int, n_tokens: int) -> bool:
        """Remove the cells behind the first tokens of a sequence; False where its memory cannot be cut there."""
        self._observe(KvCall("remove", (number, n_tokens)))
        return bool(llama_cpp.llama_memory_seq_rm(self._memory, number, n_tokens, _TO_THE_END))

    def decode(self, rows: Sequence[Row]) -> Logits:
        """Compute these rows in one batch: the logits of those that are outputs, in llama.cpp's own memory."""
        self._observe(KvCall("decode", (rows,)))
        status = llama_cpp.llama_decode(self._context, self._batch.of(rows))
        if status != 0:
            raise TokauctionError(
                f"{self.path}: llama_decode failed with status {status}: {llama_log.last_reason() or 'no reason given'}"
            )
        self.n_decoded += len(rows)
        n_outputs = sum(row.is_output for row in rows)
        if not n_outputs:
            return np.empty((0, self.vocabulary.size), np.float32)
        return np.ctypeslib.as_array(llama_cpp.llama_get_logits(self._context), shape=(n_outputs, self.vocabulary.size))


def _last_row(number: int, tokens: tuple[int, ...]) -> Row:
    return Row(number, len(tokens) - 1, tokens[-1], True)


class GgufModel:
    """The GGUF files of one experiment behind the one protocol of `lm.base`.

    Slot k of a file that speaks for at most m prompts owns the sequences k m, ..., k m + m - 1 of its context.
    """

    def __init__(
        self, contexts: Sequence[GgufContext], most_prompts: dict[Tuned, int], slots: int | None = None
    ) -> None:
        self.slots = slots
        self._contexts = {context.tuned: context for context in contexts}
        self._most_prompts = most_prompts
        self.vocabulary = contexts[0].vocabulary

    @property
    def contexts(self) -> list[GgufContext]:
        """One per file and adapters, in the order in which the agents name them."""
        return list(self._contexts.values())

    @property
    def n_decoded(self) -> int:
        """Tokens that llama.cpp evaluated, prompts included."""
        return sum(context.n_decoded for context in self._contexts.values())

    def unfollowed(self, prompt: Any, text: tuple[int, ...]) -> float:
        return 0.0

    def forget(self) -> None:
        for context in self._contexts.values():
            context.forget()

    def evaluate(self, requests: Sequence[Request]) -> list[list[Logits] | CellError]:
        wanted: dict[Tuned, dict[int, tuple[int, ...]]] = {tuned: {} for tuned in self._contexts}
        places: list[list[tuple[Tuned, int] | None]] = []
        for request in requests:
            place: list[tuple[Tuned, int] | None] = []
            used = dict.fromkeys(self._contexts, 0)
            for k, prompt in enumerate(request.prompts):
                tuned = prompt.tuned
                number = request.slot * self._most_prompts[tuned] + used[tuned]
                used[tuned] += 1
                if k in request.left_out:
                    place.append(None)
                    continue
                wanted[tuned][number] = prompt.tokens + request.text
                place.append((tuned, number))
            places.append(place)
        logits = {tuned: self._contexts[tuned].evaluate(tokens) for tuned, tokens in wanted.items() if tokens}
        return [[NO_LOGITS if at is None else logits[at[0]][at[1]] for at in place] for place in places]


class OneByOneContext(GgufContext):
    """A context that never batches."""

    def _fill(self, number: int, tokens: tuple[int, ...]) -> None:
        for position in range(len(self._held[number]), len(tokens)):
            self.decode([Row(number, position, tokens[position], False)])
        self._held[number] = tokens

    def _last_tokens(self, wanted: dict[int, tuple[int, ...]]) -> dict[int, Logits]:
        logits = {}
        for number, tokens in wanted.items():
            (row,) = self.decode([Row(number, len(tokens) - 1, tokens[-1], True)])
            logits[number] = copied(row)
            self._held[number] = tokens
        return logits
