"""What a run would do and cost: agents, prompts, cells, memory, model files, and what the probe knows of them.

No weights are loaded, but by the child processes of a probe that is asked for.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..analysis.tables import Table
from ..engine.bidder_models import GgufSpeakers, Speakers, prepare
from ..engine.plan import Plan
from ..engine.run import plan_for
from ..experiment.experiment import Experiment

_MIB = 1 << 20


def plan_report(experiment: Experiment, *, probe: bool = False) -> list[Table]:
    """The tables that `tokauction check` prints; `probe` measures anew whether records depend on batching."""
    speakers = prepare(experiment)
    if probe and isinstance(speakers, GgufSpeakers):
        speakers.probe(thoroughly=True)
    return [_agents(experiment, speakers), _plan(experiment, speakers), *_models(speakers)]


def _agents(experiment: Experiment, speakers: Speakers) -> Table:
    rows = []
    for i, agent in enumerate(experiment.agents):
        casts = speakers.casts.values()
        lengths = [len(getattr(cast.prompts[cast.prompt_of_agent[i]], "tokens", ())) for cast in casts]
        span = str(min(lengths)) if min(lengths) == max(lengths) else f"{min(lengths)}-{max(lengths)}"
        rows.append((agent.name, agent.id, agent.model or "table", agent.bid, agent.temperature, span))
    return Table("Agents", ("agent", "id", "model", "bid", "temperature", "prompt tokens"), tuple(rows))


def _plan(experiment: Experiment, speakers: Speakers) -> Table:
    plan = plan_for(experiment, speakers)
    n_prompts = max(len(cast.prompts) for cast in speakers.casts.values())
    most_tokens = plan.n_cells * experiment.auction.max_tokens
    rows: list[tuple[str, object]] = [
        ("queries", len(experiment.queries)),
        ("aggregation rules", len(experiment.auction.aggregation)),
        ("sweep points", len(experiment.points)),
        ("seeds", len(experiment.seeds)),
        ("cells", plan.n_cells),
        ("waves", len(plan.waves)),
        ("texts in a batch", plan.lanes),
        ("tokens at most", most_tokens),
        ("evaluations at most", most_tokens * n_prompts),
    ]
    if isinstance(speakers, GgufSpeakers):
        rows += _cost_of_models(experiment, speakers, plan)
    return Table("Plan", ("what", "how many"), tuple(rows))


def _cost_of_models(experiment: Experiment, speakers: GgufSpeakers, plan: Plan) -> Iterator[tuple[str, str]]:
    """How llama.cpp computes here, what its memory holds, and what a probe found out."""
    yield "llama.cpp", speakers.hardware.in_words
    for model in speakers.models:
        n_cells = speakers.kv_cells(plan.lanes)[model.path]
        size = speakers.kv_bytes_per_token(model)
        yield (
            f"KV cells of {model.local.reference}",
            f"{n_cells}" + (f" ({n_cells * size / _MIB:.0f} MiB)" if size else ""),
        )
        finding = speakers.findings.get(model.path)
        for crash in finding.crashes if finding else ():
            yield "crashes", crash.in_words
        if experiment.runtime.deterministic:
            yield "batches", "every token is evaluated alone: records do not depend on batching"
        else:
            yield "batches", finding.in_words if finding else "not measured yet: `check --probe` does, and `run`"


def _models(speakers: Speakers) -> list[Table]:
    if not speakers.models:
        return []
    rows = []
    for model in speakers.models:
        facts = (
            ("reference", str(model.local.reference)),
            ("path", str(model.path)),
            ("size", f"{model.local.size / _MIB:.1f} MiB"),
            ("sha256", model.sha256),
            ("architecture", model.metadata.architecture),
            ("context length", model.metadata.context_length or "unknown"),
        )
        rows += list(facts)
    return [Table("Models", ("what", "value"), tuple(rows))]
