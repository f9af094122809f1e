"""Experiment files: what is read, and that every mistake is reported with its place, all at once."""

from __future__ import annotations

import json
import math
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import experiments_of
from hypothesis import given
from hypothesis import strategies as st

from tokenauction_cli.experiment.experiment import Experiment, load_experiment
from tokenauction_cli.experiment.format.schema import json_schema
from tokenauction_cli.experiment.format.sweep import Steps
from tokenauction_cli.experiment.resolved.sweep import weights_of_sweep
from tokenauction_cli.system.errors import ExperimentError, Problem

ROOT = Path(__file__).parents[2]
STARTER = ROOT / "tokenauction_cli" / "experiment" / "format" / "starter.yaml"
SHIPPED = [*sorted((ROOT / "experiments").glob("*.yaml")), STARTER]

HEAD = "name: e\nagents:\n"  # two lines
ALPHA = "  - {name: Alpha, bid: 1, distribution: {x: 1}}\n"  # the third
BETA = "  - {name: Beta, bid: 3, distribution: {y: 1}}\n"  # the fourth
TWO = HEAD + ALPHA + BETA  # what follows stands in the fifth


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "e.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def load(folder: Path, text: str | bytes, *overrides: str) -> Experiment:
    return load_experiment(write(folder, text), overrides)


def problems(folder: Path, text: str | bytes, *overrides: str) -> list[Problem]:
    with pytest.raises(ExperimentError) as caught:
        load(folder, text, *overrides)
    return list(caught.value.problems)


def agent(line: str) -> str:
    """A file whose only agent is this mapping, in line 3 from column 5."""
    return f"{HEAD}  - {{{line}}}\n"


def test_defaults(tmp_path: Path) -> None:
    e = load(tmp_path, TWO)
    alpha, beta = e.agents
    assert (e.name, e.seed, e.queries, e.blends, e.trust) == ("e", 0, ("",), False, ())
    assert (alpha.id, alpha.temperature, alpha.mentions, alpha.reference, alpha.budget) == (
        "alpha",
        1,
        ("Alpha",),
        False,
        math.inf,
    )
    assert beta.distributions == {"*": {"y": 1.0}}
    assert (e.auction.aggregation, e.auction.payments) == (("linear",), ("pay_your_bid",))
    assert (e.auction.max_draws, e.auction.stop, e.auction.trace) == (64, (), "none")
    assert e.points == ((0, (1.0, 3.0), 0.25),)
    assert (e.seeds, e.swept_agent) == ((0,), 0)
    assert e.source == TWO.encode()


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_files_are_valid_and_resolve_to_themselves(path: Path, tmp_path: Path) -> None:
    e = experiments_of(path)[-1]
    resolved = yaml.safe_dump(e.plain, sort_keys=False, allow_unicode=True)
    again = load(tmp_path, resolved)
    assert again.semantic_hash == e.semantic_hash
    assert again.plain == e.plain
    assert again.points == e.points


def test_the_blog_example() -> None:
    e = load_experiment(ROOT / "experiments" / "mechanism-design-for.yaml")
    assert e.points[0].bids == (1, 2, 2)
    assert e.agents[0].distributions == {"*": {"Large": 0.8, "Generative": 0.2}}


@pytest.mark.parametrize(
    ("name", "agent_id"),
    [
        ("O'Hare", "o_hare"), ("7/11", "7_11"), ("Café Müller", "cafe_muller"), ("東京", "agent1"),
        ("  'x'", None), ("Alpha 👩‍✈️", "alpha"), ("#1", "1"),
    ],
)  # fmt: skip
def test_names_make_ids(name: str, agent_id: str | None, tmp_path: Path) -> None:
    text = agent(f"name: {json.dumps(name, ensure_ascii=False)}, distribution: {{x: 1}}")
    if agent_id is None:
        assert "a name of printable characters" in problems(tmp_path, text)[0].message
    else:
        assert load(tmp_path, text).agents[0].id == agent_id


def test_ids_by_position_do_not_collide(tmp_path: Path) -> None:
    text = HEAD + "  - {name: 東京, distribution: {x: 1}}\n  - {name: agent1, distribution: {x: 1}}\n"
    assert [a.id for a in load(tmp_path, text).agents] == ["agent2", "agent1"]


