"""Texts written by the workers of a Dask cluster.

This process cuts the tasks, keeps only some of them waiting, and takes the records as they come; the run appends them
as it does its own.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..engine.models.bidder_models import BidderModels
from ..engine.plan import Plan
from ..engine.rules import Rules
from ..engine.workplace import Here, Tell, Workplace, Writing
from ..experiment.experiment import Experiment
from ..system.errors import UsageError
from ..system.processors import usable_processors
from .clusters import connected, leave, quiet_dask, started, tell_of, watched
from .shared_writing import SharedWriting
from .tasks import Tasks

if TYPE_CHECKING:
    from distributed import Client

    from .worker import ExperimentPlugin

_NOT_SHARED = 0.1  # of what is evaluated for a cell, about; what tasks took corrects it


@dataclass(frozen=True)
class Workers:
    """So many processes here, or the workers of a scheduler; `trusted` are modules whose source may be sent to them."""

    count: int | None = None
    scheduler: str | None = None
    trusted: tuple[str, ...] = ()

    @classmethod
    def chosen(cls, count: int | None, scheduler: str | None, trusted: Sequence[str] = ()) -> Workers | None:
        """None where there are none; raises UsageError for what cannot be."""
        if count is None and scheduler is None:
            return None
        if count is not None and scheduler is not None:
            raise UsageError("workers are started here (--workers), or a scheduler has them (--scheduler): choose one")
        if count is not None and count < 1:
            raise UsageError(f"--workers {count}: there must be at least one")
        return cls(count, scheduler, tuple(trusted))


@contextmanager
def workplace_of(workers: Workers | None, tell: Tell) -> Iterator[Workplace]:
    """This process, or a cluster, connected until the end. Raises UsageError where it cannot be reached."""
    if workers is None:
        yield Here()
        return
    with quiet_dask(), ExitStack() as stack:
        if workers.scheduler is None:
            client = started(workers.count or 1, stack)
        else:
            client = stack.enter_context(connected(workers.scheduler))
            tell_of(client, workers.scheduler, tell)
        yield Cluster(client, workers)


class Cluster:
    """The workers of a Dask cluster."""

    def __init__(self, client: Client, workers: Workers) -> None:
        self._client = client
        self._workers = workers

    def fitted(self, experiment: Experiment) -> Experiment:
        """With the threads divided among processes of one machine; elsewhere every worker has its own.

        Raises UsageError where rules may not be sent.
        """
        _check_trust(experiment, self._workers.trusted)
        if self._workers.count is None:
            return experiment
        threads = experiment.runtime.threads
        n_threads = usable_processors() if threads == "auto" else int(threads)
        each = max(1, n_threads // self._workers.count)
        return replace(experiment, runtime=experiment.runtime.model_copy(update={"threads": each}))

    @contextmanager
    def writing(
        self, experiment: Experiment, rules: Rules, bidders: BidderModels, plan: Plan, tell: Tell
    ) -> Iterator[Writing]:
        from .worker import ExperimentPlugin, assignment_of, build_of

        modules = _sources(experiment)
        plugin = ExperimentPlugin(assignment_of(experiment, bidders, modules, plan.slots, self._workers.count or 0))
        tasks = Tasks(plan, _seconds_per_cell(experiment, bidders))
        build = build_of(bidders, experiment)
        writing = SharedWriting(self._client, plugin.name, plan, tasks, experiment, build, tell)
        with watched(self._client):
            self._bring(plugin)
            self._client.subscribe_topic(plugin.name, writing.hear)
            try:
                yield writing
            finally:
                if self._client.status == "running":
                    leave(writing.cancel, lambda: self._forget(plugin.name))

    def _bring(self, plugin: ExperimentPlugin) -> None:
        """Give it to every worker, also to those that come later."""
        try:
            self._client.register_plugin(plugin)
        except (ImportError, AttributeError, TypeError) as error:
            raise UsageError(f"a worker cannot load tokauction ({error}): install the same version there") from error

    def _forget(self, plugin: str) -> None:
        self._client.unsubscribe_topic(plugin)
        self._client.unregister_worker_plugin(plugin)


def _check_trust(experiment: Experiment, trusted: Sequence[str]) -> None:
    """Raises UsageError where rules are code that the command does not name: it would run on other machines too."""
    if untrusted := sorted(set(experiment.trust) - set(trusted)):
        raise UsageError(
            f"{experiment.path}: its rules are code that would run on every worker; where you trust it, say "
            f"--trust {' --trust '.join(untrusted)}"
        )


def _sources(experiment: Experiment) -> dict[str, str]:
    """The source of every module of rules, which is loaded here; raises UsageError where there is none."""
    sources = {}
    for name in experiment.trust:
        try:
            sources[name] = inspect.getsource(sys.modules[name])
        except (KeyError, OSError, TypeError) as error:
            raise UsageError(f"{name}: this module has no source that could be sent to the workers: {error}") from error
    return sources


def _seconds_per_cell(experiment: Experiment, bidders: BidderModels) -> float | None:
    """What a cell takes, by the probe, where it shares as cells do; None for tables, and where it timed none."""
    if bidders.files is None:
        return None
    whole, prompts = (bidders.files.seconds(n) for n in (experiment.auction.max_draws, 0))
    return None if whole is None or prompts is None else (whole - prompts) * _NOT_SHARED
