"""What an audit of whole texts found, as frames, tables and words: from rows that are written by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
from conftest import Reader

from tokenauction_cli.analysis.tables.tables import render
from tokenauction_cli.analysis.tables.text_audit_tables import (
    best_of,
    cautions,
    deviation_in_words,
    groups_of,
    regret_at_most,
    text_audit_frames,
    text_audit_paragraphs,
    text_audit_tables,
    truth_of,
)
from tokenauction_cli.audits.texts.text_audit_rows import TextAuditRows
from tokenauction_cli.experiment.experiment import Experiment
from tokenauction_cli.mechanism.whole_texts.finding import Deviation, Equilibrium, Step
from tokenauction_cli.statistics.intervals import Estimate

TWO = """
name: two
agents:
  - {name: Alpha Air, id: alpha, distribution: {x: 1}}
  - {name: Beta, id: beta, distribution: {y: 1}}
auction: {payments: [second_price]}
audit: {texts: {value: {alpha: {mention: 2}}, seeds: 50}}
"""
TRUTH = Deviation("linear", "second_price", "alpha", "mention", "honest", 2.0, 2.0, 1.5, 0.25, 0, 0, 0, 50, "seeds")
LOW = replace(TRUTH, bid=1.0, mean_utility=1.6, gain=0.1, low=-0.1, high=0.3, best="tried")
LIE = replace(TRUTH, report="prompt 1", mean_utility=1.55, gain=0.05, low=-0.15, high=0.25)
END = Equilibrium(
    "linear", "second_price", "mention", "equilibrium", 1, (2.0, 1.0), (2.0, None), 0.02, 0.1,
    1.5, 1.5, 1.8, 0.9, 0.5, 0.5, 0.2, 1.2, 50, "seeds",
)  # fmt: skip
START = Step("linear", "second_price", "mention", 0, "", (2.0, 1.0), 0.0, 0.0, moved=False)
FOUND = TextAuditRows([LOW, TRUTH, LIE], [END], [START])
EXACT = [replace(row, method="exact", low=row.gain, high=row.gain) for row in FOUND.deviations]
CONSTANT = replace(EXACT[0], bid=1.25, gain=0.125, low=0.125, high=0.125, best="constant")
DYNAMIC = replace(EXACT[0], bid=None, gain=0.5, low=0.5, high=0.5, best="every_prefix")


@pytest.fixture
def experiment(read: Reader) -> Experiment:
    return read(TWO)


def words(experiment: Experiment, *rows: Deviation) -> str:
    """The line of one group."""
    return text_audit_paragraphs(experiment, TextAuditRows(list(rows), [], []))[0].splitlines()[1]


def end(experiment: Experiment, **changed: object) -> str:
    """The line of an equilibrium."""
    row = replace(END, **changed)  # type: ignore[arg-type]
    return text_audit_paragraphs(experiment, TextAuditRows([], [row], []))[0].splitlines()[1]


# Frames


def test_frames_have_the_columns_of_the_files(experiment: Experiment) -> None:
    frames = text_audit_frames(experiment, FOUND)
    assert list(frames["text_audit.csv"].columns[9:]) == [
        *("gain", "gain.low", "gain.high", "texts", "method", "best", "note"),
    ]
    assert list(frames["text_equilibrium.csv"].columns[3:11]) == [
        *("outcome", "rounds", "bid.alpha", "bid.beta", "value.alpha", "value.beta", "regret", "regret.high"),
    ]
    assert list(frames["text_equilibrium.csv"].columns[11:18]) == [
        *("welfare.truth", "welfare.equilibrium", "welfare.best", "relative_weight.best"),
        *("revenue.truth", "revenue.equilibrium", "revenue.best"),
    ]
    assert list(frames["text_dynamics.csv"].columns) == [
        *("aggregation", "payment", "utility", "step", "agent", "bid.alpha", "bid.beta", "gain", "gain.low", "moved"),
    ]
    assert len(frames["text_audit.csv"]) == 3


def test_frames_without_rows_have_the_same_columns(experiment: Experiment) -> None:
    full, empty = (text_audit_frames(experiment, rows) for rows in (FOUND, TextAuditRows()))
    for name, frame in empty.items():
        assert list(frame.columns) == list(full[name].columns)
        assert frame.empty


# Groups


def test_a_group_is_one_payment_agent_and_utility(experiment: Experiment) -> None:
    other = replace(LOW, agent="beta")
    assert groups_of([LOW, other, TRUTH, LIE]) == [[LOW, TRUTH, LIE], [other]]
    assert truth_of([LOW, TRUTH, LIE]) is TRUTH
    assert best_of([TRUTH, LOW, LIE]) is LOW
    assert best_of([DYNAMIC, CONSTANT, *EXACT]) is EXACT[0]


def test_what_a_note_says_finds_no_row(experiment: Experiment) -> None:
    """Sentences are for readers: those that begin with `best`, or speak of a constant, change no table and no words."""
    plain = [*EXACT, CONSTANT, DYNAMIC]
    told = [replace(row, note=f"best constant {k}; best bid for nobody") for k, row in enumerate(plain)]
    shown = [
        (text_audit_tables(experiment, rows), text_audit_paragraphs(experiment, rows))
        for rows in (TextAuditRows(plain), TextAuditRows(told))
    ]
    assert shown[0] == shown[1]


def test_regret_is_the_largest_upper_bound_and_never_below_zero() -> None:
    assert regret_at_most([LOW, TRUTH, LIE]) == 0.3
    assert regret_at_most([TRUTH, replace(LOW, high=-0.1)]) == 0
    assert regret_at_most([*EXACT, CONSTANT, DYNAMIC]) == 0.125
    assert regret_at_most([TRUTH]) == 0


def test_deviations_in_words() -> None:
    told = [deviation_in_words(row) for row in (TRUTH, LOW, LIE, DYNAMIC)]
    assert told == ["truth", "bid 1", "bid 2, prompt 1", "a bid for every prefix"]


# Tables


def test_tables(experiment: Experiment) -> None:
    best, ends = text_audit_tables(experiment, FOUND)
    assert best.rows == (("second price", "Alpha Air", "mention", 2.0, 1.5, "bid 1", Estimate(0.1, -0.1, 0.3), 0.3),)
    assert dict(zip(ends.columns, ends.rows[0], strict=True)) == {
        "payment": "second price",
        "utility": "mention",
        "ends as": "equilibrium",
        "Alpha Air bids": 2.0,
        "Beta bids": 1.0,
        "regret at most": 0.1,
        "welfare at truth": 1.5,
        "welfare there": 1.5,
        "best welfare": 1.8,
        "revenue at truth": 0.5,
        "revenue there": 0.5,
    }
    assert "0.1 \\[-0.1, 0.3\\]" in render([best], "md")


def test_a_mechanism_is_named_once(read: Reader) -> None:
    """`payment` and `aggregation` both hold its name: told in the title, and in programs' tables as `mechanism`."""
    experiment = read(TWO.replace("payments:", "mechanism: [token_auction, lottery], payments:"))
    lottery = [replace(row, aggregation="lottery", payment="lottery") for row in FOUND.deviations]
    ends = [END, replace(END, aggregation="lottery", payment="lottery")]
    found = TextAuditRows([*FOUND.deviations, *lottery], ends)
    tokens, other, _, end_of_other = text_audit_tables(experiment, found)
    assert other.title.startswith("lottery: ")
    assert (tokens.columns, tokens.n_heads) == (("payment", *other.columns), other.n_heads + 1)
    assert (other.columns[:2], end_of_other.columns[:2]) == (("agent", "utility"), ("utility", "ends as"))
    assert other.keys == (("mechanism", "lottery"), ("aggregation", ""))
    assert tokens.keys == (("mechanism", "token_auction"), ("aggregation", "linear"))
    heads = [said.splitlines()[0] for said in text_audit_paragraphs(experiment, found)]
    assert heads[:2] == ["linear, second price:", "lottery:"]


