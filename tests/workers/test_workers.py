"""Runs on Dask workers, in processes of their own: the same records, whatever dies on the way."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from itertools import islice, product
from pathlib import Path
from random import Random
from typing import Any

import pytest
from conftest import Command
from tiny_gguf import recurrent_model

from tokenauction_cli import api
from tokenauction_cli.analysis.run import Run
from tokenauction_cli.engine.plan import Cell, blocks_of, make_plan
from tokenauction_cli.engine.run import SilentProgress
from tokenauction_cli.engine.workplace import WorkerPace
from tokenauction_cli.experiment.experiment import load_experiment
from tokenauction_cli.mechanism.sampling.randomness import Randomness
from tokenauction_cli.runs.written_by import worker_of_blocks
from tokenauction_cli.system.errors import CellError, TokauctionError, UsageError, WorkerError
from tokenauction_cli.workers.clusters import without_interrupts
from tokenauction_cli.workers.shared_writing import TASKS_WAITING_PER_WORKER, SharedWriting
from tokenauction_cli.workers.tasks import Task, Tasks
from tokenauction_cli.workers.workers import Workers

distributed = pytest.importorskip("distributed")
worker_module: Any = import_module("tokenauction_cli.workers.worker")  # which imports Dask

EXPERIMENT = """name: t
queries: [a, b]
agents:
  - {name: A, distribution: {x: 0.5, y: 0.3, z: 0.2}}
  - {name: B, distribution: {x: 0.2, y: 0.2, z: 0.6}}
auction: {max_tokens: 6}
sweep: {relative_weight: [0.2, 0.5, 0.8], seeds: 60}
"""
DEEDS = """
import os, time
from pathlib import Path
from tokenauction_cli.mechanism.sampling.rules import InverseCdf

class Doing(InverseCdf):
    def draw(self, outcome, draw_key):
        deed = Path(FOLDER) / draw_key.randomness.key.hex()
        if deed.exists():
            exec(deed.read_text())
        return super().draw(outcome, draw_key)
"""
Begin = Callable[..., "subprocess.Popen[str]"]
DIE = "os.kill(os.getpid(), 9)"
WITH_DEEDS = EXPERIMENT.replace("max_tokens: 6", 'max_tokens: 6, sampling: "deeds:Doing"') + "trust: [deeds]\n"


@pytest.fixture(scope="module")
def cluster(own_cache: None) -> Iterator[Any]:
    """Two workers that are started again where they die; a task that three died of is given up."""
    import dask

    settings = {"distributed.scheduler.allowed-failures": 2, "distributed.scheduler.worker-saturation": 1.0}
    with (
        dask.config.set(settings),
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, memory_limit=None, dashboard_address="127.0.0.1:0", silence_logs=60
        ) as cluster,
    ):
        yield cluster


@pytest.fixture
def on_cluster(cluster: Any, tmp_path: Path) -> Callable[..., Run]:
    """Runs an experiment there, its folder in `tmp_path / "cluster"`."""

    def run(experiment: Path, progress: Any = None, **options: Any) -> Run:
        address = cluster.scheduler_address
        return api.run(experiment, tmp_path / "cluster", progress or Noting(), scheduler=address, **options)

    return run


@pytest.fixture
def experiment(tmp_path: Path) -> Path:
    path = tmp_path / "t.yaml"
    path.write_text(EXPERIMENT)
    return path


@pytest.fixture
def with_deeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An experiment whose sampling does what a file tells it to do for the cells of a block: see `do`."""
    (tmp_path / "deeds.py").write_text(f"FOLDER = {str(tmp_path)!r}\n{DEEDS}")
    path = tmp_path / "t.yaml"
    path.write_text(WITH_DEEDS)
    yield path
    sys.modules.pop("deeds", None)


def do(deed: str, experiment: Path, query: str, seed: int) -> Path:
    """What a worker that draws for this block does from now on."""
    key = Randomness(load_experiment(experiment).seed, query, seed).key
    path = experiment.parent / key.hex()
    path.write_text(deed)
    return path


def undo(experiment: Path) -> None:
    for deed in experiment.parent.glob("?" * 32):
        deed.unlink()


