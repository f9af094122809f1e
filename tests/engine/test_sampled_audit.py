"""The audit of whole texts by seeds: against the enumeration of the same tables, resumed, over bytes, at its edges."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import Reader

from tokenauction_cli.api import run_experiment
from tokenauction_cli.engine.audit_texts import KIND, AuditTexts, audit_texts
from tokenauction_cli.engine.exact_audit import exact_audit
from tokenauction_cli.engine.judge import Question
from tokenauction_cli.engine.plan import Cell
from tokenauction_cli.engine.reporting import identity
from tokenauction_cli.engine.rules import Rules
from tokenauction_cli.engine.run import SilentProgress
from tokenauction_cli.engine.sampled import Payoff, Sampled, Trial, mean
from tokenauction_cli.engine.sampled_audit import sampled_audit
from tokenauction_cli.engine.text_audit_rows import TextAuditRows
from tokenauction_cli.engine.worths import Judged
from tokenauction_cli.experiment.experiment import Agent, Experiment
from tokenauction_cli.experiment.text_audit import HONEST, Judge, Misreport, TextAudit, Utility
from tokenauction_cli.mechanism.whole_texts.finding import Deviation, Equilibrium
from tokenauction_cli.runs.run_folder import RunFolder
from tokenauction_cli.system.errors import UsageError

ONE = {"": {"a": 0.7, "b": 0.2, "c": 0.1}, "a": {"a": 0.5, "b": 0.4, "c": 0.1}, "b": {"a": 0.8, "b": 0.1, "c": 0.1}}
ONE |= {"c": {"a": 0.2, "b": 0.2, "c": 0.6}}
TWO = {"": {"a": 0.1, "b": 0.6, "c": 0.3}, "a": {"a": 0.2, "b": 0.2, "c": 0.6}, "b": {"a": 0.3, "b": 0.6, "c": 0.1}}
TWO |= {"c": {"a": 0.1, "b": 0.1, "c": 0.8}}
MARKOV = f"""
name: markov
agents:
  - {{name: Alpha, mentions: [a], distributions: {ONE}}}
  - {{name: Beta, mentions: [b], distributions: {TWO}}}
reference: {{distribution: {{a: 0.25, b: 0.25, c: 0.5}}}}
auction: {{aggregation: [linear, log_linear], payments: [second_price, vcg], max_tokens: 2}}
"""
DUEL = """
name: duel
agents:
  - {name: Alpha, mentions: [a], distribution: {a: 0.75, b: 0.25}}
  - {name: Beta, mentions: [b], distribution: {a: 0.5, b: 0.5}}
