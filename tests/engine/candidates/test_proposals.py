"""Candidates: free of bids, written once, kept on disk; and the cells that choose among them, whatever interrupts."""

from __future__ import annotations

import math
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Command, Reader
from mechanism_runs import BABBLE, Ran, candidates, evaluations, lines, n_prefixes, records, run
from tiny_gguf import bigram_model

from tokenauction_cli.engine.candidates.proposals import Pool, candidates_of
from tokenauction_cli.runs.run_folder import PROPOSALS, Record
from tokenauction_cli.verify.verification import verify_run

MOSAIC = "auction.mechanism=mosaic"
TWO = "auction.mechanism=[mosaic, text_pool]"
TINY = """
name: tiny
queries: [q, r]
agents: [{name: A, model: m.gguf, prompt: a}, {name: B, model: m.gguf, prompt: b}]
auction:
  mechanism: [token_auction, text_pool, lottery]
  text_pool: {candidates: 3}
  max_tokens: 2
sweep: {relative_weight: [0, 0.5, 1], seeds: 2}
"""


# What candidates are


def test_they_are_free_of_bids_weights_and_settings(read: Reader, tmp_path: Path) -> None:
    """The same lines, whatever is swept and however it is chosen among them."""
    sweeps = (
        "sweep.relative_weight=[0.3]",
        "sweep.total_bid=7",
        "auction.mosaic.tau=0.1",
        "auction.mosaic.score=mention",
    )
    first = run(read(BABBLE, TWO), tmp_path / "first")
    assert len(lines(first.folder.path, PROPOSALS)) == 4 * 6, "two mechanisms share them"
    for k, override in enumerate(sweeps):
        other = run(read(BABBLE, TWO, override), tmp_path / str(k))
        assert lines(other.folder.path, PROPOSALS) == lines(first.folder.path, PROPOSALS)
    alone = run(read(BABBLE, MOSAIC), tmp_path / "alone")
    assert lines(alone.folder.path, PROPOSALS) == lines(first.folder.path, PROPOSALS)
    more = run(read(BABBLE, MOSAIC, "auction.mosaic.candidates=9"), tmp_path / "more")
    assert lines(more.folder.path, PROPOSALS) > lines(first.folder.path, PROPOSALS), "the first of more are the same"


def test_they_are_scored_as_every_agent_says_them(read: Reader, tmp_path: Path) -> None:
    """By hand: each token by its table; the generator's law is the square root of both, normalised."""
    a = {"x": 0.5, "y": 0.3, ".": 0.1, "<end>": 0.1}
    b = {"x": 0.1, "y": 0.5, "z": 0.2, ".": 0.1, "<end>": 0.1}
    reference = {"x": 0.2, "y": 0.3, "z": 0.3, ".": 0.1, "<end>": 0.1}
    both = {token: math.sqrt(a[token] * b[token]) for token in a}
    pooled = {token: weight / sum(both.values()) for token, weight in both.items()}
    for one in candidates(run(read(BABBLE, MOSAIC), tmp_path)):
        said = one["text"].split() + ["<end>"] * (one["end_reason"] == "end")
        assert len(said) == one["tokens"] <= 6
        for column, law in (("log_prob.a", a), ("log_prob.b", b), ("log_prob", pooled)):
            assert one[column] == pytest.approx(sum(math.log(law[token]) for token in said), abs=1e-12)
        assert one["quality"] * len(said) == pytest.approx(sum(math.log(reference[token]) for token in said), abs=1e-12)


def test_pools_of_different_sizes(read: Reader, tmp_path: Path) -> None:
    """Of one generator the smaller is the beginning of the larger: nothing is written twice, and both are settled."""
    ran = run(read(BABBLE, TWO, "auction.text_pool.candidates=3"), tmp_path)
    assert len(lines(ran.folder.path, PROPOSALS)) == 4 * 6
    assert len(records(ran, "text_pool")) == len(records(ran, "mosaic")) == 12
    assert max(one["candidate"] for one in records(ran, "text_pool")) == 2
    other = run(read(BABBLE, TWO, "auction.text_pool.generator=linear"), tmp_path / "other")
    assert len(lines(other.folder.path, PROPOSALS)) == 4 * 12


def test_eleven_weights_cost_no_more_than_the_candidates(read: Reader, tmp_path: Path) -> None:
    """Every prefix of a candidate is asked once of the two agents and the reference; choosing costs nothing."""
    eleven = ("sweep.relative_weight={from: 0, to: 1, step: 0.1}", "auction.mosaic.candidates=20")
    ran = run(read(BABBLE, TWO, *eleven, "auction.text_pool.candidates=20"), tmp_path)
    assert len(records(ran)) == 2 * 11 * 4
    assert evaluations(ran) == 3 * n_prefixes(candidates(ran))


