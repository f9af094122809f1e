"""How fast a run is against what its machine can do: ratios measured in one process, one after the other.

naive        one high-level `Llama` object per agent, one text at a time, no sharing: `naive.py`
bare decode  the same series of `llama_decode` calls that our run made, with nothing between them
ours         the whole run of the same cells: evaluating, aggregating, drawing, charging, measuring, writing

Of a mechanism with candidates the naive loop is `naive_candidates.py`. It shares nothing, so it writes and scores the
candidates anew for every bid; what it makes of them once is a ratio of its own.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from tokenauction_cli.engine.candidates.proposals import KIND as PROPOSALS
from tokenauction_cli.engine.candidates.proposals import Proposals, is_settled, pools_of
from tokenauction_cli.engine.loop.auctioneer import Auctioneer
from tokenauction_cli.engine.models.bidder_models import BidderModels
from tokenauction_cli.engine.models.gguf_files import GgufFiles
from tokenauction_cli.engine.models.prepare import prepare
from tokenauction_cli.engine.plan import Cell, Plan, cells_of
from tokenauction_cli.engine.rules import Rules
from tokenauction_cli.engine.run import plan_for
from tokenauction_cli.engine.writing import Texts, writing
from tokenauction_cli.experiment.experiment import Experiment
from tokenauction_cli.lm.bytes.byte_model import ByteModel, BytePrompt
from tokenauction_cli.lm.llama.adapters import Tuned
from tokenauction_cli.lm.llama.gguf import GgufPrompt, KvCall
from tokenauction_cli.lm.llama.hardware import Hardware
from tokenauction_cli.mechanism.aggregation.rules import AggregationRule
from tokenauction_cli.mechanism.distributions import Array
from tokenauction_cli.mechanism.outcome import Outcome
from tokenauction_cli.mechanism.payments.rules import PaymentRule
from tokenauction_cli.mechanism.sampling.randomness import DrawKey
from tokenauction_cli.mechanism.sampling.rules import Draw, SamplingRule
from tokenauction_cli.runs.run_folder import RunFolder
from tokenauction_cli.system.errors import UsageError
from tokenauction_cli.system.memory import peak_memory

from . import naive, naive_candidates


@dataclass(frozen=True)
class Measured:
    """One experiment's ratios and what they come from; seconds are wall time."""

    scenario: str
    machine: dict[str, str]
    cells: int
    tokens: int
    evaluations: int
    evaluations_per_draw: float  # and agent, of texts that differ; over tokens it is 1
    sharing: float
    naive_tokens_per_second: float
    tokens_per_second: float
    times_naive: float
    times_naive_once: float | None  # the same where the loop keeps its candidates for all bids; None without any
    evaluations_per_candidates: float | None  # over those of each candidate's tokens under every prompt, once
    evaluations_per_second: float
    decode_efficiency: float
    share_evaluating: float
    share_auctioning: float
    share_charging: float
    share_writing: float
    mean_rows: float
    peak_memory_mib: float


class TimedPayment(PaymentRule):
    """A payment rule and the seconds that its charges take."""

    def __init__(self, rule: PaymentRule) -> None:
        self._rule = rule
        self.name, self.compares_others = rule.name, rule.compares_others
        self.seconds = 0.0

    @property
    def columns(self) -> tuple[str, ...]:
        return self._rule.columns

    def fits(self, aggregation: AggregationRule, sampling: SamplingRule, reserve: float = 0.0) -> bool:
        return self._rule.fits(aggregation, sampling, reserve)

    def expected(self, outcome: Outcome) -> Array:
        return self._rule.expected(outcome)

    def charge(self, outcome: Outcome, draw: Draw, draw_key: DrawKey) -> Mapping[str, Array]:
        begun = time.perf_counter()
        amounts = self._rule.charge(outcome, draw, draw_key)
        self.seconds += time.perf_counter() - begun
        return amounts


