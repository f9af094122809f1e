"""Auctions of words: the law per word and its prices, by hand; cut words, words taken back, and records of runs."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import DEMO_MODEL, Reader

from tokenauction_cli.api import audit_run, run_experiment
from tokenauction_cli.engine.live import staged
from tokenauction_cli.engine.loop.auctioneer import Auctioneer
from tokenauction_cli.engine.loop.token_loop import TokenLoop
from tokenauction_cli.engine.models.prepare import prepare
from tokenauction_cli.engine.plan import cells_of, make_plan
from tokenauction_cli.engine.rules import Rules
from tokenauction_cli.engine.run import SilentProgress
from tokenauction_cli.engine.running.work_left import WorkLeft
from tokenauction_cli.experiment.experiment import Experiment
from tokenauction_cli.mechanism.testing import chi_square_p_value
from tokenauction_cli.runs.run_folder import Record
from tokenauction_cli.system.errors import UsageError

ONE_WORD = """
name: one-word
agents:
  - {name: A, distributions: {"": {Alpha: 0.9, Beta: 0.05, Bravo: 0.05}, "*": {<end>: 1}}}
  - {name: B, distributions: {"": {Beta: 0.9, Alps: 0.1}, "*": {<end>: 1}}}
auction:
  {alphabet: words, payments: [pay_your_bid, second_price], max_bytes: 12, covering: {open: 0, merge: 0}, trace: chosen}
sweep: {agent: A, relative_weight: [0.5], seeds: 1200}
"""
PER_WORD = {"Alpha": 0.45, "Beta": 0.475, "Alps": 0.05, "Bravo": 0.025}
PRICE = math.log(2) - 0.5  # H at a bid of 1 against 1

WORDS_OF_A = {"a ": 0.4, "ab ": 0.3, "b ": 0.15, "ba ": 0.05, "": 0.1}
LETTERS_OF_B = {"a": 0.2, "b": 0.4, " ": 0.3, "": 0.1}
SENTENCES = """
name: sentences
agents:
  - {name: A, distribution: {"a ": 0.4, "ab ": 0.3, "b ": 0.15, "ba ": 0.05, <end>: 0.1}}
  - {name: B, distribution: {a: 0.2, b: 0.4, " ": 0.3, <end>: 0.1}}
auction:
  alphabet: words
  payments: [pay_your_bid, second_price]
  max_bytes: 9
  covering: {open: 0, merge: 0}
  trace: chosen
sweep: {agent: A, relative_weight: [0, 0.3, 0.6, 1], seeds: 25}
"""
"""B spells what A says by letters; not all that B says can be A's, and then the text ends there, or fails."""


def records(experiment: Experiment, n_slots: int = 64) -> list[Record]:
    """Every record, in the order of the plan."""
    bidders, rules = prepare(experiment), Rules.of(experiment)
    plan = make_plan(experiment, n_slots, is_batch_invariant=True)
    with bidders.loaded(n_slots) as model, closing(Auctioneer(experiment, rules, model.vocabulary)) as auctioneer:
        loop = TokenLoop(model, auctioneer, bidders.prompt_sets)
        found = [record for wave in plan.waves for done in loop.run(wave, n_slots) for record in done]
    place = {cell.id: k for k, cell in enumerate(cells_of(experiment))}
    return sorted(found, key=lambda record: place[record["cell"]])


def p_value(counts: Counter[str], law: dict[str, float]) -> float:
    assert set(counts) <= set(law)
    n = counts.total()
    return chi_square_p_value(np.array([counts[word] for word in law]), n * np.array(list(law.values())))


def check_mean(values: Sequence[float], mean: float) -> None:
    assert np.mean(values) == pytest.approx(mean, abs=4 * np.std(values) / math.sqrt(len(values)) + 1e-12)


# The law


