"""Any value at any place of a record or of a manifest: what is right is shown, what is wrong is named, nothing breaks.

`make soak` tries thousands. Records are those of a token auction with traces, of candidates, and of segments.
"""

from __future__ import annotations

import copy
import json
import os
import shutil
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from any_value import CHANGES, DELETED, places
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tokenauction_cli as tokauction
from tokenauction_cli.analysis.run import files_of
from tokenauction_cli.system.errors import TokauctionError
from tokenauction_cli.verify.verification import verify_run

EXPERIMENT = {
    "name": "victim",
    "queries": ["sun"],
    "agents": [
        {"name": "Alpha", "distribution": {"Alpha": 0.5, "b": 0.3, "<end>": 0.2}},
        {"name": "Beta", "distribution": {"Beta": 0.5, "b": 0.3, "<end>": 0.2}},
    ],
    "reference": {"distribution": {"Alpha": 0.2, "Beta": 0.2, "b": 0.4, "<end>": 0.2}},
    "auction": {
        "mechanism": ["token_auction", "text_pool", "segment"],
        "text_pool": {"candidates": 3},
        "aggregation": ["linear", "log_linear"],
        "payments": ["second_price", "vcg"],
        "max_tokens": 3,
        "trace": "top_k",
    },
    "sweep": {"relative_weight": [0.2, 0.7], "seeds": 1},
}
KEPT = ("records-1.jsonl", "proposals-1.jsonl", "manifest.json")


@dataclass(frozen=True)
class Victim:
    """A run, and what its files hold."""

    path: Path
    lines: dict[str, list[dict[str, Any]]]
    cells: Any = field(repr=False)


@pytest.fixture(scope="module")
def victim(tmp_path_factory: pytest.TempPathFactory) -> Victim:
    folder = tmp_path_factory.mktemp("victim")
    (folder / "e.yaml").write_text(yaml.safe_dump(EXPERIMENT))
    run = tokauction.run(folder / "e.yaml", folder / "results")
    files = [name for name in KEPT if (run.path / name).exists()]
    lines = {name: [json.loads(text) for text in texts(run.path / name)] for name in files}
    return Victim(run.path, lines, run.cells)


def texts(path: Path) -> list[str]:
    text = path.read_text("utf-8")
    return [text] if path.suffix == ".json" else text.splitlines()


@dataclass(frozen=True)
class Change:
    """What is to stand at a place of a line of a file."""

    file: str
    line: int
    path: tuple[Any, ...]
    value: Any

    def made(self, victim: Victim, folder: Path) -> None:
        shutil.copytree(victim.path, folder)
        lines = copy.deepcopy(victim.lines[self.file])
        *outer, last = self.path
        here = lines[self.line]
        for step in outer:
            here = here[step]
        if self.value is not DELETED:
            here[last] = self.value
        else:
            del here[last]
        end = "" if self.file.endswith(".json") else "\n"
        (folder / self.file).write_text("".join(json.dumps(line) + end for line in lines), "utf-8")


def changes(victim: Victim) -> st.SearchStrategy[Change]:
    """Every key of some lines alike, however many others there are."""
    kinds = {
        (file, tuple(step for step in path if isinstance(step, str))): (file, k, path)
        for file, lines in victim.lines.items()
        for k, line in enumerate(lines)
        for path in places(line)
    }
    new = [(file, 0, ("new",)) for file in victim.lines]
    where = st.sampled_from([*kinds.values(), *new])
    return st.builds(lambda place, value: Change(*place, value), where, CHANGES).filter(
        lambda change: change.path != ("new",) or change.value is not DELETED
    )


def continues(folder: Path, victim: Victim) -> None:
    """What was passed over is written anew and kept beside; with nothing wrong the run is what it was."""
    with suppress(TokauctionError):
        shown = tokauction.load_run(folder)
        was_wrong = bool(shown.folder.wrong)
        assert len(shown.cells) >= len(victim.cells) - 1, "one line was changed"
        again = tokauction.run(yaml.safe_load((folder / "experiment.yaml").read_text()), folder.parent)
        assert again.path == folder
        assert not again.what_is_wrong
        assert not tokauction.load_run(folder).what_is_wrong
        assert len(again.cells) == len(victim.cells)
        if was_wrong:
            assert again.cells.equals(victim.cells)
            assert list(folder.glob("*.wrong"))


ACTS: dict[str, Callable[[Path, Victim], object]] = {
    "show": lambda path, _: [files_of(run := tokauction.load_run(path)), run.rate_tables(), run.payment_tables()],
    "traces": lambda path, _: list((run := tokauction.load_run(path)).traces()) and run.long(),
    "report": lambda path, _: tokauction.write_report(path, figures=()),
    "compare": lambda path, victim: tokauction.compare([victim.path, path]),
    "list": lambda path, _: tokauction.list_runs(path.parent),
    "run": continues,
    "verify": lambda path, _: list(verify_run(path, 2)),
}


