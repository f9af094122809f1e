"""The judges of a file: scores by hand, asked after the last text, kept, and never a part of the hash."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from conftest import Command, Reader
from tiny_gguf import bigram_model, of_byte

from tokenauction_cli.analysis.expectations import figure_names
from tokenauction_cli.api import load_run, run_experiment
from tokenauction_cli.engine.run import SilentProgress
from tokenauction_cli.experiment.advice import advice
from tokenauction_cli.experiment.experiment import load_experiment
from tokenauction_cli.system.errors import ExperimentError
from tokenauction_cli.worths.text_judges import JudgedText, Judgement, swapped_prompt

PLAIN = """
name: words
agents:
  - {name: A, id: a, distribution: {a: 0.5, b: 0.25, c: 0.25}}
  - {name: B, id: b, distribution: {a: 0.1, b: 0.8, c: 0.1}}
auction: {max_tokens: 1}
sweep: {relative_weight: [0, 0.5, 1], seeds: 8}
"""
JUDGES = """
judges:
  good: {model: judge.gguf, prompt: "Yes or No: {{ text }}"}
  deaf: {model: judge.gguf, prompt: "{{ text }} Yes or No"}
expect:
  - {figure: judge.good, min: 0, max: 0.8}
"""
KNOWN = {"a": 0.8, "b": 0.0, "c": 0.5}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With a model that says Yes with four times the odds of No after "a", No alone after "b", even odds else."""
    follows = {of_byte(ord("a")): {260: np.log(4.0), 261: 0.0}, of_byte(ord("b")): {261: 60.0}}
    bigram_model(tmp_path / "judge.gguf", follows, ("Yes", "No", "Ye"))
    return tmp_path


def test_scores_in_every_table(read: Reader, folder: Path, in_process: Command) -> None:
    plain = run_experiment(read(PLAIN), folder / "results", SilentProgress())
    assert not [column for column in plain.cells if column.startswith("judge")]
    experiment = load_experiment(folder / "experiment.yaml")
    (folder / "experiment.yaml").write_text(PLAIN + JUDGES)
    asked = load_experiment(folder / "experiment.yaml", figures=figure_names)
    assert asked.semantic_hash == experiment.semantic_hash
    records = {path: path.read_bytes() for path in plain.path.glob("records-*")}
    made = run_experiment(asked, folder / "results", SilentProgress())
    assert made.was_complete
    assert made.path == plain.path
    assert {path: path.read_bytes() for path in plain.path.glob("records-*")} == records
    for text, score in zip(made.cells["text"], made.cells["judge.good"], strict=True):
        assert score == pytest.approx(KNOWN[text], abs=1e-3)
    lines = [json.loads(line) for line in (plain.path / "judges-1.jsonl").read_text().splitlines()]
    assert len(lines) == 3  # of three texts
    row = made.summary.iloc[1]
    texts = made.cells[made.cells["point"] == 1]["text"]
    assert row["judge.good"] == pytest.approx(np.mean([KNOWN[text] for text in texts]), abs=1e-3)
    assert row["judge.good.low"] <= row["judge.good"] <= row["judge.good.high"]
    assert [verdict.holds for verdict in made.verdicts] == [True]
    assert "judge deaf does not tell texts apart: its scores of 3 texts have a standard deviation of 0" in (
        made.what_judges_miss
    )
    assert "judge good" not in made.what_judges_miss
    (folder / "judge.gguf").unlink()  # whoever reads the run needs no model
    again = load_run(plain.path)
    assert again.cells["judge.good"].tolist() == made.cells["judge.good"].tolist()
    assert again.what_judges_miss == made.what_judges_miss
    shown = in_process("show", str(plain.path), "--columns", "judge")
    assert "judge good" in shown.stdout
    assert "The judge deaf does not tell texts apart" in shown.stderr
    checked = in_process("check", str(folder / "experiment.yaml"))
    assert checked.returncode == 2
    assert "judge.gguf" in checked.stderr


def test_a_judge_that_minds_the_order_more_than_the_text() -> None:
    one, other = JudgedText("", "one"), JudgedText("", "other")
    assert Judgement({one: 0.2, other: 0.8}, {one: 0.3}).doubt("q") == ""
    said = Judgement({one: 0.4, other: 0.6}, {one: 0.8, other: 0.8}).doubt("q")
    assert "standard deviation of 0.1, and they change by 0.3 in the mean where Yes and No change places" in said
    assert Judgement({one: 0.4}).doubt("q") == ""


def test_yes_and_no_change_places() -> None:
    assert (
        swapped_prompt("{% if no %}{{ yes }}{% endif %} Yes, no? NO") == "{% if no %}{{ yes }}{% endif %} No, yes? YES"
    )


@pytest.mark.parametrize(
    ("judges", "message"),
    [
        ("{q: {model: m.gguf}}", "the key 'prompt' is missing"),
        ("{q: {model: smollm, prompt: '{{ text }}'}}", "unknown model 'smollm'"),
        ("{q: {model: m.gguf, prompt: hello}}", "a judge is asked about {{ text }}, which its prompt does not have"),
        ("{q: {model: m.gguf, prompt: '{{ text }} {{ agent }}'}}", "{{ agent }} is known to a judge in audit.texts"),
        ("{low: {model: m.gguf, prompt: '{{ text }}'}}", "the name 'low' is that of an interval's end"),
        ("{'a b': {model: m.gguf, prompt: '{{ text }}'}}", "expected an id made of A-Z a-z 0-9 _"),
        (
            "{q: {model: m.gguf, promt: '{{ text }}', prompt: '{{ text }}'}}",
            "unknown key 'promt'; did you mean 'prompt'?",
        ),
    ],
)
def test_bad_judges(read: Reader, judges: str, message: str) -> None:
    with pytest.raises(ExperimentError) as caught:
        read(f"{PLAIN}judges: {judges}\n")
    assert message in str(caught.value)
    assert ":8:" in str(caught.value)


def test_a_judge_is_named_in_an_audit(read: Reader) -> None:
    text = PLAIN + "judges: {q: {model: m.gguf, prompt: '{{ text }}?'}}\n"
    text += "audit: {texts: {value: {A: {judge: {NAME: 2}}}}}\n"
    experiment = read(text.replace("NAME", "q"))
    (utility,) = experiment.text_audit.utilities[0]
    assert utility.judge is not None
    assert (utility.value, utility.judge.model, utility.judge.prompt) == (2, "m.gguf", "{{ text }}?")
    with pytest.raises(ExperimentError, match="there is no judge 'qq'; did you mean 'q'"):
        read(text.replace("NAME", "qq"))
    experiment.path.write_text(text.replace("NAME", "q") + "expect: [{figure: judge.p, min: 0}]\n")
    with pytest.raises(ExperimentError, match=r"unknown figure 'judge\.p'; did you mean 'judge\.q'"):
        load_experiment(experiment.path, figures=figure_names)


def test_an_agents_own_model_is_noted(read: Reader) -> None:
    text = "name: e\nmodels: {m: m.gguf}\nagents: [{name: A, model: m, prompt: x}]\n"
    told = advice(read(text + "judges: {q: {model: m.gguf, prompt: '{{ text }}'}}\n"))
    assert told == ["judges.q: its model is that of A, who then judge their own texts"]
