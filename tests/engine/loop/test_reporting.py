"""Who speaks in a text and who only measures it: the reference of a run, and the agent that a misreport hides."""

from __future__ import annotations

import csv
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import DEMO_MODEL, Reader

from tokenauction_cli.analysis.run import Run
from tokenauction_cli.api import run_experiment
from tokenauction_cli.engine.loop.reporting import honest, identity, misreported, prompt_sets_of, voices_of
from tokenauction_cli.engine.run import SilentProgress
from tokenauction_cli.experiment.experiment import Experiment
from tokenauction_cli.experiment.resolved.text_audit import AgentMisreport, Utility

A, B, ZERO = {"x": 0.8, "y": 0.2}, {"x": 0.4, "y": 0.6}, {"x": 0.5, "y": 0.5}
DUEL = f"""
name: duel
agents:
  - {{name: Alpha, distribution: {A}}}
  - {{name: Beta, distribution: {B}}}
auction: {{aggregation: [linear], payments: [second_price], max_tokens: 2}}
sweep: {{seeds: 4}}
"""
REFERENCE = f"reference: {{distribution: {ZERO}}}\n"
SCORES = {"log_ratio.alpha", "log_ratio.beta", "reverse_kl_sum.alpha", "reverse_kl_sum.beta", "quality"}


def written(experiment: Experiment, results: Path) -> Run:
    return run_experiment(experiment, results, SilentProgress())


def header(run: Run) -> set[str]:
    with (run.path / "cells.csv").open(encoding="utf-8", newline="") as file:
        return set(next(csv.reader(file)))


def records(run: Run) -> list[dict[str, Any]]:
    return list(run.folder.records().values())


# The reference of a run


@pytest.mark.parametrize("alphabet", ["tokens", "bytes"])
def test_what_a_reference_measures_by_hand(read: Reader, tmp_path: Path, alphabet: str) -> None:
    """At equal bids q = (.6, .4) after both prefixes, whatever was drawn; over bytes of x and y it is the same."""
    text = DUEL if alphabet == "tokens" else DUEL.replace("max_tokens", "alphabet: bytes, max_bytes")
    run = written(read(text + REFERENCE), tmp_path)
    assert header(run) >= SCORES
    assert not [column for column in header(run) if column.startswith("tv_sum")]
    q = {"x": 0.6, "y": 0.4}
    for record in records(run):
        drawn = record["text"].replace(" ", "")
        assert len(drawn) == 2
        assert record["quality"] == pytest.approx(math.log(0.5), abs=1e-12)
        for agent, p in (("alpha", A), ("beta", B)):
            ratio = sum(math.log(p[symbol] / 0.5) for symbol in drawn)
            assert record[f"log_ratio.{agent}"] == pytest.approx(ratio, abs=1e-12)
            divergence = 2 * sum(q[symbol] * math.log(q[symbol] / p[symbol]) for symbol in "xy")
            assert record[f"reverse_kl_sum.{agent}"] == pytest.approx(divergence, abs=1e-12)


def test_a_reference_changes_nothing_else(read: Reader, tmp_path: Path) -> None:
    without, with_one = (written(read(DUEL + more), tmp_path / str(len(more))) for more in ("", REFERENCE))
    assert not header(without) & SCORES
    assert header(with_one) == header(without) | SCORES
    for plain, scored in zip(records(without), records(with_one), strict=True):
        assert {key: value for key, value in scored.items() if key not in SCORES} == plain


def test_the_temperature_of_a_reference_is_its_own(read: Reader, tmp_path: Path) -> None:
    """At temperature 1/2 (.8, .2) is (16, 1) / 17."""
    run = written(read(DUEL + f"reference: {{distribution: {A}, temperature: 0.5}}\n"), tmp_path)
    for record in records(run):
        l0 = sum(math.log({"x": 16 / 17, "y": 1 / 17}[symbol]) for symbol in record["text"].split())
        assert record["quality"] == pytest.approx(l0 / 2, abs=1e-12)


def test_an_agent_that_is_the_reference_says_nothing_beyond_it(read: Reader, tmp_path: Path) -> None:
    run = written(read(DUEL + f"reference: {{distribution: {A}}}\n"), tmp_path)
    assert {record["log_ratio.alpha"] for record in records(run)} == {0.0}


def test_what_the_reference_cannot_say_leaves_an_infinite_ratio(read: Reader, tmp_path: Path) -> None:
    run = written(read(DUEL + "reference: {distribution: {x: 1}}\n"), tmp_path)
    for record in records(run):
        says_it = record["text"] == "x x"
        assert (record["quality"] == 0) is says_it
        assert record["log_ratio.alpha"] == pytest.approx(2 * math.log(0.8) if says_it else math.inf)


