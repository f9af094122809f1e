"""The lessons of docs/tutorial run as they stand, and print what they say."""

from __future__ import annotations

import re
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import MagicMock

import pytest
from conftest import Command
from tiny_gguf import attention_model

import tokenauction_cli as tokauction

ROOT = Path(__file__).parents[1]
LESSONS = ("three-words", "hawaii", "prices", "your-model")
SMALLER = {  # the same experiment, for a model that is nobody
    "small: smollm2-135m-instruct": "small: ../my-model.gguf",
    "max_tokens: 48": "max_tokens: 2",
    "step: 0.1": "step: 0.5",
    "seeds: 20": "seeds: 2",
}


def page(name: str) -> str:
    return (ROOT / "docs" / "tutorial" / f"{name}.md").read_text("utf-8")


def files(text: str) -> Iterator[tuple[str, str]]:
    """Blocks that begin with a comment that names a file."""
    yield from re.findall(r"^```\w+\n# (\S+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def commands(text: str) -> Iterator[tuple[list[str], str]]:
    """What is typed after `$ tokauction`, and what it prints; '' where the page does not say."""
    for block in re.findall(r"^```console\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        for said in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            line, _, printed = said.partition("\n")
            program, *arguments = line.split()
            assert program == "tokauction"
            yield arguments, printed.rstrip()


def is_like(said: str, printed: str) -> bool:
    """Whether all lines of a page stand in what was printed, without blanks at their ends; `...` is any lines."""
    lines = [line.rstrip() for line in printed.splitlines() if line.strip()]
    parts = "\n".join(line.rstrip() for line in said.splitlines() if line.strip()).split("\n...")
    return re.fullmatch(".*".join(map(re.escape, parts)), "\n".join(lines), re.DOTALL) is not None


def lay_out(folder: Path, text: str) -> None:
    attention_model(folder / "my-model.gguf")
    (folder / "experiments").mkdir()
    for path in (ROOT / "experiments").glob("*.yaml"):
        shipped = path.read_text("utf-8")
        for ours, small in SMALLER.items() if "smollm2" in shipped else ():
            shipped = shipped.replace(ours, small)
        (folder / "experiments" / path.name).write_text(shipped, "utf-8")
    for name, content in files(text):
        (folder / name).write_text(content, "utf-8")


@pytest.mark.parametrize("lesson", LESSONS)
def test_a_lesson_prints_what_it_says(
    lesson: str, tmp_path: Path, in_process: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = page(lesson)
    lay_out(tmp_path, text)
    typed = list(commands(text))
    assert typed
    for arguments, printed in typed:
        done = in_process(*arguments, *(("--figures", "none") if arguments[0] == "report" else ()))  # they take seconds
        assert done.returncode == 0, (arguments, done.stderr)
        assert not printed or is_like(printed, done.stdout), done.stdout
    if lesson == "prices":
        assert_prices(text, tokauction.run("prices.yaml"))
    if "figure.py" in dict(files(text)):
        axes, pyplot = MagicMock(), MagicMock()  # matplotlib, which need not be installed
        pyplot.subplots.return_value = (MagicMock(), axes)
        monkeypatch.setitem(sys.modules, "matplotlib", MagicMock(pyplot=pyplot))
        monkeypatch.setitem(sys.modules, "matplotlib.pyplot", pyplot)
        runpy.run_path(str(tmp_path / "figure.py"))
        assert [len(call.args[0]) for call in axes.plot.call_args_list] == [3, 3]  # two rules, three weights


def assert_prices(text: str, run: tokauction.Run) -> None:
    """The table of the third lesson has the means of its run."""
    rules = ("pay_your_bid", "second_price", "vcg")
    rows = run.summary[["bid.alpha", *(f"payment.{rule}.alpha" for rule in rules)]].to_numpy().tolist()
    said = [
        [float(cell) for cell in line.split(" | ")] for line in re.findall(r"^\| ([.\d].*) \|$", text, re.MULTILINE)
    ]
    assert rows == [pytest.approx(row, abs=5e-4) for row in said]
