"""The tasks of a plan on their way: some wait at Dask's scheduler, and what is finished comes back in any order.

Dask says who works on what, and gives a task to another worker where one dies. What it returns is checked before it is
taken. It does not know how a cluster is reached.
"""

from __future__ import annotations

import math
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeAlias

from ..engine.plan import Plan
from ..engine.running.interrupts import Interrupts
from ..engine.workplace import Tell, WorkerPace
from ..experiment.experiment import Experiment
from ..runs.run_folder import Record
from ..runs.written_by import WrittenBy
from ..system.errors import CellError, TokauctionError, UsageError, WorkerError
from .answers import LEFT, Nonsense, NonsenseError, Written, checked
from .tasks import Task, Tasks

if TYPE_CHECKING:
    from distributed import Client, Future

    from .worker import Sign

SECONDS_TO_STOP = 6  # with what follows it is within 10 that Ctrl-C ends a run
TASKS_WAITING_PER_WORKER = 3
NONSENSE_ALLOWED = 3  # times, of a worker
_SECONDS_BETWEEN_LOOKS = 0.02
_SECONDS_BETWEEN_STEPS = 0.5
_SECONDS_TO_SEND = 1.0
_SECONDS_OF_A_SIGN = 30.0  # then its worker is gone, or very slow
_SECONDS_BETWEEN_COUNTS = 2.0


_Ended: TypeAlias = "Written | Nonsense | BaseException | None"


