"""The alphabet of an auction in the experiment file: its keys, its defaults, what does not go with it."""

from __future__ import annotations

import pytest
from conftest import Reader

from tokenauction_cli.lm.bytes.covering import Knobs
from tokenauction_cli.system.errors import ExperimentError

TABLES = """
name: letters
agents:
  - {name: A, distribution: {ab: 0.5, <end>: 0.5}}
  - {name: B, distribution: {b: 0.5, <end>: 0.5}}
"""


def refusal(read: Reader, text: str) -> str:
    with pytest.raises(ExperimentError) as caught:
        read(text)
    return str(caught.value)


def test_tokens_are_the_default_and_saying_so_changes_no_hash(read: Reader) -> None:
    default, said = read(TABLES), read(TABLES + "auction: {alphabet: tokens}\n")
    assert (default.auction.alphabet, default.auction.max_draws) == ("tokens", 64)
    assert default.semantic_hash == said.semantic_hash
    assert not {"alphabet", "max_bytes", "covering"} & set(default.plain["auction"])


def test_the_hash_of_an_experiment_of_tokens_is_that_of_before(read: Reader) -> None:
    assert read(TABLES).semantic_hash == "36c90166"


@pytest.mark.parametrize("alphabet", ["bytes", "words"])
def test_bytes_have_a_limit_and_a_covering_of_their_own(read: Reader, alphabet: str) -> None:
    auction = read(TABLES + f"auction: {{alphabet: {alphabet}}}\n").auction
    assert (auction.alphabet, auction.max_draws, auction.covering) == (alphabet, 160, Knobs(0.0003, 0.001))
    exact = read(TABLES + f"auction: {{alphabet: {alphabet}, max_bytes: 9, covering: {{open: 0, merge: 0}}}}\n")
    assert (exact.auction.max_draws, exact.auction.covering) == (9, Knobs(0, 0))


def test_a_resolved_file_is_a_valid_file(read: Reader) -> None:
    import yaml

    for auction in ("", "auction: {alphabet: bytes}\n"):
        experiment = read(TABLES + auction)
        again = read(yaml.safe_dump(dict(experiment.plain), sort_keys=False))
        assert again.semantic_hash == experiment.semantic_hash


@pytest.mark.parametrize(
    ("auction", "message"),
    [
        ("{alphabet: bytes, max_tokens: 9}", "6:28: max_tokens does not go with the alphabet bytes; use max_bytes"),
        ("{max_bytes: 9}", "6:11: max_bytes does not go with the alphabet tokens; use max_tokens"),
        ("{covering: {open: 0}}", "6:11: covering does not go with the alphabet tokens (add 'alphabet: bytes'"),
        ("{alphabet: letters}", "expected tokens, bytes or words, got 'letters'"),
        ("{alphabet: bytes, covering: {open: 2}}", "6:45: expected a number from 0 to 1, got 2"),
        ("{alphabet: words, aggregation: [linear, log_linear]}", "over words there are linear and random_dictator"),
        ("{alphabet: words, payments: [vcg]}", "over words there are pay_your_bid and second_price"),
    ],
)
def test_what_does_not_go_together(read: Reader, auction: str, message: str) -> None:
    assert message in refusal(read, TABLES + f"auction: {auction}\n")


def test_tables_and_models_mix_over_bytes_alone(read: Reader) -> None:
    mixed = TABLES.replace("{name: B, distribution: {b: 0.5, <end>: 0.5}}", "{name: B, model: a.gguf, prompt: x}")
    assert "do not mix in an auction of tokens; 'alphabet: bytes' lets them" in refusal(read, mixed)
    assert read(mixed + "auction: {alphabet: bytes}\n").agents[1].model == "a.gguf"
