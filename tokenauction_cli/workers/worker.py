"""What runs in a worker of a Dask cluster: it loads an experiment once, keeps it, and writes the texts of its tasks.

The experiment is a plugin of the worker: Dask brings it to every worker, also to those that come later or are started
again. It is loaded by the first task. Only one task writes at a time, for a model has one context.
"""

from __future__ import annotations

import hashlib
import os
import platform
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple
from uuid import uuid4

import yaml
from distributed import Worker, WorkerPlugin, get_worker

from .. import __version__
from ..engine.basis import PACKAGES
from ..engine.models.backend_bidders import packages_of
from ..engine.models.bidder_models import BidderModels
from ..engine.models.demo_model import demo_model, probed
from ..engine.models.prepare import prepare
from ..engine.plan import Cell, Plan
from ..engine.rules import Rules
from ..engine.running.beginnings import unlike_beginnings
from ..engine.writing import writing
from ..experiment.experiment import Experiment
from ..experiment.format.runtime import Runtime
from ..experiment.reader import read_experiment
from ..lm.llama.native_output import quiet
from ..model_files.models import verify
from ..runs.manifest import Formats, passes_build
from ..runs.run_folder import Record
from ..system.environment import versions
from ..system.errors import ModelError, TokauctionError, UsageError
from ..system.processors import processor_identity
from .answers import LEFT, Written

_SECONDS_BETWEEN_SIGNS = 1.0


class Sign(NamedTuple):
    """How far a task is: the share of its work that is done, about."""

    worker: str
    share: float
    n_tokens: int
    seconds: float


@dataclass(frozen=True)
class Assignment:
    """What a worker must know to write texts of an experiment as the driver would.

    `modules` are the sources of the user's own rules by name, `sha256s` those of the model files, and of adapters with
    their scales, by what the files are named.
    """

    version: str
    path: str
    source: bytes
    plain: bytes
    rows: bytes  # of queries, where they are too many for `plain`
    threads: int | str
    modules: Mapping[str, str]
    sha256s: Mapping[str, tuple[str, ...]]
    formats: Formats | None
    slots: int
    whole_waves: bool
    n_here: int  # workers of one machine, which divide its GPUs; 0 where they are on machines of their own

    def experiment(self, worker: Any) -> Experiment:
        """As the worker of this name computes it. Relative paths of models start where they do at the driver's."""
        sections = read_experiment(self.plain, self.path, carried=self.rows)
        experiment = Experiment.of(sections, Path(self.path), self.source)
        runtime = experiment.runtime.model_copy(update={"threads": self.threads})
        if self.n_here and self.sha256s and runtime.device != "cpu":
            runtime = with_part_of_gpus(runtime, int(worker), self.n_here)
        return replace(experiment, runtime=runtime)


def with_part_of_gpus(runtime: Runtime, worker: int, n_workers: int) -> Runtime:
    """With the GPUs of this machine that are this worker's, unless the file says which GPUs hold what."""
    from ..lm.llama.hardware import Split, part_of_gpus
    from ..lm.llama.libraries import gpus

    if runtime.rpc or Split(runtime.split_mode, runtime.tensor_split, runtime.main_gpu) != Split():
        return runtime
    mode, shares, main_gpu = part_of_gpus(worker, n_workers, len(gpus()))
    return runtime.model_copy(update={"split_mode": mode, "tensor_split": shares, "main_gpu": main_gpu})


def assignment_of(
    experiment: Experiment, bidders: BidderModels, modules: Mapping[str, str], slots: int, n_here: int
) -> Assignment:
    """What the workers of this run must know."""
    files = bidders.files
    return Assignment(
        version=__version__,
        path=str(experiment.path.absolute()),
        source=experiment.source,
        plain=yaml.safe_dump(dict(experiment.plain), sort_keys=False, allow_unicode=True).encode(),
        rows=experiment.query_table or b"",
        threads=experiment.runtime.threads,
        modules=modules,
        sha256s={model.name: model.digests for model in files.models} if files else {},
        formats=files.formats if files else None,
        slots=slots,
        whole_waves=not bidders.is_batch_invariant,
        n_here=n_here,
    )


