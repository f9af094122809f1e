"""The child process of a probe: evaluates what a run emits, and says on stdout what it is at, one JSON line each.

A made-up text is evaluated in chunks, and its logits after several lengths are kept: alone, cut back, row by row. Then
the same texts are reached as a run reaches them: forked from another sequence, in chunks of other sizes, a token at a
time in batches of several sizes, and beyond a block of 256 cells. Every bit of the logits is compared, and on CPUs
every bit of the products of weights before they are rounded (`products.py`); batches are timed.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...system.errors import OutOfMemoryError
from ..base import Logits
from ..llama import libraries
from ..llama.adapters import Adapter, Tuned
from ..llama.batch import Row
from ..llama.gguf import GgufContext, OneByOneContext, cells_per_sequence
from ..llama.hardware import CELL_BLOCK, Hardware
from ..llama.metadata import NO_WRITER
from .probe import Shape
from .products import Products

DIGESTED = (16, 17)  # lengths of texts, a chunk and a lone row more, whose logits are digested
N_STEPS = 2  # tokens that each text gets beyond a fork
LENGTHS = (4, 37, 103, 160, CELL_BLOCK - N_STEPS, CELL_BLOCK + 34, 2 * CELL_BLOCK + 3)  # tokens at a fork
REFILLED = (37, 103)  # lengths that are reached in chunks that begin elsewhere
_OF_A_GUESS = 4  # a first guess of the time may be this much too high
NOT_NUMBERS = "its logits are not numbers: the file is damaged; download it again"


_OTHER_CHUNKS = "a prompt in other chunks"


class NoLogitsError(Exception):
    """A model that computes none, such as an embedding model."""


class NotNumbersError(Exception):
    """A model whose logits are NaN or infinite."""


def say(**what: Any) -> None:
    print(json.dumps(what), flush=True)


def clock_of(hardware: Hardware) -> Callable[[], float]:
    """Seconds that pass; where this processor computes, those that its threads work: others do not decide a finding."""
    if hardware.gpu_layers or hardware.rpc:
        return perf_counter
    return lambda: process_time() / hardware.n_threads


@dataclass
class Examination:
    """A context, the text that it is asked about, which shapes moved its logits by how much, and how fast it was."""

    context: GgufContext
    text: tuple[int, ...]
    products: Products | None = None
    clock: Callable[[], float] = perf_counter
    known: dict[int, NDArray[np.float32]] = field(default_factory=dict)  # logits by length
    moved: dict[str, float] = field(default_factory=dict)
    moved_products: dict[str, list[str]] = field(default_factory=dict)  # by shape: the names of weights
    rows_per_second: dict[int, float] = field(default_factory=dict)  # by rows in a batch

    @property
    def lengths(self) -> list[int]:
        return [n for n in LENGTHS if n + N_STEPS <= len(self.text)]

    def begin(self) -> float:
        """The shapes that every run has, one chunk and a lone row: seconds of a row."""
        n = min(len(self.text), self.context.chunk + 1)
        say(at=f"{n - 1} tokens of a prompt")
        self.evaluate({0: n})  # reads the weights from the disk
        begun = self.clock()
        say(at="1 row")
        self.evaluate({0: n})
        self.evaluate({0: 2})
        self.evaluate({0: n})
        return (self.clock() - begun) / (n + 1)

    def check_writes(self) -> None:
        """Raise NoLogitsError where llama.cpp leaves the buffer of the logits as it is: it computes none."""
        for mark in (np.nan, 1.0):
            self._logits_of_a_token()[:] = mark
            logits = self._logits_of_a_token()
            if not np.array_equal(logits, np.full_like(logits, mark), equal_nan=True):
                return
        raise NoLogitsError

    def _logits_of_a_token(self) -> Logits:
        """In llama.cpp's own memory."""
        self.context.forget()
        logits = self.context.decode([Row(0, 0, self.text[0], True)])
        self.context.remove(0, 0)
        return logits

    def digest(self) -> str:
        """Of logits that every machine with this file can have: those after a few tokens and after one more."""
        self.context.forget()
        found = [self.evaluate({0: min(n, len(self.text))})[0].tobytes() for n in DIGESTED]
        return hashlib.sha256(b"".join(found)).hexdigest()[:12]

    def batches(self, sizes: Iterable[int]) -> None:
        """One token of so many sequences together: timed, but not compared."""
        for size in sizes:
            say(at=f"{size} rows")
            self.evaluate({k: 2 + k % 3 for k in range(size)})
            with self._timed(size):
                self.evaluate({k: 3 + k % 3 for k in range(size)})

    def cost(self, sizes: Sequence[int]) -> int:
        """Rows that `compare` evaluates, about."""
        if self.context.has_state:  # every cut evaluates a text anew
            return len(self.text) * (len(self.lengths) * (1 + N_STEPS) + sum(sizes))
        return 3 * len(self.text) + len(self.lengths) * (1 + N_STEPS) + sum(REFILLED) + (1 + N_STEPS) * sum(sizes)

    def compare(self, sizes: Sequence[int], deadline: float) -> bool:
        """Reach the same texts in every way of a run, and compare; False where time is over before."""
        self._learn()
        with self._products("one row alone"):
            self._alone()
        with self._products(_OTHER_CHUNKS):
            self._refilled()
        for size in sizes:
            if self.clock() > deadline:
                return False
            say(at=f"{size} rows, compared")
            places = {k: self.lengths[(k + size) % len(self.lengths)] for k in range(size)}
            shape = f"{size} rows in a batch"
            with self._products(shape):
                self._compare(places, shape)
            for step in range(1, N_STEPS + 1):
                with self._timed(size):
                    self._compare({k: n + step for k, n in places.items()}, shape)
        return True

    def _learn(self) -> None:
        """The products of every token in chunks, of the last layer where others will be compared."""
        if self.products is None:
            return
        say(at="products")
        self.context.forget()
        wanted = {n + step for n in self.lengths for step in range(-2, N_STEPS)} | {
            len(self.text) - 2,
            len(self.text) - 1,
        }
        with self.products.learned():
            begin = 0
            while begin < len(self.text):
                end = begin + self.context.size_of_chunk(len(self.text) - begin)
                self.context.decode([Row(0, at, self.text[at], at in wanted) for at in range(begin, end)])
                begin = end
        self.context.remove(0, 0)

    @contextmanager
    def _products(self, shape: str) -> Iterator[None]:
        """Compare those that are computed meanwhile."""
        if self.products is None:
            yield
            return
        with self.products.compared() as moved:
            yield
        if moved:
            self.moved_products[shape] = moved

    def _alone(self) -> None:
        say(at=f"{len(self.text)} tokens")
        self.context.forget()
        self.evaluate({0: len(self.text)})
        say(at="alone")
        for n in reversed(self.lengths):
            for length in range(n + N_STEPS, n - 1, -1):
                self.known[length] = self.evaluate({0: length})[0]

    def _refilled(self) -> None:
        """Evaluate the text anew, in chunks that begin elsewhere; the last sequence keeps it for the others to fork."""
        say(at="chunks that begin elsewhere")
        self.context.forget()
        for n in REFILLED:
            if n in self.lengths:
                self._compare({0: n + 1}, _OTHER_CHUNKS)
        self.evaluate({0: len(self.text)})
        if self.context.n_sequences > 1:
            self.evaluate({self.context.n_sequences - 1: len(self.text)})

    def _compare(self, lengths: Mapping[int, int], shape: str) -> None:
        for number, logits in self.evaluate(lengths).items():
            alone = self.known[lengths[number]]
            if logits.tobytes() != alone.tobytes():
                by = float(np.abs(logits - alone).max())
                self.moved[shape] = max(self.moved.get(shape, 0.0), by)

    @contextmanager
    def _timed(self, n_rows: int) -> Iterator[None]:
        """One token more of so many sequences; the fastest counts."""
        begun = perf_counter()
        yield
        rate = n_rows / (perf_counter() - begun)
        self.rows_per_second[n_rows] = max(rate, self.rows_per_second.get(n_rows, 0.0))

    def evaluate(self, lengths: Mapping[int, int]) -> dict[int, NDArray[np.float32]]:
        """The logits after the first tokens of the text, by sequence."""
        answer = self.context.evaluate({number: self.text[:n] for number, n in lengths.items()})
        found = {number: np.array(logits) for number, logits in answer.items()}
        if any(np.isnan(logits).any() or np.isposinf(logits).any() for logits in found.values()):
            raise NotNumbersError
        return found

    @property
    def in_words(self) -> str:
        """The shape that moved logits most, '' where none did."""
        if self.moved:
            shape = max(self.moved, key=lambda name: self.moved[name])
            return f"{shape} move logits by up to {self.moved[shape]:.1e}"
        if self.moved_products:
            shape, weights = next(iter(self.moved_products.items()))
            others = f" and {len(weights) - 1} more" if len(weights) > 1 else ""
            return f"products of {weights[0]}{others} change for {shape}, though no logit that was tried did"
        if self.context.has_state and self.context.has_floats and self.products is not None:
            return "some matrices are floats, and a recurrent state leaves rows alone in their products"
        return ""


