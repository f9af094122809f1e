"""Which runs a user means: a run folder, an experiment file, a folder of runs."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from records import a_record

import tokenauction_cli as tokauction
from tokenauction_cli.runs.run_folder import RunFolder, encode
from tokenauction_cli.runs.run_folders import chosen_run, chosen_runs, runs_in

ONE = {"name": "one", "agents": [{"name": "A", "distribution": {"x": 1}}], "auction": {"max_tokens": 1}}


@pytest.fixture
def experiment(tmp_path: Path) -> Path:
    path = tmp_path / "one.yaml"
    path.write_text(yaml.safe_dump(ONE), "utf-8")
    return path


@pytest.fixture
def results(tmp_path: Path, experiment: Path) -> Path:
    """Two runs, one that was set aside, and a folder that is none."""
    results = tmp_path / "results"
    tokauction.run(experiment, results)
    tokauction.run(experiment, results, fresh=True)
    tokauction.run(experiment, results, overrides=["seed=1"])
    (results / "reference").mkdir()
    return results


def test_a_folder_of_runs_means_all_that_were_not_set_aside(results: Path, experiment: Path) -> None:
    assert len(list(results.iterdir())) == 4
    runs = runs_in(results)
    assert [run.name[:4] for run in runs] == ["one-", "one-"]
    assert not any(run.name.endswith(".old-1") for run in runs)
    assert chosen_runs([results], results) == runs


def test_what_was_set_aside_is_a_run_where_it_is_named(results: Path) -> None:
    (old,) = results.glob("*.old-1")
    assert chosen_runs([old], results) == [old]
    assert tokauction.load_run(old).n_planned == 1


def test_an_experiment_means_its_run(results: Path, experiment: Path) -> None:
    run = chosen_run(experiment, results)
    assert run == tokauction.load_run(experiment, results).path
    assert chosen_runs([experiment, run, results], results)[0] == run
    assert len(chosen_runs([experiment, run, results], results)) == 2, "each once"


def test_an_experiment_that_has_not_run_names_those_of_its_name(results: Path, experiment: Path) -> None:
    with pytest.raises(tokauction.UsageError, match=r"has not run in \S+/nowhere: `tokauction run \S+` runs it$"):
        chosen_run(experiment, results.parent / "nowhere")
    experiment.write_text(yaml.safe_dump({**ONE, "seed": 2}), "utf-8")
    with pytest.raises(tokauction.UsageError, match=r"with other settings there is .*one-.*, .*one-") as error:
        chosen_run(experiment, results)
    assert "old" not in str(error.value)


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("nothing", "there is no such folder or file"),
        ("results/reference", "this is not a run folder"),
        ("notes.txt", "neither a run folder nor an experiment file"),
        ("missing.yaml", "the experiment file cannot be read"),
        ("results", "holds 2 runs"),
    ],
)
def test_what_means_no_run(results: Path, tmp_path: Path, target: str, words: str) -> None:
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(tokauction.UsageError, match=words):
        chosen_run(tmp_path / target, results)


def test_records_are_counted_by_their_bytes(tmp_path: Path) -> None:
    """Each cell once; a text that speaks of failing has not failed; a torn line is no record."""
    folder = RunFolder(tmp_path / "run")
    with folder.locked(), folder.appending() as appender:
        records = [("a" * 12, "end", "x"), ("b" * 12, "failed", ""), ("c" * 12, "end", '"end_reason":"failed"')]
        made = [a_record(cell, text=text, end_reason=reason, error="") for cell, reason, text in records]
        appender.append([*made, made[0]])
    with open(tmp_path / "run" / "records-1.jsonl", "ab") as file:
        file.write(encode({"cell": "d" * 12}))
    assert folder.count() == (3, 1)
    assert len(folder.cells()) == 3


def test_a_lock_shows(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    assert not folder.is_locked()
    with folder.locked():
        assert folder.is_locked()
    assert not folder.is_locked()


def test_a_run_that_was_killed_in_its_first_second_is_listed(results: Path, tmp_path: Path) -> None:
    """There is a folder by then, and a log."""
    for name, files in {"one-01234567": ["log.txt"], "two-01234567.shard-1-of-2": [], "three-0": ["log.txt"]}.items():
        (results / name).mkdir()
        for file in files:
            (results / name / file).touch()
    table = tokauction.list_runs(results).set_index("run")
    assert dict(table["status"])[str(results / "one-01234567")] == "not begun"
    assert len(table) == 4
    assert list(tokauction.list_runs(results / "one-01234567")["status"]) == ["not begun"]
    with pytest.raises(tokauction.UsageError, match="this run was killed before it began"):
        tokauction.load_run(results / "one-01234567")
    alone = tmp_path / "alone"
    (alone / "one-01234567").mkdir(parents=True)
    assert list(tokauction.list_runs(alone)["status"]) == ["not begun"]
    with RunFolder(alone / "one-01234567").locked():
        assert list(tokauction.list_runs(alone)["status"]) == ["running"]
