"""`tokauction market` and `Run.market`: what they print, write and refuse."""

from __future__ import annotations

import re
import shlex
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Command

import tokenauction_cli as tokauction
from tokenauction_cli.system.errors import ExperimentError, UsageError

CONTEST: dict[str, Any] = {
    "name": "contest",
    "queries": [{"query": "x", "value.ann": 2, "weight": "3"}, {"query": "y", "value.ann": 4, "weight": "1"}],
    "agents": [
        {"name": "Ann", "bid": 2, "distribution": {"A": 1}, "mentions": ["A"]},
        {"name": "Bob", "distribution": {"B": 1}, "mentions": ["B"]},
    ],
    "auction": {
        "aggregation": ["linear", "log_linear"],
        "payments": ["pay_your_bid", "second_price"],
        "max_tokens": 1,
        "mechanism": ["token_auction", "lottery"],
    },
    "sweep": {"grid": {"Ann": [0, 1, 2], "Bob": [0, 0.5]}, "seeds": 2},
    "market": {"values": {"Ann": {"mention": "value.Ann"}, "Bob": {"mention": 1}}, "rounds": 300, "replications": 5},
}
LINEAR = CONTEST | {"auction": CONTEST["auction"] | {"aggregation": ["linear"]}}
SMALL = LINEAR | {"queries": ["x"], "market": {"values": {"Ann": {"mention": 2}, "Bob": {"mention": 1}}, "rounds": 50}}
YAML = "experiment.yaml"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results and the experiment file of a finished run."""
    import yaml

    folder = tmp_path_factory.mktemp("market")
    (folder / YAML).write_text(yaml.safe_dump(LINEAR), "utf-8")
    tokauction.run(folder / YAML, folder / "results")
    return folder


@pytest.fixture
def here(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path, dirs_exist_ok=True))


def the_run(folder: Path) -> Path:
    (run,) = (folder / "results").iterdir()
    return run


def test_the_command_prints_tables_and_writes_two_documented_files(here: Path, in_process: Command) -> None:
    done = in_process("market", YAML)
    assert done.returncode == 0, done.stderr
    assert "What the seller earns" in done.stdout
    assert "linear, second price: how each bidder fares" in done.stdout
    assert "rests on 2 texts per query and set of bids" in " ".join(done.stdout.split())
    assert "market.csv" in done.stderr
    table, paths = (tokauction.read_csv(the_run(here) / name) for name in ("market.csv", "market_paths.csv"))
    assert table["agent"].tolist() == ["ann", "bob", ""] * 3
    assert table["mechanism"].tolist() == ["token_auction"] * 6 + ["lottery"] * 3
    assert table["payment"].tolist() == ["pay_your_bid"] * 3 + ["second_price"] * 3 + ["lottery"] * 3
    for name, frame in (("market.csv", table), ("market_paths.csv", paths)):
        from tokenauction_cli.analysis.columns.columns import entries_for

        assert all(any(entries_for(name, column)) for column in frame.columns)
    assert len(paths) == 6 * 200
    of_all, ann = table[table["agent"] == ""].iloc[1], table[table["agent"] == "ann"].iloc[1]
    assert of_all["welfare"] - of_all["revenue"] == pytest.approx(of_all["utility"])
    assert ann["value"] == pytest.approx(3.0)
    assert ann["revenue.low"] <= ann["revenue"] <= ann["revenue.high"]
    assert ann["spend"] == pytest.approx(300 * ann["revenue"])


def test_an_option_may_call_an_agent_by_its_other_name(here: Path, in_process: Command) -> None:
    set_twice = ("-S", "market.policies={Ann: truthful, Bob: hedge}", "--policy", "bob=truthful")
    assert in_process("market", YAML, "--rounds", "20", "-q", *set_twice).returncode == 0
    assert tokauction.read_csv(the_run(here) / "market.csv")["policy"].tolist()[:2] == ["truthful", "truthful"]


def test_the_same_settings_write_the_same_bytes_and_options_override(here: Path, in_process: Command) -> None:
    in_process("market", YAML, "-q")
    first = (the_run(here) / "market.csv").read_bytes()
    in_process("market", YAML, "-q")
    assert (the_run(here) / "market.csv").read_bytes() == first
    done = in_process(
        "market", YAML, "--rounds", "50", "--policy", "ann=truthful", "--policy", "bob={fixed: 0.5}",
        "--budget", "bob=3", "-S", "market.draw=weight", "--format", "csv",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    table = tokauction.read_csv(the_run(here) / "market.csv")
    assert set(table["rounds"]) == {50}
    assert table["policy"].tolist()[:2] == ["truthful", "fixed 0.5"]
    assert table["spend"].iloc[1] <= 3
    assert table["value"].iloc[0] == pytest.approx(2.5), "queries are drawn by their weight"


def test_a_run_folder_takes_other_keys_of_the_market_alone(here: Path, in_process: Command) -> None:
    run = str(the_run(here))
    assert in_process("market", run, "--rounds", "20", "-q").returncode == 0
    refused = in_process("market", run, "-S", "auction.max_tokens=2")
    assert refused.returncode == 2
    assert "a run folder, whose experiment is fixed but for market" in refused.stderr
    wrong = in_process("market", run, "--policy", "ann=hegde")
    assert "did you mean 'hedge'?" in wrong.stderr
    assert wrong.returncode == 2


def test_what_is_missing_is_named_with_the_command_that_computes_it(here: Path, in_process: Command) -> None:
    other = in_process("market", YAML, "-S", "seed=5")
    assert other.returncode == 2
    assert "this experiment has not run in results: `tokauction run experiment.yaml` runs it" in other.stderr
    reserve = in_process("market", YAML, "-S", "market.reserves=[0, 0.75]")
    assert reserve.returncode == 2
    assert "no run beside it with a reserve of 0.75" in reserve.stderr
    assert "-S auction.reserve=0.75 -o" in reserve.stderr
    judge = in_process("market", YAML, "-S", "market.values.Ann={judge: {quality: 2}}")
    assert "the run has no column judge.quality" in judge.stderr
    none = in_process("market", YAML, "-S", "market=null")
    assert none.returncode == 2
    assert "market: {values: {ann: {mention: 1}, bob: {mention: 1}}}" in none.stderr


def test_an_interrupted_run_is_refused_and_a_continued_one_gives_the_same_market(tmp_path: Path) -> None:
    whole = tokauction.run(SMALL, tmp_path / "whole")
    part = tokauction.run(SMALL, tmp_path / "part", n=10)
    with pytest.raises(UsageError, match="`tokauction run` has written the others"):
        part.market()
    continued = tokauction.run(SMALL, tmp_path / "part")
    assert continued.market().table.equals(whole.market().table)


def test_python_gets_frames_and_says_what_it_changes(finished: Path) -> None:
    run = tokauction.load_run(finished / YAML, finished / "results")
    found = run.market({"rounds": 40, "policies": {"ann": {"shading": 0.5}}, "payments": ["second_price"]})
    assert found.table["payment"].tolist() == ["second_price"] * 3 + ["lottery"] * 3
    assert found.table["policy"].iloc[0] == "shading 0.5"
    assert found.paths["round"].max() == 40
    assert found.left_out == []
    with pytest.raises(ExperimentError, match=r"market\.rounds"):
        run.market({"rounds": 0})


def test_realised_and_expected_money_agree_in_the_mean(tmp_path: Path) -> None:
    """A contest of one token with many seeds: what is drawn is paid in the mean."""
    from mechanism_runs import records, run

    from tokenauction_cli.analysis.frames.metrics import cells_frame
    from tokenauction_cli.experiment.from_mapping import experiment_from
    from tokenauction_cli.market.market import market_of

    sweep = {"grid": {"Ann": [1, 2], "Bob": [1, 2]}, "seeds": 300}
    market = SMALL["market"] | {
        "policies": {"Ann": {"fixed": 2}, "Bob": {"fixed": 1}},
        "rounds": 2000,
        "replications": 4,
    }
    experiment = experiment_from(SMALL | {"sweep": sweep, "market": market})
    cells = cells_frame(experiment, records(run(experiment, tmp_path)))
    expected, realised = (
        {
            row.name.payment: row.figures["revenue"]
            for row in market_of([(experiment, cells)], chosen).rows
            if not row.agent
        }
        for chosen in (replace(experiment.market, money=money) for money in ("expected", "realised"))
    )
    assert expected["second_price"].mean == pytest.approx(0.5762091716)
    assert realised["second_price"].mean == pytest.approx(0.576, abs=0.08)
    assert realised["lottery"].mean == pytest.approx(expected["lottery"].mean, abs=0.08)
    assert realised["pay_your_bid"] == expected["pay_your_bid"]


def test_a_curve_of_reserves_reads_the_runs_beside(here: Path) -> None:
    tokens = SMALL | {"auction": LINEAR["auction"] | {"mechanism": "token_auction"}}
    tokauction.run(tokens | {"name": "other", "auction": tokens["auction"] | {"reserve": 0.5}}, here / "curve")
    run = tokauction.run(tokens, here / "curve")
    found = run.market({"reserves": [0, 0.5], "policies": {"ann": "truthful", "bob": {"fixed": 0.5}}})
    seller = found.table[(found.table["agent"] == "") & (found.table["payment"] == "second_price")]
    assert seller["reserve"].tolist() == [0, 0.5]
    assert seller["revenue"].iloc[1] > seller["revenue"].iloc[0], "a winner pays the reserve at least"


def test_policies_of_ones_own_are_played_where_they_are_trusted(here: Path, in_process: Command) -> None:
    (here / "mine.py").write_text(
        "import numpy as np\n\nclass Highest:\n    about = 'the highest bid'\n\n"
        "    def choose(self, asked):\n        return np.full(len(asked.values), self.rows.n_bids - 1)\n",
        "utf-8",
    )
    options = ("--policy", "ann=mine:Highest", "--rounds", "20", "-q")
    refused = in_process("market", YAML, *options)
    assert refused.returncode == 2
    assert "--trust mine" in refused.stderr
    done = in_process("market", YAML, *options, "--trust", "mine")
    assert done.returncode == 0, done.stderr
    table = tokauction.read_csv(the_run(here) / "market.csv")
    assert table["mean_bid"].iloc[0] == 2
    assert np.isnan(table["mean_bid"].iloc[2])
    run = tokauction.load_run(the_run(here))
    assert (
        run.market({"policies": {"bob": "mine:Highest"}, "rounds": 5}, trust=["mine"]).table["mean_bid"].iloc[1] == 0.5
    )
    with pytest.raises(UsageError, match="--trust mine"):
        tokauction.run(LINEAR | {"trust": ["mine"]}, here / "results").market()


def test_what_has_no_number_for_each_text_is_left_out_and_named(tmp_path: Path) -> None:
    """Over other mechanisms there is no TV; log-linear fails where the supports do not meet."""
    run = tokauction.run(SMALL, tmp_path)
    found = run.market({"values": {"ann": {"tv": 2}, "bob": {"mention": 1}}, "rounds": 20})
    assert set(found.table["aggregation"]) == {"linear"}
    assert found.left_out == ["lottery: tv of Ann has a meaning where tokens are auctioned alone"]
    failed = tokauction.run(SMALL | {"auction": CONTEST["auction"]}, tmp_path)
    with pytest.raises(UsageError, match="a market needs every text"):
        failed.market()


def test_the_page_on_markets_runs(tmp_path: Path, in_process: Command) -> None:
    """Its files, its commands with fewer rounds, and its lines of Python."""
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "market.md").read_text("utf-8")
    blocks = re.findall(r"```(\w+)\n(.*?)```", page, re.DOTALL)
    yaml, shown, sniper = (
        next(body for _, body in blocks if sign in body) for sign in ("name: two-brands", "load_run", "class Sniper")
    )
    (tmp_path / "two-brands.yaml").write_text(yaml.replace("seeds: 20", "seeds: 2"), "utf-8")
    (tmp_path / "sniper.py").write_text(sniper, "utf-8")
    for line in "".join(body for kind, body in blocks if kind == "console").splitlines():
        command = shlex.split(line)[1:]
        few = ["-S", "sweep.seeds=2"] if command[0] == "run" else ["--rounds", "40"]
        done = in_process(*command, *few, "-q")
        assert done.returncode == 0, done.stderr
    exec(shown.replace("1000", "40"), {})
