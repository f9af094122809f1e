"""The audit of whole texts by enumeration: the numbers of two worked examples, and what cannot be enumerated."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from conftest import Reader

from tokenauction_cli.api import run_experiment
from tokenauction_cli.audits.texts.text_audit import exact_audit
from tokenauction_cli.audits.texts.text_audit_rows import TextAuditRows
from tokenauction_cli.engine.candidates.every_text import every_text
from tokenauction_cli.engine.rules import Rules
from tokenauction_cli.engine.run import SilentProgress
from tokenauction_cli.experiment.experiment import Agent, Experiment, load_experiment
from tokenauction_cli.experiment.format.audit import Judge
from tokenauction_cli.experiment.resolved.text_audit import HONEST, AgentMisreport, TextAudit, Utility
from tokenauction_cli.mechanism.whole_texts.finding import BestKind, Deviation, Equilibrium
from tokenauction_cli.system.errors import UsageError
from tokenauction_cli.worths.judges import JudgeQuestion
from tokenauction_cli.worths.worths import Judged

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

AGENTS = ("alpha", "beta")

Rows = dict[str, dict[str, float]]


def by_last_token(rows: Rows, length: int = 3) -> Rows:
    """A table for every prefix of up to `length` - 1 tokens, whose row depends on the last token."""
    prefixes = [""]
    for prefix in prefixes:
        if len(prefix.split()) < length - 1:
            prefixes += [f"{prefix} {token}".strip() for token in "abc"]
    return {prefix: rows[prefix.split()[-1] if prefix else ""] for prefix in prefixes}


M3 = f"""
name: m3
agents:
  - {{name: Alpha, mentions: [a], distributions: {by_last_token(ONE)}}}
  - {{name: Beta, mentions: [b], distributions: {by_last_token(TWO)}}}
