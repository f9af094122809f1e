"""Fixtures for all tests: experiments from text, the command as a stranger runs it, the demo's model."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hub_server import TOKEN, HubServer
from hypothesis import HealthCheck, settings

import tokenauction_cli
import tokenauction_cli.lm  # before anything loads llama.cpp: it says how llama.cpp's threads wait
from tokenauction_cli.experiment.experiment import Experiment, load_experiment
from tokenauction_cli.experiment.matrix import load_matrix
from tokenauction_cli.system.processors import usable_processors

# A busy machine is no failure of a law. `make test` asks the same few examples of every law each time, `make soak`
# many others.
PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("quick", PATIENT, max_examples=25, derandomize=True)
settings.register_profile("thorough", PATIENT, max_examples=400)
settings.load_profile("quick")

os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # else hundreds of processes compile the package, each for itself


def pytest_xdist_auto_num_workers() -> int:
    """`-n auto`: a process for each core, and two on one core of two hyper-threads: much of a test is waiting."""
    return max(2, usable_processors())


def pytest_configure() -> None:
    """A process of several that share the tests keeps to its share of the cores, and so do its models: threads spin."""
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    if worker and hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        share = cores[int(worker.removeprefix("gw")) :: int(os.environ["PYTEST_XDIST_WORKER_COUNT"])]
        os.sched_setaffinity(0, share or cores)


DEMO_MODEL = "smollm2-135m-instruct"
PACKAGE_ROOT = Path(tokenauction_cli.__file__).parents[1]

Reader = Callable[..., Experiment]
Command = Callable[..., subprocess.CompletedProcess[str]]


def experiments_of(path: Path) -> list[Experiment]:
    """The experiment of a file, or the members of its matrix."""
    matrix = load_matrix(path)
    return [load_experiment(path)] if matrix is None else [member.experiment for member in matrix.members]


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubServer]:
    """A hub that this process's huggingface_hub talks to, with an empty cache and a token."""
    from huggingface_hub import close_session, constants

    from tokenauction_cli.model_files import download

    monkeypatch.setattr(download, "_PAUSE_SECONDS", 0.0)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    with HubServer() as server:
        template = server.endpoint + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "ENDPOINT", server.endpoint)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "AGENT_HARNESSES_PATH", str(tmp_path / "agents.json"), raising=False)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        close_session()
        yield server
        close_session()


@pytest.fixture
def read(tmp_path: Path) -> Reader:
    """Reads an experiment from the text of its file."""

    def read(text: str, *overrides: str) -> Experiment:
        path = tmp_path / "experiment.yaml"
        path.write_text(text, "utf-8")
        return load_experiment(path, overrides)

    return read


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The models that tests make up are not remembered as tried in the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TOKAUCTION_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session", autouse=True)
def weights_as_in_the_file() -> Iterator[None]:
    """On every kind of processor `runtime.weights: auto` is `file` in this process, so that numbers are the same."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tokenauction_cli.lm.llama.weights.PROCESSORS", ())
        yield


@pytest.fixture(scope="session")
def command_line() -> list[str]:
    """What starts `tokauction` in a process of its own; warnings are errors, but one of llama-cpp-python."""
    return [sys.executable, "-W", "error", "-W", "ignore::ResourceWarning", "-m", "tokenauction_cli"]


@pytest.fixture(scope="session")
def environment(own_cache: None) -> dict[str, str]:
    """The environment of such a process: the package is found from any folder, and nothing is colourful."""
    path = os.pathsep.join(filter(None, [str(PACKAGE_ROOT), os.environ.get("PYTHONPATH")]))
    kept = {
        key: value for key, value in os.environ.items() if key not in ("FORCE_COLOR", "COLUMNS", "PYTHONUNBUFFERED")
    }
    return {**kept, "PYTHONPATH": path, "HF_HUB_OFFLINE": "1"}


@pytest.fixture
def tokauction(tmp_path: Path, command_line: list[str], environment: dict[str, str]) -> Command:
    """Runs the command in `tmp_path`, without a terminal, and waits for it."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command_line, *arguments],
            cwd=tmp_path,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            encoding="utf-8",
            check=False,
            timeout=300,
        )

    return run


@pytest.fixture
def in_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Command]:
    """The same within this process: half a second faster."""
    from tokenauction_cli.cli import app

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.delenv("COLUMNS", raising=False)  # of whoever runs the tests
    before = signal.getsignal(signal.SIGTERM)

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["tokauction", *arguments])
        with pytest.raises(SystemExit) as stop:
            app.main()
        code = stop.value.code
        return subprocess.CompletedProcess(arguments, code if isinstance(code, int) else 0, *capsys.readouterr())

    yield run
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def batches_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Within this process every probe finds that a batch moves bits."""
    from tokenauction_cli.lm.probing.probe import Probed

    monkeypatch.setattr(Probed, "keeps_bits", False)


@pytest.fixture(scope="session")
def model_path() -> Path:
    """The GGUF file of the extra `demo`."""
    from tokenauction_cli.model_files.models import locate, parse_reference
    from tokenauction_cli.system.errors import ModelError

    try:
        return locate(parse_reference(DEMO_MODEL, Path()), offline=True).path
    except ModelError as error:
        pytest.skip(str(error))
