"""The bytes of a trace as words: sums, posterior, the most contested byte, characters of several bytes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from conftest import Reader

import tokenauction_cli as tokauction
from tokenauction_cli.analysis.frames.words import in_words, most_contested

TWO = """
name: two
agents:
  - {name: Ann, bid: 3, distribution: {x: 1}}
  - {name: Bob, bid: 1, distribution: {x: 1}}
auction: {alphabet: bytes}
"""
CELL = {"bid.ann": 3.0, "bid.bob": 1.0, "spent_at.ann": math.nan}
CHARACTERS = """
name: characters
agents:
  - name: Ann
    distribution: {"café ": 0.3, "caf": 0.1, "é": 0.1, "è": 0.1, "日本 ": 0.2, " ": 0.1, <end>: 0.1}
  - name: Bob
    distribution: {"café": 0.1, "caf": 0.2, "é": 0.1, "è": 0.2, "日本": 0.1, " ": 0.1, <end>: 0.2}
auction: {alphabet: bytes, max_bytes: 9, trace: top_k, payments: [pay_your_bid], aggregation: [%s]}
sweep: {relative_weight: [0, 0.5, 1], seeds: 25}
"""


def trace_of(text: bytes, **columns: Any) -> dict[str, Any]:
    """A trace in which both agents are sure of every byte and pay 1 for it, but for what is given."""
    n = len(text)
    trace = {"pieces": [chr(byte) for byte in text], "log_p": [[0.0] * n, [0.0] * n], "log_q": [0.0] * n}
    return trace | {"posterior": [], "payments": {"p": [[1.0] * n, [0.5] * n]}} | columns


def test_a_word_goes_up_to_and_including_whitespace(read: Reader) -> None:
    text = b"to be\tor\n\n not"
    words = in_words(read(TWO), CELL, [*text, 256], trace_of(text + b"$", pieces=[*text.decode(), ""]))
    assert words["pieces"] == ["to ", "be\t", "or\n", "\n", " ", "not"]
    assert words["bytes"] == [3, 3, 3, 1, 1, 4]
    assert words["payments"] == {"p": [[3, 3, 3, 1, 1, 4], [1.5, 1.5, 1.5, 0.5, 0.5, 2]]}


def test_log_probabilities_add_up_and_the_posterior_is_the_words(read: Reader) -> None:
    halves = [[math.log(0.5), 0.0, math.log(0.5)], [0.0, None, 0.0]]
    trace = trace_of(b"ab ", log_p=halves, log_q=[math.log(0.5)] * 3, switch=[None, 0.2, 0.7], dictator=[0, 0, 1])
    words = in_words(read(TWO), CELL, list(b"ab "), trace)
    assert words["log_p"] == [[round(math.log(0.25), 3)], [None]]
    assert words["log_q"] == [round(math.log(0.125), 3)]
    assert words["posterior"] == [[1.0], [0.0]]
    assert words["contested"] == [{"at": 1, "name": "b", "log_p": [0.0, None], "log_q": math.log(0.5)}]
    assert (words["switch"], words["dictator"]) == ([0.2], [0])
    even = in_words(read(TWO), CELL, list(b"ab "), trace_of(b"ab "))
    assert even["posterior"] == [[0.75], [0.25]]


def test_a_budget_that_is_spent_within_a_word_counts_from_the_next(read: Reader) -> None:
    words = in_words(read(TWO), CELL | {"spent_at.ann": 2.0}, list(b"ab c"), trace_of(b"ab c"))
    assert words["posterior"] == [[0.75, 0.0], [0.25, 1.0]]


def test_most_contested_is_where_one_agent_has_most_of_the_probability() -> None:
    log = np.log([[0.9, 0.01, 0.5], [0.6, 0.0001, 0.5]])
    assert most_contested(log) == 1
    assert most_contested(np.full((2, 3), -np.inf)) == 0


@pytest.mark.parametrize("rule", ["linear", "random_dictator"])
def test_the_words_of_a_run_add_up_to_its_texts(read: Reader, tmp_path: Any, rule: str) -> None:
    (tmp_path / "e.yaml").write_text(CHARACTERS % rule, "utf-8")
    run = tokauction.run(tmp_path / "e.yaml", tmp_path / "results")
    cells = run.cells[run.cells["end_reason"] != "failed"].set_index("cell").to_dict("index")
    assert len(cells) > 40
    for cell, row in cells.items():
        bytes_, words = run.trace(cell), run.trace(cell, words=True)
        said = "".join(words["piece"])
        assert said == "".join(bytes_["piece"])
        assert said.removesuffix("\ufffd") == row["text"]  # of a character torn at max_bytes nothing is in the text
        assert words["bytes"].sum() == len(bytes_) == row["tokens"]
        assert words["payment.pay_your_bid.ann"].sum() == pytest.approx(row["payment.pay_your_bid.ann"])
        assert words["log_q"].sum() == pytest.approx(row["log_prob"], abs=0.01)


def test_candidates_that_complete_a_character_are_that_character(tmp_path: Any) -> None:
    (tmp_path / "e.yaml").write_text(CHARACTERS % "linear", "utf-8")
    run = tokauction.run(tmp_path / "e.yaml", tmp_path / "results")
    named = set()
    for _, trace in run.traces(words=True):
        for byte, candidates in zip(trace["contested"], trace["candidates"], strict=True):
            assert byte["name"] in candidates["tokens"]
            named |= set(candidates["tokens"])
    assert {"é", "è", "\\xc3", "<end>", " "} <= named
    assert not {"\\xa9", "\\xa8"} & named


def test_of_tokens_words_are_the_tokens(tmp_path: Any) -> None:
    experiment = {"name": "t", "agents": [{"name": n, "distribution": {"a": 1}} for n in "AB"]}
    experiment["auction"] = {"max_tokens": 2, "trace": "chosen"}
    run = tokauction.run(experiment, tmp_path)
    cell = run.cells["cell"].iloc[0]
    assert run.trace(cell, words=True).equals(run.trace(cell))
