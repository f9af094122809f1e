"""Auctions of a form: agents are restricted before their distributions are aggregated; what that costs is recorded."""

from __future__ import annotations

import re
from math import log
from pathlib import Path

import numpy as np
import pytest
from conftest import Command, Reader
from tiny_gguf import bigram_model, of_byte

from tokenauction_cli.analysis.run import Run
from tokenauction_cli.api import check_experiment, run_experiment
from tokenauction_cli.audits.prefixes.prefixes import look
from tokenauction_cli.engine.candidates.every_text import every_text
from tokenauction_cli.engine.loop.forms import restricted
from tokenauction_cli.engine.models.prepare import prepare
from tokenauction_cli.engine.rules import Rules
from tokenauction_cli.engine.run import SilentProgress
from tokenauction_cli.experiment.experiment import Experiment, load_experiment
from tokenauction_cli.lm.forms.constraint import Constraint
from tokenauction_cli.lm.forms.form import Form
from tokenauction_cli.lm.table import TableVocabulary
from tokenauction_cli.mechanism import registry
from tokenauction_cli.mechanism.measures import measure
from tokenauction_cli.mechanism.native.compiled import profile_of
from tokenauction_cli.mechanism.outcome import Outcome
from tokenauction_cli.mechanism.terms import Terms
from tokenauction_cli.system.errors import UsageError

SHIPPED = Path(__file__).parents[3] / "experiments"
TWO = """
name: form
agents:
  - {name: Ann, distribution: {a: .45, b: .27, c: .18, <end>: .1}}
  - {name: Bob, distribution: {a: .18, b: .18, c: .54, <end>: .1}}
reference: {distribution: {a: .25, b: .25, c: .25, <end>: .25}}
auction:
  aggregation: [linear, log_linear]
  payments: [pay_your_bid, second_price, vcg, myerson_tv]
  separator: ""
  constraint: {regex: ab|ac|b}
  max_tokens: 3
  trace: top_k
sweep: {seeds: 40}
"""


def run(experiment: Experiment, results: Path) -> Run:
    return run_experiment(experiment, results, SilentProgress())


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("form")
    (folder / "two.yaml").write_text(TWO)
    return run(load_experiment(folder / "two.yaml"), folder / "results")


def test_the_law_of_the_texts_by_hand(two: Run) -> None:
    """First token: Ann .625 a, Bob .5 a; after a Ann .6 b, Bob .25 b; the end is forced."""
    every = every_text(two.experiment, Rules.of(two.experiment))
    ann, bob = np.exp(every.log_p[every.tree.leaves]).T
    texts = [every.tree.texts[leaf] for leaf in every.tree.leaves.tolist()]
    assert texts == ["b", "ab", "ac"]
    assert ann.tolist() == pytest.approx([0.375, 0.375, 0.25])
    assert bob.tolist() == pytest.approx([0.5, 0.125, 0.375])
    law = {"b": 0.4375, "ab": 0.2390625, "ac": 0.3234375}
    found = np.exp(two.cells.query("aggregation == 'linear'").groupby("text")["log_prob"].first())
    assert found.to_dict() == pytest.approx(law)
    pooled = two.cells.query("aggregation == 'log_linear' and text == 'b'")["log_prob"].iloc[0]
    assert np.exp(pooled) == pytest.approx(1 - 0.5635083269)


def test_what_the_form_costs_each_agent(two: Run) -> None:
    costs = two.cells.groupby("text")["log_allowed.ann"].agg(["min", "max"])
    assert costs.loc["ab"].tolist() == pytest.approx([log(0.72) + log(0.45) + log(0.1)] * 2)
    assert costs.loc["b"].tolist() == pytest.approx([log(0.72) + log(0.1)] * 2)
    assert set(two.cells["complete"]) == {1}
    assert set(two.summary["complete"]) == {1.0}