def examine(
    path: Path,
    hardware: Hardware,
    shape: Shape,
    sizes: Sequence[int],
    seconds: float | None,
    copy: Path | None = None,
    adapters: Sequence[Adapter] = (),
) -> Any:
    """The answer to the question that came."""
    say(at="loading", has_amx=libraries.computes_with("AMX_INT8"))
    is_heard = not hardware.gpu_layers and not shape.alone and Products.can_be_heard()
    products = Products() if is_heard else None
    context = _context(Tuned(path, tuple(adapters)), copy, hardware, max(shape.n_sequences, *sizes), shape, products)
    text = _text(context, min(cells_per_sequence(shape.n_tokens), LENGTHS[-1] + N_STEPS))
    at_work = Examination(context, text, products, clock_of(hardware))
    sizes = sorted({size for size in (*sizes, shape.n_sequences) if 1 < size <= context.n_sequences})
    needed = at_work.begin() * at_work.cost(sizes)
    at_work.check_writes()
    digest = at_work.digest()
    known = shape._replace(n_sequences=max(shape.n_sequences, context.n_sequences))
    answer = {
        "shape": known,
        "digest": digest,
        "moved": None,
        "why_not": "",
        "rows_per_second": at_work.rows_per_second,
    }
    if shape.alone:
        at_work.batches(sizes)
        return answer
    if not at_work.lengths:
        at_work.batches(sizes)
        return answer | {"why_not": "the model's texts are too short"}
    seconds = math.inf if seconds is None else seconds
    if needed < _OF_A_GUESS * seconds and at_work.compare(sizes, at_work.clock() + seconds):
        return answer | {"moved": at_work.in_words}
    at_work.batches(sizes)
    return answer | {"why_not": f"it takes about {needed:.0f} s here; `tokauction check --probe` measures it"}


