"""How far a run is: lines without a terminal, the time left, and what an interrupted run has kept."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

import pytest
from conftest import Command, Reader

from tokenauction_cli.cli.bars import StepBar
from tokenauction_cli.cli.progress import BarProgress, LineProgress, Pace, QuietProgress, in_words, steps_on_stderr
from tokenauction_cli.engine.workplace import WorkerPace
from tokenauction_cli.mechanism.sampling.rules import InverseCdf

SLOW = """
name: slow
agents:
  - {name: A, distribution: {x: 0.5, y: 0.3, <end>: 0.2}}
auction: {max_tokens: 6, sampling: inverse_cdf}
sweep: {seeds: 40}
"""


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, as its last entry says."""
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[-1])
    return now


def test_the_time_left_follows_from_the_share_of_the_work() -> None:
    assert Pace(10.0, 4_000, "tokens", 0.25).left == "about 0:00:30 left"
    assert Pace(10.0, 4_000, "bytes", 0.25).drawn == "4,000 bytes, 400/s"
    assert Pace(0.0, 0, "tokens", 0.0).left == ""


def test_lines_say_cells_tokens_and_the_time_left(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    lines = LineProgress("tokens")
    lines.begin(440, 40)
    clock.append(60.0)  # loading is not counted
    lines.step(0, 0, 0.0)
    steps = (61.0, 0, 500, 0.1), (66.0, 0, 3_000, 0.2), (90.0, 400, 9_000, 1.0), (90.5, 0, 9_000, 1.0)
    for seconds, n_cells, n_tokens, share in steps:
        clock.append(seconds)
        lines.step(n_cells, n_tokens, share)
    assert capsys.readouterr().err.splitlines() == [
        "440 texts, 40 already on disk",
        "40 of 440 texts, 0 tokens, 0/s",
        "40 of 440 texts, 3,000 tokens, 500/s, about 0:00:24 left",
        "440 of 440 texts, 9,000 tokens, 300/s",
    ]


def test_rows_are_those_of_models(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    for has_models in (True, False):
        lines = LineProgress("tokens", has_models)
        lines.begin(4, 0)
        lines.step(0, 0, 0.0)
        clock.append(clock[-1] + 10.0)
        lines.growing(1_200, "Enjoy your")
        lines.step(1, 1_000, 0.5)
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("1 of")]
    assert told == [
        "1 of 4 texts, 1,000 tokens, 100/s, 120 rows/s, about 0:00:10 left",
        "1 of 4 texts, 1,000 tokens, 100/s, about 0:00:10 left",
    ]


def test_a_bar_shows_the_end_of_a_text_that_grows() -> None:
    bars = BarProgress("tokens")
    bars.begin(4, 0)
    bars.growing(10, f"Stay at the{' very' * 60} \x1b[31mend")
    bars.step(1, 100, 0.1)
    assert bars._bar is not None
    *_, text = bars._bar.get_renderables()
    shown = str(text)
    assert shown.startswith("…")
    assert shown.endswith("very \\x1b[31mend")
    assert len(shown) == bars._bar.console.width - 1
    bars.end()


def test_other_work_says_how_far_it_is(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    with steps_on_stderr() as hear:
        for seconds, done in ((1.0, 0), (2.0, 1), (7.0, 2), (8.0, 3), (13.0, 4)):
            clock.append(seconds)
            hear("texts read", done, 4)
    assert capsys.readouterr().err.splitlines() == ["texts read: 2 of 4, about 0:00:06 left", "texts read: 4 of 4"]
    with steps_on_stderr(quiet=True) as hear:
        hear("texts read", 1, 4)
    bar = StepBar()
    for what, done in (("texts read", 1), ("texts read", 3), ("figures drawn", 1)):
        bar.hear(what, done, 4)
    assert [(row.description, row.completed, row.total) for row in bar.tasks] == [
        ("figures drawn: 1 of 4, about 0:00:00 left", 1, 4)
    ]


def test_few_workers_are_told_one_by_one_and_many_by_their_ends() -> None:
    paces = [WorkerPace(f"host:{k}", 1_000.0 + k, 0.5) for k in range(9)]
    assert in_words(paces[:0]) == ""
    assert in_words(paces[:1]) == "1 worker: 1,000/s"
    assert in_words(paces[:3]) == "3 workers: 1,000/s, 1,001/s, 1,002/s"
    assert in_words(paces) == "9 workers: 1,000/s to 1,008/s"


def test_lines_say_how_fast_workers_are(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    lines = LineProgress("tokens")
    lines.begin(440, 0)
    lines.step(0, 0, 0.0)
    clock.append(clock[-1] + 10.0)
    lines.workers([WorkerPace("b:2", 60.0, 0.5), WorkerPace("a:1", 40.0, 0.1)])
    lines.step(0, 1_000, 0.5)
    assert capsys.readouterr().err.splitlines()[-1] == (
        "0 of 440 texts, 1,000 tokens, 100/s, 2 workers: 40/s, 60/s, about 0:00:10 left"
    )


@pytest.mark.parametrize(
    ("n_workers", "rows"),
    [(0, []), (2, ["host:0, 1,000/s", "host:1, 1,001/s"]), (9, ["9 workers: 1,000/s to 1,008/s"])],
)
def test_a_bar_has_a_row_for_each_of_few_workers(n_workers: int, rows: list[str]) -> None:
    bars = BarProgress("tokens")
    bars.begin(440, 0)
    for _ in range(2):
        bars.workers([WorkerPace(f"host:{k}", 1_000.0 + k, 0.5) for k in range(n_workers)])
        bars.step(1, 100, 0.1)
    assert bars._bar is not None
    assert [row.description for row in bars._bar.tasks[1:]] == rows
    bars.end()


def test_what_begins_again_is_counted_anew(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    lines = LineProgress("tokens")
    for begun in (0.0, 1000.0):
        clock.append(begun)
        lines.begin(2, 0)
        lines.step(0, 0, 0.0)
        clock.append(begun + 10.0)
        lines.step(2, 500, 1.0)
    assert capsys.readouterr().err.splitlines() == ["2 texts", "2 of 2 texts, 500 tokens, 50/s"] * 2


def test_a_bar_that_begins_again_ends_the_one_before() -> None:
    bars = BarProgress("tokens")
    bars.begin(2, 0)
    first = bars._bar
    bars.begin(3, 0)
    assert first is not None
    assert first is not bars._bar
    assert first.live.is_started is False
    bars.end()


def test_an_interrupted_run_says_what_it_keeps(
    read: Reader, in_process: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    read(SLOW)
    draw, drawn = InverseCdf.draw, [0]

    def draw_and_interrupt(self: InverseCdf, *arguments: Any) -> Any:
        drawn[0] += 1
        if drawn[0] == 100:
            os.kill(os.getpid(), signal.SIGINT)
        return draw(self, *arguments)

    monkeypatch.setattr(InverseCdf, "draw", draw_and_interrupt)
    done = in_process("run", "experiment.yaml", "-q")
    assert done.returncode == 130
    words = done.stderr.split()
    assert done.stderr.startswith("Interrupted. Kept ")
    assert done.stderr.endswith(" of 40 texts; continue with: tokauction run experiment.yaml -q\n")
    monkeypatch.undo()
    assert 0 < int(words[2]) < 40


def test_nothing_is_said_of_cells_before_they_are_counted() -> None:
    assert QuietProgress("tokens").kept == ""
