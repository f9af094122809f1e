"""A matrix: which experiments its members are, and what every command says of them in one table."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from conftest import Command

from tokenauction_cli.experiment.experiment import load_experiment
from tokenauction_cli.experiment.matrix import load_matrix
from tokenauction_cli.lm.llama import kept_models
from tokenauction_cli.lm.llama.kept_models import keeping_models
from tokenauction_cli.runs.run_folders import folder_of
from tokenauction_cli.system.errors import ExperimentError

PLAIN = """
name: m
models: {x: a.gguf}
agents:
  - {name: Ann, distribution: {x: 0.5, y: 0.3, <end>: 0.2}, mentions: [x]}
  - {name: Bob, distribution: {x: 0.1, y: 0.7, <end>: 0.2}, mentions: [y]}
auction: {aggregation: [linear, log_linear], payments: [pay_your_bid, second_price], max_tokens: 3}
sweep: {relative_weight: [0, 0.5, 1], seeds: 3}
"""
MATRIX = """
matrix:
  agents.ann.temperature: [0.5, {value: 1, name: base}]
  auction.aggregation: [linear, [linear, log_linear]]
expect:
  - {figure: tokens, max: 3}
  - {figure: tokens, max: 0, at: {agents.ann.temperature: base, auction.aggregation: linear}}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "m.yaml"
    path.write_text(PLAIN + MATRIX)
    return path


def test_members(file: Path) -> None:
    """As written, the last key fastest; each is what -S would make of the file without the matrix."""
    matrix = load_matrix(file)
    assert matrix is not None
    both = "[linear, log_linear]"
    assert [member.names for member in matrix.members] == [
        ("0.5", "linear"),
        ("0.5", both),
        ("base", "linear"),
        ("base", both),
    ]
    plain = file.with_name("plain.yaml")
    plain.write_text(PLAIN)
    alone = load_experiment(plain, ["agents.ann.temperature=0.5", "auction.aggregation=linear"])
    assert alone.semantic_hash == matrix.members[0].experiment.semantic_hash
    assert alone.semantic_hash != load_experiment(plain).semantic_hash == matrix.members[3].experiment.semantic_hash
    assert [len(member.experiment.expect) for member in matrix.members] == [1, 1, 2, 1]
    assert matrix.members[2].experiment.expect[1].place.line == 15
    assert "matrix" not in matrix.members[0].experiment.plain
    varied = load_matrix(
        plain, vary=["agents.ann.temperature=0.5,{value: 1, name: base}", f"auction.aggregation=linear,{both}"]
    )
    assert varied is not None
    assert varied.folder == matrix.folder
    fewer = load_matrix(file, ["agents.ann.temperature=0.5"])
    assert fewer is not None
    assert fewer.keys == ("auction.aggregation",)
    assert load_matrix(plain) is None


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        ("{runtime.threads: [1, 2]}", ":9:28: runtime.threads cannot vary: the key runtime does not change the texts"),
        ("{judges: [1]}", ":9:19: judges cannot vary"),
        ("{name: [a, b]}", "name cannot vary"),
        ("{models.xx: [a.gguf]}", "models.xx: `models` has no key 'xx'; did you mean 'x'?"),
        ("{models.x: [a.gguf, b.gguf]}", "are one experiment: vary what changes texts"),
        ("{seed: 3}", ":9:16: expected a list of values for seed, got 3"),
        ("[seed]", ":9:9: expected a mapping of keys to lists of values, got a list"),
        ("{agents.zed.bid: [1]}", "'agents' has 2 entries; 'zed' is none of them"),
        ("{agents.ann.temprature: [1]}", ":9:34: unknown key 'temprature'; did you mean 'temperature'?"),
        ("{agents.ann.temperature: [0.5, -1]}", ":9:40: expected a number above 0, got -1"),
        ("{seed: [1, 1]}", "seed: the value 1 is here twice"),
        (f"{{seed: {list(range(15))}, auction.max_tokens: {list(range(1, 15))}}}", "at most 200 combinations, got 210"),
    ],
)
def test_bad_matrices(file: Path, matrix: str, message: str) -> None:
    file.write_text(f"{PLAIN}matrix: {matrix}\n")
    with pytest.raises(ExperimentError) as caught:
        load_matrix(file)
    assert message in str(caught.value)