auction: {{aggregation: [linear, log_linear], payments: [second_price, vcg], max_tokens: 3}}
"""


def asked(
    *kinds: str, misreports: tuple[AgentMisreport, ...] = (), at: tuple[float, ...] = (1.0, 1.0), agents: int = 2
) -> TextAudit:
    """All agents have these utilities, with the value 1."""
    utilities = tuple(Utility(kind, 1.0) for kind in kinds)
    return TextAudit(dict.fromkeys(range(agents), utilities), None, misreports, 200, at)


def asked_in_vain(judge: Judge, questions: Iterable[JudgeQuestion]) -> Mapping[JudgeQuestion, float]:
    raise AssertionError("no utility has a judge")


def audited(
    experiment: Experiment, text_audit: TextAudit, reference: Agent | None = None, judged: Judged = asked_in_vain
) -> TextAuditRows:
    asked_for = replace(experiment, text_audit=text_audit, reference=reference)
    return exact_audit(asked_for, Rules.of(experiment), judged)


def group(audit: TextAuditRows, aggregation: str, payment: str, agent: str, utility: str) -> list[Deviation]:
    key = (aggregation, payment, agent, utility)
    return [row for row in audit.deviations if (row.aggregation, row.payment, row.agent, row.utility) == key]


def tried(rows: list[Deviation], bid: float, report: str = HONEST) -> Deviation:
    """The row of a bid of the grid."""
    return next(row for row in rows if (row.report, row.bid) == (report, bid))


def best_of(rows: list[Deviation], kind: BestKind) -> Deviation:
    [row] = [row for row in rows if row.best == kind]
    return row


def equilibrium(audit: TextAuditRows, aggregation: str, payment: str, utility: str) -> Equilibrium:
    key = (aggregation, payment, utility)
    return next(row for row in audit.equilibria if (row.aggregation, row.payment, row.utility) == key)


@pytest.fixture(scope="module")
def of_m3(tmp_path_factory: pytest.TempPathFactory) -> TextAuditRows:
    """M3 by TV and by count, with two misreports of Alpha."""
    path = tmp_path_factory.mktemp("m3") / "experiment.yaml"
    path.write_text(M3)
    experiment = load_experiment(path)
    alpha = experiment.agents[0]
    assert alpha.distributions is not None
    boosted = {text: {**row, "a": 3 * row["a"]} for text, row in alpha.distributions.items()}
    sharper, bolder = replace(alpha, temperature=0.5), replace(alpha, distributions=boosted)
    misreports = (AgentMisreport("temperature 0.5", 0, sharper), AgentMisreport("distribution 1", 0, bolder))
    return audited(experiment, asked("tv", "count", misreports=misreports))


def test_example_a_is_the_counterexample_to_truthfulness(read: Reader) -> None:
    """(d) With s = 1/(1 + b) the utility is 1 - s - 2 s^2 + (1 + s) ln s, best where ln s - 4 s + 1/s = 0."""
    rows = group(audited(read(EXAMPLE_A), asked("tv")), "linear", "second_price", "one", "tv")
    assert tried(rows, 1).mean_utility == pytest.approx(-1.0397207708, abs=5e-11)
    assert tried(rows, 1).gain == 0
    constant, by_prefix = best_of(rows, "constant"), best_of(rows, "every_prefix")
    assert (constant.note, by_prefix.note) == ("best constant bid", "best bid for every prefix")
    assert constant.bid == pytest.approx(1.5131621279, abs=5e-11)
    assert constant.gain == pytest.approx(0.0369308294, abs=5e-11)
    assert (constant.low, constant.high) == (constant.gain, constant.gain)
    assert by_prefix.mean_utility == pytest.approx(-0.9907104653, abs=5e-11)
    assert by_prefix.gain == pytest.approx(0.0490103055, abs=5e-11)
    assert by_prefix.bid is None
    assert {(row.texts, row.method) for row in rows} == {(3, "exact")}


@pytest.mark.parametrize(
    ("aggregation", "payment", "of_a", "of_b", "paid"),
    [
        ("linear", "second_price", 1.134, 0.9565, (0.2789045287, 0.2789045287)),
        ("linear", "vcg", 1.134, 0.9565, (0.4403458490, 0.4487457589)),
        ("log_linear", "vcg", 1.1172932842, 0.9815794929, (0.5157274167, 0.5112403629)),
    ],
)
def test_m3_counts_brands_and_payments(
    of_m3: TextAuditRows, aggregation: str, payment: str, of_a: float, of_b: float, paid: tuple[float, float]
) -> None:
    for agent, count, amount in zip(("alpha", "beta"), (of_a, of_b), paid, strict=True):
        truth = tried(group(of_m3, aggregation, payment, agent, "count"), 1)
        assert truth.mean_payment == pytest.approx(amount, abs=5e-11)
        assert truth.mean_utility == pytest.approx(count - amount, abs=1e-10)
        assert truth.texts == 27


@pytest.mark.parametrize(("kind", "bid", "regret"), [("tv", 0.941967, 0.00063042), ("count", 0.828926, 0.00565957)])
def test_m3_regret_of_bidding_the_value(of_m3: TextAuditRows, kind: str, bid: float, regret: float) -> None:
    best = best_of(group(of_m3, "linear", "second_price", "alpha", kind), "constant")
    assert best.bid == pytest.approx(bid, abs=5e-7)
    assert best.gain == pytest.approx(regret, abs=5e-9)


def test_m3_an_aggressive_report_pays(of_m3: TextAuditRows) -> None:
    rows = group(of_m3, "linear", "second_price", "alpha", "count")
    reached = [tried(rows, 1, report).mean_utility for report in (HONEST, "temperature 0.5", "distribution 1")]
    assert reached == pytest.approx([0.85509547, 0.96208419, 1.06431921], abs=5e-9)
    assert best_of(rows, "tried").report == "distribution 1"
    assert {row.report for row in group(of_m3, "linear", "second_price", "beta", "count")} == {HONEST}


def test_m3_truth_is_measured_by_the_agent_s_own_table(of_m3: TextAuditRows) -> None:
    """A false report moves q, and -TV is still of Alpha's own p: multiplied out here, text by text."""
    own, rival = (np.array([list(row.values()) for row in table.values()]) for table in (ONE, TWO))
    boosted = own * [3, 1, 1] / (own * [3, 1, 1]).sum(axis=1, keepdims=True)
    q, expected = (boosted + rival) / 2, 0.0
    for text in product(range(3), repeat=3):
        states = [0, *(token + 1 for token in text[:2])]
        p = math.prod(q[state, token] for state, token in zip(states, text, strict=True))
        expected -= p * sum(0.5 * abs(own[state] - q[state]).sum() for state in states)
    rows = group(of_m3, "linear", "second_price", "alpha", "tv")
    lie = tried(rows, 1, "distribution 1")
    assert lie.mean_utility + lie.mean_payment == pytest.approx(expected, abs=1e-12)
    assert tried(rows, 0, "distribution 1").mean_utility == pytest.approx(tried(rows, 0).mean_utility, abs=1e-12)