def test_byte_order_mark_and_crlf(tmp_path: Path) -> None:
    assert load(tmp_path, b"\xef\xbb\xbf" + TWO.replace("\n", "\r\n").encode()).name == "e"


def test_relative_weights(tmp_path: Path) -> None:
    text = TWO + "  - {name: Gamma, bid: 1, distribution: {z: 1}}\nsweep: {agent: Beta, relative_weight: [0, 0.5, 1]}\n"
    e = load(tmp_path, text)
    assert e.swept_agent == 1
    assert [p.bids for p in e.points] == [(2.5, 0, 2.5), (1.25, 2.5, 1.25), (0, 5, 0)]
    assert [p.relative_weight for p in e.points] == [0, 0.5, 1]


def test_steps_include_both_ends(tmp_path: Path) -> None:
    e = load(tmp_path, TWO + "sweep: {relative_weight: {from: 0, to: 1, step: 0.1}, total_bid: 2}\n")
    assert [p.relative_weight for p in e.points] == [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1]
    assert e.points[3].bids == (0.6, 1.4)
    assert e.plain["sweep"]["relative_weight"] == {"from": 0.0, "to": 1.0, "step": 0.1}
    e = load(tmp_path, TWO + "sweep: {relative_weight: {from: 0, to: 1, step: 0.333333333333}}\n")
    assert [p.relative_weight for p in e.points] == [0, 0.333333333333, 0.666666666666, 1]
    e = load(tmp_path, TWO + "sweep: {relative_weight: {from: 0.4, to: 0.4, step: 0.3}}\n")
    assert [p.relative_weight for p in e.points] == [0.4]


@given(st.integers(0, 99), st.integers(1, 100), st.integers(1, 10_000))
def test_steps_that_fit_but_for_rounding(first: int, percent: int, n_steps: int) -> None:
    """As people write them, with 12 digits: the first and the last weight are those of the file."""
    start, to = first / 100, max(first + 1, percent) / 100
    steps = Steps(start=start, to=to, step=float(f"{(to - start) / n_steps:.12g}"))
    weights = list(weights_of_sweep(steps))
    assert steps.fits
    assert (weights[0], weights[-1], len(weights)) == (start, to, n_steps + 1)


def test_a_reference_agent_keeps_its_bid(tmp_path: Path) -> None:
    reference = "  - {name: Auctioneer, bid: 5, reference: true, distribution: {z: 1}}\n"
    e = load(tmp_path, HEAD + reference + ALPHA + BETA + "sweep: {relative_weight: [0.5]}\n")
    assert e.swept_agent == 1
    assert e.points == ((0, (5, 2, 2), 0.5),)


def test_lists_of_bids_and_grids(tmp_path: Path) -> None:
    e = load(tmp_path, TWO + "sweep: {bids: [{Alpha: 3}, {alpha: 0, Beta: 2}]}\n")
    assert e.points == ((0, (3, 3), 0.5), (1, (0, 2), 0.0))
    e = load(tmp_path, TWO + "sweep: {grid: {beta: [1, 3], Alpha: [0, 1]}, agent: Beta}\n")
    assert [p.bids for p in e.points] == [(0, 1), (1, 1), (0, 3), (1, 3)]
    assert [p.relative_weight for p in e.points] == [1, 0.5, 1, 0.75]
    assert e.plain["sweep"]["grid"] == {"beta": [1.0, 3.0], "alpha": [0.0, 1.0]}


def test_seeds(tmp_path: Path) -> None:
    assert load(tmp_path, TWO + "sweep: {seeds: 3}\n").seeds == (0, 1, 2)
    assert load(tmp_path, TWO + "sweep: {seeds: [7, 5]}\n").seeds == (7, 5)


