"""How fast a run is against what its machine can do: ratios measured in one process, one after the other.

naive        one high-level `Llama` object per agent, one text at a time, no sharing: what one would write first
bare decode  the same series of `llama_decode` calls that our run made, with nothing between them
ours         the whole run of the same cells: evaluating, aggregating, drawing, charging, measuring, writing
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from ..experiment.experiment import Experiment
from ..lm.gguf import GgufPrompt, Step
from ..lm.hardware import Hardware
from ..mechanism.aggregation.rules import AggregationRule
from ..mechanism.distributions import Array
from ..mechanism.outcome import Outcome
from ..mechanism.payments.rules import PaymentRule
from ..mechanism.sampling.randomness import DrawKey
from ..mechanism.sampling.rules import Draw, SamplingRule
from ..runs.run_folder import RunFolder
from ..system.errors import UsageError
from ..system.memory import peak_memory
from .auctioneer import Auctioneer
from .gguf_files import GgufFiles
from .plan import Plan
from .prepare import prepare
from .rules import Rules
from .run import plan_for
from .token_loop import PromptSet, TokenLoop

NAIVE_TEXTS = 3


@dataclass(frozen=True)
class Measured:
    """One experiment's ratios and what they come from; seconds are wall time."""

    scenario: str
    machine: dict[str, str]
    cells: int
    tokens: int
    evaluations: int
    sharing: float
    naive_tokens_per_second: float
    tokens_per_second: float
    times_naive: float
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
    if files is None:
        raise UsageError(f"{experiment.path}: bench needs agents with language models, not tables")
    plan = plan_for(experiment, bidders)
    naive = _naive_tokens_per_second(experiment, bidders.prompt_sets[experiment.queries[0]], files.hardware)
    rules = Rules.of(experiment)
    payments = {name: TimedPayment(rule) for name, rule in rules.payments.items()}
    journals: dict[Path, list[Step]] = {model.path: [] for model in files.models}
    with bidders.loaded(plan.slots, lambda path, step: journals[path].append(step)) as model:
        plan = replace(plan, slots=model.slots or plan.slots)  # memory may have room for fewer
        auctioneer = Auctioneer(experiment, replace(rules, payments=payments), model.vocabulary)
        loop = TokenLoop(model, auctioneer, bidders.prompt_sets)
        with contextlib.closing(auctioneer):
            seconds, writing = _run(loop, plan)
    bare = _replay(files, plan, journals)
    n_prompts = sum(files.most_prompts.values())
    decodes = [len(step.arguments[0]) for steps in journals.values() for step in steps if step.method == "decode"]
    return Measured(
        scenario=scenario,
        machine=machine_of(files.hardware),
        cells=plan.n_cells,
        tokens=loop.n_tokens,
        evaluations=loop.n_evaluations,
        sharing=loop.n_tokens * n_prompts / max(1, loop.n_evaluations),
        naive_tokens_per_second=naive,
        tokens_per_second=loop.n_tokens / seconds,
        times_naive=loop.n_tokens / seconds / naive,
        evaluations_per_second=loop.n_evaluations / seconds,
        decode_efficiency=bare / seconds,
        share_evaluating=loop.seconds_evaluating / seconds,
        share_auctioning=loop.seconds_auctioning / seconds,
        share_charging=sum(payment.seconds for payment in payments.values()) / seconds,
        share_writing=writing / seconds,
        mean_rows=float(np.mean(decodes)),
        peak_memory_mib=peak_memory() / (1 << 20),
    )


def _run(loop: TokenLoop, plan: Plan) -> tuple[float, float]:
    """Seconds of the whole run without loading, and of writing its records."""
    writing = 0.0
    with TemporaryDirectory() as folder, RunFolder(Path(folder)).appending() as appender:
        begun = time.perf_counter()
        for wave in plan.waves:
            for records in loop.run(wave, plan.slots):
                before = time.perf_counter()
                if records:
                    appender.append(records)
                writing += time.perf_counter() - before
        return time.perf_counter() - begun, writing


