"""Prompts: what a template may say, where it is wrong, and that it cannot take long."""

from __future__ import annotations

import os
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenauction_cli.experiment.experiment import Agent
from tokenauction_cli.experiment.format.agents import AgentSection
from tokenauction_cli.experiment.templates.prompts import (
    FILTERS,
    PromptError,
    Value,
    render,
    render_messages,
    render_prompt,
    template_mistakes,
)


def agent_of(fields: dict[str, object]) -> Agent:
    return Agent.of(AgentSection.model_validate(fields))


QUERY = "vacations in Hawaii"


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("Ad for {{ query }}:\n", "Ad for vacations in Hawaii:\n"),
        ("{{ agent }}", "Alpha"),
        ("no braces { } %", "no braces { } %"),
        ("{{ query | upper }}", "VACATIONS IN HAWAII"),
        ("{{ query | replace('Hawaii', 'Rome') | title }}", "Vacations In Rome"),
        ("{{ query ~ '!' }} {{ agent + '?' }}", "vacations in Hawaii! Alpha?"),
        ("{% if 'Hawaii' in query %}aloha{% else %}hello{% endif %}", "aloha"),
        ("{% for c in ['x', 'y'] %}{{ loop.index }}{{ c }}{{ ' ' if not loop.last }}{% endfor %}", "1x 2y"),
        ("{% for i in range(3) %}{{ i + 1 }}{% endfor %}", "123"),
        ("{% set where = query[-6:] %}{{ where }}", "Hawaii"),
        ("{% raw %}{{ x }}{% endraw %}{# a comment #}", "{{ x }}"),
        ("{{ '<b>' }}", "<b>"),
    ],
)
def test_templates(template: str, text: str) -> None:
    assert template_mistakes(template, "Alpha", {QUERY: {}}, True) == []
    assert render(template, "Alpha", QUERY) == text


def test_a_query_is_text_and_no_template() -> None:
    assert render("{{ query }}", "Alpha", "{{ 7 * 7 }} <&>") == "{{ 7 * 7 }} <&>"