def test_models_are_resolved(tmp_path: Path) -> None:
    text = HEAD + "  - {name: A, model: small, prompt: x}\n  - {name: B, model: other.gguf, chat: {user: y}}\n"
    text += "  - {name: C, model: 'hf:user/repo:Q4_K_M', messages: [{role: user, content: z}]}\n"
    text += "models: {small: smollm2-135m-instruct}\n"
    e = load(tmp_path, text)
    assert [a.model for a in e.agents] == ["smollm2-135m-instruct", "other.gguf", "hf:user/repo:Q4_K_M"]
    assert e.agents[2].messages == (("user", "z"),)


def test_the_hash_sees_what_matters_only(tmp_path: Path) -> None:
    base = load(tmp_path, TWO).semantic_hash
    assert len(base) == 8
    assert load(tmp_path, TWO + "runtime: {threads: 2}\n").semantic_hash == base
    assert load(tmp_path, TWO.replace("name: e", "name: f")).semantic_hash == base
    assert load(tmp_path, TWO.replace("bid: 1", "bid: 1.0") + "seed: 0\n").semantic_hash == base
    assert load(tmp_path, TWO + "seed: 1\n").semantic_hash != base
    assert load(tmp_path, TWO, "agents.alpha.bid=2").semantic_hash != base


def test_custom_rules_need_trust(tmp_path: Path) -> None:
    text = TWO + "auction: {aggregation: my_rules.pooling:Median}\n"
    assert "runs only with 'trust: [my_rules.pooling]'" in problems(tmp_path, text)[0].message
    e = load(tmp_path, text, "trust=[my_rules.pooling]")
    assert e.auction.aggregation == ("my_rules.pooling:Median",)


@pytest.mark.parametrize(
    "override",
    ["agents.alpha.bid=2", "agents.Alpha.bid=2", "agents.0.bid=2", "agents.0.bid=2.0"],
)
def test_overrides_address_agents(override: str, tmp_path: Path) -> None:
    assert load(tmp_path, TWO, override).agents[0].bid == 2


def test_overrides_make_sections_and_know_names_with_dots(tmp_path: Path) -> None:
    text = HEAD + "  - {name: St. Regis, distribution: {x: 1}}\n"
    e = load(
        tmp_path, text, "agents.St. Regis.bid=1e-3", "sweep.seeds=3", 'auction.stop=["."]', "name=other=x", "name=x"
    )
    assert (e.agents[0].bid, e.seeds, e.auction.stop, e.name) == (0.001, (0, 1, 2), (".",), "x")


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("agents.alpha.bid=two", "expected a number of at least 0, got 'two'"),
        ("agents.gamma.bid=1", "'agents' has 2 entries; 'gamma' is none of them"),
        ("agents.alpha.bid.deep=1", "'agents.0.bid' holds a single value"),
        ("agents.alpha.bids=1", "did you mean 'bid'?"),
        ("sweep.seds=3", "did you mean 'seeds'?"),
        ("agents.alpha.bid", "expected key.path=value"),
        ("=1", "expected key.path=value"),
        ("a..b=1", "expected key.path=value"),
        ("auction.stop=[", "not valid YAML"),
        ("auction.aggregation=linaer", "did you mean 'linear'?"),
        ("agents.alpha.distribution={x: 0.5}", "got 0.5"),
        ("name=", "got nothing"),
        ("agents.-1.bid=1", "none of them"),
        ("seed={a: 1, a: 2}", "here twice"),
    ],
)
def test_mistakes_in_overrides(override: str, words: str, tmp_path: Path) -> None:
    found = problems(tmp_path, TWO, override)
    assert any(words in problem.message for problem in found)
    assert {(problem.file, problem.line) for problem in found} == {(f"-S {override}", 0)}


