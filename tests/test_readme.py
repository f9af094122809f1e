"""What the README shows runs as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

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
    assert load_experiment(path).name == path.stem
    assert second.startswith("#")


def test_every_file_that_the_readme_names_is_there() -> None:
    named = set(re.findall(r"(?:docs|experiments)/[\w./-]+\.(?:md|png|yaml)", README))
    assert named
    assert not [name for name in named if not (ROOT / name).is_file()]