class SharedWriting:
    """The `Writing` of a plan by the workers of a cluster."""

    def __init__(
        self,
        client: Client,
        plugin: str,
        plan: Plan,
        tasks: Tasks,
        experiment: Experiment,
        build: dict[str, str],
        tell: Tell,
    ) -> None:
        self.slots = plan.slots
        self._n_tokens = 0
        self._n_evaluations = 0
        self._n_written = 0
        self._n_cells = plan.n_cells
        self._client = client
        self._plugin = plugin
        self._tasks = tasks
        self._build = build
        self._tell = tell
        self._under_way: dict[Future[Written], Task] = {}
        self._signs: dict[Any, tuple[Sign, float]] = {}  # by the key of the task, with the time at which it came
        self._heard = self._looked = -math.inf
        self._experiment = experiment
        self._written_by = WrittenBy(set(experiment.seeds))
        self._told: set[str] = set()
        self._given_up: list[str] = []
        self._addresses: set[str] = set()
        self._nonsense = Counter[str]()
        self._asked: dict[Any, set[str]] = {}  # the workers that may do a task, by its key, where not all may
        self._counted = -math.inf

    @property
    def n_tokens(self) -> int:
        return self._n_tokens + sum(sign.n_tokens for sign, _ in self._signs_now())

    @property
    def n_rows(self) -> int:
        """Of the tasks that have ended."""
        return self._n_evaluations

    @property
    def growing(self) -> str:
        return ""

    @property
    def share(self) -> float:
        under_way = sum(sign.share * task.n_cells for sign, task in self._signs_now())
        return min(1.0, (self._n_written + under_way) / self._n_cells) if self._n_cells else 1.0

    @property
    def paces(self) -> list[WorkerPace]:
        return [WorkerPace(sign.worker, sign.n_tokens / sign.seconds, sign.share) for sign, _ in self._signs_now()]

    def _signs_now(self) -> list[tuple[Sign, Task]]:
        """The last sign of every task that is under way."""
        now = time.monotonic()
        signs = [(*self._signs.get(future.key, (None, now)), task) for future, task in self._under_way.items()]
        return [(sign, task) for sign, heard, task in signs if sign is not None and now - heard < _SECONDS_OF_A_SIGN]

    def hear(self, event: tuple[float, Sequence[Any]]) -> None:
        """A sign has come, on the thread of the client."""
        from .worker import Sign

        task, *sign = event[1]
        self._heard = time.monotonic()
        self._signs[task] = Sign(*sign), self._heard

    @property
    def facts(self) -> dict[str, Any]:
        counted = {"tokens": self._n_tokens, "evaluations": self._n_evaluations}
        return counted | {"workers": self._written_by.plain}

    def cancel(self) -> None:
        self._client.cancel(list(self._under_way), force=True)

    def batches(self, interrupts: Interrupts) -> Iterator[list[Record]]:
        from distributed.client import ClosedClientError

        try:
            yield from self._as_they_come(interrupts)
        except KeyboardInterrupt:
            records = self._stopped()
            with interrupts.held():
                yield records
            raise
        except (OSError, TimeoutError, ClosedClientError) as error:
            raise self._lost() from error
        if self._given_up:
            raise CellError(f"not written: {'; '.join(self._given_up)}. All else is kept; the same command tries again")

    def _stopped(self) -> list[Record]:
        """Have all tasks end: what they have finished; but nothing of one that does not answer soon."""
        if not self._addresses:
            return []
        self._tell("stopping: the workers send what they have finished; Ctrl-C again leaves at once")
        keys = [future.key for future in self._under_way]
        threading.Thread(target=self._ask_to_stop, args=(keys,), daemon=True).start()
        end = time.monotonic() + SECONDS_TO_STOP
        while time.monotonic() < end and not all(future.done() for future in self._under_way):
            time.sleep(_SECONDS_BETWEEN_LOOKS)
        records: list[Record] = []
        for future in [future for future in self._under_way if future.status == "finished"]:
            with suppress(OSError, TimeoutError, CancelledError, NonsenseError):
                answer = future.result(timeout=max(_SECONDS_TO_SEND, end - time.monotonic()))
                written = checked(answer, self._under_way.pop(future), self._experiment)
                self._compare(written)
                self._add(written)
                records += written.records
            if time.monotonic() > end + _SECONDS_TO_SEND:
                break
        return records

    def _ask_to_stop(self, keys: Sequence[Any]) -> None:
        from distributed.client import ClosedClientError

        from .worker import stop

        with suppress(OSError, TimeoutError, ClosedClientError, CancelledError):
            self._client.run(stop, self._plugin, keys, on_error="ignore")

    def _as_they_come(self, interrupts: Interrupts) -> Iterator[list[Record]]:
        from distributed import as_completed

        coming = as_completed(loop=self._client.loop)
        while self._fill(coming):
            if not coming.has_ready():
                time.sleep(_SECONDS_BETWEEN_LOOKS)
            for future in coming.next_batch(block=False) if coming.has_ready() else ():
                if future not in self._under_way:
                    continue  # it was taken from a worker that is gone
                ended = self._ended(future)  # it may be long in coming; what interrupts leaves it under way
                with interrupts.held():
                    self._signs.pop(future.key, None)
                    yield self._taken(ended, self._under_way.pop(future))
                interrupts.check()
            if self._heard > self._looked and time.monotonic() - self._looked > _SECONDS_BETWEEN_STEPS:
                self._looked = time.monotonic()
                with interrupts.held():
                    yield []  # nothing to append, but workers are further
            interrupts.check()

    def _fill(self, coming: Any) -> bool:
        """Let enough tasks wait for the workers; whether any is under way."""
        from .worker import write

        self._count_workers()
        trusted = self._trusted()
        n_workers = len(trusted)
        while len(self._under_way) < TASKS_WAITING_PER_WORKER * max(1, n_workers):
            task = self._tasks.next(n_workers)
            if task is None:
                break
            only = {"workers": sorted(trusted)} if self._nonsense else {}
            future = self._client.submit(write, self._plugin, task.cells, pure=False, **only)
            self._under_way[future] = task
            if only:
                self._asked[future.key] = trusted
            coming.add(future)
        return bool(self._under_way)

    def _trusted(self) -> set[str]:
        """The workers that are asked; what waits for others that are gone is given out again."""
        trusted = {address for address in self._addresses if self._nonsense[address] < NONSENSE_ALLOWED}
        if self._addresses and not trusted:
            raise TokauctionError(f"no worker is left that returns texts. {self._last_nonsense}")
        asked = [(future, self._asked[future.key]) for future in self._under_way if future.key in self._asked]
        for future in [future for future, workers in asked if not workers & trusted]:
            self._client.cancel([future], force=True)
            self._tasks.again(self._under_way.pop(future))
        return trusted

    def _count_workers(self) -> None:
        """How many workers there are, now and then; raises TokauctionError where the scheduler is gone."""
        if self._client.status != "running":
            raise self._lost()
        if time.monotonic() - self._counted < _SECONDS_BETWEEN_COUNTS:
            return
        before, self._addresses = self._addresses, set(self._client.nthreads())
        self._counted = time.monotonic()
        for gone in sorted(before - self._addresses):
            self._tell_once(f"worker {gone} is gone: what it was writing goes to another one")
        if not self._addresses:
            self._tell_once("there is no worker: waiting for one; Ctrl-C leaves, and what is finished is kept")

    def _lost(self) -> TokauctionError:
        return TokauctionError(
            "the scheduler is gone: what came back is kept; the same command continues, with another scheduler and its "
            "workers, or without --scheduler"
        )

    def _ended(self, future: Future[Written]) -> _Ended:
        """What a task that has ended has written, or why it has not; None where that was lost on the way."""
        if future.status not in ("finished", "error"):
            return None
        try:
            failure = future.exception()
            return checked(future.result(), self._under_way[future], self._experiment) if failure is None else failure
        except CancelledError:
            return None
        except (OSError, TimeoutError):
            raise
        except Exception as error:  # also what cannot be unpickled
            workers = self._client.who_has([future]).get(future.key, ())
            return Nonsense(next(iter(workers), "that is gone"), str(error))

    def _taken(self, ended: _Ended, task: Task) -> list[Record]:
        """The records of a task that has ended. Raises UsageError where the worker can do none."""
        from distributed import KilledWorker

        if ended is None:
            self._ask_again(task)
            return []
        if isinstance(ended, Nonsense):
            self._distrust(ended)
            self._tasks.again(task)
            return []
        if isinstance(ended, KilledWorker):
            if not self._tasks.part(task):
                self._given_up.append(f"{task.in_words} (three workers died of it)")
            return []
        if isinstance(ended, Exception) and not isinstance(ended, TokauctionError):
            raise WorkerError(
                f"a worker failed ({type(ended).__name__}: {ended}): what came back is kept; `tokauction --debug run` "
                "without workers shows where"
            ) from ended
        if isinstance(ended, BaseException):
            raise ended
        self._compare(ended)
        if ended.is_unfit:
            raise UsageError(f"worker {ended.worker}: {ended.error}")
        self._add(ended)
        left = task.without({record["cell"] for record in ended.records})
        if ended.error and left.blocks:
            self._try_again(task, left, ended)
        return list(ended.records)

    def _distrust(self, nonsense: Nonsense) -> None:
        """A worker that has returned nonsense is asked again, but not for ever."""
        worker, why = nonsense
        self._nonsense[worker] += 1
        self._last_nonsense = f"Worker {worker} returned {why:.300}"
        self._tell_once(f"worker {worker} returned {why:.300}; another one is asked")
        if self._nonsense[worker] == NONSENSE_ALLOWED:
            self._tell_once(f"worker {worker} has returned nonsense {NONSENSE_ALLOWED} times: it is not asked again")

    def _try_again(self, task: Task, left: Task, ended: Written) -> None:
        """Give out what an error has left of a task, block by block; a block that was alone is given up."""
        if len(task.blocks) == 1 and ended.error != LEFT:
            self._given_up.append(f"{left.in_words} (worker {ended.worker}: {ended.error})")
        elif ended.error == LEFT or not self._tasks.part(left):
            self._tasks.again(left)

    def _ask_again(self, task: Task) -> None:
        """What a task wrote was lost on the way with its worker; raises TokauctionError where the scheduler is gone."""
        self._counted = -math.inf
        self._count_workers()
        self._tasks.again(task)

    def _compare(self, written: Written) -> None:
        """Tell of a worker whose records may have other bits, and what it has noticed."""
        differs = [key for key in {**self._build, **written.build} if self._build.get(key) != written.build.get(key)]
        if differs and written.build:
            named = ", ".join(f"{key} {written.build.get(key)}, here {self._build.get(key)}" for key in differs[:3])
            more = f" and {len(differs) - 3} more" if len(differs) > 3 else ""
            self._tell_once(f"worker {written.worker} computes with another {named}{more}: its last bits may differ")
        for note in written.notes:
            self._tell_once(note)

    def _add(self, written: Written) -> None:
        self._n_tokens += written.n_tokens
        self._n_evaluations += written.n_evaluations
        self._n_written += len(written.records)
        self._tasks.took(len(written.records), written.seconds)
        self._written_by.add(written.worker, written.records, written.seconds)

    def _tell_once(self, note: str) -> None:
        if note not in self._told:
            self._told.add(note)
            self._tell(note)
