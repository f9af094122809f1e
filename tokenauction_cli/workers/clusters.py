"""A Dask cluster: processes that are started here, or a scheduler's that is there; reached, watched and left.

Nothing here waits for ever: a process that is stopped, or a port that is silent, costs the seconds that are named. It
does not know what the workers write.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures
from contextlib import ExitStack, contextmanager, suppress
from importlib.util import find_spec
from multiprocessing import resource_tracker
from typing import TYPE_CHECKING, Any, TypeVar

from ..engine.running.interrupts import Interrupts
from ..engine.workplace import Tell
from ..system.children import isolated_spawns
from ..system.errors import UsageError

if TYPE_CHECKING:
    from distributed import Client, Scheduler

    from .worker import Process

SECONDS_TO_CONNECT = 10
SECONDS_TO_LEAVE = 1.0  # then what does not answer is left to itself
SECONDS_OF_SILENCE = 300.0  # then a worker is given up
DEATHS_ALLOWED = 2  # a task that three workers died of is given up
_SECONDS_TO_END = 0.5
_SECONDS_BETWEEN_WATCHES = 10.0
_INSTALL = "pip install 'distributed>=2025.1'"

Result = TypeVar("Result")


def within(seconds: float, do: Callable[[], Result]) -> Result:
    """What `do` returns; raises TimeoutError where that takes longer, and leaves its thread to itself."""
    outcome: futures.Future[Result] = futures.Future()

    def work() -> None:
        try:
            outcome.set_result(do())
        except BaseException as error:
            outcome.set_exception(error)

    threading.Thread(target=work, daemon=True).start()
    try:
        return outcome.result(seconds)
    except futures.TimeoutError as error:  # Python 3.10: another class than TimeoutError
        raise TimeoutError(str(error) or f"no answer within {seconds:g} seconds") from error


def leave(*deeds: Callable[[], object]) -> None:
    """Do what is polite on leaving, as far as there is an answer soon."""
    for deed in deeds:
        with suppress(Exception):
            within(SECONDS_TO_LEAVE / len(deeds), deed)


def started(count: int, stack: ExitStack) -> Client:
    """A client of so many processes of this machine; both end with the stack.

    Their memory is not limited: weights that are mapped into it are no memory of theirs. They never hear Ctrl-C.
    """
    dask = _dask()
    from distributed import Client, LocalCluster

    stack.enter_context(
        dask.config.set(
            {"distributed.scheduler.allowed-failures": DEATHS_ALLOWED, "distributed.scheduler.worker-saturation": 1.0}
        )
    )
    stack.enter_context(isolated_spawns())  # to the end: workers that die are started again
    with without_interrupts():
        cluster = LocalCluster(
            n_workers=count,
            threads_per_worker=1,
            processes=True,
            memory_limit=None,
            dashboard_address="127.0.0.1:0",  # a free port
            silence_logs=logging.CRITICAL,
        )
        client = Client(cluster, set_as_default=False)
        stack.callback(_end, client, cluster)
    return client


def _end(client: Client, cluster: Any) -> None:
    """Close both, and end processes that take their time: their work is taken, or not wanted."""
    processes = [nanny.pid for nanny in cluster.workers.values() if nanny.pid]
    killing = threading.Timer(_SECONDS_TO_END, _kill, [processes])
    killing.daemon = True
    with without_interrupts():
        killing.start()
        client.close()
        cluster.close()
        killing.cancel()


def _kill(processes: Sequence[int]) -> None:
    for process in processes:
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


@contextmanager
def without_interrupts() -> Iterator[None]:
    """Ctrl-C waits until the end; threads and processes that begin here never get one."""
    resource_tracker.ensure_running()  # where it begins, Python unblocks signals
    with Interrupts() as interrupts:
        with interrupts.held():
            before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
            try:
                yield
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)
        interrupts.check()


@contextmanager
def connected(address: str) -> Iterator[Client]:
    """A client of a scheduler; raises UsageError where there is none."""
    _dask()
    if not re.fullmatch(r"([a-z]+://)?.+:[0-9]+/?", address):
        raise UsageError(f"--scheduler {address}: expected an address with a port, as in tcp://10.0.0.5:8786")
    from distributed import Client

    try:
        within(SECONDS_TO_CONNECT, lambda: asyncio.run(_greet(address)))
        client = Client(address, timeout=SECONDS_TO_CONNECT, set_as_default=False, name="tokauction")
    except Exception as error:  # what answers may be anything, and Dask reads it as its own
        raise UsageError(
            f"--scheduler {address}: no Dask scheduler answers there within {SECONDS_TO_CONNECT} seconds "
            f"({_why(error)}): start one with `dask scheduler`, or see that its port is open"
        ) from error
    try:
        yield client
    finally:
        leave(client.close)


async def _greet(address: str) -> None:
    """Say hello as a client of Dask does, which itself waits for an answer without limit."""
    from distributed import Security
    from distributed.comm.core import connect

    greeting = connect(address, SECONDS_TO_CONNECT, **Security().get_connection_args("client"))
    (await asyncio.wait_for(greeting, SECONDS_TO_CONNECT)).abort()


def _why(error: Exception) -> str:
    if isinstance(error, (OSError, ValueError, TimeoutError)):
        return str(error) or type(error).__name__
    return "another program has this port"


def _dask() -> Any:
    """Dask's settings; raises UsageError where Dask is not installed."""
    try:
        import dask
        import distributed  # noqa: F401
    except ImportError as error:
        raise UsageError(f"--workers and --scheduler need Dask: {_INSTALL}") from error
    return dask


