"""The list of runs: how far each is, and what tells it from its siblings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import tokenauction_cli as tokauction
from tokenauction_cli.analysis.across_runs.differences import differing, settings, short_name, shown
from tokenauction_cli.runs.run_folder import RunFolder

DUEL: dict[str, Any] = {
    "name": "duel",
    "agents": [
        {"name": "A", "distributions": {"": {"x": 0.5, "y": 0.5}, "x": {"x": 1}}},
        {"name": "B", "distributions": {"": {"x": 0.5, "y": 0.5}, "x": {"x": 1}}},
    ],
    "auction": {"max_tokens": 1},
    "sweep": {"relative_weight": [0, 1], "seeds": 3},
}


def listed(results: Path) -> list[dict[str, Any]]:
    return list(tokauction.list_runs(results).to_dict("records"))


def test_a_finished_run_alone(tmp_path: Path) -> None:
    run = tokauction.run(DUEL, tmp_path)
    (row,) = listed(tmp_path)
    assert (row["run"], row["status"], row["cells"], row["planned"]) == (str(run.path), "finished", 6, 6)
    assert (row["failed"], row["differs"]) == (0, "")
    assert row["when"] == run.manifest["sessions"][0]["started"][:16].replace("T", " ") + "Z"


def test_settings_that_tell_siblings_apart(tmp_path: Path) -> None:
    for overrides in ([], ["sweep.seeds=4"], ["sweep.seeds=4", "agents.0.temperature=2"], ["name=other", "seed=9"]):
        tokauction.run(DUEL, tmp_path, overrides=overrides)
    differs = [row["differs"] for row in listed(tmp_path)]
    assert sorted(differs) == [
        *("", "a.temperature: 1; seeds: 3", "a.temperature: 1; seeds: 4", "a.temperature: 2; seeds: 4")
    ]


def test_a_run_that_is_not_done(tmp_path: Path) -> None:
    run = tokauction.run(DUEL, tmp_path, n=2)
    assert [(row["status"], row["cells"]) for row in listed(tmp_path)] == [("unfinished", 2)]
    manifest = run.path / "manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"status": "running"}))
    assert listed(tmp_path)[0]["status"] == "unfinished", "it was killed"
    with RunFolder(run.path).locked():
        assert listed(tmp_path)[0]["status"] == "running"


def test_failed_cells_are_counted(tmp_path: Path) -> None:
    tokauction.run(DUEL, tmp_path, overrides=["auction.max_tokens=2"])
    (row,) = listed(tmp_path)
    assert row["status"] == "finished, some failed"
    assert 0 < row["failed"] < row["cells"] == row["planned"] == 6


def test_equal_points_are_one_cell(tmp_path: Path) -> None:
    tokauction.run(DUEL, tmp_path, overrides=["sweep={bids: [{A: 1}, {A: 1}, {A: 2}], seeds: 2}"])
    assert [(row["status"], row["cells"], row["planned"]) for row in listed(tmp_path)] == [("finished", 4, 4)]


@pytest.mark.parametrize("manifest", ["{", "[]"])
def test_a_folder_that_cannot_be_read_does_not_hide_the_others(tmp_path: Path, manifest: str) -> None:
    tokauction.run(DUEL, tmp_path, overrides=["name=a-good-one"])
    run = tokauction.run(DUEL, tmp_path)
    (run.path / "manifest.json").write_text(manifest)
    good, bad = listed(tmp_path)
    assert good["status"] == "finished"
    assert bad["status"].startswith("unreadable: ")


@pytest.mark.parametrize("manifest", ['{"sessions": [{}]}', '{"sessions": [{"started": "today"}]}'])
def test_a_wrong_key_of_a_manifest_is_passed_over(tmp_path: Path, manifest: str) -> None:
    run = tokauction.run(DUEL, tmp_path)
    (run.path / "manifest.json").write_text(manifest)
    assert listed(tmp_path)[0]["status"] == "finished"


def test_no_runs(tmp_path: Path) -> None:
    with pytest.raises(tokauction.UsageError, match="holds none"):
        tokauction.list_runs(tmp_path)


# What differs


def test_settings_by_path() -> None:
    plain = {"seed": 0, "agents": [{"id": "a", "bid": 1.0, "mentions": ["A"]}], "auction": {"max_tokens": 4}}
    assert settings(plain) == {
        "seed": 0,
        "agents.a.id": "a",
        "agents.a.bid": 1.0,
        "agents.a.mentions": ["A"],
        "auction.max_tokens": 4,
    }
    assert [short_name(path) for path in ("seed", "agents.a.bid", "auction.max_tokens")] == [
        *("seed", "a.bid", "max_tokens")
    ]


def test_only_what_differs() -> None:
    assert differing([{"a": 1, "b": 2}, {"a": 1, "b": 3}, {"a": 1}]) == {"b": [2, 3, None]}


def test_values_in_words() -> None:
    assert shown([None, True, 0.1, ["x", "y"]]) == ["none", "true", "0.1", "x, y"]
    assert shown([{"from": 0, "to": 1, "step": 0.1}]) == ["0 to 1 by 0.1"]
    assert shown(["line\n  and line"]) == ["line and line"]


def test_of_long_texts_what_follows_their_common_beginning() -> None:
    beginning = "Topic: a weekend in Paris. Ad: "
    assert shown([beginning + "Fly there.", beginning + "Stay there.", None]) == [
        *("...is. Ad: Fly there.", "...is. Ad: Stay there.", "none")
    ]
    assert shown(["x" * 100, "y" * 100]) == ["x" * 24 + "...", "y" * 24 + "..."]
