"""docs/reference/python.md runs as it stands."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "python.md"


def test_the_python_page_prints_what_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    text = re.sub(r"^```.*$", "", PAGE.read_text("utf-8"), flags=re.MULTILINE)  # what a session prints ends at a blank
    test = doctest.DocTestParser().get_doctest(text, {}, "docs/reference/python.md", str(PAGE), 0)
    assert len(test.examples) > 20
    failed = doctest.DocTestRunner().run(test).failed
    assert not failed, capsys.readouterr().out
