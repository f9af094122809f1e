"""Auctions over bytes from the file to the record: tables, whose laws can be worked out by hand."""

from __future__ import annotations

import json
import math
import tracemalloc
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from conftest import Command, Reader
from tiny_gguf import SURE, bigram_model, of_byte, pieces

from tokenauction_cli.analysis.run import Run
from tokenauction_cli.api import run_experiment
from tokenauction_cli.engine.live import staged
from tokenauction_cli.engine.loop.auctioneer import Auctioneer
from tokenauction_cli.engine.loop.token_loop import TokenLoop
from tokenauction_cli.engine.models.prepare import prepare
from tokenauction_cli.engine.plan import cells_of
from tokenauction_cli.engine.rules import Rules
from tokenauction_cli.engine.run import SilentProgress
from tokenauction_cli.experiment.experiment import Experiment
from tokenauction_cli.lm.bytes import byte_model
from tokenauction_cli.lm.bytes.lexicon import END
from tokenauction_cli.mechanism.registry import names
from tokenauction_cli.mechanism.testing import chi_square_p_value
from tokenauction_cli.runs.run_folder import Record, encode

WORDS = """
name: words
agents:
  - {name: A, distributions: {"": {Alpha: 0.9, Beta: 0.05, Bravo: 0.05, Alps: 1e-9}, "*": {<end>: 1}}}
  - {name: B, distributions: {"": {Beta: 0.9, Alps: 0.1, Alpha: 1e-9, Bravo: 1e-9}, "*": {<end>: 1}}}
auction: {alphabet: bytes, covering: {open: 0, merge: 0}, payments: [second_price, pay_your_bid]}
sweep: {relative_weight: [0.5], seeds: 400}
"""
LAW = {"Alpha": 0.25, "Beta": 0.375, "Alps": 0.25, "Bravo": 0.125}
LETTERS = """
name: letters
agents:
  - {name: A, distribution: {a: .3, b: .2, ab: .25, aba: .15, <end>: .1}}
  - {name: B, distribution: {b: .3, bb: .15, a: .25, ba: .2, <end>: .1}, bid: 2}
auction: {alphabet: bytes, aggregation: [linear, log_linear], max_bytes: 12, payments: [pay_your_bid, vcg]}
sweep: {seeds: 8}
"""


def written(read: Reader, folder: Path, text: str, *overrides: str) -> Run:
    return run_experiment(read(text, *overrides), folder, SilentProgress())


def records(experiment: Experiment, n_slots: int = 8) -> list[Record]:
    """Of the loop alone, without a folder, in the plan's order."""
    bidders = prepare(experiment)
    with bidders.loaded(n_slots) as model:
        loop = TokenLoop(model, Auctioneer(experiment, Rules.of(experiment), model.vocabulary), bidders.prompt_sets)
        found = {r["cell"]: r for finished in loop.run(cells_of(experiment), n_slots) for r in finished}
    return [found[cell.id] for cell in cells_of(experiment)]


def table(**agents: dict[str, float]) -> str:
    rows = [{"name": name, "distribution": row} for name, row in agents.items()]
    return f"name: t\nagents: {json.dumps(rows, ensure_ascii=False)}\n"


# What a byte auction means


def test_linear_over_bytes_restores_the_bids_at_every_byte(read: Reader) -> None:
    """Word by word the law at equal bids would be .45, .475, .05, .025."""
    found = records(read(WORDS))
    counts = Counter(record["text"] for record in found)
    assert set(counts) == set(LAW)
    for record in found:
        assert math.exp(record["log_prob"]) == pytest.approx(LAW[record["text"]], abs=1e-7)
    seen, wanted = (np.array([of[word] for word in LAW], float) for of in (counts, LAW))
    assert chi_square_p_value(seen, 400 * wanted) > 1e-4


