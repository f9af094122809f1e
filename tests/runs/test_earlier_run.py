"""Run folders of earlier versions, kept as data: what they say is still read, and no text is added to them.

The first has 8 of 12 texts of records 1, before log_linear was coupled to stable sampling. The second has records 2,
under which a text that a reserve kept everybody out of failed.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import NamedTuple

import pytest
from conftest import Command

import tokenauction_cli as tokauction
from tokenauction_cli.engine import run_facts
from tokenauction_cli.runs.manifest import RECORDS_VERSION


class Kept(NamedTuple):
    """A folder beside this file: the version of its records, how many of how many texts it has, and what fails."""

    name: str
    records: int
    n_kept: int
    n_all: int
    n_failed: int = 0

    @property
    def path(self) -> Path:
        return Path(__file__).parent / self.name


FIRST = Kept("earlier-20671d09", 1, 8, 12)
KEPT = (FIRST, Kept("earlier-reserve-5b9dc224", 2, 12, 12, 3))


@pytest.fixture(params=KEPT, ids=lambda kept: f"records-{kept.records}")
def kept(request: pytest.FixtureRequest) -> Kept:
    one: Kept = request.param
    return one


@pytest.fixture
def earlier(tmp_path: Path, kept: Kept) -> Path:
    folder = tmp_path / "results" / kept.name
    shutil.copytree(kept.path, folder)
    return folder


def test_it_is_shown(earlier: Path, kept: Kept, in_process: Command) -> None:
    done = in_process("show", str(earlier), "--format", "csv")
    assert (done.returncode, done.stdout) == (0, (kept.path / "table.csv").read_text("utf-8"))
    assert (f"Only {kept.n_kept} of {kept.n_all} texts are written" in done.stderr) == (kept.n_kept < kept.n_all)


def test_its_tables_are_worked_out_as_they_were(earlier: Path, kept: Kept) -> None:
    import pandas as pd

    run = tokauction.load_run(earlier)
    for frame, name in ((run.cells, "cells.csv"), (run.summary, "summary.csv"), (run.trends, "trends.csv")):
        was = pd.read_csv(kept.path / name, keep_default_na=False, na_values=[""])
        (earlier / name).write_text(frame.to_csv(index=False), "utf-8")
        now = pd.read_csv(earlier / name, keep_default_na=False, na_values=[""])
        if "figure" in was:  # later versions have more figures: more rows here, more columns elsewhere
            now = now[now["figure"].isin(was["figure"])].reset_index(drop=True)
        columns = was.columns.drop("p_value", errors="ignore")  # that of trends is another test since
        pd.testing.assert_frame_equal(now[columns], was[columns], rtol=1e-9)
    assert len(run.cells) == kept.n_kept
    assert (run.cells["end_reason"] == "failed").sum() == kept.n_failed
    traced = run.cells if kept == FIRST else run.cells[:0]
    for cell, text in zip(traced["cell"], traced["text"], strict=True):
        assert "".join(piece for piece in run.trace(cell)["piece"] if piece != "<end>") == text


def test_it_is_verified(earlier: Path, in_process: Command) -> None:
    done = in_process("verify", str(earlier), "--sample", "0")
    assert done.returncode == 0, done.stdout
    with open(earlier / "cells.csv", "a") as file:
        file.write("\n")
    done = in_process("verify", str(earlier), "--sample", "0")
    assert done.returncode == 1
    assert "FAILED  cells.csv: changed since it was written" in done.stdout


def test_it_is_reported(earlier: Path, in_process: Command) -> None:
    done = in_process("report", str(earlier), "--figures", "none")
    assert (done.returncode, done.stdout) == (0, f"{earlier / 'report.html'}\n")
    assert (earlier / "report.html").stat().st_size > 10_000


def test_it_is_not_continued_but_kept(earlier: Path, kept: Kept, in_process: Command) -> None:
    """This version would write other texts, or other payments, beside its records; a finished run is shown, and that
    is said."""
    before = {path.name: path.read_bytes() for path in earlier.glob("records-*")}
    done = in_process("run", str(earlier / "experiment.yaml"), "-o", str(earlier.parent))
    assert done.returncode == (2 if kept.n_kept < kept.n_all else 3)
    assert f"(records {kept.records}, now {RECORDS_VERSION})" in done.stderr
    assert "--fresh" in done.stderr
    assert {path.name: path.read_bytes() for path in earlier.glob("records-*")} == before
    anew = tokauction.run(earlier / "experiment.yaml", results=earlier.parent, fresh=True)
    assert len(anew.cells) == kept.n_all
    assert (earlier.parent / f"{kept.name}.old-1" / "records-1.jsonl").exists()
    assert set(anew.cells.loc[anew.cells["aggregation"] == "log_linear", "sampling"]) <= {"coupled"}


def test_its_records_are_not_taken_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sibling of the version before has another basis, though the file, the build and the machine are the same."""
    source, results = KEPT[-1].path / "experiment.yaml", tmp_path / "results"
    with monkeypatch.context() as before:
        before.setattr(run_facts, "RECORDS_VERSION", RECORDS_VERSION - 1)
        tokauction.run(source, results=results, overrides=("name=before",))
    tokauction.run(source, results=results, overrides=("name=now",))
    tokauction.run(source, results=results, overrides=("name=again",))
    sessions = {path.name.split("-")[0]: json.loads((path / "manifest.json").read_text("utf-8"))["sessions"][0]
                for path in results.iterdir()}  # fmt: skip
    computed = {name: session["cells"] for name, session in sessions.items()}
    assert (computed["before"], computed["now"]) == (12, 12)
    assert computed["again"] < 12


def test_its_cells_are_not_computed_again(earlier: Path, kept: Kept, in_process: Command) -> None:
    done = in_process("verify", str(earlier))
    assert done.returncode == 0, done.stdout
    assert f"not computed again: another version of tokauction wrote them (records {kept.records})" in done.stdout


def test_of_another_format_it_is_neither_shown_nor_continued(earlier: Path, kept: Kept) -> None:
    path = earlier / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | {"format": 2}), "utf-8")
    for act in (tokauction.load_run, lambda folder: tokauction.run(folder / "experiment.yaml", folder.parent)):
        with pytest.raises(tokauction.StoreError, match="a later version of tokauction has written this run"):
            act(earlier)
    assert not (earlier / "records-2.jsonl").exists()
    assert len(tokauction.run(earlier / "experiment.yaml", earlier.parent, fresh=True).cells) == kept.n_all