def build_of(bidders: BidderModels | None, experiment: Experiment) -> dict[str, str]:
    """What decides the bits of records beside the experiment, in words: equal builds compute equally."""
    build = {
        "processor": processor_identity(),
        "passes": passes_build(),
        **versions(PACKAGES),
        **packages_of(experiment),
    }
    if bidders is None or bidders.files is None:
        return build
    from ..lm.llama.hardware import Split
    from ..lm.llama.libraries import digests

    hardware = replace(bidders.files.hardware, n_threads=0, split=Split())  # neither threads nor GPUs decide bits
    computes = {"hardware": str(hardware), "batches keep bits": str(bidders.is_batch_invariant)}
    for model in bidders.files.models:
        copy = bidders.files.weights.made(model.path)
        computes |= {} if copy is None else {f"copy in {copy.form} ({copy.name})": copy.sha256[:12]}
    findings = bidders.files.findings
    for model in bidders.files.models:
        if model.tuned in findings:
            names = " + ".join([model.path.name, *(one.local.path.name for one in model.adapters)])
            computes |= {f"digest of logits ({names})": findings[model.tuned].digest}
    return build | computes | {name: digest[:12] for name, digest in digests().items()}


class ExperimentPlugin(WorkerPlugin):
    """An experiment on a worker."""

    idempotent = True

    def __init__(self, assignment: Assignment) -> None:
        self.name = f"tokauction-{uuid4().hex[:16]}"  # another driver's plugin is another one
        self._assignment = assignment

    def setup(self, worker: Worker) -> None:
        self._loaded: _Loaded | None = None
        self._worker = worker.name
        self._stopped = threading.Event()
        self._unwanted: set[Any] = set()
        self._lock = threading.Lock()

    def teardown(self, worker: Worker) -> None:
        """Ends what is being written after its next token."""
        self._stopped.set()
        with self._lock:
            if self._loaded is not None:
                self._loaded.close()

    def stop(self, tasks: Iterable[Any]) -> None:
        """End these tasks after their next token: what they have finished comes back."""
        self._unwanted.update(tasks)

    def write(self, cells: Sequence[Cell], task: Any, tell: Callable[[Sign], None]) -> Written:
        """The records of these cells, or why not all of them are there; tells how far it is."""

        def is_over() -> bool:
            return self._stopped.is_set() or task in self._unwanted

        with self._lock:
            if is_over():
                return Written(name_of_process(), {}, error=LEFT)
            try:
                if self._loaded is None:
                    self._loaded = _Loaded(self._assignment, self._worker)
            except (TokauctionError, MemoryError) as error:
                why = str(error) or "out of memory while the models were loaded"
                return Written(name_of_process(), {}, error=why, is_unfit=True)
            return self._loaded.write(cells, is_over, tell)


def write(plugin: str, cells: Sequence[Cell]) -> Written:
    """A task, whose signs are events under the name of the plugin."""
    worker = get_worker()
    task = worker.get_current_task()
    return _plugin(worker, plugin).write(cells, task, lambda sign: worker.log_event(plugin, [task, *sign]))


def stop(plugin: str, tasks: Sequence[Any], dask_worker: Worker) -> None:
    """End these tasks, where they are here."""
    _plugin(dask_worker, plugin).stop(tasks)


def _plugin(worker: Worker, name: str) -> ExperimentPlugin:
    found = worker.plugins[name]
    assert isinstance(found, ExperimentPlugin)
    return found


def name_of_process() -> str:
    return f"{platform.node()}:{os.getpid()}"


class Process(NamedTuple):
    """What a worker's process is: `llama` is a digest of llama.cpp's libraries, `clock` the seconds it is ahead.

    `model` is the digest of the small model, and `probe` that of its logits: what a child process evaluates there.
    """

    name: str
    tokauction: str
    python: str
    dask: str
    numpy: str
    llama: str
    amx: str
    processor: str
    model: str
    probe: str
    clock: float = 0.0

    @property
    def computes(self) -> tuple[str, ...]:
        """What decides the last bits of records: equal ones compute equally."""
        return self.tokauction, self.numpy, self.llama, self.processor, self.probe