@pytest.mark.parametrize("n_examples", [30, pytest.param(3_000, marks=pytest.mark.slow)])
def test_any_value_at_any_place(victim: Victim, tmp_path: Path, n_examples: int) -> None:
    @settings(max_examples=n_examples, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(change=changes(victim), act=st.sampled_from(list(ACTS)))
    def holds(change: Change, act: str) -> None:
        results = tmp_path / "results"
        shutil.rmtree(results, ignore_errors=True)
        folder = results / victim.path.name
        change.made(victim, folder)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # numbers may be too large for sums
            with suppress(TokauctionError):
                ACTS[act](folder, victim)

    holds()


# Kinds that a fuzz of one place would not find


def test_exit_codes(victim: Victim, tmp_path: Path, in_process: Any) -> None:
    """Named, counted, passed over: show, report and compare end with 3, verify with 1, and run mends it."""
    folder = tmp_path / "results" / victim.path.name
    Change("records-1.jsonl", 1, ("end_reason",), DELETED).made(victim, folder)
    named = "records-1.jsonl:2: end_reason is missing"
    for command in (["show", folder], ["report", folder, "--figures", "none"], ["compare", folder, victim.path]):
        done = in_process(*map(str, command))
        assert done.returncode == 3, (command, done.stderr)
        assert f"Passed over 1 place of the run folder that no run writes: {named}" in done.stderr
        assert done.stdout
    assert named in (folder / "report.html").read_text("utf-8")
    done = in_process("verify", str(folder), "--sample", "0")
    assert done.returncode == 1
    assert f"FAILED  {named}" in done.stdout
    done = in_process("run", str(folder), "-q")
    assert done.returncode == 0, done.stderr
    assert f"passed over, written anew where a text is missing: {named}" in done.stderr
    assert in_process("show", str(folder)).returncode == 0
    assert json.loads((folder / "records-1.wrong").read_text()) == {
        key: value for key, value in victim.lines["records-1.jsonl"][1].items() if key != "end_reason"
    }


def test_a_manifest_with_a_wrong_key(victim: Victim, tmp_path: Path, in_process: Any) -> None:
    folder = tmp_path / "results" / victim.path.name
    Change("manifest.json", 0, ("sessions",), ["x"]).made(victim, folder)
    done = in_process("show", str(folder))
    assert done.returncode == 3
    assert "manifest.json: sessions.0 is 'x', expected dictionary" in done.stderr
    before = (folder / "manifest.json").read_bytes()
    done = in_process("run", str(folder), "-q")
    assert done.returncode == 0, done.stderr
    assert (folder / "manifest.wrong").read_bytes() == before
    assert in_process("show", str(folder)).returncode == 0


def test_a_manifest_that_decides_bits_is_not_guessed(victim: Victim, tmp_path: Path, in_process: Any) -> None:
    folder = tmp_path / "results" / victim.path.name
    Change("manifest.json", 0, ("records",), "two").made(victim, folder)
    path = folder / "records-1.jsonl"
    path.write_bytes(path.read_bytes().split(b"\n", 1)[1])
    done = in_process("run", str(folder), "-q")
    assert done.returncode == 2
    assert "records is 'two', expected integer: the run can be read, but not continued" in done.stderr


@pytest.mark.parametrize("name", ["/dev/zero", "fifo", "../../e.yaml", "/proc/kmsg", "link"])
def test_a_manifest_that_lists_what_is_no_file_of_it(
    victim: Victim, tmp_path: Path, in_process: Any, name: str
) -> None:
    folder = tmp_path / "results" / victim.path.name
    Change("manifest.json", 0, ("files", name), "0" * 64).made(victim, folder)
    os.mkfifo(folder / "fifo")
    (folder / "link").symlink_to("/dev/zero")
    done = in_process("verify", str(folder), "--sample", "0")
    assert done.returncode == 1
    assert f"FAILED  {name}: " in done.stdout


def test_a_long_text_is_cut_on_the_page(victim: Victim, tmp_path: Path, in_process: Any) -> None:
    folder = tmp_path / "results" / victim.path.name
    Change("records-1.jsonl", 0, ("text",), "sea " * 500_000).made(victim, folder)
    done = in_process("report", str(folder), "--figures", "none")
    assert done.returncode == 0, done.stderr
    assert "texts of more than 20,000 characters are cut on this page (1 of" in done.stderr
    assert (folder / "report.html").stat().st_size < 3_000_000
    assert len(in_process("show", str(folder), "--table", "texts").stdout) < 1_000_000


def test_a_stranger_in_a_sibling_is_not_taken_over(victim: Victim, tmp_path: Path) -> None:
    """Of a run beside this one what is wrong is left alone."""
    sibling = tmp_path / "results" / "sibling-00000000"
    Change("records-1.jsonl", 0, ("token_ids",), "x").made(victim, sibling)
    manifest = json.loads((sibling / "manifest.json").read_text())
    (sibling / "manifest.json").write_text(json.dumps(manifest | {"files": {}}))
    again = tokauction.run(EXPERIMENT, tmp_path / "results")
    assert again.cells.equals(victim.cells)


@pytest.mark.parametrize("column", ["log_prob", "log_prob.beta", "quality", "seed"])
def test_a_candidate_without_what_bids_need_is_written_anew(victim: Victim, tmp_path: Path, column: str) -> None:
    folder = tmp_path / "results" / victim.path.name
    change = Change("proposals-1.jsonl", 1, (column,), DELETED if column != "seed" else 5)
    change.made(victim, folder)
    records = folder / "records-1.jsonl"
    records.write_text("".join(line + "\n" for line in texts(records) if '"mechanism":"text_pool"' not in line))
    again = tokauction.run(EXPERIMENT, folder.parent)
    assert again.cells.equals(victim.cells)
    assert (folder / "proposals-1.wrong").exists()
