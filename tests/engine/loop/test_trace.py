"""Traces: what they say of a token, that they change nothing else, that they are cheap to make and to read."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Reader
from hypothesis import given
from hypothesis import strategies as st

from tokenauction_cli.analysis.run import Run
from tokenauction_cli.api import run_experiment
from tokenauction_cli.engine.loop.trace import N_CANDIDATES, TextTrace, candidates, most_probable
from tokenauction_cli.engine.run import SilentProgress
from tokenauction_cli.lm.table import TableVocabulary
from tokenauction_cli.mechanism.distributions import Profile
from tokenauction_cli.mechanism.outcome import Outcome
from tokenauction_cli.mechanism.registry import find
from tokenauction_cli.mechanism.sampling.rules import Draw
from tokenauction_cli.mechanism.terms import Terms

TWO = """
name: t
agents:
  - {name: Alpha, distribution: {x: 0.6, y: 0.1, z: 0.2, <end>: 0.1}}
  - {name: Beta, distribution: {x: 0.1, y: 0.8, z: 0.0005, <end>: 0.0995}}
auction: {aggregation: [linear, log_linear, random_dictator], payments: [pay_your_bid, second_price], max_tokens: 6}
sweep: {agent: Alpha, relative_weight: [0, 0.5, 1], seeds: 5}
"""


def run(read: Reader, folder: Path, *overrides: str) -> Run:
    return run_experiment(read(TWO, *overrides), folder, SilentProgress())


def traces(result: Run) -> dict[str, dict[str, Any]]:
    return dict(result.traces())


def test_a_trace_changes_no_number(read: Reader, tmp_path: Path) -> None:
    plain, chosen, top_k = (run(read, tmp_path / t, f"auction.trace={t}").cells for t in ("none", "chosen", "top_k"))
    assert plain.equals(chosen)
    assert plain.equals(top_k)


def test_nothing_is_traced_unless_asked(read: Reader, tmp_path: Path) -> None:
    assert traces(run(read, tmp_path)) == {}


def test_it_adds_up_to_the_record(read: Reader, tmp_path: Path) -> None:
    result = run(read, tmp_path, "auction.trace=top_k")
    found = traces(result)
    assert set(found) == set(result.cells["cell"])
    for cell in result.cells.to_dict("records"):
        trace = found[cell["cell"]]
        assert len(trace["pieces"]) == len(trace["log_q"]) == len(trace["candidates"]) == cell["tokens"]
        assert "".join(trace["pieces"]) == cell["text"]
        assert math.isclose(sum(trace["log_q"]), cell["log_prob"], abs_tol=2e-3 * cell["tokens"])
        for i, agent in enumerate(("alpha", "beta")):
            assert math.isclose(sum(trace["log_p"][i]), cell[f"log_prob.{agent}"], abs_tol=2e-3 * cell["tokens"])
            for column, paid in trace["payments"].items():
                assert math.isclose(sum(paid[i]), cell[f"payment.{column}.{agent}"], rel_tol=1e-4, abs_tol=1e-9)
        assert ("dictator" in trace) == (cell["aggregation"] == "random_dictator")
        assert np.allclose(np.sum(trace["posterior"], axis=0), 1, atol=2e-3)


def test_a_threshold_is_where_the_token_changes(read: Reader, tmp_path: Path) -> None:
    """Below it the seed draws one token, above it another."""
    result = run(read, tmp_path, "auction.trace=chosen", "auction.aggregation=linear", "auction.max_tokens=1")
    found = traces(result)
    switches = 0
    for _, group in result.cells.groupby("seed"):
        below, _, above = (found[cell] for cell in group["cell"])
        at = below.get("switch", [None])[0]
        changes = below["pieces"] != above["pieces"]
        assert changes == (at is not None)
        assert at is None or 0 <= at <= 1  # a share: where it would lie beyond 1 the token never changes
        switches += changes
    assert switches


def test_candidates_are_the_likeliest_of_each_and_of_q() -> None:
    rng = np.random.default_rng(0)
    profile = Profile.of(rng.dirichlet(np.full(500, 0.05), size=2))
    outcome = Outcome(find("aggregation", "linear"), profile, (1.0, 1.0), Terms(("a", "b")))
    vocabulary = TableVocabulary([{"": dict.fromkeys((f"t{k:03}" for k in range(499)), 1.0)}])
    found = candidates(outcome, vocabulary)
    for row in (profile.p[0], profile.p[1], outcome.q.p):
        likely = [k for k in np.argsort(-row)[:N_CANDIDATES] if row[k] >= 1e-3]
        assert {vocabulary.name(int(k)) for k in likely} <= set(found["tokens"])
    assert found["log_q"] == sorted(found["log_q"], reverse=True)
    token = vocabulary.index[found["tokens"][0]]
    assert math.isclose(found["log_p"][1][0], math.log(profile.p[1, token]), abs_tol=6e-4)


def test_a_character_over_two_tokens_is_shown_where_it_is_complete() -> None:
    class Bytes:
        size = 2
        joiner = b""
        ends: frozenset[int] = frozenset()

        def piece(self, token: int) -> bytes:
            return "é".encode()[token : token + 1]

        def name(self, token: int) -> str:
            return f"<{token}>"

    outcome = Outcome(find("aggregation", "linear"), Profile.of([[0.5, 0.5]]), (1.0,), Terms(("a",)))
    trace = TextTrace(Bytes(), "chosen")
    for token in (0, 1, 0):
        trace.add([token], outcome.bids, Draw(token, "greedy"), {}, outcome.profile.log_at(token), 0.0)
    assert trace.plain()["pieces"] == ["", "é", "\ufffd"]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=3000), st.integers(1, 12))
def test_the_short_way_to_the_largest_agrees_with_sorting(values: list[float], k: int) -> None:
    p = np.array(values)
    assert most_probable(p, k).tolist() == np.argsort(-p, kind="stable")[:k].tolist()


def test_a_trace_is_small(read: Reader, tmp_path: Path) -> None:
    result = run(read, tmp_path, "auction.trace=top_k")
    bytes_in_all = sum(len(json.dumps(trace)) for trace in traces(result).values())
    assert bytes_in_all / result.cells["tokens"].sum() < 800


@pytest.mark.parametrize("detail", ["chosen", "top_k"])
def test_the_same_bytes_again(read: Reader, tmp_path: Path, detail: str) -> None:
    first, second = (run(read, tmp_path / k, f"auction.trace={detail}").folder.record_files()[0] for k in "ab")
    assert first.read_bytes() == second.read_bytes()