def test_the_chosen_text_is_the_candidate(read: Reader, tmp_path: Path) -> None:
    """With the numbers of the candidate; duplicates are different candidates."""
    ran = run(read(BABBLE, MOSAIC), tmp_path)
    texts = [one["text"] for one in candidates(ran)]
    assert len(set(texts)) < len(texts)
    for one in records(ran):
        own = [
            by_id(ran)[cell.id] for cell in candidates_of(read(BABBLE, MOSAIC), Pool("", one["seed"], "log_linear", 6))
        ]
        chosen = own[one["candidate"]]
        assert (one["text"], one["log_prob.a"], one["quality"]) == (
            chosen["text"],
            chosen["log_prob.a"],
            chosen["quality"],
        )
        assert one["ess"] == pytest.approx(1 / sum(p**2 for p in chances(one, own)), abs=1e-9)


def by_id(ran: Ran) -> dict[str, Record]:
    return {one["cell"]: one for one in candidates(ran)}


def chances(record: Record, own: list[Record]) -> list[float]:
    """p_j proportional to (pi_0 / pi_gen)(y_j) exp(sum_i b_i (l_i - l_0) / tau), tau 2."""
    bids = {agent: record[f"bid.{agent}"] for agent in "ab"}
    weights = [
        math.exp(
            one["quality"] * one["tokens"]
            - one["log_prob"]
            + sum(bid * one[f"log_ratio.{agent}"] for agent, bid in bids.items() if bid) / 2
        )
        for one in own
    ]
    return [weight / sum(weights) for weight in weights]


# Interrupted and continued


FATAL = """
import os
import signal
from pathlib import Path

from tokenauction_cli.engine import writing
from tokenauction_cli.mechanism.alternatives.text_pool import TextPool
from tokenauction_cli.mechanism.sampling.rules import Gumbel

writing.SECONDS_BETWEEN_APPENDS = -1.0  # what is finished is on disk after every step


def die(where):
    if Path(where).exists():
        signum, left = map(int, Path(where).read_text().split())
        Path(where).write_text(f"{signum} {left - 1}")
        if not left:
            os.kill(os.getpid(), signum)


class Fatal(TextPool):
    def settle(self, candidates, bidding, draw_key):
        die("settling")
        return super().settle(candidates, bidding, draw_key)


class Drawing(Gumbel):
    def draw(self, outcome, draw_key):
        die("drawing")
        return super().draw(outcome, draw_key)
"""
OWN = """
trust: [fatal]
queries: [q, r]
"""


@pytest.mark.parametrize(
    ("where", "after", "signum"),
    [("settling", 0, signal.SIGKILL), ("settling", 8, signal.SIGKILL), ("drawing", 300, signal.SIGKILL),
     ("drawing", 300, signal.SIGINT)],
)  # fmt: skip
def test_ended_anywhere_and_continued(tmp_path: Path, tokauction: Command, where: str, after: int, signum: int) -> None:
    """Between proposing and settling, and among the candidates: the same command continues to the same bytes."""
    listed = BABBLE.replace("mosaic, segment, lottery, highest, text_pool]", 'lottery, "fatal:Fatal"]')
    kept = "\n".join(
        line for line in listed.splitlines() if not line.strip().startswith(("mosaic", "text_pool", "segm"))
    )
    (tmp_path / "e.yaml").write_text(kept.replace("sampling: gumbel", 'sampling: "fatal:Drawing"') + OWN)
    (tmp_path / "fatal.py").write_text(FATAL)
    (tmp_path / where).write_text(f"{int(signum)} {after}")
    ended = tokauction("run", "e.yaml", "-q")
    assert ended.returncode == (130 if signum == signal.SIGINT else -signum), ended.stderr
    (folder,) = (tmp_path / "results").iterdir()
    before = lines(folder), lines(folder, PROPOSALS)
    assert before[1], "some candidates are on disk"
    (tmp_path / where).unlink()
    for kind in ("records", PROPOSALS):
        for path in folder.glob(f"{kind}-1.jsonl"):
            path.write_bytes(path.read_bytes() + b'{"cell":"torn","te')
    assert tokauction("run", "e.yaml", "-q").returncode == 0
    assert tokauction("run", "e.yaml", "-q", "-o", "whole").returncode == 0
    (whole,) = (tmp_path / "whole").iterdir()
    after_it = lines(folder), lines(folder, PROPOSALS)
    assert after_it == (lines(whole), lines(whole, PROPOSALS))
    assert before[0] < after_it[0]
    assert before[1] <= after_it[1]
    assert (folder / "cells.csv").read_bytes() == (whole / "cells.csv").read_bytes()


