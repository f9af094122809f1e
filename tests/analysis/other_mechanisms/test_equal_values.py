"""Mechanisms at equal values, on tables whose truthful bids, texts and payments can be worked out by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import Command, Reader

from tokenauction_cli.analysis.other_mechanisms.equal_values import nearest_point
from tokenauction_cli.analysis.other_mechanisms.truthful_bids import (
    is_truthful,
    own_texts_of,
    values_of,
    values_of_writing,
    worths,
)
from tokenauction_cli.experiment.experiment import Experiment
from tokenauction_cli.mechanism.alternatives.mosaic import Mosaic
from tokenauction_cli.mechanism.alternatives.segment import Segment
from tokenauction_cli.mechanism.alternatives.text_pool import TextPool
from tokenauction_cli.mechanism.alternatives.whole_text import Highest, Lottery

PEOPLE = """
name: people
agents:
  - {name: Ann, distribution: {Ann: 1}}
  - {name: Bob, distribution: {Bob: 1}}
"""
THREE = """
name: three
agents:
  - {name: Ann, distribution: {Ann: 1}}
  - {name: Bob, distribution: {Bob: 1}}
  - {name: Cid, distribution: {Bob: 1}}
"""
MENTIONS = "audit: {texts: {value: {ann: {mention: 2}, bob: {mention: 1}}}}\n"
RIVALS = """
name: rivals
agents:
  - {name: A, distribution: {x: 0.2, y: 0.6, z: 0.2}}
  - {name: B, distribution: {x: 0.1, y: 0.3, z: 0.6}}
reference: {distribution: {x: 0.5, y: 0.3, z: 0.2}}
auction:
  max_tokens: 1
  mechanism: [mosaic, text_pool]
  mosaic: {candidates: all, tau: 2}
  text_pool: {candidates: all}
