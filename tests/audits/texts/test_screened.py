"""The bid that recorded texts propose: which texts count, when none does, and that it is tried like every other bid."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import Reader

from tokenauction_cli.analysis.run import Run
from tokenauction_cli.api import run_experiment
from tokenauction_cli.audits.texts.audit_texts import audit_texts
from tokenauction_cli.audits.texts.screened import Screener, Traced, traced_texts
from tokenauction_cli.audits.texts.text_audit import sampled_audit
from tokenauction_cli.engine.rules import Rules
from tokenauction_cli.engine.run import SilentProgress
from tokenauction_cli.experiment.experiment import Experiment
from tokenauction_cli.experiment.resolved.text_audit import Utility
from tokenauction_cli.mechanism.whole_texts.finding import Deviation

TRACED = """
name: traced
agents:
  - {name: Alpha, mentions: [a], distribution: {a: 0.75, b: 0.25}}
  - {name: Beta, mentions: [b], distribution: {a: 0.5, b: 0.5}}
auction: {aggregation: [linear, log_linear], payments: [pay_your_bid, second_price, vcg], max_tokens: 1, trace: chosen}
sweep: {seeds: 60}
audit: {texts: {value: {alpha: {count: 1}}, seeds: 40, bids: [0, 1, 4]}}
"""
COUNT = Utility("count", 1.0)


def run_of(read: Reader, folder: Path, text: str = TRACED) -> tuple[Run, list[Traced]]:
    run = run_experiment(read(text), folder, SilentProgress())
    return run, traced_texts(run.experiment, run.folder)


def screener(experiment: Experiment, texts: list[Traced]) -> Screener:
    return Screener(experiment, Rules.of(experiment), texts)


def test_recorded_texts_hold_log_p_and_expected_prices(read: Reader, tmp_path: Path) -> None:
    run, texts = run_of(read, tmp_path)
    linear = [text for text in texts if text.record["aggregation"] == "linear"]
    assert (len(texts), len(linear)) == (120, 60)
    for text in linear:
        own = {"a": 0.75, "b": 0.25}[text.record["text"]]
        np.testing.assert_allclose(np.exp(text.log_p[:, 0]), [own, 0.5], atol=1e-3)
        assert text.expected_prices[0][0] == pytest.approx(0.25 * (np.log(2) - 0.5), abs=1e-3)
    assert run.experiment.auction.trace == "chosen"


def test_under_pay_your_bid_the_lowest_bid_that_is_tried_promises_most(read: Reader, tmp_path: Path) -> None:
    """(d) Of one token a bid b buys at most .25 b / (1 + b) of a mention: less than it costs."""
    run, texts = run_of(read, tmp_path)
    choice = screener(run.experiment, texts).choice("linear", "pay_your_bid", 0, COUNT)
    assert choice is not None
    assert choice.bid == 1 / 16
    assert 50 < choice.effective_texts <= 60


def test_what_is_proposed_is_written_like_every_other_bid(read: Reader, tmp_path: Path) -> None:
    run, texts = run_of(read, tmp_path)
    rules = Rules.of(run.experiment)
    with run.folder.locked(), audit_texts(run.experiment, rules, run.folder, SilentProgress()) as of_audit:
        rows = sampled_audit(run.experiment, rules, of_audit, lambda judge, questions: {}, texts).deviations
    tried = [row for row in rows if (row.aggregation, row.payment) == ("linear", "pay_your_bid")]
    assert [row.bid for row in tried] == [0.0, 1 / 16, 1.0, 4.0]
    [proposed] = [row for row in tried if row.bid == 1 / 16]
    assert "tried because of " in proposed.note
    assert (proposed.texts, proposed.mean_payment) == (40, 1 / 16)
    assert all("tried because" not in row.note for row in rows if is_of_the_grid(row))


def is_of_the_grid(row: Deviation) -> bool:
    return row.bid in (0.0, 1.0, 4.0)


@pytest.mark.parametrize(
    ("rule", "payment", "utility"),
    [
        ("linear", "vcg", COUNT),
        ("log_linear", "vcg", COUNT),
        ("linear", "second_price", Utility("tv", 1.0)),
        ("linear", "second_price", Utility("count", 0.0)),
    ],
)
def test_where_recorded_texts_say_nothing_nothing_is_proposed(
    read: Reader, tmp_path: Path, rule: str, payment: str, utility: Utility
) -> None:
    run, texts = run_of(read, tmp_path)
    assert screener(run.experiment, texts).choice(rule, payment, 0, utility) is None


@pytest.mark.parametrize(
    "change",
    [
        ("trace: chosen", "trace: none"),
        ("[pay_your_bid, second_price, vcg]", "[pay_your_bid], reserve: 0.01"),
        ("seeds: 40", "seeds: 40, at: {bids: {beta: 2}}"),
        ("max_tokens: 1", "alphabet: bytes, max_bytes: 1"),
    ],
)
def test_texts_of_another_auction_are_not_asked(read: Reader, tmp_path: Path, change: tuple[str, str]) -> None:
    """Without traces, under a reserve, where the others bid otherwise, and over bytes."""
    run, texts = run_of(read, tmp_path, TRACED.replace(*change))
    assert screener(run.experiment, texts).choice("linear", "pay_your_bid", 0, COUNT) is None


def test_a_bid_of_the_grid_is_not_proposed_again(read: Reader, tmp_path: Path) -> None:
    run, texts = run_of(read, tmp_path, TRACED.replace("[0, 1, 4]", "[0.0625, 1]"))
    assert screener(run.experiment, texts).choice("linear", "pay_your_bid", 0, COUNT) is None
