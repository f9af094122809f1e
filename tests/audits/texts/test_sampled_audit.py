"""The audit of whole texts by seeds: against the enumeration of the same tables, resumed, over bytes, at its edges."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import DEMO_MODEL, Reader

from tokenauction_cli.api import run_experiment
from tokenauction_cli.audits.texts.audit_texts import KIND, AuditTexts, audit_texts
from tokenauction_cli.audits.texts.equilibria import contests, played_out
from tokenauction_cli.audits.texts.laws import Trial, Want
from tokenauction_cli.audits.texts.sampled import Sampled, mean
from tokenauction_cli.audits.texts.sampled_laws import SampledLaw, sampled_laws
from tokenauction_cli.audits.texts.screened import Screener
from tokenauction_cli.audits.texts.text_audit import exact_audit, sampled_audit
from tokenauction_cli.audits.texts.text_audit_rows import TextAuditRows
from tokenauction_cli.engine.loop.reporting import identity
from tokenauction_cli.engine.models.bidder_models import BidderModels
from tokenauction_cli.engine.plan import Cell
from tokenauction_cli.engine.rules import Rules
from tokenauction_cli.engine.run import SilentProgress
from tokenauction_cli.experiment.experiment import Agent, Experiment
from tokenauction_cli.experiment.format.audit import Judge
from tokenauction_cli.experiment.resolved.mechanism_choice import TokenAuction
from tokenauction_cli.experiment.resolved.text_audit import HONEST, AgentMisreport, TextAudit, Utility
from tokenauction_cli.mechanism.whole_texts import dynamics
from tokenauction_cli.mechanism.whole_texts.dynamics import Reply
from tokenauction_cli.mechanism.whole_texts.finding import Deviation, Equilibrium
from tokenauction_cli.runs.run_folder import RunFolder
from tokenauction_cli.system.errors import UsageError
from tokenauction_cli.worths.judges import JudgeQuestion
from tokenauction_cli.worths.worths import Judged

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
N = 240


def asked(
    utilities: Mapping[int, Sequence[tuple[str, float]]],
    seeds: int,
    bids: tuple[float, ...] | None = None,
    misreports: tuple[AgentMisreport, ...] = (),
    at: tuple[float, ...] = (1.0, 1.0),
) -> TextAudit:
    wanted = {agent: tuple(Utility(*one) for one in several) for agent, several in utilities.items()}
    return TextAudit(wanted, bids, misreports, seeds, at)


ALPHA = asked({0: [("count", 1.0)]}, 40, (0.5,))


def with_audit(experiment: Experiment, text_audit: TextAudit) -> Experiment:
    return replace(experiment, text_audit=text_audit)


def asked_in_vain(judge: Judge, questions: Iterable[JudgeQuestion]) -> Mapping[JudgeQuestion, float]:
    raise AssertionError("no utility has a judge")


@contextmanager
def texts_of(experiment: Experiment, folder: Path) -> Iterator[AuditTexts]:
    kept = RunFolder(folder)
    with kept.locked(), audit_texts(experiment, Rules.of(experiment), kept, SilentProgress()) as texts:
        yield texts


def audited(experiment: Experiment, folder: Path, judged: Judged = asked_in_vain) -> TextAuditRows:
    with texts_of(experiment, folder) as texts:
        return sampled_audit(experiment, Rules.of(experiment), texts, judged)


def laws_of(sampled: Sampled) -> list[SampledLaw]:
    experiment, rules = sampled.experiment, Rules.of(sampled.experiment)
    return list(sampled_laws(sampled, rules, Screener(experiment, rules, ())))


def bolder(agent: Agent) -> Agent:
    """The same with a three times as likely."""
    assert agent.distributions is not None
    rows = {prefix: {**row, "a": 3 * row["a"]} for prefix, row in agent.distributions.items()}
    sums = {prefix: sum(row.values()) for prefix, row in rows.items()}
    normal = {prefix: {token: p / sums[prefix] for token, p in row.items()} for prefix, row in rows.items()}
    return replace(agent, distributions=normal)


def lies(experiment: Experiment) -> tuple[AgentMisreport, ...]:
    alpha = experiment.agents[0]
    return AgentMisreport("temperature 0.5", 0, replace(alpha, temperature=0.5)), AgentMisreport(
        "distribution 1", 0, bolder(alpha)
    )


def group(rows: TextAuditRows, payment: str, agent: str, utility: str, rule: str = "linear") -> list[Deviation]:
    key = (rule, payment, agent, utility)
    return [row for row in rows.deviations if (row.aggregation, row.payment, row.agent, row.utility) == key]


def tried(rows: Sequence[Deviation], bid: float, report: str = HONEST) -> Deviation:
    return next(row for row in rows if (row.report, row.bid) == (report, bid))


def best(rows: Sequence[Deviation]) -> Deviation:
    [row] = [row for row in rows if row.best]
    assert (row.best, row.note[:4]) == ("tried", "best")
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
        if row.best in ("", "tried")
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
        law = next(law for law in laws_of(numbers) if (law.rule, law.payment) == ("linear", "second_price"))
        for trial in trials:
            for utility in markov.text_audit.utilities[0]:
                want = Want(0, utility)
                place = ("linear", "second_price", "alpha", utility.kind, place_of[trial.report], trial.bids[0])
                for seen, expected in (
                    (law.net(want, trial), true[place].mean_utility),
                    (law.paid(want, trial), true[place].mean_payment),
                ):
                    assert abs(seen.mean() - expected) < 4.5 * seen.std() / math.sqrt(N) + 1e-12, place
                assert mean(law.net(want, trial)) == by_place(sampled)[place].mean_utility


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


def test_where_best_replies_end_is_measured_as_enumerated(sampled: TextAuditRows, exact: TextAuditRows) -> None:
    found, true = (equilibrium(rows, "vcg", "count") for rows in (sampled, exact))
    assert (found.outcome, found.texts, found.method) == ("equilibrium", N, "seeds")
    assert (found.welfare_truth, found.welfare_best) == pytest.approx((true.welfare_truth, true.welfare_best), abs=0.15)
    assert found.revenue_truth == pytest.approx(true.revenue_truth, abs=0.05)
    assert found.regret_high > found.regret >= 0
    steps = [step for step in sampled.steps if (step.payment, step.utility) == ("vcg", "count")]
    assert (steps[0].agent, steps[0].bids, steps[0].moved) == ("", (1.0, 1.0), False)
    assert {step.agent for step in steps if step.step} == {"alpha", "beta"}


# What a text costs and measures


def test_expected_payments_of_one_token_by_hand(read: Reader, tmp_path: Path) -> None:
    """D H(b, S), where D = .25 is what Alpha has more of a than Beta, and H(b, 1) = ln(1 + b) - b / (1 + b)."""
    experiment = with_audit(read(DUEL), asked({0: [("count", 1.0), ("tv", 1.0)]}, 40))
    with texts_of(experiment, tmp_path / "run") as texts:
        for bid, q in ((1.0, 0.625), (3.0, 0.6875)):
            price = 0.25 * (math.log(1 + bid) - bid / (1 + bid))
            facts = texts.facts([Cell("", TokenAuction("linear"), 0, None, (bid, 1.0), seed) for seed in range(5)])
            for one in facts:
                assert one.paid["second_price"][0] == pytest.approx(price, abs=1e-12)
                assert one.measured["tv"] == pytest.approx((q - 0.75, 0.5 - q), abs=1e-12)
                assert one.measured["count"] == (float(one.text == "a"), float(one.text == "b"))
                assert one.is_cut
    row = tried(group(audited(experiment, tmp_path / "run"), "second_price", "alpha", "tv"), 1.0)
    assert row.mean_payment == pytest.approx(0.25 * (math.log(2) - 0.5), abs=1e-12)
    assert row.mean_utility == pytest.approx(-0.125 - row.mean_payment, abs=1e-12)


# Games


PAY_YOUR_BID = ("auction.payments=[pay_your_bid]",)


def test_best_replies_by_seeds_end_at_the_known_equilibrium(read: Reader, tmp_path: Path) -> None:
    """(d) Of bids from .5 on: one half less costs 1/24 of a mention and saves .5, whatever the other bids."""
    both = {0: [("count", 1.0)], 1: [("count", 1.0)]}
    rows = audited(with_audit(read(DUEL, *PAY_YOUR_BID), asked(both, 60, (0.5,))), tmp_path / "run")
    [found] = rows.equilibria
    assert (found.outcome, found.bids, found.values, found.rounds) == ("equilibrium", (0.5, 0.5), (1.0, 1.0), 2)
    assert (found.regret, found.regret_high, found.revenue_equilibrium) == (0.0, 0.0, 1.0)
    assert [step.moved for step in rows.steps] == [False, True, True, False, False]
    assert [step.bids for step in rows.steps][1:3] == [(0.5, 1.0), (0.5, 0.5)]
    assert all(step.low > 0 for step in rows.steps if step.moved)


def test_agents_without_a_value_keep_their_bids(read: Reader, tmp_path: Path) -> None:
    experiment = with_audit(read(DUEL, *PAY_YOUR_BID), asked({0: [("count", 1.0)]}, 40, at=(1.0, 2.0)))
    rows = audited(experiment, tmp_path / "run")
    [found] = rows.equilibria
    assert (found.bids, found.values) == ((0.0, 2.0), (1.0, None))
    assert {step.agent for step in rows.steps} == {"", "alpha"}
    assert {row.agent for row in rows.deviations} == {"alpha"}


def test_regret_welfare_and_revenue_come_from_texts_that_nothing_was_chosen_on(read: Reader, tmp_path: Path) -> None:
    both = {0: [("count", 1.0)], 1: [("count", 1.0)]}
    experiment = with_audit(read(DUEL), asked(both, 40, (0.5,)))
    with texts_of(experiment, tmp_path / "run") as texts:
        sampled = Sampled(experiment, texts, asked_in_vain)
        [(contest, path)] = played_out(laws_of(sampled), sampled.prepare).items()
        chosen = [trial for trial in sampled._facts if not trial.is_fresh]
        assert chosen
        for trial in chosen:
            del sampled._facts[trial]
        found = contest.equilibrium(path)
        law = contest.law
        assert isinstance(law, SampledLaw)
        weighted = law.weighted(contest.players).values()
        welfare = np.stack([sum(law.worth(want, trial) for want in contest.players) for trial in weighted])
        even, odd = (welfare[:, k::2].mean(axis=1) for k in (0, 1))
        assert found.welfare_best == pytest.approx((even[odd.argmax()] + odd[even.argmax()]) / 2)
        assert found.outcome == "equilibrium"
    records = RunFolder(tmp_path / "run", KIND).records().values()
    assert {record["seed"] for record in records} == set(range(80))


def test_a_cycle_is_told_as_one(read: Reader, tmp_path: Path) -> None:
    experiment = with_audit(read(DUEL), asked({0: [("count", 1.0)]}, 5))
    replies = (Reply(None, (1.0, 1.0)), Reply(0, (0.5, 1.0), 0.1, 0.1, moved=True))
    path = dynamics.Path(replies, "cycle", 3, ((1.0, 1.0), (0.5, 1.0)))
    with texts_of(experiment, tmp_path / "run") as texts:
        sampled = Sampled(experiment, texts, asked_in_vain)
        [contest] = contests(laws_of(sampled))
        sampled.prepare(contest.law.fresh_trials(contest.players, path.bids))
        found = contest.equilibrium(path)
    assert (found.outcome, found.bids, found.rounds) == ("cycle", (0.5, 1.0), 3)
    assert found.note == "bids return: (1, 1), (0.5, 1); only 5 seeds: 30 or more say something"


def test_the_regret_of_several_agents_is_bounded_together(read: Reader, tmp_path: Path) -> None:
    """One bound for all: never below that of either agent alone."""
    highest = []
    for k, agents in enumerate([(0,), (1,), (0, 1)]):
        experiment = with_audit(read(MARKOV), asked({i: [("count", 1.0)] for i in agents}, 60, (0.5,)))
        with texts_of(experiment, tmp_path / str(k)) as texts:
            sampled = Sampled(experiment, texts, asked_in_vain)
            contest = next(contests(laws_of(sampled)))
            sampled.prepare(contest.law.fresh_trials(contest.players, (1.0, 1.0)))
            highest.append(contest.law.regret(contest.players, (1.0, 1.0))[1])
    assert highest[2] >= max(highest[:2]) > 0


# Edges


def test_a_value_of_zero_brings_nothing_whatever_is_measured(read: Reader, tmp_path: Path) -> None:
    experiment = with_audit(read(DUEL), asked({0: [("count", 0.0)]}, 40, (0.0, 2.0)))
    rows = group(audited(experiment, tmp_path / "run"), "second_price", "alpha", "count")
    assert [(row.bid, row.mean_utility + row.mean_payment) for row in rows] == [(0.0, 0.0), (2.0, 0.0)]
    assert tried(rows, 2.0).gain == pytest.approx(-tried(rows, 2.0).mean_payment)
    assert best(rows).bid == 0.0


def test_what_a_table_rules_out_is_worth_minus_infinity(read: Reader, tmp_path: Path) -> None:
    """Alpha cannot say b: at any bid below all, some text is worth -inf to it, and at truth as well."""
    text = MARKOV.replace(str(ONE), str({"*": {"a": 1.0}}))
    utilities = {0: [("log_ratio", 1.0), ("reverse_kl", 1.0)]}
    experiment = with_audit(read(text, "auction.payments=[second_price]"), asked(utilities, 40, (0.5, 2.0)))
    found = audited(experiment, tmp_path / "run")
    for kind in ("log_ratio", "reverse_kl"):
        rows = group(found, "second_price", "alpha", kind)
        assert {(row.mean_utility, row.gain) for row in rows} == {(-math.inf, 0.0)}
        assert (best(rows).bid, best(rows).note[:33]) == (1.0, "best on this grid: regret at most")
        assert equilibrium(found, "second_price", kind).welfare_truth == -math.inf


def test_bids_that_sell_nothing_bring_nothing(read: Reader, tmp_path: Path) -> None:
    experiment = with_audit(read(DUEL), asked({0: [("count", 1.0)]}, 40, (0.0, 0.5), at=(1.0, 0.0)))
    rows = audited(experiment, tmp_path / "run")
    assert [row.bid for row in rows.deviations] == [0.0, 0.5, 1.0]
    assert (rows.deviations[0].mean_utility, rows.deviations[0].mean_payment) == (0, 0)
    nothing = with_audit(read(DUEL), asked({0: [("count", 0.0)]}, 40, at=(1.0, 0.0)))
    assert {row.gain for row in audited(nothing, tmp_path / "nothing").deviations if row.bid == 0} == {0}


def test_a_text_that_cannot_be_written_ends_the_audit_and_is_not_kept(read: Reader, tmp_path: Path) -> None:
    """Alone, Beta says b, and what follows is not in its table."""
    text = DUEL.replace("distribution: {a: 0.5, b: 0.5}", 'distributions: {"": {b: 1}, a: {a: 1}}')
    experiment = with_audit(read(text, "auction.max_tokens=2"), ALPHA)
    for _ in range(2):
        with pytest.raises(UsageError, match=r"a text of the audit cannot be written: .*'Beta'.*'b'"):
            audited(experiment, tmp_path / "run")
    assert {record["end_reason"] for record in RunFolder(tmp_path / "run", KIND).records().values()} <= {"length"}


def test_a_kind_that_nobody_values_has_no_game(read: Reader, tmp_path: Path) -> None:
    utilities = {0: [("count", 1.0), ("mention", 0.0)], 1: [("mention", 0.0)]}
    experiment = with_audit(read(DUEL), asked(utilities, 40, (1.0,)))
    assert {row.utility for row in audited(experiment, tmp_path / "run").equilibria} == {"count"}
    assert {row.utility for row in exact_audit(experiment, Rules.of(experiment), asked_in_vain).equilibria} == {"count"}


def test_a_reference_agent_never_deviates(read: Reader, tmp_path: Path) -> None:
    text = DUEL.replace("name: Beta,", "name: Beta, reference: true,")
    experiment = read(text, "sweep.seeds=1")
    assert list(experiment.text_audit.utilities) == [0]
    rows = audited(with_audit(experiment, asked({0: [("count", 1.0)]}, 40, (0.5,))), tmp_path / "run")
    assert {row.agent for row in rows.deviations} == {"alpha"}
    assert (rows.equilibria[0].bids[1], rows.equilibria[0].relative_weight_best) == (1.0, 1.0)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("max_tokens: 1", "max_tokens: 1, reserve: 0.3"), "a reserve voids the theory"),
        (("mentions: [a],", "mentions: [a], budget: 2,"), "a budget voids the theory"),
    ],
)
def test_what_the_theory_does_not_cover_is_said_in_every_row(
    read: Reader, tmp_path: Path, change: tuple[str, str], said: str
) -> None:
    text = DUEL.replace(*change).replace("max_tokens", "charge: second_price, max_tokens")
    experiment = with_audit(read(text if "budget" in text else text.replace("charge: second_price, ", "")), ALPHA)
    rows = audited(experiment, tmp_path / "run")
    assert all(said in row.note for row in [*rows.deviations, *rows.equilibria])


def test_few_seeds_and_few_queries_are_said(read: Reader, tmp_path: Path) -> None:
    experiment = with_audit(read(DUEL + "queries: [one, two]\n"), asked({0: [("count", 1.0)]}, 20, (0.5,)))
    rows = audited(experiment, tmp_path / "run")
    assert all("only 20 seeds: 30 or more say something" in row.note for row in [*rows.deviations, *rows.equilibria])
    assert "over only 2 queries: rough" in best(rows.deviations).note
    assert "over only 2 queries: rough" in rows.equilibria[0].note
    assert {row.texts for row in rows.deviations} == {40}


def test_few_changes_are_said_of_every_kind(read: Reader, tmp_path: Path) -> None:
    """A hair's breadth from truth all texts are the same: no spread, for a kind without a floor."""
    wanted = asked({0: [("count", 1.0), ("tv", 1.0)]}, 200, (1.0001, 64.0))
    rows = audited(with_audit(read(DUEL), wanted), tmp_path / "run")
    of_count, of_tv = (group(rows, "second_price", "alpha", kind) for kind in ("count", "tv"))
    assert "the count differs from truth's in fewer than 10 texts" in tried(of_count, 1.0001).note
    assert "fewer than 10 texts differ from truth's: its interval may be too narrow" in tried(of_tv, 1.0001).note
    assert not any("differ" in row.note for rows in (of_count, of_tv) for row in (tried(rows, 1), tried(rows, 64)))