def _replay(files: GgufFiles, plan: Plan, journals: Mapping[Path, Sequence[Step]]) -> float:
    """Seconds of the same calls of llama.cpp, on fresh contexts, with nothing between them."""
    with files.loaded(plan.slots) as (contexts, _):
        begun = time.perf_counter()
        for context in contexts:
            for step in journals[context.path]:
                context.perform(step)
        return time.perf_counter() - begun


def _naive_tokens_per_second(experiment: Experiment, prompt_set: PromptSet, hardware: Hardware) -> float:
    """Drawn tokens per second of one `Llama` object per agent, evaluating one text at a time; linear, inverse CDF."""
    prompts: list[GgufPrompt] = [prompt_set.prompts[k] for k in prompt_set.prompt_of_agent]
    longest = max(len(prompt.tokens) for prompt in prompts) + experiment.auction.max_draws
    weights = np.array(experiment.points[len(experiment.points) // 2].bids)
    weights /= weights.sum()
    rng = np.random.default_rng(experiment.seed)
    with _naive_models(prompts, longest, hardware) as models:
        begun = time.perf_counter()
        n_tokens = sum(
            _naive_text(models, prompts, weights, rng, experiment.auction.max_draws) for _ in range(NAIVE_TEXTS)
        )
        return n_tokens / (time.perf_counter() - begun)


@contextlib.contextmanager
def _naive_models(prompts: Sequence[GgufPrompt], n_tokens: int, hardware: Hardware) -> Iterator[list[Any]]:
    from llama_cpp import Llama

    settings = {"n_threads": hardware.n_threads, "n_threads_batch": hardware.n_threads, "verbose": False}
    with contextlib.nullcontext() if hardware.uses_extra_buffers else _weights_in_their_own_order():
        models = [
            Llama(str(prompt.path), n_ctx=n_tokens + 1, n_gpu_layers=hardware.gpu_layers, **settings)
            for prompt in prompts
        ]
    try:
        yield models
    finally:
        for model in models:
            model.close()


def machine_of(hardware: Hardware) -> dict[str, str]:
    """What ratios depend on: processor, threads and build."""
    from ..lm import libraries
    from ..system.processors import processor_name

    build = libraries.digests()
    return {
        "processor": processor_name(),
        "amx": libraries.amx(),
        "computes": hardware.in_words,
        "build": ", ".join(f"{name} {digest[:12]}" for name, digest in build.items() if "ggml-cpu" in name),
    }


@contextlib.contextmanager
def _weights_in_their_own_order() -> Iterator[None]:
    """For a llama.cpp that crashes otherwise: `Llama` has no option for it."""
    from llama_cpp import llama_cpp

    usual = llama_cpp.llama_model_default_params

    def parameters() -> Any:
        changed = usual()
        changed.use_extra_bufts = False
        return changed

    llama_cpp.llama_model_default_params = parameters
    try:
        yield
    finally:
        llama_cpp.llama_model_default_params = usual


def _naive_text(
    models: Sequence[Any], prompts: Sequence[GgufPrompt], weights: Any, rng: np.random.Generator, max_tokens: int
) -> int:
    for model, prompt in zip(models, prompts, strict=True):
        model.reset()
        model.eval(prompt.tokens)
    for n in range(1, max_tokens + 1):
        q = sum(w * _softmax(_last_logits(model)) for w, model in zip(weights, models, strict=True))
        token = int(np.searchsorted(np.cumsum(q), rng.random()))
        if n == max_tokens:
            break
        for model in models:
            model.eval([token])
    return max_tokens


def _last_logits(model: Any) -> Any:
    """After `eval`, without the copies that `Llama.eval_logits` makes of every position."""
    import llama_cpp

    return np.ctypeslib.as_array(llama_cpp.llama_get_logits_ith(model.ctx, -1), shape=(model.n_vocab(),))


def _softmax(logits: Any) -> Any:
    p = np.exp(np.asarray(logits, dtype=np.float64) - np.max(logits))
    return p / p.sum()


def as_rows(measured: Sequence[Measured]) -> list[dict[str, Any]]:
    """Plain data for JSON."""
    return [asdict(item) for item in measured]