MISTAKES = [
    ("a\n{{ qurey }}", 2, "did you mean 'query'?"),
    ("{{ x }}\n{{ y }}", 1, "unknown name 'x'"),
    ("a\n\n{{ query", 3, "unexpected end of template"),
    ("{% if %}", 1, "Expected an expression"),
    ("\n{% for i in [1] %}", 2, "Unexpected end of template"),
    ("{{ query | uper }}", 1, "did you mean 'upper'?"),
    ("{{ query is funny }}", 1, "unknown test 'funny'"),
    ("\n{{ query.__class__.__mro__ }}", 2, "attributes such as"),
    ("{{ query['__class__'] }}", 1, "__class__"),
    ("{{ query.upper() }}", 1, "only range() can be called"),
    ("{{ ''.join(['a']) }}", 1, "only range() can be called"),
    ("{{ lipsum() }}", 1, "only range() can be called"),
    ("{{ self }}", 1, "unknown name 'self'"),
    ("{{ range }}", 1, "range is used as in range(3)"),
    ("{% for i in [1] %}{{ loop.cycle }}{% endfor %}", 1, "attributes such as .cycle"),
    ("{% include 'x' %}", 1, "include is not available"),
    ("{% import 'os' as os %}", 1, "import is not available"),
    ("{% macro f() %}{% endmacro %}", 1, "a macro is not available"),
    ("x\n{{ 'a' * 1000000000 }}", 2, "'*' takes numbers"),
    ("{{ 9 ** 9 ** 9 }}", 1, "'**' is not available"),
    ("{{ 999999999999 * 9 }}", 1, "up to a billion"),
    ("{{ '%1000000000d' % 1 }}", 1, "'%' takes numbers"),
    ("{{ 1 + 'a' }}", 1, "'+' takes numbers"),
    ("{{ 1 - query }}", 1, "'-' takes numbers"),
    ("\n{% for i in range(10000000000) %}a{% endfor %}", 2, "more than 10,000 steps"),
    ("{% for i in range(5000) %}\n{% for j in range(5000) %}{% endfor %}{% endfor %}", 2, "more than 10,000 steps"),
    ("{% for i in range(1, 2, 0) %}{% endfor %}", 1, "must not be zero"),
    ("{% for a in query %}" * 4 + "{% endfor %}" * 4, 1, "nested more than 3 deep"),
    ("{% set x = 'aaaaaaaaaaaaaaaa' %}" + "{% set x = x ~ x %}" * 40 + "{{ x }}", 1, "grows beyond"),
    ("{% set x = 'aaaaaaaaaaaaaaaa' %}" + "{% set x = x + x %}" * 40 + "{{ x }}", 1, "grows beyond"),
    ("{% set x = 'aaaaaaaaaaaaaaaa' %}" + "{% set x = x | replace('a', x) %}" * 9 + "{{ x }}", 1, "grows beyond"),
    ("{% set x = [1, 1] %}{% set x = [x, x] %}{{ x }}", 1, "made of constants"),
    ("{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}", 1, "nested too deeply"),
    ("{{ 1" + "+1" * 20000 + " }}", 1, "nested too deeply"),
    ("{{ " + "9" * 5000 + " }}", 1, "too many digits"),
    ("{{ 1 }}" * 1001, 1, "more than 1,000 pairs of braces"),
    ("{{ query | title(1) }}", 1, "positional argument"),
    ("{% for i in range(9999) %}{% set x = 'aaaaaaaaaa' " + "| title" * 50 + "%}{% endfor %}", 1, "handles more than"),
    ("{% for i in range(9999) %}{% if query" + "| title" * 50 + "%}{% endif %}{% endfor %}", 1, "handles more than"),
    (
        "{% set x = 'a' | replace('a', 'aaaaaaaaaa') %}"
        + "{% set x = x ~ x %}" * 12
        + "{% for i in range(9999) %}{% if x == x[1:] %}{% endif %}{% endfor %}",
        1,
        "handles more than",
    ),
]


@pytest.mark.parametrize(("template", "line", "words"), MISTAKES, ids=range(len(MISTAKES)))
def test_mistakes(template: str, line: int, words: str) -> None:
    started = time.process_time()
    mistake = template_mistakes(template, "Alpha", {QUERY: {}}, True)[0]
    assert words in mistake.message
    assert mistake.line == line
    assert time.process_time() - started < 10, "seconds of the processor: a bound that holds takes one or two"


def test_a_query_that_is_used_must_be_given() -> None:
    assert template_mistakes("{{ agent }}", "Alpha", {"": {}}, False) == []
    (mistake,) = template_mistakes("a\n{{ query }}", "Alpha", {"": {}}, False)
    assert mistake == (2, "{{ query }} is used, but the file has no queries")


def test_a_query_that_breaks_the_template_is_found() -> None:
    template = "{% for letter in query %}{% for other in query %}.{% endfor %}{% endfor %}"
    assert template_mistakes(template, "Alpha", {"short": {}, "x" * 50: {}}, True) == []
    assert "10,000 steps" in template_mistakes(template, "Alpha", {"short": {}, "x" * 200: {}}, True)[0].message


def test_counters_start_anew_with_every_rendering() -> None:
    for _ in range(3):
        assert len(render("{% for i in range(6000) %}.{% endfor %}", "Alpha", QUERY)) == 6000


def test_prompt_and_messages_of_agents() -> None:
    raw = agent_of({"name": "Alpha", "prompt": "{{ agent }}: {{ query }}"})
    assert render_prompt(raw, "x") == ["Alpha", ": ", "x"]
    chat = agent_of({"name": "Alpha", "chat": {"user": "{{ query }}"}})
    assert render_messages(chat, "x") == [{"role": "user", "content": "x"}]
    messages = [{"role": "system", "content": "be {{ agent }}"}, {"role": "user", "content": "{{ query }}"}]
    talk = agent_of({"name": "Alpha", "messages": messages})
    assert render_messages(talk, "x") == [{"role": "system", "content": "be Alpha"}, {"role": "user", "content": "x"}]


