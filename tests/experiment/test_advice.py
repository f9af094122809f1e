"""Doubts about files that are valid: each mistake that would pass in silence is told once, what is meant is not."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import Command, Reader, experiments_of

from tokenauction_cli.experiment.advice import advice

MODEL = "name: t\nqueries: [a, b]\nagents:\n  - {{name: A, model: m.gguf, prompt: {prompt}, mentions: {mentions}}}\n"
FINE = '"Answer {{ query }}:"'
SHIPPED = sorted((Path(__file__).parents[2] / "experiments").glob("*.yaml"))


def of_prompt(prompt: str, mentions: str = "[A]") -> str:
    return MODEL.format(prompt=prompt, mentions=mentions)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (of_prompt("Answer this"), "agent A: its prompt is the same for all 2 queries; write {{ query }} where"),
        (
            of_prompt('"Answer {query} of {{ query }}"'),
            "agent A: {query} in its prompt is plain text; write {{ query }}",
        ),
        (
            of_prompt('"Answer ${query} {{ query }}"'),
            "agent A: ${query} in its prompt is plain text; write {{ query }}",
        ),
        (of_prompt('"Answer {{ query }}: "'), "agent A: its prompt ends with white space"),
        (of_prompt('"“Answer {{ query }}”"'), "agent A: the quotes of “Answer {{ query }}” are part of the text"),
        (
            of_prompt(FINE, "['so\\many', x]") + "auction: {stop: ['\\n']}\n",
            "auction.stop: \\n is a backslash and a letter",
        ),
        (
            of_prompt(FINE, "[Grand Hotel]") + "auction: {stop: [and]}\n",
            "no text can mention 'Grand Hotel', for 'and' ends it",
        ),
        (
            of_prompt(FINE, "[a b c]") + "auction: {max_tokens: 2}\n",
            "no text can mention 'a b c': it has 3 words, auction",
        ),
        (of_prompt(FINE) + "auction: {max_tokens: 1}\n", "every text is cut after its first token; raise the limit"),
        (
            "name: t\nagents:\n  - name: A\n    model: m.gguf\n    prompt: One #1 for all\n",
            "experiment.yaml:5: prompt ends before '#1 for all', a comment; put it all in quotes",
        ),
        (
            "name: t\nagents: [{name: Z, mentions: [Zoo], distribution: {x: 0.5, y: 0.5}}]\n",
            "agent Z: no text can mention 'Zoo', which no tokens of the tables spell",
        ),
    ],
)
def test_a_mistake_that_passes_is_told_once(read: Reader, text: str, told: str) -> None:
    (doubt,) = [doubt for doubt in advice(read(text)) if told in doubt]
    assert len(doubt) < 300


@pytest.mark.parametrize(
    "text",
    [
        of_prompt(FINE),
        of_prompt('"A {% if query %}b{% endif %} #1"') + "# a comment\nseed: 0 #another\n",
        of_prompt("'Say “yes” to {{ query }}'"),
        of_prompt(FINE).replace("[a, b]", "[a]"),
    ],
)
def test_what_is_meant_is_not_doubted(read: Reader, text: str) -> None:
    assert advice(read(text)) == []


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_experiments_are_not_doubted(path: Path) -> None:
    assert [doubt for one in experiments_of(path) for doubt in advice(one)] == []


def test_check_and_run_tell_it(tmp_path: Path, in_process: Command) -> None:
    (tmp_path / "t.yaml").write_text(
        "name: t\nagents: [{name: Z, mentions: [Zoo], distribution: {x: 0.5, y: 0.5}}]\nauction: {max_tokens: 2}\n"
    )
    for command in ("check", "run"):
        told = in_process(command, "t.yaml").stderr
        assert told.count("Is this meant? agent Z: no text can mention 'Zoo'") == 1


@pytest.mark.parametrize(
    ("change", "overrides", "told"),
    [
        ("auction: {payments: [first_price]}\n", (), ":4:22: first_price is called pay_your_bid here"),
        ("", ("max_tokens=8",), "-S max_tokens=8: unknown key 'max_tokens'; it is auction.max_tokens"),
        ("sweep: {relative_weight: {from: 1, to: 0, step: 1}}\n", (), ":4:40: `to` is below `from`"),
        ("queries: [hotels: Paris]\n", (), ":4:11: hotels: Paris is a mapping in YAML: put the query in quotes ("),
        ("reference: {model: m, prompt: {{ query }}}\n", (), "a value that begins with {{ needs quotes around it"),
        (
            "auction: {payments: [vcg], reserve: 1}\n",
            (),
            "a reserve of 1; defined are pay_your_bid, second_price, myerson",
        ),
    ],
)
def test_messages_say_what_to_write(
    tmp_path: Path, in_process: Command, change: str, overrides: tuple[str, ...], told: str
) -> None:
    agents = "  - {name: A, distribution: {x: 0.5, y: 0.5}}\n"
    (tmp_path / "t.yaml").write_text(f"name: t\nagents:\n{agents}{change}")
    done = in_process("check", "t.yaml", *(word for override in overrides for word in ("-S", override)))
    assert done.returncode == 2
    assert told in done.stderr


def test_a_repository_without_hf(tmp_path: Path, in_process: Command) -> None:
    (tmp_path / "t.yaml").write_text("name: t\nagents: [{name: A, model: HuggingFaceTB/SmolLM2-135M, prompt: a}]\n")
    told = in_process("check", "t.yaml").stderr
    assert (
        "/SmolLM2-135M: there is no such file; a model of the hub is hf:HuggingFaceTB/SmolLM2-135M:Q4_K_M or so" in told
    )