class Noting(SilentProgress):
    """Keeps the notes, and does something when the first records are on disk."""

    def __init__(self, deed: Callable[[], object] = lambda: None) -> None:
        self.notes: list[str] = []
        self.paces: list[WorkerPace] = []
        self._deed: Callable[[], object] | None = deed

    def step(self, n_cells: int, n_tokens: int, share: float) -> None:
        if n_cells and self._deed:
            self._deed, deed = None, self._deed
            deed()

    def workers(self, paces: Sequence[WorkerPace]) -> None:
        self.paces += paces

    def note(self, text: str) -> None:
        self.notes.append(text)


def lines(run: Run | Path) -> list[str]:
    """All records as they are written, sorted."""
    folder = run if isinstance(run, Path) else run.path
    return sorted(line for path in folder.glob("records-*.jsonl") for line in path.read_text().splitlines())


def alone(experiment: Path, tmp_path: Path) -> Run:
    """The same experiment, run by this process."""
    return api.run(experiment, tmp_path / "alone")


def sessions(run: Run) -> list[dict[str, Any]]:
    return list(json.loads((run.path / "manifest.json").read_text())["sessions"])


def test_two_processes_write_what_one_does(experiment: Path, tmp_path: Path) -> None:
    shared = api.run(experiment, tmp_path / "shared", workers=2)
    one = alone(experiment, tmp_path)
    assert lines(shared) == lines(one)
    assert (shared.path / "cells.csv").read_bytes() == (one.path / "cells.csv").read_bytes()
    (session,) = sessions(shared)
    assert sum(did["cells"] for did in session["workers"].values()) == session["cells"] == 360
    blocks = worker_of_blocks({"sessions": [session]}, set(range(60)))
    assert set(blocks) == set(product("ab", range(60)))
    assert set(blocks.values()) == set(session["workers"])
    assert all(did["seconds"] > 0 for did in session["workers"].values())
    assert session["tokens"] == sessions(one)[0]["tokens"]


def test_a_run_goes_on_elsewhere(experiment: Path, tmp_path: Path, on_cluster: Callable[..., Run]) -> None:
    api.run(experiment, tmp_path / "cluster", n=50)
    on_cluster(experiment, n=200)
    whole = api.run(experiment, tmp_path / "cluster")
    assert lines(whole) == lines(alone(experiment, tmp_path))
    assert [session["cells"] for session in sessions(whole)] == [50, 150, 160]
    assert ["workers" in session for session in sessions(whole)] == [False, True, False]


def test_candidates_are_written_by_workers_too(tmp_path: Path, on_cluster: Callable[..., Run]) -> None:
    path = tmp_path / "t.yaml"
    reference = "reference: {distribution: {x: 0.4, y: 0.3, z: 0.3}}\n"
    mechanisms = "max_tokens: 6, mechanism: [token_auction, mosaic]"
    path.write_text(EXPERIMENT.replace("max_tokens: 6", mechanisms) + reference)
    shared, one = on_cluster(path), alone(path, tmp_path)
    assert lines(shared) == lines(one)
    proposals = [sorted((run.path / "proposals-1.jsonl").read_text().splitlines()) for run in (shared, one)]
    assert proposals[0] == proposals[1]
    assert proposals[0]


def test_whole_waves_where_batches_matter(tmp_path: Path, on_cluster: Callable[..., Run]) -> None:
    recurrent_model(tmp_path / "tiny.gguf")
    path = tmp_path / "t.yaml"
    path.write_text(
        "name: tiny\nagents: [{name: A, model: tiny.gguf, prompt: a}, {name: B, model: tiny.gguf, prompt: b}]\n"
        "auction: {max_tokens: 4}\nsweep: {relative_weight: [0.5], seeds: 200}\nruntime: {threads: 1, batch: 8}\n"
    )
    shared = on_cluster(path)
    assert lines(shared) == lines(alone(path, tmp_path))
    blocks = [did["blocks"] for did in sessions(shared)[0]["workers"].values()]
    assert sorted(ranges for of in blocks for ranges in of.values()) == ["0-127", "128-199"]


def test_a_killed_worker_costs_no_record(
    experiment: Path, tmp_path: Path, cluster: Any, on_cluster: Callable[..., Run]
) -> None:
    shared = on_cluster(experiment, Noting(lambda: os.kill(next(iter(cluster.workers.values())).pid, signal.SIGKILL)))
    assert lines(shared) == lines(alone(experiment, tmp_path))