def test_a_judge_is_asked_about_every_new_text_once(read: Reader, tmp_path: Path) -> None:
    judge, questions = Judge(model="m", prompt="?", value=1), []

    def judged(by: Judge, these: Iterable[JudgeQuestion]) -> Mapping[JudgeQuestion, float]:
        assert by is judge
        asked_now = list(these)
        questions.extend(asked_now)
        return {question: float(question.text == "a") for question in asked_now}

    text_audit = TextAudit({0: (Utility("judge", 2.0, judge), Utility("count", 2.0))}, (0.5,), (), 40, (1.0, 1.0))
    rows = audited(with_audit(read(DUEL), text_audit), tmp_path / "run", judged)
    by_judge, by_count = (group(rows, "second_price", "alpha", kind) for kind in ("judge", "count"))
    assert [row.mean_utility for row in by_judge] == [row.mean_utility for row in by_count]
    assert {question.agent for question in questions} == {"Alpha"}
    assert {question.text for question in questions} == {"a", "b"}


# Cells


def test_an_honest_text_is_that_of_the_run(read: Reader, tmp_path: Path) -> None:
    experiment = with_audit(read(MARKOV, "sweep.seeds=40"), asked({0: [("count", 1.0)]}, 40, (0.5,)))
    run = run_experiment(experiment, tmp_path, SilentProgress())
    audited(experiment, run.path)
    of_run, of_audit = run.folder.records(), run.folder.of(KIND).records()
    assert len(of_run.keys() & of_audit.keys()) == 2 * 40
    for cell in of_run.keys() & of_audit.keys():
        assert of_run[cell]["token_ids"] == of_audit[cell]["token_ids"]
        if of_run[cell]["aggregation"] == "linear":
            expected = of_run[cell]["payment.second_price_expected.alpha"]
            assert of_audit[cell]["payment.second_price.alpha"] == expected


