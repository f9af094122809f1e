"""An auction of truncated distributions is the auction of the distributions that truncation leaves, in everything."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Command, Reader
from mechanism_runs import ALL_SIX, run

from tokenauction_cli.audits.prefixes.prefixes import profile_after
from tokenauction_cli.engine.candidates.every_text import every_text
from tokenauction_cli.engine.models.prepare import prepare
from tokenauction_cli.engine.rules import Rules, terms_of
from tokenauction_cli.experiment.advice import advice
from tokenauction_cli.experiment.experiment import Experiment
from tokenauction_cli.mechanism.aggregation.rules import Linear
from tokenauction_cli.mechanism.audit.bidder import Bidder, pooled
from tokenauction_cli.mechanism.audit.misreport import sharpened
from tokenauction_cli.mechanism.distributions import Profile
from tokenauction_cli.system.errors import ExperimentError

LEFT = [2500 / 3625, 900 / 3625, 225 / 3625]  # of (.5, .3, .15, .05) at temperature .5 and top_k 3
CUT = """
name: cut
agents:
  - {name: A, distribution: {x: 0.5, y: 0.3, <end>: 0.15, z: 0.05}, temperature: 0.5, top_k: 3}
  - {name: B, bid: 2, distribution: {x: 0.1, y: 0.5, z: 0.35, <end>: 0.05}, min_p: 0.2}
reference: {distribution: {x: 0.3, y: 0.4, z: 0.2, <end>: 0.1}, top_p: 0.9}
"""
LAWS = f"""
name: laws
agents:
  - {{name: A, distribution: {{x: {LEFT[0]}, y: {LEFT[1]}, <end>: {LEFT[2]}, z: 0}}}}
  - {{name: B, bid: 2, distribution: {{x: {0.1 / 0.95}, y: {0.5 / 0.95}, z: {0.35 / 0.95}, <end>: 0}}}}
reference: {{distribution: {{x: {3 / 9}, y: {4 / 9}, z: {2 / 9}, <end>: 0}}}}
"""
AUCTION = f"""
auction:
  mechanism: {ALL_SIX}
  payments: [pay_your_bid, second_price, vcg, myerson_tv]
  mosaic: {{candidates: 6}}
  text_pool: {{candidates: 6}}
  segment: {{segments: 2}}
  max_tokens: 3
  trace: top_k
sweep: {{agent: A, relative_weight: [0, 0.4, 1], seeds: 3}}
"""


@pytest.fixture
def both(read: Reader) -> tuple[Experiment, Experiment]:
    return read(CUT + AUCTION), read(LAWS + AUCTION)


def is_near(one: Any, other: Any) -> bool:
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(is_near(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(is_near, one, other))
    return bool(one == (pytest.approx(other, rel=1e-9, abs=1e-9) if isinstance(one, float) else other))


def test_records(both: tuple[Experiment, Experiment], tmp_path: Path) -> None:
    """Payments, measures, traces, the reference's scores and those of candidates."""
    cut, laws = (run(one, tmp_path).folder for one in both)
    mine, theirs = cut.records(), laws.records()
    assert len(mine) == 3 * 3 * 6
    assert is_near(mine, theirs)
    assert is_near({cell: trace for cell, _, trace in cut.traces()}, {cell: trace for cell, _, trace in laws.traces()})
    assert any(record.get("kl.b") == float("inf") for record in mine.values())


def test_texts_that_are_enumerated(both: tuple[Experiment, Experiment]) -> None:
    """By an audit of whole texts."""
    cut, laws = (every_text(one, Rules.of(one)) for one in both)
    assert cut.tree.texts == laws.tree.texts
    np.testing.assert_allclose(cut.log_p, laws.log_p, rtol=1e-9)
    np.testing.assert_allclose(cut.log_reference, laws.log_reference, rtol=1e-9)


