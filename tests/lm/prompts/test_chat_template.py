"""Chat templates: a stranger's ends its child process at most, and draws nothing; those of models render as before."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from llama_cpp import llama_chat_format
from tiny_gguf import CHAT_TEMPLATE

from tokenauction_cli.lm.llama.metadata import read_metadata
from tokenauction_cli.lm.prompts import chat_template
from tokenauction_cli.lm.prompts.chat_template import ChatTemplates, RefusedError

SPECIAL = {"bos_token": "<s>", "eos_token": "</s>"}
USER = [{"role": "user", "content": "Hi there\n"}]
TALKS = [
    USER,
    [{"role": "system", "content": " Sell. "}, *USER],
    [*USER, {"role": "assistant", "content": "<think>no</think> Buy"}, {"role": "user", "content": ""}],
]
OF_MODELS = {
    name: value
    for name, value in vars(llama_chat_format).items()
    if name.endswith("_TEMPLATE") and isinstance(value, str)
}


@pytest.fixture
def templates() -> Iterator[ChatTemplates]:
    with ChatTemplates() as templates:
        yield templates


def render(templates: ChatTemplates, template: str, messages: Sequence[dict[str, str]] = USER) -> str:
    return templates.render(template, messages, SPECIAL)


def as_before(template: str, messages: Sequence[dict[str, str]]) -> str | None:
    """What llama-cpp-python makes of it, None where it refuses."""
    formatter = llama_chat_format.Jinja2ChatFormatter(template, SPECIAL["eos_token"], SPECIAL["bos_token"])
    try:
        return str(formatter(messages=messages).prompt)
    except Exception:
        return None


def test_the_templates_of_models_render_as_before(templates: ChatTemplates) -> None:
    assert len(OF_MODELS) > 3
    rendered = 0
    for template in (*OF_MODELS.values(), CHAT_TEMPLATE):
        for messages in TALKS:
            expected = as_before(template, messages)
            if expected is None:
                with pytest.raises(RefusedError):
                    render(templates, template, messages)
            else:
                assert render(templates, template, messages) == expected
                rendered += 1
    assert rendered > 2 * len(OF_MODELS)


@pytest.mark.model
def test_so_does_that_of_the_demos_model(model_path: object, templates: ChatTemplates) -> None:
    template = read_metadata(model_path).chat_template  # type: ignore[arg-type]
    assert template is not None
    for messages in TALKS:
        assert render(templates, template, messages) == as_before(template, messages)


def test_what_chat_templates_use_beside_plain_jinja(templates: ChatTemplates) -> None:
    template = (
        "{% for m in messages %}{% if loop.index > 1 %}{% break %}{% endif %}{{ m | tojson }}{% endfor %}"
        "{% generation %}{{ strftime_now('%Y-%m-%d') }}{% endgeneration %}"
        "{{ tools is none }}{{ add_generation_prompt }}"
    )
    assert render(templates, template) == '{"role": "user", "content": "Hi there\\n"}2024-07-26TrueTrue'


# One child, replaced where it was killed


def test_one_child_serves_all_renderings_and_each_is_made_once(
    templates: ChatTemplates, monkeypatch: pytest.MonkeyPatch
) -> None:
    children, asked = set(), []
    answer = chat_template._Child.answer

    def counting(child: chat_template._Child, question: str) -> bytes:
        children.add(child._process.pid)
        asked.append(question)
        return answer(child, question)

    monkeypatch.setattr(chat_template._Child, "answer", counting)
    for _ in range(2):
        for k in range(1_000):
            assert render(templates, "{{ messages[0].content }}", [{"role": "user", "content": str(k)}]) == str(k)
    assert (len(children), len(asked)) == (1, 1_000)


NESTED = (
    "{% set ns=namespace(x=()) %}{% for j in range(10) %}{% for i in range(50000) %}{% set ns.x=(ns.x,) %}{% endfor %}"
)
LONG = "{% for i in range(99999) %}{% for j in range(99999) %}"


@pytest.mark.parametrize(
    ("template", "seconds"),
    [
        (NESTED + "{% endfor %}{{ {ns.x:1}|length }}", 2),  # too deep for the stack of C
        (NESTED.replace("(ns.x,)", "ns.x|batch(1)") + "{% endfor %}{{ ns.x|list }}", 2),
        ("{{ ([[0]*99]*99999)|sum(start=[])|length }}", 0.5),
        ("{{ 9**9999999*9**9999999 }}", 0.5),
        (LONG + "{{ loop is sequence }}{% endfor %}{% endfor %}", 0.5),  # swallows every error
        ("{% set x = [1] %}" + "{% set x = [x, x] %}" * 60 + "{{ x == [x[0], x[1]] and x|string }}", 0.5),
        ("{{ messages }}" * 20_000, 0.1),
    ],
)
def test_a_template_ends_its_child_at_most(
    templates: ChatTemplates, monkeypatch: pytest.MonkeyPatch, template: str, seconds: float
) -> None:
    monkeypatch.setattr(chat_template, "SECONDS", seconds)
    with pytest.raises(RefusedError, match=r"it crashed \(SIG|it takes (more than|too much)|more than 1,000,000 char"):
        render(templates, template)
    monkeypatch.setattr(chat_template, "SECONDS", 60.0)
    assert render(templates, "{{ 1 }}") == "1"


def test_a_crash_is_told_and_the_child_replaced(templates: ChatTemplates) -> None:
    assert render(templates, "{{ 1 }}") == "1"
    assert templates._child is not None
    templates._child._process.send_signal(signal.SIGSEGV)
    with pytest.raises(RefusedError, match=r"^it crashed \(SIGSEGV\)$"):
        render(templates, "{{ 2 }}")
    assert render(templates, "{{ 2 }}") == "2"


def test_so_it_does_in_a_thread(templates: ChatTemplates, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat_template, "SECONDS", 0.5)
    errors: list[str] = []

    def work() -> None:
        try:
            render(templates, "{{ 9**9999999*9**9999999 }}")
        except RefusedError as error:
            errors.append(str(error))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert errors == ["it takes more than 0 seconds"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_wait_and_the_child(
    templates: ChatTemplates, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    monkeypatch.setattr(chat_template, "SECONDS", 600.0)
    assert render(templates, "{{ 1 }}") == "1"
    child = templates._child
    assert child is not None
    before = signal.signal(number, signal.default_int_handler)
    try:
        threading.Timer(0.3, os.kill, (os.getpid(), number)).start()
        with pytest.raises(KeyboardInterrupt):
            render(templates, "{{ 9**9999999*9**9999999 }}")
    finally:
        signal.signal(number, before)
    assert child._process.poll() == -signal.SIGKILL
    assert render(templates, "{{ 2 }}") == "2"


# What a run could not repeat


@pytest.mark.parametrize(
    ("template", "why"),
    [
        ("{{ range(9)|random }}", "it draws at random"),
        ("{{ lipsum() }}", "it draws at random"),
        ("{{ cycler('a') }}", "where something lies in memory"),
        ("{{ messages|map('upper')|string }}", "where something lies in memory"),
        ("{{ raise_exception('one\ntwo\u200e') }}", r"^one\\ntwo\\x200e$"),
    ],
)
def test_what_is_refused(templates: ChatTemplates, template: str, why: str) -> None:
    with pytest.raises(RefusedError, match=why):
        render(templates, template)


def test_a_message_may_speak_of_addresses(templates: ChatTemplates) -> None:
    assert render(templates, "{{ messages[0].content }}", [{"role": "user", "content": "it is at 0x1f"}])


# Any template

VALUES = st.sampled_from(
    ["messages", "messages[0].content", "ns.x", "x", "(1, 2)", "[[]]", "'a'", "9", "range(999)", "loop", "{}", "self"]
)
FILTERS = st.sampled_from(
    [
        *("batch(1)", "list", "string", "length", "sum(start=[])", "join", "tojson", "random", "map('list')", "first"),
        *("sort", "unique", "groupby(0)", "center(99999)", "indent(999)", "replace('a','aa')", "pprint", "xmlattr"),
    ]
)
OPERATORS = st.sampled_from(["+", "*", "**", "~", "==", "in", "%"])


def combined(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.builds(lambda a, f: f"({a})|{f}", inner, FILTERS),
        st.builds(lambda a, o, b: f"({a}) {o} ({b})", inner, OPERATORS, inner),
        st.builds(lambda a, b: f"[{a}, {b}]", inner, inner),
    )


EXPRESSIONS = st.recursive(VALUES, combined, max_leaves=6)
STATEMENTS = st.recursive(
    st.one_of(
        EXPRESSIONS.map(lambda e: f"{{{{ {e} }}}}"),
        EXPRESSIONS.map(lambda e: f"{{% set ns.x = {e} %}}"),
        EXPRESSIONS.map(lambda e: f"{{% set x = {e} %}}"),
        st.text("{}%# a'", max_size=6),
    ),
    lambda inner: st.builds(
        lambda kind, e, body: f"{{% {kind.format(e)} %}}{''.join(body)}{{% end{kind.split()[0]} %}}",
        st.sampled_from(["for x in {}", "if {}", "for x in range(9999) if {}", "filter upper", "macro m(x={})"]),
        EXPRESSIONS,
        st.lists(inner, max_size=3),
    ),
    max_leaves=6,
)
EXAMPLES = int(os.environ.get("TOKAUCTION_FUZZ", "60"))


@pytest.fixture(scope="module")
def one_for_all_examples() -> Iterator[ChatTemplates]:
    with ChatTemplates() as templates:
        yield templates


@settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
@given(st.lists(STATEMENTS, max_size=4).map("".join))
def test_any_chat_template_renders_or_is_refused(one_for_all_examples: ChatTemplates, source: str) -> None:
    """TOKAUCTION_FUZZ=100000 tries as many."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chat_template, "SECONDS", 0.3)
        said = ""
        try:
            one_for_all_examples.render("{% set ns = namespace(x=()) %}" + source, USER, SPECIAL)
        except RefusedError as error:
            said = str(error)
        assert "\n" not in said
        assert len(said) < 10_000