@pytest.mark.parametrize("sampling", ["stable", "inverse_cdf", "gumbel"])
@pytest.mark.parametrize("rule", ["linear", "random_dictator"])
def test_a_word_has_the_weighted_mean_of_the_agents_laws(read: Reader, rule: str, sampling: str) -> None:
    found = records(read(ONE_WORD, f"auction.sampling={sampling}", f"auction.aggregation={rule}"))
    assert {record["sampling"] for record in found} == {sampling}
    assert p_value(Counter(record["text"] for record in found), PER_WORD) > 1e-3


def test_bytes_have_another_law(read: Reader) -> None:
    found = records(read(ONE_WORD, "auction.alphabet=bytes", "auction.max_bytes=4"))
    law = {"Alph": 0.25, "Beta": 0.375, "Alps": 0.25, "Br": 0.125}  # B cannot go on with Br
    assert p_value(Counter(record["text"] for record in found), law) > 1e-3


def test_a_word_taken_back_leaves_the_law_at_every_weight(read: Reader) -> None:
    found = records(read(ONE_WORD, "sweep.relative_weight=[0, 0.25, 1]", "sweep.seeds=1000"))
    for w in (0, 0.25, 1):
        law = {"Alpha": 0.9 * w, "Beta": 0.05 * w + 0.9 * (1 - w), "Alps": 0.1 * (1 - w), "Bravo": 0.05 * w}
        law = {word: p for word, p in law.items() if p}
        assert p_value(Counter(record["text"] for record in found if record["relative_weight"] == w), law) > 1e-3


def test_the_likeliest_byte_after_byte_is_greedy(read: Reader) -> None:
    (record,) = records(read(ONE_WORD, "auction.sampling=greedy", "auction.payments=pay_your_bid", "sweep.seeds=1"))
    assert record["text"] == "Alpha"  # A and B are equally likely, then l; then p, a h to .9 and an s to .1
    assert (record["tokens"], record["bytes"]) == (1, 5)


# Stability and prices


def test_a_seeds_word_changes_at_most_once_at_the_price_that_is_charged(read: Reader) -> None:
    experiment = read(ONE_WORD, "sweep.relative_weight={from: 0, to: 1, step: 0.03333333333333333}", "sweep.seeds=40")
    by_seed: dict[int, list[Record]] = {}
    for record in records(experiment):
        by_seed.setdefault(record["seed"], []).append(record)
    n_switched = 0
    for cells in by_seed.values():
        (at,) = {cell["trace"]["switch"][0] if "switch" in cell["trace"] else math.inf for cell in cells}
        assert at is None or at <= 1 or at == math.inf
        below = [cell for cell in cells if cell["relative_weight"] <= at]
        above = [cell for cell in cells if cell["relative_weight"] > at]
        assert len(cells) == 31
        assert len({cell["text"] for cell in below}) <= 1
        assert len({cell["text"] for cell in above}) <= 1
        n_switched += bool(below and above)
        for cell in above:  # the bid at which the word switched, S w* / (1 - w*); w* has three decimals here
            assert cell["payment.second_price.b"] == 0
            assert cell["payment.second_price.a"] == pytest.approx(cell["bid.b"] * at / (1 - at), rel=0.05, abs=2e-3)
        for cell in below:
            assert cell["payment.second_price.a"] == 0
            if 0 < at < 1:
                price = cell["bid.a"] * (1 - at) / at
                assert cell["payment.second_price.b"] == pytest.approx(price, rel=0.05, abs=2e-3)
    assert n_switched > 20


@pytest.mark.parametrize("column", ["second_price", "second_price_given_token"])
def test_mean_prices_are_the_closed_forms(read: Reader, column: str) -> None:
    found = records(read(ONE_WORD))
    distance = 0.95  # between the two agents' laws of words
    for agent in "ab":
        check_mean([record[f"payment.{column}.{agent}"] for record in found], distance * PRICE)


