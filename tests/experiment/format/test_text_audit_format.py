"""`audit.texts` and `reference` in an experiment file: what they become, and every mistake with its place."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
import yaml
from conftest import Reader

from tokenauction_cli.experiment.checks.text_audit_checks import why_not_audited
from tokenauction_cli.experiment.experiment import Agent, Experiment
from tokenauction_cli.experiment.format.audit import Judge
from tokenauction_cli.experiment.from_mapping import experiment_from
from tokenauction_cli.experiment.resolved.text_audit import GRID, Utility
from tokenauction_cli.experiment.source.model_places import place_of_model
from tokenauction_cli.experiment.templates.prompts import PromptError, render_question, template_mistakes
from tokenauction_cli.system.errors import ExperimentError, Problem

TABLES = """name: e
agents:
  - {name: Ann Air, id: ann, bid: 1, distribution: {x: 1}}
  - {name: Bob, bid: 3, distribution: {y: 1}}
  - {name: House, bid: 5, reference: true, distribution: {z: 1}}
"""
MODELS = """name: e
models: {small: smollm2-135m-instruct}
agents:
  - {name: Ann, model: small, prompt: "Ann:"}
  - {name: Bob, model: small, chat: {system: s, user: u}}
  - name: Cat
    model: other.gguf
    messages: [{role: user, content: a}, {role: user, content: b}, {role: assistant, content: c}]