LONG_PROMPT = "name: e\nagents:\n  - name: A\n    model: a.gguf\n    prompt: |\n      one\n      {}\n"
BROKEN: list[tuple[str, int, int, str]] = [
    # keys
    (TWO + "agnts: []\n", 5, 1, "unknown key 'agnts'; did you mean 'agents'?"),
    (TWO + "swep: {}\n", 5, 1, "did you mean 'sweep'?"),
    (TWO + "name: f\n", 5, 1, "the key 'name' is here twice; the first is in line 1"),
    (TWO + "1: x\n", 5, 1, "write 1 in quotes"),
    (TWO + "auction: {agregation: linear}\n", 5, 11, "did you mean 'aggregation'?"),
    (TWO + "runtime: {thread: 2}\n", 5, 11, "did you mean 'threads'?"),
    (TWO + "sweep: {relative_weight: {form: 0, from: 0, to: 1, step: 1}}\n", 5, 27, "did you mean 'from'?"),
    (agent("name: A, distribution: {x: 1}, bd: 1"), 3, 37, "did you mean 'bid'?"),
    (agent("name: A, model: a.gguf, chat: {user: x, usr: y}"), 3, 46, "did you mean 'user'?"),
    (agent("name: A, model: a.gguf, chat: {user: x, assistant: y}"), 3, 46, "the keys here are system, user"),
    ("agents:\n" + ALPHA, 1, 1, "the key 'name' is missing"),
    ("name: e\n", 1, 1, "the key 'agents' is missing"),
    (agent("distribution: {x: 1}"), 3, 5, "the key 'name' is missing"),
    (agent("name: A, model: a.gguf, messages: [{role: user}]"), 3, 41, "the key 'content' is missing"),
    (TWO + "sweep: {relative_weight: {from: 0, to: 1}}\n", 5, 26, "the key 'step' is missing"),
    # names
    ("name: ../e\nagents:\n" + ALPHA, 1, 7, "no leading dot"),
    ("name: a/b\nagents:\n" + ALPHA, 1, 7, "got 'a/b'"),
    ("name: .e\nagents:\n" + ALPHA, 1, 7, "got '.e'"),
    ("name: 5\nagents:\n" + ALPHA, 1, 7, "got 5; put it in quotes"),
    ("name: \"e\\n\"\nagents:\n" + ALPHA, 1, 7, "got 'e\\n'"),
    (agent('name: "A\\nB", distribution: {x: 1}'), 3, 12, "got 'A\\nB'"),
    (agent('name: "A\\e[2J", distribution: {x: 1}'), 3, 12, "got 'A\\x1b[2J'"),
    (agent("name: '', distribution: {x: 1}"), 3, 12, "a name of printable characters"),
    (agent("name: ' A', distribution: {x: 1}"), 3, 12, "without blanks around it"),
    (agent("name: A, id: a-b, distribution: {x: 1}"), 3, 19, "A-Z a-z 0-9 _"),
    (HEAD + ALPHA + ALPHA, 4, 12, "the name 'Alpha' is already that of agent 1"),
    (HEAD + ALPHA.replace("Alpha", "Low"), 3, 12, "the id 'low' is that of an interval's end in summary.csv; give"),
    (HEAD + ALPHA + ALPHA.replace("Alpha", "ALPHA"), 4, 12, "the id 'alpha' is already that of agent 1; give one"),
    (HEAD + ALPHA + "  - {name: B, id: alpha, distribution: {x: 1}}\n", 4, 19, "the id 'alpha' is already that"),
    (HEAD + ALPHA + "  - {name: B, id: Alpha, distribution: {x: 1}}\n", 4, 19, "the id 'Alpha' is the name of another"),
    # types
    ("name: e\nagents: []\n", 2, 9, "expected at least one entry, got an empty list"),
    ("name: e\nagents: {}\n", 2, 9, "expected a list, got an empty mapping"),
    ("name: e\nagents:\n", 2, 8, "expected a list, got nothing"),
    ("name: e\nagents: [5]\n", 2, 10, "expected a mapping (key: value), got 5"),
    (TWO + "seed: 1.5\n", 5, 7, "expected a whole number of at least 0, got 1.5"),
    (TWO + "seed: true\n", 5, 7, "got true"),
    (TWO + "queries: vacations\n", 5, 10, "(CSV, .jsonl, .parquet), got 'vacations': there is no such file"),
    (TWO + "queries: []\n", 5, 10, "expected at least one entry"),
    (TWO + "queries: [1]\n", 5, 11, "expected text, got 1; put it in quotes"),
    (TWO + "blends: no\n", 5, 9, "expected true or false, got 'no'"),
    (TWO + "auction: linear\n", 5, 10, "expected a mapping"),
    (TWO + "sweep: [0, 1]\n", 5, 8, "expected a mapping (key: value), got a list"),
    (TWO + "auction: {max_tokens: 0}\n", 5, 23, "expected a whole number from 1 to 100000, got 0"),
    (TWO + "auction: {max_tokens: '5'}\n", 5, 23, "got '5'; remove the quotes"),
    (TWO + "auction: {stop: x}\n", 5, 17, "expected a list, got 'x'"),
    (TWO + "auction: {stop: [a, '']}\n", 5, 21, "text that is not empty"),
    (TWO + "auction: {trace: all}\n", 5, 18, "none, chosen or top_k"),
    (TWO + "auction: {aggregation: []}\n", 5, 24, "at least one entry"),
    (TWO + "runtime: {device: tpu}\n", 5, 19, "expected auto, cpu or gpu, got 'tpu'"),
    (TWO + "runtime: {threads: 0}\n", 5, 20, "expected auto or a whole number of at least 1, got 0"),
    (TWO + "runtime: {gpu_layers: all}\n", 5, 23, "auto or a whole number of at least 0"),
    (TWO + "trust: [a-b]\n", 5, 9, "a Python module"),
    (agent("name: A, distribution: {x: 1}, bid: '1'"), 3, 42, "got '1'; remove the quotes"),
    (agent("name: A, distribution: {x: 1}, bid: two"), 3, 42, "expected a number of at least 0, got 'two'"),
    (agent("name: A, distribution: {x: 1}, bid: -1"), 3, 42, "got -1"),
    (agent("name: A, distribution: {x: 1}, bid: .nan"), 3, 42, "got nan"),
    (agent("name: A, distribution: {x: 1}, bid: .inf"), 3, 42, "got inf"),
    (agent("name: A, distribution: {x: 1}, bid: 1e999"), 3, 42, "got inf"),
    (agent(f"name: A, distribution: {{x: 1}}, bid: {'9' * 400}"), 3, 42, "got a huge number"),
    (agent("name: A, distribution: {x: 1}, bid: true"), 3, 42, "got true"),
    (agent("name: A, distribution: {x: 1}, temperature: 0"), 3, 50, "expected a number above 0, got 0"),
    (agent("name: A, distribution: {x: 1}, mentions: []"), 3, 47, "at least one entry"),
    (agent("name: A, distribution: {x: 1}, reference: yes"), 3, 48, "true or false"),
    # tables and voices
    (agent("name: A, distribution: {x: 0.5, y: 0.4}"), 3, 15, "sum to 1, got 0.9"),
    (agent("name: A, distributions: {'': {x: 1}, x: {y: 0.5}}"), 3, 43, "the row 'x'"),
    (agent("name: A, distribution: {x: 1.5, y: -0.5}"), 3, 33, "from 0 to 1"),
    (agent("name: A, distribution: {}"), 3, 29, "at least one entry"),
    (agent("name: A, distribution: {'': 1}"), 3, 30, "text that is not empty"),
    (agent("name: A, distribution: {x: 1}, distributions: {'*': {x: 1}}"), 3, 37, "got both"),
    (agent("name: A, distribution: {x: 1}, model: a.gguf"), 3, 37, "has no model"),
    (agent("name: A, distribution: {x: 1}, prompt: x"), 3, 37, "has no prompt"),
    (agent("name: A, model: a.gguf"), 3, 5, "expected one of prompt, chat, messages"),
    (agent("name: A, prompt: x"), 3, 5, "the key 'model' is missing"),
    (agent("name: A, model: a.gguf, prompt: x, chat: {user: y}"), 3, 41, "got prompt and chat"),
    (agent("name: A, model: a.gguf, messages: []"), 3, 40, "at least one entry"),
    (agent("name: A, model: a.gguf, messages: [{role: bot, content: x}]"), 3, 48, "system, user or assistant"),
    (HEAD + ALPHA + "  - {name: B, model: a.gguf, prompt: x}\n", 4, 5, "do not mix"),
    # models and rules
    (agent("name: A, model: smal, prompt: x") + "models: {small: a.gguf}\n", 3, 22, "did you mean 'small'?"),
    (agent("name: A, model: smollm2-135-instruct, prompt: x"), 3, 22, "did you mean 'smollm2-135m-instruct'?"),
    (agent("name: A, model: m, prompt: x") + "models: {m: a.bin}\n", 4, 13, "unknown model 'a.bin'"),
    (agent("name: A, model: 'hf:nothing', prompt: x"), 3, 22, "unknown model 'hf:nothing'"),
    (TWO + "auction: {aggregation: linaer}\n", 5, 24, "unknown aggregation rule 'linaer'; did you mean 'linear'?"),
    (TWO + "auction: {aggregation: [linear, loglinear]}\n", 5, 33, "did you mean 'log_linear'?"),
    (TWO + "auction: {aggregation: [linear, linear]}\n", 5, 33, "here twice"),
    (TWO + "auction: {payments: free_lunch}\n", 5, 21, "unknown payment rule 'free_lunch'"),
    (TWO + "auction: {sampling: greddy}\n", 5, 21, "unknown sampling rule 'greddy'"),
    (TWO + "auction: {aggregation: os:system}\n", 5, 24, "trust: [os]"),
    (TWO + "auction: {aggregation: 'os:sys tem'}\n", 5, 24, "package.module:Name"),
    (TWO + "auction: {charge: vcg}\n", 5, 19, "expected one of the payments (pay_your_bid), got 'vcg'"),
    (agent("name: A, distribution: {x: 1}, budget: 5"), 3, 37, "needs 'auction.charge'"),
    (TWO + f"auction: {{payments: [{'x, ' * 100}]}}\n", 5, 21, "expected at most 64 entries"),
    # sweeps
    (TWO + "sweep: {relative_weight: 0.5}\n", 5, 26, "expected a list of numbers from 0 to 1"),
    (TWO + "sweep: {relative_weight: []}\n", 5, 26, "at least one entry"),
    (TWO + "sweep: {relative_weight: [0, 1.5]}\n", 5, 30, "expected a number from 0 to 1, got 1.5"),
    (TWO + "sweep: {relative_weight: ['0']}\n", 5, 27, "remove the quotes"),
    (TWO + "sweep: {relative_weight: {from: 0, to: 1, step: 0}}\n", 5, 49, "expected a number above 0, got 0"),
    (TWO + "sweep: {relative_weight: {from: 1, to: 0, step: 0.5}}\n", 5, 40, "a last weight of at least 1"),
    (TWO + "sweep: {relative_weight: {from: 0, to: 1, step: 0.3}}\n", 5, 49, "that fit: 0.25 or 0.333333333333"),
    (TWO + "sweep:\n  relative_weight:\n    from: 0.5\n    to: 1\n    step: 2\n", 9, 11, "that fit: 0.5"),
    (TWO + "sweep: {relative_weight: {from: 0, to: 1, step: 0.333333}}\n", 5, 49, "miss the last weight, 1"),
    (TWO + "sweep: {relative_weight: {from: 0, to: 1, step: 1e-300}}\n", 5, 1, "at most 1,000,000 cells"),
    (TWO + "sweep: {relative_weight: {from: 0, to: 1, step: 1e-7}}\n", 5, 1, "got 10,000,001"),
    (TWO + "sweep: {seeds: 1000000000}\n", 5, 1, "got 1,000,000,000"),
    (TWO + "sweep: {seeds: 0}\n", 5, 16, "a number of seeds of at least 1"),
    (TWO + "sweep: {seeds: [1, 1]}\n", 5, 20, "the seed 1 is here twice"),
    (TWO + "sweep: {seeds: [-1]}\n", 5, 17, "at least 0, got -1"),
    (TWO + "sweep: {seeds: many}\n", 5, 16, "a number of seeds"),
    (TWO + "sweep: {agent: Gamma}\n", 5, 16, "unknown agent 'Gamma'"),
    (TWO + "sweep: {agent: Alfa}\n", 5, 16, "did you mean 'Alpha'?"),
    (TWO + "sweep: {relative_weight: [1], bids: [{alpha: 1}]}\n", 5, 31, "got relative_weight and bids"),
    (TWO + "sweep: {total_bid: 2}\n", 5, 9, "goes with relative_weight only"),
    (TWO + "sweep: {relative_weight: [1], total_bid: 0}\n", 5, 42, "above 0"),
    (TWO + "sweep: {bids: [{Betta: 1}]}\n", 5, 17, "did you mean 'Beta'?"),
    (TWO + "sweep: {bids: [{Beta: 1, beta: 2}]}\n", 5, 26, "are the same agent"),
    (TWO + "sweep: {bids: [{}]}\n", 5, 16, "at least one entry"),
    (TWO + "sweep: {bids: [{alpha: 1}, {alpha: 0, beta: 0}]}\n", 5, 28, "all bids are zero at this point"),
    (TWO + "sweep: {grid: {alpha: [0, 0], beta: [0]}}\n", 5, 15, "all bids are zero at the highest bids of the grid"),
    (TWO + "sweep: {grid: {alpha: 1}}\n", 5, 23, "expected a list, got 1"),
    (TWO + "sweep: {bids: [{alpha: 1e308, beta: 1e308}]}\n", 5, 16, "their sum is infinite"),
    (HEAD + ALPHA + "sweep: {relative_weight: [0.5]}\n", 4, 9, "at least two agents that are charged"),
    (HEAD + ALPHA + BETA.replace("bid: 3", "bid: 0") + "sweep: {relative_weight: [1]}\n", 5, 9, "cannot share"),
    (HEAD + ALPHA.replace("bid: 1", "bid: 0"), 3, 3, "all bids are zero"),
    (HEAD + ALPHA.replace("bid: 1", "reference: true"), 2, 1, "every agent is a reference agent"),
    (TWO.replace("bid: 3", "reference: true") + "sweep: {agent: Beta}\n", 5, 16, "it is not swept"),
    (TWO.replace("bid: 3", "reference: true") + "sweep: {bids: [{Beta: 1}]}\n", 5, 17, "its bid stays fixed"),
    # templates
    (LONG_PROMPT.format("two {{ qurey }}"), 7, 7, "did you mean 'query'?"),
    (LONG_PROMPT.format("two {{ query }}"), 7, 7, "the file has no queries"),
    (LONG_PROMPT.format("two {% if %}"), 7, 7, "Expected an expression"),
    (LONG_PROMPT.format("{{ agent.__class__ }}"), 7, 7, "attributes such as"),
    (LONG_PROMPT.format("{{ 'a' * 1000000000 }}"), 7, 7, "takes numbers"),
    (agent("name: A, model: a.gguf, chat: {user: '{{ x }}'}"), 3, 43, "unknown name 'x'"),
    (agent("name: A, model: a.gguf, messages: [{role: user, content: '{{'}]"), 3, 63, "unexpected"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "line", "column", "words"), BROKEN, ids=range(len(BROKEN)))