def process() -> Process:
    """This one."""
    from ..lm.llama.libraries import amx, digests

    llama = hashlib.sha256(repr(sorted(digests().items())).encode()).hexdigest()[:12]
    installed = versions(("distributed", "numpy"))
    about = __version__, platform.python_version(), installed["distributed"], installed["numpy"]
    return Process(name_of_process(), *about, llama, amx(), processor_identity(), *_small_model())


def _small_model() -> tuple[str, str]:
    """Its digest, and that of its logits; '' where it is not here."""
    model = demo_model()
    if model is None:
        return "", ""
    try:
        return verify(model)[0][:12], probed(model.path).digest
    except TokauctionError as error:
        return "", f"FAILED: {error}"


class _Loaded:
    """An experiment with its rules, its models and its auctioneer."""

    def __init__(self, assignment: Assignment, worker: Any) -> None:
        if assignment.version != __version__:
            raise UsageError(f"it has tokauction {__version__}, the run is of {assignment.version}: install that")
        self._assignment = assignment
        for name, source in assignment.modules.items():
            _define(name, source)
        experiment = assignment.experiment(worker)
        rules = Rules.of(experiment)
        self._bidders = prepare(experiment, probe=True, kept=assignment.formats)
        _check_models(assignment, self._bidders)
        with quiet(), ExitStack() as stack:
            loaded = stack.enter_context(writing(experiment, rules, self._bidders, assignment.slots))
            self._slots = min(assignment.slots, loaded.model.slots or assignment.slots)
            if assignment.whole_waves and self._slots < assignment.slots:
                raise UsageError(
                    f"memory has room for {self._slots} texts at a time, but the run began with {assignment.slots}, "
                    "and batches decide bits: lower runtime.batch"
                )
            self._notes = tuple(unlike_beginnings(experiment, self._bidders.prompt_sets, loaded.model))
            self._loaded = loaded
            self.close = stack.pop_all().close
        self._build = build_of(self._bidders, experiment)

    def write(self, cells: Sequence[Cell], is_over: Callable[[], bool], tell: Callable[[Sign], None]) -> Written:
        whole = self._assignment.whole_waves
        slots = self._slots if whole else min(self._slots, len(cells))
        texts = self._loaded.texts(Plan((tuple(cells),), slots, whole))
        begun, records, error = time.monotonic(), list[Record](), ""
        told = begun
        try:
            for finished in texts.steps():
                records += finished
                if time.monotonic() - told > _SECONDS_BETWEEN_SIGNS:
                    told = time.monotonic()
                    tell(Sign(name_of_process(), texts.share, texts.n_tokens, told - begun))
                if is_over():
                    raise TokauctionError(LEFT)
        except (TokauctionError, MemoryError) as failure:
            error = str(failure) or "out of memory"
            records = [] if whole else records
        counted = records, texts.n_tokens, texts.loop.n_evaluations, time.monotonic() - begun
        return Written(name_of_process(), self._build, *counted, self._notes, error)


def _define(name: str, source: str) -> None:
    """Make a module of the user's own from its source: it is in no file here."""
    module = ModuleType(name)
    sys.modules[name] = module
    try:
        exec(compile(source, f"<{name}, sent by the run>", "exec"), module.__dict__)
    except Exception as error:
        del sys.modules[name]
        raise UsageError(f"the module {name} of rules cannot be loaded from its source alone: {error}") from error


def _check_models(assignment: Assignment, bidders: BidderModels) -> None:
    """Raises ModelError where a file is not the driver's."""
    for model in bidders.files.models if bidders.files else ():
        wanted = assignment.sha256s.get(model.name, ())
        paths = [*(file.path for file in model.local.files), *(one.local.path for one in model.adapters)]
        for path, digest, expected in zip_longest(paths, model.digests, wanted):
            if digest != expected:
                raise ModelError(
                    f"{model.name}: {path} is not the model of the run (sha256 {digest and digest[-64:-52]}... and not "
                    f"{expected[-64:-52] if expected else 'known'}...): copy the run's file there"
                )