@pytest.mark.parametrize("sampling", ["stable", "inverse_cdf"])
def test_mean_prices_of_three(read: Reader, sampling: str) -> None:
    third = '  - {name: C, bid: 2, distributions: {"": {Alpha: 0.5, Beta: 0.5}, "*": {<end>: 1}}}\nauction:'
    text = ONE_WORD.replace("auction:", third).replace("relative_weight: [0.5]", "relative_weight: [0.25]")
    found = records(read(text, f"auction.sampling={sampling}"))
    law = {"a": [0.9, 0.05, 0.05, 0], "b": [0, 0.9, 0, 0.1], "c": [0.5, 0.5, 0, 0]}
    bids = {"a": 1, "b": 1, "c": 2}
    for agent, bid in bids.items():
        rivals = 4 - bid
        others = sum(np.array(law[other]) * bids[other] / rivals for other in bids if other != agent)
        distance = float(np.maximum(law[agent] - others, 0).sum())
        unit = rivals * math.log(4 / rivals) - bid * rivals / 4
        for column in ("second_price", "second_price_given_token"):
            check_mean([record[f"payment.{column}.{agent}"] for record in found], distance * unit)


def test_only_the_dictator_of_a_word_pays(read: Reader) -> None:
    found = records(read(ONE_WORD, "auction.aggregation=random_dictator"))
    for record in found:
        (dictator,) = record["trace"]["dictator"]
        assert record[f"payment.second_price.{'ab'[1 - dictator]}"] == 0
        assert record["payment.second_price_expected.a"] == pytest.approx(PRICE)
    check_mean([record["payment.second_price.a"] for record in found], PRICE)


def test_what_sums_over_all_words_is_left_out(read: Reader) -> None:
    (record,) = records(read(ONE_WORD, "sweep.seeds=1"))
    left_out = ("tv", "kl", "reverse_kl", "payment.second_price_expected")
    assert not [name for name in record if name.rsplit(".", 1)[0] in left_out or name.startswith("welfare")]
    assert "second_price_expected" not in record["trace"]["payments"]
    assert record["revenue.pay_your_bid"] == 2


# Where a word ends


def test_a_word_cut_by_the_length_is_charged_as_its_beginning(read: Reader) -> None:
    found = records(read(ONE_WORD, "auction.max_bytes=2"))
    assert p_value(Counter(record["text"] for record in found), {"Al": 0.5, "Be": 0.475, "Br": 0.025}) > 1e-3
    cut = next(record for record in found if record["text"] == "Al")
    assert (cut["end_reason"], cut["tokens"], cut["bytes"]) == ("length", 1, 2)
    assert (cut["log_prob.a"], cut["log_prob.b"]) == pytest.approx((math.log(0.9), math.log(0.1)))
    assert cut["log_prob"] == pytest.approx(math.log(0.5))
    assert cut["payment.second_price_given_token.a"] == pytest.approx(0.8 / 0.5 * PRICE)


def test_a_word_cut_by_a_stop_string_is_charged_as_its_beginning(read: Reader) -> None:
    found = records(read(ONE_WORD, "auction.stop=[ph]"))
    cut = next(record for record in found if record["end_reason"] == "stop")
    assert (cut["text"], cut["tokens"], cut["bytes"]) == ("Al", 1, 4)
    assert cut["log_prob.a"] == pytest.approx(math.log(0.9))
    assert cut["log_prob.b"] == -math.inf
    assert cut["payment.second_price_given_token.a"] == pytest.approx(2 * PRICE)
    assert cut["trace"]["pieces"] == ["Alph"]


@pytest.mark.parametrize("space", ["\t", "\n", "\v", "\f", "\r", " "])
def test_white_space_ends_a_word(read: Reader, space: str) -> None:
    text = ONE_WORD.replace("Alpha: 0.9", f"{json.dumps('A' + space + 'lp')}: 0.9").replace("Alps", "A")
    rest = dict.fromkeys("\t\n\x0b\x0c\r ", 0.15) | {"<end>": 0.1}
    text = text.replace("{<end>: 1}", json.dumps(rest))
    found = records(read(text, "auction.max_bytes=3", "sweep.seeds=30"))
    record = next(r for r in found if r["text"] == f"A{space}l")
    assert record["trace"]["pieces"] == [f"A{space}", "l"]