@pytest.mark.parametrize(
    ("template", "pieces"),
    [
        ("<b>{{ query }}</b>", ["<b>", Value("Rome"), "</b>"]),
        ("{{ query | upper }}{{ 'own' }}", [Value("ROME"), "own"]),
        ("{{ query ~ '<b>' ~ agent }}", [Value("Rome"), "<b>", Value("Alpha")]),
        ("{% set x = query %}{% set y = x | lower %}{{ y }}{% set z = 'own' %}{{ z }}", [Value("rome"), "own"]),
        ("{% for c in query %}<{{ c }}{{ loop.index }}>{% endfor %}", [
            part for k, c in enumerate("Rome", 1) for part in ("<", Value(c), Value(k), ">")]),
        ("{% for c in ['a', 'b'] %}{{ c }}{{ loop.index }}{% endfor %}", ["a", "1", "b", "2"]),
        ("{{ 'yes' if query == 'Rome' else query }}", [Value("yes")]),
        ("{{ 'yes' if query else 'no' }}{{ 'o' in query }}", ["yes", "True"]),
        ("{{ 'a' | replace('a', city) }}{{ none or city }}", [Value("Oslo"), Value("Oslo")]),
        ("{{ city }}{% set city = 'own' %}{{ city }}", [Value("Oslo"), Value("own")]),
    ],
)  # fmt: skip
def test_what_a_value_made_is_a_piece_of_its_own(template: str, pieces: list[str]) -> None:
    rendered = render_prompt(agent_of({"name": "Alpha", "prompt": template}), "Rome", {"city": "Oslo"})
    assert [(str(piece), type(piece)) for piece in rendered] == [(str(piece), type(piece)) for piece in pieces]


def test_an_error_at_run_time_names_the_line() -> None:
    with pytest.raises(PromptError, match="line 2 of the prompt: 'x' is undefined"):
        render("\n{{ x }}", "Alpha", QUERY)


EXPRESSIONS = st.recursive(
    st.sampled_from(["query", "agent", "x", "'ab c'", "9", "loop.index", "[1, 'a']", "range(9999)"]),
    lambda inner: st.one_of(
        st.builds(lambda a, f: f"{a}|{f}", inner, st.sampled_from([*FILTERS, "replace('a', x)", "default(query)"])),
        st.builds(lambda a, o, b: f"({a} {o} {b})", inner, st.sampled_from(["~", "+", "*", "==", "in", "and"]), inner),
        st.builds(lambda a, b: f"{a}[{b}:]", inner, st.sampled_from(["0", "1", "-3"])),
    ),
    max_leaves=8,
)
STATEMENTS = st.recursive(
    st.one_of(
        EXPRESSIONS.map(lambda e: f"{{{{ {e} }}}}"),
        EXPRESSIONS.map(lambda e: f"{{% set x = {e} %}}"),
        st.text("{}%#'\" queryforinendifset.|~+*()[]=_19\n-", max_size=60),
    ),
    lambda inner: st.builds(
        lambda kind, e, body: f"{{% {kind} {e} %}}{''.join(body)}{{% end{kind.split()[0]} %}}",
        st.sampled_from(["if", "for x in", "for y in"]),
        EXPRESSIONS,
        st.lists(inner, max_size=3),
    ),
    max_leaves=8,
)


@settings(max_examples=int(os.environ.get("TOKAUCTION_FUZZ", "150")))
@given(st.lists(STATEMENTS, max_size=3).map("".join))
def test_any_template_renders_or_is_refused(template: str) -> None:
    """TOKAUCTION_FUZZ=100000 tries as many."""
    if not template_mistakes(template, "Alpha", {QUERY: {}}, True):
        assert isinstance(render(template, "Alpha", QUERY), str)