def test_a_finished_run_is_left_alone(read: Reader, tmp_path: Path, in_process: Command) -> None:
    (tmp_path / "e.yaml").write_text(BABBLE)
    assert in_process("run", "e.yaml", "-q").returncode == 0
    (folder,) = (tmp_path / "results").iterdir()
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert in_process("run", "e.yaml", "-q").returncode == 0
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert in_process("run", "e.yaml", "-q", "--fresh").returncode == 0
    assert lines(folder, PROPOSALS) == set(before["proposals-1.jsonl"].splitlines(keepends=True))


@pytest.mark.parametrize("override", ["name=babble", MOSAIC, "auction.mechanism=[text_pool, token_auction, mosaic]"])
def test_the_first_cells_then_all(read: Reader, tmp_path: Path, override: str) -> None:
    """`-n` writes the candidates that its cells need, and no cell besides."""
    experiment = read(BABBLE, override, "queries=[q, r]")
    for n in (1, 2, 5, 20):
        part = run(experiment, tmp_path, n)
        assert [one["cell"] for one in records(part)] == [cell.id for cell in part.cells[:n]]
        needed = {(cell.query, cell.seed) for cell in part.cells[:n] if cell.mechanism.name in ("mosaic", "text_pool")}
        assert len(lines(part.folder.path, PROPOSALS)) == 6 * len(needed)
    whole = run(experiment, tmp_path / "whole")
    finished = run(experiment, tmp_path)
    for kind in ("records", PROPOSALS):
        assert lines(finished.folder.path, kind) == lines(whole.folder.path, kind)


def test_more_seeds_write_more_candidates(read: Reader, tmp_path: Path) -> None:
    few, more = (read(BABBLE, TWO, f"sweep.seeds={n}") for n in (2, 4))
    first = run(few, tmp_path)
    both = run(more, tmp_path)
    assert both.manifest["sessions"][-1]["taken_over"] == {first.folder.path.name: 12}
    assert lines(both.folder.path) == lines(run(more, tmp_path / "alone").folder.path)
    assert len(lines(both.folder.path, PROPOSALS)) == 2 * 6, "of cells that were taken over none are needed"


@pytest.mark.usefixtures("batches_matter")
@pytest.mark.parametrize("n", [1, 7, 11])
def test_whole_waves(read: Reader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n: int) -> None:
    """Where batches may change bits, waves of texts are repeated whole, and no line is written twice."""
    monkeypatch.setattr("tokenauction_cli.engine.plan.CELLS_PER_WHOLE_WAVE", 4)
    bigram_model(tmp_path / "m.gguf")
    experiment = read(TINY)
    part = run(experiment, tmp_path, n)
    assert {cell.id for cell in part.cells[:n]} <= {one["cell"] for one in records(part)}
    path = part.folder.path / "records-1.jsonl"
    kept = (line for line in path.read_bytes().splitlines(keepends=True) if b"lottery" not in line)
    path.write_bytes(b"".join(kept)[:-9])
    whole = run(experiment, tmp_path / "whole")
    finished = run(experiment, tmp_path)
    assert len(lines(whole.folder.path)) == 2 * 2 * 9
    for kind in ("records", PROPOSALS):
        assert lines(finished.folder.path, kind) == lines(whole.folder.path, kind)
    checks = [check for check in verify_run(whole.folder.path, 4) if check.found.endswith("bytes")]
    assert len(checks) >= 4
    assert all(check.is_good for check in checks)


# Taken over from siblings


def test_a_run_with_more_mechanisms_takes_over_the_token_auctions_texts(read: Reader, tmp_path: Path) -> None:
    alone = run(read(BABBLE, "auction.mechanism=token_auction"), tmp_path)
    six = run(read(BABBLE), tmp_path)
    assert six.manifest["sessions"][0]["taken_over"] == {alone.folder.path.name: 12}


def test_another_tau_takes_over_candidates_alone(read: Reader, tmp_path: Path) -> None:
    """So it costs no evaluation."""
    before = run(read(BABBLE, MOSAIC), tmp_path)
    after = run(read(BABBLE, MOSAIC, "auction.mosaic.tau=0.5"), tmp_path)
    (session,) = after.manifest["sessions"]
    assert session["taken_over"] == {before.folder.path.name: 4 * 6}
    assert (session["cells"], session["evaluations"]) == (12, 0)
    assert lines(after.folder.path, PROPOSALS) == lines(before.folder.path, PROPOSALS)
    afresh = run(read(BABBLE, MOSAIC, "auction.mosaic.tau=0.5"), tmp_path / "alone")
    assert lines(after.folder.path) == lines(afresh.folder.path)
    assert not {one["cell"] for one in records(after)} & {one["cell"] for one in records(before)}