def test_a_reported_temperature_comes_before_the_truncation(read: Reader) -> None:
    """At half the temperature x alone has .85; the square of what is left at the temperature would keep y."""
    text = "name: e\nagents:\n  - {name: A, distribution: {x: 0.65, y: 0.25, z: 0.1}, top_p: 0.85}\n"
    experiment = read(text + "  - {name: B, distribution: {x: 0.2, y: 0.6, z: 0.2}}\n")
    bidders = prepare(experiment)
    with bidders.loaded(1) as model:
        profile = profile_after(experiment, bidders.prompt_sets[""], model, ())
    assert isinstance(profile, Profile)
    assert profile.p[0].tolist() == pytest.approx([65 / 90, 25 / 90, 0, 0])
    bidder = Bidder(Linear(), profile, terms_of(experiment), (1.0, 1.0), 0)
    assert sharpened(bidder, 0.5).profile.p[0].tolist() == [1, 0, 0, 0]
    assert pooled(profile).profile.retold == profile.retold


def test_no_token_in_common(read: Reader, in_process: Command, tmp_path: Path) -> None:
    text = """
name: apart
agents:
  - {name: Ann, distribution: {x: 0.6, y: 0.4}, top_k: 1}
  - {name: Bob, distribution: {x: 0.4, y: 0.6}, top_p: 0.5}
  - {name: Cid, distribution: {x: 0.5, y: 0.5}, bid: 0}
auction: {aggregation: [linear, log_linear], max_tokens: 1}
"""
    records = run(read(text), tmp_path / "results").folder.records().values()
    why = next(record["error"] for record in records if record["end_reason"] == "failed")
    assert why == (
        "token 1 of '': log-linear aggregation is undefined here: every token has probability zero for some agent with "
        "a positive bid; these agents are Ann and Bob; top_k, top_p and min_p leave few tokens to Ann and Bob: leave "
        "more"
    )
    [doubt] = advice(read(text))
    assert doubt.startswith(
        "log_linear draws tokens that every agent may say; top_k, top_p and min_p may leave Ann and"
    )
    (tmp_path / "apart.yaml").write_text(text)
    checked = in_process("check", str(tmp_path / "apart.yaml"))
    assert "Is this meant? log_linear draws tokens" in checked.stderr
    assert "top_k 1" in checked.stdout


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("top_k: 2.5", "3:44: expected a whole number of at least 0, got 2.5"),
        ("top_p: 0", "3:44: expected a number above 0, at most 1, got 0"),
        ("top_p: 90", "3:44: expected a number above 0, at most 1, got 90"),
        ("min_p: 1.5", "3:44: expected a number from 0 to 1, got 1.5"),
        ("topp: 0.9", "3:37: unknown key 'topp'; did you mean 'top_p'?"),
    ],
)
def test_bad_values(read: Reader, key: str, message: str) -> None:
    with pytest.raises(ExperimentError) as caught:
        read(f"name: e\nagents:\n  - {{name: A, distribution: {{x: 1}}, {key}}}\n")
    assert message in str(caught.value)


@pytest.mark.parametrize("alphabet", ["bytes", "words"])
def test_over_bytes_and_words(read: Reader, alphabet: str) -> None:
    with pytest.raises(ExperimentError, match=f"top_k keeps tokens of a model, and over {alphabet} no token is drawn"):
        read(f"name: e\nagents: [{{name: A, distribution: {{x: 1}}, top_k: 4}}]\nauction: {{alphabet: {alphabet}}}\n")


def test_what_is_off_changes_no_hash(read: Reader) -> None:
    text = "name: e\nagents: [{{name: A, distribution: {{x: 0.5, y: 0.5}}{}}}]\n"
    plain, off, on = (read(text.format(keys)) for keys in ("", ", top_k: 0, top_p: 1, min_p: 0", ", top_k: 1"))
    assert plain.semantic_hash == off.semantic_hash != on.semantic_hash
    assert off.truncations_of(off.agents) == ()
