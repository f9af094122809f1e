"""Every column that a run writes has an entry, and every entry is written by some run."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Command

from tokenauction_cli.analysis.columns.columns import FILES, entries_for, explained, figure_explained
from tokenauction_cli.mechanism import registry

EVERYTHING = """
name: everything
queries: [one, two]
agents:
  - name: Alpha Air
    id: alpha
    budget: 3
    distribution: {Alpha: 0.5, Air: 0.2, Resort: 0.2, <end>: 0.1}
  - {name: Beta Resort, id: beta, distribution: {Alpha: 0.1, Air: 0.3, Resort: 0.5, <end>: 0.1}}
  - {name: Plain, bid: 0.5, reference: true, distribution: {Alpha: 0.3, Air: 0.3, Resort: 0.3, <end>: 0.1}}
auction:
  aggregation: [linear, log_linear, random_dictator]
  payments: [pay_your_bid, second_price, vcg, myerson_tv, pay_bid_times_influence]
  charge: pay_your_bid
  max_tokens: 5
  trace: top_k
sweep: {agent: alpha, relative_weight: [0.25, 0.5, 0.75], seeds: 3}
blends: true
reference: {distribution: {Alpha: 0.3, Air: 0.3, Resort: 0.3, <end>: 0.1}}
"""
BIDS = """
name: bids
agents:
  - {name: Ann, bid: 1, distributions: {"": {x: 0.6, y: 0.4}, x: {x: 1}}}
  - {name: Bob, bid: 1, distributions: {"": {x: 0.3, y: 0.7}, x: {y: 1}}}
auction: {payments: [second_price, pay_your_bid], max_tokens: 2}
sweep: {bids: [{Ann: 1}, {Ann: 2, Bob: 2}], seeds: 4}
"""
BYTES = """
name: bytes
agents:
  - {name: Ann, distribution: {ab: 0.5, <end>: 0.5}}
  - {name: Bob, distribution: {a: 0.5, <end>: 0.5}}
auction: {alphabet: bytes, max_bytes: 4}
"""
UNSOLD = """
name: unsold
agents: [{name: Ann, distribution: {x: 1}, bid: 1}, {name: Bob, distribution: {y: 1}, bid: 1}]
auction: {max_tokens: 1, reserve: 2}
"""
TWO = """
name: two
agents:
  - {name: Ann, distribution: {x: 0.7, y: 0.2, z: 0.1}}
  - {name: Bob, distribution: {x: 0.1, y: 0.2, z: 0.7}}
auction: {max_tokens: 1, payments: [second_price, pay_your_bid], separator: "", constraint: {regex: "x|y|z"}}
"""
MECHANISMS = """
name: mechanisms
queries: [one, two]
agents:
  - {name: Ann, distribution: {x: 0.7, y: 0.2, <end>: 0.1}}
  - {name: Bob, distribution: {x: 0.1, y: 0.8, <end>: 0.1}}
reference: {distribution: {x: 0.4, y: 0.4, <end>: 0.2}}
auction: {max_tokens: 3, payments: [vcg], mechanism: [token_auction, mosaic, segment, lottery, highest, text_pool]}
sweep: {relative_weight: [0.25, 0.5, 0.75], seeds: 3}
audit: {texts: {bids: [1], seeds: 3}}
"""
MARKET = """
name: market
agents:
  - {name: Ann, distribution: {x: 1}}
  - {name: Bob, distribution: {y: 1}}
auction: {max_tokens: 1, mechanism: [token_auction, lottery]}
sweep: {grid: {Ann: [0, 1], Bob: [0, 1]}}
market: {values: {Ann: {mention: 1}, Bob: {mention: 1}}, rounds: 9, replications: 2}
"""


@pytest.fixture
def written(tmp_path: Path, in_process: Command) -> dict[str, set[str]]:
    """The columns of every file, over several runs, an audit, and an audit of whole texts."""
    audits = ("audit", TWO, 0), ("audit --texts", MECHANISMS, 0)
    for command, text, code in (
        ("run", EVERYTHING, 0),
        ("run", BIDS, 3),
        ("run", BYTES, 0),
        ("run", UNSOLD, 0),
        *audits,
        ("run", MARKET, 0),
        ("market", MARKET, 0),
    ):
        (tmp_path / "e.yaml").write_text(text, "utf-8")
        done = in_process(*command.split(), "e.yaml", "-q")
        assert done.returncode == code, done.stderr
    found: dict[str, set[str]] = {}
    for path in (tmp_path / "results").rglob("*.csv"):
        with path.open(encoding="utf-8", newline="") as file:
            found.setdefault(path.name, set()).update(next(csv.reader(file)))
    for path in (tmp_path / "results").rglob("records-*.jsonl"):
        for line in path.read_text("utf-8").splitlines():
            found.setdefault("records-*.jsonl", set()).update(keys(json.loads(line)))
    return found


def keys(record: dict[str, Any], before: str = "") -> Iterator[str]:
    """The keys of a record, those of its mappings with a dot."""
    for key, value in record.items():
        within = value[0] if key == "candidates" else value
        if isinstance(within, dict):
            yield from keys(within, f"{before}{key}.")
        else:
            yield before + key


def test_every_column_has_an_entry_and_every_entry_is_written(written: dict[str, set[str]]) -> None:
    assert set(written) == {file.name for file in FILES}
    for file in FILES:
        described = {column: list(entries_for(file.name, column)) for column in written[file.name]}
        assert [column for column, entries in described.items() if not entries] == [], file.name
        used = {entry.name for entries in described.values() for entry in entries}
        assert [entry.name for entry in file.columns if entry.name not in {*used, "judge.NAME"}] == [], file.name


def test_every_figure_of_a_report_is_explained(written: dict[str, set[str]]) -> None:
    columns = written["summary.csv"]
    figures = [column for column in columns if f"{column}.low" in columns]
    assert len(figures) > 30
    assert [figure for figure in figures if not figure_explained(figure)] == []


def test_every_payment_rule_has_entries_of_its_own() -> None:
    rules = [registry.find("payment", name) for name in registry.names("payment")]
    for column in (column for rule in rules for column in rule.columns):
        first = next(entries_for("cells.csv", f"payment.{column}.some_agent"))
        assert first.name == f"payment.{column}.A"


def test_a_rule_of_ones_own_is_told_by_the_pattern() -> None:
    assert "under a payment rule" in explained("cells.csv", "payment.mine.a")
    assert explained("cells.csv", "nothing of ours") == ""
    assert explained("summary.csv", "kl.alpha").startswith("Mean over the texts")
    assert "lower end" in explained("summary.csv", "payment.mine.a.low")


def test_an_entry_reads_as_one_line() -> None:
    told = figure_explained("kl.alpha")
    assert told == (
        "Forward KL of agent A. Not over words: it sums over all of them. "
        "KL(p_A, q) = sum_x p_A(x) log(p_A(x) / q(x)). Unit: nats. Mean per token."
    )
