"""`tokauction audit` on table agents: what it prints, what it keeps, and where it is asked the impossible."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from conftest import Command

from tokenauction_cli.analysis.columns.glossary import AUDIT_TERMS

TWO = """name: two
agents:
  - {name: Ann, distribution: {x: 0.7, y: 0.2, z: 0.1}, bid: 1}
  - {name: Bob, distribution: {x: 0.1, y: 0.2, z: 0.7}, bid: 2}
auction: {max_tokens: 1, aggregation: [linear, log_linear], payments: [second_price, vcg, pay_your_bid]}
"""


def findings(folder: Path) -> list[dict[str, str]]:
    (path,) = folder.glob("results/*/audit.csv")
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def audited(tokauction: Command, tmp_path: Path, text: str, *options: str) -> list[dict[str, str]]:
    (tmp_path / "e.yaml").write_text(text, "utf-8")
    done = tokauction("audit", "e.yaml", "-q", *options)
    assert done.returncode == 0, done.stderr
    return findings(tmp_path)


def violated(rows: list[dict[str, str]], **wanted: str) -> set[str]:
    return {row["violated"] for row in rows if all(row[key] == value for key, value in wanted.items())}


def test_the_theorems_hold_and_are_told(tokauction: Command, tmp_path: Path) -> None:
    (tmp_path / "e.yaml").write_text(TWO, "utf-8")
    done = tokauction("audit", "e.yaml", "--details")
    assert done.returncode == 0, done.stderr
    rows = findings(tmp_path)
    assert violated(rows, rule="linear", check="monotone") == {"0.0"}
    assert violated(rows, rule="log_linear", check="monotone", order="tv") == {"0.0"}
    assert violated(rows, rule="linear", check="regret", payment="second_price", order="tv") == {"0.0"}
    assert violated(rows, rule="linear", check="regret", payment="pay_your_bid", order="tv") == {"1.0"}
    assert violated(rows, rule="log_linear", check="regret", payment="vcg", order="reverse_kl") == {"0.0"}
    assert not violated(rows, rule="log_linear", payment="second_price")
    settled = [row for row in rows if row["check"] == "equilibrium" and row["order"] == "tv"]
    assert {(row["agent"], row["value"]) for row in settled} == {("ann", "1.0"), ("bob", "2.0")}
    assert all(abs(float(row["bid"]) - float(row["value"])) == pytest.approx(float(row["worst"])) for row in settled)
    kinds = {word.rstrip("0123456789. ") for row in rows for word in row["check"].split(": ")}
    assert {kind.replace("non_", "non-").replace("_", " ") for kind in kinds} <= set(AUDIT_TERMS)
    assert {row["rounds"] for row in rows if row["check"] != "equilibrium"} == {""}
    assert "bidding one's value is best with second_price (TV)" in " ".join(done.stdout.split())
    assert "auditing linear, log_linear; prefixes: 1" in done.stderr
    (words,) = tmp_path.glob("results/*/audit.txt")
    assert "best with second_price (TV)" in words.read_text("utf-8")


def test_the_verdict_is_short(in_process: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What holds and what gains, in at most 15 lines, of any number of rules."""
    rules = "[linear, log_linear, power_mean, power_mean_2, winner_take_all, random_dictator]"
    payments = "[second_price, vcg, pay_your_bid, myerson_tv, pay_bid_times_influence]"
    text = TWO.replace("[linear, log_linear]", rules).replace("[second_price, vcg, pay_your_bid]", payments)
    monkeypatch.setenv("COLUMNS", "80")
    for content in (TWO, text):
        (tmp_path / "e.yaml").write_text(content, "utf-8")
        done = in_process("audit", "e.yaml", "-q", "--order", "tv")
        assert done.returncode == 0, done.stderr
        lines = done.stdout.splitlines()
        assert len(lines) <= 15
        assert max(map(len, lines)) <= 80
        assert lines[0] == "Audited at 1 prefix (all that differ). Gains are the largest found, per token."
        assert lines[-1].endswith("he numbers of each: --details")
    assert "A higher bid never loses: under linear; under log_linear" in " ".join(done.stdout.split())


def test_a_reserve_that_would_keep_low_bids_out(tokauction: Command, tmp_path: Path) -> None:
    text = TWO.replace("[second_price, vcg, pay_your_bid]", "[second_price, pay_your_bid], reserve: 0.3")
    rows = audited(tokauction, tmp_path, text, "-S", "auction.aggregation=linear")
    assert violated(rows, rule="linear", check="monotone") == {"0.0"}
    assert violated(rows, check="individually_rational", payment="second_price", order="tv") == {"0.0"}
    assert violated(rows, check="equilibrium", payment="pay_your_bid", order="tv")


def test_where_a_rule_is_undefined_the_others_are_still_audited(tokauction: Command, tmp_path: Path) -> None:
    text = TWO.replace("{x: 0.7, y: 0.2, z: 0.1}", "{x: 1}").replace("{x: 0.1, y: 0.2, z: 0.7}", "{z: 1}")
    (tmp_path / "e.yaml").write_text(text, "utf-8")
    done = tokauction("audit", "e.yaml", "-q", "--details")
    rows = findings(tmp_path)
    assert done.returncode == 0, done.stderr
    assert violated(rows, rule="log_linear", check="defined") == {"1.0"}
    assert violated(rows, rule="linear", check="regret", payment="second_price", order="tv") == {"0.0"}
    assert "log_linear is undefined at 100% of them" in " ".join(done.stdout.split())