def test_a_block_that_kills_three_workers_fails_alone(
    with_deeds: Path, tmp_path: Path, on_cluster: Callable[..., Run]
) -> None:
    deed = do(DIE, with_deeds, "b", 7)
    with pytest.raises(CellError, match=r"not written: query 'b', seed 7 \(three workers died of it\)") as failed:
        on_cluster(with_deeds, trust=["deeds"])
    assert failed.value.exit_code == 3
    deed.unlink()
    whole = on_cluster(with_deeds, trust=["deeds"])
    assert [session["cells"] for session in sessions(whole)] == [357, 3]
    assert lines(whole) == lines(alone(with_deeds, tmp_path))


def test_a_worker_without_memory_says_so(with_deeds: Path, on_cluster: Callable[..., Run]) -> None:
    do("raise MemoryError", with_deeds, "a", 3)
    with pytest.raises(
        CellError, match=r"not written: query 'a', seed 3 \(worker .*:\d+: out of memory\)\. All else is kept"
    ):
        on_cluster(with_deeds, trust=["deeds"])


def test_rules_are_sent_only_where_the_command_trusts_them(
    with_deeds: Path, tmp_path: Path, on_cluster: Callable[..., Run]
) -> None:
    with pytest.raises(UsageError, match=r"t\.yaml: its rules are code .* --trust deeds"):
        on_cluster(with_deeds)
    assert not list((tmp_path / "cluster").iterdir())


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda path: path.write_bytes(path.read_bytes() + bytes(32)), "tiny.gguf is not the model of the run .* copy"),
        (Path.unlink, "/tiny.gguf: there is no such file"),
    ],
)
def test_a_worker_without_the_runs_model_is_named(
    tmp_path: Path, on_cluster: Callable[..., Run], change: Callable[[Path], object], complaint: str
) -> None:
    model = recurrent_model(tmp_path / "tiny.gguf")
    path = tmp_path / "t.yaml"
    path.write_text("name: t\nagents: [{name: A, model: tiny.gguf, prompt: a}]\nauction: {max_tokens: 2}\n")

    class Replacing(SilentProgress):
        def begin(self, n_cells: int, n_done: int) -> None:
            change(model)

    with pytest.raises(UsageError, match=rf"worker .*:\d+: .*{complaint}"):
        on_cluster(path, Replacing())


def test_a_worker_whose_logits_differ_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, on_cluster: Callable[..., Run]
) -> None:
    """Here they seem to: the workers' own probes answer as they would."""
    recurrent_model(tmp_path / "tiny.gguf")
    path = tmp_path / "t.yaml"
    path.write_text("name: t\nagents: [{name: A, model: tiny.gguf, prompt: a}]\nauction: {max_tokens: 2}\n")
    key, build_of = "digest of logits (tiny.gguf)", worker_module.build_of
    monkeypatch.setattr(worker_module, "build_of", lambda *given: build_of(*given) | {key: "0123456789ab"})
    progress = Noting()
    on_cluster(path, progress)
    told = [note for note in progress.notes if "computes with another" in note]
    assert len(told) == 1
    said = rf"worker .*:\d+ computes with another {re.escape(key)} [0-9a-f]{{12}}, here 0123456789ab: its last bits.*"
    assert re.fullmatch(said, told[0])


def test_workers_tell_how_far_they_are(with_deeds: Path, on_cluster: Callable[..., Run]) -> None:
    do("time.sleep(0.2)", with_deeds, "a", 0)
    progress = Noting()
    run = on_cluster(with_deeds, progress, trust=["deeds"])
    assert progress.paces
    assert {pace.worker for pace in progress.paces} <= set(sessions(run)[0]["workers"])
    assert all(pace.n_drawn_per_second > 0 and 0 <= pace.share <= 1 for pace in progress.paces)


