"""The audit on the page: the largest gain in each cell and whose it is, in grids and in words."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import Reader
from hostile_run import SWEEP

from tokenauction_cli.analysis.run import Run
from tokenauction_cli.api import run_experiment
from tokenauction_cli.engine.run import SilentProgress
from tokenauction_cli.report.charts.audit_data import audit_payload
from tokenauction_cli.system.errors import StoreError

AUDIT = """\
rule,payment,agent,check,order,prefixes,violated,low,high,worst,token,detail
linear,,,defined,,4,0.25,0.25,0.25,1,,
linear,,alpha,monotone,tv,4,0,0,0,0,,
linear,pay_your_bid,alpha,regret,tv,4,0.5,0.5,0.5,2,,best bid 0.1 for a value of 1
linear,pay_your_bid,alpha,regret,kl,4,0.5,0.5,0.5,0.5,,
linear,second_price,alpha,regret,tv,4,0,0,0,0,,
linear,second_price,beta,regret,tv,4,0,0,0,1e-12,,
linear,second_price,alpha,regret,kl,4,1,0.5,1,0.25,,
linear,second_price,beta,misreport: sybils 2,tv,4,0.5,0.1,0.9,0.01,,
"""


@pytest.fixture
def swept(read: Reader, tmp_path: Path) -> Run:
    return run_experiment(read(SWEEP), tmp_path / "results", SilentProgress())


def test_the_audit_of_the_run_folder_is_shown(swept: Run) -> None:
    assert audit_payload(swept) is None
    swept.folder.write("audit.csv", AUDIT)
    audit = audit_payload(swept)
    assert audit["table"]["columns"] == AUDIT.splitlines()[0].replace("token,", "").split(",")
    assert audit["table"]["rows"][0][:6] == ["linear", "second_price", "alpha", "regret", "kl", 4]
    (linear,) = audit["rules"]
    assert linear["says"] == [
        "pay your bid: another bid than one’s value gains up to 2 in TV and 0.5 in forward KL.",
        "second price: another bid than one’s value gains up to 0.25 in forward KL; it is best in TV.",
    ]
    regret, misreport, promises = linear["grids"]
    assert [order["name"] for order in regret["orders"]] == ["TV", "forward KL"]
    paid = regret["rows"][0]["cells"]
    assert (paid["tv"]["text"], paid["tv"]["share"], paid["kl"]["share"]) == ("2", 1, 0.25)
    assert paid["tv"]["about"] == 'Alpha "A" <b>: up to 2 (best bid 0.1 for a value of 1), at 50\u00a0% of 4 prefixes.'
    assert regret["rows"][1]["cells"]["tv"]["about"] == "It holds at all 4 prefixes."
    assert misreport["rows"][0]["cells"]["tv"]["about"].startswith("Beta Resort: up to 0.01 (sybils 2)")
    assert promises["rows"][0]["cells"][""]["text"] == "25\u00a0%"
    words = {term for term, _ in audit["glossary"]}
    assert {"defined", "consistent", "regret", "sybils", "prefix", "forward KL", "reverse KL"} < words
    assert not words & {"boost", "temperature", "universally stable"}


def test_an_audit_of_other_columns_is_a_table(swept: Run) -> None:
    swept.folder.write("audit.csv", "rule,agent,violated,token\nlinear,,0,\nlinear,alpha,0.25,<b>\n")
    audit = audit_payload(swept)
    assert audit["rules"] == []
    assert audit["table"]["rows"] == [["linear", "alpha", 0.25, "<b>"], ["linear", "", 0, ""]]


@pytest.mark.parametrize(
    "spoiled",
    [AUDIT.replace("4,0.5", "4,half", 1), AUDIT.replace(",2,,best", ",much,,best"), AUDIT.partition("kl,4,0.5")[0]],
)
def test_a_spoiled_audit_is_an_error_that_names_it(swept: Run, spoiled: str) -> None:
    swept.folder.write("audit.csv", spoiled)
    with pytest.raises(StoreError, match=r"audit\.csv: not as .* audit again, or remove it"):
        audit_payload(swept)