def test_payments_add_up_over_bytes(read: Reader) -> None:
    """H D a byte with H = ln 2 - 1/2; D is .8 at the first byte, 1 at "Alp", 1/2 at "B", 0 where the agents agree."""
    h = math.log(2) - 0.5
    distances = {"Alpha": 1.8, "Alps": 1.8, "Beta": 1.3, "Bravo": 1.3}
    for record in records(read(WORDS, "sweep.seeds=40")):
        expected = h * distances[record["text"]]
        assert record["payment.second_price_expected.a"] == pytest.approx(expected, abs=1e-7)
        assert record["payment.pay_your_bid.a"] == len(record["text"]) + 1 == record["tokens"]
        assert record["bytes"] == len(record["text"])
        assert record["unfollowed.a"] == record["unfollowed.b"] == 0


def test_what_is_charged_meets_its_expectation(read: Reader) -> None:
    found = records(read(WORDS))
    paid, expected = (
        np.array([r[f"payment.{name}.a"] for r in found]) for name in ("second_price", "second_price_expected")
    )
    assert abs(paid.mean() - expected.mean()) < 4 * (paid - expected).std() / math.sqrt(len(found))


@pytest.mark.parametrize("aggregation", names("aggregation"))
def test_every_rule_over_bytes(read: Reader, aggregation: str) -> None:
    found = records(read(LETTERS, f"auction.aggregation={aggregation}", "auction.payments=[pay_your_bid]"))
    assert {record["end_reason"] for record in found} <= {"end", "length"}
    assert all(math.isfinite(record["log_prob"]) for record in found)


@pytest.mark.parametrize(("weight", "spoken"), [(1, "xy"), (0, "zw")])
def test_at_the_ends_of_a_sweep_an_agent_writes_alone(read: Reader, weight: int, spoken: str) -> None:
    text = table(
        A={"xy": 0.6, "y": 0.2, "z": 1e-9, "w": 1e-9, "<end>": 0.2}, B={"zw": 0.7, "x": 1e-9, "y": 1e-9, "<end>": 0.3}
    )
    sweep = f"auction: {{alphabet: bytes, max_bytes: 20}}\nsweep: {{relative_weight: [{weight}], seeds: 20}}\n"
    found = records(read(text + sweep))
    assert set("".join(record["text"] for record in found)) == set(spoken)


# The edges


def test_end_against_end(read: Reader) -> None:
    """Agents who both stop here, with different end probabilities: END is one symbol, drawn with the mean of both."""
    text = table(A={"x": 0.2, "<end>": 0.8}, B={"x": 0.6, "<end>": 0.4})
    found = records(read(text + "auction: {alphabet: bytes, payments: []}\nsweep: {seeds: 30}\n"))
    for record in found:
        n = record["tokens"] - 1
        assert record["text"] == "x" * n
        assert record["token_ids"] == [0x78] * n + [END]
        assert math.exp(record["log_prob"]) == pytest.approx(0.6 * 0.4**n)