def test_m3_equilibrium(of_m3: TextAuditRows) -> None:
    found = equilibrium(of_m3, "linear", "second_price", "count")
    assert (found.outcome, found.values, found.note) == ("equilibrium", (1, 1), "")
    assert found.bids == pytest.approx((0.862103, 0.184150), abs=1e-6)
    assert found.regret < 1e-9
    assert found.welfare_truth == pytest.approx(1.134 + 0.9565, abs=1e-12)
    assert found.relative_weight_best == pytest.approx(1, abs=1e-6)
    assert found.welfare_best == pytest.approx(2.575, abs=1e-9)  # Alpha alone: both brands are its own words
    assert found.price_of_anarchy == pytest.approx(found.welfare_best / found.welfare_equilibrium)
    assert found.revenue_truth == pytest.approx(2 * 0.2789045287, abs=1e-9)
    steps = [step for step in of_m3.steps if (step.payment, step.utility) == ("second_price", "count")]
    assert (steps[0].step, steps[0].agent, steps[0].bids, steps[0].moved) == (0, "", (1, 1), False)
    assert steps[-1].bids == found.bids
    assert [step.agent for step in steps[1:3]] == ["alpha", "beta"]


def test_losses_are_compared_the_other_way_round(of_m3: TextAuditRows) -> None:
    found = equilibrium(of_m3, "linear", "second_price", "tv")
    assert found.welfare_best < 0
    assert found.price_of_anarchy == pytest.approx(found.welfare_equilibrium / found.welfare_best)
    assert found.price_of_anarchy >= 1


def test_the_highest_bid_tried_is_no_equilibrium_beyond_doubt(of_m3: TextAuditRows) -> None:
    found = equilibrium(of_m3, "linear", "vcg", "count")
    assert found.bids[0] == 4
    assert found.outcome == "supremum"
    assert found.note == (
        "alpha has no best bid: the higher the better, and no bid is best; alpha bids 4, the most that is tried"
    )


def test_runs_agree_with_the_enumeration(read: Reader, tmp_path: Path) -> None:
    """Counts and payments of 600 seeds, within 4.5 standard errors."""
    experiment = read(M3 + "sweep: {seeds: 600}\n", "auction.aggregation=[linear]", "auction.payments=[second_price]")
    cells = run_experiment(experiment, tmp_path / "results", SilentProgress()).cells
    truths = [
        tried(group(audited(experiment, asked("count")), "linear", "second_price", a, "count"), 1) for a in AGENTS
    ]
    for agent, truth in zip(AGENTS, truths, strict=True):
        paid = cells[f"payment.second_price_expected.{agent}"]
        utility = cells[f"mentions.{agent}"] - paid
        for seen, mean in ((paid, truth.mean_payment), (utility, truth.mean_utility)):
            assert abs(seen.mean() - mean) < 4.5 * seen.std() / math.sqrt(len(cells))


ENDING = """
name: ending
agents:
  - {name: Red, distributions: {"": {red: 0.5, stop: 0.5}, "*": {red: 0.5, "<end>": 0.5}}}
  - {name: Blue, distributions: {"": {blue: 1}, "*": {blue: 0.5, stop: 0.5}}}
auction: {aggregation: [linear], payments: [second_price], max_tokens: 3, stop: [stop]}
"""


