"""An aggregation and a payment of one's own, in a module of 20 lines, get all that their traits promise."""

from __future__ import annotations

import csv
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from conftest import Command

from tokenauction_cli.mechanism.registry import UnknownRuleError, find

MODULE = """
from tokenauction_cli.mechanism.distributions import Distribution, weights_of
from tokenauction_cli.mechanism.divergences import FORWARD_KL


class Blend:
    is_linear_mixture = True
    objective = FORWARD_KL
    monotone_in = frozenset({"robust", "tv", "kl", "reverse_kl"})

    def __call__(self, profile, bids):
        return Distribution(p=weights_of(bids) @ profile.p)


class Toll:
    def truthful_for(self, aggregation):
        return frozenset({"tv"})

    def expected(self, outcome):
        return 0.25 * outcome.charged(outcome.bids)
"""
EXPERIMENT = """name: own
agents:
  - {name: Ann, distribution: {x: 0.7, y: 0.2, z: 0.1}, bid: 1}
  - {name: Bob, distribution: {x: 0.1, y: 0.2, z: 0.7}, bid: 2}
  - {name: Cyd, distribution: {x: 0.2, y: 0.6, z: 0.2}, bid: 1}
auction:
  max_tokens: 3
  aggregation: [linear, "own_rules:Blend"]
  payments: [second_price, vcg, myerson_tv, "own_rules:Toll"]
sweep: {relative_weight: [0.2, 0.6], seeds: 8}
trust: [own_rules]
"""


@pytest.fixture
def beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with the experiment and the module."""
    (tmp_path / "own_rules.py").write_text(MODULE)
    (tmp_path / "own.yaml").write_text(EXPERIMENT)
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    yield tmp_path
    sys.modules.pop("own_rules", None)


def test_the_module_is_as_short_as_it_says() -> None:
    assert len([line for line in MODULE.splitlines() if line.strip()]) <= 20


def test_a_mixture_of_ones_own_is_drawn_and_charged_like_linear(beside: Path, in_process: Command) -> None:
    done = in_process("run", "own.yaml", "-q")
    assert done.returncode == 0, done.stderr
    cells = pd.read_csv(next(beside.glob("results/*/cells.csv")))
    assert set(cells["sampling"]) == {"stable"}
    linear, own = (rows.reset_index(drop=True) for _, rows in cells.groupby("aggregation", sort=False))
    assert set(own["aggregation"]) == {"own_rules:Blend"}
    same = [column for column in cells.columns if column not in ("cell", "aggregation")]
    assert [column for column in same if column.startswith("payment.second_price.")]
    for column in same:
        if linear[column].dtype.kind == "f":
            assert own[column].to_numpy() == pytest.approx(linear[column].to_numpy(), rel=1e-9, abs=1e-9, nan_ok=True)
        else:
            assert own[column].tolist() == linear[column].tolist()
    assert own["payment.own_rules:Toll.bob"].tolist() == pytest.approx((own["bid.bob"] * own["tokens"] / 4).tolist())


def test_both_are_audited(beside: Path, in_process: Command) -> None:
    done = in_process("audit", "own.yaml", "-q")
    assert done.returncode == 0, done.stderr
    (path,) = beside.glob("results/*/audit.csv")
    with path.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["rule"] == "own_rules:Blend"]

    def violated(check: str, payment: str, order: str) -> set[str]:
        return {
            row["violated"] for row in rows if (row["check"], row["payment"], row["order"]) == (check, payment, order)
        }

    assert violated("monotone", "", "robust") == {"0.0"}
    assert violated("regret", "second_price", "tv") == {"0.0"}
    assert violated("regret", "vcg", "kl") == {"0.0"}
    assert violated("regret", "own_rules:Toll", "tv") == {"1.0"}  # its claim is refuted
    assert not violated("equilibrium", "own_rules:Toll", "tv")


def test_what_a_minimal_rule_leaves_out_has_a_default(beside: Path) -> None:
    module = beside / "own_rules.py"
    module.write_text("class Flat:\n    def __call__(self, profile, bids):\n        return profile.agent(0)\n")
    flat = find("aggregation", "own_rules:Flat")
    assert flat.name == "own_rules:Flat"
    assert (flat.monotone_in, flat.is_linear_mixture, flat.objective) == (frozenset(), False, None)
    assert not flat.is_dictatorship
    assert flat.odds([1, 2]) is None
    assert not find("payment", "second_price").fits(flat, find("sampling", "stable"))


def test_a_rule_that_lacks_what_makes_it_one_is_named(beside: Path) -> None:
    assert beside
    with pytest.raises(UnknownRuleError, match=r"payment rule 'own_rules:Blend' cannot be loaded: .*expected"):
        find("payment", "own_rules:Blend")