def test_candidates_that_were_edited_are_written_anew(read: Reader, tmp_path: Path) -> None:
    path = run(read(BABBLE, MOSAIC), tmp_path).folder.path / "proposals-1.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"tokens":6', b'"tokens":5', 1))
    after = run(read(BABBLE, MOSAIC, "auction.mosaic.tau=0.5"), tmp_path)
    assert "taken_over" not in after.manifest["sessions"][0]


# What cannot be written


NO_ROW = """
name: gap
agents:
  - {name: A, distributions: {"": {x: 0.5, y: 0.5}, x: {x: 1}}}
  - {name: B, distributions: {"": {x: 0.5, y: 0.5}, x: {x: 1}}}
auction: {mechanism: [text_pool, lottery], text_pool: {candidates: 2}, max_tokens: 2}
sweep: {relative_weight: [0.5, 1], seeds: 12}
"""


def test_a_candidate_that_cannot_be_written_fails_its_cells_alone(read: Reader, tmp_path: Path) -> None:
    """Nobody says what follows y."""
    ran = run(read(NO_ROW), tmp_path)
    pool = records(ran, "text_pool")
    failed = {one["seed"] for one in pool if one["end_reason"] == "failed"}
    assert 0 < len(failed) < 12
    for one in pool:
        assert (one["seed"] in failed) == (one["end_reason"] == "failed")
        if one["seed"] in failed:
            assert "one of its candidates cannot be written: agent 'A' has no distribution for" in one["error"]
        else:
            assert one["text"] == "x x"
    lottery = {one["end_reason"] == "failed" for one in records(ran, "lottery")}
    assert lottery == {True, False}
    again = run(read(NO_ROW), tmp_path)
    assert again.manifest["sessions"][-1]["cells"] == 0


@pytest.mark.parametrize(
    ("file", "message"),
    [
        (NO_ROW, "agent 'A' has no distribution for the prefix 'y'"),
        (
            NO_ROW.replace("x: {x: 1}", '"*": {x: 0.5, y: 0.5}').replace("max_tokens: 2", "max_tokens: 20"),
            "at most 20,000",
        ),
    ],
)
def test_where_every_text_is_a_candidate_they_can_be_listed(
    tmp_path: Path, in_process: Command, file: str, message: str
) -> None:
    """Else it is said before anything is written."""
    (tmp_path / "e.yaml").write_text(file.replace("candidates: 2", "candidates: all"))
    for command in ("run", "check"):
        done = in_process(command, "e.yaml")
        assert done.returncode == 2
        assert message in done.stderr
        assert not (tmp_path / "results").exists() or not list((tmp_path / "results").iterdir())


# Verified


def test_verify_settles_again_and_writes_candidates_again(read: Reader, tmp_path: Path, in_process: Command) -> None:
    ran = run(read(BABBLE), tmp_path)
    checks = list(verify_run(ran.folder.path, 999))
    same = [check.what for check in checks if check.found == "the same bytes"]
    assert sum(what.startswith("text ") for what in same) == len(set(same)) - 24 == 72
    assert sum(what.startswith("candidate ") for what in same) == 24
    assert all(check.is_good for check in checks)


def altered_cell(path: Path) -> None:
    change(path / "records-1.jsonl", b'"payment.mosaic.a":', b'"payment.mosaic.a":1')


def altered_candidate(path: Path) -> None:
    change(path / "proposals-1.jsonl", b'"log_prob.a":-', b'"log_prob.a":-9')


def change(path: Path, old: bytes, new: bytes) -> None:
    assert old in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(old, new, 1))


@pytest.mark.parametrize(("harm", "what"), [(altered_cell, "text "), (altered_candidate, "candidate ")])
def test_verify_finds_what_was_changed(read: Reader, tmp_path: Path, harm: Callable[[Path], None], what: str) -> None:
    path = run(read(BABBLE), tmp_path).folder.path
    harm(path)
    failed = [check.what for check in verify_run(path, 999) if check.is_good is False]
    assert any(name.startswith(what) for name in failed)
    assert any(name.endswith(".jsonl") for name in failed)


def test_verify_of_cells_whose_candidates_are_elsewhere(read: Reader, tmp_path: Path) -> None:
    run(read(BABBLE, MOSAIC), tmp_path)
    renamed = run(read(BABBLE, MOSAIC, "name=renamed"), tmp_path)
    notes = [check for check in verify_run(renamed.folder.path, 99) if check.is_good is None]
    assert [check.found for check in notes] == [
        "12 not settled again: their candidates are in the run that they were taken over from"
    ]
