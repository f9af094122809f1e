"""One live auction: the same tokens as a run, bids that move for the tokens to come, keys in a real terminal."""

from __future__ import annotations

import fcntl
import math
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
from pathlib import Path

import pytest
from conftest import Command, Reader

from tokenauction_cli.api import run_experiment
from tokenauction_cli.engine.live import staged
from tokenauction_cli.engine.loop.text_state import TextState
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
        with staged(experiment, "") as stage:
            live = stage.play("linear", 0.5, seed)
            while live.end_reason is None:
                live.step()
            assert "".join(token.piece for token in live.tokens) == text
            assert live.paid("pay_your_bid") == [pytest.approx(paid), pytest.approx(len(live.tokens) * live.bids[1])]
            assert live.paid("second_price") is None


def test_a_token_is_told_without_a_record_of_the_text(
    read: Reader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that a token costs as much after a thousand others as at the beginning."""
    experiment = read(TWO)
    record = run_experiment(experiment, tmp_path / "results", SilentProgress()).folder.records().popitem()[1]
    monkeypatch.setattr(TextState, "record", None)
    with staged(experiment, "") as stage:
        live = stage.play("linear", 0.5, record["seed"])
        assert live.log_probs == [0.0, 0.0]
        while live.end_reason is None:
            live.step()
        assert live.log_probs == [
            -math.inf if p is None else p for p in (record["log_prob.alpha"], record["log_prob.beta"])
        ]


def test_bids_move_for_the_tokens_to_come(read: Reader) -> None:
    with staged(read(TWO), "") as stage:
        live = stage.play("linear", 0.5, 0)
        live.step()
        live.move(+0.7)
        assert (live.weight, live.bids) == (1.0, (2.0, 0.0))
        later = [live.step() for _ in range(11)]
    assert all(token.piece in (" a", " é") and token.posterior == (1, 0) for token in later)
    assert all(token.paid == {"pay_your_bid": (2.0, 0.0)} for token in later)


def test_a_spent_budget_stays_spent(read: Reader) -> None:
    """Whoever moves the weight gives no agent a new budget."""
    text = TWO.replace("name: Alpha, ", "name: Alpha, budget: 2, ").replace(
        "max_tokens: 12", "charge: pay_your_bid, max_tokens: 12"
    )
    with staged(read(text), "") as stage:
        live = stage.play("linear", 0.5, 0)
        for _ in range(2):
            live.step()
        assert live.bids == (0.0, 1.0)
        live.move(+0.3)
        assert live.bids == (0.0, pytest.approx(0.4))
        while live.end_reason is None:
            live.step()
        assert live.paid("pay_your_bid")[0] == 2  # type: ignore[index]


def test_a_lone_agent_has_no_weight_to_move(read: Reader) -> None:
    text = TWO.replace("  - {name: Beta, distribution: {b: 1}}\n", "").split("sweep:")[0]
    with pytest.raises(UsageError, match="no other agent"), staged(read(text), "") as stage:
        stage.play("linear", 1, 0)


def test_a_pipe_gets_the_text(read: Reader, tokauction: Command) -> None:
    done = tokauction("play", str(read(TWO).path), "--weight", "0")
    assert (done.returncode, done.stdout) == (0, "b" + 11 * " b" + "\n")


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("--rule=x", "this file has linear"),
        ("--payment=x", "this file has pay_your_bid"),
        ("--query=2", "this file has 1"),
    ],
)
def test_bad_usage(read: Reader, tokauction: Command, option: str, words: str) -> None:
    done = tokauction("play", str(read(TWO).path), option)
    assert done.returncode == 2
    assert words in done.stderr


class Terminal:
    """A command on a terminal of 80 columns: what it shows, and keys for it."""

    def __init__(self, command: list[str], environment: dict[str, str]) -> None:
        self._primary, secondary = pty.openpty()
        fcntl.ioctl(secondary, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        terminal = {**environment, "TERM": "xterm"}
        self.process = subprocess.Popen(command, stdin=secondary, stdout=secondary, stderr=secondary, env=terminal)
        os.close(secondary)

    def press(self, keys: str) -> None:
        os.write(self._primary, keys.encode())

    def shows(self, words: str) -> None:
        """Wait until these words come."""
        _until(self._primary, words)

    def close(self) -> int:
        code = self.process.wait(20)
        os.close(self._primary)
        return code


SEVERAL = TWO.replace("[linear]", "[linear, log_linear]").replace("[pay_your_bid]", "[pay_your_bid, second_price]")


def test_keys_in_a_terminal(read: Reader, command_line: list[str], environment: dict[str, str]) -> None:
    """The weight, rules and seeds by keys; the text stays at its end; q gives the terminal back as it was."""
    path = read(SEVERAL.replace("{b: 1}", "{b: 0.5, a: 0.5}")).path
    terminal = Terminal([*command_line, "play", str(path), "--delay", "0.05"], environment)
    terminal.shows("linear · seed 0 · weight 0.50")
    terminal.press("\x1b[C")
    terminal.shows("weight 0.60")
    terminal.press(" ")
    terminal.shows("paused")
    terminal.press(" p")
    terminal.shows("paid by second_price")
    terminal.shows("ended (length)")
    terminal.press("an")
    terminal.shows("log_linear · seed 0 · weight 0.60")
    terminal.shows("not defined")
    terminal.shows("log_linear · seed 1 · weight 0.60")
    terminal.shows("ended (length)")
    terminal.press("\x1b[D")  # of the next text: the weight and the bids of this one stay
    terminal.shows("weight 0.60 · ended (length) · next: weight 0.50, r begins")
    terminal.press("r")
    terminal.shows("weight 0.50 · running")
    terminal.press("q")
    assert terminal.close() == 0


def test_a_text_that_cannot_be_written_says_why(
    read: Reader, command_line: list[str], environment: dict[str, str]
) -> None:
    """Under log_linear nothing is left where the agents have no token in common; another rule goes on."""
    terminal = Terminal([*command_line, "play", str(read(SEVERAL).path), "--rule", "log_linear"], environment)
    terminal.shows("failed: ")
    terminal.press("a")
    terminal.shows("linear · seed 0 · weight 0.50 · running")
    terminal.process.send_signal(signal.SIGINT)  # Ctrl-C
    assert terminal.close() == 0


def _until(descriptor: int, words: str, seconds: float = 30) -> str:
    """What the terminal shows until these words come."""
    seen = b""
    end = time.monotonic() + seconds
    while words.encode() not in seen:
        ready, _, _ = select.select([descriptor], [], [], max(0.0, end - time.monotonic()))
        assert ready, f"no {words!r} in {seen.decode('utf-8', 'replace')}"
        seen += os.read(descriptor, 65536)
    return seen.decode("utf-8", "replace")