def test_exact_gains_have_no_interval(experiment: Experiment) -> None:
    [best] = text_audit_tables(experiment, TextAuditRows([*EXACT, CONSTANT, DYNAMIC]))
    assert best.rows[0][-2:] == (0.1, 0.125)
    assert best.notes == ()


# Words


def test_words_of_bounds(experiment: Experiment) -> None:
    head = "Alpha Air, to whom a mention is worth 2, gets 1.5 by truth. "
    nothing = words(experiment, LOW, TRUTH, LIE)
    assert nothing == f"{head}None of 2 deviations is known to gain: regret at most 0.3 (95 %) on this grid."
    gains = words(experiment, replace(LOW, low=0.05), TRUTH, LIE)
    assert gains == f"{head}Of 2 deviations bid 1 is best: one gains at least 0.05, none more than 0.3 (95 %)."
    assert words(experiment, replace(TRUTH, best="tried")) == f"{head}Nothing else was tried."


def test_words_of_exact_gains(experiment: Experiment) -> None:
    told = words(experiment, *EXACT, CONSTANT, DYNAMIC)
    assert told.endswith("Bid 1 gains 0.1; bid 1.25 gains 0.125; a bid for every prefix gains 0.5.")
    same = words(experiment, *EXACT, replace(CONSTANT, bid=1.0, gain=0.1))
    assert same.endswith("by truth. Bid 1 gains 0.1.")
    truth = [replace(row, gain=0.0, best="tried" if row.bid == row.value else "") for row in EXACT]
    assert words(experiment, *truth).endswith("Nothing gains: truth is best.")


def test_words_of_ends(experiment: Experiment) -> None:
    assert end(experiment) == (
        "Best replies for mention end at Alpha Air 2, Beta 1, after 1 round: nobody gains there more than 0.1 by "
        "another bid of the grid (95 %). Welfare is 1.5 at truth, 1.5 there and 1.8 at the best weight (price of "
        "anarchy 1.2); revenue is 0.5 at truth, 0.5 there."
    )
    assert "nobody gains there by another bid that was searched." in end(experiment, regret_high=0.0, method="exact")
    assert "price of anarchy" not in end(experiment, price_of_anarchy=None)
    assert "go round in a cycle, which comes by Alpha Air 2, Beta 1, after 9 rounds" in end(
        experiment, outcome="cycle", rounds=9
    )
    assert "do not settle; they are by then at" in end(experiment, outcome="unfinished")


def test_cautions(read: Reader) -> None:
    together = "Bounds hold for all deviations of a row together, with 95 %: regret is at most this on this grid."
    few = read(TWO.replace("seeds: 50", "seeds: 29") + "queries: [one, two]\n")
    assert list(cautions(few, [LOW])) == [
        together,
        "Only 29 seeds: 30 or more say something.",
        "Over only 2 queries: rough.",
    ]
    assert list(cautions(few, EXACT)) == []
    agent = few.agents[0].name
    by_query = read(TWO + f"queries: [one, {{query: two, bid.{agent}: 3}}]\n")
    assert list(cautions(by_query, EXACT)) == [
        "Bids by query are left out: every query is audited at the agents' own bids."
    ]
    silent = read(TWO[: TWO.index("audit:")])
    assert list(cautions(silent, EXACT)) == [
        "The file has no audit.texts, so each agent values a mention at its own bid."
    ]
