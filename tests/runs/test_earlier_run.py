"""A run folder of an earlier version, kept as data: 8 of 12 texts of table agents, before modules were packages."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from conftest import Command

import tokenauction_cli as tokauction

KEPT = Path(__file__).parent / "earlier-20671d09"
N_KEPT, N_ALL = 8, 12


@pytest.fixture
def earlier(tmp_path: Path) -> Path:
    folder = tmp_path / "results" / KEPT.name
    shutil.copytree(KEPT, folder)
    return folder


def test_it_is_shown(earlier: Path, in_process: Command) -> None:
    done = in_process("show", str(earlier), "--format", "csv")
    assert (done.returncode, done.stdout) == (0, (KEPT / "table.csv").read_text("utf-8"))
    assert f"Only {N_KEPT} of {N_ALL} texts are written" in done.stderr


def test_its_tables_are_worked_out_as_they_were(earlier: Path) -> None:
    import pandas as pd

    run = tokauction.load_run(earlier)
    for frame, name in ((run.cells, "cells.csv"), (run.summary, "summary.csv"), (run.trends, "trends.csv")):
        was = pd.read_csv(KEPT / name, keep_default_na=False, na_values=[""])
        (earlier / name).write_text(frame.to_csv(index=False), "utf-8")
        now = pd.read_csv(earlier / name, keep_default_na=False, na_values=[""])
        if "figure" in was:  # later versions have more figures: more rows here, more columns elsewhere
            now = now[now["figure"].isin(was["figure"])].reset_index(drop=True)
        pd.testing.assert_frame_equal(now[was.columns], was, rtol=1e-9)
    for cell, text in zip(run.cells["cell"], run.cells["text"], strict=True):
        assert "".join(piece for piece in run.trace(cell)["piece"] if piece != "<end>") == text


def test_it_is_verified(earlier: Path, in_process: Command) -> None:
    done = in_process("verify", str(earlier), "--cells", "0")
    assert done.returncode == 0, done.stdout
    with open(earlier / "cells.csv", "a") as file:
        file.write("\n")
    done = in_process("verify", str(earlier), "--cells", "0")
    assert done.returncode == 1
    assert "FAILED  cells.csv: changed since it was written" in done.stdout


def test_it_is_reported(earlier: Path, in_process: Command) -> None:
    done = in_process("report", str(earlier), "--figures", "none")
    assert (done.returncode, done.stdout) == (0, f"{earlier / 'report.html'}\n")
    assert (earlier / "report.html").stat().st_size > 10_000


def test_it_is_not_continued_but_kept(earlier: Path) -> None:
    """Its records are of an earlier version: this one draws other tokens under log_linear."""
    with pytest.raises(tokauction.UsageError, match=r"records 1, now 2.*--fresh"):
        tokauction.run(earlier / "experiment.yaml", results=earlier.parent)
    assert sorted(path.name for path in earlier.iterdir() if not path.name.startswith(".")) == sorted(
        path.name for path in KEPT.iterdir()
    )
    anew = tokauction.run(earlier / "experiment.yaml", results=earlier.parent, fresh=True)
    assert len(anew.cells) == N_ALL
    assert (earlier.parent / f"{KEPT.name}.old-1" / "records-1.jsonl").exists()
    assert set(anew.cells.loc[anew.cells["aggregation"] == "log_linear", "sampling"]) == {"coupled"}


def test_its_cells_are_not_computed_again(earlier: Path, in_process: Command) -> None:
    done = in_process("verify", str(earlier))
    assert done.returncode == 0, done.stdout
    assert "not computed again: another version of tokauction wrote them (records 1)" in done.stdout


def test_of_another_format_it_is_neither_shown_nor_continued(earlier: Path) -> None:
    path = earlier / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | {"format": 2}), "utf-8")
    for act in (tokauction.load_run, lambda folder: tokauction.run(folder / "experiment.yaml", folder.parent)):
        with pytest.raises(tokauction.StoreError, match="a later version of tokauction has written this run"):
            act(earlier)
    assert not (earlier / "records-2.jsonl").exists()
    assert len(tokauction.run(earlier / "experiment.yaml", earlier.parent, fresh=True).cells) == N_ALL