def measure_experiment(experiment: Experiment, scenario: str) -> Measured:
    """Run an experiment, replay its decodes, and write a few of its texts the naive way."""
    bidders = prepare(experiment, probe=True)
    files = bidders.files
    if files is None or any(agent.distributions is not None for agent in experiment.agents):
        raise UsageError(f"{experiment.path}: the benchmark needs agents with language models, not tables")
    plan, rules = plan_for(experiment, bidders), Rules.of(experiment)
    settled = _settled(experiment, rules)
    loop_of = naive_candidates if settled else naive
    naive_speed = loop_of.draws_per_second(experiment, _prompts(bidders, experiment), files.hardware)
    payments = {name: TimedPayment(rule) for name, rule in rules.payments.items()}
    journals: dict[Tuned, list[KvCall]] = {model.tuned: [] for model in files.models}
    rules = replace(rules, payments=payments)
    with writing(
        experiment, rules, bidders, plan.slots, observe=lambda tuned, step: journals[tuned].append(step)
    ) as loaded:
        texts = loaded.texts(plan)
        loop, plan = texts.loop, texts.plan
        seconds, seconds_writing = _run(texts, loaded.auctioneer)
        n_rows = loaded.model.n_evaluations if isinstance(loaded.model, ByteModel) else loop.n_evaluations
    bare = _replay(files, plan, journals)
    n_prompts = sum(files.most_prompts.values())
    decodes = [len(step.arguments[0]) for steps in journals.values() for step in steps if step.method == "decode"]
    n_uses = len(settled) // len(pools_of(rules, settled)) if settled else 1
    n_tokens = loop.n_tokens * n_uses
    return Measured(
        scenario=scenario,
        machine=machine_of(files.hardware),
        cells=len(settled) or plan.n_cells,
        tokens=n_tokens,
        evaluations=n_rows,
        evaluations_per_draw=n_rows / max(1, loop.n_evaluations),
        sharing=n_tokens * n_prompts / max(1, loop.n_evaluations),
        naive_tokens_per_second=naive_speed,
        tokens_per_second=n_tokens / seconds,
        times_naive=n_tokens / seconds / naive_speed,
        times_naive_once=loop.n_tokens / seconds / naive_speed if settled else None,
        evaluations_per_candidates=loop.n_evaluations / (loop.n_tokens * n_prompts) if settled else None,
        evaluations_per_second=n_rows / seconds,
        decode_efficiency=bare / seconds,
        share_evaluating=loop.seconds_evaluating / seconds,
        share_auctioning=loop.seconds_auctioning / seconds,
        share_charging=sum(payment.seconds for payment in payments.values()) / seconds,
        share_writing=seconds_writing / seconds,
        mean_rows=float(np.mean(decodes)),
        peak_memory_mib=peak_memory() / (1 << 20),
    )


def _settled(experiment: Experiment, rules: Rules) -> list[Cell]:
    """The cells that are choices among candidates: all, or none."""
    cells = cells_of(experiment)
    settled = [cell for cell in cells if is_settled(cell, rules)]
    if 0 < len(settled) < len(cells) or (settled and experiment.auction.alphabet != "tokens"):
        raise UsageError(
            f"{experiment.path}: the benchmark measures mechanisms with candidates over tokens, and apart from others; "
            "set auction.mechanism to one of them"
        )
    return settled


def _prompts(bidders: BidderModels, experiment: Experiment) -> list[GgufPrompt]:
    """Of every agent, and of the reference behind them, in answer to the first query."""
    prompt_set = bidders.prompt_sets[experiment.queries[0]]
    prompts = [prompt_set.prompts[k] for k in (*prompt_set.prompt_of_agent, *prompt_set.prompt_of_scorer)]
    return [prompt.prompt if isinstance(prompt, BytePrompt) else prompt for prompt in prompts]


def _run(texts: Texts, auctioneer: Auctioneer) -> tuple[float, float]:
    """Seconds of the whole run without loading, and of settling and writing its records."""
    spent = 0.0
    with TemporaryDirectory() as path:
        folder = RunFolder(Path(path))
        proposals = Proposals(auctioneer.experiment, auctioneer.rules, folder, cells_of(auctioneer.experiment))
        with folder.appending() as appender, folder.of(PROPOSALS).appending() as candidates:
            begun = time.perf_counter()
            for records in texts.steps():
                before = time.perf_counter()
                appender.append(proposals.taken(records, candidates))
                spent += time.perf_counter() - before
            return time.perf_counter() - begun, spent


def _replay(files: GgufFiles, plan: Plan, journals: Mapping[Tuned, Sequence[KvCall]]) -> float:
    """Seconds of the same calls of llama.cpp, on fresh contexts, with nothing between them."""
    with files.loaded(plan.slots) as (contexts, _):
        begun = time.perf_counter()
        for context in contexts:
            for step in journals[context.tuned]:
                context.perform(step)
        return time.perf_counter() - begun


def machine_of(hardware: Hardware) -> dict[str, str]:
    """What ratios depend on: processor, threads and build."""
    from tokenauction_cli.lm.llama import libraries
    from tokenauction_cli.system.processors import processor_name

    build = libraries.digests()
    return {
        "processor": processor_name(),
        "amx": libraries.amx(),
        "computes": hardware.in_words,
        "build": ", ".join(f"{name} {digest[:12]}" for name, digest in build.items() if "ggml-cpu" in name),
    }


def as_rows(measured: Sequence[Measured]) -> list[dict[str, Any]]:
    """Plain data for JSON."""
    return [asdict(item) for item in measured]