@contextmanager
def quiet_dask() -> Iterator[None]:
    """What Dask logs in this process stays unsaid: what matters is told, or an error.

    After Ctrl-C for good: some of its threads say more on their way out.
    """
    _dask()
    speak: list[Any] = [*logging.getLogger("distributed").handlers]
    speak += map(logging.getLogger, ("asyncio", "tornado.application"))
    levels = [one.level for one in speak]
    for one in speak:
        one.setLevel(logging.CRITICAL + 1)
    is_interrupted = False
    try:
        yield
    except KeyboardInterrupt:
        is_interrupted = True
        raise
    finally:
        for one, level in zip(speak, levels, strict=True) if not is_interrupted else ():
            one.setLevel(level)


def tell_of(client: Client, address: str, tell: Tell) -> None:
    n_workers = len(client.nthreads())
    if n_workers:
        tell(f"{n_workers} {'worker' if n_workers == 1 else 'workers'} at {address}")
    if client.dashboard_link and find_spec("bokeh"):  # without it there is nothing to see
        tell(f"Dask's dashboard: {client.dashboard_link}")


@contextmanager
def watched(client: Client) -> Iterator[None]:
    """Meanwhile a worker that is silent is given up: others have its tasks. Dask alone may take twice as long."""
    is_over = threading.Event()

    def watch() -> None:
        while not is_over.wait(_SECONDS_BETWEEN_WATCHES):
            with suppress(Exception):  # without a scheduler there is nothing to watch: the run notices
                client.run_on_scheduler(give_up_silent, SECONDS_OF_SILENCE)

    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        is_over.set()


async def give_up_silent(seconds: float, dask_scheduler: Scheduler) -> None:
    """Restart each worker that has told the scheduler nothing for so long, or remove it where nobody can restart it."""
    now = time.time()
    silent = [worker.address for worker in dask_scheduler.workers.values() if now - worker.last_seen > seconds]
    if silent:
        why = f"tokauction-{seconds:g}-seconds-of-silence"
        await dask_scheduler.restart_workers(silent, wait_for_workers=False, on_error="return", stimulus_id=why)


def processes_at(address: str) -> tuple[Process, list[Process | str]]:
    """This process, and each worker of a scheduler by its address: or why it cannot answer."""
    with quiet_dask(), connected(address) as client:
        from .worker import Process, process

        answers = client.run(process, on_error="return")
        begun = time.time()
        clocks = client.run(time.time)
        late = (time.time() - begun) / 2  # an answer is as old as its way back
    return process(), [
        answer._replace(clock=clocks[worker] - begun - late) if isinstance(answer, Process) else f"{worker}: {answer}"
        for worker, answer in sorted(answers.items())
        if worker in clocks
    ]
