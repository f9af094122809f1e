"""Which format suits a processor: how fast llama.cpp computes with a file's weights in it, and how near to their law.

rows/s   bare `llama_decode` of one token each of so many sequences that hold 60 tokens: medians of 12 steps, then of
         passes in which formats take turns
TV       total variation distance to the distributions that the file's own weights give in f32, after 100 prefixes of
         an ad that are read in chunks of 32

A copy in a quantised format has lost digits: it is another model, whose law its TV is not. A copy in floats has not.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from statistics import mean, median
from tempfile import TemporaryDirectory
from typing import Annotated, NamedTuple

import numpy as np
import typer
from numpy.typing import NDArray

from tokenauction_cli.cli.terminal import console, rich_table
from tokenauction_cli.lm.llama.batch import Row
from tokenauction_cli.lm.llama.copies import quantise
from tokenauction_cli.lm.llama.gguf import GgufContext
from tokenauction_cli.lm.llama.hardware import Hardware, choose_hardware
from tokenauction_cli.mechanism.normalised import log_normalize
from tokenauction_cli.model_files.models import locate, parse_reference
from tokenauction_cli.system.errors import NoCopyError
from tokenauction_cli.system.processors import usable_processors
from tokenauction_cli.system.wording import did_you_mean

from .benchmark import machine_of

FORMATS = {"Q4_0": 2, "Q4_1": 3, "Q4_K_M": 15, "Q6_K": 18, "Q8_0": 7, "IQ4_NL": 25, "F16": 1, "BF16": 32}  # llama_ftype
ALL_F32 = 0
AS_IT_IS = "the file as it is"
N_HELD, N_STEPS, N_PREFIXES = 60, 12, 100
AD = (
    "Escape to the islands of Hawaii with Alpha Airlines and stay at the Beta Resort, where every room has a view of "
    "the ocean. Wake up to the sound of the waves, walk along beaches of white sand, and taste fruit that was picked "
    "this morning. Our guides show you waterfalls, volcanoes and gardens that few visitors ever see. In the evening "
    "there is music, and dinner is served under the stars. Book your flight and your room together before the end of "
    "the month, and the third night is free. Children under twelve fly and stay for half of the price."
)


class Measured(NamedTuple):
    """Of one format: bytes, medians of rows/s by rows in a batch, and distances by prefix."""

    form: str
    size: int
    rows_per_second: Mapping[int, float]
    distances: NDArray[np.float64]


def measured(
    path: Path, forms: Sequence[str], sizes: Sequence[int], passes: int, tell: Callable[[str], None]
) -> Iterator[Measured]:
    """The file as it is and each of these formats in turn, several times over."""
    hardware = choose_hardware("cpu", "auto", usable_processors())
    with TemporaryDirectory() as folder:
        files = {AS_IT_IS: path}
        for form, file_type in (*((form, FORMATS[form]) for form in forms), ("F32", ALL_F32)):
            tell(f"writing {form}")
            try:
                quantise(path, Path(folder) / f"{form}.gguf", file_type, hardware.n_threads)
                files[form] = Path(folder) / f"{form}.gguf"
            except NoCopyError as error:
                tell(f"{form} is left out: {error}")
        law = _log_probs(files.pop("F32"), hardware)
        distances = {form: _distances(law, _log_probs(file, hardware)) for form, file in files.items()}
        rates: dict[str, dict[int, list[float]]] = {form: {size: [] for size in sizes} for form in files}
        for k in range(passes):
            for form, file in files.items():
                tell(f"pass {k + 1} of {passes}: {form}")
                for size, rate in _rows_per_second(file, hardware, sizes).items():
                    rates[form][size].append(rate)
        for form, file in files.items():
            medians = {size: median(found) for size, found in rates[form].items()}
            yield Measured(form, file.stat().st_size, medians, distances[form])


@contextmanager
def _context(path: Path, hardware: Hardware, n_sequences: int) -> Iterator[GgufContext]:
    with closing(GgufContext(path, hardware, n_sequences=n_sequences, n_tokens=256)) as context:
        yield context


def _log_probs(path: Path, hardware: Hardware) -> NDArray[np.float64]:
    """(100, V), after every prefix of the ad."""
    with _context(path, hardware, 1) as context:
        first = context.vocabulary.first_token
        tokens = [*([] if first is None else [first]), *context.vocabulary.tokenize(AD, control=False)][:N_PREFIXES]
        rows = [Row(0, k, token, True) for k, token in enumerate(tokens)]
        chunks = [rows[begin : begin + context.chunk] for begin in range(0, len(rows), context.chunk)]
        return np.concatenate([log_normalize(context.decode(chunk)) for chunk in chunks])


def _distances(law: NDArray[np.float64], found: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.abs(np.exp(law) - np.exp(found)).sum(axis=1) / 2)


def _rows_per_second(path: Path, hardware: Hardware, sizes: Sequence[int]) -> dict[int, float]:
    """The median over steps, for each size of a batch."""
    with _context(path, hardware, max(sizes)) as context:
        n_tokens = context.vocabulary.size
        text = tuple(7 * k * k % n_tokens for k in range(N_HELD))
        context.evaluate({0: text})  # the others copy it
        context.evaluate({k: (*text, k) for k in range(max(sizes))})
        found = {}
        for size in sizes:
            seconds = []
            for step in range(N_STEPS):
                rows = [Row(k, N_HELD + 1 + step, (k + step) % n_tokens, True) for k in range(size)]
                begun = time.perf_counter()
                context.decode(rows)
                seconds.append(time.perf_counter() - begun)
            found[size] = size / median(seconds)
            for k in range(size):
                context.remove(k, N_HELD + 1)
        return found


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def formats(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="An alias, path.gguf, or a file of the hub.")],
    rows: Annotated[list[int] | None, typer.Option("--rows", min=1, help="Rows in a batch; several times.")] = None,
    form: Annotated[
        list[str] | None,
        typer.Option("--format", help=f"One of {', '.join(FORMATS)}; several times; all unless given."),
    ] = None,
    passes: Annotated[int, typer.Option("--passes", min=1, help="How often every format is timed.")] = 3,
) -> None:
    """Print rows/s and the distance to the f32 law by the format of a file's weights."""
    from tokenauction_cli.analysis.tables.tables import Table

    path = locate(parse_reference(model, Path.cwd())).path
    sizes = sorted(set(rows or (1, 8, 32, 64)))
    forms = form or list(FORMATS)
    if unknown := next((name for name in forms if name not in FORMATS), None):
        raise typer.BadParameter(f"`{unknown}` is none of {', '.join(FORMATS)}{did_you_mean(unknown, FORMATS)}")
    found = list(measured(path, forms, sizes, passes, lambda said: print(said, file=sys.stderr, flush=True)))
    table = [
        (
            one.form,
            f"{one.size / 1e6:,.0f}",
            *(f"{one.rows_per_second[size]:.0f}" for size in sizes),
            f"{mean(one.distances):.4f}",
            f"{one.distances.max():.3f}",
        )
        for one in found
    ]
    heads = ("weights", "MB", *(f"rows/s: {size}" for size in sizes), "TV: mean", "largest")
    console().print(rich_table(Table(model, heads, tuple(table))))
    for name, value in machine_of(choose_hardware("cpu", "auto", usable_processors())).items():
        typer.echo(f"{name:<10} {value}")