sweep: {relative_weight: [0.25, 0.75], total_bid: 10, seeds: 4}
"""


@pytest.fixture
def shown(tmp_path: Path, in_process: Command) -> Any:
    """The table at equal values of a run of this text, a row by name of its rule or mechanism."""

    def run(text: str, *options: str) -> dict[str, dict[str, Any]]:
        (tmp_path / "e.yaml").write_text(text, "utf-8")
        done = in_process("run", "e.yaml", "-q", "--fresh", *options)
        assert done.returncode == 0, done.stderr
        done = in_process("show", "e.yaml", "--table", "mechanisms", "--format", "json")
        rows = [row for row in json.loads(done.stdout) if row.get("truthful")]
        return {row["mechanism"] if row["aggregation"] == "" else row["aggregation"]: row for row in rows}

    return run


def people(auction: str, sweep: str, more: str = MENTIONS) -> str:
    return PEOPLE + f"auction: {{max_tokens: 1, {auction}}}\nsweep: {{{sweep}}}\n" + more


def test_what_is_wanted_is_what_the_audit_says_else_nats_at_the_own_bid(read: Reader) -> None:
    lottery = people("mechanism: [lottery]", "relative_weight: [0, 1]", "")
    assert values_of(read(lottery)) == ("log_prob", (1.0, 1.0))
    assert values_of(read(lottery + "reference: {distribution: {Ann: 1}}\n")) == ("log_ratio", (1.0, 1.0))
    assert values_of(read(lottery + MENTIONS)) == ("mention", (2.0, 1.0))
    assert values_of(read(lottery + "audit: {texts: {value: {bob: {count: 3}}}}\n")) == ("log_prob", (1.0, 1.0))


def texts_of(experiment: Experiment) -> pd.DataFrame:
    """Two texts in which Ann alone bids, two of Bob alone, and one of both."""
    bids = {"bid.ann": [1.0, 2.0, 0.0, 0.0, 1.0], "bid.bob": [0.0, 0.0, 1.0, 1.0, 1.0]}
    mentions = {"mentions.ann": [2, 0, 1, 0, 1], "mentions.bob": [0, 0, 1, 1, 0]}
    places = {"query": "", "seed": [0, 1, 0, 1, 2], "aggregation": "lottery"}
    return pd.DataFrame({**places, **bids, **mentions})


def test_writing_is_worth_the_own_text_less_what_others_would_write(read: Reader) -> None:
    """Ann's texts mention her in half of the cases, Bob's do, too; his mention him always, hers never."""
    experiment = read(people("mechanism: [lottery]", "relative_weight: [0, 1]"))
    values, written = values_of(experiment), texts_of(experiment)
    assert worths(experiment, values, written).tolist() == [[2, 0], [0, 0], [2, 1], [0, 1], [2, 0]]
    own = own_texts_of(experiment, written, ["lottery"])
    assert [one["seed"].tolist() for one in own] == [[0, 1], [0, 1]]
    assert values_of_writing(experiment, values, own).tolist() == [0, 1]
    assert values_of_writing(experiment, values, own_texts_of(experiment, written, ["highest"])) is None


def test_who_gains_from_anothers_text_bids_nothing(read: Reader) -> None:
    experiment = read(people("mechanism: [lottery]", "relative_weight: [0, 1]"))
    written = texts_of(experiment).assign(**{"mentions.ann": [0, 0, 1, 1, 0]})
    own = own_texts_of(experiment, written, ["lottery"])
    assert values_of_writing(experiment, values_of(experiment), own).tolist() == [0, 1]


def test_which_bids_are_best_whatever_others_bid(read: Reader) -> None:
    mention = values_of(read(people("mechanism: [lottery]", "relative_weight: [0, 1]")))
    nats = mention._replace(measure="log_ratio")
    assert is_truthful(Mosaic(), nats)
    assert not is_truthful(Mosaic(), mention)
    assert is_truthful(Mosaic(score="mention"), mention)
    assert is_truthful(Lottery(), nats)
    assert is_truthful(Highest(), mention)
    assert is_truthful(Segment(unit="text", segments=1), nats)
    for mechanism in (None, TextPool(), Segment(unit="sentence", segments=1), Segment(unit="text", segments=2)):
        assert not is_truthful(mechanism, nats)
    assert not is_truthful(Lottery(), nats._replace(each=(1.0, 1.0, 1.0)))


def test_the_nearest_point_has_the_nearest_shares(read: Reader) -> None:
    points = read(people("mechanism: [lottery]", "relative_weight: {from: 0, to: 1, step: 0.25}, total_bid: 8")).points
    nearest = nearest_point(points, np.array([0.3, 0.1]))
    assert nearest is not None
    assert nearest.relative_weight == 0.75
    assert nearest_point(points, np.array([0.0, 0.0])) is None


def test_whole_texts_are_drawn_at_these_bids_exactly(shown: Any) -> None:
    """A sweep that never bids 2 : 1 has the rows of a run that does."""
    auction = "mechanism: [lottery, highest]"
    rows = shown(people(auction, "relative_weight: [0, 1], seeds: 40"))
    assert (rows["highest"]["bid Ann"], rows["highest"]["bid Bob"]) == (2, 1)
    assert (rows["highest"]["mentions Ann"], rows["highest"]["welfare"], rows["highest"]["revenue"]) == (1, 2, 1)
    assert rows["lottery"]["welfare"] == pytest.approx(1 + rows["lottery"]["mentions Ann"])
    assert rows["lottery"]["truthful"] == "yes"
    there = "bids: [{ann: 2, bob: 1}, {ann: 1, bob: 0}, {ann: 0, bob: 1}], seeds: 40"
    again = shown(people(auction, there))
    assert again == rows
    assert 0.3 < rows["lottery"]["revenue"] < 0.9  # H(2, 1) + H(1, 2) = .576 in the mean


def test_candidates_are_settled_at_these_bids_exactly(shown: Any) -> None:
    """The ground truth of mosaic and text_pool at the bids 1 : 1, which the sweep does not have."""
    rows = shown(RIVALS)
    assert rows["mosaic"]["revenue"] == pytest.approx(0.0858835473 + 0.2290197857, abs=1e-9)
    assert rows["text_pool"]["revenue"] == pytest.approx(0.0983326274 + 0.0856883419, abs=1e-9)
    assert [rows[name]["truthful"] for name in rows] == ["yes", "no"]
    assert all(row["weight of A"] == row["weight of texts"] == 0.5 for row in rows.values())


def test_tokens_and_segments_take_the_nearest_ratio_and_scale_its_payments(shown: Any) -> None:
    """2 : 1 is nearest to 3 : 2 in this sweep. pay_your_bid there is 5 a token; here 3 a text of one token."""
    auction = "mechanism: [token_auction, segment], aggregation: [linear], payments: [pay_your_bid]"
    rows = shown(people(auction + ", segment: {segments: 2}", "relative_weight: [0, 0.6, 1], total_bid: 5, seeds: 5"))
    linear, segment = rows["linear"], rows["segment"]
    assert (linear["bid Ann"], linear["bid Bob"], segment["bid Ann"], segment["bid Bob"]) == (2, 1, 1, 0.5)
    assert (linear["weight of texts"], segment["weight of texts"]) == (0.6, 0.6)
    assert linear["weight of Ann"] == pytest.approx(2 / 3)
    assert linear["revenue"] == pytest.approx(3)
    assert (linear["truthful"], segment["truthful"]) == ("no", "no")


@pytest.mark.parametrize(("options", "texts"), [((), 3), (("-n", "4"), 2), (("-n", "3"), 1)])
def test_several_queries_are_pooled(shown: Any, options: tuple[str, ...], texts: int) -> None:
    rows = shown(people("mechanism: [highest]", "relative_weight: [0, 1]") + "queries: [q, r, s]\n", *options)
    assert (rows["highest"]["texts"], rows["highest"]["welfare"]) == (texts, 2)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (people("mechanism: [lottery]", "relative_weight: [0.4]"), "no text of one agent alone"),
        (people("mechanism: [lottery]", "relative_weight: [0, 1]", ""), "what the other cannot say at all"),
        (people("mechanism: [lottery], reserve: 0.1", "relative_weight: [0, 1]"), "a reserve"),
        (THREE + "auction: {mechanism: [lottery], max_tokens: 1}\nsweep: {relative_weight: [0, 1]}\n", "a third agent"),
    ],
)
def test_nothing_is_made_up(shown: Any, text: str, why: str) -> None:
    assert shown(text) == {}, why


def test_a_rule_that_is_left_out_is_named(tmp_path: Path, in_process: Command) -> None:
    auction = "mechanism: [token_auction, lottery], aggregation: [linear], payments: [vcg]"
    (tmp_path / "e.yaml").write_text(people(auction, "relative_weight: [0.4]"), "utf-8")
    in_process("run", "e.yaml", "-q")
    done = in_process("show", "e.yaml", "--table", "mechanisms", "--format", "md")
    assert "Left out: lottery." in done.stdout
    assert "Mechanisms at the values 2 : 1 per text that mentions it" in done.stdout