def test_broken_files(text: str, line: int, column: int, words: str, tmp_path: Path) -> None:
    started = time.process_time()
    found = problems(tmp_path, text)
    here = [problem for problem in found if words in problem.message]
    assert here, "\n".join(map(str, found))
    assert (here[0].line, here[0].column) == (line, column), str(here[0])
    assert here[0].file == str(tmp_path / "e.yaml")
    assert len(found) <= 2 or len(text) > 300
    assert not any(jargon in str(problem) for problem in found for jargon in ("pydantic", "http", "Input should"))
    assert time.process_time() - started < 10


def test_every_mistake_is_reported_at_once(tmp_path: Path) -> None:
    text = (
        "name: ../x\nagnts: []\nagents:\n  - name: A\n    modle: small\n    prompt: |\n      {{ qurey }}\n"
        "    bid: '1'\n"
        "  - name: A\n    model: smollm2-135m-instrct\n    prompt: x\n    prompt: y\nauction: {aggregation: lin}\n"
        "sweep: {agent: Bee, seeds: [1, 1]}\nblends: no\n"
    )
    lines = [problem.line for problem in problems(tmp_path, text)]
    assert lines == [1, 2, 4, 5, 7, 8, 9, 10, 12, 13, 14, 14, 15]


def test_too_many_agents_are_refused_at_once(tmp_path: Path) -> None:
    text = HEAD + "".join(f"  - {{name: A{i}, distribution: {{x: 1}}}}\n" for i in range(10_000))
    started = time.process_time()
    (problem,) = problems(tmp_path, text)
    assert (problem.line, problem.column) == (2, 1)
    assert "at most 64 agents, got 10,000" in problem.message
    assert time.process_time() - started < 10
    assert len(load(tmp_path, HEAD + "".join(text.splitlines(keepends=True)[2:66])).agents) == 64