def test_an_unknown_order_costs_nothing(tokauction: Command, tmp_path: Path) -> None:
    (tmp_path / "e.yaml").write_text(TWO, "utf-8")
    done = tokauction("audit", "e.yaml", "--order", "klr")
    assert done.returncode == 2
    assert "unknown order 'klr': the orders are robust, tv, kl, reverse_kl; did you mean 'kl'?" in done.stderr
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize("options", [("-S", "seed=1"), ("--trust", "m")])
def test_a_run_folder_is_audited_as_it_is(tokauction: Command, tmp_path: Path, options: tuple[str, ...]) -> None:
    (tmp_path / "e.yaml").write_text(TWO, "utf-8")
    assert tokauction("run", "e.yaml", "-q").returncode == 0
    (run,) = (tmp_path / "results").iterdir()
    assert tokauction("audit", str(run), "-q", "--order", "tv").returncode == 0
    assert {row["order"] for row in findings(tmp_path)} == {"", "tv"}
    if options[0] == "-S":
        refused = tokauction("audit", str(run), *options)
        assert refused.returncode == 2
        assert "whose experiment is fixed" in refused.stderr


def test_a_budget_that_nothing_spends_is_a_mistake(tokauction: Command, tmp_path: Path) -> None:
    text = TWO.replace("bid: 1}", "bid: 1, budget: 0.5}").replace(
        "max_tokens: 1", "max_tokens: 1, charge: second_price"
    )
    (tmp_path / "e.yaml").write_text(text, "utf-8")
    done = tokauction("check", "e.yaml")
    assert done.returncode == 2
    assert "e.yaml:3:65: nothing spends this budget under log_linear, where second_price is not defined" in done.stderr


def test_a_reserve_above_every_bid_sells_nothing(tokauction: Command, tmp_path: Path) -> None:
    text = TWO.replace("max_tokens: 1", "max_tokens: 1, reserve: 5").replace("second_price, vcg, ", "")
    (tmp_path / "e.yaml").write_text(text, "utf-8")
    done = tokauction("run", "e.yaml", "-q")
    assert done.returncode == 0, done.stderr
    (cells,) = tmp_path.glob("results/*/cells.csv")
    with cells.open(encoding="utf-8", newline="") as file:
        assert {(row["end_reason"], row["sold"]) for row in csv.DictReader(file)} == {("unsold", "0")}


def test_its_tables_for_papers_and_programs(tokauction: Command, tmp_path: Path) -> None:
    (tmp_path / "e.yaml").write_text(TWO, "utf-8")
    assert tokauction("run", "e.yaml", "-q").returncode == 0
    latex = tokauction("audit", "e.yaml", "-q", "--order", "tv", "--format", "latex")
    assert latex.returncode == 0, latex.stderr
    assert latex.stdout.count("\\begin{tabular}") == 2
    assert "\\toprule" in latex.stdout
    rows = json.loads(tokauction("audit", "e.yaml", "-q", "--order", "tv", "--format", "json").stdout)
    assert {"check": "regret", "payment": "second_price", "tv": "never"}.items() <= next(
        row for row in rows if row["check"] == "regret" and row["payment"] == "second_price"
    ).items()


def test_no_row_loses_its_payment_where_orders_go_on_below(
    in_process: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "e.yaml").write_text(TWO, "utf-8")
    monkeypatch.setenv("COLUMNS", "40")
    lines = in_process("audit", "e.yaml", "-q", "--details").stdout.splitlines()
    heads = [line.split() for line in lines if line.split()[:1] == ["check"]]
    assert len(heads) > 2
    assert {head[1] for head in heads} == {"payment"}


def test_a_part_of_a_run_says_that_it_is_one(tokauction: Command, tmp_path: Path) -> None:
    text = TWO.replace("max_tokens: 1", "max_tokens: 2") + "sweep: {relative_weight: [1, 0.5, 0], seeds: 4}\n"
    (tmp_path / "e.yaml").write_text(text, "utf-8")
    told = "Only 7 of 24 texts are written"
    done = tokauction("run", "e.yaml", "-q", "-n", "7")
    assert (done.returncode, done.stderr) == (0, "")  # who says -n knows
    (run,) = (tmp_path / "results").iterdir()
    shown = tokauction("show", str(run), "--table", "rates")
    assert told in shown.stderr
    assert "linear, 1 to 2 texts each" in shown.stdout
    assert told in tokauction("report", str(run), "--figures", "none").stderr
    assert "wrote 7 of the 24 texts that were planned" in (run / "report.html").read_text("utf-8")
    rows = list(csv.DictReader((run / "summary.csv").read_text("utf-8").splitlines()))
    assert [(row["aggregation"], row["point"]) for row in rows[:4]] == [
        ("linear", "0"), ("linear", "1"), ("linear", "2"), ("log_linear", "0"),
    ]  # fmt: skip
    assert tokauction("run", "e.yaml", "-q").returncode == 0
    assert "Only" not in tokauction("show", str(run)).stderr


def test_what_an_audit_wrote_is_verified(tokauction: Command, tmp_path: Path) -> None:
    (tmp_path / "e.yaml").write_text(TWO, "utf-8")
    assert tokauction("audit", "e.yaml", "-q", "--order", "tv").returncode == 0
    (run,) = (tmp_path / "results").iterdir()
    assert tokauction("verify", str(run)).returncode == 0
    with (run / "audit.csv").open("a") as file:
        file.write("x,y\n")
    changed = tokauction("verify", str(run))
    assert changed.returncode == 1
    assert "audit.csv" in changed.stdout + changed.stderr
