"""`auction.mechanism` in an experiment file: what it becomes, and every mistake with its place."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml
from conftest import Reader

from tokenauction_cli.analysis.expectations import figure_names
from tokenauction_cli.experiment.checks.mechanism_checks import Premises, misfits
from tokenauction_cli.experiment.experiment import load_experiment
from tokenauction_cli.experiment.format.expect import At
from tokenauction_cli.experiment.format.schema import json_schema
from tokenauction_cli.experiment.resolved.mechanism_choice import MechanismChoice
from tokenauction_cli.mechanism import registry
from tokenauction_cli.system.errors import ExperimentError, Problem

TABLES = """name: e
agents:
  - {name: Ann Air, id: ann, bid: 1, distribution: {x: 1}}
  - {name: Bob, bid: 3, distribution: {y: 1}}
  - {name: House, bid: 5, reference: true, distribution: {z: 1}}
"""
MODELS = """name: e
agents:
  - {name: Ann, model: smollm2-135m-instruct, prompt: x}
  - {name: Bob, model: smollm2-135m-instruct, prompt: y}


"""
REFERENCE = "reference: {distribution: {x: 1}}\n"
TOKEN_AUCTION = MechanismChoice("token_auction", {}, 0, "")
LOTTERY = MechanismChoice("lottery", {}, 0, "")
ALL_SIX = "[token_auction, mosaic, segment, lottery, highest, text_pool]"


def auction(keys: str, file: str = TABLES, after: str = "") -> str:
    return f"{file}auction: {{{keys}}}\n{after}"


def choices(read: Reader, keys: str) -> tuple[MechanismChoice, ...]:
    return read(auction(keys, after=REFERENCE)).auction.mechanisms


def problems(read: Reader, text: str, *overrides: str) -> Sequence[Problem]:
    with pytest.raises(ExperimentError) as caught:
        read(text, *overrides)
    return caught.value.problems


# What it becomes


@pytest.mark.parametrize(
    "keys", ["", "mechanism: token_auction", "mechanism: [token_auction]", "mechanism: null", "mosaic: {tau: 5}"]
)
def test_the_token_auction_is_the_default_and_saying_so_changes_nothing(read: Reader, keys: str) -> None:
    e, plain = read(auction(keys)), read(TABLES)
    assert e.auction.mechanisms == (TOKEN_AUCTION,)
    assert e.plain == plain.plain
    assert e.semantic_hash == plain.semantic_hash == "58dce6a2"  # that of before there was this key


def test_all_six_with_their_defaults(read: Reader) -> None:
    mosaic = MechanismChoice("mosaic", {"tau": 2.0, "score": "log_ratio"}, 20, "log_linear")
    settings = {"unit": "sentence", "segments": 3, "replacement": True, "relevance": None}
    segment, highest = MechanismChoice("segment", settings, 0, ""), MechanismChoice("highest", {}, 0, "")
    pool = MechanismChoice("text_pool", {}, 20, "log_linear")
    made = choices(read, f"mechanism: {ALL_SIX}")
    assert made == (TOKEN_AUCTION, mosaic, segment, LOTTERY, highest, pool)
    for one in made:
        assert registry.find("mechanism", one.name, one.settings).name == one.name


def test_settings(read: Reader) -> None:
    mosaic, segment = choices(
        read,
        "mechanism: [mosaic, segment], mosaic: {candidates: all, generator: power_mean_2, tau: 0, score: mention}, "
        "segment: {unit: token, segments: 7, replacement: false, relevance: {Ann Air: 0.5, House: 0}}",
    )
    assert mosaic == MechanismChoice("mosaic", {"tau": 0, "score": "mention"}, None, "power_mean_2")
    assert segment.settings["relevance"] == {"ann": 0.5, "house": 0}
    made = registry.find("mechanism", "segment", segment.settings)
    assert (made.unit, made.segments, made.replacement, made.relevance["ann"]) == ("token", 7, False, 0.5)


@pytest.mark.parametrize(("segment", "n_segments"), [("", 3), ("unit: text", 1), ("unit: text, segments: 1", 1)])
def test_the_whole_text_is_one_segment(read: Reader, segment: str, n_segments: int) -> None:
    (made,) = choices(read, f"mechanism: segment, segment: {{{segment}}}")
    assert made.settings["segments"] == n_segments


def test_one_of_ones_own_has_no_settings_and_may_choose_among_candidates(read: Reader) -> None:
    (made,) = read(auction("mechanism: 'mine.auctions:Raffle'") + "trust: [mine.auctions]\n").auction.mechanisms
    assert made == MechanismChoice("mine.auctions:Raffle", {}, 20, "log_linear")


def test_without_the_token_auction_there_are_no_rules_of_it(read: Reader) -> None:
    e = read(auction("mechanism: lottery"))
    assert (e.auction.mechanisms, e.auction.aggregation, e.auction.payments) == ((LOTTERY,), (), ())
    assert not {"aggregation", "payments"} & set(e.plain["auction"])


def test_with_bytes_greedy_sampling_and_a_trace(read: Reader) -> None:
    keys = "mechanism: [token_auction, lottery], alphabet: bytes, sampling: greedy, trace: chosen, payments: []"
    assert read(auction(keys)).auction.mechanisms == (TOKEN_AUCTION, LOTTERY)


def test_every_text_once_goes_with_any_sampling(read: Reader) -> None:
    (made,) = choices(read, "mechanism: text_pool, text_pool: {candidates: all}, sampling: greedy")
    assert made.candidates is None


def test_a_reserve_and_a_budget_where_they_have_a_meaning(read: Reader) -> None:
    assert read(auction("mechanism: [token_auction, lottery, highest, segment], reserve: 1")).auction.reserve == 1
    with_budget = TABLES.replace("bid: 3", "bid: 3, budget: 2")
    keys = "mechanism: token_auction, charge: pay_your_bid"
    assert read(auction(keys, with_budget)).agents[1].budget == 2


# Identity


@pytest.mark.parametrize(
    "keys",
    [
        "mechanism: lottery",
        f"mechanism: {ALL_SIX}, payments: [vcg], mosaic: {{tau: 0}}, segment: {{relevance: {{Ann Air: 2}}}}",
        "mechanism: [token_auction, segment], payments: [], segment: {unit: text}, reserve: 0.5",
        "mechanism: text_pool, text_pool: {candidates: all}",
    ],
)
def test_a_resolved_file_says_the_same(read: Reader, keys: str) -> None:
    e = read(auction(keys, after=REFERENCE))
    again = read(yaml.safe_dump(dict(e.plain), sort_keys=False, allow_unicode=True))
    assert (again.plain, again.auction) == (e.plain, e.auction)
    assert again.semantic_hash == e.semantic_hash


def test_what_changes_a_text_or_a_payment_changes_the_hash(read: Reader) -> None:
    def hash_of(keys: str) -> str:
        return read(auction(keys, after=REFERENCE)).semantic_hash

    different = ["", "mechanism: mosaic", "mechanism: [mosaic, token_auction]", "mechanism: mosaic, mosaic: {tau: 1}"]
    different += ["mechanism: mosaic, mosaic: {candidates: 21}", "mechanism: mosaic, mosaic: {generator: linear}"]
    assert len(set(map(hash_of, different))) == len(different)
    assert hash_of("mechanism: [mosaic], mosaic: {tau: 2}, segment: {segments: 9}") == hash_of("mechanism: mosaic")


def test_an_editor_knows_the_names() -> None:
    sections = json_schema()["$defs"]
    one, several, nothing = sections["Auction"]["properties"]["mechanism"]["anyOf"]
    assert one["anyOf"][0] == {"enum": list(registry.names("mechanism"))}
    assert (several["items"], nothing) == (one, {"type": "null"})
    for name in ("Mosaic", "TextPool"):
        assert "log_linear" in sections[name]["properties"]["generator"]["anyOf"][0]["enum"]


# Mistakes. What follows the agents stands in line 6, and `auction: {` has 10 characters.

FORM = [
    ("mechanism: []", 22, "expected at least one entry, got an empty list"),
    ("mechanism: [2]", 23, "expected text that is not empty, got 2"),
    ("mosaic: {candidates: 0}", 32, "expected all or a whole number from 1 to 10000, got 0"),
    ("mosaic: {candidates: -3}", 32, "expected all or a whole number from 1 to 10000, got -3"),
    ("text_pool: {candidates: every}", 35, "expected all or a whole number from 1 to 10000, got 'every'"),
    ("mosaic: {tau: -1}", 25, "expected a number of at least 0, got -1"),
    ("mosaic: {tau: .inf}", 25, "expected a number of at least 0"),
    ("mosaic: {score: judge}", 27, "expected log_ratio or mention, got 'judge'"),
    ("mosaic: {temperature: 2}", 20, "unknown key 'temperature'"),
    ("segment: {unit: paragraph}", 27, "expected token, sentence or text, got 'paragraph'"),
    ("segment: {segments: 0}", 31, "expected a whole number from 1 to 1000, got 0"),
    ("segment: {replacement: 0}", 34, "expected true or false, got 0"),
    ("segment: {relevance: {ann: -1}}", 38, "expected a number of at least 0, got -1"),
    ("segment: {relevance: {}}", 32, "expected at least one entry"),
    ("text_pool: {tau: 1}", 23, "unknown key 'tau'"),
    ("lottery: {}", 11, "unknown key 'lottery'"),
]
NAMES = [
    ("mechanism: mosaik", 22, "unknown mechanism 'mosaik'; did you mean 'mosaic'?; there are token_auction, mosaic,"),
    ("mechanism: [lottery, linear]", 32, "unknown mechanism 'linear'; there are token_auction"),
    ("mechanism: [lottery, lottery]", 32, "the mechanism 'lottery' is here twice"),
    ("mechanism: ['mine:Raffle']", 23, "the mechanism 'mine:Raffle' is code of your own; it runs only with 'trust: ["),
    ("mechanism: ['my own:Raffle']", 23, "expected a mechanism of your own as package.module:Name"),
    ("mosaic: {generator: log_linea}", 31, "unknown aggregation rule 'log_linea'; did you mean 'log_linear'?"),
    ("text_pool: {generator: vcg}", 34, "unknown aggregation rule 'vcg'; there are linear"),
    ("mosaic: {generator: 'mine:Median'}", 31, "the rule 'mine:Median' is code of your own"),
    ("aggregation: mosaic", 24, "mosaic is a mechanism: list it in auction.mechanism; aggregation rules are linear"),
    (
        "payments: [vcg, mosaic]",
        27,
        "mosaic is a mechanism, which charges payment.mosaic by itself; auction.payments are those of the token",
    ),
    (
        "payments: lottery_expected",
        21,
        "is a payment of the mechanism lottery, which charges payment.lottery by itself",
    ),
    ("payments: token_auction", 21, "token_auction is a mechanism; auction.payments are those of the token auction: "),
    ("segment: {relevance: {Anne: 1}}", 33, "unknown agent 'Anne'; did you mean 'ann'?"),
    ("segment: {relevance: {ann: 1, Ann Air: 1}}", 41, "'ann' and 'Ann Air' are the same agent"),
    ("segment: {unit: text, segments: 2}", 43, "with the unit text the one segment is the whole text, got 2"),
]
PREMISES = [
    ("mechanism: [lottery, mosaic]", 32, "mosaic with the score log_ratio needs the key 'reference' at the top of"),
    ("mechanism: mosaic, mosaic: {score: log_ratio}", 46, "mosaic with the score log_ratio needs the key 'reference'"),
    ("mechanism: text_pool, reserve: 2", 42, "a reserve has no meaning in text_pool"),
    (
        "mechanism: text_pool, sampling: greedy",
        43,
        "text_pool chooses among candidates, which greedy sampling makes all",
    ),
    ("mechanism: [token_auction, highest], alphabet: words", 58, "highest writes and scores texts of tokens or bytes"),
    (
        "mechanism: text_pool, text_pool: {candidates: all}, alphabet: bytes",
        57,
        "need agents with tables in an auction",
    ),
    (
        "mechanism: [lottery, highest], payments: []",
        42,
        "payments is a key of token_auction alone, which is not one of the mechanisms; lottery has payment.lottery and "
        "payment.lottery_expected, highest has payment.highest; leave payments out, or add token_auction to",
    ),
    ("mechanism: lottery, aggregation: linear", 31, "aggregation is a key of token_auction alone, which is not one"),
    (
        "mechanism: lottery, charge: vcg",
        31,
        "charge is a key of token_auction alone, which is not one of the mechanisms",
    ),
    (
        "mechanism: segment, segment: {relevance: {ann: 0, Bob: 0, House: 0}}",
        41,
        "at point 0 of the sweep nobody can win a segment: each bid or relevance is 0",
    ),
]


@pytest.mark.parametrize(("keys", "column", "message"), [*FORM, *NAMES, *PREMISES])
def test_a_mistake_has_its_place(read: Reader, keys: str, column: int, message: str) -> None:
    (problem,) = problems(read, auction(keys))
    assert (problem.line, problem.column) == (6, column), problem
    assert message in problem.message


@pytest.mark.parametrize(
    ("text", "line", "column", "message"),
    [
        (
            auction("mechanism: text_pool, text_pool: {candidates: all}", MODELS),
            7,
            57,
            "the candidates all need agents with tables in an auction of tokens; here give their number",
        ),
        (
            auction("mechanism: [highest]", TABLES.replace("bid: 3", "bid: 3, budget: 2")),
            4,
            25,
            "a budget has no meaning in highest",
        ),
        (
            auction("mechanism: segment, segment: {relevance: {Bob: 0, House: 0}}")
            + "sweep: {relative_weight: [1, 0.5, 0]}\n",
            6,
            41,
            "at point 2 of the sweep nobody can win a segment",
        ),
        (
            auction("mechanism: [token_auction, lottery, highest], aggregation: [linear, log_linear]")
            + "sweep: {seeds: 250001}\n",
            7,
            1,
            "got 1,000,004 (1 queries x 4 rules and mechanisms x 1 points x 250,001 seeds)",
        ),
        (
            auction("mechanism: text_pool, text_pool: {candidates: 5000}") + "sweep: {seeds: 300}\n",
            6,
            57,
            "expected at most 1,000,000 candidates in all, got 1,500,000 (1 queries x 300 seeds x 5,000)",
        ),
    ],
)
def test_a_mistake_against_other_sections(read: Reader, text: str, line: int, column: int, message: str) -> None:
    (problem,) = problems(read, text)
    assert (problem.line, problem.column) == (line, column), problem
    assert message in problem.message


@pytest.mark.parametrize(
    ("listed", "told"),
    [
        ("[mosaik]", "which is not one of the mechanisms; leave payments out"),
        ("[highest, highest]", "the mechanisms; highest has payment.highest; leave payments out"),
    ],
)
def test_payments_are_listed_once_of_the_mechanisms_that_are_known(read: Reader, listed: str, told: str) -> None:
    messages = [problem.message for problem in problems(read, auction(f"mechanism: {listed}, payments: []"))]
    assert len(messages) == 2
    assert told in messages[1]


def test_each_mechanism_says_what_it_refuses(read: Reader) -> None:
    with_budget = TABLES.replace("bid: 3", "bid: 3, budget: 2")
    found = problems(read, auction("mechanism: [lottery, text_pool], reserve: 1", with_budget))
    assert [(problem.line, problem.column) for problem in found] == [(4, 25), (4, 25), (6, 53)]
    assert [problem.message.split(":")[0] for problem in found] == [
        "a budget has no meaning in lottery",
        "a budget has no meaning in text_pool",
        "a reserve has no meaning in text_pool",
    ]


def test_an_option_is_the_place_of_its_mistake(read: Reader) -> None:
    assert read(TABLES, "auction.mechanism=[lottery]").auction.mechanisms == (LOTTERY,)
    (problem,) = problems(read, TABLES, "auction.mechanism=[lotery]")
    assert str(problem).startswith("-S auction.mechanism=[lotery]: unknown mechanism 'lotery'; did you mean 'lottery'?")


def test_premises_of_a_mechanism_that_the_file_does_not_know() -> None:
    pool = registry.find("mechanism", "text_pool")
    choice = MechanismChoice("mine:Pool", {}, 20, "log_linear")
    nothing, everything = (
        Premises("tokens", "mine:Sampler", 0, False, False),
        Premises("words", "greedy", 1, True, False),
    )
    assert list(misfits(pool, choice, nothing)) == []
    assert [key for key, _ in misfits(pool, choice, everything)] == ["alphabet", "sampling", "reserve", "budget"]


# Expectations


def expecting(folder: Path, mechanisms: str, expect: str) -> At:
    path = folder / "e.yaml"
    path.write_text(auction(f"mechanism: {mechanisms}", after=f"expect: [{expect}]\n"), "utf-8")
    return load_experiment(path, figures=figure_names).expect[0].at


@pytest.mark.parametrize(
    ("mechanisms", "figure"),
    [
        ("[token_auction, lottery]", "revenue.pay_your_bid"),
        ("[token_auction, lottery]", "payment.lottery.bob"),
        ("lottery", "revenue.lottery_expected"),
        ("token_auction", "tokens"),
    ],
)
def test_an_expectation_of_one_mechanism(tmp_path: Path, mechanisms: str, figure: str) -> None:
    name = "lottery" if "lottery" in mechanisms else "token_auction"
    at = expecting(tmp_path, mechanisms, f"{{figure: {figure}, min: 0, at: {{mechanism: {name}}}}}")
    assert at == At(mechanism=name)


@pytest.mark.parametrize(
    ("mechanisms", "expect", "column", "message"),
    [
        ("lottery", "{figure: tokens, min: 0, at: {mechanism: lotery}}", 51, "did you mean 'lottery'?"),
        ("lottery", "{figure: tokens, min: 0, at: {mechanism: mosaic}}", 51, "unknown mechanism 'mosaic'; there are"),
        ("lottery", "{figure: tokens, min: 0, at: {aggregation: linear}}", 40, "only the texts of token_auction have"),
        (
            "[lottery, token_auction]",
            "{figure: tokens, min: 0, at: {mechanism: lottery, aggregation: linear}}",
            60,
            "only the texts of token_auction have an aggregation rule",
        ),
        ("lottery", "{figure: revenue.pay_your_bid, min: 0}", 19, "unknown figure 'revenue.pay_your_bid'"),
        ("lottery", "{figure: revenue.highest, min: 0}", 19, "unknown figure 'revenue.highest'"),
    ],
)
def test_no_such_row(tmp_path: Path, mechanisms: str, expect: str, column: int, message: str) -> None:
    with pytest.raises(ExperimentError) as caught:
        expecting(tmp_path, mechanisms, expect)
    (problem,) = caught.value.problems
    assert (problem.line, problem.column) == (7, column), problem
    assert message in problem.message