def test_runs_share_texts_only_where_the_reference_is_the_same(read: Reader, tmp_path: Path) -> None:
    """A record without its scores, or with those of another reference, is another record."""
    for more, copied in (
        ("", 0),
        (REFERENCE, 0),
        (REFERENCE.replace("}}", "}, temperature: 2}"), 0),
        (REFERENCE + "seed: 0\n", 4),
    ):
        name = "name: other\n" if copied else f"name: n{len(more)}\n"
        run = written(read(DUEL.replace("name: duel\n", name) + more), tmp_path / "results")
        taken = run.manifest["sessions"][-1].get("taken_over", {})
        assert sum(taken.values()) == copied, more
        assert bool(header(run) & SCORES) is bool(more)


# Whoever reports


@pytest.fixture
def experiment(read: Reader) -> Experiment:
    return read(DUEL + REFERENCE)


def boast(experiment: Experiment, **changed: Any) -> AgentMisreport:
    return AgentMisreport("boast", 0, replace(experiment.agents[0], **changed))


def wanting(experiment: Experiment, kind: str) -> Experiment:
    wanted = {0: (Utility(kind, 1.0),)}
    return replace(experiment, text_audit=replace(experiment.text_audit, utilities=wanted))


def test_an_honest_reporting_is_the_agents_and_the_reference(experiment: Experiment) -> None:
    found = honest(experiment)
    assert (found.report, found.agents, found.scorers, found.truth) == (
        "",
        experiment.agents,
        (experiment.reference,),
        None,
    )


@pytest.mark.parametrize(("kind", "truth"), [("count", None), ("tv", 0), ("log_ratio", 0), ("reverse_kl", 0)])
def test_a_misreporting_agent_measures_by_itself_where_that_is_asked(
    experiment: Experiment, kind: str, truth: int | None
) -> None:
    lie = boast(experiment, distributions={"*": {"x": 1.0}})
    found = misreported(wanting(experiment, kind), lie)
    assert found.agents == (lie.reported, experiment.agents[1])
    own = () if truth is None else (experiment.agents[0],)
    assert (found.scorers, found.truth) == ((experiment.reference, *own), truth)
    assert found.report == identity(wanting(experiment, kind), lie)


def test_reports_differ_by_what_is_said_and_by_whether_it_is_measured(experiment: Experiment) -> None:
    told = [{"temperature": 0.5}, {"temperature": 2.0}, {"prompt": "a"}, {"prompt": "b"}, {"distributions": {"*": A}}]
    found = {identity(wanting(experiment, kind), boast(experiment, **one)) for kind in ("count", "tv") for one in told}
    assert len(found) == 2 * len(told)
    assert identity(wanting(experiment, "tv"), boast(experiment, temperature=2)) == identity(
        wanting(experiment, "reverse_kl"), boast(experiment, temperature=2)
    )


def test_equal_prompt_sets_are_one(experiment: Experiment) -> None:
    """A temperature alone asks no model anything new."""
    cooler = misreported(wanting(experiment, "count"), boast(experiment, temperature=0.5))
    reportings = [honest(experiment), cooler]
    voices = voices_of(reportings)
    assert len(voices) == 4
    prompts = {"q": tuple(voice.name for voice in voices)}
    sets = prompt_sets_of(reportings, voices, prompts)
    asked, told = sets["q"], sets[f"q\0{cooler.report}"]
    assert asked.prompts == told.prompts
    assert asked.prompt_of_agent == told.prompt_of_agent


# A language model


@pytest.mark.model
def test_another_prompt_as_the_reference_of_a_language_model(read: Reader, tmp_path: Path, model_path: Path) -> None:
    text = f"""
name: smoke
agents:
  - {{name: Alpha, model: {DEMO_MODEL}, prompt: "Fly to"}}
  - {{name: Beta, model: {DEMO_MODEL}, prompt: "Stay at"}}
auction: {{max_tokens: 3, payments: [second_price]}}
sweep: {{seeds: 2}}
runtime: {{threads: 1, batch: 4}}
"""
    plain, own, other = (
        written(read(text + more), tmp_path / str(k))
        for k, more in enumerate(
            ["", *(f'reference: {{model: {DEMO_MODEL}, prompt: "{prompt}"}}\n' for prompt in ("Fly to", "The sea"))]
        )
    )
    assert {record["log_ratio.alpha"] for record in records(own)} == {0.0}
    for scored in (own, other):
        kept = [{key: value for key, value in record.items() if key not in SCORES} for record in records(scored)]
        assert kept == records(plain)
    for record in records(other):
        l0 = record["quality"] * record["tokens"]
        assert record["log_ratio.alpha"] == pytest.approx(record["log_prob.alpha"] - l0, abs=1e-9)
        assert record["reverse_kl_sum.beta"] == pytest.approx(record["reverse_kl.beta"] * record["tokens"], abs=1e-9)