auction: {aggregation: [linear], payments: [second_price], max_tokens: 1}
"""
KINDS = ("mention", "count", "tv", "log_ratio", "reverse_kl")
N = 300


def asked(
    utilities: Mapping[int, Sequence[tuple[str, float]]],
    seeds: int,
    bids: tuple[float, ...] | None = None,
    misreports: tuple[Misreport, ...] = (),
    at: tuple[float, ...] = (1.0, 1.0),
) -> TextAudit:
    wanted = {agent: tuple(Utility(*one) for one in several) for agent, several in utilities.items()}
    return TextAudit(wanted, bids, misreports, seeds, at)


def with_audit(experiment: Experiment, text_audit: TextAudit) -> Experiment:
    return replace(experiment, text_audit=text_audit)


def asked_in_vain(judge: Judge, questions: Iterable[Question]) -> Mapping[Question, float]:
    raise AssertionError("no utility has a judge")


@contextmanager
def texts_of(experiment: Experiment, folder: Path) -> Iterator[AuditTexts]:
    kept = RunFolder(folder)
    with kept.locked(), audit_texts(experiment, Rules.of(experiment), kept, SilentProgress()) as texts:
        yield texts


def audited(experiment: Experiment, folder: Path, judged: Judged = asked_in_vain) -> TextAuditRows:
    with texts_of(experiment, folder) as texts:
        return sampled_audit(experiment, Rules.of(experiment), texts, judged)


def bolder(agent: Agent) -> Agent:
    """The same with a three times as likely."""
    assert agent.distributions is not None
    rows = {prefix: {**row, "a": 3 * row["a"]} for prefix, row in agent.distributions.items()}
    sums = {prefix: sum(row.values()) for prefix, row in rows.items()}
    normal = {prefix: {token: p / sums[prefix] for token, p in row.items()} for prefix, row in rows.items()}
    return replace(agent, distributions=normal)


def lies(experiment: Experiment) -> tuple[Misreport, ...]:
    alpha = experiment.agents[0]
    return Misreport("temperature 0.5", 0, replace(alpha, temperature=0.5)), Misreport("distribution 1", 0, bolder(alpha))


def group(rows: TextAuditRows, payment: str, agent: str, utility: str, rule: str = "linear") -> list[Deviation]:
    key = (rule, payment, agent, utility)
    return [row for row in rows.deviations if (row.aggregation, row.payment, row.agent, row.utility) == key]


def tried(rows: Sequence[Deviation], bid: float, report: str = HONEST) -> Deviation:
    return next(row for row in rows if (row.report, row.bid) == (report, bid))


def best(rows: Sequence[Deviation]) -> Deviation:
    [row] = [row for row in rows if row.note.startswith("best")]
    return row


def equilibrium(rows: TextAuditRows, payment: str, utility: str, rule: str = "linear") -> Equilibrium:
    key = (rule, payment, utility)
    return next(row for row in rows.equilibria if (row.aggregation, row.payment, row.utility) == key)


# Against the enumeration


@pytest.fixture(scope="module")
def markov(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    from tokenauction_cli.experiment.experiment import load_experiment

    path = tmp_path_factory.mktemp("markov") / "experiment.yaml"
    path.write_text(MARKOV)
    experiment = load_experiment(path)
    kinds = dict.fromkeys(range(2), tuple((kind, 1.0) for kind in KINDS))
    return with_audit(experiment, asked(kinds, N, (0.5, 2.0), lies(experiment)))


@pytest.fixture(scope="module")
def sampled(markov: Experiment, tmp_path_factory: pytest.TempPathFactory) -> TextAuditRows:
    return audited(markov, tmp_path_factory.mktemp("sampled"))


@pytest.fixture(scope="module")
def exact(markov: Experiment) -> TextAuditRows:
    return exact_audit(markov, Rules.of(markov), asked_in_vain)


Place = tuple[str, str, str, str, str, float | None]


def by_place(rows: TextAuditRows) -> dict[Place, Deviation]:
    """Those of the grid."""
    return {
        (row.aggregation, row.payment, row.agent, row.utility, row.report, row.bid): row
        for row in rows.deviations
        if not row.note.startswith(("best constant", "best bid"))
    }


def test_the_grid_is_that_of_the_enumeration(sampled: TextAuditRows, exact: TextAuditRows) -> None:
    assert by_place(sampled).keys() == by_place(exact).keys()
    assert len(by_place(sampled)) == 3 * len(KINDS) * (9 + 3)  # linear has two payments, log-linear Clarke's
    assert {(row.method, row.texts) for row in sampled.deviations} == {("seeds", N)}


def test_the_bounds_of_every_gain_hold_the_enumerated_one(sampled: TextAuditRows, exact: TextAuditRows) -> None:
    """Of 30 groups, each with a chance of 5 %, two may miss; these seeds leave all but one of them inside."""
    true = by_place(exact)
    missed = {place[:4] for place, row in by_place(sampled).items() if not row.low <= true[place].gain <= row.high}
    assert len(missed) <= 2
    for place, row in by_place(sampled).items():
        assert abs(row.gain - true[place].gain) <= 1.7 * (row.high - row.low) / 2, place


def test_mean_utilities_and_payments_are_near_the_enumerated_ones(
    markov: Experiment, sampled: TextAuditRows, exact: TextAuditRows, tmp_path: Path
) -> None:
    """Within 4.5 standard errors, where all reports of Alpha are measured by its own table."""
    true, place_of = by_place(exact), {"": HONEST} | {identity(markov, lie): lie.name for lie in lies(markov)}
    with texts_of(markov, tmp_path / "run") as texts:
        numbers = Sampled(markov, texts, asked_in_vain)
        trials = [Trial("linear", (bid, 1.0), report) for bid in (0.5, 1.0, 2.0) for report in place_of]
        numbers.prepare(trials)
        for trial in trials:
            for utility in markov.text_audit.utilities[0]:
                payoff = Payoff(numbers, "second_price", 0, utility)
                place = ("linear", "second_price", "alpha", utility.kind, place_of[trial.report], trial.bids[0])
                for seen, expected in (
                    (payoff.net(trial), true[place].mean_utility),
                    (payoff.paid(trial), true[place].mean_payment),
                ):
                    assert abs(seen.mean() - expected) < 4.5 * seen.std() / math.sqrt(N) + 1e-12, place
                assert mean(payoff.net(trial)) == by_place(sampled)[place].mean_utility


def test_the_row_of_truth_is_exactly_zero(sampled: TextAuditRows) -> None:
    truths = [row for row in sampled.deviations if row.report == HONEST and row.bid == row.value]
    assert len(truths) == 3 * 2 * len(KINDS)
    assert {(row.gain, row.low, row.high) for row in truths} == {(0.0, 0.0, 0.0)}


def test_one_row_of_a_group_says_what_is_known_of_all(sampled: TextAuditRows) -> None:
    rows = group(sampled, "second_price", "alpha", "count")
    assert best(rows).gain == max(row.gain for row in rows)
    assert best(rows).report == "distribution 1"
    assert "best on this grid: regret at most " in best(rows).note
    assert "100% of truth's texts are cut at max_tokens" in best(rows).note
    assert "what one half of the seeds chooses gains " in best(rows).note


def test_best_replies_end_near_the_enumerated_equilibrium(sampled: TextAuditRows, exact: TextAuditRows) -> None:
    found, true = (equilibrium(rows, "vcg", "count") for rows in (sampled, exact))
    assert found.outcome == true.outcome == "equilibrium"
    assert found.bids[0] == true.bids[0] == 2.0  # the most that is tried
    assert found.note == "alpha bids 2, the most that is tried"
    for figure in ("welfare_truth", "welfare_equilibrium", "welfare_best"):
        assert getattr(found, figure) == pytest.approx(getattr(true, figure), abs=0.2)
    assert found.regret_high >= found.regret
    steps = [step for step in sampled.steps if (step.payment, step.utility) == ("vcg", "count")]
    assert (steps[0].agent, steps[0].bids, steps[0].moved) == ("", (1.0, 1.0), False)
    assert steps[-1].bids


# What a text costs and measures


def test_expected_payments_of_one_token_by_hand(read: Reader, tmp_path: Path) -> None:
    """D H(b, S): D is what Alpha has more of a than the others' mixture, .25; H(1, 1) = ln 2 - 1/2, H(3, 1) = ln 4 - 3/4."""
    experiment = with_audit(read(DUEL), asked({0: [("count", 1.0), ("tv", 1.0)]}, 40))
    with texts_of(experiment, tmp_path / "run") as texts:
        for bid, q in ((1.0, 0.625), (3.0, 0.6875)):
            price = 0.25 * (math.log(1 + bid) - bid / (1 + bid))
            facts = texts.facts([Cell("", "linear", 0, None, (bid, 1.0), seed) for seed in range(5)])
            for one in facts:
                assert one.paid["second_price"][0] == pytest.approx(price, abs=1e-12)
                assert one.measured["tv"] == pytest.approx((q - 0.75, 0.5 - q), abs=1e-12)
                assert one.measured["count"] == (float(one.text == "a"), float(one.text == "b"))
                assert one.is_cut
    row = tried(group(audited(experiment, tmp_path / "run"), "second_price", "alpha", "tv"), 1.0)
    assert row.mean_payment == pytest.approx(0.25 * (math.log(2) - 0.5), abs=1e-12)
    assert row.mean_utility == pytest.approx(-0.125 - row.mean_payment, abs=1e-12)