def _text(context: GgufContext, n_tokens: int) -> tuple[int, ...]:
    """Any tokens of the vocabulary, none often, as many as the model was made for."""
    numbers = range(1, min(n_tokens, context.trained_length))
    return context.vocabulary.first_token or 0, *((7 * k * k + 11 * k + 5) % context.vocabulary.size for k in numbers)


def _context(
    tuned: Tuned, copy: Path | None, hardware: Hardware, n_sequences: int, shape: Shape, products: Products | None
) -> GgufContext:
    """As many sequences as memory has room for."""
    kind = OneByOneContext if shape.alone else GgufContext
    hear = products.hear if products else None
    while True:
        try:
            return kind(
                tuned.path,
                hardware,
                n_sequences=n_sequences,
                n_tokens=shape.n_tokens,
                copy=copy,
                adapters=tuned.adapters,
                hear=hear,
            )
        except OutOfMemoryError:
            if n_sequences == 1:
                raise
            n_sequences //= 2


def main(question: Mapping[str, Any]) -> None:
    path, adapters = Path(question["path"]), [Adapter(Path(file), scale) for file, scale in question["adapters"]]
    copy = Path(question["copy"]) if question["copy"] else None
    hardware = Hardware.of(question["hardware"])
    try:
        asked = Shape(*question["shape"]), question["sizes"], question["seconds"], copy, adapters
        answer = examine(path, hardware, *asked)
    except NoLogitsError:
        answer = {"error": NO_WRITER}
    except NotNumbersError:
        answer = {"error": NOT_NUMBERS}
    except Exception as error:
        answer = {"error": str(error).removeprefix(f"{path}: ")}
    say(answer=answer)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
    os._exit(0)  # without llama.cpp's own tidying up