def test_only_what_is_missing_is_evaluated(read: Reader, tmp_path: Path) -> None:
    experiment = with_audit(read(MARKOV), ALPHA)
    evaluated = []
    for text_audit in (ALPHA, ALPHA, asked({0: [("count", 1.0)]}, 41, (0.5,))):
        changed = replace(experiment, text_audit=text_audit)
        with texts_of(changed, tmp_path / "run") as texts:
            sampled_audit(changed, Rules.of(changed), texts, asked_in_vain)
            evaluated.append(texts.n_evaluations)
    assert evaluated[0] > 0
    assert evaluated[1] == 0
    assert evaluated[2] > 0
    files = sorted(path.name for path in (tmp_path / "run").glob("text_audit-*.jsonl"))
    assert files == ["text_audit-1.jsonl", "text_audit-2.jsonl"]  # one for each audit that wrote a text


def test_where_batches_matter_known_texts_are_not_written_again(
    read: Reader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Waves are repeated as a whole; what they have written before stays."""
    monkeypatch.setattr(BidderModels, "is_batch_invariant", property(lambda self: False))
    more = asked({0: [("count", 1.0)]}, 41, (0.5,))
    for text_audit in (ALPHA, more):
        audited(with_audit(read(DUEL), text_audit), tmp_path / "run")
    lines = [line for path in (tmp_path / "run").glob("text_audit-*") for line in path.read_text().splitlines()]
    assert len({line[:24] for line in lines}) == len(lines) > 0
    assert audited(with_audit(read(DUEL), more), tmp_path / "run") == audited(
        with_audit(read(DUEL), more), tmp_path / "at once"
    )


def test_cells_of_misreports_differ_by_what_is_reported(read: Reader) -> None:
    experiment = with_audit(read(DUEL), asked({0: [("count", 1.0)]}, 40))
    alpha = experiment.agents[0]
    told = [
        replace(alpha, temperature=0.5),
        replace(alpha, temperature=0.25),
        replace(alpha, prompt="one"),
        replace(alpha, prompt="two"),
        bolder(alpha),
    ]
    reports = ["", *(identity(experiment, AgentMisreport(f"report {k}", 0, said)) for k, said in enumerate(told))]
    cells = [Cell("", TokenAuction("linear"), 0, None, (1.0, 1.0), 0, report).id for report in reports]
    assert len(set(cells)) == len(told) + 1
    assert cells[0] == Cell("", TokenAuction("linear"), 3, 0.5, (1.0, 1.0), 0).id


def test_a_new_utility_measures_a_misreport_by_the_true_table(read: Reader, tmp_path: Path) -> None:
    """Texts of an audit of mentions do not know by whom they are measured: those of -TV are written anew."""
    experiment = read(DUEL)
    boast = (AgentMisreport("distribution 1", 0, bolder(experiment.agents[0])),)
    rows = [
        audited(with_audit(experiment, asked({0: [(kind, 1.0)]}, 40, (0.5,), boast)), tmp_path / "run")
        for kind in ("count", "tv")
    ]
    lie = tried(rows[1].deviations, 1.0, "distribution 1")
    assert lie.mean_utility + lie.mean_payment == pytest.approx(-abs(0.7 - 0.75), abs=1e-12)  # (.9 + .5) / 2


# A language model


@pytest.mark.model
@pytest.mark.slow
def test_a_false_prompt_is_measured_by_the_true_one(read: Reader, tmp_path: Path, model_path: Path) -> None:
    """Alone, honest, q is Alpha's p: nothing is lost, and nothing is beyond a reference with Alpha's own prompt."""
    text = f"""
name: alone
agents:
  - {{name: Alpha, model: {DEMO_MODEL}, prompt: "Fly to"}}
  - {{name: Beta, model: {DEMO_MODEL}, prompt: "Stay at"}}
reference: {{model: {DEMO_MODEL}, prompt: "Fly to"}}
auction: {{max_tokens: 2, aggregation: [linear], payments: [pay_your_bid]}}
audit:
  texts:
    value: {{Alpha: {{tv: 1, reverse_kl: 1, log_ratio: 1}}}}
    bids: [1]
    seeds: 3
    at: {{bids: {{Beta: 0}}}}
    reports: {{prompts: {{Alpha: ["The weather in"]}}}}
runtime: {{threads: 1, batch: 4}}
"""
    rows = audited(read(text), tmp_path / "run").deviations
    for kind in ("tv", "reverse_kl", "log_ratio"):
        truth, lie = (next(r for r in rows if (r.utility, r.report) == (kind, name)) for name in (HONEST, "prompt 1"))
        assert truth.mean_utility + truth.mean_payment == pytest.approx(0, abs=1e-6)
        assert lie.mean_payment == truth.mean_payment == 2.0
        assert (lie.gain < -0.05) is (kind != "log_ratio")
