"""The audit of whole texts by enumeration: the numbers of two worked examples, and what cannot be enumerated."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from conftest import Reader

from tokenauction_cli.engine.exact_audit import ExactAudit, exact_audit
from tokenauction_cli.engine.rules import Rules
from tokenauction_cli.experiment.experiment import Agent, Experiment
from tokenauction_cli.experiment.text_audit import HONEST, Misreport, TextAudit, Utility
from tokenauction_cli.mechanism.whole_texts.finding import Deviation

EXAMPLE_A = """
name: example-a
agents:
  - {name: One, distributions: {"*": {A: 1}}}
  - {name: Two, distributions: {"": {B: 1}, A: {A: 1}, B: {B: 1}}}
auction: {aggregation: [linear], payments: [second_price], max_tokens: 2}
"""

ONE = {"": {"a": 0.7, "b": 0.2, "c": 0.1}, "a": {"a": 0.5, "b": 0.4, "c": 0.1}, "b": {"a": 0.8, "b": 0.1, "c": 0.1}}
ONE |= {"c": {"a": 0.2, "b": 0.2, "c": 0.6}}
TWO = {"": {"a": 0.1, "b": 0.6, "c": 0.3}, "a": {"a": 0.2, "b": 0.2, "c": 0.6}, "b": {"a": 0.3, "b": 0.6, "c": 0.1}}
TWO |= {"c": {"a": 0.1, "b": 0.1, "c": 0.8}}
UNIFORM = {"*": {"a": 1 / 3, "b": 1 / 3, "c": 1 / 3}}

Rows = dict[str, dict[str, float]]


def by_last_token(rows: Rows, length: int = 3) -> Rows:
    """A table for every prefix of up to `length` - 1 tokens, whose row depends on the last token."""
    prefixes = [""]
    for prefix in prefixes:
        if len(prefix.split()) < length - 1:
            prefixes += [f"{prefix} {token}".strip() for token in "abc"]
    return {prefix: rows[prefix.split()[-1] if prefix else ""] for prefix in prefixes}


def m3(read: Reader, *overrides: str, payments: str = "second_price, vcg") -> Experiment:
    return read(
        f"""
name: m3
agents:
  - {{name: Alpha, mentions: [a], distributions: {by_last_token(ONE)}}}
  - {{name: Beta, mentions: [b], distributions: {by_last_token(TWO)}}}
auction: {{aggregation: [linear, log_linear], payments: [{payments}], max_tokens: 3}}
""",
        *overrides,
    )


def asked(*kinds: str, misreports: tuple[Misreport, ...] = (), at: tuple[float, ...] = (1.0, 1.0)) -> TextAudit:
    """Both agents have these utilities, with the value 1."""
    utilities = tuple(Utility(kind, 1.0) for kind in kinds)
    return TextAudit({0: utilities, 1: utilities}, None, misreports, 200, at)


def audited(experiment: Experiment, text_audit: TextAudit, reference: Agent | None = None) -> ExactAudit:
    return exact_audit(experiment, text_audit, reference, Rules.of(experiment), None)


def rows(audit: ExactAudit, aggregation: str, payment: str, agent: str, utility: str) -> list[Deviation]:
    key = (aggregation, payment, agent, utility)
    return [row for row in audit.deviations if (row.aggregation, row.payment, row.agent, row.utility) == key]


def row_of(found: list[Deviation], report: str, bid: float) -> Deviation:
    [row] = [row for row in found if (row.report, row.bid) == (report, bid) and not row.note.startswith("best c")]
    return row


def note_of(found: list[Deviation], note: str) -> Deviation:
    [row] = [row for row in found if row.note == note]
    return row


def test_example_a_is_the_counterexample_to_truthfulness(read: Reader) -> None:
    audit = audited(read(EXAMPLE_A), asked("tv"))
    found = rows(audit, "linear", "second_price", "one", "tv")
    assert row_of(found, HONEST, 1).mean_utility == pytest.approx(-1.5 * math.log(2), abs=1e-12)
    assert row_of(found, HONEST, 1).gain == 0
    constant, dynamic = note_of(found, "best constant bid"), note_of(found, "best bid for every prefix")
    assert constant.bid == pytest.approx(1.5131621504, abs=5e-11)
    assert constant.gain == pytest.approx(0.0369308294, abs=5e-11)
    assert (constant.low, constant.high) == (constant.gain, constant.gain)
    assert dynamic.mean_utility == pytest.approx(-math.log(2 + math.log(2)), abs=1e-12)
    assert dynamic.gain == pytest.approx(0.0490103055, abs=5e-11)
    assert dynamic.bid is None
    assert {(row.texts, row.method) for row in found} == {(4, "exact")}


@pytest.mark.parametrize(
    ("aggregation", "payment", "of_a", "of_b", "paid"),
    [
        ("linear", "second_price", 1.134, 0.9565, (0.2789045287, 0.2789045287)),
        ("linear", "vcg", 1.134, 0.9565, (0.4403458490, 0.4487457589)),
        ("log_linear", "vcg", 1.1172932760, 0.9815794910, (0.5157274167, 0.5112403629)),
    ],
)
def test_m3_counts_brands_and_payments(
    read: Reader, aggregation: str, payment: str, of_a: float, of_b: float, paid: tuple[float, float]
) -> None:
    audit = audited(m3(read), asked("count"))
    for agent, count, amount in zip(("alpha", "beta"), (of_a, of_b), paid, strict=True):
        truth = row_of(rows(audit, aggregation, payment, agent, "count"), HONEST, 1)
        assert truth.mean_payment == pytest.approx(amount, abs=5e-11)
        assert truth.mean_utility == pytest.approx(count - amount, abs=1e-10)
        assert truth.texts == 27


@pytest.mark.parametrize(("kind", "bid", "regret"), [("tv", 0.941967, 0.00063042), ("count", 0.828926, 0.00565957)])
def test_m3_regret_of_bidding_the_value(read: Reader, kind: str, bid: float, regret: float) -> None:
    found = rows(audited(m3(read), asked(kind)), "linear", "second_price", "alpha", kind)
    best = note_of(found, "best constant bid")
    assert best.bid == pytest.approx(bid, abs=5e-7)
    assert best.gain == pytest.approx(regret, abs=5e-9)


def test_m3_an_aggressive_prompt_pays(read: Reader) -> None:
    experiment = m3(read)
    alpha = experiment.agents[0]
    assert alpha.distributions is not None
    boosted = {text: {**row, "a": 3 * row["a"]} for text, row in alpha.distributions.items()}
    misreports = (
        Misreport("temperature 0.5", 0, replace(alpha, temperature=0.5)),
        Misreport("distribution 1", 0, replace(alpha, distributions=boosted)),
    )
    audit = audited(experiment, asked("count", misreports=misreports))
    found = rows(audit, "linear", "second_price", "alpha", "count")
    reached = [row_of(found, report, 1).mean_utility for report in (HONEST, "temperature 0.5", "distribution 1")]
    assert reached == pytest.approx([0.85509547, 0.96208419, 1.06431921], abs=5e-9)
    assert next(row for row in found if row.note == "best").report == "distribution 1"
    assert {row.report for row in rows(audit, "linear", "second_price", "beta", "count")} == {HONEST}
