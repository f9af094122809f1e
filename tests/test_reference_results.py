"""The shipped experiments of table agents give the numbers of results/reference/."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from conftest import Command, experiments_of

from tokenauction_cli.analysis.across_runs.kept_numbers import is_same

ROOT = Path(__file__).parents[1]
REFERENCE = ROOT / "results" / "reference"
NAMES = sorted(folder.name for folder in REFERENCE.iterdir())
FILES = ("table.csv", "summary.csv")


def rows(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def test_every_table_experiment_has_reference_results() -> None:
    shipped = [one for path in (ROOT / "experiments").glob("*.yaml") for one in experiments_of(path)]
    tables = [one.name for one in shipped if all(agent.distributions is not None for agent in one.agents)]
    assert sorted(tables) == NAMES
    assert {path.name for name in NAMES for path in (REFERENCE / name).iterdir()} == set(FILES)


@pytest.mark.parametrize("name", NAMES)
def test_a_fresh_run_gives_the_reference_results(name: str, tmp_path: Path, in_process: Command) -> None:
    done = in_process("run", str(ROOT / "experiments" / f"{name}.yaml"), "-q", "-o", str(tmp_path / "results"))
    assert done.returncode == 0, done.stderr
    (folder,) = (tmp_path / "results").iterdir()
    for file in FILES:
        heads, *found = rows(folder / file)
        wanted_heads, *wanted = rows(REFERENCE / name / file)
        assert heads == wanted_heads
        assert len(found) == len(wanted)
        for row, wanted_row in zip(found, wanted, strict=True):
            other = {h: (v, w) for h, v, w in zip(heads, row, wanted_row, strict=True) if not is_same(v, w)}
            assert not other, f"{name}/{file}"


def test_compare_names_the_numbers_that_differ(tmp_path: Path, in_process: Command) -> None:
    name = "mechanism-design-for"
    run = ("run", str(ROOT / "experiments" / f"{name}.yaml"), "-q")
    assert in_process(*run).returncode == 0
    folder = str(next((tmp_path / "results").iterdir()))
    same = in_process("compare", folder, str(REFERENCE / name), "--format", "md")
    assert same.returncode == 0, same.stderr
    assert same.stdout.startswith("### 0 of ")
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "summary.csv").write_text(
        (REFERENCE / name / "summary.csv").read_text("utf-8").replace("0.55,", "0.56,", 1)
    )
    other = in_process("compare", folder, str(kept), "--format", "md")
    assert "| linear, 0, 0.2 | mention\\_rate.large | 0.56 | 0.55 |" in other.stdout
    (kept / "summary.csv").write_text("a,b\n")
    wrong = in_process("compare", folder, str(kept))
    assert wrong.returncode == 2
    assert "another experiment" in wrong.stderr


def test_what_counts_as_the_same() -> None:
    assert is_same("0.1", "0.10000000000000002")
    assert is_same("0.0", "1e-16")
    assert not is_same("0.1", "0.1001")
    assert not is_same("100", "100.0")
    assert not is_same("a.b", "a.c")
