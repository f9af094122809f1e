"""What docs/how-to/adding-a-rule.md shows runs as it stands."""

from __future__ import annotations

import csv
import importlib
import re
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from conftest import Command
from hypothesis import given
from hypothesis import strategies as st
from mechanism_strategies import profiles

from tokenauction_cli.mechanism.audit.bidder import Bidder
from tokenauction_cli.mechanism.audit.monotone import monotone
from tokenauction_cli.mechanism.audit.preferences import TOLERANCE
from tokenauction_cli.mechanism.distributions import Profile
from tokenauction_cli.mechanism.registry import find
from tokenauction_cli.mechanism.terms import Terms

PAGE = (Path(__file__).parents[1] / "docs" / "how-to" / "adding-a-rule.md").read_text("utf-8")
FILES = {
    name: f"# {name}\n{text}"
    for name, text in re.findall(r"^```\w+\n# (\S+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
}
(COMMANDS,) = re.findall(r"^```console\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module", autouse=True)
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """All files of the page, beside each other."""
    path = tmp_path_factory.mktemp("page")
    for name, text in FILES.items():
        (path / name).write_text(text, "utf-8")
    sys.path.insert(0, str(path))
    importlib.invalidate_caches()
    yield path
    sys.path.remove(str(path))
    for name in FILES:
        sys.modules.pop(Path(name).stem, None)


def test_every_command_succeeds(folder: Path, tmp_path: Path, in_process: Command) -> None:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text, "utf-8")
    for line in COMMANDS.splitlines():
        program, *arguments = line.split()
        assert program == "tokauction"
        done = in_process(*arguments)
        assert done.returncode == 0, done.stderr
    cells = rows(tmp_path, "cells.csv")
    own = [row for row in cells if row["aggregation"] == "loudest:Loudest"]
    assert len(own) == len(cells) / 2
    assert all(row["payment.myerson_tv.ann"] and not row["payment.second_price.ann"] for row in own)
    assert all(row["payment.gain:PayBidTimesGain.bob"] for row in cells)
    found = [row for row in rows(tmp_path, "audit.csv") if row["rule"] == "loudest:Loudest"]
    monotone = {row["order"]: row["violated"] for row in found if row["check"] == "monotone" and row["agent"] == "ann"}
    assert monotone == {"robust": "1.0", "tv": "0.0", "kl": "0.0", "reverse_kl": "0.0"}
    truthful = [row for row in found if (row["check"], row["payment"], row["order"]) == ("regret", "myerson_tv", "tv")]
    assert {row["violated"] for row in truthful} == {"0.0"}
    assert [row for row in found if (row["check"], row["payment"]) == ("equilibrium", "gain:PayBidTimesGain")]


def rows(folder: Path, name: str) -> list[dict[str, str]]:
    (path,) = folder.glob(f"results/*/{name}")
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_sampler_draws_from_q(folder: Path) -> None:
    runpy.run_path(str(folder / "does_it.py"))


def test_the_page_asserts_the_laws(folder: Path) -> None:
    runpy.run_path(str(folder / "test_loudest.py"))


@given(profiles(zeros=False), st.data())
def test_the_aggregation_keeps_its_laws(profile: Profile, data: st.DataObject) -> None:
    n = profile.n_agents
    bids = data.draw(st.lists(st.floats(0.01, 10), min_size=n, max_size=n))
    i = data.draw(st.integers(0, n - 1))
    rule = find("aggregation", "loudest:Loudest")
    here = Bidder(rule, profile, Terms(tuple("abcd"[:n])), tuple(bids), i)
    for order in rule.monotone_in:
        assert monotone(here, order).size <= TOLERANCE
    np.testing.assert_allclose(rule(profile, np.eye(n)[i]).p, profile.p[i], atol=1e-15)
    np.testing.assert_allclose(rule(profile, np.array(bids) * 3).p, rule(profile, bids).p, atol=1e-12)