"""
JUDGE = "judge: {model: judge.gguf, prompt: 'Is {{ text }} good?', value: 2}"


def texts(file: str, audit: str) -> str:
    return f"{file}audit: {{texts: {{{audit}}}}}\n"


def problems(read: Reader, text: str, *overrides: str) -> Sequence[Problem]:
    with pytest.raises(ExperimentError) as caught:
        read(text, *overrides)
    return caught.value.problems


# What it becomes


def test_without_the_key_an_agent_values_a_mention_at_its_own_bid(read: Reader) -> None:
    e = read(TABLES)
    assert e.text_audit.utilities == {0: (Utility("mention", 1.0),), 1: (Utility("mention", 3.0),)}
    assert (e.text_audit.bids, e.text_audit.misreports, e.text_audit.seeds) == (None, (), 200)
    assert e.text_audit.at == (1, 3, 5)
    assert (e.reference, e.audits_texts) == (None, False)
    assert not {"audit", "reference"} & set(e.plain)


def test_the_key_with_nothing_in_it_says_the_same(read: Reader) -> None:
    e = read(texts(TABLES, ""))
    assert e.text_audit == read(TABLES).text_audit
    assert e.audits_texts


def test_all_that_can_be_said(read: Reader) -> None:
    audit = "value: {Ann Air: {mention: 2, tv: 1}, bob: {count: 0.5}}, bids: [3, 0], seeds: 7, at: {bids: {Bob: 2}}"
    asked = read(texts(TABLES, audit)).text_audit
    assert asked.utilities == {0: (Utility("mention", 2), Utility("tv", 1)), 1: (Utility("count", 0.5),)}
    assert (asked.bids, asked.seeds, asked.at) == ((3, 0), 7, (1, 2, 5))
    assert asked.grid(0.5) == (0, 0.5, 3)


def test_bids_by_the_value(read: Reader) -> None:
    assert read(texts(TABLES, "bids: auto")).text_audit.grid(2) == tuple(2 * share for share in GRID)


def test_agents_in_the_order_of_the_file_whatever_that_of_their_values(read: Reader) -> None:
    assert list(read(texts(TABLES, "value: {bob: {tv: 1}, ann: {tv: 1}}")).text_audit.utilities) == [0, 1]


@pytest.mark.parametrize(
    ("sweep", "bids"),
    [
        ("", (1, 3, 5)),  # the agents' own bids sum to 4
        ("sweep: {agent: Bob}\n", (3, 1, 5)),
        ("sweep: {relative_weight: [0.5], total_bid: 8}\n", (2, 6, 5)),
    ],
)
def test_a_relative_weight_is_that_of_the_sweep(read: Reader, sweep: str, bids: tuple[float, ...]) -> None:
    assert read(texts(TABLES + sweep, "at: {relative_weight: 0.25}")).text_audit.at == bids


def test_a_judge(read: Reader) -> None:
    file = MODELS.replace("small: smol", "good: judge.gguf, small: smol")
    (utility,) = read(texts(file, f"value: {{Ann: {{{JUDGE.replace('judge.gguf', 'good')}}}}}")).text_audit.utilities[0]
    assert utility == Utility("judge", 2, Judge(model="judge.gguf", prompt="Is {{ text }} good?", value=2))


def misreports(e: Experiment) -> Mapping[tuple[int, str], Agent]:
    return {(one.agent, one.name): one.reported for one in e.text_audit.misreports}


def test_misreports_of_models(read: Reader) -> None:
    reports = "reports: {temperature: [0.5, 1, 2], prompts: {Ann: [p, q], Bob: [r], Cat: [s]}}"
    e = read(texts(MODELS, reports))
    made = misreports(e)
    assert [name for agent, name in made if agent == 0] == ["temperature 0.5", "temperature 2", "prompt 1", "prompt 2"]
    assert made[1, "temperature 0.5"].temperature == 0.5
    assert (made[0, "prompt 2"].prompt, made[0, "prompt 2"].temperature) == ("q", 1)
    assert made[1, "prompt 1"].messages == (("system", "s"), ("user", "r"))
    assert made[2, "prompt 1"].messages == (("user", "a"), ("user", "s"), ("assistant", "c"))
    assert {one.model for one in made.values()} == {"smollm2-135m-instruct", "other.gguf"}


def test_misreports_of_tables_and_of_nobody_without_a_value(read: Reader) -> None:
    reports = "reports: {temperature: [0.5], distributions: {ann: [{'': {x: 0.5, y: 0.5}, '*': {x: 1}}]}}"
    e = read(texts(TABLES, f"value: {{ann: {{tv: 1}}}}, {reports}"))
    made = misreports(e)
    assert list(made) == [(0, "temperature 0.5"), (0, "distribution 1")]
    assert made[0, "distribution 1"].distributions == {"": {"x": 0.5, "y": 0.5}, "*": {"x": 1}}


def test_a_reference(read: Reader) -> None:
    table = read(TABLES + "reference: {distribution: {x: 0.5, y: 0.5}, temperature: 2}\n").reference
    assert table is not None
    assert (table.name, table.id, table.bid, table.mentions) == ("reference", "reference", 0, ())
    assert (table.distributions, table.temperature) == ({"*": {"x": 0.5, "y": 0.5}}, 2)
    model = read(MODELS + "reference: {model: small, chat: {user: hello}}\n").reference
    assert model is not None
    assert (model.model, model.messages) == ("smollm2-135m-instruct", (("user", "hello"),))


def test_over_bytes_a_reference_may_be_of_another_kind(read: Reader) -> None:
    e = read(TABLES + "reference: {model: a.gguf, prompt: x}\nauction: {alphabet: bytes}\n")
    assert e.reference is not None


def test_a_reference_is_part_of_the_run_and_an_audit_is_not(read: Reader) -> None:
    base = read(TABLES).semantic_hash
    assert base == "58dce6a2"  # that of before there were these keys
    assert read(texts(TABLES, "seeds: 7")).semantic_hash == base
    first, second = (read(TABLES + f"reference: {{distribution: {{{one}: 1}}}}\n").semantic_hash for one in "xy")
    assert len({base, first, second}) == 3


@pytest.mark.parametrize(
    "text",
    [
        texts(TABLES, "value: {Ann Air: {log_ratio: 2}}, bids: [1, 2], seeds: 7, at: {bids: {Bob: 2}}")
        + "reference: {distribution: {x: 1}}\n",
        texts(TABLES, "at: {relative_weight: 0.3}, reports: {distributions: {Ann Air: [{'*': {y: 1}}]}}"),
        texts(MODELS, f"value: {{Ann: {{{JUDGE}}}}}, reports: {{temperature: [3], prompts: {{Ann: [x]}}}}")
        + "reference: {model: small, prompt: x}\n",
        texts(TABLES, ""),
    ],
)
def test_a_resolved_file_says_the_same(read: Reader, text: str) -> None:
    e = read(text)
    again = read(yaml.safe_dump(dict(e.plain), sort_keys=False, allow_unicode=True))
    assert (again.plain, again.text_audit, again.reference) == (e.plain, e.text_audit, e.reference)
    assert again.semantic_hash == e.semantic_hash


def test_overrides(read: Reader) -> None:
    assert read(TABLES, "audit.texts.seeds=50").text_audit.seeds == 50
    e = read(TABLES, "audit.texts.value.ann.mention=9", "audit.texts.at.relative_weight=0.5")
    assert (e.text_audit.utilities, e.text_audit.at) == ({0: (Utility("mention", 9),)}, (2, 2, 5))
    (problem,) = problems(read, TABLES, "audit.texts.value.Anne.tv=9")
    assert str(problem) == "-S audit.texts.value.Anne.tv=9: unknown agent 'Anne'; did you mean 'ann'?"


# Mistakes. What follows TABLES stands in line 6, and `audit: {texts: {` has 16 characters.

WITH_TABLES = [
    # form
    ("audit: {}", 6, 8, "the key 'texts' is missing"),
    ("audit: {text: {}}", 6, 9, "unknown key 'text'; did you mean 'texts'?"),
    ("audit: {texts: {values: {}}}", 6, 17, "did you mean 'value'?"),
    ("audit: {texts: {value: {}}}", 6, 24, "expected at least one entry, got an empty mapping"),
    ("audit: {texts: {value: {ann: {}}}}", 6, 30, "expected one of mention, count, log_ratio, reverse_kl, tv, judge"),
    ("audit: {texts: {value: {ann: 2}}}", 6, 30, "expected a mapping (key: value), got 2"),
    ("audit: {texts: {value: {ann: {mentions: 2}}}}", 6, 31, "unknown key 'mentions'; did you mean 'mention'?"),
    ("audit: {texts: {value: {ann: {mention: -2}}}}", 6, 40, "expected a number of at least 0, got -2"),
    ("audit: {texts: {value: {ann: {judge: {modle: x, prompt: x, value: 1}}}}}", 6, 39, "did you mean 'model'?"),
    ("audit: {texts: {bids: all}}", 6, 23, "expected auto, or a list of bids"),
    ("audit: {texts: {bids: []}}", 6, 23, "expected at least one entry"),
    ("audit: {texts: {bids: [1, '2']}}", 6, 27, "remove the quotes"),
    ("audit: {texts: {seeds: 0}}", 6, 24, "expected a whole number of at least 1, got 0"),
    ("audit: {texts: {at: {relative_weight: 2}}}", 6, 39, "expected a number from 0 to 1, got 2"),
    ("audit: {texts: {reports: {temperature: [0]}}}", 6, 41, "expected a number above 0, got 0"),
    ("audit: {texts: {reports: {prompt: {}}}}", 6, 27, "did you mean 'prompts'?"),
    # who
    ("audit: {texts: {value: {Anne: {tv: 1}}}}", 6, 25, "unknown agent 'Anne'; did you mean 'ann'?"),
    ("audit: {texts: {value: {ann: {tv: 1}, Ann Air: {tv: 1}}}}", 6, 39, "'ann' and 'Ann Air' are the same agent"),
    ("audit: {texts: {value: {House: {tv: 1}}}}", 6, 25, "is a reference agent: it pays nothing and does not deviate"),
    ("audit: {texts: {at: {bids: {Bobb: 1}}}}", 6, 29, "unknown agent 'Bobb'"),
    ("audit: {texts: {at: {bids: {House: 1}}}}", 6, 29, "'House' is a reference agent: its bid stays fixed"),
    ("audit: {texts: {reports: {distributions: {Bobb: [{'*': {x: 1}}]}}}}", 6, 43, "unknown agent 'Bobb'"),
    ("audit: {texts: {reports: {distributions: {House: [{'*': {x: 1}}]}}}}", 6, 43, "does not deviate"),
    (
        "audit: {texts: {value: {ann: {tv: 1}}, reports: {distributions: {Bob: [{'*': {x: 1}}]}}}}",
        6, 66, "'Bob' has no value in audit.texts.value",
    ),
    # what
    ("audit: {texts: {value: {ann: {log_ratio: 1}}}}", 6, 31, "log_ratio needs the key 'reference'"),
    ("audit: {texts: {at: {relative_weight: 0.5, bids: {ann: 1}}}}", 6, 44, "relative_weight and bids, got both"),
    ("audit: {texts: {reports: {temperature: [2, 0.5, 2.0]}}}", 6, 49, "the temperature 2 is here twice"),
    ("audit: {texts: {reports: {prompts: {ann: [x]}}}}", 6, 37, "'Ann Air' is a table and has no prompt; use distrib"),
    ("audit: {texts: {reports: {distributions: {ann: [{'': {x: 0.5}}]}}}}", 6, 50, "sum to 1, got 0.5 for the row ''"),
    ("audit: {texts: {}}\nauction: {sampling: greedy}", 6, 9, "with greedy sampling there are no expected payments"),
    ("audit: {texts: {}}\nauction: {alphabet: words}", 6, 9, "over words there are no expected payments"),
    ("audit: {texts: {}}\nauction: {payments: []}", 6, 9, "needs a payment rule"),
    # bids
    ("audit: {texts: {bids: [0, 0]}}", 6, 23, "all bids to try are zero"),
    ("audit: {texts: {value: {ann: {tv: 0}, Bob: {tv: 0, mention: 0}}}}", 6, 17, "all values are zero"),
    ("audit: {texts: {bids: [1.7e308], at: {bids: {Bob: 1.7e308}}}}", 6, 34, "too large where 'Ann Air' bids 1.7e+308"),
    ("audit: {texts: {value: {ann: {tv: 1e308}}}}", 6, 9, "too large where 'Ann Air' bids inf"),
    ("audit: {texts: {bids: [1e306]}}", 6, 9, "too large where 'Ann Air' bids 1e+306"),
    ("audit: {texts: {seeds: 99999}}", 6, 17, "at most 1,000,000 texts, got 1,799,982 (1 queries x 1 rules x 18 dev"),
    # the reference
    ("reference: {}", 6, 12, "expected one of prompt, chat, messages (or distribution, for a reference"),
    ("reference: x", 6, 12, "expected a mapping (key: value), got 'x'"),
    ("reference: {distribution: {x: 1}, bid: 1}", 6, 35, "unknown key 'bid'"),
    ("reference: {distribution: {x: 1}, model: a.gguf}", 6, 35, "a reference with a distribution has no model"),
    ("reference: {distribution: {x: 0.5}}", 6, 13, "sum to 1, got 0.5"),
    ("reference: {model: a.gguf, prompt: x}", 6, 12, "tables and models do not mix in an auction of tokens"),
    ("reference: {distribution: {x: 1}}\nauction: {alphabet: words}", 6, 1, "not of words; use 'alphabet: bytes'"),
]  # fmt: skip


@pytest.mark.parametrize(("end", "line", "column", "words"), WITH_TABLES, ids=range(len(WITH_TABLES)))
def test_mistakes(read: Reader, end: str, line: int, column: int, words: str) -> None:
    found = problems(read, f"{TABLES}{end}\n")
    here = [problem for problem in found if words in problem.message]
    assert here, "\n".join(map(str, found))
    assert (here[0].line, here[0].column) == (line, column), str(here[0])
    assert len(found) <= 2, "\n".join(map(str, found))


WITH_MODELS = [
    ("reference: {model: smal, prompt: x}", 20, "unknown model 'smal'; did you mean 'small'?"),
    ("reference: {model: small}", 12, "expected one of prompt, chat, messages"),
    ("reference: {prompt: x}", 12, "the key 'model' is missing"),
    ("reference: {model: small, prompt: x, chat: {user: y}}", 38, "got prompt and chat"),
    ("reference: {model: small, prompt: '{{ text }}'}", 35, "unknown name 'text'"),
    ("reference: {distribution: {x: 1}}", 12, "tables and models do not mix"),
    (f"audit: {{texts: {{value: {{Ann: {{{JUDGE.replace('judge.gguf', 'jugde')}}}}}}}}}", 46, "unknown model 'jugde'"),
    (f"audit: {{texts: {{value: {{Ann: {{{JUDGE.replace('text', 'txt')}}}}}}}}}", 66, "did you mean 'text'?"),
    (f"audit: {{texts: {{value: {{Ann: {{{JUDGE.replace('text', 'agent')}}}}}}}}}", 66, "asked about {{ text }}"),
    (
        f"audit: {{texts: {{value: {{Ann: {{{JUDGE.replace('text', 'text ~ query')}}}}}}}}}",
        66,
        "the file has no queries",
    ),
    (f"audit: {{texts: {{value: {{Ann: {{{JUDGE.replace('text', 'text[0]')}}}}}}}}}", 66, "no element 0"),
    ("audit: {texts: {reports: {prompts: {Ann: [a, '{{ text }}']}}}}", 46, "unknown name 'text'"),
    ("audit: {texts: {reports: {distributions: {Ann: [{'*': {x: 1}}]}}}}", 43, "'Ann' has a model and no table"),
]


@pytest.mark.parametrize(("end", "column", "words"), WITH_MODELS, ids=range(len(WITH_MODELS)))
def test_mistakes_about_models(read: Reader, end: str, column: int, words: str) -> None:
    found = problems(read, f"{MODELS}{end}\n")
    here = [problem for problem in found if words in problem.message]
    assert here, "\n".join(map(str, found))
    assert (here[0].line, here[0].column) == (9, column), str(here[0])


def test_a_prompt_for_a_conversation_in_which_no_user_speaks(read: Reader) -> None:
    silent, other = "messages: [{role: assistant, content: x}]", "{name: B, model: a.gguf, prompt: x}"
    file = f"name: e\nagents: [{{name: A, model: a.gguf, {silent}}}, {other}]\n"
    (problem,) = problems(read, texts(file, "reports: {prompts: {A: [y]}}"))
    assert (problem.line, problem.column) == (3, 37)
    assert "no message of 'A' is its user's" in problem.message


ALONE = "name: e\nagents: [{name: A, distribution: {x: 1}}]\n"


def test_who_bids_alone_cannot_bid_nothing(read: Reader) -> None:
    (problem,) = problems(read, texts(ALONE, ""))
    assert (problem.line, problem.column) == (3, 9)
    assert "where 'A' bids 0 all bids are zero" in problem.message
    assert read(texts(ALONE, "bids: [1, 2]")).text_audit.at == (1,)


@pytest.mark.parametrize("at", ["{bids: {A: 0, B: 0}}", "{relative_weight: 1}"])
def test_bids_of_others_that_are_all_zero(read: Reader, at: str) -> None:
    two = "name: e\nagents: [{name: A, distribution: {x: 1}}, {name: B, distribution: {x: 1}}]\n"
    (problem, *_) = problems(read, texts(two, f"at: {at}"))
    assert (problem.line, problem.column) == (3, 17)
    assert "bids 0 all bids are zero" in problem.message
    assert read(texts(two, f"at: {at}, bids: [1, 2]")).text_audit.grid(1) == (1, 2)


def test_others_that_cannot_share_the_rest(read: Reader) -> None:
    (problem,) = problems(read, texts(ALONE, "at: {relative_weight: 0.5}, bids: [1]"))
    assert (problem.line, problem.column) == (3, 22)
    assert "they cannot share the rest" in problem.message
    assert read(texts(ALONE, "at: {relative_weight: 1}, bids: [1]")).text_audit.at == (1,)


def test_values_that_are_zero_since_the_bids_are(read: Reader) -> None:
    file = TABLES.replace("bid: 1,", "bid: 0,").replace("bid: 3,", "bid: 0,")
    (problem,) = problems(read, texts(file, ""))
    assert (problem.line, problem.column) == (6, 9)
    assert "all values are zero" in problem.message


def test_mistakes_are_reported_with_all_others(read: Reader) -> None:
    text = texts(TABLES, "value: {Anne: {tv: 1}}, bids: [0]").replace("name: Bob", "name: Bob, bidd: 1")
    assert [problem.line for problem in problems(read, text)] == [4, 6, 6]


def test_what_an_experiment_without_the_key_may_be(read: Reader) -> None:
    """It is asked only when its texts are audited."""
    assert read(TABLES + "auction: {sampling: greedy}\n").text_audit.seeds == 200
    assert read(ALONE).text_audit.at == (1,)
    assert "greedy" in why_not_audited("tokens", "greedy", ["vcg"])
    assert why_not_audited("bytes", "mine:Sampling", ["vcg"]) == ""


def test_from_a_dict() -> None:
    data = {"name": "e", "agents": [{"name": "A", "distribution": {"x": 1}}], "audit": {"texts": {"bids": [0.0]}}}
    with pytest.raises(ExperimentError, match=r"audit\.texts\.bids: all bids to try are zero"):
        experiment_from(data)


# Questions to a judge


def test_a_question_knows_the_text() -> None:
    prompt = "{{ agent }}, {{ query }}: {{ text }}"
    assert "".join(render_question(prompt, "Ann", "q", "{{ 7 * 7 }}")) == "Ann, q: {{ 7 * 7 }}"
    assert template_mistakes(prompt, "Ann", {"q": {}}, True, is_question=True) == []
    (mistake,) = template_mistakes(prompt, "Ann", {"q": {}}, True)
    assert mistake.message == "unknown name 'text'; a prompt knows {{ query }} and {{ agent }}"
    (mistake,) = template_mistakes("{{ text }}\n{{ x }}", "Ann", {"q": {}}, True, is_question=True)
    assert mistake == (2, "unknown name 'x'; a prompt knows {{ query }}, {{ agent }} and {{ text }}")
    with pytest.raises(PromptError, match="line 1 of the prompt"):
        render_question("{{ text[0] }}", "Ann", "q", "")


# Where a model is named


def test_the_place_of_a_model(tmp_path: Path) -> None:
    text = texts(MODELS, f"value: {{Ann: {{{JUDGE}}}}}") + "reference: {prompt: x, model: l0.gguf}\n"
    path = tmp_path / "e.yaml"
    path.write_text(text, "utf-8")
    places = {
        model: place_of_model(path, text.encode(), model).removeprefix(f"{path}:")
        for model in ("smollm2-135m-instruct", "other.gguf", "judge.gguf", "l0.gguf", "none.gguf")
    }
    assert list(places.values()) == ["2:17", "7:12", "9:46", "10:31", ""]
    for nonsense in ({"agents": 5, "models": [], "audit": {"texts": []}}, {"agents": ["x"], "reference": 3}):
        path.write_text(json.dumps(nonsense), "utf-8")
        assert place_of_model(path, path.read_bytes(), "x") == ""


def test_deviations_are_counted_by_hand(read: Reader) -> None:
    """Ann bids 0 to 3 against 2 and Bob 0 to 3 against 1: 7 settings, for both meet at (1, 2). Reports add 8."""
    audit = read(
        """\
name: deviations
agents:
  - {name: Ann, mentions: ["yes"], distribution: {yes: 0.7, no: 0.3}}
  - {name: Bob, mentions: ["no"], bid: 2, distribution: {yes: 0.1, no: 0.9}}
auction: {payments: [second_price], max_tokens: 1}
audit: {texts: {bids: [0, 1, 2, 3], reports: {temperature: [0.5]}}}
"""
    ).text_audit
    assert audit.n_deviations == 7 + 8