def test_vary_and_at(file: Path) -> None:
    with pytest.raises(ExperimentError, match="--vary seed: expected KEY=A,B"):
        load_matrix(file, vary=["seed"])
    with pytest.raises(ExperimentError, match=r"--vary seed=a: expected a whole number of at least 0, got 'a'"):
        load_matrix(file, vary=["seed=a"])
    with pytest.raises(ExperimentError, match=r"m\.yaml:10:1: this file is a matrix, which run, check, show, report"):
        load_experiment(file)
    file.write_text(PLAIN + MATRIX.replace("at: {agents.ann.temperature: base", "at: {agents.ann.tmperature: base"))
    with pytest.raises(ExperimentError, match=r"unknown key 'agents\.ann\.tmperature'"):
        load_matrix(file)


def rows(printed: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(printed)))


def test_commands(file: Path, tmp_path: Path, in_process: Command) -> None:
    file.write_text(
        PLAIN
        + MATRIX.replace("agents.ann.temperature:", "auction.reserve:").replace(
            "{value: 1, name: base}", "{value: 9, name: base}"
        )
    )
    checked = json.loads(in_process("check", "m.yaml", "--format", "json").stdout)
    assert [one["values"]["auction.reserve"] for one in checked] == ["0.5", "0.5", "base", "base"]
    assert in_process("show", "m.yaml").returncode == 2
    ran = in_process("run", "m.yaml", "-q", "--format", "csv")
    assert ran.returncode == 0
    of_linear = [row for row in rows(ran.stdout) if row["rule"] == "linear"]
    assert [row["auction.reserve"] for row in of_linear] == ["0.5", "0.5", "base", "base"]
    assert [float(row["tokens"]) > 0 for row in of_linear] == [True, True, False, False]  # unsold
    (folder,) = (tmp_path / "results").glob("m-matrix-*")
    matrix = load_matrix(file)
    assert matrix is not None
    assert folder.name == matrix.folder
    assert {path.name for path in (tmp_path / "results").iterdir()} == {
        folder.name,
        *(folder_of(member.experiment, Path("results")).path.name for member in matrix.members),
    }
    for target in ("m.yaml", str(folder)):
        assert in_process("show", target, "--format", "csv").stdout == ran.stdout
    rates = rows(in_process("show", "m.yaml", "--table", "rates", "--format", "csv").stdout)
    assert {row["auction.reserve"] for row in rates} == {"0.5", "base"}
    compared = rows(in_process("compare", "m.yaml", "--figures", "tokens", "--format", "csv").stdout)
    assert len(compared) == 4
    assert compared[0]["minus the first"] == ""
    audited = rows(
        in_process(
            "audit", "m.yaml", "-q", "--order", "tv", "--format", "csv", "-S", "auction.aggregation=linear"
        ).stdout
    )
    assert {row["auction.reserve"] for row in audited} == {"0.5", "base"}
    assert in_process("report", "m.yaml", "--figures", "none").stdout.strip() == str(
        Path("results", folder.name, "report.html")
    )
    page = (folder / "report.html").read_text("utf-8")
    assert '"matrix":{"keys":["auction.reserve","auction.aggregation"]' in page
    (folder / "matrix.json").write_text("{}")
    assert "this is not what a matrix leaves" in in_process("show", str(folder)).stderr


def test_one_that_fails_does_not_stop_the_others(file: Path, in_process: Command) -> None:
    """A text that fails is 3, an expectation 4, a file that is not there 2: the least counts."""
    file.write_text(
        PLAIN.replace("z", "z")
        + "matrix: {agents.ann.distribution: [{value: {x: 1}, name: one}, {value: {x: 0.5, z: 0.5}, name: two}]}\n"
        "expect: [{figure: tokens, max: 0}]\n"
    )
    ran = in_process("run", "m.yaml", "-q", "-S", "agents.bob.distribution={y: 1}")
    assert ran.returncode == 3
    assert "one" in ran.stdout
    assert "two" in ran.stdout
    assert "texts failed" in ran.stderr


def test_equal_models_share_one_load(monkeypatch: pytest.MonkeyPatch) -> None:
    freed: list[str] = []
    monkeypatch.setattr(kept_models.llama_cpp, "llama_model_free", freed.append)
    with keeping_models() as kept:
        assert kept.taken("a", lambda: "first") == "first"
        kept.give_back("a")
        assert kept.taken("a", lambda: "second") == "first"
        kept.taken("b", lambda: "other")
        assert freed == []
        kept.give_back("a")
        kept.taken("c", lambda: "third")
        assert freed == ["first"]
        kept.give_back("b")
        kept.give_back("c")
    assert freed == ["first", "other", "third"]