def test_a_grid_of_too_many_points(tmp_path: Path) -> None:
    text = HEAD + "".join(f"  - {{name: A{i}, distribution: {{x: 1}}}}\n" for i in range(64))
    text += "sweep: {grid: {" + ", ".join(f"A{i}: [1, 2, 3]" for i in range(64)) + "}}\n"
    (problem,) = problems(tmp_path, text)
    assert "at most 1,000,000 cells, got over a thousand million" in problem.message


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ExperimentError, match="there is no such file"):
        load_experiment(tmp_path / "none.yaml")
    with pytest.raises(ExperimentError, match="cannot be read"):
        load_experiment(tmp_path)


def test_the_schema_explains_every_key() -> None:
    schema = json_schema()
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    models = [schema, *(m for m in schema["$defs"].values() if "properties" in m)]
    keys = [(name, key) for model in models for name, key in model["properties"].items()]
    assert [name for name, key in keys if not key.get("description")] == []
    assert [m["title"] for m in models if m["additionalProperties"] is not False] == ["At", "Query"]
    aggregation = schema["$defs"]["Auction"]["properties"]["aggregation"]["anyOf"]
    assert "log_linear" in aggregation[0]["anyOf"][0]["enum"]
    assert json.loads(json.dumps(schema)) == schema


