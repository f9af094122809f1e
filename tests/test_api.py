"""The Python API: what a notebook calls, how little importing it costs, and that a run does everything once."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from conftest import PACKAGE_ROOT

import tokenauction_cli as tokauction
from tokenauction_cli.analysis import run as analysis_run
from tokenauction_cli.engine import plan
from tokenauction_cli.engine import run as engine_run
from tokenauction_cli.experiment import experiment as experiments
from tokenauction_cli.runs import lines
from tokenauction_cli.runs.run_folder import RunFolder

DATA: dict[str, Any] = {
    "name": "duel",
    "agents": [
        {"name": "Alpha", "distribution": {"Alpha": 0.8, "Beta": 0.2}},
        {"name": "Beta", "distribution": {"Alpha": 0.1, "Beta": 0.9}, "bid": 2},
    ],
    "auction": {
        "aggregation": ["linear", "log_linear"],
        "payments": ["pay_your_bid", "second_price"],
        "max_tokens": 2,
        "trace": "top_k",
    },
    "sweep": {"relative_weight": [0, 0.25, 0.5, 0.75, 1], "seeds": 3},
}
N_CELLS = 2 * 5 * 3
PAYMENTS = ["pay_your_bid", "second_price", "second_price_given_token", "second_price_expected"]


@pytest.fixture
def run(tmp_path: Path) -> tokauction.Run:
    return tokauction.run(DATA, results=tmp_path / "results")


# What is offered


def test_the_names_that_are_offered() -> None:
    assert tokauction.__all__ == [
        *("ExperimentError", "ModelError", "Run", "StoreError", "TokauctionError", "UsageError"),
        *("check", "compare", "list_runs", "load_run", "read_csv", "run", "write_report"),
    ]
    for name in tokauction.__all__:
        assert getattr(tokauction, name).__doc__, name
    assert set(dir(tokauction)) == {*tokauction.__all__, "__version__"}
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = tokauction.nothing


def test_importing_it_loads_nothing_heavy() -> None:
    heavy = ("pandas", "numpy", "llama_cpp", "pydantic", "yaml", "typer")
    code = f"import sys, tokenauction_cli; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=PACKAGE_ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


# An experiment: a file or a dict


def test_a_dict_is_the_experiment_that_yaml_would_give(run: tokauction.Run, tmp_path: Path) -> None:
    path = tmp_path / "duel.yaml"
    path.write_text(yaml.safe_dump(DATA), "utf-8")
    of_file = tokauction.run(path, results=tmp_path / "of_file")
    assert of_file.path.name == run.path.name
    assert of_file.cells.equals(run.cells)
    assert tokauction.run(run.path / "experiment.yaml", results=run.path.parent).was_complete


def test_numbers_of_numpy_and_tuples_are_numbers_and_lists() -> None:
    bids = {"agent": "alpha", "relative_weight": np.linspace(0, 1, 5), "seeds": (np.int64(3), 4)}
    experiment = tokauction.check(DATA | {"sweep": bids}).experiment
    assert [point.relative_weight for point in experiment.points] == [0, 0.25, 0.5, 0.75, 1]
    assert experiment.seeds == (3, 4)


@pytest.mark.parametrize("text", ["1e-3", "no", "0o17", "a: b", "\u2028\x7f\ufeff", "😀", "\n", "~", ""])
def test_text_stays_text(text: str) -> None:
    assert tokauction.check(DATA | {"queries": [text]}).experiment.queries == (text,)


def test_every_mistake_in_a_dict_is_told_with_the_path_of_its_key() -> None:
    wrong = DATA | {
        "agents": [{"name": "A", "bidd": 1, "distribution": {"x": 1}}, {"distribution": {"x": "much"}}],
        "auction": {"aggregation": ["linaer"]},
        "sweep": {"seeds": 0},
    }
    with pytest.raises(tokauction.ExperimentError) as error:
        tokauction.run(wrong)
    assert [str(problem).split(": ")[0] for problem in error.value.problems] == [
        "agents.0.bidd",
        "agents.1",
        "agents.1.distribution.x",
        "auction.aggregation.0",
        "sweep.seeds",
    ]
    assert "agents.0.bidd: unknown key 'bidd'; did you mean 'bid'?" in str(error.value)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({}, "the experiment: the key 'agents' is missing"),
        ({"name": "x", "agents": [{"bid": float("inf")}]}, "agents.0.bid: expected text, a finite number"),
        ({"name": "x", "agents": [{"bid": object()}]}, "agents.0.bid: expected text, a finite number"),
        ({"name": "x", 1: 2}, "the experiment: a key must be text, got 1"),
        ({"name": "\ud800"}, "name: not text: half of a surrogate pair"),
    ],
)
def test_data_that_no_yaml_gives(data: dict[Any, Any], message: str) -> None:
    with pytest.raises(tokauction.ExperimentError) as error:
        tokauction.run(data)
    assert message in str(error.value)


def test_a_dict_that_holds_itself_is_nested_too_deeply() -> None:
    data: dict[str, Any] = {"name": "x"}
    data["agents"] = [data]
    with pytest.raises(tokauction.ExperimentError, match="nested too deeply"):
        tokauction.run(data)


def test_overrides_and_a_part_of_the_cells(tmp_path: Path) -> None:
    part = tokauction.run(DATA, tmp_path, overrides=["auction.max_tokens=1"], n=4)
    assert len(part.cells) == 4
    assert set(part.cells["tokens"]) == {1}
    assert part.what_is_missing.startswith(f"Only 4 of {N_CELLS} texts")
    with pytest.raises(tokauction.UsageError, match="at least one text"):
        tokauction.run(DATA, tmp_path, n=0)


def test_check_plans_and_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    checked = tokauction.check(DATA)
    assert (checked.n_cells, checked.n_tokens, checked.n_evaluations) == (N_CELLS, 2 * N_CELLS, 4 * N_CELLS)
    assert not list(tmp_path.iterdir())


# A run


def test_a_run_is_read_back(run: tokauction.Run, tmp_path: Path) -> None:
    for path in (run.path, str(run.path)):
        again = tokauction.load_run(path)
        assert again.cells.equals(run.cells)
        assert again.summary.equals(run.summary)
        assert again.trends.equals(run.trends)
        assert again.experiment.plain == run.experiment.plain
    assert repr(run) == f"<Run {run.path}: {N_CELLS} of {N_CELLS} texts>"
    by_file = tokauction.load_run(run.path / "experiment.yaml", results=run.path.parent)
    assert by_file.path == run.path
    with pytest.raises(tokauction.UsageError, match="not a run folder"):
        tokauction.load_run(tmp_path)


def test_long_has_a_row_per_cell_agent_and_payment_rule(run: tokauction.Run) -> None:
    long = run.long()
    assert list(long.columns[:3]) == ["cell", "agent", "payment_rule"]
    assert len(long) == N_CELLS * 2 * len(PAYMENTS)
    assert not long.duplicated(["cell", "agent", "payment_rule"]).any()
    assert list(long["payment_rule"][: len(PAYMENTS)]) == PAYMENTS
    wide = run.cells.set_index("cell")
    for row in long.iloc[::7].itertuples():
        for name in ("bid", "weight", "log_prob", "tv", "kl", "mentions"):
            assert getattr(row, name) == wide.loc[row.cell, f"{name}.{row.agent}"]
        paid = wide.loc[row.cell, f"payment.{row.payment_rule}.{row.agent}"]
        assert row.payment == paid or (np.isnan(row.payment) and np.isnan(paid))
        assert row.text_log_prob == wide.loc[row.cell, "log_prob"]
    assert not [column for column in long.columns if "." in column]


def test_long_without_payment_rules_has_a_row_per_cell_and_agent(tmp_path: Path) -> None:
    long = tokauction.run(DATA, tmp_path, overrides=["auction.payments=[]"]).long()
    assert len(long) == N_CELLS * 2
    assert long["payment_rule"].isna().all()
    assert long["payment"].isna().all()


def test_the_trace_of_a_cell_has_a_row_per_token(run: tokauction.Run) -> None:
    cell = run.cells.iloc[7]
    trace = run.trace(cell["cell"])
    assert "".join(trace["piece"]) == cell["text"]
    assert trace["log_q"].sum() == pytest.approx(cell["log_prob"], abs=0.01)
    assert trace["payment.pay_your_bid.beta"].sum() == pytest.approx(cell["payment.pay_your_bid.beta"])
    assert {"log_p.alpha", "posterior.beta", "candidates"} <= set(trace.columns)
    with pytest.raises(tokauction.UsageError, match="there is no cell 'nothing' in this run"):
        run.trace("nothing")


def test_a_run_without_traces_says_how_to_get_them(tmp_path: Path) -> None:
    run = tokauction.run(DATA, tmp_path, overrides=["auction.trace=none"])
    with pytest.raises(tokauction.UsageError, match=r"no trace of cell \w+; set auction\.trace to chosen or top_k"):
        run.trace(run.cells["cell"].iloc[0])


def test_a_report_of_a_run_and_of_its_folder(run: tokauction.Run, tmp_path: Path) -> None:
    written = tokauction.write_report(run, figures=())
    assert written.page == run.path / "report.html"
    page = tokauction.write_report([run.path, run], tmp_path / "two.html", figures=["svg"]).page
    assert page.read_text("utf-8").startswith("<!doctype html>")
    with pytest.raises(tokauction.UsageError, match="there is no format 'jpg'"):
        tokauction.write_report(run, figures=["jpg"])
    with pytest.raises(tokauction.UsageError, match="at least one run"):
        tokauction.write_report([])


def test_progress_hears_how_far_a_run_is(tmp_path: Path) -> None:
    class Heard:
        def __init__(self) -> None:
            self.said: list[Any] = []

        def begin(self, n_cells: int, n_done: int) -> None:
            self.said.append((n_cells, n_done))

        def step(self, n_cells: int, n_tokens: int, share: float) -> None:
            self.said.append(n_cells)

        def note(self, text: str) -> None:
            self.said.append(text)

    heard = Heard()
    tokauction.run(DATA, tmp_path, progress=heard)
    assert heard.said[0] == (N_CELLS, 0)
    assert sum(heard.said[1:]) == N_CELLS


# Once


class Counted:
    """How often the functions that read and hash are called."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.calls: dict[str, int] = {}
        self._count(patch, RunFolder, "read_manifest", "manifest")
        self._count(patch, lines, "decode", "record")
        self._count(patch, plan, "cells_of", "cells")
        self._count(patch, tokauction.run.__globals__, "cells_of", "cells")
        self._count(patch, analysis_run, "cells_of", "cells")
        self._count(patch, experiments, "read_experiment", "experiment")
        self._count(patch, engine_run, "read_experiment", "experiment")
        hashing = hashlib.sha256

        def sha256(data: bytes = b"") -> Any:
            self.calls["cell"] = self.calls.get("cell", 0) + data.startswith(b'["')
            return hashing(data)

        patch.setattr(plan.hashlib, "sha256", sha256)

    def _count(self, patch: pytest.MonkeyPatch, holder: Any, name: str, what: str) -> None:
        function = holder[name] if isinstance(holder, dict) else getattr(holder, name)

        def counted(*args: Any, **kwargs: Any) -> Any:
            self.calls[what] = self.calls.get(what, 0) + 1
            return function(*args, **kwargs)

        patch.setitem(holder, name, counted) if isinstance(holder, dict) else patch.setattr(holder, name, counted)


def test_a_run_reads_its_manifest_and_every_record_once_and_hashes_every_cell_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "duel.yaml"
    path.write_text(yaml.safe_dump(DATA), "utf-8")
    with monkeypatch.context() as patch:
        begun = Counted(patch)
        first = tokauction.run(path, tmp_path, n=10)
    once = {"manifest": 1, "cells": 1, "cell": N_CELLS, "experiment": 1}
    assert begun.calls == once | {"record": 10}
    with monkeypatch.context() as patch:
        continued = Counted(patch)
        tokauction.run(path, tmp_path)
    assert continued.calls == once | {"record": N_CELLS}
    with monkeypatch.context() as patch:
        finished = Counted(patch)
        tokauction.run(path, tmp_path)
    assert finished.calls == once | {"record": N_CELLS}
    with monkeypatch.context() as patch:
        read = Counted(patch)
        tokauction.load_run(first.path)
    assert read.calls == once | {"record": N_CELLS}