@pytest.mark.parametrize("is_again", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_ctrl_c_keeps_what_is_finished_of_a_task(
    with_deeds: Path, tmp_path: Path, begin: Begin, is_again: bool
) -> None:
    """As in a terminal, whose whole group of processes has the signal. A second one leaves at once, quietly."""
    texts = with_deeds.read_text().replace("z: 0.2}", "z: 0.1, <end>: 0.1}").replace("max_tokens: 6", "max_tokens: 600")
    with_deeds.write_text(texts)
    for query, seed in product("ab", range(60)):
        do("time.sleep(0.005)", with_deeds, query, seed)
    process = begin("-m", "tokenauction_cli", "run", "t.yaml", "--workers", "2", "--trust", "deeds", session=True)
    assert process.stderr is not None
    while "2 workers: " not in process.stderr.readline():
        assert process.poll() is None
    os.killpg(process.pid, signal.SIGINT)
    if is_again:
        while "stopping: " not in process.stderr.readline():
            assert process.poll() is None
        os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert "Logging error" not in errors
    kept = re.search(r"Interrupted\. Kept (\d+) of 360 texts", errors)
    assert kept
    assert (0 if is_again else 1) <= int(kept[1]) < 360
    undo(with_deeds)
    done = api.run(with_deeds, tmp_path / "results", trust=["deeds"])
    assert lines(done) == lines(alone(with_deeds, tmp_path))


def test_ctrl_c_waits_while_workers_start_and_never_reaches_them() -> None:
    child = [sys.executable, "-c", "import signal; print(signal.SIGINT in signal.pthread_sigmask(0, []))"]
    with pytest.raises(KeyboardInterrupt):  # noqa: PT012
        with without_interrupts():
            os.kill(os.getpid(), signal.SIGINT)
            said = subprocess.run(child, capture_output=True, text=True, check=True).stdout
        pytest.fail("it waited longer")
    assert said == "True\n"
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])


def test_only_some_tasks_wait(
    experiment: Path, monkeypatch: pytest.MonkeyPatch, on_cluster: Callable[..., Run]
) -> None:
    waiting: list[int] = []
    submit = distributed.Client.submit

    def counted(client: Any, *arguments: Any, **options: Any) -> Any:
        waiting.append(sum(future.status == "pending" for future in client.futures.values()))
        return submit(client, *arguments, **options)

    monkeypatch.setattr(distributed.Client, "submit", counted)
    monkeypatch.setattr("tokenauction_cli.workers.tasks.CELLS_PER_WAVE", 3)
    on_cluster(experiment)
    assert len(waiting) == 120
    assert max(waiting) <= 2 * TASKS_WAITING_PER_WORKER


def test_an_unreachable_scheduler(experiment: Path, in_process: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tokenauction_cli.workers.clusters.SECONDS_TO_CONNECT", 1)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{closed.getsockname()[1]}"
        done = in_process("run", str(experiment), "--scheduler", address)
    assert done.returncode == 2
    assert f"--scheduler {address}: no Dask scheduler answers there within 1 seconds" in done.stderr
    assert not list((experiment.parent / "results").glob("*"))


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (b"", r"no answer within 2 seconds"),
        (b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", "another program has this port"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "another program has this port"),
        (bytes(64), "another program has this port"),
    ],
    ids=["silence", "HTTP", "SSH", "zeros"],
)
def test_a_port_of_something_else(
    experiment: Path, begin: Begin, tmp_path: Path, answer: bytes, complaint: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=answering, args=(server, answer), daemon=True).start()
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        run = f"import sys; sys.argv[1:] = ['run', 't.yaml', '--scheduler', {address!r}]; {IMPATIENT}"
        process = begin("-W", "error", "-W", "ignore::ResourceWarning", "-c", run)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 2, errors
    (line,) = errors.splitlines()
    assert f"--scheduler {address}: no Dask scheduler answers there within 2 seconds ({complaint})" in line
    assert not list((tmp_path / "results").glob("*"))


IMPATIENT = "from tokenauction_cli.workers import clusters; clusters.SECONDS_TO_CONNECT = 2; " + (
    "from tokenauction_cli.cli.app import main; main()"
)


def answering(server: socket.socket, answer: bytes) -> None:
    """Accept, say this, and then nothing."""
    with contextlib.ExitStack() as held, contextlib.suppress(OSError):  # the test closes it
        while True:
            held.enter_context(server.accept()[0]).sendall(answer)


def test_ctrl_c_while_a_port_is_silent(experiment: Path, begin: Begin) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        process = begin("-m", "tokenauction_cli", "run", "t.yaml", "--scheduler", address)
        with server.accept()[0]:
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors.count("\n")) == (130, 1), errors


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--workers", "0"], "greater than or equal to 1"),
        (["--workers", "2", "--scheduler", "tcp://x:1"], "choose one"),
        (["--scheduler", "nonsense://x:1"], "no Dask scheduler answers there"),
        (["--scheduler", "tcp://127.0.0.1"], "expected an address with a port"),
        (["--scheduler", ""], "expected an address with a port"),
    ],
)
def test_bad_options(experiment: Path, in_process: Command, options: list[str], complaint: str) -> None:
    done = in_process("run", str(experiment), *options)
    assert done.returncode == 2
    assert complaint in " ".join(done.stderr.replace("│", " ").split())