def test_log_probabilities_of_agents_that_spell_by_other_tokens(read: Reader) -> None:
    found = [record for record in records(read(SENTENCES)) if record["end_reason"] == "end"]
    assert len(found) > 20
    assert any(record["tokens"] > 2 for record in found)
    for record in found:
        assert record["tokens"] == len(record["trace"]["pieces"])
        assert record["bytes"] == len(record["text"])
        words = record["trace"]["pieces"]  # END after white space is a word of its own
        could_be_a = words[-1] == "" and set(words) <= set(WORDS_OF_A)
        said_by_a = sum(math.log(WORDS_OF_A[word]) for word in words) if could_be_a else -math.inf
        assert record["log_prob.a"] == pytest.approx(said_by_a)
        letters = [letter for word in words for letter in word]
        assert record["log_prob.b"] == pytest.approx(sum(math.log(LETTERS_OF_B[letter]) for letter in [*letters, ""]))


def test_an_agent_that_cannot_say_a_word_has_no_distribution_after_it(read: Reader) -> None:
    text = ONE_WORD.replace("Alpha:", '"Alpha ":')
    failed = [record for record in records(read(text, "sweep.seeds=50")) if record["end_reason"] == "failed"]
    assert failed
    for record in failed:
        assert record["error"] == "agent 'B' cannot spell 'Alpha ': it has no distribution of what follows"
        assert record["text"] == "Alpha "


def test_a_long_word_does_not_underflow(read: Reader) -> None:
    agents = "[{name: A, distribution: {a: 0.5, b: 0.5}}, {name: B, distribution: {a: 0.4, b: 0.6}}]"
    auction = "{alphabet: words, payments: [second_price], max_bytes: 1200}"
    (record,) = records(read(f"name: long\nagents: {agents}\nauction: {auction}\n"))
    assert record["log_prob.a"] == pytest.approx(1200 * math.log(0.5))
    assert 0 < record["payment.second_price_given_token.a"] + record["payment.second_price_given_token.b"] < 10


# Budgets, reserves, own rules


def test_budgets_pay_by_the_word(read: Reader) -> None:
    text = SENTENCES.replace("{name: A,", "{name: A, budget: 1.5,")
    found = records(read(text, "auction.charge=pay_your_bid", "sweep.relative_weight=[0.5]"))
    longer = [record for record in found if record["tokens"] > 2 and record["end_reason"] != "failed"]
    assert longer
    for record in longer:
        assert (record["payment.pay_your_bid.a"], record["spent_at.a"]) == (1.5, 2)
        assert record["trace"]["payments"]["pay_your_bid"][0][:3] == [1, 0.5, 0]


def test_a_reserve_counts_per_word(read: Reader) -> None:
    found = records(read(ONE_WORD, "auction.reserve=0.5", "sweep.relative_weight=[0.2]", "sweep.seeds=20"))
    assert {record["text"] for record in found} <= {"Beta", "Alps"}  # 0.4 is below the reserve
    (out,) = records(read(ONE_WORD, "auction.reserve=3", "sweep.seeds=1"))
    assert (out["end_reason"], out["tokens"], out["payment.pay_your_bid.a"]) == ("unsold", 0, 0)
    assert not {name for name in out if name.startswith(("tv.", "welfare"))}, "they sum over all words"


def test_rules_of_ones_own_must_fit_words(read: Reader, tmp_path: Path) -> None:
    (tmp_path / "words_pooling.py").write_text(
        "from tokenauction_cli.mechanism.aggregation.rules import LogLinear\nclass Pool(LogLinear):\n    pass\n",
        "utf-8",
    )
    text = ONE_WORD.replace(
        "auction:\n  {", "trust: [words_pooling]\nauction:\n  {aggregation: ['words_pooling:Pool'], "
    )
    with pytest.raises(UsageError, match="over words there are linear and random_dictator"):
        Rules.of(read(text.replace("[pay_your_bid, second_price]", "[pay_your_bid]")))


# Runs


