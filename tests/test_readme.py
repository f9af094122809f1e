"""What the README shows runs as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from conftest import experiments_of

from tokenauction_cli.experiment.experiment import load_experiment

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def test_the_format_by_example_is_an_experiment(tmp_path: Path) -> None:
    (text,) = blocks("yaml")
    path = tmp_path / "hawaii.yaml"
    path.write_text(text, "utf-8")
    experiment = load_experiment(path)
    assert [agent.id for agent in experiment.agents] == ["alpha", "beta"]
    assert len(experiment.points) == 11


def test_the_python_prints_what_its_comment_says(capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = blocks("python")
    (said,) = re.findall(r"# (\[.*\])$", code, re.MULTILINE)
    exec(compile(code, "README.md", "exec"), {})
    assert capsys.readouterr().out.strip() == said


@pytest.mark.parametrize("path", sorted((ROOT / "experiments").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_shipped_experiment_asks_a_question_and_names_its_command(path: Path) -> None:
    first, second = path.read_text("utf-8").splitlines()[:2]
    assert first.startswith("# Question: ")
    assert f"experiments/{path.name}" in path.read_text("utf-8").split("name:")[0]
    assert experiments_of(path)[0].name == path.stem
    assert second.startswith("#")


def test_every_shipped_experiment_is_a_study() -> None:
    studies = "".join(path.read_text("utf-8") for path in (ROOT / "docs" / "studies").glob("*.md"))
    assert not [path.name for path in (ROOT / "experiments").glob("*.yaml") if path.stem not in studies]


def test_the_readme_is_short_and_leads_on() -> None:
    assert len(README.splitlines()) <= 150
    assert README.index("make demo") < README.index("make test") < 1000
    linked = {target for target in re.findall(r"\]\(([\w./-]+)\)", README) if target.startswith("docs/")}
    assert len(linked) >= 12
    assert not [target for target in linked if not (ROOT / target).is_file()]


def test_the_docs_say_where_each_definition_is() -> None:
    """Functions and tests that the page of the mechanism names are there."""
    page = (ROOT / "docs" / "explanation" / "mechanism.md").read_text("utf-8")
    package, tests = ROOT / "tokenauction_cli", ROOT / "tests"
    for file, test in re.findall(r"`(test_\w+\.py)::(\w+)`", page):
        assert f"def {test}(" in (tests / "mechanism" / file).read_text("utf-8"), (file, test)
    named = re.findall(r"`((?:[a-z]\w*/)*[a-z]\w*\.py)`", page)
    there = {name: (package / name).is_file() or (package / "mechanism" / name).is_file() for name in named}
    assert len(there) > 8
    assert not [name for name, is_there in there.items() if not is_there and not name.startswith("test_")]