def test_a_forced_token_costs_nothing_but_a_bid(two: Run) -> None:
    for _, trace in two.traces():
        for rule, paid in trace["payments"].items():
            assert [row[-1] for row in paid] == ([1, 1] if rule == "pay_your_bid" else [0, 0])
        assert [row[-1] for row in trace["log_p"]] == [0, 0]


def test_the_reference_is_not_restricted(two: Run) -> None:
    assert two.cells["quality"].tolist() == pytest.approx([log(0.25)] * len(two.cells))


def test_audits_look_at_what_is_left(two: Run) -> None:
    bidders = prepare(two.experiment)
    with bidders.loaded(1) as model:
        found = look(two.experiment, Rules.of(two.experiment), bidders, model, two.folder.records(), 10)
    assert sorted(profile.p[0].round(3).tolist() for profile in found.profiles) == [
        [0, 0, 0, 1],
        [0, 0.6, 0.4, 0],
        [0.625, 0.375, 0, 0],
    ]


def test_every_rule_is_that_of_the_tokens_that_are_left() -> None:
    """Over 300 tokens of which 7 are allowed, everything is as over these 7 alone."""
    chance = np.random.default_rng(1)
    logits = chance.normal(size=(3, 300)).astype(np.float32)
    words = [f"{k:03}" for k in range(299)]
    vocabulary = TableVocabulary([{"*": dict.fromkeys(words, 1.0)}], separator="")
    kept = [3, 40, 41, 260, 270, 290, 298]
    form = Form(Constraint("regex", "|".join(words[k] for k in kept)), vocabulary)
    temperatures, bids = np.array([1.0, 0.7, 0.3]), (1.0, 2.0, 0.5)
    cut, log_allowed = restricted(form, (), list(logits), temperatures, ())
    whole, small = profile_of(cut, temperatures), profile_of(list(logits[:, kept]), temperatures)
    scores = logits / temperatures[:, None]
    masses = np.exp(scores[:, kept]).sum(axis=1) / np.exp(scores).sum(axis=1)
    assert log_allowed.tolist() == pytest.approx(np.log(masses).tolist())
    for name in registry.names("aggregation"):
        rule = registry.find("aggregation", name)
        one, other = (Outcome(rule, profile, bids, Terms(("a", "b", "c"))) for profile in (whole, small))
        assert one.q.p[kept] == pytest.approx(other.q.p), name
        assert one.q.p.sum() == pytest.approx(1)
        assert measure(one, bids).vector == pytest.approx(measure(other, bids).vector), name
        for payment in (registry.find("payment", each) for each in registry.names("payment")):
            if payment.fits(rule, registry.find("sampling", "stable")):
                assert payment.expected(one) == pytest.approx(payment.expected(other)), (name, payment.name)


# Where it cannot go on


def test_an_agent_without_mass_on_what_is_allowed_fails_the_text(read: Reader, tmp_path: Path) -> None:
    ann = "distribution: {a: .45, b: .27, c: .18, <end>: .1}"
    finished = run(read(TWO.replace(ann, "distribution: {a: 1}")), tmp_path / "r")
    told = "agent 'Ann' says none of the 2 tokens that the form allows after 'a', but 1 others"
    assert told in set(finished.cells["error"].dropna())


def test_truncation_comes_before_the_form(read: Reader, tmp_path: Path) -> None:
    """Ann's likeliest token is a: cut to it, she has nothing to say where b or c is asked for."""
    one = read(TWO, "agents.ann.top_k=1", "auction.constraint={regex: 'b|c'}", "sweep.seeds=1")
    told = "agent 'Ann' says none of the 2 tokens that the form allows after '', but 1 others"
    assert set(run(one, tmp_path / "one").cells["error"]) == {told}
    two = read(
        TWO, "agents.ann.top_k=2", "auction.constraint={regex: 'b[ab]'}", "auction.max_tokens=2", "sweep.seeds=1"
    )
    assert run(two, tmp_path / "two").cells["log_allowed.ann"].iloc[0] == pytest.approx(log(0.27 / 0.72))