def test_an_end_is_at_a_tokens_end_alone(read: Reader) -> None:
    """Within "xy" nothing ends, however likely an end is: only y follows."""
    text = table(A={"xy": 0.5, "<end>": 0.5})
    for record in records(read(text + "auction: {alphabet: bytes, max_bytes: 9}\nsweep: {seeds: 20}\n")):
        assert record["text"] == "xy" * (record["bytes"] // 2) + "x" * (record["bytes"] % 2)
        assert record["end_reason"] == "end" or record["bytes"] == 9


def test_a_stop_string_that_neither_agent_has_as_a_token(read: Reader) -> None:
    text = table(A={"a#": 0.5, "a": 0.5, "#": 1e-9}, B={"#": 0.5, "a": 0.5})
    found = records(read(text + "auction: {alphabet: bytes, stop: ['##'], max_bytes: 40}\nsweep: {seeds: 20}\n"))
    stopped = [record for record in found if record["end_reason"] == "stop"]
    assert stopped
    for record in stopped:
        assert bytes(record["token_ids"]) == record["text"].encode() + b"##"
        assert "##" not in record["text"]


@pytest.mark.parametrize("aggregation", ["linear", "log_linear"])
def test_a_character_of_four_bytes_across_agents_tokens(read: Reader, aggregation: str) -> None:
    """😀 and 🙂 share three bytes: one agent has them as tokens, the other has one of them with an a."""
    text = table(A={"😀": 0.5, "🙂": 0.4, "a": 0.1}, B={"😀a": 0.4, "😀": 0.1, "🙂": 0.4, "a": 0.1})
    auction = f"auction: {{alphabet: bytes, max_bytes: 22, aggregation: {aggregation}}}\n"
    found = records(read(text + auction + "sweep: {seeds: 20}\n"))
    assert {record["end_reason"] for record in found} == {"length"}
    assert set("".join(record["text"] for record in found)) == set("😀🙂a")


def test_a_character_that_the_limit_tears_is_cut(read: Reader, tmp_path: Path) -> None:
    text = table(A={"aé": 1}) + "auction: {alphabet: bytes, max_bytes: 5}\n"
    (record,) = records(read(text))
    assert bytes(record["token_ids"]) == "aéaé".encode()[:5]
    assert (record["text"], record["bytes"], record["end_reason"]) == ("aéa", 5, "length")


BUDGET = """
name: budget
agents:
  - {name: A, budget: 3, distribution: {Alpha: 1, zz: 1e-9}}
  - {name: B, distribution: {zz: 1, Alpha: 1e-9}}
auction: {alphabet: bytes, charge: pay_your_bid, max_bytes: 12, payments: [pay_your_bid]}
sweep: {relative_weight: [1], total_bid: 1}
"""


def test_a_budget_that_runs_out_inside_a_word(read: Reader) -> None:
    """A alone bids, 1 a byte: after three bytes nobody does, and the text ends there."""
    (record,) = records(read(BUDGET))
    assert (record["text"], record["end_reason"], record["spent_at.a"]) == ("Alp", "budget", 3)
    assert record["payment.pay_your_bid.a"] == 3


def test_another_agent_finishes_the_word(read: Reader) -> None:
    """Word by word A would have finished "Alpha"; here B, who has to go on after "Alp", does."""
    for record in records(read(BUDGET, "sweep.relative_weight=[0.9]", "sweep.seeds=10")):
        if record["text"].startswith("Al"):
            assert record["text"].startswith("Alpha")
            assert record["spent_at.a"] == 4  # .9 a byte
            assert record["payment.pay_your_bid.a"] == pytest.approx(3)


def test_a_reserve_keeps_a_low_bid_out(read: Reader) -> None:
    found = records(
        read(
            BUDGET, "sweep.relative_weight=[0.2]", "auction.reserve=0.5", "auction.charge=null", "agents.a.budget=null"
        )
    )
    assert {record["text"] for record in found} == {"zz" * 6}


# What fails


def test_an_agent_that_cannot_spell_a_byte_fails_its_cell_alone(read: Reader, tmp_path: Path) -> None:
    text = table(A={"x": 0.5, "é": 0.5}, B={"x": 1}) + "auction: {alphabet: bytes, max_bytes: 3}\nsweep: {seeds: 12}\n"
    run = written(read, tmp_path, text)
    failed = run.cells["end_reason"] == "failed"
    assert 0 < run.n_failed < 12
    assert set(run.cells.loc[~failed, "text"]) <= {"xxx", "xx"}
    for error in run.cells.loc[failed, "error"]:
        assert error.startswith("agent 'B' cannot spell byte C3 after '")


def test_a_failing_cell_is_told(tmp_path: Path, in_process: Command) -> None:
    text = table(A={"é": 1}, B={"x": 1}) + "auction: {alphabet: bytes, max_bytes: 3, aggregation: [linear]}\n"
    (tmp_path / "e.yaml").write_text(text + "sweep: {seeds: 5}\n")
    done = in_process("run", "e.yaml", "-q")
    assert done.returncode == 3
    assert "of 5 texts failed, the first: agent '" in done.stderr
    assert "cannot spell byte" in done.stderr


def test_agents_who_begin_with_and_without_a_space_are_told(tmp_path: Path, in_process: Command) -> None:
    text = table(A={" Enjoy": 0.9, "Enjoy": 0.1}, B={" Enjoy": 0.1, "Enjoy": 0.9})
    (tmp_path / "e.yaml").write_text(text + "auction: {alphabet: bytes, max_bytes: 3}\n")
    done = in_process("run", "e.yaml", "-q")
    assert done.returncode == 0
    assert done.stderr == (
        "A would begin with a space, B without one, so they part at the first byte: end the prompts alike, with a "
        "space or without\n"
    )
    (tmp_path / "e.yaml").write_text(
        text.replace('0.9, "Enjoy": 0.1', '0.1, "Enjoy": 0.9') + "auction: {alphabet: bytes}\n"
    )
    assert "space" not in in_process("run", "e.yaml", "-q").stderr


# How close it is


def test_run_warns_where_much_is_not_followed(tmp_path: Path, in_process: Command) -> None:
    (tmp_path / "e.yaml").write_text(LETTERS)
    rough = in_process("run", "e.yaml", "-q", "-S", "auction.covering.merge=0.9").stderr
    assert rough.startswith("Left out of a text's tokenisations, in the mean: A ")
    assert "lower auction.covering" in rough
    assert (
        in_process("run", "e.yaml", "-q", "-S", "auction.covering.merge=0", "-S", "auction.covering.open=0").stderr
        == ""
    )


def test_verify_tells_the_distance_from_finer_knobs(tmp_path: Path, in_process: Command) -> None:
    """That an "a" is a token of its own, of weight .006, is not followed: at the next byte q is off by as much."""
    auction = "auction: {alphabet: bytes, max_bytes: 8, covering: {open: 0.3, merge: 0.3}}\nsweep: {seeds: 9}\n"
    (tmp_path / "e.yaml").write_text(table(A={"abcd": 0.994, "a": 0.006}) + auction)
    in_process("run", "e.yaml", "-q")
    done = in_process("verify", str(next((tmp_path / "results").iterdir())))
    (line,) = (line for line in done.stdout.splitlines() if "covering" in line)
    assert line.startswith("note    covering: TV of q from that at open 0.003, merge 0.003: mean 0.0015")
    assert "largest 0.006 over 40 draws; a whole text 0.012" in line
    assert "another law; lower auction.covering" in line
    assert done.returncode == 0


# What else reads a run


def test_records_do_not_depend_on_slots(read: Reader) -> None:
    experiment = read(LETTERS)
    alone = records(experiment, 1)
    for n_slots in (2, 7):
        assert [*map(encode, records(experiment, n_slots))] == [*map(encode, alone)]


MIXED = """
name: mixed
agents:
  - {name: A, model: cat.gguf, prompt: x}
  - {name: B, model: dog.gguf, prompt: x}
  - {name: C, distribution: {cow: 0.5, <end>: 0.3, a: 0.02, c: 0.02, d: 0.02, g: 0.02, o: 0.02, t: 0.1}}
auction: {alphabet: bytes, max_bytes: 6, covering: {open: 0.01, merge: 0.1}, payments: [second_price]}
sweep: {bids: [{A: 1, B: 0, C: 0}, {A: 0, B: 1, C: 0}, {A: 0, B: 0, C: 1}, {A: 1, B: 1, C: 0}], seeds: 6}
runtime: {device: cpu}
"""


def test_files_of_two_vocabularies_and_a_table_in_one_auction(read: Reader, tmp_path: Path) -> None:
    """A says "cat" as one token, B "do" and "g", C mostly "cow"; llama.cpp speaks for two of them."""
    begin, cat = of_byte(ord("x")), len(pieces())
    bigram_model(tmp_path / "cat.gguf", {begin: {cat: SURE}, cat: {2: SURE}}, ["cat"])
    do, g = cat, cat + 2
    bigram_model(tmp_path / "dog.gguf", {begin: {do: SURE}, do: {g: SURE}, g: {2: SURE}}, ["do", "ca", "g"])
    experiment = read(MIXED)
    one, several = records(experiment, 1), records(experiment, 5)
    alone = [{record["text"] for record in one if record["point"] == point} for point in range(3)]
    assert alone[:2] == [{"cat"}, {"dog"}]
    assert any(text.startswith("cow") for text in alone[2])
    assert {record["text"][:1] for record in one if record["point"] == 3} == {"c", "d"}
    assert [encode(record) for record in one] == [encode(record) for record in several]


def test_an_interrupted_run_goes_on_to_the_same_records(read: Reader, tmp_path: Path) -> None:
    experiment = read(LETTERS)
    whole = run_experiment(experiment, tmp_path / "whole", SilentProgress())
    run_experiment(experiment, tmp_path / "parts", SilentProgress(), n=5)
    parts = run_experiment(experiment, tmp_path / "parts", SilentProgress())
    assert len(parts.manifest["sessions"]) == 2
    ids = {cell.id for cell in cells_of(experiment)}
    assert parts.folder.raw_lines(ids) == whole.folder.raw_lines(ids)


def test_a_trace_names_bytes_and_changes_nothing(read: Reader, tmp_path: Path) -> None:
    plain = written(read, tmp_path / "plain", LETTERS)
    traced = written(read, tmp_path / "traced", LETTERS, "auction.trace=top_k")
    assert plain.cells.equals(traced.cells)
    cell = traced.cells.iloc[0]
    rows = traced.trace(cell["cell"])
    assert len(rows) == cell["tokens"]
    assert "".join(rows["piece"]) == cell["text"]


def test_play_writes_what_a_run_writes(read: Reader, tmp_path: Path) -> None:
    text = LETTERS.replace("max_bytes: 12", "max_bytes: 12, trace: chosen")
    experiment = read(text, "sweep.relative_weight=[0.5]", "sweep.seeds=3")
    run = run_experiment(experiment, tmp_path / "results", SilentProgress())
    cells = run.cells[run.cells["aggregation"] == "linear"]
    for seed, expected in zip(cells["seed"], cells["text"], strict=True):
        with staged(experiment, "") as stage:
            live = stage.play("linear", 0.5, seed)
            while live.end_reason is None:
                live.step()
            assert "".join(token.piece for token in live.tokens) == expected


def test_an_audit_over_bytes(tmp_path: Path, in_process: Command) -> None:
    (tmp_path / "e.yaml").write_text(LETTERS)
    done = in_process("audit", "e.yaml", "--prefixes", "4")
    assert done.returncode == 0, done.stderr
    assert "linear" in done.stdout


def test_a_long_text_keeps_the_memory_of_its_caches(read: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    """64 KiB in small: what stays is the text, its records, and what the caches may hold."""
    monkeypatch.setattr(byte_model, "MOST_LOGITS_BYTES", 100_000)
    monkeypatch.setattr(byte_model, "MOST_STATES_BYTES", 100_000)
    experiment = read(
        table(A={"ab": 0.5, "a": 0.3, "b": 0.2}, B={"a": 0.5, "ba": 0.3, "b": 0.2})
        + "auction: {alphabet: bytes, max_bytes: 300, payments: [], covering: {open: 0.001, merge: 0.05}}\n"
    )
    tracemalloc.start()
    try:
        (record,) = records(experiment, 1)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert record["bytes"] == 300
    assert peak < 1_500_000
