"""Mechanisms through the whole engine: known numbers, laws, and who writes what."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from conftest import Reader
from mechanism_runs import ALL_SIX, BABBLE, evaluations, n_prefixes, plain, records, run
from tiny_gguf import bigram_model, of_byte

from tokenauction_cli.audits.prefixes.prefixes import sample
from tokenauction_cli.experiment.experiment import load_experiment
from tokenauction_cli.runs.run_folder import Record

EXPERIMENTS = Path(__file__).parents[3] / "experiments"
THREE_TEXTS = """
name: three
agents:
  - {name: A, distribution: {x: 0.2, y: 0.6, z: 0.2}}
  - {name: B, distribution: {x: 0.1, y: 0.3, z: 0.6}}
reference: {distribution: {x: 0.5, y: 0.3, z: 0.2}}
auction:
  mechanism: [mosaic, text_pool]
  mosaic: {candidates: all, tau: 2}
  text_pool: {candidates: all}
  max_tokens: 1
sweep: {bids: [{A: 1, B: 1}], seeds: 1000}
"""
ONE_TOKEN = """
name: one
agents:
  - {name: A, bid: 2, distribution: {x: 1}}
  - {name: B, bid: 1, distribution: {y: 1}}
auction: {mechanism: [lottery, highest], max_tokens: 1}
sweep: {seeds: 1000}
"""
P = {"x": 0.1550510257, "y": 0.4651530772, "z": 0.3797958971}
ROUNDED = 5.1e-6  # as the exact figures are given
N_ERRORS = 4.0  # standard errors: of some twenty means one is outside in 800 test runs with other numbers


def assert_mean(values: Sequence[float], expected: float) -> None:
    error = np.std(values) / np.sqrt(len(values))
    assert np.mean(values) == pytest.approx(expected, abs=N_ERRORS * error + ROUNDED)


def assert_law(texts: Sequence[str], law: dict[str, float]) -> None:
    assert set(texts) <= set(law)
    for text, p in law.items():
        assert_mean([float(one == text) for one in texts], p)


# Numbers that are known


def test_three_texts_each_a_candidate_once(read: Reader, tmp_path: Path) -> None:
    """The charged payments are exact in every record, and the realised ones have them as their mean."""
    ran = run(read(THREE_TEXTS), tmp_path)
    mosaic, pool = records(ran, "mosaic"), records(ran, "text_pool")
    for agent, charged, pooled in (("a", 0.0858835473, 0.0983326274), ("b", 0.2290197857, 0.0856883419)):
        assert all(abs(one[f"payment.mosaic.{agent}"] - charged) < 1e-8 for one in mosaic)
        assert all(abs(one[f"payment.text_pool.{agent}"] - pooled) < 1e-8 for one in pool)
        assert_mean([one[f"payment.mosaic_realised.{agent}"] for one in mosaic], charged)
    for found in (mosaic, pool):
        assert_law([one["text"] for one in found], P)
    assert [one["text"] for one in mosaic] == [one["text"] for one in pool], "at tau = B they choose the same"
    assert evaluations(ran) == 0


def test_the_lottery_and_the_highest_bid(read: Reader, tmp_path: Path) -> None:
    ran = run(read(ONE_TOKEN), tmp_path)
    lottery, highest = records(ran, "lottery"), records(ran, "highest")
    assert_law([one["text"] for one in lottery], {"x": 2 / 3, "y": 1 / 3})
    for agent, mean in (("a", 0.4319456220), ("b", 0.1442635495)):
        assert all(abs(one[f"payment.lottery_expected.{agent}"] - mean) < 1e-8 for one in lottery)
        assert_mean([one[f"payment.lottery.{agent}"] for one in lottery], mean)
    assert {(one["text"], one["payment.highest.a"], one["payment.highest.b"]) for one in highest} == {("x", 1.0, 0.0)}


@pytest.mark.parametrize(
    ("replacement", "exact"),
    [("true", (0.68474, 0.37900, 0.71058, 0.16915)), ("false", (0.52406, 0.33485, 0.56782, 0.29262))],
)
def test_the_published_table_of_segment_auctions(tmp_path: Path, replacement: str, exact: tuple[float, ...]) -> None:
    """The shipped experiment: 500 texts of three segments, each the name of who won it."""
    path = EXPERIMENTS / "segment-auction-table.yaml"
    experiment = load_experiment(path, [f"auction.segment.replacement={replacement}"])
    texts = records(run(experiment, tmp_path))
    q = dict(experiment.auction.mechanisms[0].settings["relevance"])
    bids = {agent.id: agent.bid for agent in experiment.agents}
    winners = [one["text"].lower().split() for one in texts]
    assert {len(one) for one in winners} == {3}
    assert {one["end_reason"] for one in texts} == {"segments"}, "it is whole, although it is as long as may be"
    most = 3 * max(q.values())
    assert_mean([one["welfare"] / (3 * max(q[i] * bids[i] for i in q)) for one in texts], exact[0])
    for column in ("segment", "segment_expected"):
        assert_mean([one[f"revenue.{column}"] / 9 for one in texts], exact[1])
    assert_mean([sum(q[i] for i in one) / most for one in winners], exact[2])
    least = min(q, key=lambda i: np.mean([q[i] * bids[i] * one.count(i) for one in winners]))
    assert_mean([q[least] * bids[least] * one.count(least) for one in winners], exact[3])


# Laws


def test_at_its_ends_the_lottery_is_the_token_auction(read: Reader, tmp_path: Path) -> None:
    """One agent alone writes, with the random numbers of the seed."""
    ran = run(read(BABBLE), tmp_path)
    auction, lottery, highest = (
        {(one["relative_weight"], one["seed"]): one["token_ids"] for one in records(ran, name)}
        for name in ("token_auction", "lottery", "highest")
    )
    for weight in (0.0, 1.0):
        for seed in range(4):
            assert auction[weight, seed] == lottery[weight, seed] == highest[weight, seed]
    assert auction != lottery


def test_who_writes_alone_writes_once_for_all_bids(read: Reader, tmp_path: Path) -> None:
    """At most n texts per (query, seed), whatever the bids, and no evaluation besides."""
    eleven = "sweep.relative_weight={from: 0, to: 1, step: 0.1}"
    ran = run(read(BABBLE, "auction.mechanism=[lottery, highest]", "queries=[q, r]", eleven), tmp_path)
    found = records(ran)
    for query in ("q", "r"):
        for seed in range(4):
            own = [tuple(one["token_ids"]) for one in found if (one["query"], one["seed"]) == (query, seed)]
            assert len(own) == 22
            assert len(set(own)) <= 2
    assert evaluations(ran) == 3 * n_prefixes(one | {"query": ""} for one in found), "equal prompts are asked once"


def test_a_lone_bidder_pays_nothing_but_to_leave_the_reference(read: Reader, tmp_path: Path) -> None:
    """Whoever pays nothing has a 0, no gap."""
    settings = ("auction.payments=[second_price]", "sweep.relative_weight=[0, 1]")
    for record in records(run(read(BABBLE, *settings), tmp_path)):
        paid = {key: value for key, value in record.items() if key.startswith("payment.")}
        alone = "a" if record["relative_weight"] else "b"
        assert len(paid) >= 2
        for column, amount in paid.items():
            is_due = column.startswith("payment.mosaic") and column.endswith(alone)
            assert amount >= 0 if is_due else amount == 0, column
        if record.get("mechanism") == "mosaic":
            assert paid[f"payment.mosaic.{alone}"] > 0
    free = run(read(BABBLE, "auction.mosaic.tau=0", "sweep.relative_weight=[0, 1]"), tmp_path)
    assert all(record["revenue.mosaic"] == 0 for record in records(free, "mosaic"))


def test_permuting_the_agents_permutes(read: Reader, tmp_path: Path) -> None:
    """But the lottery, whose one number takes them as they are listed."""
    chosen = "auction.mechanism=[mosaic, segment, highest, text_pool]"
    one = read(BABBLE, chosen, "sweep.relative_weight=[0.3, 0.8]")
    head, a, b, *rest = BABBLE.partition("reference:")[0].splitlines(keepends=True)[2:]
    swapped = "name: babble\n" + head + b + a + BABBLE[BABBLE.index("reference:") :]
    assert not rest
    other = read(swapped, chosen, "sweep.relative_weight=[0.3, 0.8]")
    assert [agent.id for agent in other.agents] == ["b", "a"]
    by_place = [
        {(r["mechanism"], r["relative_weight"], r["seed"]): r for r in records(run(e, tmp_path))} for e in (one, other)
    ]
    assert by_place[0].keys() == by_place[1].keys()
    for place, record in by_place[0].items():
        again = by_place[1][place]
        assert again["token_ids"] == record["token_ids"]
        for key in (key for key in record if key.startswith(("payment.", "log_prob.", "posterior."))):
            assert again[key] == pytest.approx(record[key], abs=1e-12), key


@pytest.mark.parametrize("tau", [0, 0.5, 2])
def test_a_higher_bid_never_lowers_the_score_of_what_is_chosen(read: Reader, tmp_path: Path, tau: float) -> None:
    bids = ", ".join(f"{{A: {bid / 4}, B: 1}}" for bid in range(13))
    settings = ("auction.mechanism=mosaic", f"auction.mosaic.tau={tau}", "auction.mosaic.candidates=20")
    ran = run(read(BABBLE, *settings, f"sweep={{bids: [{bids}], seeds: 6}}"), tmp_path)
    moved = False
    for seed in range(6):
        scores = [one["log_ratio.a"] for one in records(ran, "mosaic") if one["seed"] == seed]
        assert scores == sorted(scores)
        moved |= len(set(scores)) > 1
    assert moved


def test_an_audit_of_prefixes_looks_at_those_of_the_token_auction(read: Reader, tmp_path: Path) -> None:
    ran = run(read(BABBLE), tmp_path)
    auction = records(ran, "token_auction")
    met = {tuple(one["token_ids"][:k]) for one in auction for k in range(one["tokens"])}
    assert {prefix.tokens for prefix in sample(read(BABBLE), ran.folder.records(), 9999)} == met


# Segments


def texts(read: Reader, results: Path, segment: str, *overrides: str) -> list[Record]:
    """40 at equal weights, of agents that often end a sentence."""
    often = [f"agents.{i}.distribution={{x: 0.3, {word}: 0.3, '.': 0.3, <end>: 0.1}}" for i, word in enumerate("yz")]
    settings = ("auction.mechanism=segment", f"auction.segment={{{segment}}}", "sweep.relative_weight=[0.5]", *often)
    return records(run(read(BABBLE, *settings, "sweep.seeds=40", *overrides), results))


def test_sentences(read: Reader, tmp_path: Path) -> None:
    """A text has all its segments, or one of them never ended."""
    found = texts(read, tmp_path, "unit: sentence, segments: 2")
    assert {one["end_reason"] for one in found} == {"segments", "end", "length"}
    for one in found:
        n_ended = one["text"].count(".")
        assert n_ended <= 2
        assert (one["end_reason"] == "segments") == (n_ended == 2)
        if one["end_reason"] == "length":
            assert one["tokens"] == 6


def test_each_token_is_drawn_by_the_winner_alone(read: Reader, tmp_path: Path) -> None:
    """A token that only one agent says is said in a segment that it won; without replacement each wins once."""
    own = ("agents.0.distribution={x: 1}", "agents.1.distribution={y: 1}")
    for unit, length in (("token", 2), ("text", 6)):
        segments = 2 if unit == "token" else 1
        found = texts(read, tmp_path, f"unit: {unit}, segments: {segments}", *own)
        assert {one["tokens"] for one in found} == {length}
        wins = {tuple(one["text"].split()) for one in found}
        words = ("x", "y")
        expected = {(one, other) for one in words for other in words} if unit == "token" else {(w,) * 6 for w in words}
        assert wins == expected
    once = texts(read, tmp_path, "unit: token, segments: 2, replacement: false", *own)
    assert {one["text"] for one in once} == {"x y", "y x"}
    assert {one["end_reason"] for one in once} == {"segments"}
    three = texts(read, tmp_path, "unit: token, segments: 3, replacement: false", *own)
    assert {(one["text"], one["end_reason"]) for one in three} == {("x y", "segments"), ("y x", "segments")}


def test_relevance_decides_too(read: Reader, tmp_path: Path) -> None:
    own = ("agents.0.distribution={x: 1}", "agents.1.distribution={y: 1}")
    found = texts(read, tmp_path, "unit: text, relevance: {A: 0}", *own)
    assert {one["text"][0] for one in found} == {"y"}
    assert all(one["welfare"] == 1 and one["payment.segment.b"] == 0 for one in found)


def test_stop_strings_end_a_segmented_text(read: Reader, tmp_path: Path) -> None:
    found = texts(read, tmp_path, "unit: sentence, segments: 2", 'auction.stop=["y"]')
    assert {"stop", "segments"} <= {one["end_reason"] for one in found}
    assert not any("y" in one["text"] for one in found)


def test_a_reserve_keeps_low_bids_out_and_the_winner_writes(read: Reader, tmp_path: Path) -> None:
    """The bid of who writes alone counts, however high the reserve is."""
    settings = ("auction.mechanism=[lottery, highest, segment]", "auction.reserve=1.5")
    points = "sweep={bids: [{A: 3, B: 2}, {A: 1, B: 1}], seeds: 5}"
    for one in records(run(read(BABBLE, *settings, points), tmp_path)):
        if one["bid.a"] == 3:
            assert one["end_reason"] not in ("failed", "unsold")
            paid = [one[f"payment.{one['mechanism']}.{agent}"] for agent in "ab"]
            assert all(price == 0 or price >= 1.5 for price in paid)
        else:
            assert (one["end_reason"], one["text"], one["tokens"], one["welfare"]) == ("unsold", "", 0, 0)
            assert {one[f"payment.{one['mechanism']}.{agent}"] for agent in "ab"} == {0}


def test_segments_over_bytes_of_models(read: Reader, tmp_path: Path) -> None:
    """A byte that ends a sentence ends the segment, wherever the model's tokens begin."""
    a, dot, b = map(of_byte, b"a.b")
    follows = {a: {dot: 9.0}, dot: {a: 3.0, b: 3.0}, b: {b: 2.0, dot: 2.0}}
    bigram_model(tmp_path / "m.gguf", follows)
    text = """
name: bytes
agents: [{name: A, model: m.gguf, prompt: a}, {name: B, model: m.gguf, prompt: b}]
auction: {mechanism: [segment, lottery], alphabet: bytes, max_bytes: 12, segment: {segments: 2}}
sweep: {relative_weight: [0.5], seeds: 6}
"""
    found = records(run(read(text), tmp_path), "segment")
    assert {"segments"} <= {one["end_reason"] for one in found}
    for one in found:
        assert one["end_reason"] != "failed"
        if one["end_reason"] == "segments":
            assert one["text"].endswith(".") or one["text"].endswith("\n")


