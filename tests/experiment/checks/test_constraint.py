"""A form in a file: every mistake has its place and says what to do."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from conftest import Reader

from tokenauction_cli.experiment.experiment import load_experiment
from tokenauction_cli.system.errors import ExperimentError

FILE = """
name: form
agents:
  - {name: Ann, distribution: {a: 1}}
auction:
  separator: ""
  constraint: {regex: a+}
"""


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("auction.constraint={regx: a}", "unknown key 'regx'; did you mean 'regex'?"),
        ("auction.constraints={regex: a}", "unknown key 'constraints'; did you mean 'constraint'?"),
        ("auction.constraint={}", "expected one of regex, json_schema, lark, gbnf; got none of them"),
        (
            "auction.constraint={regex: a, lark: b}",
            "expected one of regex, json_schema, lark, gbnf; got regex and lark",
        ),
        ("auction.constraint={regex: 7}", "expected text that is not empty, got 7; put it in quotes"),
        ("auction.constraint={regex: 'a('}", "'a(' cannot be read as a regular expression: unclosed group"),
        (
            "auction.constraint={json_schema: [1]}",
            "'[1]' cannot be read as a JSON schema: failed to compile JSON schema: schema must be",
        ),
        ("auction.constraint={json_schema: no.json}", "'no.json' cannot be read: there is no such file"),
        ("auction.constraint={gbnf: no.gbnf}", "'no.gbnf' cannot be read: there is no such file"),
        ("auction.constraint={json_schema: '{a'}", "'{a' cannot be read: Expecting property name"),
        ("auction.stop=[x]", "leave stop out, or put it into the form"),
        ("auction.alphabet=words", "use 'alphabet: bytes'"),
        ("auction.mechanism=[token_auction, lottery]", "only token_auction keeps a form, not lottery"),
        ("auction.separator=null", "the tokens of tables are joined by one space, which no token writes"),
    ],
)
def test_mistakes(read: Reader, override: str, told: str) -> None:
    with pytest.raises(ExperimentError) as error:
        read(FILE, override)
    assert told in str(error.value)


def test_the_place_of_a_mistake(read: Reader) -> None:
    with pytest.raises(ExperimentError, match=r"experiment.yaml:7:23: 'a\+\(' cannot be read"):
        read(FILE.replace("a+", "a+("))


def test_files_are_read_into_the_run(read: Reader, tmp_path: Path) -> None:
    (tmp_path / "slot.json").write_text('{"properties": {"b": {}, "a": {}}}')
    (tmp_path / "slot.gbnf").write_text('root ::= "a"')
    schema = read(FILE, "auction.constraint={json_schema: slot.json}")
    assert schema.plain["auction"]["constraint"] == {"json_schema": '{"properties":{"b":{},"a":{}}}'}
    assert read(FILE, "auction.constraint={gbnf: slot.gbnf}").auction.constraint.text == 'root ::= "a"'
    other = read(FILE, "auction.constraint={json_schema: {properties: {a: {}, b: {}}}}")
    assert other.semantic_hash != schema.semantic_hash  # the order of a schema is that of its texts


def test_without_the_extra_it_says_what_to_install(
    read: Reader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "llguidance", None)
    with pytest.raises(ExperimentError, match=r"7:3: .* pip install 'tokenauction-cli\[constraints\]'"):
        read(FILE)
    (tmp_path / "free.yaml").write_text(FILE.replace("  constraint: {regex: a+}\n", ""))
    assert load_experiment(tmp_path / "free.yaml").auction.constraint is None