def test_workers_need_dask(monkeypatch: pytest.MonkeyPatch, experiment: Path, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(UsageError, match=re.escape("need Dask: pip install 'distributed>=2025.1'")):
        api.run(experiment, tmp_path, workers=2)
    with pytest.raises(UsageError, match="at least one"):
        Workers.chosen(-1, None)


@pytest.fixture
def begin(environment: dict[str, str], tmp_path: Path) -> Iterator[Begin]:
    """Starts Python with these arguments in `tmp_path`; what still runs at the end is killed.

    What Dask's processes log is read by nobody: a full pipe would stop them.
    """
    processes = []

    def start(*arguments: str, session: bool = False) -> subprocess.Popen[str]:
        pipe = subprocess.DEVNULL if "dask" in arguments else subprocess.PIPE
        pipes: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": pipe, "stderr": pipe}
        process = subprocess.Popen(
            [sys.executable, *arguments], cwd=tmp_path, env=environment, text=True, start_new_session=session, **pipes
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def until(is_so: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_ctrl_c_stops_the_tasks(with_deeds: Path, tmp_path: Path, cluster: Any, begin: Begin) -> None:
    run = ("-m", "tokenauction_cli", "run", "t.yaml", "--scheduler", cluster.scheduler_address, "--trust", "deeds")
    for seed in range(60):
        do("time.sleep(0.05)", with_deeds, "b", seed)
    process = begin(*run)
    until(lambda: any(path.stat().st_size for path in tmp_path.glob("results/*/records-*.jsonl")))
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Interrupted. Kept " in errors
    with distributed.Client(cluster, set_as_default=False) as client:
        until(lambda: not any(client.processing().values()))
    undo(with_deeds)
    done = api.run(with_deeds, tmp_path / "results", trust=["deeds"])
    assert lines(done) == lines(alone(with_deeds, tmp_path))


def test_a_scheduler_that_dies(with_deeds: Path, tmp_path: Path, begin: Begin) -> None:
    scheduler = begin("-m", "dask", "scheduler", "--port", "0", "--no-dashboard", "--scheduler-file", "s.json")
    until((tmp_path / "s.json").exists)
    address = json.loads((tmp_path / "s.json").read_text())["address"]
    begin("-m", "dask", "worker", address, "--nthreads", "1", "--no-dashboard")
    for seed in range(60):
        do("time.sleep(0.05)", with_deeds, "b", seed)
    killing = Noting(scheduler.kill)
    with pytest.raises(TokauctionError, match="the scheduler is gone: what came back is kept"):
        api.run(with_deeds, tmp_path / "results", killing, scheduler=address, trust=["deeds"])
    undo(with_deeds)
    done = api.run(with_deeds, tmp_path / "results", trust=["deeds"])
    assert lines(done) == lines(alone(with_deeds, tmp_path))


@pytest.mark.model
@pytest.mark.parametrize("runtime", ["deterministic: true", pytest.param("batch: 8", marks=pytest.mark.slow)])
def test_two_workers_with_a_real_model(
    tmp_path: Path, model_path: Path, on_cluster: Callable[..., Run], runtime: str
) -> None:
    path = tmp_path / "t.yaml"
    path.write_text(
        "name: t\nagents:\n"
        "  - {name: A, model: smollm2-135m-instruct, prompt: Fly to}\n"
        "  - {name: B, model: smollm2-135m-instruct, prompt: Stay in}\n"
        "auction: {max_tokens: 4}\nsweep: {relative_weight: [0.3, 0.7], seeds: 6}\n"
        f"runtime: {{threads: 1, {runtime}}}\n"
    )
    progress = Noting()
    shared = on_cluster(path, progress)
    assert lines(shared) == lines(alone(path, tmp_path))
    assert not [note for note in progress.notes if "computes with another" in note]


def test_a_driver_that_is_killed_leaves_no_process(with_deeds: Path, tmp_path: Path, begin: Begin) -> None:
    for seed in range(60):
        do("time.sleep(0.05)", with_deeds, "b", seed)
    process = begin("-m", "tokenauction_cli", "run", "t.yaml", "--workers", "2", "--trust", "deeds")
    until(lambda: any(path.stat().st_size for path in tmp_path.glob("results/*/records-*.jsonl")))
    workers = children_of(process.pid)
    assert len(workers) >= 2
    process.kill()
    until(lambda: not any(Path(f"/proc/{worker}/cmdline").exists() for worker in workers))
    undo(with_deeds)
    done = api.run(with_deeds, tmp_path / "results", trust=["deeds"])
    assert lines(done) == lines(alone(with_deeds, tmp_path))


def under_way(experiment: Path, n_blocks: int) -> tuple[Any, Task, list[str]]:
    """What is being written of an experiment, a task of so many blocks, and what is told; there is no cluster."""
    loaded = load_experiment(experiment)
    plan, told = make_plan(loaded, 8, is_batch_invariant=True), list[str]()
    tasks = Tasks(plan)
    while tasks.next(1):
        pass  # all are given out
    writing = SharedWriting(None, "p", plan, tasks, loaded, {"processor": "this"}, told.append)  # type: ignore
    return writing, Task(tuple(map(tuple, islice(blocks_of(plan.cells), n_blocks)))), told


def written(cells: Sequence[Cell], error: str, processor: str = "this") -> Any:
    return worker_module.Written("w", {"processor": processor}, [cell.head for cell in cells], error=error)


def test_a_block_that_failed_in_company_is_tried_alone(experiment: Path) -> None:
    writing, task, _ = under_way(experiment, 2)
    finished = [*task.blocks[0], task.blocks[1][1]]
    assert [record["cell"] for record in writing._taken(written(finished, "no memory"), task)] == [
        cell.id for cell in finished
    ]
    assert writing._given_up == []
    (again,) = iter(lambda: writing._tasks.next(1), None)
    assert again.blocks == ((task.blocks[1][0], task.blocks[1][2]),)
    writing._taken(written([], "no memory"), again)
    assert writing._given_up == ["query 'a', seed 1 (worker w: no memory)"]


def test_what_no_error_foresees_is_the_workers(experiment: Path) -> None:
    writing, task, _ = under_way(experiment, 2)
    with pytest.raises(WorkerError, match=r"a worker failed \(ZeroDivisionError: by 0\): what came back is kept"):
        writing._taken(ZeroDivisionError("by 0"), task)


@pytest.mark.parametrize("n_finished", [0, 4, 6])
def test_what_a_worker_left_is_given_out_again(experiment: Path, n_finished: int) -> None:
    writing, task, _ = under_way(experiment, 2)
    writing._taken(written(task.cells[:n_finished], worker_module.LEFT), task)
    again = list(iter(lambda: writing._tasks.next(1), None))
    assert [cell for left in again for cell in left.cells] == task.cells[n_finished:]
    assert len(again) <= 1
    assert writing._given_up == []


NONSENSE = ("None", "'text'", "(1, 2)", "Unreadable()")


@pytest.mark.parametrize("nonsense", NONSENSE)
def test_a_worker_that_returns_nonsense_is_not_asked_again(
    experiment: Path, tmp_path: Path, cluster: Any, on_cluster: Callable[..., Run], nonsense: str
) -> None:
    """One of two: its tasks go to the other."""
    address = cluster.workers[0].worker_address
    with distributed.Client(cluster, set_as_default=False) as client:
        client.run(lie, nonsense, workers=[address])
        progress = Noting()
        try:
            shared = on_cluster(experiment, progress)
        finally:
            client.run(lie, "", workers=[address])
    assert lines(shared) == lines(alone(experiment, tmp_path))
    told = [note for note in progress.notes if address in note and "is gone" not in note]
    assert told[0].startswith(f"worker {address} returned ")
    assert told[1:] in ([], [f"worker {address} has returned nonsense 3 times: it is not asked again"])


def test_where_all_workers_return_nonsense_the_run_ends(
    experiment: Path, cluster: Any, on_cluster: Callable[..., Run]
) -> None:
    with distributed.Client(cluster, set_as_default=False) as client:
        client.run(lie, "None")
        try:
            with pytest.raises(
                TokauctionError, match=r"no worker is left that returns texts\. Worker .* returned nothing"
            ):
                on_cluster(experiment)
        finally:
            client.run(lie, "")


def lie(nonsense: str) -> None:
    """Have this worker return that, or the truth again."""
    from tokenauction_cli.workers import worker

    plugin: Any = worker.ExperimentPlugin
    if not hasattr(plugin, "honest"):
        plugin.honest = plugin.write

    class Unreadable:
        def __reduce__(self) -> Any:
            return int, ("no number",)

    plugin.write = (lambda *_: eval(nonsense, {"Unreadable": Unreadable})) if nonsense else plugin.honest


class Interrupted:
    """A task that has ended when Ctrl-C comes."""

    key, status = "k", "finished"

    def __init__(self, result: Any) -> None:
        self.result = lambda timeout: result

    def done(self) -> bool:
        return True


def test_what_comes_with_ctrl_c_is_compared_too(
    experiment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writing, task, told = under_way(experiment, 2)
    monkeypatch.setattr(writing, "_ask_to_stop", lambda keys: None)
    writing._addresses = {"tcp://w:1"}
    records = alone(experiment, tmp_path).folder.records()
    finished = [records[cell.id] for cell in task.cells[:4]]
    answer = worker_module.Written("w", {"processor": "another"}, finished, error=worker_module.LEFT)
    writing._under_way[Interrupted(answer)] = task
    writing._under_way[Interrupted("nonsense")] = task
    assert [record["cell"] for record in writing._stopped()] == [cell.id for cell in task.cells[:4]]
    assert told[1:] == ["worker w computes with another processor another, here this: its last bits may differ"]


def test_two_drivers_share_a_scheduler(
    with_deeds: Path, tmp_path: Path, cluster: Any, begin: Begin, on_cluster: Callable[..., Run]
) -> None:
    """Parts of one experiment: who ends first takes nothing from the other."""
    for seed in range(60):
        do("time.sleep(0.01)", with_deeds, "b", seed)
    address, trust = cluster.scheduler_address, ("--trust", "deeds", "-q")
    first = begin("-m", "tokenauction_cli", "run", "t.yaml", "--shard", "1/2", "--scheduler", address, *trust)
    on_cluster(with_deeds, trust=["deeds"], shard="2/2")
    assert first.wait(timeout=60) == 0
    undo(with_deeds)
    files = [*tmp_path.glob("results/*/records-*.jsonl"), *tmp_path.glob("cluster/*/records-*.jsonl")]
    both = sorted(line for path in files for line in path.read_text().splitlines())
    assert both == lines(alone(with_deeds, tmp_path))


@pytest.mark.slow
def test_kills_at_random_moments(with_deeds: Path, tmp_path: Path, begin: Begin) -> None:
    """Of the driver and of workers; what is left is written at the end, and no record is lost or doubled."""
    random = Random(16)
    with_deeds.write_text(with_deeds.read_text().replace("[a, b]", "[a, b, c, d, e, f, g, h]"))
    for query, seed in product("abcdefgh", range(60)):
        do("time.sleep(0.003)", with_deeds, query, seed)
    n_kept = [0]
    for _ in range(8):
        process = begin("-m", "tokenauction_cli", "run", "t.yaml", "--workers", "2", "--trust", "deeds", "-q")
        time.sleep(random.uniform(2, 12))
        victim = process.pid if random.random() < 0.5 else random.choice([*children_of(process.pid), process.pid])
        with contextlib.suppress(ProcessLookupError):
            os.kill(victim, signal.SIGKILL)
        process.communicate(timeout=120)
        n_kept.append(sum(path.read_text().count("\n") for path in tmp_path.glob("results/*/records-*.jsonl")))
    assert n_kept == sorted(n_kept)
    undo(with_deeds)
    done = api.run(with_deeds, tmp_path / "results", trust=["deeds"])
    assert lines(done) == lines(alone(with_deeds, tmp_path))


def children_of(process: int) -> list[int]:
    said = (path.read_text() for path in Path(f"/proc/{process}/task").glob("*/children"))
    return [int(child) for text in said for child in text.split()]


@pytest.mark.slow
def test_a_worker_that_hangs_is_left(
    with_deeds: Path, tmp_path: Path, own_cache: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By this program's limit: Dask's own is 5 minutes, and it looks every 5 minutes."""
    import dask

    monkeypatch.setattr("tokenauction_cli.workers.clusters.SECONDS_OF_SILENCE", 4.0)
    monkeypatch.setattr("tokenauction_cli.workers.clusters._SECONDS_BETWEEN_WATCHES", 0.5)
    for seed in range(60):
        do("time.sleep(0.005)", with_deeds, "b", seed)
    with (
        dask.config.set({"distributed.scheduler.worker-saturation": 1.0}),
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, memory_limit=None, dashboard_address="127.0.0.1:0", silence_logs=60
        ) as cluster,
    ):
        hanging = cluster.workers[0].pid
        progress = Noting(lambda: os.kill(hanging, signal.SIGSTOP))
        address = cluster.scheduler_address
        done = api.run(with_deeds, tmp_path / "results", progress, scheduler=address, trust=["deeds"])
        with contextlib.suppress(ProcessLookupError):
            os.kill(hanging, signal.SIGCONT)
    assert any("is gone: what it was writing goes to another one" in note for note in progress.notes)
    undo(with_deeds)
    assert lines(done) == lines(alone(with_deeds, tmp_path))


def test_tasks_wait_for_the_first_worker(with_deeds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are not taken back and given out again: a scheduler writes a line for each."""
    cancelled: list[object] = []
    monkeypatch.setattr(distributed.Client, "cancel", lambda self, futures, **options: cancelled.extend(futures))
    with distributed.LocalCluster(
        n_workers=0, threads_per_worker=1, memory_limit=None, dashboard_address="127.0.0.1:0", silence_logs=60
    ) as cluster:

        class Scaling(Noting):
            def note(self, text: str) -> None:
                super().note(text)
                if text.startswith("there is no worker"):
                    threading.Timer(0.3, cluster.scale, [1]).start()

        address = cluster.scheduler_address
        done = api.run(with_deeds, tmp_path / "results", Scaling(), scheduler=address, trust=["deeds"])
    assert cancelled == []
    assert lines(done) == lines(alone(with_deeds, tmp_path))


@pytest.mark.parametrize("who", [pytest.param("worker", marks=pytest.mark.slow), "scheduler"])
def test_ctrl_c_does_not_wait_for_what_is_stopped(with_deeds: Path, tmp_path: Path, begin: Begin, who: str) -> None:
    """A stopped process keeps its connections and answers nothing: Dask's own limits are minutes."""
    scheduler = begin("-m", "dask", "scheduler", "--port", "0", "--no-dashboard", "--scheduler-file", "s.json")
    until((tmp_path / "s.json").exists)
    address = json.loads((tmp_path / "s.json").read_text())["address"]
    worker = begin("-m", "dask", "worker", address, "--nthreads", "1", "--no-dashboard", "--no-nanny")
    for seed in range(60):
        do("time.sleep(0.05)", with_deeds, "b", seed)
    run = begin("-m", "tokenauction_cli", "run", "t.yaml", "--scheduler", address, "--trust", "deeds")
    until(lambda: any(path.stat().st_size for path in tmp_path.glob("results/*/records-*.jsonl")))
    (worker if who == "worker" else scheduler).send_signal(signal.SIGSTOP)
    time.sleep(1)  # where it is, it waits for the answer of who is stopped
    run.send_signal(signal.SIGINT)
    _, errors = run.communicate(timeout=60)
    assert run.returncode == 130
    assert re.search(r"Interrupted\. Kept [1-9]\d* of 360 texts", errors)
    assert "Traceback" not in errors
    undo(with_deeds)
    done = api.run(with_deeds, tmp_path / "results", trust=["deeds"])
    assert lines(done) == lines(alone(with_deeds, tmp_path))


@pytest.mark.slow
def test_doctor_looks_at_the_workers(cluster: Any, in_process: Command) -> None:
    done = in_process("doctor", "--scheduler", cluster.scheduler_address, "--format", "json")
    here, *workers = json.loads(done.stdout)
    assert len(workers) == 2
    for worker in workers:
        alike = here.keys() - {"worker", "clock ahead [s]"}
        assert {key: worker[key] for key in alike} == {key: here[key] for key in alike}
        assert abs(worker["clock ahead [s]"]) < 60
        assert re.fullmatch("[0-9a-f]{12}|", worker["its probe"])  # '' where there is no small model
    assert done.stderr == ""