def test_texts_end_as_in_a_run(read: Reader, tmp_path: Path) -> None:
    """By the end token, by a stop string, by length; the texts, their number and their decoding are those of a run."""
    experiment = read(ENDING + "sweep: {seeds: 500}\n")
    every = every_text(experiment, Rules.of(experiment))
    enumerated = sorted(every.tree.texts[leaf] for leaf in every.tree.leaves)
    assert enumerated == sorted(
        ["", *(f"{a} " for a in ("red", "blue")), *(f"{a} {b} " for a in ("red", "blue") for b in ("red", "blue"))]
        + ["red", "blue", *(f"{a} {b}" for a in ("red", "blue") for b in ("red", "blue"))]
        + [f"{a} {b} {c}" for a in ("red", "blue") for b in ("red", "blue") for c in ("red", "blue")]
    )
    cells = run_experiment(experiment, tmp_path / "results", SilentProgress()).cells
    assert set(cells["text"]) == set(enumerated)


def test_log_ratio_and_reverse_kl(read: Reader) -> None:
    """Over all texts -sum KL(q || p_i) is -KL(P || pi_i); l_i - l_0 is -KL(P || pi_i) + KL(P || pi_0)."""
    experiment = read(M3, "auction.aggregation=[linear]", "auction.payments=[second_price]", "auction.max_tokens=2")
    reference = replace(experiment.agents[0], name="nobody", distributions=UNIFORM)
    audit = audited(experiment, asked("log_ratio", "reverse_kl", at=(1.0, 0.0)), reference)
    alone = tried(group(audit, "linear", "second_price", "alpha", "reverse_kl"), 1)
    assert alone.mean_utility == pytest.approx(0, abs=1e-12)
    every = every_text(replace(experiment, reference=reference), Rules.of(experiment))
    leaves, p = every.tree.leaves, np.exp(every.log_p[every.tree.leaves, 0])
    assert p.sum() == pytest.approx(1, abs=1e-12)
    expected = float(p @ every.log_p[leaves, 0]) + 2 * math.log(3)
    ratio = tried(group(audit, "linear", "second_price", "alpha", "log_ratio"), 1)
    assert ratio.mean_utility == pytest.approx(expected, abs=1e-12)


def test_what_an_agent_rules_out_is_worth_minus_infinity(read: Reader) -> None:
    experiment = read(EXAMPLE_A)
    reference = replace(experiment.agents[0], distributions={"*": {"A": 0.5, "B": 0.5}})
    audit = audited(experiment, asked("log_ratio", "reverse_kl"), reference)
    for kind in ("log_ratio", "reverse_kl"):
        rows = group(audit, "linear", "second_price", "one", kind)
        assert all(row.mean_utility == -math.inf and row.gain == 0 for row in rows)
        found = equilibrium(audit, "linear", "second_price", kind)
        assert (found.welfare_truth, found.regret, found.price_of_anarchy) == (-math.inf, 0, None)


def test_a_report_may_say_what_nobody_would(read: Reader) -> None:
    """One says C: those texts come, its own table rules them out, and where Two knows no such prefix that is said."""
    text = EXAMPLE_A.replace("name: One,", "name: One, mentions: [C],")
    experiment = read(text.replace("B: {B: 1}}", '"*": {B: 1}}'))
    one = experiment.agents[0]
    reference = replace(one, distributions={"*": {"A": 1 / 3, "B": 1 / 3, "C": 1 / 3}})
    misreports = (AgentMisreport("distribution 1", 0, replace(one, distributions={"*": {"C": 1.0}})),)
    text_audit = asked("count", "log_ratio", misreports=misreports)
    audit = audited(experiment, text_audit, reference)
    rows = group(audit, "linear", "second_price", "one", "count")
    assert [tried(rows, 1, report).mean_utility for report in (HONEST, "distribution 1")] == pytest.approx(
        [-tried(rows, 1).mean_payment, 1 - tried(rows, 1, "distribution 1").mean_payment], abs=1e-12
    )
    ruled_out = group(audit, "linear", "second_price", "one", "log_ratio")
    assert tried(ruled_out, 1, "distribution 1").mean_utility == -math.inf
    with pytest.raises(UsageError, match="agent 'Two' has no distribution for the prefix 'C'"):
        audited(read(text), text_audit, reference)