def test_a_vocabulary_that_cannot_finish_the_text_fails_it(read: Reader, tmp_path: Path) -> None:
    finished = run(read(TWO, "auction.constraint={regex: 'abd|abe'}"), tmp_path / "r")
    assert set(finished.cells["error"]) == {"after 'ab' the form allows none of the 4 tokens"}


def test_a_cut_text_is_incomplete_and_told(read: Reader, tmp_path: Path, in_process: Command) -> None:
    experiment = read(TWO, "auction.max_tokens=2", "sweep.seeds=4")
    done = in_process("run", str(experiment.path), "-S", "auction.max_tokens=2", "-S", "sweep.seeds=4", "-q")
    assert done.returncode == 0
    assert "of 8 texts have not the whole form, for auction.max_tokens (2) cut them; raise it" in done.stderr


# Over bytes, and with models


def test_tables_over_bytes_keep_the_form(read: Reader, tmp_path: Path) -> None:
    experiment = read(
        TWO, "auction.alphabet=bytes", "auction.separator=null", "auction.max_tokens=null", "sweep.seeds=20"
    )
    finished = run(experiment, tmp_path / "r")
    assert set(finished.cells["text"]) <= {"ab", "ac", "b"}
    assert set(finished.cells["complete"]) == {1}


MODELS = """
name: models
agents:
  - {{name: Ann, model: {model}, prompt: a}}
  - {{name: Bob, model: {model}, prompt: b, temperature: 0.5}}
auction: {{payments: [pay_your_bid, second_price], max_tokens: 12, constraint: {{regex: "[A-Z][a-c]{{2,5}}[.!]"}}}}
sweep: {{agent: Ann, relative_weight: [0, 0.5, 1], seeds: 5}}
"""


def test_models_keep_it_in_any_order(read: Reader, tmp_path: Path) -> None:
    path = bigram_model(tmp_path / "bigram.gguf", {of_byte(ord("a")): {of_byte(ord("b")): 3.0}})
    experiment = read(MODELS.format(model=path))
    finished = run(experiment, tmp_path / "one")
    assert all(re.fullmatch("[A-Z][a-c]{2,5}[.!]", text) for text in finished.cells["text"])
    run_experiment(experiment, tmp_path / "other", SilentProgress(), n=4)
    again = run(experiment, tmp_path / "other")
    assert again.folder.records() == finished.folder.records()


@pytest.mark.slow
@pytest.mark.model
def test_the_shipped_ads_have_their_form(model_path: Path, tmp_path: Path) -> None:
    few = ["sweep.relative_weight=[0.5]", "sweep.seeds=1", "runtime.deterministic=true"]
    experiment = load_experiment(SHIPPED / "search-ad.yaml", few)
    finished = run(experiment, tmp_path)
    assert experiment.auction.constraint is not None
    assert all(re.fullmatch(experiment.auction.constraint.text, text) for text in finished.cells["text"])
    assert (finished.cells["log_allowed.alpha"] < 0).all()


# What check says


def test_check_finds_how_soon_a_text_can_end(read: Reader) -> None:
    form = check_experiment(read(TWO)).form
    assert form is not None
    assert (form.text, form.n_draws) == ("b", 2)


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("auction.constraint={regex: 'abcabcab'}", "no text of auction.constraint can end: each has more than 2 char"),
        (
            "auction.constraint={regex: 'd'}",
            "no text can have the form of auction.constraint: after '' the form allows",
        ),
        (
            "agents.0.distribution={c: 1}",
            "agent 'Ann' cannot begin: the form allows 2 tokens or bytes at the beginning",
        ),
    ],
)
def test_check_proves_what_cannot_be(read: Reader, override: str, told: str) -> None:
    with pytest.raises(UsageError, match=re.escape(told)):
        check_experiment(read(TWO, override))