@pytest.fixture(scope="module")
def sentences(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    from tokenauction_cli.experiment.experiment import load_experiment

    path = tmp_path_factory.mktemp("sentences") / "sentences.yaml"
    path.write_text(SENTENCES, "utf-8")
    return load_experiment(path)


def in_json(found: Sequence[Record]) -> str:
    return json.dumps(found, sort_keys=True)


@pytest.mark.parametrize("n_slots", [1, 2, 7])
def test_records_do_not_depend_on_slots(sentences: Experiment, n_slots: int) -> None:
    assert in_json(records(sentences, n_slots)) == in_json(records(sentences))


def lines(folder: Path) -> set[bytes]:
    return {line for path in folder.glob("records-*.jsonl") for line in path.read_bytes().splitlines()}


def test_a_run_that_is_continued_has_the_same_records(sentences: Experiment, tmp_path: Path) -> None:
    whole = run_experiment(sentences, tmp_path / "whole", SilentProgress())
    run_experiment(sentences, tmp_path / "parts", SilentProgress(), n=13)
    parts = run_experiment(sentences, tmp_path / "parts", SilentProgress())
    assert len(lines(whole.path)) == 100
    assert lines(parts.path) == lines(whole.path)
    assert "tv.a" not in whole.cells.columns


def test_an_audit_of_words_is_refused(sentences: Experiment, tmp_path: Path) -> None:
    run = run_experiment(sentences, tmp_path, SilentProgress(), n=1)
    with pytest.raises(UsageError, match="words cannot be listed; audit the file with -S"):
        audit_run(run, 10, tell=print)


def test_groups_that_went_back_are_work_left(sentences: Experiment) -> None:
    bidders = prepare(sentences)
    plan = make_plan(sentences, 8, is_batch_invariant=True)
    work = WorkLeft(plan, bidders.prompt_sets, sentences.auction.max_draws)
    went_back: list[tuple[int, int]] = []

    def heard(position: int, before: Sequence[int], after: Sequence[int], back: Sequence[tuple[int, int]]) -> None:
        went_back.extend(back)
        work.heard(position, before, after, back)
        assert all(0 <= at <= position for at, _ in back)
        assert work.left() >= 0

    with bidders.loaded(8) as model:
        auctioneer = Auctioneer(sentences, Rules.of(sentences), model.vocabulary)
        for _ in TokenLoop(model, auctioneer, bidders.prompt_sets, heard).run(plan.waves[0], 8):
            pass
    assert went_back
    assert work.left() == pytest.approx(0)


def test_a_word_is_played_at_a_time(sentences: Experiment) -> None:
    written = next(r for r in records(sentences) if r["end_reason"] == "end" and r["relative_weight"] == 0.3)
    with staged(sentences, "") as stage:
        play = stage.play("linear", 0.3, written["seed"])
        while play.end_reason is None:
            play.step()
    assert [token.piece for token in play.tokens] == written["trace"]["pieces"]


# A real model


@pytest.mark.slow
def test_words_of_a_real_model(read: Reader, model_path: Path, tmp_path: Path) -> None:
    prompts = {"A": "Fly to Hawaii with Alpha Airlines.", "B": "Stay in Hawaii at Beta Resort."}
    agents = [{"name": name, "model": DEMO_MODEL, "prompt": f"Ad: {ad}\nAd: {ad}\nAd:"} for name, ad in prompts.items()]
    settings: dict[str, Any] = {
        "name": "real-words",
        "agents": agents,
        "auction": {"alphabet": "words", "payments": ["second_price"], "max_bytes": 14, "trace": "chosen"},
        "sweep": {"agent": "A", "relative_weight": [0, 0.5, 1], "seeds": 2},
    }
    run = run_experiment(read(json.dumps(settings)), tmp_path, SilentProgress())
    found = [json.loads(line) for line in lines(run.path)]
    assert len(found) == 6
    for record in found:
        pieces = record["trace"]["pieces"]
        assert "".join(pieces).strip() == record["text"].strip()
        assert all(piece[-1:].isspace() and not piece[:-1].isspace() for piece in pieces[:-1])
        assert record["tokens"] == len(pieces)
        assert -40 < record["log_prob"] < 0
        paid = [record[f"payment.second_price.{agent}"] for agent in "ab"]
        assert all(0 <= price <= record["tokens"] * 2 for price in paid)
