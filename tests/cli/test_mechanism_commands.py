"""Commands on files with several mechanisms, with and without the token auction among them."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from conftest import Command
from mechanism_runs import BABBLE

RIVALS = ("-S", "auction.mechanism=[lottery, mosaic]")
FEW = ("-S", "sweep.seeds=2", "-S", "auction.max_tokens=2")


@pytest.fixture(autouse=True)
def written(tmp_path: Path) -> None:
    (tmp_path / "e.yaml").write_text(BABBLE)


def rules_in(folder: Path, name: str) -> set[str]:
    (path,) = folder.glob(f"results/*/{name}")
    with path.open(encoding="utf-8", newline="") as file:
        return {row.get("rule") or row["aggregation"] or row["mechanism"] for row in csv.DictReader(file)}


def test_play(in_process: Command) -> None:
    """The token auction of the file, or that there is none."""
    assert in_process("play", "e.yaml").returncode == 0
    done = in_process("play", "e.yaml", *RIVALS)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "e.yaml: only the token auction can be played, and it is not one of the mechanisms; "
        "try --set auction.mechanism=token_auction\n"
    )
    assert in_process("play", "e.yaml", "-S", "auction.mechanism=token_auction").returncode == 0


def test_an_audit_of_prefixes(tmp_path: Path, in_process: Command) -> None:
    """Of the rules of the token auction alone."""
    done = in_process("audit", "e.yaml", *RIVALS)
    assert done.returncode == 2
    assert "which is not one of the mechanisms; add token_auction to auction.mechanism, or audit whole" in done.stderr
    assert not (tmp_path / "results").exists()
    done = in_process("audit", "e.yaml", "-q", *FEW)
    assert done.returncode == 0, done.stderr
    assert rules_in(tmp_path, "audit.csv") == {"linear"}


def test_an_audit_of_whole_texts_needs_no_payment_rule(tmp_path: Path, in_process: Command) -> None:
    """Other mechanisms charge by themselves."""
    audit = ("-S", "audit.texts={seeds: 4, bids: [0, 2]}")
    done = in_process("audit", "--texts", "e.yaml", "-q", *RIVALS, *FEW, *audit)
    assert done.returncode == 0, done.stderr
    assert rules_in(tmp_path, "text_audit.csv") == {"lottery", "mosaic"}
    done = in_process("audit", "--texts", "e.yaml", "-q", *FEW, *audit, "-S", "auction.payments=[]",
                      "-S", "auction.mechanism=token_auction")  # fmt: skip
    assert done.returncode == 2
    assert "an audit of whole texts needs a payment rule; list one in auction.payments" in done.stderr


def test_verify(tmp_path: Path, in_process: Command) -> None:
    """Texts, candidates and what was chosen among them."""
    assert in_process("run", "e.yaml", "-q", *FEW).returncode == 0
    done = in_process("verify", "results", "--sample", "200")
    assert done.returncode == 0, done.stdout
    same = [line for line in done.stdout.splitlines() if line.endswith(": the same bytes")]
    assert sum(line.startswith("ok      candidate ") for line in same) == 12
    assert sum(line.startswith("ok      text ") for line in same) == 36