# A cell that has no outcome fails alone


def test_where_nobody_can_choose_that_cell_fails_alone(read: Reader, tmp_path: Path) -> None:
    """At one point an agent bids that can say none of the texts."""
    text = THREE_TEXTS.replace("x: 0.2, y: 0.6, z: 0.2", "w: 1").replace("seeds: 1000", "seeds: 2")
    found = records(run(read(text, "sweep.bids=[{A: 1, B: 1}, {A: 0, B: 1}]"), tmp_path))
    for one in found:
        assert (one["end_reason"] == "failed") == (one["bid.a"] == 1)
        if one["bid.a"]:
            assert "nothing to choose" in one["error"]


def test_all_six_say_the_same_of_their_cells(read: Reader, tmp_path: Path) -> None:
    """Every mechanism has every cell; the token auction's records are those that it has alone."""
    six = run(read(BABBLE), tmp_path / "six")
    alone = run(read(BABBLE, "auction.mechanism=token_auction"), tmp_path / "alone")
    assert len(records(six)) == 6 * len(records(alone)) == 72
    assert [plain(one) for one in records(six, "token_auction")] == [plain(one) for one in records(alone)]
    for one in records(six):
        assert ("mechanism" in one) != bool(one["aggregation"])
        assert one["quality"] < 0


