"""Layers on another device, without a GPU: llama.cpp's own RPC server on this machine holds them."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import llama_cpp
import pytest
from conftest import Command
from tiny_gguf import attention_model, mixture_model

from tokenauction_cli.lm.llama.libraries import folder

SERVER = Path(__file__).parents[2] / "rpc_server.py"
N_CELLS = 300
WEIGHTS_KIB = 9_000  # of the mixture of experts
TEXT = """
name: offloaded
agents: [{name: A, model: m.gguf, prompt: abc}, {name: B, model: m.gguf, prompt: xyz}]
auction: {max_tokens: 12}
sweep: {seeds: 300}
"""
pytestmark = pytest.mark.skipif(
    not any(folder().glob("*ggml-rpc*")), reason=f"llama.cpp {llama_cpp.__version__} was built without RPC"
)
Start = Callable[..., "subprocess.Popen[bytes]"]


def free_endpoint() -> str:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return f"127.0.0.1:{probe.getsockname()[1]}"


@pytest.fixture
def endpoint() -> str:
    return free_endpoint()


@pytest.fixture
def start(endpoint: str, environment: dict[str, str]) -> Iterator[Start]:
    """Starts the server, or one elsewhere, and ends it with the test."""
    servers: list[subprocess.Popen[bytes]] = []

    def start(where: str = endpoint) -> subprocess.Popen[bytes]:
        quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        servers.append(subprocess.Popen([sys.executable, str(SERVER), where], env=environment, **quiet))
        wait_until(lambda: answers(where))
        return servers[-1]

    yield start
    for server in servers:
        server.kill()
        server.wait()


@pytest.fixture
def options(tmp_path: Path, endpoint: str) -> tuple[str, ...]:
    """What runs the experiment on the server."""
    attention_model(tmp_path / "m.gguf")
    (tmp_path / "e.yaml").write_text(TEXT)
    return ("run", "e.yaml", "-S", f"runtime.rpc=[{json.dumps(endpoint)}]")


@pytest.fixture
def begin(tmp_path: Path, command_line: list[str], environment: dict[str, str]) -> Callable[..., Any]:
    """Begins the command, and returns once its first records are on disk."""

    def begin(*arguments: str) -> subprocess.Popen[str]:
        run = subprocess.Popen(
            [*command_line, *arguments], cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True
        )
        wait_until(
            lambda: run.poll() is not None or any(path.stat().st_size for path in tmp_path.glob("*/*/records-*"))
        )
        return run

    return begin


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "in vain"
        time.sleep(0.01)


def answers(endpoint: str) -> bool:
    host, port = endpoint.split(":")
    with socket.socket() as client:
        return client.connect_ex((host, int(port))) == 0


def peak_kib(process: subprocess.Popen[bytes]) -> int:
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0])


def records(results: Path) -> list[bytes]:
    return sorted(line for path in results.glob("*/records-*.jsonl") for line in path.read_bytes().splitlines())


def manifest(results: Path) -> dict[str, Any]:
    (path,) = results.glob("*/manifest.json")
    return dict(json.loads(path.read_text("utf-8")))


@pytest.mark.parametrize("gpu_layers", ["auto", pytest.param("1", marks=pytest.mark.slow)])
def test_a_sweep(tmp_path: Path, start: Start, options: tuple[str, ...], tokauction: Command, gpu_layers: str) -> None:
    """All layers and some: the same records again, in one piece or in two."""
    start()
    options = (*options, "-S", f"runtime.gpu_layers={gpu_layers}", "-q")
    done = tokauction(*options, "-o", "whole")
    assert done.returncode == 0, done.stderr
    assert tokauction(*options, "-o", "parts", "-n", "10").returncode == 0
    whole_waves = not manifest(tmp_path / "parts")["batch_invariant"]
    assert len(records(tmp_path / "parts")) == (128 if whole_waves else 10)
    assert tokauction(*options, "-o", "parts").returncode == 0
    assert records(tmp_path / "parts") == records(tmp_path / "whole")
    assert len(records(tmp_path / "whole")) == N_CELLS
    found = manifest(tmp_path / "whole")
    assert (found["device"], found["status"]) == ("gpu", "finished")
    assert found["gpu_layers"] == (-1 if gpu_layers == "auto" else 1)
    (folder,) = (tmp_path / "whole").iterdir()
    verified = tokauction("verify", str(folder), "--sample", "1")
    assert verified.returncode == 0, verified.stdout


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="there is no /proc")
@pytest.mark.parametrize(("shares", "first_holds"), [("[1, 0]", True), ("[0, 1]", False)])
def test_two_servers(
    tmp_path: Path, start: Start, endpoint: str, tokauction: Command, shares: str, first_holds: bool
) -> None:
    """All layers go to the server that has the shares; the run warns of the network."""
    second = free_endpoint()
    servers = start(), start(second)
    mixture_model(tmp_path / "m.gguf")
    (tmp_path / "e.yaml").write_text(TEXT)
    before = [peak_kib(server) for server in servers]
    options = ("-S", f"runtime.rpc={json.dumps([endpoint, second])}", "-S", f"runtime.tensor_split={shares}")
    done = tokauction("run", "e.yaml", *options, "-n", "1", "-q")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("trusted networks only") == 1
    grown = [peak_kib(server) - was for server, was in zip(servers, before, strict=True)]
    assert max(grown) > WEIGHTS_KIB > 4 * min(grown)
    assert (grown[0] > grown[1]) is first_holds
    assert manifest(tmp_path / "results")["split"] == {
        "mode": "layer",
        "shares": json.loads(shares),
        "main_gpu": 0,
    }


def test_an_interrupted_sweep_goes_on(
    tmp_path: Path, start: Start, options: tuple[str, ...], tokauction: Command, begin: Callable[..., Any]
) -> None:
    start()
    run = begin(*options, "-o", "parts")
    run.send_signal(signal.SIGINT)
    _, complaints = run.communicate(timeout=60)
    assert run.returncode in (0, 130), complaints
    assert tokauction(*options, "-o", "parts", "-q").returncode == 0
    assert tokauction(*options, "-o", "whole", "-q").returncode == 0
    assert records(tmp_path / "parts") == records(tmp_path / "whole")


def test_a_server_that_is_lost(
    tmp_path: Path, start: Start, options: tuple[str, ...], tokauction: Command, begin: Callable[..., Any]
) -> None:
    """What was finished is on disk; with the server back the same command continues."""
    server = start()
    run = begin(*options, "-o", "parts", "-S", "sweep.seeds=3000")
    server.kill()
    server.wait()
    _, complaints = run.communicate(timeout=60)
    assert run.returncode == 1
    assert "llama.cpp gave up: " in complaints
    assert "What is finished is kept; the same command continues." in complaints
    assert "Traceback" not in complaints
    finished = records(tmp_path / "parts")
    assert 0 < len(finished) < 3000
    start()
    assert tokauction(*options, "-o", "parts", "-q", "-S", "sweep.seeds=3000", "-n", "600").returncode == 0
    assert set(finished) <= set(records(tmp_path / "parts"))
    assert len(records(tmp_path / "parts")) >= 600


def test_nobody_answers(options: tuple[str, ...], endpoint: str, in_process: Command) -> None:
    done = in_process(*options)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(
        f"runtime.rpc: nothing answers at {endpoint} (Connection refused): start its RPC server"
    )


def test_servers_and_the_processor_alone(options: tuple[str, ...], in_process: Command) -> None:
    done = in_process(*options, "-S", "runtime.device=cpu")
    assert done.returncode == 2
    assert "leave one of them out" in done.stderr


@pytest.mark.parametrize("server", ["host", "host:", ":50052", "host:port", "a b:1", "rpc://h:1", "h:123456"])
def test_what_is_no_server(options: tuple[str, ...], in_process: Command, server: str) -> None:
    done = in_process("check", "e.yaml", "-S", f"runtime.rpc=[{json.dumps(server)}]")
    assert done.returncode == 2
    assert f"expected a server as host:port, got '{server}'" in done.stderr