def test_a_judge_is_asked_once_for_every_text_and_query(read: Reader) -> None:
    experiment = read(EXAMPLE_A + "queries: [good, bad]\n")
    judge, questions = Judge(model="m", prompt="?", value=1), []

    def judged(by: Judge, these: Iterable[JudgeQuestion]) -> Mapping[JudgeQuestion, float]:
        assert by is judge
        questions.extend(these)
        return {asked: float(asked.query == "good" and asked.text == "A A") for asked in questions}

    text_audit = TextAudit({0: (Utility("judge", 3.0, judge),)}, (0.0,), (), 200, (3.0, 1.0))
    audit = audited(experiment, text_audit, judged=judged)
    assert len(questions) == len(set(questions)) == 2 * 3
    rows = group(audit, "linear", "second_price", "one", "judge")
    assert tried(rows, 3).mean_utility + tried(rows, 3).mean_payment == pytest.approx(3 * 0.5 * 3 / 4, abs=1e-12)


def test_agents_without_the_utility_keep_their_bids(read: Reader) -> None:
    experiment = read(M3, "auction.aggregation=[linear]", "auction.payments=[second_price]")
    text_audit = TextAudit({0: (Utility("count", 1.0),)}, None, (), 200, (1.0, 1.0))
    audit = audited(experiment, text_audit)
    found = equilibrium(audit, "linear", "second_price", "count")
    best = best_of(group(audit, "linear", "second_price", "alpha", "count"), "constant")
    assert found.bids == (pytest.approx(best.bid, abs=1e-5), 1)
    assert found.values == (1, None)
    assert {step.agent for step in audit.steps} == {"", "alpha"}


def test_a_reference_agent_neither_deviates_nor_pays(read: Reader) -> None:
    text = M3.replace("name: Beta,", "name: Beta, reference: true,").replace("linear, log_linear", "linear")
    audit = audited(read(text), asked("count"))
    assert {row.agent for row in audit.deviations} == {"alpha"}
    found = equilibrium(audit, "linear", "second_price", "count")
    assert found.revenue_truth == pytest.approx(0.2789045287, abs=5e-11)
    assert (found.bids[1], found.relative_weight_best) == (1, 1)


def test_a_reserve_is_said_to_void_the_theory(read: Reader) -> None:
    experiment = read(M3, "auction.reserve=0.1", "auction.aggregation=[linear]", "auction.payments=[second_price]")
    audit = audited(experiment, asked("count"))
    assert all(row.note.endswith("a reserve voids the theory") for row in [*audit.deviations, *audit.equilibria])
    assert [row.note[:5] for row in audit.deviations if row.best == "tried"] == ["best;"] * 2


@pytest.mark.parametrize(
    ("text", "kinds", "message"),
    [
        (M3.replace("name: Alpha,", "name: Alpha, budget: 2,").replace("max_t", "charge: vcg, max_t"), "tv", "budget"),
        (
            M3.replace("max_tokens: 3", "max_tokens: 4"),
            "tv",
            "agent 'Alpha' has no distribution for the prefix 'a a a'",
        ),
        (EXAMPLE_A.replace("max_tokens: 2", "max_tokens: 20").replace("B: {B", '"*": {B'), "tv", "at most 20,000"),
        (EXAMPLE_A.replace("linear", "log_linear").replace("second_price", "vcg"), "tv", "stops: after '': log-linear"),
    ],
)
def test_what_cannot_be_enumerated_is_said(read: Reader, text: str, kinds: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        audited(read(text), asked(kinds))


def test_bids_that_are_all_zero_sell_nothing(read: Reader) -> None:
    """Truth is then worth nothing and pays nothing."""
    text_audit = TextAudit({0: (Utility("tv", 0.0),)}, None, (), 200, (0.0, 0.0))
    found = audited(read(EXAMPLE_A), text_audit)
    (truth,) = {row for row in found.deviations if row.bid == 0 and row.best != "constant"}
    assert (truth.mean_utility, truth.mean_payment, truth.gain) == (0, 0, 0)