MODELS = f"""
name: models
models: {{small: smollm2-135m-instruct}}
queries: [Hawaii]
agents:
  - {{name: A, model: small, prompt: "Fly with Alpha to {{{{ query }}}}", mentions: [Alpha]}}
  - {{name: B, model: small, prompt: "Stay with Beta in {{{{ query }}}}", mentions: [Beta]}}
reference: {{model: small, prompt: "See {{{{ query }}}}"}}
auction:
  mechanism: {ALL_SIX}
  mosaic: {{candidates: 3}}
  text_pool: {{candidates: 3}}
  segment: {{unit: token, segments: 2}}
  max_tokens: 4
sweep: {{agent: A, relative_weight: [0, 0.5, 1], seeds: 1}}
"""


@pytest.mark.model
@pytest.mark.parametrize("alphabet", ["tokens", pytest.param("bytes", marks=pytest.mark.slow)])
def test_on_a_model(read: Reader, tmp_path: Path, model_path: Path, alphabet: str) -> None:
    """What one agent writes costs the same at all weights; candidates are what all agents say they are."""
    ran = run(
        read(
            MODELS.replace("max_tokens", "max_tokens" if alphabet == "tokens" else "max_bytes"),
            f"auction.alphabet={alphabet}",
        ),
        tmp_path,
    )
    found = records(ran)
    assert len(found) == 18
    assert not any(one["end_reason"] == "failed" for one in found)
    assert all(1 <= one["ess"] <= 3 for one in found if "ess" in one)
    for name in ("lottery", "highest"):
        assert len({tuple(one["token_ids"]) for one in records(ran, name)}) <= 2
    auction = {(r["relative_weight"], r["seed"]): r["text"] for r in records(ran, "token_auction")}
    for one in records(ran, "lottery"):
        if one["relative_weight"] in (0, 1):
            assert one["text"] == auction[one["relative_weight"], one["seed"]]
