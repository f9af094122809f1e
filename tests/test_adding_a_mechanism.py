"""What docs/how-to/adding-a-mechanism.md shows runs, and what a mechanism of one's own may do wrong is said."""

from __future__ import annotations

import csv
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Command

PAGE = (Path(__file__).parents[1] / "docs" / "how-to" / "adding-a-mechanism.md").read_text("utf-8")
FILES = {
    name: f"# {name}\n{text}"
    for name, text in re.findall(r"^```\w+\n# (\S+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
}
(COMMANDS,) = re.findall(r"^```console\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path) -> Iterator[Path]:
    """All files of the page, beside each other."""
    for name, text in FILES.items():
        (tmp_path / name).write_text(text, "utf-8")
    yield tmp_path
    for name in (*FILES, "own"):
        sys.modules.pop(Path(name).stem, None)


def rows(folder: Path) -> list[dict[str, str]]:
    (path,) = folder.glob("results/*/cells.csv")
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_every_command_succeeds(folder: Path, in_process: Command) -> None:
    for line in COMMANDS.splitlines():
        program, *arguments = line.split()
        assert program == "tokauction"
        done = in_process(*arguments)
        assert done.returncode == 0, done.stderr
    cells = rows(folder)
    found = {name: [row for row in cells if row["mechanism"] == name] for name in ("best_of:BestOf", "all_pay:AllPay")}
    assert {len(one) for one in found.values()} == {12}
    for row in found["all_pay:AllPay"]:
        assert row["payment.all_pay:AllPay.ann"] == row["bid.ann"]
        assert row["payment.all_pay:AllPay.bob"] == row["bid.bob"]
    for row in found["best_of:BestOf"]:
        paid = [float(row[f"payment.best_of:BestOf.{agent}"]) for agent in ("ann", "bob")]
        assert all(price >= 0 for price in paid)
        if row["relative_weight"] != "0.5":
            assert paid == [0, 0], "a lone bidder"
    lone = {row["text"] for row in found["best_of:BestOf"] if row["relative_weight"] == "1.0"}
    assert lone <= {"tea tea", "tea milk", "milk tea"}, "the likeliest to Ann of 20 texts"
    done = in_process("verify", str(next((folder / "results").iterdir())), "--trust", "best_of", "--trust", "all_pay")
    assert done.returncode == 0, done.stdout + done.stderr


OWN = """
from tokenauction_cli.mechanism.alternatives.mechanisms import Expected, Settled
from tokenauction_cli.mechanism.distributions import MechanismError

class Shy:
    writers = "agents"
    def expected(self, bidding): ...
    def settle(self, bidding, draw_key):
        if bidding.is_contested:
            raise MechanismError("shy agents do not compete")
        return Settled(int(bidding.bids.argmax()), {self.name: 0 * bidding.bids})

class Needy(Shy):
    writers = "generator"
    needs = frozenset({"log_reference"})
    def settle(self, candidates, bidding, draw_key): ...

class Absent(Shy):
    def settle(self, bidding, draw_key):
        return Settled(-1, {self.name: 0 * bidding.bids})

class Free(Shy):
    def settle(self, bidding, draw_key):
        return Settled(0, {})

class Endless(Shy):
    def settle(self, bidding, draw_key):
        return Settled(0, {self.name: 1 / (0 * bidding.bids)})

class Other(Needy):
    needs = frozenset()
    def settle(self, candidates, bidding, draw_key):
        return Settled(candidates.n_texts, {self.name: 0 * bidding.bids})

class Silent:
    def settle(self, bidding, draw_key): ...

class Half:
    writers = "agents"
    def settle(self, bidding, draw_key): ...
"""


@pytest.mark.parametrize(
    ("name", "override", "message"),
    [
        ("Needy", "blends=false", "own:Needy needs the key 'reference' at the top of the file"),
        ("Shy", "auction.reserve=1", "a reserve has no meaning in own:Shy"),
        ("Shy", "agents.0.budget=1", "a budget has no meaning in own:Shy"),
        ("Needy", "auction.sampling=greedy", "own:Needy chooses among candidates, which greedy sampling makes all the"),
        ("Silent", "blends=false", "it needs `writers = ...`, one of 'generator', 'agents'"),
        ("Half", "blends=false", "expected"),
        ("Nobody", "blends=false", "has no attribute 'Nobody'"),
    ],
)
def test_what_it_cannot_have_is_said_before_anything_is_written(
    folder: Path, in_process: Command, name: str, override: str, message: str
) -> None:
    (folder / "own.py").write_text(OWN)
    own = ("-S", f"auction.mechanism=own:{name}", "-S", "trust=[own]", "-S", override)
    for command in ("run", "check"):
        done = in_process(command, "salon.yaml", *own)
        assert done.returncode == 2, done.stderr
        assert message in done.stderr
        assert "Traceback" not in done.stderr
        assert not (folder / "results").exists() or not list((folder / "results").iterdir())


def test_where_it_has_no_outcome_the_cell_says_why(folder: Path, in_process: Command) -> None:
    (folder / "own.py").write_text(OWN)
    done = in_process("run", "salon.yaml", "-q", "-S", "auction.mechanism=own:Shy", "-S", "trust=[own]")
    assert done.returncode == 3
    assert done.stderr == "4 of 12 texts failed, the first: token 1 of '': shy agents do not compete\n"
    for row in rows(folder):
        assert (row["end_reason"] == "failed") == (row["relative_weight"] == "0.5")


@pytest.mark.filterwarnings("ignore:divide by zero")
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Absent", "own:Absent chose -1; choices are numbered from 0 to 1\n"),
        ("Other", "own:Other chose 20; choices are numbered from 0 to 19\n"),
        ("Free", "own:Free settled without a payment 'own:Free' of 2 finite numbers, one per agent\n"),
        ("Endless", "own:Endless settled without a payment 'own:Endless' of 2 finite numbers, one per agent\n"),
    ],
)
def test_what_it_settles_is_checked(folder: Path, in_process: Command, name: str, message: str) -> None:
    (folder / "own.py").write_text(OWN)
    done = in_process("run", "salon.yaml", "-q", "-S", f"auction.mechanism=own:{name}", "-S", "trust=[own]")
    assert done.returncode == 3
    assert done.stderr.endswith(message)
