"""One live auction: the same tokens as a run, bids that move for the tokens to come, keys in a real terminal."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import time
from pathlib import Path

import pytest
from conftest import Command, Reader

from tokenauction_cli.api import run_experiment
from tokenauction_cli.engine.live import playing
from tokenauction_cli.engine.run import SilentProgress
from tokenauction_cli.system.errors import UsageError

TWO = """
name: t
agents:
  - {name: Alpha, distribution: {a: 0.7, é: 0.3}}
  - {name: Beta, distribution: {b: 1}}
auction: {aggregation: [linear], payments: [pay_your_bid], max_tokens: 12, trace: chosen}
sweep: {agent: Alpha, relative_weight: [0.5], seeds: 3}
"""


def test_it_plays_what_a_run_writes(read: Reader, tmp_path: Path) -> None:
    experiment = read(TWO)
    run = run_experiment(experiment, tmp_path / "results", SilentProgress())
    for seed, text, paid in zip(*(run.cells[c] for c in ("seed", "text", "payment.pay_your_bid.alpha")), strict=True):
        with playing(experiment, "", "linear", 0.5, seed) as live:
            while live.end_reason is None:
                live.step()
            assert "".join(token.piece for token in live.tokens) == text
            assert live.figures()["paid"][0] == pytest.approx(paid)


def test_bids_move_for_the_tokens_to_come(read: Reader) -> None:
    with playing(read(TWO), "", "linear", 0.5, 0) as live:
        live.step()
        live.move(+0.7)
        assert (live.weight, live.bids) == (1.0, (2.0, 0.0))
        later = [live.step() for _ in range(11)]
    assert all(token.piece in (" a", " é") and token.posterior == (1, 0) for token in later)
    assert all(token.paid == (2.0, 0.0) for token in later)


def test_a_spent_budget_stays_spent(read: Reader) -> None:
    """Whoever moves the weight gives no agent a new budget."""
    text = TWO.replace("name: Alpha, ", "name: Alpha, budget: 2, ").replace(
        "max_tokens: 12", "charge: pay_your_bid, max_tokens: 12"
    )
    with playing(read(text), "", "linear", 0.5, 0) as live:
        for _ in range(2):
            live.step()
        assert live.bids == (0.0, 1.0)
        live.move(+0.3)
        assert live.bids == (0.0, pytest.approx(0.4))
        while live.end_reason is None:
            live.step()
        assert live.figures()["paid"][0] == 2


def test_a_lone_agent_has_no_weight_to_move(read: Reader) -> None:
    text = TWO.replace("  - {name: Beta, distribution: {b: 1}}\n", "").split("sweep:")[0]
    with pytest.raises(UsageError, match="no other agent"), playing(read(text), "", "linear", 1, 0):
        pass


def test_a_pipe_gets_the_text(read: Reader, tokauction: Command) -> None:
    done = tokauction("play", str(read(TWO).path), "--weight", "0")
    assert (done.returncode, done.stdout) == (0, "b" + 11 * " b" + "\n")


@pytest.mark.parametrize(("option", "words"), [("--rule=x", "this file has linear"), ("--query=2", "this file has 1")])
def test_bad_usage(read: Reader, tokauction: Command, option: str, words: str) -> None:
    done = tokauction("play", str(read(TWO).path), option)
    assert done.returncode == 2
    assert words in done.stderr


def test_keys_in_a_terminal(read: Reader, command_line: list[str], environment: dict[str, str]) -> None:
    """Right moves the weight, q quits, and the terminal is given back as it was."""
    primary, secondary = pty.openpty()
    path = read(TWO.replace("max_tokens: 12", "max_tokens: 1000")).path
    command = [*command_line, "play", str(path), "--delay", "0.05"]
    terminal = {**environment, "TERM": "xterm", "COLUMNS": "100"}
    with subprocess.Popen(command, stdin=secondary, stdout=secondary, stderr=secondary, env=terminal) as process:
        os.close(secondary)
        screen = _until(primary, "now 0.50")
        os.write(primary, b"\x1b[C")
        screen += _until(primary, "now 0.60")
        os.write(primary, b" ")
        screen += _until(primary, "space goes on")
        os.write(primary, b"q")
        assert process.wait(20) == 0
    os.close(primary)
    assert "Alpha" in screen


def _until(descriptor: int, words: str, seconds: float = 30) -> str:
    """What the terminal shows until these words come."""
    seen = b""
    end = time.monotonic() + seconds
    while words.encode() not in seen:
        ready, _, _ = select.select([descriptor], [], [], max(0.0, end - time.monotonic()))
        assert ready, f"no {words!r} in {seen.decode('utf-8', 'replace')}"
        seen += os.read(descriptor, 65536)
    return seen.decode("utf-8", "replace")