VALUES = st.sampled_from(
    [
        None,
        True,
        0,
        1,
        -1,
        0.5,
        1e400,
        "",
        "x",
        "alpha",
        "Alpha",
        "{{ x }}",
        "a.gguf",
        [],
        {},
        [1],
        ["x"],
        [[]],
        {"x": 1},
    ]
)
KEYS = st.sampled_from(
    [
        "name",
        "seed",
        "queries",
        "models",
        "agents",
        "auction",
        "sweep",
        "runtime",
        "blends",
        "trust",
        "id",
        "model",
        "prompt",
        "chat",
        "messages",
        "distribution",
        "bid",
        "distributions",
        "mentions",
        "budget",
        "reference",
        "aggregation",
        "payments",
        "sampling",
        "stop",
        "charge",
        "relative_weight",
        "bids",
        "grid",
        "seeds",
        "agent",
        "total_bid",
        "from",
        "to",
        "step",
        "user",
        "system",
        "role",
        "content",
        "audit",
        "texts",
        "value",
        "mention",
        "log_ratio",
        "judge",
        "market",
        "values",
        "policies",
        "budgets",
        "per_day",
        "reports",
        "prompts",
        "at",
        "x",
        "alpha",
    ]
)
TREES: st.SearchStrategy[Any] = st.recursive(
    VALUES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5), max_leaves=12
)


@given(tree=st.dictionaries(KEYS, TREES, max_size=5), keep=st.booleans())
def test_any_tree_is_read_or_refused(
    tree: dict[str, Any], keep: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.getbasetemp()
    whole = {"name": "e", "agents": [{"name": "Alpha", "distribution": {"x": 1}}], **tree} if keep else tree
    with suppress(ExperimentError):
        assert load(folder, json.dumps(whole).replace("Infinity", ".inf")).points


@given(at=st.integers(0, 10_000), new=st.text("{}[]:,'\"-#&*! \n\tx0.", max_size=4), cut=st.integers(0, 3))
def test_any_edit_is_read_or_refused(at: int, new: str, cut: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    text = STARTER.read_text("utf-8")
    at %= len(text)
    with suppress(ExperimentError):
        assert load(tmp_path_factory.getbasetemp(), text[:at] + new + text[at + cut :]).points
