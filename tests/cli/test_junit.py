"""Expectations on the command line: the table, exit codes, and the XML that continuous integration reads."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest
from conftest import Command

FILE = """name: e
queries: ["a\\u0007b\\ufffe"]
agents:
  - {name: Ann, distribution: {<hi>: 1}}
  - {name: Bob, distributions: {"": {<hi>: 1}}}
sweep: {relative_weight: [1]}
auction: {max_tokens: 2}
expect:
  - {figure: tokens, min: 2}
  - {text: {contains: "<hi> <hi>"}, at: {query: "a\\u0007b\\ufffe"}}
"""
FINE = FILE.replace('s: {"": {<hi>: 1}}', ": {<hi>: 1}")


def suite(path: Path) -> ElementTree.Element:
    (found,) = ElementTree.parse(path).getroot()
    return found


def outcomes(path: Path) -> list[str]:
    return [(list(case) or [ElementTree.Element("passed")])[0].tag for case in suite(path)]


@pytest.fixture
def write(tmp_path: Path) -> Path:
    path = tmp_path / "e.yaml"
    path.write_text(FINE, "utf-8")
    return path


def test_what_holds(write: Path, in_process: Command) -> None:
    done = in_process("run", "e.yaml", "-q", "--junit", "deep/er/x.xml")
    assert (done.returncode, done.stderr) == (0, "")
    assert "Every expectation holds" in done.stdout
    path = write.parent / "deep" / "er" / "x.xml"
    assert outcomes(path) == ["passed"] * 3
    assert suite(path).attrib == {"name": "e", "tests": "3", "failures": "0", "errors": "0", "skipped": "0"}


def test_what_fails_is_told_with_its_place(write: Path, in_process: Command) -> None:
    """And an edit of the expectation computes nothing."""
    assert in_process("run", "e.yaml", "-q").returncode == 0
    write.write_text(FINE.replace("min: 2", "min: 3"), "utf-8")
    done = in_process("run", "e.yaml", "-q", "--junit", "x.xml", "--format", "csv")
    assert (done.returncode, done.stderr) == (4, "e.yaml:9:5: tokens: expected at least 3, found 2\n")
    assert done.stdout.splitlines() == ["weight of Ann,linear", "1,<hi> <hi>"]
    assert outcomes(write.parent / "x.xml") == ["passed", "failure", "passed"]
    assert suite(write.parent / "x.xml")[1][0].attrib == {"message": "e.yaml:9:5: tokens: expected at least 3, found 2"}
    assert len(list((write.parent / "results").iterdir())) == 1


def test_failed_texts_go_before_expectations(write: Path, in_process: Command) -> None:
    write.write_text(FILE.replace("[1]", "[1, 0.5]"), "utf-8")
    done = in_process("run", "e.yaml", "-q", "--junit", "x.xml")
    assert done.returncode == 3
    assert outcomes(write.parent / "x.xml")[0] == "error"


def test_a_part_of_a_run_decides_nothing(write: Path, in_process: Command) -> None:
    write.write_text(FINE.replace("[1]", "[1, 0.5]").replace("min: 2", "min: 3"), "utf-8")
    done = in_process("run", "e.yaml", "-q", "-n", "1", "--junit", "x.xml")
    assert (done.returncode, done.stderr) == (0, "Whether expectations hold is decided when all texts are written.\n")
    assert outcomes(write.parent / "x.xml") == ["skipped"] * 3


def test_a_file_that_cannot_be_written(write: Path, in_process: Command) -> None:
    done = in_process("run", "e.yaml", "-q", "--junit", ".")
    assert done.returncode == 2
    assert "--junit .: Is a directory; name a file that can be written" in done.stderr
